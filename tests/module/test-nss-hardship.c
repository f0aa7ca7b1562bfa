/* SPDX-License-Identifier: Apache-2.0 */
/* The module inside programs that thread, fork, confine themselves or close everything, and over damaged
 * files. */
#include "tests/module/nss-fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const struct item first[] = {
        {KB_RECORD_person, "ana", 70001, .full_name = "first"},
        {KB_RECORD_person, "ben", 70005},
        {KB_RECORD_group, "dba", 80001, .list = "ana"},
        {},
};

static const struct item second[] = {
        {KB_RECORD_person, "abe", 70009},
        {KB_RECORD_person, "ana", 70002, .full_name = "second"},
        {KB_RECORD_person, "ben", 70005},
        {KB_RECORD_group, "dba", 80002, .list = "ana ben"},
        {KB_RECORD_group, "zoo", 80003, .list = "ana"},
        {},
};

/* The uid of ana if everything said about her is of one directory, 0 if it is not. */
static uid_t consistent(void)
{
        struct passwd pwd;
        char buffer[256];
        int error = 0;

        if (module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error) != NSS_STATUS_SUCCESS)
                return 0;
        return strcmp(pwd.pw_gecos, pwd.pw_uid == 70001 ? "first" : "second") == 0 ? pwd.pw_uid : 0;
}

static int exit_status_of(pid_t child)
{
        int status;

        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* --- no system call --- */

/* From here on this process may do one thing only: end. */
static int forbid_system_calls(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        };
        struct sock_fprog program = {KB_ARRAY_SIZE(filter), filter};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Every kind of look-up, found and not. */
static bool look_everything_up(void)
{
        gid_t own[16], *groups = own;
        long start = 0, size = 16;
        struct passwd pwd;
        struct group grp;
        char buffer[1024];
        int error, hits = 0, misses = 0;

        hits += module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS;
        hits += module.getpwuid(70005, &pwd, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS;
        hits += module.getgrnam("dba", &grp, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS;
        hits += module.getgrgid(70005, &grp, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS;
        hits += module.initgroups("ana", 1, &start, &size, &groups, 0, &error) == NSS_STATUS_SUCCESS;
        hits += module.setpwent(0) == NSS_STATUS_SUCCESS;
        hits += module.getpwent(&pwd, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS;
        hits += module.endpwent() == NSS_STATUS_SUCCESS;
        hits += module.setgrent(0) == NSS_STATUS_SUCCESS;
        hits += module.getgrent(&grp, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS;
        hits += module.endgrent() == NSS_STATUS_SUCCESS;
        misses += module.getpwnam("nobody", &pwd, buffer, sizeof(buffer), &error) == NSS_STATUS_NOTFOUND;
        misses += module.getpwuid(0, &pwd, buffer, sizeof(buffer), &error) == NSS_STATUS_NOTFOUND;
        misses += module.getgrnam("nobody", &grp, buffer, sizeof(buffer), &error) == NSS_STATUS_NOTFOUND;
        misses += module.getgrgid(0, &grp, buffer, sizeof(buffer), &error) == NSS_STATUS_NOTFOUND;
        misses += module.initgroups("nobody", 1, &start, &size, &groups, 0, &error) == NSS_STATUS_NOTFOUND;
        return hits == 11 && misses == 5;
}

/* warm: whether the names are mapped already when system calls become forbidden. */
static int confined_child(bool warm)
{
        pid_t child = fork();

        if (child == 0) {
                if (warm && !look_everything_up())
                        _exit(2);
                if (forbid_system_calls() < 0)
                        _exit(77);
                for (unsigned i = 0; i < 1000; i++)
                        if (!look_everything_up())
                                syscall(SYS_exit_group, 3);
                syscall(SYS_exit_group, 0);
        }
        return exit_status_of(child);
}

static void a_look_up_makes_no_system_call(void **state)
{
        int status;

        publish(first);
        status = confined_child(true);
        if (status == 77)
                skip();
        assert_int_equal(status, 0);
}

static void the_first_look_up_after_a_change_does_and_is_caught(void **state)
{
        int status;

        publish(first);
        status = confined_child(false);
        if (status == 77)
                skip();
        assert_int_equal(status, -SIGSYS);
}

/* --- threads and forks --- */

static atomic_bool stop;
static atomic_uint wrong, rounds;

static void *look_up_until_stopped(void *unused)
{
        while (!atomic_load(&stop)) {
                if (consistent() == 0)
                        atomic_fetch_add(&wrong, 1);
                atomic_fetch_add(&rounds, 1);
        }
        return NULL;
}

/*
 * A child sees what was published last, whatever the threads of its parent were doing; only where the fork
 * found each of them in the middle of a change no slot is left, and the child stays with the names before
 * (nss_reader.c). Returns whether it did.
 */
static bool fork_and_look_up(uid_t expected)
{
        pid_t child = fork();
        uid_t uid = expected;
        int status;

        if (child == 0) {
                for (unsigned i = 0; i < 100 && uid == expected; i++)
                        uid = consistent();
                _exit(uid == expected ? 0 : uid != 0 ? 1 : 2);
        }
        status = exit_status_of(child);
        assert_in_range(status, 0, 1);
        return status == 1;
}

static void threads_and_forks_see_one_directory_or_the_other_while_it_changes(void **state)
{
        unsigned late = 0;
        pthread_t threads[4];

        publish(first);
        atomic_store(&stop, false);
        for (size_t i = 0; i < KB_ARRAY_SIZE(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, look_up_until_stopped, NULL), 0);
        for (unsigned i = 0; i < 200; i++) {
                publish(i % 2 ? first : second);
                if (i % 10 == 0)
                        late += fork_and_look_up(i % 2 ? 70001 : 70002);
        }
        atomic_store(&stop, true);
        for (size_t i = 0; i < KB_ARRAY_SIZE(threads); i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(wrong, 0);
        assert_true(rounds > 200);
        assert_true(late <= 3); /* of 20 */
}

/* The number alone is raised, as fast as can be, so that every look-up maps anew and unmaps what others
 * leave. */
static void threads_that_map_and_unmap_all_the_time_read_nothing_that_is_gone(void **state)
{
        _Atomic uint64_t *generation;
        pthread_t threads[8];
        int fd;

        publish(first);
        fd = openat(folder_fd, KB_NSS_GENERATION_FILE, O_RDWR | O_CLOEXEC);
        generation = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(generation != MAP_FAILED);
        close(fd);
        atomic_store(&stop, false);
        atomic_store(&rounds, 0);
        for (size_t i = 0; i < KB_ARRAY_SIZE(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, look_up_until_stopped, NULL), 0);
        while (atomic_load(&rounds) < 100000)
                atomic_fetch_add(generation, 1);
        atomic_store(&stop, true);
        for (size_t i = 0; i < KB_ARRAY_SIZE(threads); i++)
                pthread_join(threads[i], NULL);
        munmap((void *)generation, 8);
        assert_int_equal(wrong, 0);
}

/* --- programs that close or confine themselves --- */

static void a_program_without_any_descriptor_is_served(void **state)
{
        pid_t child;

        publish(first);
        child = fork();
        if (child == 0) {
                for (int fd = 0; fd < 1024; fd++)
                        close(fd);
                if (consistent() != 70001)
                        _exit(1);
                for (int fd = 0; fd < 1024; fd++)
                        if (fcntl(fd, F_GETFD) >= 0)
                                _exit(2);
                _exit(0);
        }
        assert_int_equal(exit_status_of(child), 0);
}

static void in_a_chroot_the_mapping_serves_and_then_nothing_can_be_told(void **state)
{
        struct passwd pwd;
        char buffer[256];
        int error = 0;
        pid_t child;

        if (geteuid() != 0)
                skip();
        publish(first);
        child = fork();
        if (child == 0) {
                if (consistent() != 70001 || chroot("/proc") < 0 || chdir("/") < 0)
                        _exit(1);
                if (consistent() != 70001)
                        _exit(2);
                publish(second); /* through the descriptor of the folder */
                if (module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error) != NSS_STATUS_UNAVAIL)
                        _exit(3);
                _exit(0);
        }
        assert_int_equal(exit_status_of(child), 0);
}

/* --- damage --- */

static void put_byte(int fd, off_t at, uint8_t byte)
{
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* The file is changed under the mapping, where one byte at a time is all that a look-up sees wrong. */
static void any_damaged_byte_is_survived(void **state)
{
        unsigned right = 0, damaged = 0;
        struct passwd pwd;
        char buffer[256];
        int error = 0, fd;
        uint8_t byte;

        publish(first);
        fd = openat(folder_fd, KB_NSS_USERS_FILE, O_RDWR | O_CLOEXEC);
        assert_true(look_everything_up());
        for (off_t at = 0; pread(fd, &byte, 1, at) == 1; at++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        put_byte(fd, at, byte ^ (uint8_t)(1 << bit));
                        right += look_everything_up();
                        damaged += module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error) ==
                                   NSS_STATUS_UNAVAIL;
                        put_byte(fd, at, byte);
                }
        close(fd);
        assert_true(right > 0 && damaged > 0);
        assert_true(look_everything_up());
}

/* Where section's first element lies in the file. */
static off_t section_at(int fd, enum kb_nss_section section)
{
        uint8_t at[4];

        assert_int_equal(pread(fd, at, 4, KB_NSS_AT_SECTIONS + 8 * section), 4);
        return at[0] | at[1] << 8 | at[2] << 16;
}

static void damaged_members_and_groups_are_none_rather_than_some(void **state)
{
        long start = 1, size = 1;
        _cleanup_free_ gid_t *groups = calloc(1, sizeof(gid_t));
        struct group grp = {};
        char buffer[256];
        int error = 0, fd;

        publish(second);
        fd = openat(folder_fd, KB_NSS_USERS_FILE, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        put_byte(fd, section_at(fd, KB_NSS_MEMBERS) + 2, 0x70);
        assert_int_equal(module.getgrnam("dba", &grp, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(error, EIO);
        assert_null(grp.gr_name);
        put_byte(fd, section_at(fd, KB_NSS_GIDS) + 4 + 2, 0); /* the second is one of the system now */
        assert_int_equal(module.initgroups("ana", 70002, &start, &size, &groups, 0, &error),
                         NSS_STATUS_UNAVAIL);
        assert_int_equal(start, 1);
        close(fd);
}

/* An id of root's in the file, with everything else right: nobody gets it. */
static void an_id_outside_the_range_is_never_handed_out(void **state)
{
        struct passwd pwd;
        char buffer[256];
        int error = 0, fd;

        publish(first);
        fd = openat(folder_fd, KB_NSS_USERS_FILE, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        for (unsigned i = 0; i < 4; i++)
                put_byte(fd, section_at(fd, KB_NSS_USERS) + i, 0);
        assert_int_equal(module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(module.getpwuid(0, &pwd, buffer, sizeof(buffer), &error), NSS_STATUS_NOTFOUND);
        module.setpwent(0);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_look_up_makes_no_system_call),
                cmocka_unit_test(the_first_look_up_after_a_change_does_and_is_caught),
                cmocka_unit_test(threads_and_forks_see_one_directory_or_the_other_while_it_changes),
                cmocka_unit_test(threads_that_map_and_unmap_all_the_time_read_nothing_that_is_gone),
                cmocka_unit_test(a_program_without_any_descriptor_is_served),
                cmocka_unit_test(in_a_chroot_the_mapping_serves_and_then_nothing_can_be_told),
                cmocka_unit_test(any_damaged_byte_is_survived),
                cmocka_unit_test(damaged_members_and_groups_are_none_rather_than_some),
                cmocka_unit_test(an_id_outside_the_range_is_never_handed_out),
        };

        return cmocka_run_group_tests_name("nss-hardship", tests, load_module, test_folder_remove);
}
