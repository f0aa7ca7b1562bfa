/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each call of the module to the system or to libpam fails, once, wherever it is made: nobody gets in by
 * that whom the broker refuses, nobody of the host is kept out, and nothing leaks.
 */
#include "tests/module/pam-fixture.h"
#include "tests/unit/test.h"

#include <errno.h>

#include "common/macro.h"

/* The call that fails: which, the how-manieth of it, and how. */
static struct {
        const char *call;
        unsigned nth; /* counts down; 0: none fails any more */
        int error;
} fault;

_export_ bool pam_world_fails(const char *call)
{
        if (fault.nth == 0 || strcmp(fault.call, call) != 0 || --fault.nth > 0)
                return false;
        errno = fault.error;
        return true;
}

static const struct {
        const char *call;
        int error;
} faults[] = {
        {"calloc", ENOMEM},     {"strdup", ENOMEM}, {"asprintf", ENOMEM},
        {"open", EMFILE},       {"fstat", EIO},     {"read", EIO},
        {"read", EINTR},        {"socket", EMFILE}, {"socket", ENOMEM},
        {"connect", EACCES},    {"connect", EINTR}, {"poll", ENOMEM},
        {"poll", EINTR},        {"send", EPIPE},    {"send", EINTR},
        {"recv", ECONNRESET},   {"recv", EINTR},    {"kb_nss_id_range", EIO},
        {"pam_get_item", 0},    {"pam_putenv", 0},  {"pam_set_data", 0},
        {"pam_get_authtok", 0},
};

/* All phases of a login, as far as it gets, and a change of the password. */
enum { AUTHENTICATE, ACCOUNT, OPEN, CLOSE, CHANGE, PHASES };

static void go_through(struct visit *v, int codes[static PHASES])
{
        visit_begin(v);
        codes[AUTHENTICATE] = pam_authenticate(v->pamh, 0);
        codes[ACCOUNT] = pam_acct_mgmt(v->pamh, 0);
        codes[OPEN] = pam_open_session(v->pamh, 0);
        codes[CLOSE] = pam_close_session(v->pamh, 0);
        codes[CHANGE] = pam_chauthtok(v->pamh, 0);
        visit_end(v);
}

/* Calls check for every call that fails; returns for how many. */
static unsigned with_each_fault(struct visit (*make)(void), void (*check)(const int codes[static PHASES]))
{
        unsigned met = 0;

        for (size_t i = 0; i < KB_ARRAY_SIZE(faults); i++)
                for (unsigned nth = 1;; nth++) {
                        struct visit v = make();
                        int codes[PHASES];

                        fault.call = faults[i].call;
                        fault.error = faults[i].error;
                        fault.nth = nth;
                        go_through(&v, codes);
                        if (fault.nth > 0) /* there are not that many */
                                break;
                        check(codes);
                        met++;
                }
        fault.nth = 0;
        return met;
}

static struct visit refused(void)
{
        return (struct visit){
                .user = "ana",
                .person = {.replies = {{TYPES, "sesame", 0}, {TYPES, "new", 0}, {TYPES, "new", 0}}},
                .broker = {.status = KB_E_DENIED},
        };
}

static void is_out(const int codes[static PHASES])
{
        assert_int_not_equal(codes[AUTHENTICATE], PAM_SUCCESS);
        assert_int_not_equal(codes[ACCOUNT], PAM_SUCCESS);
        assert_int_not_equal(codes[OPEN], PAM_SUCCESS);
        assert_int_not_equal(codes[CHANGE], PAM_SUCCESS);
        for (size_t i = 0; i < PHASES; i++) /* a profile ignores the one, and may ignore the other */
                assert_true(codes[i] != PAM_USER_UNKNOWN && codes[i] != PAM_IGNORE);
}

static void no_fault_lets_in_who_is_refused(void **state)
{
        assert_true(with_each_fault(refused, is_out) > KB_ARRAY_SIZE(faults));
}

static struct visit permitted(void)
{
        struct visit v = refused();

        v.broker = (struct script){.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"}},
                                   .credentials = "/run/keybearer/users/65536"};
        return v;
}

/* A signal is no fault; and whatever else goes wrong, nobody becomes a stranger by it. */
static void is_in_or_told_so(const int codes[static PHASES])
{
        for (size_t i = 0; i < PHASES; i++) {
                assert_true(codes[i] != PAM_USER_UNKNOWN && codes[i] != PAM_IGNORE);
                if (fault.error == EINTR)
                        assert_int_equal(codes[i], PAM_SUCCESS);
        }
}

static void a_signal_is_no_fault_and_a_fault_makes_no_stranger(void **state)
{
        assert_true(with_each_fault(permitted, is_in_or_told_so) > KB_ARRAY_SIZE(faults));
}

static struct visit of_the_host(void)
{
        return (struct visit){.user = "root", .no_broker = true};
}

static void is_none_of_ours(const int codes[static PHASES])
{
        if (strcmp(fault.call, "pam_get_item") == 0) /* nobody knows then who it is */
                return;
        assert_int_equal(codes[AUTHENTICATE], PAM_USER_UNKNOWN);
        assert_int_equal(codes[ACCOUNT], PAM_USER_UNKNOWN);
        assert_int_equal(codes[OPEN], PAM_SUCCESS);
        assert_int_equal(codes[CLOSE], PAM_SUCCESS);
        assert_int_equal(codes[CHANGE], PAM_USER_UNKNOWN);
}

static void no_fault_keeps_out_who_is_of_the_host(void **state)
{
        assert_true(with_each_fault(of_the_host, is_none_of_ours) > 0);
}

/* An id of our range, and nobody can say whether it is one. */
static void without_the_range_a_strange_id_cannot_be_told(void **state)
{
        struct visit v = {.user = "stolen"};

        fault.call = "kb_nss_id_range";
        fault.error = EIO;
        fault.nth = 1;
        assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), PAM_AUTHINFO_UNAVAIL);
        assert_int_equal(v.stand_in.seen.requests, 0);
}

static int enter(void **state)
{
        pam_world_module = "pam_keybearer_faulty.so";
        return pam_world_make(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_fault_lets_in_who_is_refused),
                cmocka_unit_test(a_signal_is_no_fault_and_a_fault_makes_no_stranger),
                cmocka_unit_test(no_fault_keeps_out_who_is_of_the_host),
                cmocka_unit_test(without_the_range_a_strange_id_cannot_be_told),
        };

        return cmocka_run_group_tests(tests, enter, pam_world_remove);
}
