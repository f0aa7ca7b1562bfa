/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"

#define CURRENT   "current"
#define SWAP      ".current"
#define DEPTH_MAX 64 /* of folders that a consumer may have nested in its own */

struct number {
        char text[24];
};

static struct number number_of(unsigned long long n)
{
        struct number number;

        snprintf(number.text, sizeof(number.text), "%llu", n);
        return number;
}

static bool name_valid(const char *name)
{
        return name && name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) <= NAME_MAX;
}

static int open_folder(int at, const char *name)
{
        int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* A stream of the folder's entries; leaves fd alone. */
static int open_entries(int fd, DIR **ret)
{
        int own = open_folder(fd, ".");
        DIR *d;

        if (own < 0)
                return own;
        d = fdopendir(own);
        if (!d) {
                close(own);
                return -ENOMEM;
        }
        *ret = d;
        return 0;
}

/* The next entry that is not "." or ".."; NULL at the end. */
static const char *next_entry(DIR *d)
{
        struct dirent *entry;

        while ((entry = readdir(d)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        return entry->d_name;
        return NULL;
}

static void keep_first(int *error, int r)
{
        if (*error == 0 && r < 0)
                *error = r;
}

/* --- removing --- */

static int remove_tree(int at, const char *name, unsigned depth);

static int remove_entries(int fd, unsigned depth)
{
        _cleanup_(kb_closedirp) DIR *d = NULL;
        const char *name;
        int error = 0, r;

        r = open_entries(fd, &d);
        if (r < 0)
                return r;
        while ((name = next_entry(d)))
                keep_first(&error, remove_tree(fd, name, depth));
        return error;
}

/* The folder `at` is ours alone, so nobody can exchange what a name in it stands for. */
static int take_back(int at, const char *name)
{
        if (fchownat(at, name, geteuid(), getegid(), AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (fchmodat(at, name, 0700, 0) < 0)
                return -errno;
        return open_folder(at, name);
}

static int remove_tree(int at, const char *name, unsigned depth)
{
        _cleanup_close_ int fd = -1;
        int error;

        if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return -errno;
        if (depth >= DEPTH_MAX)
                return -ELOOP;
        fd = take_back(at, name);
        if (fd < 0)
                return fd;
        error = remove_entries(fd, depth + 1);
        if (unlinkat(at, name, AT_REMOVEDIR) < 0)
                keep_first(&error, -errno);
        return error;
}

/* Whether a name is a number that is to stay. */
static bool is_kept(const char *name, struct kb_publish_keep keep)
{
        for (size_t i = 0; i < keep.n; i++)
                if (strcmp(name, number_of(keep.number[i]).text) == 0)
                        return true;
        return false;
}

/* Removes everything in NAME's folder but the link, these two and what is to stay; before may be "". */
static int remove_others(int fd, const char *current, const char *before, struct kb_publish_keep keep)
{
        _cleanup_(kb_closedirp) DIR *d = NULL;
        const char *name;
        int error = 0, r;

        r = open_entries(fd, &d);
        if (r < 0)
                return r;
        while ((name = next_entry(d)))
                if (strcmp(name, CURRENT) != 0 && strcmp(name, current) != 0 && strcmp(name, before) != 0 &&
                    !is_kept(name, keep))
                        keep_first(&error, remove_tree(fd, name, 0));
        return error;
}

/* --- writing --- */

/* The owner of a file may make it writable, and a ramfs has no size. */
static int write_file(int folder, const struct kb_publish_file *file, uid_t uid, gid_t gid)
{
        _cleanup_close_ int fd = -1;
        int r;

        if (!name_valid(file->name))
                return -EINVAL;
        fd = openat(folder, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
        if (fd < 0)
                return errno == EEXIST ? -EINVAL : -errno;
        r = kb_file_write_all(fd, file->value);
        if (r < 0)
                return r;
        if (fchmod(fd, uid == KB_PUBLISH_FOR_GROUP ? 0440 : 0400) < 0 || fchown(fd, uid, gid) < 0)
                return -errno;
        return close(take_fd(fd)) < 0 ? -errno : 0;
}

/* Whether a file is the credential's: NAME, or one of its fields, NAME.FIELD. */
static bool belongs_to(const char *file, const char *credential)
{
        size_t n = strlen(credential);

        return strncmp(file, credential, n) == 0 && (file[n] == '\0' || file[n] == '.');
}

/* The folder to carry from: a descriptor; -ENOENT: there is none; another negative errno. */
static int open_source(int at, const struct number *before, unsigned long long from)
{
        struct number number = from > 0 ? number_of(from) : *before;

        return number.text[0] ? open_folder(at, number.text) : -ENOENT;
}

/* What that folder has of this credential goes into this one too. */
static int carry_over(int at, int folder, const struct number *before, const struct kb_publish_file *file)
{
        _cleanup_close_ int source = -1;
        _cleanup_(kb_closedirp) DIR *d = NULL;
        const char *name;
        int r;

        if (!name_valid(file->name))
                return -EINVAL;
        source = open_source(at, before, file->from);
        if (source < 0)
                return source == -ENOENT && file->from == 0 ? 0 : source;
        r = open_entries(source, &d);
        if (r < 0)
                return r;
        while ((name = next_entry(d)))
                if (belongs_to(name, file->name) && linkat(source, name, folder, name, 0) < 0)
                        return errno == EEXIST ? -EINVAL : -errno;
        return 0;
}

/* The group may look into the folder only when it is complete. */
static int write_folder(int at, const char *number, const struct number *before,
                        const struct kb_publish_file *files, size_t n_files, uid_t uid, gid_t gid)
{
        _cleanup_close_ int fd = -1;
        int r;

        if (mkdirat(at, number, 0700) < 0 || fchmodat(at, number, 0700, 0) < 0) /* whatever the umask is */
                return -errno;
        fd = open_folder(at, number);
        if (fd < 0)
                return fd;
        for (size_t i = 0; i < n_files; i++) {
                r = files[i].carried ? carry_over(at, fd, before, &files[i])
                                     : write_file(fd, &files[i], uid, gid);
                if (r < 0)
                        return r;
        }
        return fchown(fd, geteuid(), gid) < 0 || fchmod(fd, 0750) < 0 ? -errno : 0;
}

static int swap(int at, const char *number)
{
        if (unlinkat(at, SWAP, 0) < 0 && errno != ENOENT)
                return -errno;
        if (symlinkat(number, at, SWAP) < 0 || renameat(at, SWAP, at, CURRENT) < 0)
                return -errno;
        return 0;
}

/* What the link names; empty when there is none. */
static int read_current(int at, struct number *ret)
{
        ssize_t n = readlinkat(at, CURRENT, ret->text, sizeof(ret->text) - 1);

        if (n < 0 && errno != ENOENT)
                return -errno;
        ret->text[n < 0 ? 0 : n] = '\0';
        return 0;
}

/* The greatest number that a folder has; 0 when there is none. */
static int greatest_number(int at, unsigned long long *ret)
{
        _cleanup_(kb_closedirp) DIR *d = NULL;
        unsigned long long greatest = 0;
        const char *name;
        int r;

        r = open_entries(at, &d);
        if (r < 0)
                return r;
        while ((name = next_entry(d))) {
                unsigned long long n = strtoull(name, NULL, 10);

                greatest = n > greatest ? n : greatest;
        }
        *ret = greatest;
        return 0;
}

/* NAME's folder, made when it is not there. */
static int open_named(int base_fd, const char *name)
{
        if (!name_valid(name))
                return -EINVAL;
        if (mkdirat(base_fd, name, 0755) < 0) {
                if (errno != EEXIST)
                        return -errno;
        } else if (fchmodat(base_fd, name, 0755, 0) < 0) /* whatever the umask is */
                return -errno;
        return open_folder(base_fd, name);
}

/* Writes the folder after all others, so that one that a crash left is never taken for it, and makes it
 * current. */
static int publish(int fd, const struct number *before, const struct kb_publish_file *files, size_t n_files,
                   uid_t uid, gid_t gid, struct kb_publish_keep keep)
{
        unsigned long long greatest;
        struct number number;
        int r;

        r = greatest_number(fd, &greatest);
        if (r < 0)
                return r;
        number = number_of(greatest + 1);
        r = write_folder(fd, number.text, before, files, n_files, uid, gid);
        if (r >= 0)
                r = swap(fd, number.text);
        if (r < 0)
                (void)remove_tree(fd, number.text, 0);
        else /* what stays is found by the next settling */
                (void)remove_others(fd, number.text, before->text, keep);
        return r;
}

int kb_publish_beside(int base_fd, const char *name, const struct kb_publish_file *files, size_t n_files,
                      uid_t uid, gid_t gid, struct kb_publish_keep keep)
{
        _cleanup_close_ int fd = open_named(base_fd, name);
        struct number before;
        int r;

        if (fd < 0)
                return fd;
        r = read_current(fd, &before);
        return r < 0 ? r : publish(fd, &before, files, n_files, uid, gid, keep);
}

int kb_publish(int base_fd, const char *name, const struct kb_publish_file *files, size_t n_files, uid_t uid,
               gid_t gid)
{
        return kb_publish_beside(base_fd, name, files, n_files, uid, gid, (struct kb_publish_keep){NULL, 0});
}

/* NAME's folder and what its link names. The folder is the caller's to close. */
static int open_current(int base_fd, const char *name, struct number *ret)
{
        _cleanup_close_ int fd = -1;
        int r;

        if (!name_valid(name))
                return -EINVAL;
        fd = open_folder(base_fd, name);
        if (fd < 0)
                return fd;
        r = read_current(fd, ret);
        return r < 0 ? r : take_fd(fd);
}

long long kb_publish_current(int base_fd, const char *name)
{
        struct number current;
        _cleanup_close_ int fd = open_current(base_fd, name, &current);

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        return strtoll(current.text, NULL, 10);
}

int kb_publish_settle_beside(int base_fd, const char *name, struct kb_publish_keep keep)
{
        struct number current;
        _cleanup_close_ int fd = open_current(base_fd, name, &current);

        return fd < 0 ? fd : remove_others(fd, current.text, "", keep);
}

int kb_publish_settle(int base_fd, const char *name)
{
        return kb_publish_settle_beside(base_fd, name, (struct kb_publish_keep){NULL, 0});
}

int kb_publish_remove(int base_fd, const char *name)
{
        return name_valid(name) ? remove_tree(base_fd, name, 0) : -EINVAL;
}

int kb_publish_has(int base_fd, const char *name, const char *credential)
{
        _cleanup_close_ int fd = -1, files = -1;
        _cleanup_(kb_closedirp) DIR *d = NULL;
        struct number current;
        const char *file;
        int r;

        if (!name_valid(name) || !name_valid(credential))
                return -EINVAL;
        fd = open_folder(base_fd, name);
        r = fd < 0 ? fd : read_current(fd, &current);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        files = current.text[0] ? open_folder(fd, current.text) : -ENOENT;
        r = files < 0 ? files : open_entries(files, &d);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        while ((file = next_entry(d)))
                if (belongs_to(file, credential))
                        return 1;
        return 0;
}

int kb_publish_clean(int base_fd, bool (*keep)(const char *name, void *userdata), void *userdata)
{
        _cleanup_(kb_closedirp) DIR *d = NULL;
        const char *name;
        int error = 0, r;

        r = open_entries(base_fd, &d);
        if (r < 0)
                return r;
        while ((name = next_entry(d)))
                if (name_valid(name) && keep(name, userdata))
                        keep_first(&error, kb_publish_settle(base_fd, name));
                else
                        keep_first(&error, remove_tree(base_fd, name, 0));
        return error;
}
