/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void kb_strv_free(char **list)
{
        for (size_t i = 0; list && list[i]; i++)
                free(list[i]);
        free(list);
}

/* The group, and the path twice. */
#define CURE_READER "chgrp %s %s && chmod g=rX,o= %s"

static const char *kind_of(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "a folder";
        case S_IFIFO:
                return "a named pipe";
        case S_IFSOCK:
                return "a socket";
        case S_IFCHR:
        case S_IFBLK:
                return "a device";
        default:
                return "no regular file";
        }
}

/* Whether it can be read by those who have to, and by nobody else. */
static bool may_be_read(const struct stat *st, mode_t type, const struct kb_config_trust *trust)
{
        if (!trust->reader || type != S_IFREG)
                return true;
        return st->st_gid == trust->reader_gid && (st->st_mode & (S_IRGRP | S_IRWXO)) == S_IRGRP;
}

/* Whether what fd is may decide anything. type: S_IFREG or S_IFDIR. */
static int judge(int fd, mode_t type, const char *path, const struct kb_config_trust *trust,
                 struct kb_problems *problems, struct stat *ret)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_mode & S_IFMT) != type)
                kb_problems_add(problems, path, 0, "is %s, not a %s", kind_of(st.st_mode),
                                type == S_IFREG ? "file" : "folder");
        else if (st.st_uid != trust->owner)
                kb_problems_add(problems, path, 0, "belongs to uid %u, who could change it; chown %u %s",
                                (unsigned)st.st_uid, (unsigned)trust->owner, path);
        else if (st.st_mode & (S_IWGRP | S_IWOTH))
                kb_problems_add(problems, path, 0,
                                "is writable for more than its owner (mode %04o); chmod go-w %s",
                                (unsigned)(st.st_mode & 07777), path);
        else if (!may_be_read(&st, type, trust))
                kb_problems_add(
                        problems, path, 0,
                        "has to be for root and the group %s alone (gid %u, mode %04o); " CURE_READER,
                        trust->reader, (unsigned)st.st_gid, (unsigned)(st.st_mode & 07777), trust->reader,
                        path, path);
        else {
                *ret = st;
                return 0;
        }
        return -EBADMSG;
}

/* Opens path to be judged. O_NONBLOCK: a named pipe must not hold us up. */
static int open_unjudged(const char *path, const struct kb_config_trust *trust, struct kb_problems *problems)
{
        int fd, r;

        if (path[0] != '/') {
                kb_problems_add(problems, path, 0, "is not an absolute path");
                return -EBADMSG;
        }
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0 || errno == ENOENT)
                return fd >= 0 ? fd : -ENOENT;
        r = -errno;
        if (r == -ELOOP)
                kb_problems_add(problems, path, 0, "is a symbolic link; put the file itself there");
        else if (r == -EACCES && trust->reader)
                kb_problems_add(problems, path, 0, "cannot be opened: %s; " CURE_READER, strerror(-r),
                                trust->reader, path, path);
        else
                kb_problems_add(problems, path, 0, "cannot be opened: %s", strerror(-r));
        return -EBADMSG;
}

/* Up to KB_CONFIG_FILE_MAX + 1 bytes, so that too many show. */
static ssize_t read_bounded(int fd, char *to)
{
        size_t have = 0;

        while (have <= KB_CONFIG_FILE_MAX) {
                ssize_t n = read(fd, to + have, KB_CONFIG_FILE_MAX + 1 - have);

                if (n == 0)
                        break;
                if (n > 0)
                        have += (size_t)n;
                else if (errno != EINTR)
                        return -errno;
        }
        return (ssize_t)have;
}

int kb_config_file_read(const char *path, const struct kb_config_trust *trust, struct kb_problems *problems,
                        char **ret_bytes, size_t *ret_size)
{
        _cleanup_close_ int fd = open_unjudged(path, trust, problems);
        _cleanup_free_ char *bytes = NULL;
        struct stat st;
        ssize_t n;
        int r;

        if (fd < 0)
                return fd;
        r = judge(fd, S_IFREG, path, trust, problems, &st);
        if (r < 0)
                return r;
        bytes = malloc(KB_CONFIG_FILE_MAX + 2);
        if (!bytes)
                return -ENOMEM;
        n = st.st_size > KB_CONFIG_FILE_MAX ? st.st_size : read_bounded(fd, bytes);
        if (n < 0)
                kb_problems_add(problems, path, 0, "cannot be read: %s", strerror((int)-n));
        else if (n > KB_CONFIG_FILE_MAX)
                kb_problems_add(problems, path, 0, "is longer than %d KiB, which no file of settings is",
                                KB_CONFIG_FILE_MAX / 1024);
        if (n < 0 || n > KB_CONFIG_FILE_MAX)
                return -EBADMSG;
        bytes[n] = '\0';
        *ret_bytes = take_ptr(bytes);
        *ret_size = (size_t)n;
        return 0;
}

static bool is_conf(const char *name)
{
        size_t n = strlen(name);

        return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collect_names(DIR *dir, char ***ret_names)
{
        _cleanup_strv_ char **names = calloc(1, sizeof(*names));
        const struct dirent *entry;
        size_t n = 0;

        if (!names)
                return -ENOMEM;
        while ((entry = readdir(dir))) {
                char **grown;

                if (!is_conf(entry->d_name))
                        continue;
                grown = reallocarray(names, n + 2, sizeof(*names));
                if (!grown)
                        return -ENOMEM;
                names = grown;
                names[n] = strdup(entry->d_name);
                if (!names[n])
                        return -ENOMEM;
                names[++n] = NULL;
        }
        qsort(names, n, sizeof(*names), compare_names);
        *ret_names = take_ptr(names);
        return 0;
}

int kb_config_folder_list(const char *path, const struct kb_config_trust *trust,
                          struct kb_problems *problems, char ***ret_names)
{
        _cleanup_close_ int fd = open_unjudged(path, trust, problems);
        _cleanup_(kb_closedirp) DIR *dir = NULL;
        struct stat st;
        int r;

        if (fd == -ENOENT) {
                *ret_names = calloc(1, sizeof(**ret_names));
                return *ret_names ? 0 : -ENOMEM;
        }
        if (fd < 0)
                return fd;
        r = judge(fd, S_IFDIR, path, trust, problems, &st);
        if (r < 0)
                return r;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        take_fd(fd);
        return collect_names(dir, ret_names);
}
