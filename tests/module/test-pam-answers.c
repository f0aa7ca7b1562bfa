/* SPDX-License-Identifier: Apache-2.0 */
/* What the broker answers, and what PAM is told: every answer in every phase, through libpam. */
#include "tests/module/pam-fixture.h"
#include "tests/unit/test.h"

#include "common/macro.h"

struct row {
        uint32_t status;
        int authenticate, account, preliminary, change;
};

/* Written out once more, on purpose: this is what we promise to whoever writes a PAM profile. */
static const struct row table[] = {
        {KB_E_OK, PAM_SUCCESS, PAM_SUCCESS, PAM_SUCCESS, PAM_SUCCESS},
        {KB_E_UNREACHABLE, PAM_AUTHINFO_UNAVAIL, PAM_AUTHINFO_UNAVAIL, PAM_TRY_AGAIN, PAM_AUTHTOK_ERR},
        {KB_E_SEALED, PAM_AUTHINFO_UNAVAIL, PAM_AUTHINFO_UNAVAIL, PAM_TRY_AGAIN, PAM_AUTHTOK_ERR},
        {KB_E_THROTTLED, PAM_MAXTRIES, PAM_PERM_DENIED, PAM_TRY_AGAIN, PAM_AUTHTOK_ERR},
        {KB_E_LOCKED, PAM_MAXTRIES, PAM_PERM_DENIED, PAM_PERM_DENIED, PAM_PERM_DENIED},
        {KB_E_DENIED, PAM_AUTH_ERR, PAM_PERM_DENIED, PAM_PERM_DENIED, PAM_PERM_DENIED},
        {KB_E_NOT_FOUND, PAM_AUTH_ERR, PAM_PERM_DENIED, PAM_PERM_DENIED, PAM_PERM_DENIED},
        {KB_E_BAD_REQUEST, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {KB_E_EXPIRED, PAM_AUTH_ERR, PAM_ACCT_EXPIRED, PAM_PERM_DENIED, PAM_PERM_DENIED},
        {KB_E_UNSUPPORTED, PAM_AUTHINFO_UNAVAIL, PAM_SYSTEM_ERR, PAM_PERM_DENIED, PAM_PERM_DENIED},
        {KB_E_BUSY, PAM_AUTHINFO_UNAVAIL, PAM_AUTHINFO_UNAVAIL, PAM_TRY_AGAIN, PAM_AUTHTOK_LOCK_BUSY},
        {KB_E_CONFLICT, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR, PAM_AUTHTOK_ERR},
        {KB_E_NO_RECORD, PAM_AUTHINFO_UNAVAIL, PAM_AUTHINFO_UNAVAIL, PAM_TRY_AGAIN, PAM_AUTHTOK_ERR},
        {KB_E_INTERNAL, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {KB_E_BAD_SECRET, PAM_AUTH_ERR, PAM_PERM_DENIED, PAM_AUTH_ERR, PAM_AUTH_ERR},
        {KB_E_WEAK, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR, PAM_AUTHTOK_ERR},
        {KB_E_STORAGE, PAM_AUTHINFO_UNAVAIL, PAM_AUTHINFO_UNAVAIL, PAM_TRY_AGAIN, PAM_AUTHTOK_ERR},
        /* what a broker of next year might say, and what would be our own verdicts if it could */
        {KB_E_STORAGE + 1, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {0xffff, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {0x10000, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {0x10001, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {0x10006, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
        {0xfffffffe, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_AUTHTOK_ERR},
};

static struct visit visit_answered(uint32_t status, unsigned good_requests)
{
        return (struct visit){
                .user = "ana",
                .broker = {.status = status,
                           .good_requests = good_requests,
                           .text = "because",
                           .questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"}}},
                .person = {.replies = {{TYPES, "sesame", 0}, {TYPES, "sesame", 0}, {TYPES, "sesame", 0}}},
        };
}

static void authenticate_refuses_at_the_first_step(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = visit_answered(table[i].status, 0);

                assert_int_equal(visit_once(&v, pam_authenticate, 0), table[i].authenticate);
                assert_int_equal(v.person.n_prompts, table[i].status == KB_E_OK);
        }
}

static void authenticate_refuses_after_the_password(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = visit_answered(table[i].status, 1);

                assert_int_equal(visit_once(&v, pam_authenticate, 0), table[i].authenticate);
                assert_int_equal(v.person.n_prompts, 1);
                assert_int_equal(v.stand_in.seen.requests, 2);
        }
}

static void account_decides_without_a_prompt(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = visit_answered(table[i].status, 0);

                assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), table[i].account);
                assert_int_equal(v.person.n_prompts, 0);
                assert_int_equal(v.stand_in.seen.requests, 1);
        }
}

static void a_session_opens_or_it_does_not(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                int expected = table[i].status == KB_E_OK ? PAM_SUCCESS : PAM_SESSION_ERR;
                struct visit v = visit_answered(table[i].status, 0);

                assert_int_equal(visit_once(&v, pam_open_session, 0), expected);
                assert_int_equal(v.stand_in.seen.verb, KB_VERB_open_session);
                assert_int_equal(v.person.n_prompts, 0);
        }
}

static int open_and_close(pam_handle_t *pamh, int flags)
{
        assert_int_equal(pam_open_session(pamh, flags), PAM_SUCCESS);
        return pam_close_session(pamh, flags);
}

static void a_session_closes_whatever_the_broker_says(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = visit_answered(table[i].status, 1);

                assert_int_equal(visit_once(&v, open_and_close, 0), PAM_SUCCESS);
                assert_int_equal(v.stand_in.seen.verb, KB_VERB_close_session);
        }
}

static void a_password_is_refused_before_it_is_changed(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = visit_answered(table[i].status, 0);

                assert_int_equal(visit_once(&v, pam_chauthtok, 0), table[i].preliminary);
                assert_int_equal(v.stand_in.seen.requests, table[i].status == KB_E_OK ? 2 : 1);
        }
}

static void a_password_is_refused_when_it_is_changed(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = visit_answered(table[i].status, 1);

                assert_int_equal(visit_once(&v, pam_chauthtok, 0), table[i].change);
                assert_int_equal(v.stand_in.seen.requests, 2);
        }
}

/* sudo and others go on with it after a refusal too; what it says must not undo anything. */
static void setcred_has_nothing_to_do(void **state)
{
        static const int flags[] = {PAM_ESTABLISH_CRED, PAM_REINITIALIZE_CRED, PAM_REFRESH_CRED,
                                    PAM_DELETE_CRED};

        for (size_t i = 0; i < KB_ARRAY_SIZE(flags); i++) {
                struct visit v = visit_answered(KB_E_OK, 0);

                assert_int_equal(visit_once(&v, pam_setcred, flags[i]), PAM_SUCCESS);
                assert_int_equal(v.stand_in.seen.requests, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(authenticate_refuses_at_the_first_step),
                cmocka_unit_test(authenticate_refuses_after_the_password),
                cmocka_unit_test(account_decides_without_a_prompt),
                cmocka_unit_test(a_session_opens_or_it_does_not),
                cmocka_unit_test(a_session_closes_whatever_the_broker_says),
                cmocka_unit_test(a_password_is_refused_before_it_is_changed),
                cmocka_unit_test(a_password_is_refused_when_it_is_changed),
                cmocka_unit_test(setcred_has_nothing_to_do),
        };

        return cmocka_run_group_tests(tests, pam_world_make, pam_world_remove);
}
