/* SPDX-License-Identifier: Apache-2.0 */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int kb_file_write_all(int fd, struct kb_span bytes)
{
        while (bytes.size > 0) {
                ssize_t n = write(fd, bytes.data, bytes.size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                bytes = KB_SPAN(bytes.data + n, bytes.size - (size_t)n);
        }
        return 0;
}

int kb_file_pwrite_all(int fd, struct kb_span bytes, uint64_t offset)
{
        while (bytes.size > 0) {
                ssize_t n = pwrite(fd, bytes.data, bytes.size, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                bytes = KB_SPAN(bytes.data + n, bytes.size - (size_t)n);
                offset += (uint64_t)n;
        }
        return 0;
}

static int write_new(int folder_fd, const char *name, struct kb_span content, mode_t mode)
{
        _cleanup_close_ int fd = -1;
        int r;

        if (unlinkat(folder_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = kb_file_pwrite_all(fd, content, 0);
        if (r < 0)
                return r;
        return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int kb_file_write_at(int folder_fd, const char *name, struct kb_span content, mode_t mode)
{
        char temporary[NAME_MAX + 1];
        int r;

        if (snprintf(temporary, sizeof(temporary), "%s.new", name) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;
        r = write_new(folder_fd, temporary, content, mode);
        if (r >= 0 && renameat(folder_fd, temporary, folder_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                unlinkat(folder_fd, temporary, 0);
                return r;
        }
        return fsync(folder_fd) < 0 ? -errno : 0;
}

int kb_file_read_at(int folder_fd, const char *name, size_t max, uint8_t **ret, size_t *ret_size)
{
        _cleanup_close_ int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_secret_ uint8_t *data = NULL;
        size_t have = 0;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if ((uint64_t)st.st_size > max)
                return -EFBIG;
        data = kb_secret_alloc((size_t)st.st_size);
        if (!data)
                return -ENOMEM;
        while (have < (size_t)st.st_size) {
                ssize_t n = read(fd, data + have, (size_t)st.st_size - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break; /* it was cut meanwhile: what is there is what there is */
                have += (size_t)n;
        }
        *ret_size = have;
        *ret = take_ptr(data);
        return 0;
}

int kb_file_read_exactly_at(int folder_fd, const char *name, void *ret, size_t size)
{
        _cleanup_secret_ uint8_t *data = NULL;
        size_t have = 0;
        int r = kb_file_read_at(folder_fd, name, size, &data, &have);

        if (r == -EFBIG || (r >= 0 && have != size))
                return -EBADMSG;
        if (r >= 0)
                memcpy(ret, data, size);
        return r;
}
