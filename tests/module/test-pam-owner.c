/* SPDX-License-Identifier: Apache-2.0 */
/* Who is ours, and what happens to the others while everything of ours is dead. */
#include "tests/module/pam-fixture.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/macro.h"

enum verdict { OURS, FOREIGN, CANNOT_TELL };

static const struct {
        const char *user;
        enum verdict good, lost; /* with our file as it should be; and missing or spoilt */
} people[] = {
        /* clang-format off */
        {"root", FOREIGN, FOREIGN},
        {"local", FOREIGN, FOREIGN},
        {"ana", OURS, CANNOT_TELL},
        {"bea", OURS, CANNOT_TELL},
        {"stolen", OURS, CANNOT_TELL},
        {"twin", CANNOT_TELL, CANNOT_TELL},
        {"guest", FOREIGN, CANNOT_TELL},
        {"nobody-at-all", FOREIGN, CANNOT_TELL},
        {"ROOT", FOREIGN, CANNOT_TELL},
        {"Ana", FOREIGN, CANNOT_TELL},
        {"an", FOREIGN, CANNOT_TELL},
        {"anaa", FOREIGN, CANNOT_TELL},
        {"ana:x", FOREIGN, CANNOT_TELL},
        {"root:x", FOREIGN, CANNOT_TELL},
        {"ana\n", FOREIGN, CANNOT_TELL},
        {"../ana", FOREIGN, CANNOT_TELL},
        {"\xff\xfe", FOREIGN, CANNOT_TELL},
        {"0", FOREIGN, CANNOT_TELL},
        {"65536", FOREIGN, CANNOT_TELL},
        /* clang-format on */
};

static const struct {
        int (*call)(pam_handle_t *, int);
        int expected[3]; /* by verdict, with the broker away */
} phases[] = {
        {pam_authenticate, {PAM_AUTHINFO_UNAVAIL, PAM_USER_UNKNOWN, PAM_AUTHINFO_UNAVAIL}},
        {pam_acct_mgmt, {PAM_AUTHINFO_UNAVAIL, PAM_USER_UNKNOWN, PAM_AUTHINFO_UNAVAIL}},
        {pam_open_session, {PAM_SESSION_ERR, PAM_SUCCESS, PAM_SESSION_ERR}},
        {pam_close_session, {PAM_SUCCESS, PAM_SUCCESS, PAM_SUCCESS}},
        {pam_chauthtok, {PAM_TRY_AGAIN, PAM_USER_UNKNOWN, PAM_TRY_AGAIN}},
};

static void check_people(enum names_state names, const char *arguments)
{
        pam_world_enter(names);
        for (size_t i = 0; i < KB_ARRAY_SIZE(people); i++)
                for (size_t k = 0; k < KB_ARRAY_SIZE(phases); k++) {
                        enum verdict verdict = names == NAMES_GOOD ? people[i].good : people[i].lost;
                        struct visit v = {
                                .user = people[i].user,
                                .arguments = arguments,
                                .person = {.replies = {{TYPES, "old", 0}}},
                                .no_broker = true,
                        };
                        int r = visit_once(&v, phases[k].call, 0);

                        if (r != phases[k].expected[verdict])
                                fail_msg("%s, phase %zu, names %d: %d", people[i].user, k, names, r);
                        if (verdict != OURS) /* who is ours may be asked for the old password */
                                assert_int_equal(v.person.n_prompts, 0);
                }
}

static void who_is_ours_fails_closed_and_nobody_else(void **state)
{
        check_people(NAMES_GOOD, "");
}

static void a_lost_name_service_file_lets_only_the_password_file_in(void **state)
{
        check_people(NAMES_MISSING, "");
        check_people(NAMES_CUT, "");
        check_people(NAMES_GARBAGE, "");
}

static void an_unknown_argument_refuses_our_people_and_never_root(void **state)
{
        static const struct {
                const char *user;
                int expected;
        } table[] = {{"root", PAM_USER_UNKNOWN}, {"guest", PAM_USER_UNKNOWN}, {"ana", PAM_SYSTEM_ERR}};

        pam_world_enter(NAMES_GOOD);
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {.user = table[i].user, .arguments = "quiet deny_everybody"};

                assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), table[i].expected);
                assert_int_equal(v.stand_in.seen.requests, 0);
                if (table[i].expected == PAM_SYSTEM_ERR)
                        assert_non_null(strstr(journal(), "<1> account: bad-argument: user=\"ana\" "
                                                          "rhost=\"client.example\": unknown argument "
                                                          "deny_everybody\n"));
        }
}

/* The program would make another person of this name: the broker is not even asked. */
static void a_name_that_another_source_takes_is_refused(void **state)
{
        struct visit v = {.user = "twin"};

        pam_world_enter(NAMES_GOOD);
        assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), PAM_AUTHINFO_UNAVAIL);
        assert_int_equal(v.stand_in.seen.requests, 0);
        assert_non_null(strstr(journal(), "another source gives this name the id 4001\n"));
}

/* Nobody becomes foreign by it who is ours; and root gets in, as far as this module goes. */
static void a_password_file_that_cannot_be_read_counts_as_empty(void **state)
{
        static const struct {
                const char *user;
                int expected;
        } table[] = {{"root", PAM_USER_UNKNOWN}, {"ana", PAM_SUCCESS}, {"local", PAM_USER_UNKNOWN}};
        const char *path, *aside;

        pam_world_enter(NAMES_GOOD);
        path = pam_world_path("passwd");
        aside = pam_world_path("passwd.aside");
        assert_int_equal(rename(path, aside), 0);
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {.user = table[i].user};

                assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), table[i].expected);
                assert_non_null(strstr(journal(), "/passwd: No such file or directory\n"));
        }
        assert_int_equal(rename(pam_world_path("passwd.aside"), pam_world_path("passwd")), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_is_ours_fails_closed_and_nobody_else),
                cmocka_unit_test(a_lost_name_service_file_lets_only_the_password_file_in),
                cmocka_unit_test(an_unknown_argument_refuses_our_people_and_never_root),
                cmocka_unit_test(a_name_that_another_source_takes_is_refused),
                cmocka_unit_test(a_password_file_that_cannot_be_read_counts_as_empty),
        };

        return cmocka_run_group_tests(tests, pam_world_make, pam_world_remove);
}
