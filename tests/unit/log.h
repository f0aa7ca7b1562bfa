/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A log of one's own for a test, and a disk that fails when told. */

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "helper/log/anchor.h"
#include "helper/log/commit.h"
#include "helper/log/files.h"
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#define T0 ((uint64_t)1700000000 * KB_USEC_PER_SEC)

/* The folder of a new, empty log. Valid until the next call. */
static char log_folder[256];
static char log_first_key[KB_FIRST_KEY_MAX];

static inline const char *fresh_log(void)
{
        static unsigned n;

        snprintf(log_folder, sizeof(log_folder), "%s/log%u", test_folder, n++);
        assert_ok(mkdir(log_folder, 0700));
        assert_ok(kb_log_create(log_folder, T0, log_first_key));
        return log_folder;
}

/* The whole of a file of the log, and how to put it back. */
static inline char *log_file(uint64_t first)
{
        static char path[512];
        char name[KB_LOG_NAME_MAX];

        kb_log_file_name(first, name);
        snprintf(path, sizeof(path), "%s/%s", log_folder, name);
        return path;
}

static inline size_t slurp(const char *path, uint8_t *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");

        assert_non_null(f);
        return fread(ret, 1, size, f);
}

static inline void spit(const char *path, const uint8_t *bytes, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, size, f), size);
}

/* Writes one event without a thread. */
static inline int commit_one(struct kb_commit *c, const struct kb_event *event)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
        struct kb_log_entry entry = {.event = event->id, .time = event->time};
        struct kb_event complete = *event;

        kb_event_complete(&complete);
        kb_event_put(&w, &complete);
        assert_ok(kb_writer_end(&w));
        entry.fields = KB_SPAN(w.data, w.size);
        return kb_commit_write(c, (struct kb_log_entry *[]){&entry}, 1);
}

static inline int commit_open(struct kb_commit *ret, const struct kb_log_options *options)
{
        struct kb_log_recovered found;
        struct kb_log_damage damage;

        return kb_commit_open(ret, log_folder, options, T0, &found, &damage);
}

#ifdef LOG_FAULTS
/* How calls of one kind fail: with `error`, after `good` more that work, `times` times. And how many there
 * were. */
struct fault {
        atomic_int error;
        atomic_int good;
        atomic_int times;
        atomic_int calls;
};
static struct fault fail_pwrite, fail_fdatasync, fail_fsync, fail_ftruncate, fail_renameat;
static atomic_int short_write; /* pwrite writes so many bytes, and the next one fails */
static atomic_bool read_only;  /* nothing can be opened for writing */

static inline void no_faults(void)
{
        struct fault *all[] = {&fail_pwrite, &fail_fdatasync, &fail_fsync, &fail_ftruncate, &fail_renameat};

        for (size_t i = 0; i < KB_ARRAY_SIZE(all); i++)
                all[i]->error = all[i]->good = all[i]->times = all[i]->calls = 0;
        short_write = 0;
        read_only = false;
}

static inline int faulty(struct fault *fault)
{
        fault->calls++;
        if (fault->error == 0 || fault->times == 0 || fault->good-- > 0)
                return 0;
        fault->times--;
        errno = fault->error;
        return -1;
}

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
        int n = atomic_exchange(&short_write, 0);

        if (n > 0)
                return __real_pwrite(fd, data, (size_t)n < size ? (size_t)n : size, offset);
        return faulty(&fail_pwrite) < 0 ? -1 : __real_pwrite(fd, data, size, offset);
}

int __real_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, mode_t mode);
int __wrap_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
        if (read_only && flags & (O_WRONLY | O_RDWR | O_CREAT)) {
                errno = EROFS;
                return -1;
        }
        return __real_openat(dir_fd, path, flags, mode);
}

/* What a fortified build calls when there is no mode. */
int __wrap___openat_2(int dir_fd, const char *path, int flags);
int __wrap___openat_2(int dir_fd, const char *path, int flags)
{
        return __wrap_openat(dir_fd, path, flags, 0);
}

#define WRAP(name, parameters, arguments)                                                                   \
        int __real_##name parameters;                                                                       \
        int __wrap_##name parameters;                                                                       \
        int __wrap_##name parameters                                                                        \
        {                                                                                                   \
                return faulty(&fail_##name) < 0 ? -1 : __real_##name arguments;                             \
        }
WRAP(fdatasync, (int fd), (fd))
WRAP(fsync, (int fd), (fd))
WRAP(ftruncate, (int fd, off_t size), (fd, size))
WRAP(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
#endif
