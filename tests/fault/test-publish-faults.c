/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing, with each of its system calls failing once: the consumer's files are then the old ones, whole,
 * and nothing half done is left beside them.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "helper/grant/publish.h"
#include "tests/unit/folder.h"

#define UNIT "orders.service"

/* The call that fails: which, the how-manieth of it, and how. */
static struct {
        const char *call;
        unsigned nth; /* counts down; 0: none fails any more */
        int error;    /* 0: a write that takes one byte only */
        bool met;
} fault;

static bool fails(const char *call)
{
        if (fault.nth == 0 || strcmp(fault.call, call) != 0 || --fault.nth > 0)
                return false;
        fault.met = true;
        errno = fault.error;
        return true;
}

#define WRAP(type, name, parameters, arguments, failure)                                                    \
        type __real_##name parameters;                                                                      \
        type __wrap_##name parameters;                                                                      \
        type __wrap_##name parameters                                                                       \
        {                                                                                                   \
                return fails(#name) ? (failure) : __real_##name arguments;                                  \
        }

WRAP(int, mkdirat, (int at, const char *name, mode_t mode), (at, name, mode), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), -1)
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), -1)
WRAP(int, symlinkat, (const char *to, int at, const char *name), (to, at, name), -1)
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), -1)
WRAP(DIR *, fdopendir, (int fd), (fd), NULL)
WRAP(ssize_t, readlinkat, (int at, const char *name, char *to, size_t size), (at, name, to, size), -1)

int __real_openat(int at, const char *name, int flags, ...);
int __wrap_openat(int at, const char *name, int flags, ...);
int __wrap_openat(int at, const char *name, int flags, ...)
{
        return fails("openat") ? -1 : __real_openat(at, name, flags, 0400);
}

WRAP(int, fchownat, (int at, const char *name, uid_t uid, gid_t gid, int flags), (at, name, uid, gid, flags),
     -1)
WRAP(int, fchmodat, (int at, const char *name, mode_t mode, int flags), (at, name, mode, flags), -1)
WRAP(int, unlinkat, (int at, const char *name, int flags), (at, name, flags), -1)

/* A descriptor is gone even when close(2) says that something went wrong. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
        int error = errno;

        if (!fails("close"))
                return __real_close(fd);
        error = errno;
        __real_close(fd);
        errno = error;
        return -1;
}

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
        if (!fails("write"))
                return __real_write(fd, bytes, size);
        return fault.error == 0 ? __real_write(fd, bytes, 1) : -1;
}

static int base = -1;

static int publish_pair(const char *user, const char *password)
{
        const struct kb_publish_file files[] = {
                {.name = "db.username", .value = KB_SPAN_STRING(user)},
                {.name = "db.password", .value = KB_SPAN_STRING(password)},
                {.name = "web", .carried = true},
        };

        return kb_publish(base, UNIT, files, 3, geteuid(), getegid());
}

/* Something that is carried over from then on. */
static int publish_web_too(void)
{
        const struct kb_publish_file files[] = {{.name = "web.key", .value = KB_SPAN("k", 1)}};

        return kb_publish(base, UNIT, files, 1, geteuid(), getegid());
}

static bool current_is(const char *expected)
{
        char got[100] = "";
        _cleanup_fclose_ FILE *f = fopen(in_folder(UNIT "/current/db.password"), "re");

        return access(in_folder(UNIT "/current/web.key"), F_OK) == 0 && f &&
               fread(got, 1, sizeof(got) - 1, f) == strlen(expected) && strcmp(got, expected) == 0;
}

/* Numbered folders; the link and its swap do not count. */
static unsigned count_folders(void)
{
        _cleanup_(kb_closedirp) DIR *d = opendir(in_folder(UNIT));
        struct dirent *entry;
        unsigned n = 0;

        assert_non_null(d);
        while ((entry = readdir(d)))
                n += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
        return n;
}

static void each_call_may_fail_and_the_old_values_stay_whole(void **state)
{
        static const struct {
                const char *call;
                int error;
        } table[] = {
                {"mkdirat", ENOSPC},   {"openat", EMFILE}, {"openat", EIO},     {"write", ENOSPC},
                {"write", EIO},        {"fchmod", EROFS},  {"fchown", EPERM},   {"close", EIO},
                {"symlinkat", ENOSPC}, {"renameat", EIO},  {"readlinkat", EIO}, {"fdopendir", ENOMEM},
        };
        unsigned failures = 0;

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (unsigned nth = 1;; nth++) {
                        int r;

                        assert_ok(kb_publish_remove(base, UNIT));
                        assert_ok(publish_web_too());
                        assert_ok(publish_pair("one", "old secret"));
                        fault.call = table[i].call;
                        fault.error = table[i].error;
                        fault.nth = nth;
                        fault.met = false;
                        r = publish_pair("two", "new secret");
                        fault.nth = 0;
                        if (!fault.met)
                                break;
                        if (r < 0) {
                                failures++;
                                assert_int_equal(r, -table[i].error);
                                assert_true(current_is("old secret"));
                                assert_in_range(count_folders(), 1, 2);
                        } else { /* it was about something that does not matter */
                                assert_true(current_is("new secret"));
                        }
                        assert_ok(publish_pair("three", "newest secret"));
                        assert_true(current_is("newest secret"));
                        assert_ok(kb_publish_settle(base, UNIT));
                        assert_int_equal(count_folders(), 1);
                }
        assert_in_range(failures, 20, 100);
}

static void short_and_interrupted_writes_go_on(void **state)
{
        static const int errors[] = {0, EINTR};

        for (size_t i = 0; i < KB_ARRAY_SIZE(errors); i++) {
                fault.call = "write";
                fault.error = errors[i];
                fault.met = false;
                assert_ok(publish_web_too());
                fault.nth = 2;
                assert_ok(publish_pair("one", "a secret"));
                assert_true(fault.met);
                assert_true(current_is("a secret"));
        }
}

static void a_folder_that_cannot_be_cleared_is_said_and_cleared_later(void **state)
{
        static const char *const calls[] = {"openat", "fdopendir", "fchownat", "fchmodat", "unlinkat"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(calls); i++) {
                assert_ok(publish_pair("one", "a secret"));
                fault.call = calls[i];
                fault.error = ENOMEM;
                fault.nth = 1;
                assert_int_equal(kb_publish_remove(base, UNIT), -ENOMEM);
                assert_ok(kb_publish_remove(base, UNIT));
        }
}

static int begin(void **state)
{
        base = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return base < 0 ? -1 : 0;
}

static int end(void **state)
{
        int r;

        fault.nth = 0;
        r = kb_publish_remove(base, UNIT);
        close(base);
        return r;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_call_may_fail_and_the_old_values_stay_whole, begin,
                                                end),
                cmocka_unit_test_setup_teardown(short_and_interrupted_writes_go_on, begin, end),
                cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_cleared_is_said_and_cleared_later,
                                                begin, end),
        };

        return cmocka_run_group_tests_name("publish-faults", tests, test_folder_make, test_folder_remove);
}
