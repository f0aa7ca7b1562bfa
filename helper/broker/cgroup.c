/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "common/cleanup.h"

#define LINE     "0::/"     /* of v2; those of v1 have another number and a name */
#define TEXT_MAX (8 * 1024) /* a path is shorter than 4096; v1 may have a dozen lines more */

/* The path in the line of v2, without its first slash. */
static bool find_path(struct kb_span text, struct kb_span *ret)
{
        const char *at = (const char *)text.data, *end = at + text.size;

        while (at < end) {
                const char *newline = memchr(at, '\n', (size_t)(end - at));

                if (!newline) /* cut */
                        return false;
                if ((size_t)(newline - at) >= strlen(LINE) && memcmp(at, LINE, strlen(LINE)) == 0) {
                        at += strlen(LINE);
                        *ret = KB_SPAN(at, (size_t)(newline - at));
                        return true;
                }
                at = newline + 1;
        }
        return false;
}

static struct kb_span next_folder(struct kb_span *path)
{
        const uint8_t *slash = path->size > 0 ? memchr(path->data, '/', path->size) : NULL;
        size_t size = slash ? (size_t)(slash - path->data) : path->size;
        struct kb_span folder = KB_SPAN(path->data, size);

        size += slash != NULL;
        *path = KB_SPAN(path->data + size, path->size - size);
        return folder;
}

static bool is_slice(struct kb_span folder)
{
        static const char suffix[] = ".slice";
        size_t n = sizeof(suffix) - 1;

        return folder.size > n && memcmp(folder.data + folder.size - n, suffix, n) == 0;
}

int kb_cgroup_parse(struct kb_span text, char ret[static KB_UNIT_NAME_MAX + 1])
{
        struct kb_span path, folder;

        if (!find_path(text, &path))
                return -ENODATA;
        do
                folder = next_folder(&path);
        while (is_slice(folder));
        if (folder.size > 0 && folder.data[0] == '_')
                folder = KB_SPAN(folder.data + 1, folder.size - 1);
        if (folder.size > KB_UNIT_NAME_MAX || memchr(folder.data, '\0', folder.size))
                folder.size = 0;
        memcpy(ret, folder.data, folder.size);
        ret[folder.size] = '\0';
        if (!kb_name_unit_valid(ret))
                ret[0] = '\0';
        return 0;
}

static int read_text(pid_t pid, char text[static TEXT_MAX], size_t *ret_size)
{
        _cleanup_close_ int fd = -1;
        char path[32];
        size_t size = 0;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        do { /* the kernel gives the whole at once, or at most a page at a time */
                n = read(fd, text + size, TEXT_MAX - size);
                size += n > 0 ? (size_t)n : 0;
        } while (n > 0 && text[size - 1] != '\n');
        if (n < 0)
                return -errno;
        *ret_size = size;
        return 0;
}

bool kb_cgroup_is_of_init(pid_t pid)
{
        char text[TEXT_MAX], init[TEXT_MAX];
        size_t size, init_size;

        return read_text(pid, text, &size) >= 0 && read_text(1, init, &init_size) >= 0 &&
               size == init_size && memcmp(text, init, size) == 0;
}

/* Paths are seen from the root that PID 1 was started in: what is above it would be folders of no unit. */
static bool looks_like_ours(void)
{
        static const char init[] = "init.scope";
        char text[TEXT_MAX];
        struct kb_span path;
        struct statfs s;
        size_t size;

        return statfs("/sys/fs/cgroup", &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC &&
               read_text(1, text, &size) == 0 && find_path(KB_SPAN(text, size), &path) &&
               path.size == strlen(init) && memcmp(path.data, init, path.size) == 0;
}

static int ask_libsystemd(pid_t pid, char ret[static KB_UNIT_NAME_MAX + 1])
{
        _cleanup_free_ char *unit = NULL;
        int r = sd_pid_get_unit(pid, &unit);

        if (r < 0)
                return r;
        ret[0] = '\0';
        if (kb_name_unit_valid(unit))
                snprintf(ret, KB_UNIT_NAME_MAX + 1, "%s", unit);
        return 0;
}

int kb_cgroup_unit(pid_t pid, char ret[static KB_UNIT_NAME_MAX + 1])
{
        static enum { UNKNOWN, OURS, THEIRS } layout; /* it stays as it is until the next boot */
        char text[TEXT_MAX];
        size_t size;
        int r;

        if (layout == UNKNOWN)
                layout = looks_like_ours() ? OURS : THEIRS;
        if (layout == THEIRS)
                return ask_libsystemd(pid, ret);
        r = read_text(pid, text, &size);
        return r < 0 ? r : kb_cgroup_parse(KB_SPAN(text, size), ret);
}
