/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing and reading in one folder: what readers see before, during and after a change, and in trouble.
 */
#include "tests/unit/directory.h"
#include "tests/unit/folder.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <ucontext.h>

#include "directory/nss_publish.h"
#include "directory/nss_reader.h"

static int folder_fd = -1;

static int make_folder(void **state)
{
        if (test_folder_make(state) < 0)
                return -1;
        folder_fd = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return folder_fd < 0 ? -1 : 0;
}

static int empty_folder(void **state)
{
        unlinkat(folder_fd, KB_NSS_USERS_FILE, 0);
        unlinkat(folder_fd, KB_NSS_GENERATION_FILE, 0);
        return 0;
}

/* Each test is a reader that has seen nothing yet. */
static struct kb_nss *new_reader(void)
{
        static struct kb_nss nss;

        for (unsigned i = 0; i < KB_NSS_SLOTS; i++)
                if (nss.slots[i].view.file.data)
                        munmap((void *)nss.slots[i].view.file.data, nss.slots[i].view.file.size);
        nss = (struct kb_nss)KB_NSS_INIT(test_folder);
        return &nss;
}

static void publish_one(const char *name, uint32_t uid)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_refused refused;

        add_person(&w, &(struct item){.name = name, .id = uid});
        assert_ok(kb_writer_end(&w));
        assert_ok(kb_directory_load(&d, KB_SPAN(w.data, w.size), &options, &refused));
        assert_ok(kb_nss_publish(folder_fd, d));
}

static void write_file(const char *name, const void *data, size_t size)
{
        int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        close(fd);
}

/* How many users-1 are mapped by this process. */
static unsigned mappings(void)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
        char line[512];
        unsigned n = 0;

        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                n += strstr(line, test_folder) && strstr(line, "/" KB_NSS_USERS_FILE);
        return n;
}

/* --- the three answers --- */

static void without_files_nothing_can_be_told(void **state)
{
        struct kb_nss *nss = new_reader();
        struct kb_id_range range = {1, 2};
        uint32_t uid = 5;

        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ENOENT);
        assert_int_equal(kb_nss_id_range(nss, &range), -ENOENT);
        assert_int_equal(uid, 5);
        assert_int_equal(range.max, 2);
}

static void an_empty_file_says_nobody_for_certain(void **state)
{
        struct kb_nss *nss = new_reader();
        struct kb_id_range range;
        uint32_t uid = 5;

        assert_ok(kb_nss_publish_empty(folder_fd, TEST_RANGE));
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 0);
        assert_int_equal(uid, 5);
        assert_ok(kb_nss_id_range(nss, &range));
        assert_int_equal(range.min, KB_ID_MIN_DEFAULT);
        assert_int_equal(range.max, KB_ID_MAX_DEFAULT);
        assert_int_equal(kb_nss_publish_empty(folder_fd, (struct kb_id_range){0, 99999}), -EINVAL);
}

static void a_change_is_seen_by_the_next_look_up(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        assert_int_equal(uid, 70001);
        assert_int_equal(kb_nss_find_user(nss, "ben", &uid), 0);
        publish_one("ben", 70002);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 0);
        assert_int_equal(kb_nss_find_user(nss, "ben", &uid), 1);
        assert_int_equal(uid, 70002);
}

static void the_names_appear_once_they_are_published(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ENOENT);
        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
}

/* --- one file, one mapping --- */

static void the_same_mapping_serves_until_there_is_a_change(void **state)
{
        struct kb_nss *nss = new_reader();
        const struct kb_nss_view *first, *second;

        publish_one("ana", 70001);
        assert_ok(kb_nss_open(nss, &first));
        assert_ok(kb_nss_open(nss, &second));
        assert_ptr_equal(first, second);
        kb_nss_close(first);
        kb_nss_close(second);
        assert_int_equal(mappings(), 1);
        for (unsigned i = 0; i < 3 * KB_NSS_SLOTS; i++) {
                publish_one("ana", 70001 + i);
                assert_ok(kb_nss_open(nss, &first));
                kb_nss_close(first);
                assert_int_equal(mappings(), 1);
        }
}

static void a_view_stays_readable_while_it_is_open(void **state)
{
        struct kb_nss *nss = new_reader();
        const struct kb_nss_view *old;
        struct kb_nss_user user;
        uint32_t uid;

        publish_one("ana", 70001);
        assert_ok(kb_nss_open(nss, &old));
        assert_int_equal(kb_nss_user_by_name(old, "ana", &user), 1);
        for (unsigned i = 0; i < 3 * KB_NSS_SLOTS; i++) {
                publish_one("ben", 70002);
                assert_int_equal(kb_nss_find_user(nss, "ben", &uid), 1);
        }
        assert_string_equal(user.name, "ana");
        assert_int_equal(mappings(), 2);
        kb_nss_close(old);
        publish_one("ben", 70002);
        assert_int_equal(kb_nss_find_user(nss, "ben", &uid), 1);
        assert_int_equal(mappings(), 1);
}

static void with_every_slot_in_use_the_older_names_serve(void **state)
{
        struct kb_nss *nss = new_reader();
        const struct kb_nss_view *open[KB_NSS_SLOTS], *late;
        struct kb_nss_user user;

        for (unsigned i = 0; i < KB_NSS_SLOTS; i++) {
                publish_one("ana", 70001 + i);
                assert_ok(kb_nss_open(nss, &open[i]));
        }
        publish_one("ana", 70099);
        assert_ok(kb_nss_open(nss, &late));
        assert_int_equal(kb_nss_user_by_name(late, "ana", &user), 1);
        assert_int_equal(user.uid, 70001 + KB_NSS_SLOTS - 1);
        kb_nss_close(late);
        for (unsigned i = 0; i < KB_NSS_SLOTS; i++)
                kb_nss_close(open[i]);
        assert_ok(kb_nss_open(nss, &late));
        assert_int_equal(kb_nss_user_by_name(late, "ana", &user), 1);
        assert_int_equal(user.uid, 70099);
        kb_nss_close(late);
}

/* --- the folder goes and comes back --- */

static void retire(void)
{
        uint64_t number = KB_NSS_RETIRED;
        int fd = openat(folder_fd, KB_NSS_GENERATION_FILE, O_WRONLY | O_CLOEXEC);

        assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
        close(fd);
}

static void after_a_purge_nothing_can_be_told_until_there_is_a_new_folder(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        retire();
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ENOENT);
        empty_folder(NULL);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ENOENT);
        publish_one("ben", 70002);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 0);
        assert_int_equal(kb_nss_find_user(nss, "ben", &uid), 1);
        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
}

static void a_retired_generation_is_no_use_to_a_new_reader_and_publishing_makes_a_new_one(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        retire();
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ENOENT);
        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
}

/* --- a change in the middle of a look-up, at every instruction of it --- */

#ifdef __x86_64__
#define TRAP_FLAG 0x100

static struct kb_nss *stepped;
static _Atomic uint64_t *stepped_generation;
static volatile unsigned step, change_at, changes;

/* Below the red zone, which is the compiler's. */
static void set_trap_flag(void)
{
        __asm__ volatile(
                "lea -128(%%rsp), %%rsp; pushfq; orq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(
                        TRAP_FLAG)
                : "memory", "cc");
}

static void clear_trap_flag(void)
{
        __asm__ volatile(
                "lea -128(%%rsp), %%rsp; pushfq; andq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(
                        ~TRAP_FLAG)
                : "memory", "cc");
}

/* What another thread could do between two instructions: see a change, map anew, and unmap what is free. */
static void on_step(int signal_number, siginfo_t *info, void *context)
{
        ucontext_t *interrupted = context;
        uint32_t uid = 0;

        if (step++ != change_at)
                return;
        interrupted->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG; /* the rest may run at full speed */
        for (unsigned i = 0; i < changes; i++) {
                atomic_fetch_add(stepped_generation, 1);
                if (kb_nss_find_user(stepped, "ana", &uid) != 1 || uid != 70001)
                        abort();
        }
}

static int pins(const struct kb_nss *nss)
{
        int sum = 0;

        for (unsigned i = 0; i < KB_NSS_SLOTS; i++)
                sum += atomic_load(&nss->slots[i].pins);
        return sum;
}

/* cold: the look-up itself has to map anew. False when it took fewer instructions. */
static bool look_up_with_change_at(unsigned at, bool cold)
{
        uint32_t uid = 0;
        int r;

        if (cold)
                atomic_fetch_add(stepped_generation, 1);
        change_at = at;
        step = 0;
        set_trap_flag();
        r = kb_nss_find_user(stepped, "ana", &uid);
        clear_trap_flag();
        assert_int_equal(r, 1);
        assert_int_equal(uid, 70001);
        assert_int_equal(pins(stepped), 1); /* the current one; nobody is inside */
        return step > at;
}

static void a_change_at_any_instruction_of_a_look_up_is_survived(void **state)
{
        struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, before;
        int fd;

        stepped = new_reader();
        publish_one("ana", 70001);
        fd = openat(folder_fd, KB_NSS_GENERATION_FILE, O_RDWR | O_CLOEXEC);
        stepped_generation = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(stepped_generation != MAP_FAILED);
        close(fd);
        assert_int_equal(kb_nss_find_user(stepped, "ana", &(uint32_t){0}), 1);
        assert_int_equal(sigaction(SIGTRAP, &action, &before), 0);
        for (changes = 1; changes <= 3; changes++) { /* from 2 on, the slot may be in use again */
                /* taking hold of a mapping is over after some dozens; mapping anew takes thousands, most of
                 * libc */
                for (unsigned at = 0; look_up_with_change_at(at, false); at += at < 100 ? 1 : 17)
                        ;
                for (unsigned at = changes; look_up_with_change_at(at, true); at += 97)
                        ;
        }
        assert_int_equal(sigaction(SIGTRAP, &before, NULL), 0);
        munmap((void *)stepped_generation, 8);
}
#endif

/* --- damage --- */

static void a_damaged_file_cannot_be_told_from_until_the_next_good_one(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        publish_one("ana", 70001);
        write_file("x", "no such thing", 13);
        assert_int_equal(renameat(folder_fd, "x", folder_fd, KB_NSS_USERS_FILE), 0);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -EBADMSG);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -EBADMSG);
        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        assert_int_equal(mappings(), 1);
}

static void what_is_no_file_is_not_read(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        assert_int_equal(unlinkat(folder_fd, KB_NSS_USERS_FILE, 0), 0);
        assert_int_equal(mkfifoat(folder_fd, KB_NSS_USERS_FILE, 0644), 0);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -EBADMSG);
        assert_int_equal(unlinkat(folder_fd, KB_NSS_USERS_FILE, 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", folder_fd, KB_NSS_USERS_FILE), 0);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ELOOP);
}

static void a_generation_that_is_too_short_is_damage_and_publishing_mends_it(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        write_file(KB_NSS_GENERATION_FILE, "1234567", 7);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -EBADMSG);
        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
}

static void a_folder_with_too_long_a_name_is_an_error(void **state)
{
        static char folder[400];
        static struct kb_nss nss = KB_NSS_INIT(folder);
        uint32_t uid;

        memset(folder, 'x', sizeof(folder) - 1);
        assert_int_equal(kb_nss_find_user(&nss, "ana", &uid), -ENAMETOOLONG);
}

static void errno_is_left_alone(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        errno = EPROTO;
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -ENOENT);
        assert_int_equal(errno, EPROTO);
}

/* --- a program that is short of descriptors --- */

static void limit_descriptors(rlim_t n)
{
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = n;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void without_descriptors_the_older_names_serve(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        publish_one("ben", 70002);
        limit_descriptors(0);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        limit_descriptors(1024);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 0);
}

static void without_descriptors_and_older_names_it_can_be_tried_again(void **state)
{
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        limit_descriptors(0);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), -EMFILE);
        limit_descriptors(1024);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
}

static void no_descriptor_is_kept(void **state)
{
        struct kb_nss *nss = new_reader();
        int before = dup(0), after;
        uint32_t uid;

        close(before);
        publish_one("ana", 70001);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        after = dup(0);
        close(after);
        assert_int_equal(before, after);
}

/* --- publishing --- */

static void everybody_may_read_what_is_published_whatever_the_umask(void **state)
{
        mode_t mask = umask(0777);
        struct stat st;

        publish_one("ana", 70001);
        umask(mask);
        assert_int_equal(fstatat(folder_fd, KB_NSS_USERS_FILE, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_int_equal(fstatat(folder_fd, KB_NSS_GENERATION_FILE, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
}

static void generation_is_never_replaced_and_the_names_always_are(void **state)
{
        struct stat generation[2], users[2];

        for (unsigned i = 0; i < 2; i++) {
                publish_one("ana", 70001);
                assert_int_equal(fstatat(folder_fd, KB_NSS_GENERATION_FILE, &generation[i], 0), 0);
                assert_int_equal(fstatat(folder_fd, KB_NSS_USERS_FILE, &users[i], 0), 0);
        }
        assert_int_equal(generation[0].st_ino, generation[1].st_ino);
        assert_int_not_equal(users[0].st_ino, users[1].st_ino);
}

static void a_disk_that_is_full_changes_nothing(void **state)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct rlimit limit = {.rlim_cur = 64, .rlim_max = RLIM_INFINITY};
        struct kb_nss *nss = new_reader();
        uint32_t uid;

        publish_one("ana", 70001);
        make_crowd(&d, 10);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(kb_nss_publish(folder_fd, d), -EFBIG);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 1);
        assert_int_equal(faccessat(folder_fd, "users-1.new", F_OK, 0), -1);
        assert_ok(kb_nss_publish(folder_fd, d));
        assert_int_equal(kb_nss_find_user(nss, "ana", &uid), 0);
}

static void a_folder_that_is_none_is_an_error(void **state)
{
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_int_equal(kb_nss_publish_empty(fd, TEST_RANGE), -ENOTDIR);
        assert_int_equal(kb_nss_publish_empty(-1, TEST_RANGE), -EBADF);
        close(fd);
}

static void a_name_in_the_way_is_an_error(void **state)
{
        assert_int_equal(mkdirat(folder_fd, KB_NSS_GENERATION_FILE, 0755), 0);
        assert_int_equal(kb_nss_publish_empty(folder_fd, TEST_RANGE), -EISDIR);
        assert_int_equal(unlinkat(folder_fd, KB_NSS_GENERATION_FILE, AT_REMOVEDIR), 0);
        assert_int_equal(mkdirat(folder_fd, KB_NSS_USERS_FILE, 0755), 0);
        assert_int_equal(kb_nss_publish_empty(folder_fd, TEST_RANGE), -EISDIR);
        assert_int_equal(unlinkat(folder_fd, KB_NSS_USERS_FILE, AT_REMOVEDIR), 0);
        assert_int_equal(mkdirat(folder_fd, "users-1.new", 0755), 0);
        assert_int_equal(kb_nss_publish_empty(folder_fd, TEST_RANGE), -EISDIR);
        assert_int_equal(unlinkat(folder_fd, "users-1.new", AT_REMOVEDIR), 0);
}

/* Whoever can open the folder can lock it: all of this host. */
static void a_lock_on_the_folder_holds_up_no_publisher(void **state)
{
        int fd = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(flock(fd, LOCK_EX), 0);
        alarm(10); /* else it would wait for ever */
        assert_ok(kb_nss_publish_empty(folder_fd, TEST_RANGE));
        alarm(0);
        close(fd);
}

static void another_publisher_is_not_waited_for_and_only_root_can_pass_for_one(void **state)
{
        struct stat st;
        int fd;

        unlinkat(folder_fd, KB_NSS_LOCK_FILE, 0);
        assert_ok(kb_nss_publish_empty(folder_fd, TEST_RANGE));
        assert_int_equal(chmod(in_folder(KB_NSS_LOCK_FILE), 0644), 0);
        assert_ok(kb_nss_publish_empty(folder_fd, TEST_RANGE));
        assert_int_equal(stat(in_folder(KB_NSS_LOCK_FILE), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        fd = openat(folder_fd, KB_NSS_LOCK_FILE, O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(fd, LOCK_SH), 0);
        alarm(10);
        assert_int_equal(kb_nss_publish_empty(folder_fd, TEST_RANGE), -EAGAIN);
        alarm(0);
        close(fd);
        assert_ok(kb_nss_publish_empty(folder_fd, TEST_RANGE));
}

#define TEST(name) cmocka_unit_test_setup(name, empty_folder)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(without_files_nothing_can_be_told),
                TEST(an_empty_file_says_nobody_for_certain),
                TEST(a_change_is_seen_by_the_next_look_up),
                TEST(the_names_appear_once_they_are_published),
                TEST(the_same_mapping_serves_until_there_is_a_change),
                TEST(a_view_stays_readable_while_it_is_open),
                TEST(with_every_slot_in_use_the_older_names_serve),
                TEST(after_a_purge_nothing_can_be_told_until_there_is_a_new_folder),
                TEST(a_retired_generation_is_no_use_to_a_new_reader_and_publishing_makes_a_new_one),
#ifdef __x86_64__
                TEST(a_change_at_any_instruction_of_a_look_up_is_survived),
#endif
                TEST(a_damaged_file_cannot_be_told_from_until_the_next_good_one),
                TEST(what_is_no_file_is_not_read),
                TEST(a_generation_that_is_too_short_is_damage_and_publishing_mends_it),
                TEST(a_folder_with_too_long_a_name_is_an_error),
                TEST(errno_is_left_alone),
                TEST(without_descriptors_the_older_names_serve),
                TEST(without_descriptors_and_older_names_it_can_be_tried_again),
                TEST(no_descriptor_is_kept),
                TEST(everybody_may_read_what_is_published_whatever_the_umask),
                TEST(generation_is_never_replaced_and_the_names_always_are),
                TEST(a_disk_that_is_full_changes_nothing),
                TEST(a_folder_that_is_none_is_an_error),
                TEST(a_name_in_the_way_is_an_error),
                TEST(a_lock_on_the_folder_holds_up_no_publisher),
                TEST(another_publisher_is_not_waited_for_and_only_root_can_pass_for_one),
        };

        return cmocka_run_group_tests_name("nss-reader", tests, make_folder, test_folder_remove);
}
