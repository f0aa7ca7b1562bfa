/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading, publishing and reading names, with each of their system calls and allocations failing once: what
 * was there before is there still, nothing is lost on the way, and the next try works.
 */
#include "tests/unit/directory.h"
#include "tests/unit/folder.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "directory/nss_publish.h"
#include "directory/nss_reader.h"

/* The call that fails: which, the how-manieth of it, and how. */
static struct {
        const char *call;
        unsigned nth; /* counts down; 0: none fails any more */
        int error;
} fault;

static bool fails(const char *call)
{
        if (fault.nth == 0 || strcmp(fault.call, call) != 0 || --fault.nth > 0)
                return false;
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

WRAP(int, flock, (int fd, int operation), (fd, operation), -1)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), -1)
WRAP(int, fsync, (int fd), (fd), -1)
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), -1)
WRAP(int, unlinkat, (int at, const char *name, int flags), (at, name, flags), -1)
WRAP(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size), -1)
WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(char *, strdup, (const char *s), (s), NULL)
WRAP(void *, mmap, (void *at, size_t size, int protection, int flags, int fd, off_t offset),
     (at, size, protection, flags, fd, offset), MAP_FAILED)

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...)
{
        return fails("open") ? -1 : __real_open(name, flags, 0600);
}

int __real_openat(int at, const char *name, int flags, ...);
int __wrap_openat(int at, const char *name, int flags, ...);
int __wrap_openat(int at, const char *name, int flags, ...)
{
        return fails("openat") ? -1 : __real_openat(at, name, flags, 0644);
}

static void set_fault(const char *call, unsigned nth, int error)
{
        fault.call = call;
        fault.nth = nth;
        fault.error = error;
}

/* Whether the fault was met; none is left after it. */
static bool fault_was_met(void)
{
        bool met = fault.nth == 0;

        fault.nth = 0;
        return met;
}

/* --- */

static const struct item before[] = {{KB_RECORD_person, "ana", 70001}, {}};
static const struct item after[] = {
        {KB_RECORD_person, "ana", 70002},
        {KB_RECORD_person, "ben", 70003},
        {KB_RECORD_group, "dba", 80001, .list = "ana ben"},
        {KB_RECORD_rule, "all", .list = "@dba"},
        {},
};

static int folder_fd = -1;

static int make_folder(void **state)
{
        if (test_folder_make(state) < 0)
                return -1;
        folder_fd = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return folder_fd < 0 ? -1 : 0;
}

static int load_with(struct kb_directory **ret, const struct item *items, const struct kb_files_db *files)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        struct kb_directory_options options = {.range = TEST_RANGE, .files = files};
        struct kb_refused refused;
        struct {
                const char *call;
                unsigned nth;
        } wished = {fault.call, fault.nth};

        fault.nth = 0; /* not while the document is being made */
        add_items(&w, items);
        set_fault(wished.call, wished.nth, ENOMEM);
        return kb_directory_load(ret, KB_SPAN(w.data, w.size), &options, &refused);
}

static void publish(const struct item *items)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;

        assert_ok(load_with(&d, items, NULL));
        assert_ok(kb_nss_publish(folder_fd, d));
}

static uint32_t uid_of_ana(void)
{
        static struct kb_nss nss;
        uint32_t uid = 0;

        for (unsigned i = 0; i < KB_NSS_SLOTS; i++)
                if (nss.slots[i].view.file.data)
                        munmap((void *)nss.slots[i].view.file.data, nss.slots[i].view.file.size);
        nss = (struct kb_nss)KB_NSS_INIT(test_folder);
        assert_int_equal(kb_nss_find_user(&nss, "ana", &uid), 1);
        return uid;
}

/* --- memory --- */

static void without_memory_nothing_is_loaded(void **state)
{
        static const char *const calls[] = {"malloc", "calloc"};
        _cleanup_(kb_files_db_freep) struct kb_files_db *files = NULL;
        unsigned failures = 0;

        assert_ok(kb_files_db_load(&files, "/etc/passwd", "/etc/group"));
        for (size_t c = 0; c < KB_ARRAY_SIZE(calls); c++)
                for (unsigned nth = 1;; nth++) {
                        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
                        int r;

                        set_fault(calls[c], nth, ENOMEM);
                        r = load_with(&d, after, files);
                        if (!fault_was_met()) {
                                assert_ok(r);
                                break;
                        }
                        assert_int_equal(r, -ENOMEM);
                        assert_null(d);
                        failures++;
                }
        assert_true(failures >= 11);
}

static void without_memory_a_document_is_not_made(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);

        set_fault("calloc", 1, ENOMEM);
        add_person(&w, &after[0]);
        assert_true(fault_was_met());
        assert_int_equal(kb_writer_end(&w), -EMSGSIZE);
}

static void the_hosts_files_are_read_whole_or_not_at_all(void **state)
{
        static const struct {
                const char *call;
                int error;
        } table[] = {{"malloc", ENOMEM}, {"calloc", ENOMEM}, {"strdup", ENOMEM},
                     {"open", EMFILE},   {"fstat", EIO},     {"read", EIO}};
        unsigned failures = 0;

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (unsigned nth = 1;; nth++) {
                        _cleanup_(kb_files_db_freep) struct kb_files_db *files = NULL;
                        int r;

                        set_fault(table[i].call, nth, table[i].error);
                        r = kb_files_db_load(&files, "/etc/passwd", "/nonexistent");
                        if (!fault_was_met()) {
                                assert_ok(r);
                                break;
                        }
                        assert_int_equal(r, -table[i].error);
                        assert_null(files);
                        failures++;
                }
        assert_true(failures >= KB_ARRAY_SIZE(table));
}

static void a_read_that_a_signal_interrupts_goes_on(void **state)
{
        _cleanup_(kb_files_db_freep) struct kb_files_db *files = NULL;

        set_fault("read", 1, EINTR);
        assert_ok(kb_files_db_load(&files, "/etc/passwd", "/etc/group"));
        assert_true(fault_was_met());
        assert_true(kb_files_db_has_name(files, "root"));
}

/* --- publishing --- */

static void each_call_of_publishing_may_fail_and_it_works_the_next_time(void **state)
{
        static const struct {
                const char *call;
                int error;
        } table[] = {
                {"openat", EMFILE}, {"flock", ENOLCK},  {"fstat", EIO}, {"fchmod", EROFS},
                {"mmap", ENOMEM},   {"calloc", ENOMEM}, {"fsync", EIO}, {"renameat", EIO},
        };
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;

        assert_ok(load_with(&d, after, NULL));
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (unsigned nth = 1;; nth++) {
                        int r;

                        publish(before);
                        set_fault(table[i].call, nth, table[i].error);
                        r = kb_nss_publish(folder_fd, d);
                        if (!fault_was_met()) {
                                assert_ok(r);
                                assert_int_equal(uid_of_ana(), 70002);
                                break;
                        }
                        assert_int_equal(r, -table[i].error);
                        if (strcmp(table[i].call, "fsync") != 0 ||
                            nth == 1) /* the second is that of the folder */
                                assert_int_equal(uid_of_ana(), 70001);
                }
}

static void a_generation_that_cannot_be_made_or_replaced_is_an_error(void **state)
{
        uint64_t number = KB_NSS_RETIRED;
        int fd;

        publish(before);
        fd = openat(folder_fd, KB_NSS_GENERATION_FILE, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
        close(fd);
        set_fault("unlinkat", 1, EACCES);
        assert_int_equal(kb_nss_publish_empty(folder_fd, TEST_RANGE), -EACCES);
        assert_int_equal(unlinkat(folder_fd, KB_NSS_GENERATION_FILE, 0), 0);
        set_fault("ftruncate", 1, ENOSPC);
        assert_int_equal(kb_nss_publish_empty(folder_fd, TEST_RANGE), -ENOSPC);
        publish(before);
        assert_int_equal(uid_of_ana(), 70001);
}

/* --- reading --- */

static int pins(const struct kb_nss *nss)
{
        int sum = 0;

        for (unsigned i = 0; i < KB_NSS_SLOTS; i++)
                sum += atomic_load(&nss->slots[i].pins);
        return sum;
}

static void each_call_of_reading_may_fail_and_no_slot_is_lost(void **state)
{
        static const struct {
                const char *call;
                int error;
        } table[] = {{"open", EACCES}, {"fstat", EIO}, {"mmap", EACCES}};

        publish(before);
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (unsigned nth = 1;; nth++) {
                        struct kb_nss nss = KB_NSS_INIT(test_folder);
                        uint32_t uid = 0;
                        int r;

                        set_fault(table[i].call, nth, table[i].error);
                        r = kb_nss_find_user(&nss, "ana", &uid);
                        if (!fault_was_met()) {
                                assert_int_equal(r, 1);
                                break;
                        }
                        assert_int_equal(r, -table[i].error);
                        assert_int_equal(pins(&nss), 0);
                        assert_int_equal(kb_nss_find_user(&nss, "ana", &uid), 1);
                        assert_int_equal(pins(&nss), 1);
                }
}

static void a_refusal_after_a_change_leaves_the_older_mapping_alone_and_unused(void **state)
{
        struct kb_nss nss = KB_NSS_INIT(test_folder);
        uint32_t uid = 0;

        publish(before);
        assert_int_equal(kb_nss_find_user(&nss, "ana", &uid), 1);
        publish(after);
        set_fault("open", 1, EACCES);
        assert_int_equal(kb_nss_find_user(&nss, "ana", &uid), -EACCES);
        assert_int_equal(pins(&nss), 1);
        assert_int_equal(kb_nss_find_user(&nss, "ana", &uid), 1);
        assert_int_equal(uid, 70002);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_memory_nothing_is_loaded),
                cmocka_unit_test(without_memory_a_document_is_not_made),
                cmocka_unit_test(the_hosts_files_are_read_whole_or_not_at_all),
                cmocka_unit_test(a_read_that_a_signal_interrupts_goes_on),
                cmocka_unit_test(each_call_of_publishing_may_fail_and_it_works_the_next_time),
                cmocka_unit_test(a_generation_that_cannot_be_made_or_replaced_is_an_error),
                cmocka_unit_test(each_call_of_reading_may_fail_and_no_slot_is_lost),
                cmocka_unit_test(a_refusal_after_a_change_leaves_the_older_mapping_alone_and_unused),
        };

        return cmocka_run_group_tests_name("directory-faults", tests, make_folder, test_folder_remove);
}
