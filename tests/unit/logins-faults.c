/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of test-logins: the handlers when memory, store, disk or caller fail them. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/logins.h"

/* --- calls --- */

static const char *main_socket = "main.sock";

static long authenticate(char ret_handle[static 65])
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_authenticate);
        struct kb_authenticate_reply reply;
        long r;

        kb_authenticate_request_put(&call.request,
                                    &(struct kb_authenticate_request){.user = "ana", .service = "sshd"});
        r = logins_run(&call, main_socket, 0);
        if (r == KB_E_OK) {
                assert_ok(kb_authenticate_reply_get(call.reply.body, &reply));
                assert_false(reply.granted);
                snprintf(ret_handle, 65, "%s", reply.session);
        }
        return r;
}

static long proceed(const char *handle, const char *typed, bool *ret_granted)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_proceed);
        struct kb_proceed_reply reply;
        long r;

        kb_proceed_request_put(&call.request, &(struct kb_proceed_request){.session = handle,
                                                                           .answer = KB_SPAN_STRING(typed)});
        r = logins_run(&call, main_socket, 0);
        *ret_granted = false;
        if (r == KB_E_OK) {
                assert_ok(kb_proceed_reply_get(call.reply.body, &reply));
                *ret_granted = reply.granted;
        }
        return r;
}

static long account(const char *handle)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_account);

        kb_account_request_put(&call.request, &(struct kb_account_request){
                                                      .user = "ana", .service = "sshd", .session = handle});
        return logins_run(&call, main_socket, 0);
}

static long change_password(const char *old, bool preliminary)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_change_password);

        kb_change_password_request_put(&call.request, &(struct kb_change_password_request){
                                                              .user = "ana",
                                                              .service = "passwd",
                                                              .preliminary = preliminary,
                                                              .old = KB_SPAN_STRING(old),
                                                              .new = KB_SPAN_STRING("open"),
                                                      });
        return logins_run(&call, main_socket, 0);
}

static long recovery(uint32_t count)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_recovery);

        kb_recovery_request_put(&call.request, &(struct kb_recovery_request){.count = count});
        return logins_run(&call, main_socket, 0);
}

/* The whole way in, as it has to work again after anything that went wrong. */
static void assert_works(void)
{
        char handle[65];
        bool granted;

        assert_int_equal(authenticate(handle), KB_E_OK);
        assert_int_equal(proceed(handle, "sesame", &granted), KB_E_OK);
        assert_true(granted);
        assert_int_equal(account(handle), KB_E_OK);
}

/* --- memory --- */

unsigned logins_failing;
_Thread_local unsigned logins_countdown;

static bool fails(void)
{
        return logins_countdown > 0 && --logins_countdown == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
        return fails() ? NULL : __real_malloc(size);
}

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
        return fails() ? NULL : __real_realloc(p, size);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
        return fails() ? NULL : __real_strdup(s);
}

static void begin_without(unsigned nth)
{
        char handle[65];

        logins_failing = nth;
        authenticate(handle);
}

static void proceed_without(unsigned nth)
{
        char handle[65];
        bool granted;
        long r;

        assert_int_equal(authenticate(handle), KB_E_OK);
        logins_failing = nth;
        r = proceed(handle, "sesame", &granted);
        assert_true(r == KB_E_OK || !granted);
        if (r != KB_E_OK && r != KB_E_INTERNAL &&
            r != -ECONNRESET) /* not: granted, and the answer was lost */
                assert_int_equal(account(handle), KB_E_DENIED);
}

/* It counts, whether or not there is memory to say so. */
static void guess_without(unsigned nth)
{
        const struct kb_lockout_policy second = {.attempts = 2, .window = KB_TIME_NEVER, .usec = 1};
        const struct kb_lockout_key key = kb_login_key(geteuid() != 0, "", "ana", "sshd");
        char handle[65];
        bool granted;
        long r;

        assert_int_equal(authenticate(handle), KB_E_OK);
        logins_failing = nth;
        r = proceed(handle, "wrong", &granted);
        assert_true(r != KB_E_OK && !granted);
        if (r == KB_E_BAD_SECRET)
                assert_true(kb_lockout_fail(broker.logins->lockout, &second, &key, kb_now_realtime()));
        kb_lockout_free(broker.logins->lockout);
        assert_ok(kb_lockout_new(&broker.logins->lockout));
}

static void account_without(unsigned nth)
{
        char handle[65];
        bool granted;

        assert_int_equal(authenticate(handle), KB_E_OK);
        assert_int_equal(proceed(handle, "sesame", &granted), KB_E_OK);
        logins_failing = nth;
        account(handle);
}

static void change_without(unsigned nth)
{
        logins_failing = nth;
        change_password("sesame", false);
}

static void make_codes_without(unsigned nth)
{
        bool lost; /* the answer: the codes are kept, and have to be made again */
        long r;

        broker.logins->recovery.n = 7;
        logins_failing = nth;
        r = recovery(3);
        lost = r == KB_E_INTERNAL || r == -ECONNRESET;
        if (!lost || broker.logins->recovery.n != 7)
                assert_int_equal(broker.logins->recovery.n, r == KB_E_OK || lost ? 3 : 7);
        assert_false(broker.logins->codes_busy);
}

static void use_a_code_without(unsigned nth)
{
        char handle[65], codes[1][KB_RECOVERY_CODE_SIZE];
        bool granted;
        long r;

        assert_ok(kb_recovery_make(&broker.logins->recovery, 1, codes));
        store.error = KB_E_UNREACHABLE;
        assert_int_equal(authenticate(handle), KB_E_OK);
        assert_int_equal(proceed(handle, "whatever", &granted), KB_E_OK);
        logins_failing = nth;
        r = proceed(handle, codes[0], &granted);
        if (r == KB_E_OK || r == KB_E_NO_RECORD) /* it is void on disk by then */
                assert_int_equal(broker.logins->recovery.n, 0);
        assert_int_equal(granted, r == KB_E_OK);
        assert_false(broker.logins->codes_busy);
        store.error = KB_E_OK;
}

/* Each allocation of the way in fails once: an error comes of it, or a hang-up, and the next one gets in. */
void no_allocation_that_fails_lets_anybody_in(void **state)
{
        static void (*const ways[])(unsigned nth) = {begin_without,     proceed_without, guess_without,
                                                     account_without,   change_without,  make_codes_without,
                                                     use_a_code_without};

        for (size_t way = 0; way < KB_ARRAY_SIZE(ways); way++) {
                unsigned nth = 0;

                if (ways[way] == make_codes_without && geteuid() != 0)
                        continue; /* only root's socket makes codes */
                do {
                        ways[way](++nth);
                        assert_true(nth < 200);
                } while (logins_failing == 0);
                logins_failing = 0;
                assert_true(nth > 1);
                assert_works();
        }
}

/* --- the store --- */

void a_store_that_makes_no_sense_lets_nobody_in(void **state)
{
        char handle[65];
        bool granted;

        store.nonsense = true;
        assert_int_equal(authenticate(handle), KB_E_OK);
        assert_int_equal(proceed(handle, "sesame", &granted), KB_E_INTERNAL);
        assert_int_equal(account(handle), KB_E_DENIED);
        assert_int_equal(change_password("sesame", false), KB_E_INTERNAL);
        store.nonsense = false;
        store.wants_code = true;
        store.asks = KB_ASK_ENTER + 1;
        assert_int_equal(authenticate(handle), KB_E_OK);
        assert_int_equal(proceed(handle, "sesame", &granted), KB_E_INTERNAL);
        assert_int_equal(account(handle), KB_E_DENIED);
        store.wants_code = false;
        assert_works();
}

void a_login_that_ends_while_it_is_checked_is_over(void **state)
{
        char handle[65];
        bool granted;

        assert_int_equal(authenticate(handle), KB_E_OK);
        store.ends = handle;
        assert_int_equal(proceed(handle, "sesame", &granted), KB_E_EXPIRED);
        store.ends = NULL;
        assert_int_equal(account(handle), KB_E_DENIED);
        assert_works();
}

/* --- callers --- */

void when_all_places_are_being_checked_the_next_one_waits(void **state)
{
        uid_t caller = geteuid();
        struct kb_attempt *a;
        char handle[65];

        while (kb_attempt_begin(broker.logins->attempts, caller, kb_now_boottime(), &a) == 0)
                a->busy = true;
        assert_int_equal(authenticate(handle), KB_E_BUSY);
        kb_attempts_free(broker.logins->attempts);
        assert_ok(kb_attempts_new(&broker.logins->attempts));
        assert_works();
}

void old_passwords_that_are_guessed_lock_out_too(void **state)
{
        const struct kb_lockout_policy policy = kb_login_policy(&broker);
        const struct kb_lockout_key key = kb_login_key(geteuid() != 0, "", "ana", "passwd");
        _cleanup_(kb_lockout_freep) struct kb_lockout *on_disk = NULL;

        for (unsigned i = 0; i < 9; i++)
                assert_int_equal(change_password("wrong", i % 2), KB_E_BAD_SECRET);
        assert_int_equal(change_password("sesame", true), KB_E_OK);
        assert_int_equal(change_password("wrong", true), KB_E_BAD_SECRET);
        on_disk = logins_lockout_on_disk();
        assert_true(kb_lockout_until(broker.logins->lockout, &key, kb_now_realtime()) > 0);
        assert_true(kb_lockout_until(on_disk, &key, kb_now_realtime()) > 0);
        store.verb = 0;
        assert_int_equal(change_password("sesame", true), KB_E_LOCKED);
        assert_int_equal(change_password("sesame", false), KB_E_LOCKED);
        assert_int_equal(store.verb, 0); /* it is not asked any more */
        kb_lockout_free(broker.logins->lockout);
        assert_ok(kb_lockout_new(&broker.logins->lockout));
        store.others_fail = policy.attempts; /* a lock that begins while the old one is checked */
        assert_int_equal(change_password("sesame", true), KB_E_LOCKED);
}

void requests_that_are_no_message_are_refused(void **state)
{
        static const uint32_t verbs[] = {KB_VERB_authenticate, KB_VERB_proceed, KB_VERB_account,
                                         KB_VERB_change_password};

        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++) {
                _cleanup_call_ struct kb_call call = kb_call_init(verbs[i]);

                kb_write_u32(&call.request, 77);
                assert_int_equal(logins_run(&call, main_socket, 0), KB_E_BAD_REQUEST);
        }
}

/* --- files, and the directory --- */

static void spit(const char *name, const char *text)
{
        FILE *f = fopen(logins_path(name), "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

void files_that_make_no_sense_count_as_empty(void **state)
{
        struct kb_logins *l = NULL;

        spit("keep/login.lockout", "no counters");
        spit("keep/login.recovery", "no codes");
        assert_ok(kb_logins_new(&l, broker.disk, logins_path("keep")));
        assert_int_equal(l->recovery.n, 0);
        kb_logins_free(l);
        l = NULL;
        assert_int_equal(kb_logins_new(&l, broker.disk, logins_path("nowhere")), -ENOENT);
        assert_null(l);
}

void a_person_says_where_the_password_is_checked(void **state)
{
        static const struct {
                const char *auth, *store, *method;
        } table[] = {
                {"", "local", ""},
                {"vault", "vault", ""},
                {"vault/ldap", "vault", "ldap"},
                {"/ldap", "local", "ldap"},
        };
        char name[KB_CREDENTIAL_NAME_MAX + 1];
        const char *method;

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                const struct kb_person person = {.record.auth = table[i].auth};

                kb_login_store(&broker, &person, name, &method);
                assert_string_equal(name, table[i].store);
                assert_string_equal(method, table[i].method);
        }
}
