/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/login_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void kb_login_file_done(struct kb_login_file *file)
{
        kb_secret_free(file->bytes);
        *file = (struct kb_login_file){0};
}

static enum kb_error judge(const struct stat *st, const char *path, unsigned flags, const char *what,
                           struct kb_problem *problem)
{
        mode_t mode = st->st_mode;

        if (!S_ISREG(mode))
                return kb_problem(problem, KB_E_DENIED, "%s is expected in %s, which is no regular file",
                                  what, path);
        if (st->st_uid != 0 && st->st_uid != geteuid())
                return kb_problem(problem, KB_E_DENIED,
                                  "%s in %s belongs to uid %u, who could change it: chown root %s", what,
                                  path, (unsigned)st->st_uid, path);
        if (mode & (S_IWGRP | S_IWOTH))
                return kb_problem(problem, KB_E_DENIED,
                                  "%s in %s is writable for more than its owner (mode %04o): chmod go-w %s",
                                  what, path, (unsigned)(mode & 07777), path);
        if ((mode & S_IROTH) && !(flags & KB_LOGIN_FILE_OPEN))
                return kb_problem(problem, KB_E_DENIED,
                                  "%s in %s is readable for everybody (mode %04o): chmod o= %s", what, path,
                                  (unsigned)(mode & 07777), path);
        if ((mode & S_IRGRP) && !(flags & KB_LOGIN_FILE_OPEN) && st->st_gid != 0 && st->st_gid != getegid())
                return kb_problem(problem, KB_E_DENIED,
                                  "%s in %s is readable for the group with gid %u: chmod g= %s", what, path,
                                  (unsigned)st->st_gid, path);
        if (st->st_size > KB_LOGIN_FILE_MAX)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%s has more than %d bytes: it cannot be %s",
                                  path, KB_LOGIN_FILE_MAX, what);
        return KB_E_OK;
}

/* KB_LOGIN_FILE_MAX bytes at most, of a file that may change under us. */
static ssize_t read_all(int fd, uint8_t *to)
{
        size_t size = 0;

        for (;;) {
                ssize_t n = read(fd, to + size, KB_LOGIN_FILE_MAX + 1 - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                size += (size_t)n;
                if (n == 0 || size > KB_LOGIN_FILE_MAX)
                        return (ssize_t)size;
        }
}

static bool is_space(uint8_t c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes off the white space around. False when what is left is none of what a login is made of. */
static bool trim(uint8_t *bytes, size_t *size)
{
        size_t begin = 0, end = *size;

        while (begin < end && is_space(bytes[begin]))
                begin++;
        while (end > begin && is_space(bytes[end - 1]))
                end--;
        for (size_t i = begin; i < end; i++)
                if (bytes[i] <= ' ' || bytes[i] > '~')
                        return false;
        memmove(bytes, bytes + begin, end - begin);
        bytes[end - begin] = '\0';
        *size = end - begin;
        return *size > 0;
}

enum kb_error kb_login_file_read(const char *path, unsigned flags, const char *what,
                                 struct kb_login_file *ret, struct kb_problem *problem)
{
        _cleanup_secret_ uint8_t *bytes = kb_secret_alloc(KB_LOGIN_FILE_MAX + 2);
        _cleanup_close_ int fd = -1;
        enum kb_error error;
        size_t size;
        struct stat st;
        ssize_t n;

        if (!bytes)
                return kb_problem(problem, KB_E_BUSY, "memory is out");
        /* O_NONBLOCK: a named pipe must not hold us up. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                                (flags & KB_LOGIN_FILE_LINK ? 0 : O_NOFOLLOW));
        if (fd < 0 && errno == ENOENT)
                return kb_problem(problem, KB_E_NOT_FOUND, "%s is missing: it is expected in %s", what,
                                  path);
        if (fd < 0 && errno == ELOOP)
                return kb_problem(problem, KB_E_DENIED,
                                  "%s is a symbolic link: put the file with %s itself there", path, what);
        if (fd < 0 || fstat(fd, &st) < 0)
                return kb_problem(problem, KB_E_DENIED, "%s in %s cannot be opened: %s", what, path,
                                  strerror(errno));
        error = judge(&st, path, flags, what, problem);
        if (error != KB_E_OK)
                return error;
        n = read_all(fd, bytes);
        if (n < 0)
                return kb_problem(problem, KB_E_DENIED, "%s in %s cannot be read: %s", what, path,
                                  strerror((int)-n));
        size = (size_t)n;
        if (n > KB_LOGIN_FILE_MAX || !trim(bytes, &size))
                return kb_problem(
                        problem, KB_E_BAD_REQUEST,
                        "what %s holds cannot be %s: it is empty, longer than %d bytes, or not of one "
                        "word",
                        path, what, KB_LOGIN_FILE_MAX);
        *ret = (struct kb_login_file){take_ptr(bytes), size, st.st_dev, st.st_ino, st.st_mtim};
        return KB_E_OK;
}

int kb_login_file_remove(const char *path, const struct kb_login_file *file)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (st.st_dev != file->dev || st.st_ino != file->ino || st.st_mtim.tv_sec != file->changed.tv_sec ||
            st.st_mtim.tv_nsec != file->changed.tv_nsec)
                return 0;
        return unlink(path) < 0 ? -errno : 0;
}
