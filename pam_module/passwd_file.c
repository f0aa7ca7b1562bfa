/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/passwd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define FILE_MAX ((off_t)64 << 20)

/* Where in a line we are. Lines may be of any length: nothing of them is kept. */
struct scan {
        const char *name;
        size_t matched; /* characters of name seen since the line began */
        enum { BEGINNING, MATCHING, SKIPPING } state;
};

/* True once the character completes "name:". White space before a name counts for nothing, as in glibc. */
static bool take(struct scan *s, char c)
{
        if (c == '\n') {
                s->state = BEGINNING;
                return false;
        }
        if (s->state == BEGINNING) {
                if (strchr(" \t\v\f\r", c) && c != '\0')
                        return false;
                s->state = MATCHING;
                s->matched = 0;
        }
        if (s->state == SKIPPING)
                return false;
        if (s->name[s->matched] == '\0' && c == ':')
                return true;
        if (s->name[s->matched] != '\0' && s->name[s->matched] == c)
                s->matched++;
        else
                s->state = SKIPPING;
        return false;
}

static int open_regular(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        return take_fd(fd);
}

int kb_passwd_file_has(const char *path, const char *name)
{
        struct scan scan = {.name = name, .state = BEGINNING};
        _cleanup_close_ int fd = -1;
        char buffer[4096];
        off_t total = 0;

        if (!name[0] || strchr(name, ':'))
                return -EINVAL;
        fd = open_regular(path);
        if (fd < 0)
                return fd;
        for (;;) {
                ssize_t n = read(fd, buffer, sizeof(buffer));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                for (ssize_t i = 0; i < n; i++)
                        if (take(&scan, buffer[i]))
                                return 1;
                total += n;
                if (total > FILE_MAX)
                        return -EFBIG;
        }
}
