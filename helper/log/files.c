/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".kblog"
#define DIGITS 20 /* of UINT64_MAX */

void kb_log_file_name(uint64_t first, char ret[KB_LOG_NAME_MAX])
{
        snprintf(ret, KB_LOG_NAME_MAX, "%020" PRIu64 SUFFIX, first);
}

static bool parse_name(const char *name, uint64_t *ret)
{
        char again[KB_LOG_NAME_MAX];
        uint64_t first = 0;

        if (strlen(name) != DIGITS + strlen(SUFFIX) || strspn(name, "0123456789") != DIGITS)
                return false;
        for (int i = 0; i < DIGITS; i++)
                first = first * 10 + (uint64_t)(name[i] - '0');
        kb_log_file_name(first, again); /* an overflow does not come back as it went in */
        if (strcmp(name, again) != 0)
                return false;
        *ret = first;
        return true;
}

static int compare(const void *a, const void *b)
{
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

int kb_log_files_list(int dir_fd, struct kb_log_files *ret)
{
        _cleanup_(kb_closedirp) DIR *dir = NULL;
        _cleanup_close_ int fd = -1;
        _cleanup_log_files_ struct kb_log_files files = {};
        struct dirent *de;

        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        take_fd(fd);
        while ((errno = 0, de = readdir(dir))) {
                uint64_t first, *more;

                if (!parse_name(de->d_name, &first))
                        continue;
                more = reallocarray(files.first, files.n + 1, sizeof(*more));
                if (!more)
                        return -ENOMEM;
                files.first = more;
                files.first[files.n++] = first;
        }
        if (errno > 0)
                return -errno;
        if (files.n > 0)
                qsort(files.first, files.n, sizeof(*files.first), compare);
        *ret = files;
        files = (struct kb_log_files){};
        return 0;
}

void kb_log_files_done(struct kb_log_files *files)
{
        free(files->first);
        *files = (struct kb_log_files){};
}

size_t kb_log_files_find(const struct kb_log_files *files, uint64_t sequence)
{
        size_t i = 0;

        while (i + 1 < files->n && files->first[i + 1] <= sequence)
                i++;
        return i;
}

int kb_log_file_open(int dir_fd, uint64_t first, int flags)
{
        char name[KB_LOG_NAME_MAX];
        int fd;

        kb_log_file_name(first, name);
        fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

int kb_log_write_at(int fd, struct kb_span bytes, uint64_t offset)
{
        while (bytes.size > 0) {
                ssize_t n = pwrite(fd, bytes.data, bytes.size, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                bytes.data += n;
                bytes.size -= (size_t)n;
                offset += (uint64_t)n;
        }
        return 0;
}

int kb_log_write_whole(int dir_fd, const char *name, struct kb_span content)
{
        _cleanup_close_ int fd = -1;
        char temporary[KB_LOG_NAME_MAX + 8];
        int r;

        snprintf(temporary, sizeof(temporary), "%s.new", name);
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = kb_log_write_at(fd, content, 0);
        if (r == 0 && (fsync(fd) < 0 || renameat(dir_fd, temporary, dir_fd, name) < 0))
                r = -errno;
        if (r < 0) {
                unlinkat(dir_fd, temporary, 0);
                return r;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}

int kb_log_read_whole(int dir_fd, const char *name, void *ret, size_t size)
{
        _cleanup_close_ int fd = -1;
        _cleanup_secret_ uint8_t *buffer = NULL;
        ssize_t n;

        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        buffer = kb_secret_alloc(size + 1);
        if (!buffer)
                return -ENOMEM;
        n = pread(fd, buffer, size + 1, 0);
        if (n < 0)
                return -errno;
        if ((size_t)n != size)
                return -EBADMSG;
        memcpy(ret, buffer, size);
        return 0;
}
