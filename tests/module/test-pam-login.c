/* SPDX-License-Identifier: Apache-2.0 */
/* What one phase leaves for the next, what the broker is told, and what the journal gets. */
#include "tests/module/pam-fixture.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/macro.h"

static void the_broker_is_told_who_comes_from_where(void **state)
{
        static int (*const calls[])(pam_handle_t *, int) = {pam_authenticate, pam_acct_mgmt};

        for (size_t i = 0; i < KB_ARRAY_SIZE(calls); i++) {
                struct visit v = {.user = "ana", .service = "sudo"};

                assert_int_equal(visit_once(&v, calls[i], 0), PAM_SUCCESS);
                assert_string_equal(v.stand_in.seen.user, "ana");
                assert_string_equal(v.stand_in.seen.service, "sudo");
                assert_string_equal(v.stand_in.seen.remote_host, "client.example");
                assert_string_equal(v.stand_in.seen.remote_user, "carl");
                assert_string_equal(v.stand_in.seen.tty, "ssh");
        }
}

static void a_login_goes_through_all_phases(void **state)
{
        _cleanup_visit_ struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, "sesame", 0}, {TYPES, "123456", 0}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"},
                                         {KB_ASK_CODE, "Code: ", "", "123456"}},
                           .credentials = "/run/keybearer/users/65536"},
        };
        const void *user = NULL;

        visit_begin(&v);
        assert_int_equal(pam_authenticate(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(pam_getenv(v.pamh, "KEYBEARER_SESSION"), STAND_IN_HANDLE);
        assert_int_equal(pam_acct_mgmt(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, STAND_IN_HANDLE);
        assert_int_equal(pam_setcred(v.pamh, PAM_ESTABLISH_CRED), PAM_SUCCESS);

        v.stand_in.script.handle = "fedcba9876543210";
        assert_int_equal(pam_open_session(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, STAND_IN_HANDLE);
        assert_string_equal(pam_getenv(v.pamh, "KEYBEARER_CREDENTIALS"), "/run/keybearer/users/65536");
        assert_null(pam_getenv(v.pamh, "KEYBEARER_SESSION")); /* not for the person's environment */

        assert_int_equal(pam_close_session(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, "fedcba9876543210");
        assert_int_equal(pam_get_item(v.pamh, PAM_USER, &user), PAM_SUCCESS);
        assert_string_equal(user, "ana");
}

/* By key, from cron: nothing of ours came before. */
static void account_and_session_stand_alone(void **state)
{
        _cleanup_visit_ struct visit v = {.user = "ana"};

        visit_begin(&v);
        assert_int_equal(pam_acct_mgmt(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, "");
        assert_int_equal(pam_open_session(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, "");
        assert_null(pam_getenv(v.pamh, "KEYBEARER_CREDENTIALS"));
}

static void a_handle_from_elsewhere_is_not_passed_on(void **state)
{
        _cleanup_visit_ struct visit v = {.user = "ana"};

        visit_begin(&v);
        assert_int_equal(pam_putenv(v.pamh, "KEYBEARER_SESSION=two words"), PAM_SUCCESS);
        assert_int_equal(pam_acct_mgmt(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, "");
}

static void a_failed_attempt_leaves_no_handle(void **state)
{
        _cleanup_visit_ struct visit v = {.user = "ana"};

        visit_begin(&v);
        assert_int_equal(pam_authenticate(v.pamh, 0), PAM_SUCCESS);
        assert_non_null(pam_getenv(v.pamh, "KEYBEARER_SESSION"));
        v.stand_in.script.status = KB_E_DENIED;
        assert_int_equal(pam_authenticate(v.pamh, 0), PAM_AUTH_ERR);
        assert_null(pam_getenv(v.pamh, "KEYBEARER_SESSION"));
}

static void only_a_folder_of_ours_becomes_the_credentials(void **state)
{
        static const struct {
                const char *path;
                int expected;
        } table[] = {
                {"", PAM_SUCCESS},
                {"/run/keybearer/users/65536", PAM_SUCCESS},
                {"/tmp/x", PAM_SESSION_ERR},
                {"run/keybearer/users/1", PAM_SESSION_ERR},
                {"/run/keybearer/users/../../etc", PAM_SESSION_ERR},
                {"/run/keybearer/users/1\nLD_PRELOAD=x", PAM_SESSION_ERR},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {.user = "ana", .broker = {.credentials = table[i].path}};

                assert_int_equal(visit_once(&v, pam_open_session, 0), table[i].expected);
        }
}

static void a_session_without_credentials_inherits_none(void **state)
{
        _cleanup_visit_ struct visit v = {.user = "ana",
                                          .broker = {.credentials = "/run/keybearer/users/65536"}};

        visit_begin(&v);
        assert_int_equal(pam_open_session(v.pamh, 0), PAM_SUCCESS);
        v.stand_in.script.credentials = "";
        assert_int_equal(pam_open_session(v.pamh, 0), PAM_SUCCESS);
        assert_null(pam_getenv(v.pamh, "KEYBEARER_CREDENTIALS"));
}

/* sudo uses one handle for two people. */
static void each_person_closes_their_own_session(void **state)
{
        _cleanup_visit_ struct visit v = {.user = "ana"};

        visit_begin(&v);
        assert_int_equal(pam_open_session(v.pamh, 0), PAM_SUCCESS);
        assert_int_equal(pam_set_item(v.pamh, PAM_USER, "bea"), PAM_SUCCESS);
        v.stand_in.seen.requests = 0;
        assert_int_equal(pam_close_session(v.pamh, 0), PAM_SUCCESS);
        assert_int_equal(v.stand_in.seen.requests, 0); /* bea has none */
        v.stand_in.script.handle = "bea1";
        assert_int_equal(pam_open_session(v.pamh, 0), PAM_SUCCESS);
        assert_int_equal(pam_set_item(v.pamh, PAM_USER, "ana"), PAM_SUCCESS);
        assert_int_equal(pam_close_session(v.pamh, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.session, STAND_IN_HANDLE);
}

static void an_expired_password_stops_only_where_somebody_can_change_it(void **state)
{
        static const struct {
                const char *service;
                bool absent;
                int expected;
        } table[] = {
                {"sshd", false, PAM_NEW_AUTHTOK_REQD},  {"login", false, PAM_NEW_AUTHTOK_REQD},
                {"sudo", false, PAM_NEW_AUTHTOK_REQD},  {"cron", false, PAM_SUCCESS},
                {"crond", false, PAM_SUCCESS},          {"atd", false, PAM_SUCCESS},
                {"systemd-user", false, PAM_SUCCESS},   {"sshd", true, PAM_SUCCESS},
                {"cronx", false, PAM_NEW_AUTHTOK_REQD},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {
                        .user = "ana",
                        .service = table[i].service,
                        .person = {.absent = table[i].absent},
                        .broker = {.change_password = true, .farewell = "Your password has expired."},
                };

                assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), table[i].expected);
                assert_int_equal(v.person.n_notes, table[i].expected == PAM_NEW_AUTHTOK_REQD);
        }
}

static void a_refusal_asks_for_a_pause_and_nothing_else_does(void **state)
{
        static const struct {
                uint32_t status;
                int (*call)(pam_handle_t *, int);
                const char *arguments;
                bool pause;
        } table[] = {
                {KB_E_BAD_SECRET, pam_authenticate, "", true},
                {KB_E_DENIED, pam_authenticate, "", true},
                {KB_E_THROTTLED, pam_authenticate, "", true},
                {KB_E_BAD_SECRET, pam_authenticate, "nodelay", false},
                {KB_E_OK, pam_authenticate, "", false},
                {KB_E_UNREACHABLE, pam_authenticate, "", false},
                {KB_E_DENIED, pam_acct_mgmt, "", false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {.user = "ana",
                                  .arguments = table[i].arguments,
                                  .broker = {.status = table[i].status}};

                visit_once(&v, table[i].call, 0);
                assert_int_equal(v.delay > 0, table[i].pause);
        }
}

static void the_journal_gets_one_line_that_nobody_can_forge(void **state)
{
        static const struct {
                uint32_t status;
                const char *text, *arguments, *line;
        } table[] = {
                {KB_E_OK, "", "", ""},
                {KB_E_OK, "", "debug", "<7> account: ok: user=\"ana\" rhost=\"a\\x0a\\x22b\"\n"},
                {KB_E_DENIED, "no rule", "",
                 "<5> account: denied: user=\"ana\" rhost=\"a\\x0a\\x22b\": no rule\n"},
                {KB_E_BUSY, "\n", "",
                 "<4> account: busy: user=\"ana\" rhost=\"a\\x0a\\x22b\": too much to do: try again\n"},
                {99, "%s", "", "<3> account: unknown: user=\"ana\" rhost=\"a\\x0a\\x22b\": %s\n"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_visit_ struct visit v = {
                        .user = "ana",
                        .arguments = table[i].arguments,
                        .broker = {.status = table[i].status, .text = table[i].text},
                };

                visit_begin(&v);
                assert_int_equal(pam_set_item(v.pamh, PAM_RHOST, "a\n\"b"), PAM_SUCCESS);
                pam_acct_mgmt(v.pamh, 0);
                assert_string_equal(journal(), table[i].line);
        }
}

static void no_secret_gets_into_the_journal(void **state)
{
        struct visit v = {
                .user = "ana",
                .arguments = "debug",
                .person = {.replies = {{TYPES, "sesame-opens", 0}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "other"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_AUTH_ERR);
        assert_non_null(strstr(journal(), "bad-secret"));
        assert_null(strstr(journal(), "sesame"));
}

/* --- passwords --- */

static struct visit visit_password(const char *first, const char *second, const char *third)
{
        return (struct visit){
                .user = "ana",
                .service = "passwd",
                .person = {.replies = {{TYPES, first, 0}, {TYPES, second, 0}, {TYPES, third, 0}}},
        };
}

static void root_sets_a_password_without_the_old_one(void **state)
{
        struct visit v = visit_password("new one", "new one", NULL);

        assert_int_equal(visit_once(&v, pam_chauthtok, 0), PAM_SUCCESS);
        assert_true(v.stand_in.seen.privileged);
        assert_string_equal(v.stand_in.seen.old_password, "");
        assert_string_equal(v.stand_in.seen.new_password, "new one");
        assert_int_equal(v.person.n_prompts, 2);
}

static void everybody_else_must_know_the_old_one(void **state)
{
        struct visit v = visit_password("old one", "new one", "new one");

        pam_world_uid = 65536;
        assert_int_equal(visit_once(&v, pam_chauthtok, 0), PAM_SUCCESS);
        pam_world_uid = 0;
        assert_false(v.stand_in.seen.privileged);
        assert_string_equal(v.stand_in.seen.old_password, "old one");
        assert_string_equal(v.stand_in.seen.new_password, "new one");
}

/* At a login that has expired the person types, whoever the program runs as. */
static void whoever_changes_an_expired_password_must_know_it(void **state)
{
        struct visit v = visit_password("old one", "new one", "new one");

        v.broker.farewell = "Changed.";
        assert_int_equal(visit_once(&v, pam_chauthtok, PAM_CHANGE_EXPIRED_AUTHTOK), PAM_SUCCESS);
        assert_int_equal(v.stand_in.seen.requests, 2);
        assert_false(v.stand_in.seen.preliminary);
        assert_false(v.stand_in.seen.privileged);
        assert_string_equal(v.stand_in.seen.old_password, "old one");
        assert_string_equal(v.stand_in.seen.new_password, "new one");
        assert_string_equal(v.person.notes, "Changed.\nChanged.\n");
}

static void a_password_is_not_changed_when_it_cannot_be(void **state)
{
        static const struct {
                struct reply replies[3];
                int expected;
                unsigned requests;
        } table[] = {
                {{{FAILS, NULL, 0}}, PAM_AUTHTOK_RECOVERY_ERR, 0},
                {{{TYPES, "", 0}}, PAM_AUTH_ERR, 0},
                {{{TYPES_TOO_MUCH, NULL, 0}}, PAM_AUTH_ERR, 0},
                {{{TYPES, "old", 0}, {FAILS, NULL, 0}}, PAM_AUTHTOK_ERR, 1},
                {{{TYPES, "old", 0}, {TYPES, "new", 0}, {TYPES, "other", 0}}, PAM_AUTHTOK_ERR, 1},
                {{{TYPES, "old", 0}, {TYPES_TOO_MUCH, NULL, 0}, {TYPES_TOO_MUCH, NULL, 0}}, PAM_AUTH_ERR, 1},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {.user = "ana", .service = "passwd"};

                memcpy(v.person.replies, table[i].replies, sizeof(table[i].replies));
                assert_int_equal(visit_once(&v, pam_chauthtok, PAM_CHANGE_EXPIRED_AUTHTOK),
                                 table[i].expected);
                assert_int_equal(v.stand_in.seen.requests, table[i].requests);
        }
}

static void use_authtok_takes_only_what_another_module_checked(void **state)
{
        struct visit v = visit_password("old", "new", "new");

        v.arguments = "use_authtok";
        assert_int_equal(visit_once(&v, pam_chauthtok, PAM_CHANGE_EXPIRED_AUTHTOK), PAM_AUTHTOK_ERR);
        assert_int_equal(v.person.n_prompts, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_broker_is_told_who_comes_from_where),
                cmocka_unit_test(a_login_goes_through_all_phases),
                cmocka_unit_test(account_and_session_stand_alone),
                cmocka_unit_test(a_handle_from_elsewhere_is_not_passed_on),
                cmocka_unit_test(a_failed_attempt_leaves_no_handle),
                cmocka_unit_test(only_a_folder_of_ours_becomes_the_credentials),
                cmocka_unit_test(a_session_without_credentials_inherits_none),
                cmocka_unit_test(each_person_closes_their_own_session),
                cmocka_unit_test(an_expired_password_stops_only_where_somebody_can_change_it),
                cmocka_unit_test(a_refusal_asks_for_a_pause_and_nothing_else_does),
                cmocka_unit_test(the_journal_gets_one_line_that_nobody_can_forge),
                cmocka_unit_test(no_secret_gets_into_the_journal),
                cmocka_unit_test(root_sets_a_password_without_the_old_one),
                cmocka_unit_test(everybody_else_must_know_the_old_one),
                cmocka_unit_test(whoever_changes_an_expired_password_must_know_it),
                cmocka_unit_test(a_password_is_not_changed_when_it_cannot_be),
                cmocka_unit_test(use_authtok_takes_only_what_another_module_checked),
        };

        return cmocka_run_group_tests(tests, pam_world_make, pam_world_remove);
}
