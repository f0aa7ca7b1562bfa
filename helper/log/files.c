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
