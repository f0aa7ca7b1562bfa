/* SPDX-License-Identifier: Apache-2.0 */
/* The module's answers, through glibc and directly: what they say, and where they put it. */
#include "tests/module/nss-fixture.h"

#include <sys/resource.h>

static const struct item small[] = {
        {KB_RECORD_person, "ana", 70001, .full_name = "Ana", .home = "/home/ana", .shell = "/bin/bash"},
        {KB_RECORD_person, "ben", 70002, .full_name = "", .home = "/", .shell = "/x"},
        {KB_RECORD_person, "carl", 70003},
        {KB_RECORD_group, "dba", 80001, .list = "ana carl"},
        {KB_RECORD_group, "empty", 80002},
        {KB_RECORD_group, "zoo", 80003, .list = "ana ben carl"},
        {},
};

static int publish_small(void **state)
{
        publish(small);
        return 0;
}

/* --- before anything is mapped; these two have to run first --- */

static void without_a_file_the_answer_is_cannot_tell_and_never_nobody(void **state)
{
        struct passwd pwd, *result = &pwd;
        long start = 0, size = 0;
        gid_t *groups = NULL;
        char buffer[256];
        struct group grp;
        int error = 0;

        assert_int_equal(module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(error, EIO);
        assert_int_equal(module.getpwuid(70001, &pwd, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(module.getgrnam("ana", &grp, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(module.getgrgid(70001, &grp, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(module.getgrent(&grp, buffer, sizeof(buffer), &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(module.initgroups("ana", 1, &start, &size, &groups, 0, &error), NSS_STATUS_UNAVAIL);
        assert_int_equal(getpwnam_r("ana", &pwd, buffer, sizeof(buffer), &result), EIO);
        assert_null(result);
}

static void set_descriptor_limit(rlim_t n)
{
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = n;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void without_a_descriptor_to_spare_the_answer_is_try_again(void **state)
{
        enum nss_status status;
        struct passwd pwd;
        char buffer[256];
        int error = 0;

        publish(small);
        set_descriptor_limit(0);
        status = module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error);
        set_descriptor_limit(1024);
        assert_int_equal(status, NSS_STATUS_TRYAGAIN);
        assert_int_equal(error, EAGAIN);
        assert_int_equal(module.getpwnam("ana", &pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
}

/* --- through glibc --- */

static void glibc_gets_every_field_of_a_person(void **state)
{
        const struct passwd *pwd = getpwnam("ana");

        assert_non_null(pwd);
        assert_string_equal(pwd->pw_name, "ana");
        assert_string_equal(pwd->pw_passwd, "*");
        assert_int_equal(pwd->pw_uid, 70001);
        assert_int_equal(pwd->pw_gid, 70001);
        assert_string_equal(pwd->pw_gecos, "Ana");
        assert_string_equal(pwd->pw_dir, "/home/ana");
        assert_string_equal(pwd->pw_shell, "/bin/bash");
        pwd = getpwuid(70002);
        assert_non_null(pwd);
        assert_string_equal(pwd->pw_name, "ben");
        assert_string_equal(pwd->pw_gecos, "");
}

static void glibc_gets_every_field_of_a_group(void **state)
{
        const struct group *grp = getgrnam("dba");

        assert_non_null(grp);
        assert_string_equal(grp->gr_name, "dba");
        assert_string_equal(grp->gr_passwd, "*");
        assert_int_equal(grp->gr_gid, 80001);
        assert_string_equal(grp->gr_mem[0], "ana");
        assert_string_equal(grp->gr_mem[1], "carl");
        assert_null(grp->gr_mem[2]);
        grp = getgrgid(70002);
        assert_non_null(grp);
        assert_string_equal(grp->gr_name, "ben");
        assert_null(grp->gr_mem[0]);
}

static void glibc_gets_the_groups_of_a_person(void **state)
{
        gid_t groups[8];
        int n = 8;

        assert_int_equal(getgrouplist("ana", 70001, groups, &n), 3);
        assert_int_equal(groups[0], 70001);
        assert_int_equal(groups[1], 80001);
        assert_int_equal(groups[2], 80003);
        n = 8;
        assert_int_equal(getgrouplist("ben", 80003, groups, &n), 1);
        n = 1;
        assert_int_equal(getgrouplist("ana", 70001, groups, &n), -1);
        assert_int_equal(n, 3);
}

static void glibc_walks_through_all_of_them_in_order(void **state)
{
        static const char *const people[] = {"ana", "ben", "carl"};
        static const char *const groups[] = {"ana", "ben", "carl", "dba", "empty", "zoo"};
        size_t n = 0;

        setpwent();
        for (struct passwd *pwd; (pwd = getpwent()); n++)
                assert_string_equal(pwd->pw_name, people[n]);
        endpwent();
        assert_int_equal(n, KB_ARRAY_SIZE(people));
        n = 0;
        setgrent();
        for (struct group *grp; (grp = getgrent()); n++)
                assert_string_equal(grp->gr_name, groups[n]);
        endgrent();
        assert_int_equal(n, KB_ARRAY_SIZE(groups));
}

static void glibc_hears_that_there_is_nobody(void **state)
{
        static const char *const names[] = {"",     "root", "nobody", "an", "ana ",  "a/b", "../ana",
                                            "a\nb", "\x01", "\xff",   "-1", "70001", "*"};
        struct passwd pwd, *person = &pwd;
        struct group grp, *group = &grp;
        char buffer[1024], long_name[5000];

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++) {
                assert_int_equal(getpwnam_r(names[i], &pwd, buffer, sizeof(buffer), &person), 0);
                assert_null(person);
                assert_int_equal(getgrnam_r(names[i], &grp, buffer, sizeof(buffer), &group), 0);
                assert_null(group);
        }
        for (size_t n = 30; n < sizeof(long_name); n += n / 2) {
                memset(long_name, 'a', n);
                long_name[n] = '\0';
                assert_int_equal(getpwnam_r(long_name, &pwd, buffer, sizeof(buffer), &person), 0);
                assert_null(person);
                assert_int_equal(getgrnam_r(long_name, &grp, buffer, sizeof(buffer), &group), 0);
                assert_null(group);
        }
        assert_null(getpwuid(0));
        assert_null(getpwuid((uid_t)-1));
        assert_null(getgrgid(27));
}

static void glibc_finds_room_for_a_group_of_everybody(void **state)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        const struct group *grp;
        unsigned n = 0;

        make_crowd(&d, 10000);
        assert_ok(kb_nss_publish(folder_fd, d));
        grp = getgrnam("everybody");
        assert_non_null(grp);
        for (; grp->gr_mem[n]; n++)
                ;
        assert_int_equal(n, 10000);
        assert_string_equal(grp->gr_mem[9999], "u009999");
}

/* --- the caller's buffer --- */

static bool inside(const void *p, const char *buffer, size_t size)
{
        return (const char *)p >= buffer && (const char *)p < buffer + size;
}

static void assert_untouched(const void *p, size_t size)
{
        for (size_t i = 0; i < size; i++)
                assert_int_equal(((const uint8_t *)p)[i], 0xa5);
}

/* Buffers of exactly their size, so that a sanitizer sees one byte too far. */
static void a_person_comes_whole_or_not_at_all(void **state)
{
        const size_t needed = sizeof("ana:*:Ana:/home/ana:/bin/bash");

        for (size_t size = 0; size <= needed; size++) {
                _cleanup_free_ char *buffer = malloc(size + (size == 0));
                enum nss_status status;
                struct passwd pwd;
                int error = 0;

                assert_non_null(buffer);
                memset(buffer, 0xa5, size);
                memset(&pwd, 0xa5, sizeof(pwd));
                status = module.getpwnam("ana", &pwd, buffer, size, &error);
                if (size < needed) {
                        assert_int_equal(status, NSS_STATUS_TRYAGAIN);
                        assert_int_equal(error, ERANGE);
                        assert_untouched(buffer, size);
                        assert_untouched(&pwd, sizeof(pwd));
                        continue;
                }
                assert_int_equal(status, NSS_STATUS_SUCCESS);
                assert_true(inside(pwd.pw_name, buffer, size) && inside(pwd.pw_passwd, buffer, size) &&
                            inside(pwd.pw_gecos, buffer, size) && inside(pwd.pw_dir, buffer, size) &&
                            inside(pwd.pw_shell, buffer, size));
                assert_string_equal(pwd.pw_shell, "/bin/bash");
        }
}

/* offset: how far the buffer is from where pointers may lie. Returns the size that was enough. */
static size_t try_group(const char *name, unsigned offset, size_t size)
{
        _cleanup_free_ char *memory = malloc(offset + size + 1);
        char *buffer = memory + offset;
        enum nss_status status;
        struct group grp;
        int error = 0;

        assert_non_null(memory);
        memset(memory, 0xa5, offset + size + 1);
        memset(&grp, 0xa5, sizeof(grp));
        status = module.getgrnam(name, &grp, buffer, size, &error);
        assert_untouched(memory, offset);
        assert_untouched(buffer + size, 1);
        if (status != NSS_STATUS_SUCCESS) {
                assert_int_equal(status, NSS_STATUS_TRYAGAIN);
                assert_int_equal(error, ERANGE);
                assert_untouched(buffer, size);
                assert_untouched(&grp, sizeof(grp));
                return 0;
        }
        assert_string_equal(grp.gr_name, name);
        assert_string_equal(grp.gr_passwd, "*");
        assert_int_equal((uintptr_t)grp.gr_mem % _Alignof(char *), 0);
        assert_true(inside(grp.gr_mem, buffer, size) && inside(grp.gr_name, buffer, size));
        for (char **member = grp.gr_mem; *member; member++)
                assert_true(inside(*member, buffer, size) && inside(member + 1, buffer, size));
        return size;
}

static void a_group_comes_whole_or_not_at_all_wherever_the_buffer_starts(void **state)
{
        static const struct {
                const char *name;
                size_t text, pointers;
        } groups[] = {
                {"zoo", sizeof("zoo:*:ana:ben:carl"), 4},
                {"empty", sizeof("empty:*"), 1},
                {"ana", sizeof("ana:*"), 1},
        };

        for (size_t g = 0; g < KB_ARRAY_SIZE(groups); g++)
                for (unsigned offset = 0; offset < 2 * sizeof(char *); offset++) {
                        size_t padding = -offset % sizeof(char *), size = 0;

                        while (try_group(groups[g].name, offset, size) == 0)
                                size++;
                        assert_int_equal(size,
                                         padding + groups[g].pointers * sizeof(char *) + groups[g].text);
                }
}

/* --- walking --- */

static void a_buffer_too_small_does_not_move_the_walk_on(void **state)
{
        struct passwd pwd;
        struct group grp;
        char buffer[256];
        int error = 0;

        module.setpwent(0);
        assert_int_equal(module.getpwent(&pwd, buffer, 3, &error), NSS_STATUS_TRYAGAIN);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(pwd.pw_name, "ana");
        assert_int_equal(module.getpwent(&pwd, buffer, 3, &error), NSS_STATUS_TRYAGAIN);
        assert_int_equal(error, ERANGE);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(pwd.pw_name, "ben");
        module.endpwent();
        module.setgrent(0);
        assert_int_equal(module.getgrent(&grp, buffer, 3, &error), NSS_STATUS_TRYAGAIN);
        assert_int_equal(module.getgrent(&grp, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(grp.gr_name, "ana");
        module.endgrent();
}

static void a_walk_goes_on_across_a_change_without_gap_or_repetition(void **state)
{
        static const struct item changed[] = {
                {KB_RECORD_person, "abe", 70009}, {KB_RECORD_person, "ben", 70002},
                {KB_RECORD_person, "bo", 70008},  {KB_RECORD_person, "carl", 70003},
                {KB_RECORD_group, "dba", 80001},  {},
        };
        struct passwd pwd;
        struct group grp;
        char buffer[256];
        int error = 0;

        module.setpwent(0);
        module.setgrent(0);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(pwd.pw_name, "ben");
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(module.getgrent(&grp, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(grp.gr_name, "dba");
        publish(changed);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(pwd.pw_name, "bo");
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(pwd.pw_name, "carl");
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_NOTFOUND);
        assert_int_equal(module.getgrent(&grp, buffer, sizeof(buffer), &error), NSS_STATUS_NOTFOUND);
        module.setpwent(0);
        assert_int_equal(module.getpwent(&pwd, buffer, sizeof(buffer), &error), NSS_STATUS_SUCCESS);
        assert_string_equal(pwd.pw_name, "abe");
}

/* --- initgroups_dyn --- */

static void groups_are_added_behind_those_that_are_there(void **state)
{
        static const struct {
                const char *user;
                gid_t own;
                long size, start, limit;
                enum nss_status status;
                long expected_start, expected_size;
        } table[] = {
                {"ana", 70001, 8, 1, 0, NSS_STATUS_SUCCESS, 3, 8},
                {"ana", 80001, 8, 1, 0, NSS_STATUS_SUCCESS, 2, 8},
                {"ana", 70001, 1, 1, 0, NSS_STATUS_SUCCESS, 3, 4},
                {"ana", 70001, 1, 1, -1, NSS_STATUS_SUCCESS, 3, 4},
                {"ana", 70001, 1, 1, 3, NSS_STATUS_SUCCESS, 3, 3},
                {"ana", 70001, 1, 1, 2, NSS_STATUS_SUCCESS, 2, 2},
                {"ana", 70001, 1, 1, 1, NSS_STATUS_SUCCESS, 1, 1},
                {"root", 0, 1, 1, 0, NSS_STATUS_NOTFOUND, 1, 1},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                long start = table[i].start, size = table[i].size;
                _cleanup_free_ gid_t *groups = calloc((size_t)size, sizeof(gid_t));
                int error = 0;
                enum nss_status status = module.initgroups(table[i].user, table[i].own, &start, &size,
                                                           &groups, table[i].limit, &error);

                if (status != table[i].status || start != table[i].expected_start ||
                    size != table[i].expected_size || (start > 1 && groups[start - 1] < 80001))
                        fail_msg("row %zu: %d, start %ld, size %ld", i, status, start, size);
        }
}

static void groups_are_added_to_an_array_that_is_not_there_yet(void **state)
{
        _cleanup_free_ gid_t *groups = NULL;
        long start = 0, size = 0;
        int error = 0;

        assert_int_equal(module.initgroups("ana", 70001, &start, &size, &groups, 0, &error),
                         NSS_STATUS_SUCCESS);
        assert_int_equal(start, 2);
        assert_int_equal(groups[1], 80003);
}

#define TEST(name) cmocka_unit_test_setup(name, publish_small)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_file_the_answer_is_cannot_tell_and_never_nobody),
                cmocka_unit_test(without_a_descriptor_to_spare_the_answer_is_try_again),
                TEST(glibc_gets_every_field_of_a_person),
                TEST(glibc_gets_every_field_of_a_group),
                TEST(glibc_gets_the_groups_of_a_person),
                TEST(glibc_walks_through_all_of_them_in_order),
                TEST(glibc_hears_that_there_is_nobody),
                TEST(glibc_finds_room_for_a_group_of_everybody),
                TEST(a_person_comes_whole_or_not_at_all),
                TEST(a_group_comes_whole_or_not_at_all_wherever_the_buffer_starts),
                TEST(a_buffer_too_small_does_not_move_the_walk_on),
                TEST(a_walk_goes_on_across_a_change_without_gap_or_repetition),
                TEST(groups_are_added_behind_those_that_are_there),
                TEST(groups_are_added_to_an_array_that_is_not_there_yet),
        };

        __nss_configure_lookup("passwd", "keybearer");
        __nss_configure_lookup("group", "keybearer");
        __nss_configure_lookup("initgroups", "keybearer");
        return cmocka_run_group_tests_name("nss", tests, load_module, test_folder_remove);
}
