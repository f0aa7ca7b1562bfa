/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of a cluster: their names, renewing and revoking them, and that none is made twice or lost. */
#include "tests/unit/engines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/folder.h"

#define CREDS                                                                                               \
        "{\"lease_id\":\"database/creds/r/"                                                                 \
        "x\",\"renewable\":true,\"lease_duration\":3600,\"data\":{\"username\":\"u\"}}"
#define LEASE      "database/creds/r/x#token/7"
#define TAKES_BACK "{\"lease_id\":\"database/creds/r/x\",\"sync\":true}"

/* Asks for one, up to the point where the server is asked for it. */
static void ask_creds(struct kb_request *q, const char *id)
{
        ask_fetch(q, "database/creds/r", NULL, NULL, NULL, id);
        if (bench.n_calls > 0 && strncmp(bench.calls[0]->line, "GET sys/", 8) == 0)
                answer_mount("database/creds/r", "database/", "database");
}

/* --- names --- */

static void names_of_leases_say_all_there_is_to_know(void **state)
{
        static const struct {
                const char *name;
                enum kb_lease_kind kind;
                const char *front, *back;
                uint64_t generation;
        } rows[] = {
                {"database/creds/r/aB3#token/7", KB_LEASE_NAME_SERVER, "database/creds/r/aB3", "7", 7},
                {"a@b/creds/r/x.nsid#token/18", KB_LEASE_NAME_SERVER, "a@b/creds/r/x.nsid", "18", 18},
                {"pki/#cert/1f:2e", KB_LEASE_NAME_CERTIFICATE, "pki/", "1f:2e", 0},
                {"ssh/sign/r#record/1f", KB_LEASE_NAME_RECORD, "ssh/sign/r", "1f", 0},
                {"kv/a@3", KB_LEASE_NAME_VERSION, "kv/a", "3", 0},
                {"kv/a@b@3", KB_LEASE_NAME_VERSION, "kv/a@b", "3", 0},
                {"", KB_LEASE_NAME_BAD, .front = NULL},
                {"kv/a", KB_LEASE_NAME_BAD, .front = NULL},
                {"@3", KB_LEASE_NAME_BAD, .front = NULL},
                {"kv/a@", KB_LEASE_NAME_BAD, .front = NULL},
                {"a@b/c", KB_LEASE_NAME_BAD, .front = NULL},
                {"a#token/", KB_LEASE_NAME_BAD, .front = NULL},
                {"a#token/x", KB_LEASE_NAME_BAD, .front = NULL},
                {"a#token/-1", KB_LEASE_NAME_BAD, .front = NULL},
                {"a#token/99999999999999999999", KB_LEASE_NAME_BAD, .front = NULL},
                {"#token/7", KB_LEASE_NAME_BAD, .front = NULL},
                {"a#other/7", KB_LEASE_NAME_BAD, .front = NULL},
                {"a#cert/1#cert/2", KB_LEASE_NAME_BAD, .front = NULL},
                {"a b#cert/1", KB_LEASE_NAME_BAD, .front = NULL},
                {"a\n#cert/1", KB_LEASE_NAME_BAD, .front = NULL},
                {"\303\244#cert/1", KB_LEASE_NAME_BAD, .front = NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_lease_name name = {};

                kb_lease_name_parse(rows[i].name, &name);
                if (name.kind != rows[i].kind)
                        fail_msg("%s: %d", rows[i].name, name.kind);
                if (!rows[i].front)
                        continue;
                assert_string_equal(name.front, rows[i].front);
                assert_string_equal(name.back, rows[i].back);
                assert_int_equal(name.generation, rows[i].generation);
        }
}

static void a_name_is_made_of_harmless_bytes_or_not_at_all(void **state)
{
        static const char *const bad[] = {"",    "a b", "a\nb",     "a#b",  "a\"b",
                                          "a;b", "a%b", "\303\244", "a\177"};
        char name[KB_LEASE_NAME_MAX + 1], edge[KB_LEASE_NAME_MAX + 1] = "";

        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                assert_int_equal(kb_lease_name_server(bad[i], 1, name), -EINVAL);
                assert_int_equal(kb_lease_name_certificate("pki/", bad[i], name), -EINVAL);
                assert_int_equal(kb_lease_name_record("p", bad[i], name), -EINVAL);
                assert_int_equal(kb_lease_name_version("p", bad[i], name), -EINVAL);
        }
        assert_int_equal(kb_lease_name_version("p", "a/b", name), -EINVAL);
        assert_int_equal(kb_lease_name_version("p", "a@b", name), -EINVAL);
        memset(edge, 'a', KB_LEASE_NAME_MAX - 2);
        assert_ok(kb_lease_name_version(edge, "1", name));
        edge[KB_LEASE_NAME_MAX - 2] = 'a';
        assert_int_equal(kb_lease_name_version(edge, "1", name), -ENAMETOOLONG);
}

/* --- renew --- */

#define RENEWED(seconds, more)                                                                              \
        "{\"lease_id\":\"database/creds/r/x\",\"renewable\":" more ",\"lease_duration\":" #seconds "}"

static void a_renewal_tells_what_the_server_gave(void **state)
{
        static const struct {
                uint64_t increment;
                const char *body;
                int status;
                const char *json;
                enum kb_error error;
                uint64_t ttl;
                bool renewable;
        } rows[] = {
                {0, "{\"lease_id\":\"database/creds/r/x\"}", 200, RENEWED(3600, "true"), KB_E_OK, 3600,
                 true},
                {60, "{\"lease_id\":\"database/creds/r/x\",\"increment\":60}", 200, RENEWED(60, "true"),
                 KB_E_OK, 60, true},
                {UINT64_MAX, "{\"lease_id\":\"database/creds/r/x\"}", 200, RENEWED(7, "false"), KB_E_OK, 7,
                 false},
                {0, NULL, 200, RENEWED(0, "true"), KB_E_EXPIRED, .ttl = 0}, /* not: without an end */
                {0, NULL, 204, "", KB_E_EXPIRED, .ttl = 0},
                {0, NULL, 400, "{\"errors\":[\"lease not found\"]}", KB_E_EXPIRED, .ttl = 0},
                {0, NULL, 400, "{\"errors\":[\"lease expired\"]}", KB_E_EXPIRED, .ttl = 0},
                {0, NULL, 400, "{\"errors\":[\"lease is not renewable\"]}", KB_E_BAD_REQUEST, .ttl = 0},
                {0, NULL, 404, "", KB_E_EXPIRED, .ttl = 0},
                {0, NULL, 429, "", KB_E_THROTTLED, .ttl = 0},
                {0, NULL, 500, "", KB_E_UNREACHABLE, .ttl = 0},
                {0, NULL, 503, "", KB_E_SEALED, .ttl = 0},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_renew(&q, LEASE, rows[i].increment);
                assert_false(expect_call("POST sys/leases/renew")->once);
                if (rows[i].body)
                        assert_string_equal(bench.calls[0]->body, rows[i].body);
                answer(rows[i].status, rows[i].json);
                assert_int_equal(q.answers, 1);
                assert_int_equal(q.error, rows[i].error);
                assert_int_equal(q.renewed.ttl, rows[i].ttl);
                assert_int_equal(q.renewed.renewable, rows[i].renewable);
        }
        assert_true(kb_engines_idle(bench.engines));
}

static void a_lease_never_lives_longer_than_its_token(void **state)
{
        _cleanup_request_ struct kb_request fetched, renewed, late, old, foreign;

        bench.ends = kb_now_boottime() + 100 * KB_USEC_PER_SEC;
        ask_creds(&fetched, "r.0");
        answer(200, CREDS);
        assert_in_range(fetched.fetched.ttl, 90, 100);
        ask_renew(&renewed, LEASE, 0);
        answer(200, RENEWED(3600, "true"));
        assert_in_range(renewed.renewed.ttl, 90, 100);

        /* The token was replaced meanwhile; the new one may renew, but the lease dies with the old. */
        bench.generation = 8;
        ask_renew(&old, LEASE, 0);
        assert_int_equal(old.error, KB_E_EXPIRED);
        assert_int_equal(bench.n_calls, 0);

        /* Not ours: unwrapped. */
        ask_renew(&foreign, "database/creds/r/x#token/0", 0);
        answer(200, RENEWED(3600, "true"));
        assert_int_equal(foreign.renewed.ttl, 3600);

        /* It ended while the server was asked: what came is of no use, and is taken back. */
        bench.ends = kb_now_boottime();
        ask_creds(&late, "r.1");
        answer(200, CREDS);
        assert_int_equal(late.error, KB_E_UNREACHABLE);
        expect_call("POST sys/leases/revoke");
        answer(204, "");
}

static void what_has_no_lease_of_the_server_is_not_renewed_there(void **state)
{
        static const struct {
                const char *lease;
                enum kb_error error;
        } rows[] = {{"kv/a@3", KB_E_OK},
                    {"pki/#cert/1f", KB_E_UNSUPPORTED},
                    {"ssh/sign/r#record/1", KB_E_UNSUPPORTED},
                    {"nonsense", KB_E_NOT_FOUND},
                    {"", KB_E_NOT_FOUND}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_renew(&q, rows[i].lease, 0);
                assert_int_equal(q.answers, 1);
                assert_int_equal(q.error, rows[i].error);
                assert_int_equal(q.renewed.ttl, 0);
                assert_int_equal(bench.n_calls, 0);
        }
}

/* --- revoke --- */

static void a_lease_is_revoked_where_it_was_made(void **state)
{
        static const struct {
                const char *lease, *asks, *body;
                int status;
                const char *json;
                enum kb_error error;
        } rows[] = {
                {LEASE, "POST sys/leases/revoke", TAKES_BACK, 204, "", KB_E_OK},
                {"database/creds/r/x#token/1", "POST sys/leases/revoke", TAKES_BACK, 200, "{}", KB_E_OK},
                {LEASE, "POST sys/leases/revoke", TAKES_BACK, 404, "", KB_E_OK},
                {LEASE, "POST sys/leases/revoke", TAKES_BACK, 400, "{\"errors\":[\"failed to revoke: x\"]}",
                 KB_E_BAD_REQUEST},
                {LEASE, "POST sys/leases/revoke", TAKES_BACK, 500, "", KB_E_UNREACHABLE},
                {"team/pki/#cert/1f:2e", "POST team/pki/revoke", "{\"serial_number\":\"1f:2e\"}", 200,
                 "{\"data\":{\"revocation_time\":1}}", KB_E_OK},
                {"pki/#cert/1f:2e", "POST pki/revoke", "{\"serial_number\":\"1f:2e\"}", 400,
                 "{\"errors\":[\"certificate with serial 1f:2e not found\"]}", KB_E_OK},
                {"pki/#cert/1f:2e", "POST pki/revoke", "{\"serial_number\":\"1f:2e\"}", 400,
                 "{\"errors\":[\"something else\"]}", KB_E_BAD_REQUEST},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_revoke(&q, rows[i].lease);
                assert_false(expect_call(rows[i].asks)->once);
                assert_string_equal(bench.calls[0]->body, rows[i].body);
                answer(rows[i].status, rows[i].json);
                assert_int_equal(q.answers, 1);
                assert_int_equal(q.error, rows[i].error);
        }
}

static void what_cannot_be_revoked_is_gone_already(void **state)
{
        static const char *const leases[] = {"kv/a@3", "ssh/sign/r#record/1", "nonsense", ""};

        for (size_t i = 0; i < KB_ARRAY_SIZE(leases); i++) {
                _cleanup_request_ struct kb_request q;

                ask_revoke(&q, leases[i]);
                assert_int_equal(q.answers, 1);
                assert_int_equal(q.error, KB_E_OK);
        }
}

/* --- the token --- */

static void without_a_login_the_answer_says_why(void **state)
{
        _cleanup_request_ struct kb_request a, b, c;

        kb_problem(&bench.problem, KB_E_UNREACHABLE, "not logged in: no such file");
        ask_creds(&a, "r.0");
        ask_renew(&b, LEASE, 0);
        ask_revoke(&c, LEASE);
        assert_int_equal(a.error, KB_E_UNREACHABLE);
        assert_int_equal(b.error, KB_E_UNREACHABLE);
        assert_int_equal(c.error, KB_E_UNREACHABLE);
        assert_string_equal(a.text, "not logged in: no such file");
        assert_true(kb_engines_idle(bench.engines));
}

static void a_batch_token_is_refused_for_what_is_leased_and_for_nothing_else(void **state)
{
        _cleanup_request_ struct kb_request creds, kv, any;

        bench.batch = true;
        ask_creds(&creds, "r.0");
        assert_int_equal(creds.error, KB_E_UNSUPPORTED);
        assert_non_null(strstr(creds.text, "token_type=service"));
        assert_int_equal(bench.n_calls, 0);
        ask_fetch(&kv, "kv/a", NULL, NULL, NULL, "r.1");
        answer_mount("kv/a", "kv/", "kv 1");
        answer(200, "{\"data\":{\"a\":\"b\"}}");
        assert_string_equal(kv.text, "");
        /* Of this one it shows only in the answer. */
        ask_fetch(&any, "rabbit/creds/r", NULL, NULL, NULL, "r.2");
        answer_mount("rabbit/creds/r", "rabbit/", "rabbitmq");
        answer(200, CREDS);
        assert_int_equal(any.error, KB_E_UNSUPPORTED);
        expect_call("POST sys/leases/revoke");
        answer(204, "");
}

static void a_refusal_is_believed_only_of_a_token_that_lives(void **state)
{
        static const struct {
                enum kb_error judged, error;
                const char *text;
        } rows[] = {{KB_E_DENIED, KB_E_DENIED, "permission denied"},
                    {KB_E_EXPIRED, KB_E_UNREACHABLE, "logs in anew"},
                    {KB_E_UNREACHABLE, KB_E_UNREACHABLE, "logs in anew"}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request fetch, renew, revoke;

                ask_creds(&fetch, "");
                answer(403, "{\"errors\":[\"permission denied\"]}");
                assert_int_equal(fetch.answers, 0);
                bench.judged(rows[i].judged, bench.judged_userdata);
                assert_int_equal(fetch.error, rows[i].error);
                assert_non_null(strstr(fetch.text, rows[i].text));
                ask_renew(&renew, LEASE, 0);
                answer(403, "");
                bench.judged(rows[i].judged, bench.judged_userdata);
                assert_int_equal(renew.error, rows[i].error);
                ask_revoke(&revoke, LEASE);
                answer(403, "");
                bench.judged(rows[i].judged, bench.judged_userdata);
                assert_int_equal(revoke.error, rows[i].error);
        }
}

static void a_refusal_of_a_token_that_was_replaced_meanwhile_is_asked_again_once(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        ask_creds(&a, "r.0");
        bench.judged_stale = 7;
        bench.generation = 8;
        answer(403, "");
        assert_int_equal(a.answers, 0);
        expect_call("GET database/creds/r");
        answer(200, CREDS);
        assert_string_equal(a.fetched.lease, "database/creds/r/x#token/8");
        bench.judged_stale = 8;
        ask_creds(&b, "r.1");
        answer(403, "");
        answer(403, "");
        assert_int_equal(b.error, KB_E_UNREACHABLE);
}

/* --- the same question again --- */

static void who_asks_again_gets_the_same_lease(void **state)
{
        _cleanup_request_ struct kb_request a, b, other;

        ask_creds(&a, "r.0");
        answer(200, CREDS);
        ask_creds(&b, "r.0");
        assert_int_equal(b.answers, 1);
        assert_string_equal(b.fetched.lease, LEASE);
        assert_string_equal(field(&b, "username"), "u");
        assert_in_range(b.fetched.ttl, 3590, 3600);
        ask_creds(&other, "r.1");
        expect_call("GET database/creds/r");
        answer(200, CREDS);
}

static void who_asks_again_meanwhile_waits_for_the_same_answer(void **state)
{
        struct kb_request q[KB_FETCH_WAITERS + 1];

        ask_creds(&q[0], "r.0");
        q[0].abandoned = true;
        for (unsigned i = 1; i < KB_FETCH_WAITERS; i++)
                ask_creds(&q[i], "r.0");
        expect_call("GET database/creds/r");
        answer(200, CREDS);
        for (unsigned i = 0; i < KB_FETCH_WAITERS; i++) {
                assert_int_equal(q[i].answers, 1);
                assert_string_equal(q[i].fetched.lease, LEASE);
                request_done(&q[i]);
        }
        assert_true(kb_engines_idle(bench.engines)); /* one of them heard it */
}

static void a_crowd_with_one_id_is_no_reason_for_a_crowd_of_answers(void **state)
{
        struct kb_request q[KB_FETCH_WAITERS + 1];

        for (unsigned i = 0; i < KB_FETCH_WAITERS + 1; i++)
                ask_creds(&q[i], "r.0");
        assert_int_equal(bench.n_calls, 2); /* the ninth is on its own */
        kb_engines_free(bench.engines);
        bench.engines = NULL;
        assert_int_equal(bench.canceled, 2);
        for (unsigned i = 0; i < KB_FETCH_WAITERS + 1; i++)
                request_done(&q[i]);
}

static void requests_without_an_id_have_nothing_to_do_with_each_other(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        ask_creds(&a, "");
        ask_creds(&b, "");
        assert_int_equal(bench.n_calls, 2);
        kb_engines_free(bench.engines);
        bench.engines = NULL;
}

static void an_id_with_another_question_is_another_request(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        ask_creds(&a, "r.0");
        answer(200, CREDS);
        ask_fetch(&b, "database/creds/other", NULL, NULL, NULL, "r.0");
        expect_call("GET database/creds/other");
        answer(200, CREDS);
}

static void an_answer_of_a_lease_that_was_revoked_is_not_given_again(void **state)
{
        _cleanup_request_ struct kb_request a, b, c;

        ask_creds(&a, "r.0");
        answer(200, CREDS);
        ask_revoke(&b, LEASE);
        answer(204, "");
        ask_creds(&c, "r.0");
        expect_call("GET database/creds/r");
        answer(200, CREDS);
}

static void a_lease_that_nobody_took_is_taken_back(void **state)
{
        _cleanup_request_ struct kb_request kept, unnamed;

        ask_creds(&kept, "r.0");
        kept.abandoned = true;
        answer(200, CREDS);
        assert_int_equal(bench.n_calls, 0); /* it may be asked for again */
        assert_false(kb_engines_idle(bench.engines));
        assert_string_equal(expect_call("POST sys/leases/revoke")->body, TAKES_BACK);
        answer(500, ""); /* said in the journal */
        assert_true(kb_engines_idle(bench.engines));

        ask_creds(&unnamed, "");
        unnamed.abandoned = true;
        answer(200, CREDS);
        expect_call("POST sys/leases/revoke");
        answer(204, "");
        assert_true(kb_engines_idle(bench.engines));
}

static uint64_t later; /* than it is */

uint64_t __real_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void)
{
        return __real_kb_now_boottime() + later;
}

static void answers_are_forgotten_in_time_and_nothing_wakes_up_for_none(void **state)
{
        _cleanup_request_ struct kb_request heard, lost, again;
        int enabled = -1;

        assert_ok(sd_event_source_get_enabled(bench.engines->tidy, &enabled));
        assert_int_equal(enabled, SD_EVENT_ONESHOT); /* once, to find nothing */
        assert_true(sd_event_run(bench.event, KB_USEC_PER_SEC) > 0);
        assert_ok(sd_event_source_get_enabled(bench.engines->tidy, &enabled));
        assert_int_equal(enabled, SD_EVENT_OFF);
        ask_creds(&heard, "r.0");
        answer(200, CREDS);
        ask_creds(&lost, "r.1");
        lost.abandoned = true;
        answer(200, CREDS);
        assert_ok(sd_event_source_get_enabled(bench.engines->tidy, &enabled));
        assert_int_equal(enabled, SD_EVENT_ONESHOT);
        later = KB_KEPT_UNHEARD_USEC - KB_USEC_PER_SEC;
        kb_engines_tidy(bench.engines);
        assert_int_equal(bench.n_calls, 0);
        later = KB_KEPT_UNHEARD_USEC + KB_USEC_PER_SEC;
        kb_engines_tidy(bench.engines);
        assert_string_equal(expect_call("POST sys/leases/revoke")->body, TAKES_BACK); /* what was lost */
        answer(204, "");
        later = KB_KEPT_USEC - KB_USEC_PER_SEC;
        kb_engines_tidy(bench.engines);
        ask_creds(&again, "r.0");
        assert_int_equal(again.answers, 1); /* what was heard, from memory */
        later = KB_KEPT_USEC + KB_USEC_PER_SEC;
        kb_engines_tidy(bench.engines);
        later = 0;
        assert_int_equal(bench.n_calls, 0);
        assert_ok(sd_event_source_get_enabled(bench.engines->tidy, &enabled));
        assert_int_equal(enabled, SD_EVENT_OFF);
}

static void a_lost_answer_says_that_nobody_knows(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_creds(&q, "r.0");
        assert_true(bench.calls[0]->once);
        answer_nothing(true);
        assert_int_equal(q.error, KB_E_UNREACHABLE);
        assert_non_null(strstr(q.text, "nobody knows whether it was done"));
}

static void over(const struct kb_kept_answer *answer, void *userdata)
{
        (*(unsigned *)userdata)++;
}

static void kept_answers_are_bounded_and_end(void **state)
{
        _cleanup_(kb_kept_freep) struct kb_kept *k = NULL;
        unsigned gone = 0;
        char question[16], *large = malloc(KB_KEPT_BYTES);
        struct kb_kept_answer answer = {.reply = KB_SPAN_STRING("reply"), .lease = "l", .delivered = true};

        assert_ok(kb_kept_new(&k, over, &gone));
        assert_int_equal(kb_kept_expire(k, 1000), KB_TIME_NEVER);
        for (unsigned i = 0; i < KB_KEPT_COUNT + 2; i++) {
                snprintf(question, sizeof(question), "%u", i);
                answer.question = KB_SPAN_STRING(question);
                answer.at = i;
                assert_ok(kb_kept_put(k, &answer));
        }
        assert_int_equal(gone, 2);
        assert_null(kb_kept_find(k, KB_SPAN_STRING("1")));
        assert_non_null(kb_kept_find(k, KB_SPAN_STRING("2")));
        assert_int_equal(kb_kept_expire(k, KB_KEPT_USEC + 9), KB_KEPT_USEC + 10);
        assert_int_equal(gone, 10);
        memset(large, 'x', KB_KEPT_BYTES);
        answer.question = KB_SPAN_STRING("large");
        answer.reply = KB_SPAN(large, KB_KEPT_BYTES - 5);
        assert_ok(kb_kept_put(k, &answer));
        assert_int_equal(gone, KB_KEPT_COUNT + 2); /* all others went */
        assert_non_null(kb_kept_find(k, KB_SPAN_STRING("large")));
        kb_kept_drop(k, "other");
        assert_non_null(kb_kept_find(k, KB_SPAN_STRING("large")));
        kb_kept_drop(k, "l");
        assert_null(kb_kept_find(k, KB_SPAN_STRING("large")));
        answer.at = 5;
        assert_ok(kb_kept_put(k, &answer));
        answer.at = 6;
        answer.delivered = false;
        answer.reply = KB_SPAN_STRING("reply");
        assert_ok(kb_kept_put(k, &answer)); /* the large one went */
        assert_int_equal(kb_kept_expire(k, 5), KB_KEPT_UNHEARD_USEC + 6);
        free(large);
}

/* --- around it --- */

static void work_that_is_open_at_the_end_is_let_go(void **state)
{
        _cleanup_request_ struct kb_request fetch, judged, renew, revoke;

        ask_creds(&judged, "r.0");
        answer(403, "");
        ask_creds(&fetch, "r.1");
        ask_renew(&renew, LEASE, 0);
        ask_revoke(&revoke, LEASE);
        assert_false(kb_engines_idle(bench.engines));
        assert_int_equal(bench.n_calls, 3);
        kb_engines_free(bench.engines);
        bench.engines = NULL;
        assert_int_equal(bench.canceled, 3);
        assert_null(bench.judged);
}

static void what_cannot_be_sent_is_an_error(void **state)
{
        static const struct {
                int r;
                enum kb_error error;
        } rows[] = {{-ENOMEM, KB_E_BUSY}, {-EINVAL, KB_E_BAD_REQUEST}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request a, b, c;

                bench.start_error = rows[i].r;
                ask_creds(&a, "r.0");
                ask_renew(&b, LEASE, 0);
                ask_fetch(&c, "sys/wrapping/unwrap", NULL, NULL, "token=a b", "r.0");
                assert_int_equal(a.error, rows[i].error);
                assert_int_equal(b.error, rows[i].error);
                assert_int_equal(c.error, rows[i].error);
        }
        bench.start_error = 0;
}

static void the_key_of_fingerprints_stays_the_same(void **state)
{
        uint8_t a[KB_FINGERPRINT_KEY_SIZE], b[KB_FINGERPRINT_KEY_SIZE], c[KB_FINGERPRINT_KEY_SIZE];
        char path[512];
        struct stat st;

        assert_ok(kb_fingerprint_key(test_folder, a));
        assert_ok(kb_fingerprint_key(test_folder, b));
        assert_memory_equal(a, b, sizeof(a));
        snprintf(path, sizeof(path), "%s", in_folder("fingerprint"));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(truncate(path, 5), 0); /* rather none than another one */
        assert_int_equal(kb_fingerprint_key(test_folder, c), -EBADMSG);
        assert_int_equal(unlink(path), 0);
        assert_ok(kb_fingerprint_key(test_folder, c));
        assert_memory_not_equal(a, c, sizeof(a));
        assert_int_equal(kb_fingerprint_key("/no/such/folder", c), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_of_leases_say_all_there_is_to_know),
                cmocka_unit_test(a_name_is_made_of_harmless_bytes_or_not_at_all),
                TEST(a_renewal_tells_what_the_server_gave),
                TEST(a_lease_never_lives_longer_than_its_token),
                TEST(what_has_no_lease_of_the_server_is_not_renewed_there),
                TEST(a_lease_is_revoked_where_it_was_made),
                TEST(what_cannot_be_revoked_is_gone_already),
                TEST(without_a_login_the_answer_says_why),
                TEST(a_batch_token_is_refused_for_what_is_leased_and_for_nothing_else),
                TEST(a_refusal_is_believed_only_of_a_token_that_lives),
                TEST(a_refusal_of_a_token_that_was_replaced_meanwhile_is_asked_again_once),
                TEST(who_asks_again_gets_the_same_lease),
                TEST(who_asks_again_meanwhile_waits_for_the_same_answer),
                TEST(a_crowd_with_one_id_is_no_reason_for_a_crowd_of_answers),
                TEST(requests_without_an_id_have_nothing_to_do_with_each_other),
                TEST(an_id_with_another_question_is_another_request),
                TEST(an_answer_of_a_lease_that_was_revoked_is_not_given_again),
                TEST(a_lease_that_nobody_took_is_taken_back),
                TEST(answers_are_forgotten_in_time_and_nothing_wakes_up_for_none),
                TEST(a_lost_answer_says_that_nobody_knows),
                cmocka_unit_test(kept_answers_are_bounded_and_end),
                TEST(work_that_is_open_at_the_end_is_let_go),
                TEST(what_cannot_be_sent_is_an_error),
                cmocka_unit_test_setup_teardown(the_key_of_fingerprints_stays_the_same, test_folder_make,
                                                test_folder_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
