/* SPDX-License-Identifier: Apache-2.0 */
/* Folders with values that change: complete, private, swapped as one, and cleared away. */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "helper/grant/publish.h"
#include "tests/unit/folder.h"

#define UNIT "orders.service"

static int base = -1;

static struct kb_publish_file file(const char *name, const char *value)
{
        return (struct kb_publish_file){.name = name, .value = KB_SPAN_STRING(value)};
}

static struct kb_publish_file carried(const char *name, unsigned long long from)
{
        return (struct kb_publish_file){.name = name, .carried = true, .from = from};
}

static int publish_pair(const char *user, const char *password)
{
        const struct kb_publish_file files[] = {file("db.username", user), file("db.password", password)};

        return kb_publish(base, UNIT, files, 2, geteuid(), getegid());
}

static void assert_content(const char *path, const char *expected)
{
        char got[100] = "";
        _cleanup_fclose_ FILE *f = fopen(in_folder(path), "re");

        assert_non_null(f);
        assert_in_range(fread(got, 1, sizeof(got) - 1, f), 0, sizeof(got));
        assert_string_equal(got, expected);
}

static unsigned count_entries(const char *path)
{
        _cleanup_(kb_closedirp) DIR *d = opendir(in_folder(path));
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        return n - 2;
}

static mode_t mode_of(const char *path, uid_t uid)
{
        struct stat st;

        assert_ok(lstat(in_folder(path), &st));
        assert_int_equal(st.st_uid, uid);
        return st.st_mode & 07777;
}

static void the_current_files_change_together_and_the_old_ones_stay_until_settled(void **state)
{
        assert_ok(publish_pair("one", "secret one"));
        assert_content(UNIT "/current/db.username", "one");
        assert_ok(publish_pair("two", "secret two"));
        assert_content(UNIT "/current/db.username", "two");
        assert_content(UNIT "/current/db.password", "secret two");
        assert_content(UNIT "/1/db.password", "secret one");
        assert_ok(publish_pair("three", "secret three"));
        assert_int_equal(count_entries(UNIT), 3); /* current, this one, the one before */
        assert_ok(kb_publish_settle(base, UNIT));
        assert_int_equal(count_entries(UNIT), 2);
        assert_content(UNIT "/current/db.password", "secret three");
}

static void nobody_else_can_read_them_whatever_the_umask(void **state)
{
        static const mode_t masks[] = {0777, 022, 0};

        for (size_t i = 0; i < KB_ARRAY_SIZE(masks); i++) {
                mode_t before;

                assert_ok(kb_publish_remove(base, UNIT));
                before = umask(masks[i]);
                assert_ok(publish_pair("a", "b"));
                umask(before);
                assert_int_equal(mode_of(UNIT, geteuid()), 0755);
                assert_int_equal(mode_of(UNIT "/current/db.password", geteuid()), 0400);
                assert_int_equal(mode_of(UNIT "/current/.", geteuid()), 0750);
        }
}

static void a_user_that_changed_gets_its_own_and_takes_nothing_along(void **state)
{
        const struct kb_publish_file files[] = {file("db", "x")};

        if (geteuid() != 0)
                skip();
        assert_ok(kb_publish(base, UNIT, files, 1, 61184, 61184)); /* as DynamicUser= hands out ids */
        assert_int_equal(mode_of(UNIT "/current/db", 61184), 0400);
        assert_int_equal(mode_of(UNIT "/current/.", 0), 0750);
        assert_ok(kb_publish(base, UNIT, files, 1, 61185, 61185));
        assert_int_equal(mode_of(UNIT "/current/db", 61185), 0400);
        assert_ok(kb_publish_settle(base, UNIT));
        assert_int_equal(count_entries(UNIT), 2);
        assert_int_equal(mode_of(UNIT, 0), 0755);
}

/* The owner of a file may make it writable, and fill memory through it. */
static void what_is_for_a_group_is_roots_and_read_only(void **state)
{
        const struct kb_publish_file files[] = {file("db", "x")};
        gid_t gid = geteuid() == 0 ? 61184 : getegid();
        struct stat st;

        assert_ok(kb_publish(base, UNIT, files, 1, KB_PUBLISH_FOR_GROUP, gid));
        assert_int_equal(mode_of(UNIT "/current/db", geteuid()), 0440);
        assert_int_equal(mode_of(UNIT "/current/.", geteuid()), 0750);
        assert_ok(stat(in_folder(UNIT "/current/db"), &st));
        assert_int_equal(st.st_gid, gid);
        assert_content(UNIT "/current/db", "x");
}

/* Leaves the process nothing of root's power but to give files away and to handle what is not its own. */
static int keep_two_capabilities(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2] = {{
                .effective = 1u << CAP_CHOWN | 1u << CAP_FOWNER,
                .permitted = 1u << CAP_CHOWN | 1u << CAP_FOWNER,
        }};

        return (int)syscall(SYS_capset, &header, data);
}

static int publish_and_remove_as_somebody(void)
{
        const struct kb_publish_file files[] = {file("db", "x"), carried("web", 0)};
        int r = 0;

        if (keep_two_capabilities() < 0)
                return errno;
        for (uid_t uid = 61184; r == 0 && uid < 61188; uid++)
                r = kb_publish(base, UNIT, files, 2, uid % 2 ? KB_PUBLISH_FOR_GROUP : uid, uid);
        if (r == 0)
                r = kb_publish_settle(base, UNIT);
        return -(r ? r : kb_publish_remove(base, UNIT));
}

static void all_of_it_needs_two_capabilities(void **state)
{
        int status;
        pid_t child;

        if (geteuid() != 0)
                skip();
        child = fork();
        assert_ok(child);
        if (child == 0)
                _exit(publish_and_remove_as_somebody());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_string_equal(strerror(WEXITSTATUS(status)), strerror(0));
}

static void what_a_crash_left_is_cleared_away_and_never_current(void **state)
{
        assert_ok(publish_pair("good", "good"));
        assert_ok(mkdir(in_folder(UNIT "/900"), 0700)); /* died before the swap */
        assert_ok(close(open(in_folder(UNIT "/900/db.username"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
        assert_ok(symlink("900", in_folder(UNIT "/.current")));
        assert_content(UNIT "/current/db.username", "good");
        assert_ok(publish_pair("better", "better"));
        assert_content(UNIT "/current/db.username", "better");
        assert_int_equal(access(in_folder(UNIT "/900"), F_OK), -1);
}

static bool keep_unit(const char *name, void *userdata)
{
        return strcmp(name, UNIT) == 0;
}

static void a_start_keeps_what_is_wanted_and_removes_the_rest(void **state)
{
        const struct kb_publish_file files[] = {file("db", "x")};

        assert_ok(publish_pair("one", "one"));
        assert_ok(publish_pair("two", "two"));
        assert_ok(kb_publish(base, "gone.service", files, 1, geteuid(), getegid()));
        assert_ok(close(open(in_folder(".stray"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
        assert_ok(kb_publish_clean(base, keep_unit, NULL));
        assert_int_equal(count_entries(""), 1);
        assert_int_equal(count_entries(UNIT), 2);
        assert_content(UNIT "/current/db.username", "two");
}

static void whatever_lies_in_a_folder_leads_nowhere(void **state)
{
        assert_ok(publish_pair("one", "one"));
        assert_ok(mkdir(in_folder("outside"), 0700));
        assert_ok(close(open(in_folder("outside/precious"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
        assert_ok(chmod(in_folder(UNIT "/current/."), 0700));
        assert_ok(symlink("../../outside", in_folder(UNIT "/current/link")));
        assert_ok(mkdir(in_folder(UNIT "/current/nested"), 0));
        assert_ok(chmod(in_folder(UNIT "/current/."), 0));
        assert_ok(kb_publish_remove(base, UNIT));
        assert_int_equal(access(in_folder(UNIT), F_OK), -1);
        assert_ok(access(in_folder("outside/precious"), F_OK));
        assert_ok(kb_publish_remove(base, UNIT)); /* twice is nothing */
        assert_ok(kb_publish_remove(base, "outside"));
}

static void a_nest_deeper_than_sane_is_given_up_not_followed(void **state)
{
        _cleanup_close_ int fd = -1;

        assert_ok(publish_pair("one", "one"));
        fd = open(in_folder(UNIT "/current/."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(fchmod(fd, 0700));
        for (unsigned i = 0; i < 100; i++) {
                int deeper;

                assert_ok(mkdirat(fd, "d", 0700));
                deeper = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_ok(deeper);
                close(fd);
                fd = deeper;
        }
        assert_int_equal(kb_publish_remove(base, UNIT), -ELOOP);
        assert_int_equal(access(in_folder(UNIT "/current/db.password"), F_OK), -1); /* but no secret stays */
        assert_int_equal(kb_publish_remove(base, UNIT), -ELOOP);
        assert_ok(test_folder_remove(NULL));
        assert_ok(mkdir(test_folder, 0700));
        close(base);
        base = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void a_link_in_place_of_a_folder_is_not_followed(void **state)
{
        assert_ok(mkdir(in_folder("elsewhere"), 0700));
        assert_ok(symlink("elsewhere", in_folder(UNIT)));
        assert_int_equal(publish_pair("a", "b"), -ENOTDIR);
        assert_int_equal(kb_publish_settle(base, UNIT), -ENOTDIR);
        assert_int_equal(count_entries("elsewhere"), 0);
        assert_ok(unlink(in_folder(UNIT)));
}

static void what_is_not_at_hand_is_carried_over(void **state)
{
        const struct kb_publish_file both[] = {file("db", "1"), file("db.user", "2"), file("dbx", "3"),
                                               file("web.key", "4")};
        const struct kb_publish_file next[] = {carried("db", 0), file("web.key", "5"), carried("none", 0)};
        const struct kb_publish_file twice[] = {carried("db", 0), carried("db", 0)};
        const struct kb_publish_file bad[] = {carried("../db", 0)};

        assert_ok(kb_publish(base, UNIT, next, 3, geteuid(),
                             getegid())); /* nothing before: nothing to carry */
        assert_int_equal(count_entries(UNIT "/current"), 1);
        assert_ok(kb_publish(base, UNIT, both, 4, geteuid(), getegid()));
        assert_ok(kb_publish(base, UNIT, next, 3, geteuid(), getegid()));
        assert_int_equal(count_entries(UNIT "/current"), 3);
        assert_ok(kb_publish_settle(base, UNIT));
        assert_content(UNIT "/current/db", "1");
        assert_content(UNIT "/current/db.user", "2");
        assert_content(UNIT "/current/web.key", "5");
        assert_int_equal(mode_of(UNIT "/current/db.user", geteuid()), 0400);
        assert_int_equal(kb_publish(base, UNIT, twice, 2, geteuid(), getegid()), -EINVAL);
        assert_int_equal(kb_publish(base, UNIT, bad, 1, geteuid(), getegid()), -EINVAL);
        assert_content(UNIT "/current/web.key", "5");
}

/* One of two credentials goes back to what it was, and the other one does not. */
static void what_an_older_folder_has_can_be_carried_over(void **state)
{
        const struct kb_publish_file first[] = {file("db", "1"), file("web", "1")};
        const struct kb_publish_file second[] = {file("db", "2"), file("web", "1")};
        const struct kb_publish_file third[] = {file("db", "2"), file("web", "3")};
        const struct kb_publish_file back[] = {carried("db", 1), carried("web", 0)};
        const struct kb_publish_file never[] = {carried("db", 9)};
        const unsigned long long numbers[] = {1, 77};
        const struct kb_publish_keep keep = {numbers, 2};

        assert_int_equal(kb_publish_current(base, UNIT), 0);
        assert_ok(kb_publish(base, UNIT, first, 2, geteuid(), getegid()));
        assert_int_equal(kb_publish_current(base, UNIT), 1);
        assert_ok(kb_publish(base, UNIT, second, 2, geteuid(), getegid()));
        assert_ok(kb_publish_beside(base, UNIT, third, 2, geteuid(), getegid(), keep));
        assert_int_equal(count_entries(UNIT), 4);
        assert_ok(kb_publish_settle_beside(base, UNIT, keep));
        assert_int_equal(count_entries(UNIT), 3);
        assert_ok(kb_publish(base, UNIT, back, 2, geteuid(), getegid()));
        assert_content(UNIT "/current/db", "1");
        assert_content(UNIT "/current/web", "3");
        assert_int_equal(kb_publish(base, UNIT, never, 1, geteuid(), getegid()), -ENOENT);
        assert_int_equal(kb_publish_current(base, UNIT), 4);
        assert_int_equal(kb_publish_current(base, "a/b"), -EINVAL);
}

/* An empty value is a value, and not the sign for one that is not at hand. */
static void an_empty_value_is_an_empty_file(void **state)
{
        const struct kb_publish_file full[] = {file("db", "1")};
        const struct kb_publish_file empty[] = {{.name = "db"}};

        assert_ok(kb_publish(base, UNIT, full, 1, geteuid(), getegid()));
        assert_ok(kb_publish(base, UNIT, empty, 1, geteuid(), getegid()));
        assert_content(UNIT "/current/db", "");
}

static void names_that_are_none_are_refused_and_nothing_changes(void **state)
{
        static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "../x", NULL};
        const struct kb_publish_file twice[] = {file("db", "1"), file("db", "2")};

        assert_ok(publish_pair("one", "one"));
        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                const struct kb_publish_file files[] = {file("good", "1"), file(bad[i], "")};

                assert_int_equal(kb_publish(base, UNIT, files, 2, geteuid(), getegid()), -EINVAL);
                assert_int_equal(kb_publish(base, bad[i], files, 1, geteuid(), getegid()), -EINVAL);
                assert_int_equal(kb_publish_remove(base, bad[i]), -EINVAL);
                assert_int_equal(kb_publish_settle(base, bad[i]), -EINVAL);
        }
        assert_int_equal(kb_publish(base, UNIT, twice, 2, geteuid(), getegid()), -EINVAL);
        assert_int_equal(count_entries(UNIT), 2);
        assert_content(UNIT "/current/db.username", "one");
        assert_int_equal(kb_publish_settle(base, "none.service"), -ENOENT);
}

static int begin(void **state)
{
        base = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return base < 0 ? -1 : 0;
}

static int end(void **state)
{
        int r = kb_publish_remove(base, UNIT);

        close(base);
        return r;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        the_current_files_change_together_and_the_old_ones_stay_until_settled, begin, end),
                cmocka_unit_test_setup_teardown(nobody_else_can_read_them_whatever_the_umask, begin, end),
                cmocka_unit_test_setup_teardown(what_is_for_a_group_is_roots_and_read_only, begin, end),
                cmocka_unit_test_setup_teardown(a_user_that_changed_gets_its_own_and_takes_nothing_along,
                                                begin, end),
                cmocka_unit_test_setup_teardown(all_of_it_needs_two_capabilities, begin, end),
                cmocka_unit_test_setup_teardown(what_a_crash_left_is_cleared_away_and_never_current, begin,
                                                end),
                cmocka_unit_test_setup_teardown(a_start_keeps_what_is_wanted_and_removes_the_rest, begin,
                                                end),
                cmocka_unit_test_setup_teardown(whatever_lies_in_a_folder_leads_nowhere, begin, end),
                cmocka_unit_test_setup_teardown(a_nest_deeper_than_sane_is_given_up_not_followed, begin,
                                                end),
                cmocka_unit_test_setup_teardown(a_link_in_place_of_a_folder_is_not_followed, begin, end),
                cmocka_unit_test_setup_teardown(what_is_not_at_hand_is_carried_over, begin, end),
                cmocka_unit_test_setup_teardown(what_an_older_folder_has_can_be_carried_over, begin, end),
                cmocka_unit_test_setup_teardown(an_empty_value_is_an_empty_file, begin, end),
                cmocka_unit_test_setup_teardown(names_that_are_none_are_refused_and_nothing_changes, begin,
                                                end),
        };

        return cmocka_run_group_tests_name("publish", tests, test_folder_make, test_folder_remove);
}
