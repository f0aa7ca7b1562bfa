/* SPDX-License-Identifier: Apache-2.0 */
/* People at the door of a cluster: what each answer of the server comes to, and what is asked how often. */
#include "tests/unit/engines.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "helper/store/vault/mfa.h"
#include "helper/store/vault/people.h"
#include "tests/unit/folder.h"

#define TOKEN "{\"auth\":{\"client_token\":\"hvs.ana\",\"accessor\":\"a1\",\"token_type\":\"service\"}}"
#define BATCH "{\"auth\":{\"client_token\":\"hvb.ana\",\"token_type\":\"batch\"}}"
#define WRONG "{\"errors\":[\"invalid username or password\"]}"
#define METHOD(type, id, code, name)                                                                        \
        "{\"type\":\"" type "\",\"id\":\"" id "\",\"uses_passcode\":" code ",\"name\":\"" name "\"}"
#define PHONE  METHOD("totp", "id-phone", "true", "phone")
#define TABLET METHOD("totp", "id-tablet", "true", "tablet")
#define PUSH   METHOD("okta", "id-push", "false", "push")
#define NEEDS(constraints)                                                                                  \
        "{\"auth\":{\"client_token\":\"\",\"mfa_requirement\":{\"mfa_request_id\":\"r\","                   \
        "\"mfa_constraints\":" constraints "}}}"
#define NEEDS_CODE NEEDS("{\"a\":{\"any\":[" PUSH "," PHONE "]}}")

static struct kb_people *people;
static struct kb_person_tokens *tokens;
static uint64_t boottime; /* 0: the real one */

uint64_t __real_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void)
{
        return boottime > 0 ? boottime : __real_kb_now_boottime();
}

static void make(enum kb_vault_people method, const char *mfa_method)
{
        kb_people_free(people);
        people = NULL;
        assert_ok(kb_people_new(&people, &(struct kb_people_settings){
                                                 .event = bench.event,
                                                 .tokens = tokens,
                                                 .namespace = "team",
                                                 .method = method,
                                                 .mount = "people",
                                                 .mfa_method = mfa_method,
                                                 .request_usec = 5 * KB_USEC_PER_SEC,
                                         }));
}

static void make_tokens(void)
{
        assert_ok(kb_person_tokens_new(&tokens, &(struct kb_person_tokens_settings){.event = bench.event,
                                                                                    .namespace = "team",
                                                                                    .folder = test_folder}));
}

static int setup(void **state)
{
        int r = bench_setup(state);

        boottime = 0;
        make_tokens();
        make(KB_VAULT_PEOPLE_userpass, NULL);
        return r;
}

static int teardown(void **state)
{
        kb_people_free(people);
        people = NULL;
        kb_person_tokens_free(tokens);
        tokens = NULL;
        unlink(in_folder("people"));
        return bench_teardown(state);
}

static void ask_login(struct kb_request *q, const char *user, const char *method, struct kb_span password)
{
        ask_begin(q, KB_VERB_store_authenticate);
        kb_store_authenticate_request_put(
                &q->body, &(struct kb_store_authenticate_request){
                                  .user = user, .method = method, .remote_host = "", .answer = password});
        kb_people_authenticate(people, q);
}

static void ask_words(struct kb_request *q)
{
        ask_login(q, "ana", "", KB_SPAN_STRING("words of ana"));
}

static void ask_code(struct kb_request *q, struct kb_span state, const char *code)
{
        ask_begin(q, KB_VERB_store_continue);
        kb_store_continue_request_put(&q->body, &(struct kb_store_continue_request){
                                                        .state = state, .answer = KB_SPAN_STRING(code)});
        kb_people_continue(people, q);
}

static void ask_change(struct kb_request *q, const char *old, const char *new)
{
        ask_begin(q, KB_VERB_change_secret);
        kb_change_secret_request_put(&q->body, &(struct kb_change_secret_request){
                                                       .user = "ana",
                                                       .old = KB_SPAN_STRING(old),
                                                       .new = KB_SPAN_STRING(new),
                                               });
        kb_people_change_secret(people, q);
}

static struct kb_store_authenticate_reply reply_of(const struct kb_request *q)
{
        struct kb_store_authenticate_reply reply = {};

        assert_int_equal(q->answers, 1);
        assert_int_equal(q->error, KB_E_OK);
        assert_ok(kb_store_authenticate_reply_get(KB_SPAN(q->out.data, q->out.size), &reply));
        return reply;
}

static bool is_idle(void)
{
        return kb_people_idle(people) && kb_person_tokens_idle(tokens);
}

static void expect_parting(const char *token)
{
        struct kb_cluster_call *call = expect_call("POST auth/token/revoke-self");

        assert_string_equal(call->token, token);
        assert_true(call->patient);
        assert_false(kb_person_tokens_idle(tokens));
        answer(204, "");
        assert_true(is_idle());
}

/* As a greeting of the broker names them: "ana bea". */
static void present(const char *names)
{
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(4096);
        char text[64], *rest = text, *name;

        snprintf(text, sizeof(text), "%s", names);
        while ((name = strsep(&rest, " ")))
                if (name[0])
                        kb_list_add_string(&list, name);
        kb_person_tokens_present(tokens, kb_list_built(&list));
}

static const char *token_of(const char *user)
{
        uint64_t ends;
        struct kb_span token = kb_person_tokens_find(tokens, user, &ends);

        return token.size > 0 ? (const char *)token.data : "";
}

/* Long after the login. */
static void all_leave(void)
{
        boottime = kb_now_boottime() + KB_PERSON_TOKEN_GRACE;
        present("");
        expect_parting("hvs.ana");
        assert_int_equal(kb_person_tokens_count(tokens), 0);
}

/* Asks with the right password, and is asked for a code. */
static struct kb_span begin_with_code(struct kb_request *q)
{
        struct kb_store_authenticate_reply reply;

        ask_words(q);
        assert_string_equal(expect_call("POST auth/people/login/ana")->mfa, "");
        answer(200, NEEDS_CODE);
        reply = reply_of(q);
        assert_false(reply.granted);
        assert_int_equal(reply.ask, KB_ASK_CODE);
        assert_string_equal(reply.prompt, "One-time code: ");
        assert_true(reply.state.size == 16);
        return reply.state;
}

/* --- passwords --- */

static void a_right_password_lets_in_and_its_token_is_held(void **state)
{
        _cleanup_request_ struct kb_request q;
        struct kb_cluster_call *call;

        ask_words(&q);
        call = expect_call("POST auth/people/login/ana");
        assert_true(call->once); /* sent again, a wrong one would count twice */
        assert_false(call->patient);
        assert_string_equal(call->token, ""); /* not with what this host may */
        assert_string_equal(call->body, "{\"password\":\"words of ana\"}");
        answer(200, TOKEN);
        assert_true(reply_of(&q).granted);
        assert_string_equal(token_of("ana"), "hvs.ana");
        all_leave();
        assert_string_equal(token_of("ana"), "");
}

static void a_batch_token_cannot_be_revoked(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_words(&q);
        answer(200, BATCH);
        assert_true(reply_of(&q).granted);
        assert_true(is_idle());
}

static void every_other_answer_is_a_typed_error(void **state)
{
        static const struct {
                int status;
                const char *json;
                enum kb_error error;
                const char *text;
        } rows[] = {
                {400, WRONG, KB_E_BAD_SECRET, ""},
                {400, "{\"errors\":[\"ldap operation failed: failed to bind as user\"]}", KB_E_BAD_SECRET,
                 ""},
                {400, "{\"errors\":[\"error connecting to host \\\"ldap://dc\\\"\"]}", KB_E_UNREACHABLE,
                 "error connecting"},
                {400, "{\"errors\":[\"ldap backend not configured\"]}", KB_E_UNREACHABLE, "not configured"},
                {403, "{\"errors\":[\"permission denied\"]}", KB_E_LOCKED, "auth/people is not there"},
                {404, "", KB_E_NOT_FOUND, ""},
                {429, "", KB_E_THROTTLED, ""},
                {500, "", KB_E_UNREACHABLE, ""},
                {503, "", KB_E_SEALED, ""},
                {200, "{\"data\":{}}", KB_E_INTERNAL, "makes no sense"},
                {204, "", KB_E_INTERNAL, "makes no sense"},
                {200, NEEDS("{}"), KB_E_UNSUPPORTED, "does not say which"},
                {200, NEEDS("{\"a\":{\"any\":[" PUSH "]}}"), KB_E_UNSUPPORTED, "not the code of one method"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_words(&q);
                answer(rows[i].status, rows[i].json);
                assert_int_equal(q.answers, 1);
                assert_int_equal(q.error, rows[i].error);
                if (!strstr(q.text, rows[i].text))
                        fail_msg("%s: %s", rows[i].text, q.text);
        }
        assert_true(is_idle());
}

static void a_lost_answer_is_no_wrong_password(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_words(&q);
        answer_nothing(true);
        assert_int_equal(q.error, KB_E_UNREACHABLE);
        bench.start_error = -ENOMEM;
        request_done(&q);
        ask_words(&q);
        bench.start_error = 0;
        assert_int_equal(q.error, KB_E_BUSY);
        assert_true(is_idle());
}

static void what_no_server_can_know_is_not_asked(void **state)
{
        static const struct {
                const char *user;
                struct kb_span password;
        } rows[] = {
                {"ana", {(const uint8_t *)"", 0}}, /* a directory service may let anybody in by that */
                {"ana", {(const uint8_t *)"\377", 1}}, {"ana.", {(const uint8_t *)"word", 4}},
                {"..", {(const uint8_t *)"word", 4}},  {"a/b", {(const uint8_t *)"word", 4}},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_login(&q, rows[i].user, "", rows[i].password);
                assert_int_equal(q.error, KB_E_BAD_SECRET);
        }
        assert_int_equal(bench.n_calls, 0);
}

static void only_the_methods_of_the_settings_are_served(void **state)
{
        static const struct {
                enum kb_vault_people is;
                const char *asked;
                bool served;
        } rows[] = {
                {KB_VAULT_PEOPLE_none, "", false},         {KB_VAULT_PEOPLE_none, "none", false},
                {KB_VAULT_PEOPLE_userpass, "", true},      {KB_VAULT_PEOPLE_userpass, "userpass", true},
                {KB_VAULT_PEOPLE_userpass, "ldap", false}, {KB_VAULT_PEOPLE_ldap, "ldap", true},
                {KB_VAULT_PEOPLE_ldap, "userpass", false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                make(rows[i].is, NULL);
                ask_login(&q, "ana", rows[i].asked, KB_SPAN_STRING("word"));
                assert_int_equal(bench.n_calls, rows[i].served);
                if (rows[i].served)
                        answer(400, WRONG);
                assert_int_equal(q.error, rows[i].served ? KB_E_BAD_SECRET : KB_E_UNSUPPORTED);
        }
}

static void a_token_that_cannot_be_revoked_is_no_matter_of_the_login(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_words(&q);
        answer(200, TOKEN);
        assert_true(reply_of(&q).granted);
        boottime = kb_now_boottime() + KB_PERSON_TOKEN_GRACE;
        present("");
        answer(403, "{\"errors\":[\"permission denied\"]}");
        assert_string_equal(expect_call("POST auth/token/revoke-accessor")->token, "host-token");
        answer(403, "{\"errors\":[\"permission denied\"]}");
        assert_int_equal(kb_person_tokens_count(tokens), 0);
        assert_true(is_idle());
}

/* --- tokens --- */

static void log_in_ana(const char *json)
{
        _cleanup_request_ struct kb_request q;

        ask_words(&q);
        answer(200, json);
        assert_true(reply_of(&q).granted);
}

static void a_token_lives_for_as_long_as_the_person_is_there(void **state)
{
        log_in_ana(TOKEN);
        present(""); /* the session is about to be */
        assert_int_equal(bench.n_calls, 0);
        boottime = kb_now_boottime() + KB_PERSON_TOKEN_GRACE;
        present("bea ana");
        assert_string_equal(token_of("ana"), "hvs.ana");
        log_in_ana(
                "{\"auth\":{\"client_token\":\"hvs.two\",\"accessor\":\"a2\",\"token_type\":\"service\"}}");
        expect_parting("hvs.two"); /* one is enough */
        present("bea");
        assert_string_equal(token_of("ana"), "");
        expect_call("POST auth/token/revoke-self");
        present(""); /* once at a time, and again until it is done */
        answer(503, "");
        present("");
        expect_parting("hvs.ana");
}

static void a_token_of_before_a_crash_is_revoked_by_its_accessor(void **state)
{
        static const struct {
                int status;
                unsigned left;
        } rows[] = {{503, 1}, {403, 0}, {400, 0}, {404, 0}, {204, 0}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                log_in_ana(TOKEN);
                kb_people_free(people);
                kb_person_tokens_free(tokens);
                people = NULL;
                make_tokens();
                make(KB_VAULT_PEOPLE_userpass, NULL);
                assert_string_equal(token_of("ana"), "");
                present("ana");
                assert_int_equal(bench.n_calls, 0);
                present("");
                assert_string_equal(expect_call("POST auth/token/revoke-accessor")->token, "host-token");
                assert_string_equal(bench.calls[0]->body, "{\"accessor\":\"a1\"}");
                answer(rows[i].status, "");
                assert_int_equal(kb_person_tokens_count(tokens), rows[i].left);
                if (rows[i].left > 0) {
                        present("");
                        answer(204, "");
                }
        }
}

/* The times of these tokens are long over for the loop, which has a clock of its own. */
static void a_token_is_renewed_until_it_cannot_be(void **state)
{
#define TEN(seconds)                                                                                        \
        "{\"auth\":{\"client_token\":\"hvs.ana\",\"accessor\":\"a1\",\"token_type\":\"service\","           \
        "\"renewable\":true,\"lease_duration\":" #seconds "}}"
        boottime = KB_USEC_PER_SEC;
        log_in_ana(TEN(10));
        run_until_call();
        assert_string_equal(expect_call("POST auth/token/renew-self")->token, "hvs.ana");
        answer(200, TEN(20));
        run_until_call();
        answer(503, "");
        run_until_call();
        answer(200, TEN(20)); /* no longer than before: it is not asked again */
        boottime = 100 * KB_USEC_PER_SEC;
        assert_string_equal(token_of("ana"), "");
        assert_true(sd_event_run(bench.event, 5 * KB_USEC_PER_SEC) > 0);
        assert_int_equal(bench.n_calls, 0);
        assert_int_equal(kb_person_tokens_count(tokens), 0);
}

static void a_list_of_tokens_that_makes_no_sense_is_left_aside(void **state)
{
        FILE *f = fopen(in_folder("people"), "w");

        fputs("nonsense", f);
        fclose(f);
        kb_person_tokens_free(tokens);
        make_tokens();
        assert_int_equal(kb_person_tokens_count(tokens), 0);
}

static void a_secret_is_fetched_as_a_person_who_is_there(void **state)
{
        struct kb_engines_settings settings = {.event = bench.event,
                                               .people = tokens,
                                               .namespace = "team",
                                               .request_usec = 30 * KB_USEC_PER_SEC};
        struct kb_engines *engines = NULL;

        bench.batch = true; /* the host's; theirs is none */
        assert_ok(kb_engines_new(&engines, &settings));
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_request_ struct kb_request q;

                if (i > 0)
                        log_in_ana(TEN(60));
                ask_begin(&q, KB_VERB_fetch);
                kb_fetch_request_put(&q.body, &(struct kb_fetch_request){.path = "database/creds/r",
                                                                         .request = "",
                                                                         .person = "ana"});
                kb_engines_fetch(engines, &q);
                if (i == 0) {
                        assert_int_equal(q.error, KB_E_EXPIRED);
                        continue;
                }
                assert_string_equal(bench.calls[0]->token, "hvs.ana");
                answer_mount("database/creds/r", "database/", "database");
                assert_string_equal(expect_call("GET database/creds/r")->token, "hvs.ana");
                answer(200,
                       "{\"lease_id\":\"database/creds/r/x\",\"renewable\":true,\"lease_duration\":3600,"
                       "\"data\":{\"username\":\"u\"}}");
                assert_int_equal(q.error, KB_E_OK);
                assert_string_equal(q.fetched.lease, "database/creds/r/x#token/0");
                assert_true(q.fetched.ttl <= 60); /* no longer than their token */
        }
        kb_engines_free(engines);
}

/* --- second factors --- */

static void a_code_is_sent_together_with_the_password(void **state)
{
        _cleanup_request_ struct kb_request q, code;
        struct kb_cluster_call *call;

        ask_code(&code, begin_with_code(&q), "123 456");
        call = expect_call("POST auth/people/login/ana");
        assert_string_equal(call->mfa, "id-phone:123456");
        assert_string_equal(call->body, "{\"password\":\"words of ana\"}");
        assert_true(call->once);
        answer(200, TOKEN);
        assert_true(reply_of(&code).granted);
        all_leave();
}

static void a_wrong_code_ends_the_login_and_is_no_lock(void **state)
{
        static const char *const codes[] = {
                "000000", "",      "12:34",    "12\n34",
                "12,34",  "12;34", "\303\244", "012345678901234567890123456789012"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(codes); i++) {
                _cleanup_request_ struct kb_request q, code, again;
                struct kb_span state_of = begin_with_code(&q);

                ask_code(&code, state_of, codes[i]);
                assert_int_equal(bench.n_calls, i == 0);
                if (i == 0)
                        answer(403, "{\"errors\":[\"permission denied\"]}");
                assert_int_equal(code.error, KB_E_BAD_SECRET);
                ask_code(&again, state_of, "123456"); /* each password is good for one code */
                assert_int_equal(again.error, KB_E_EXPIRED);
        }
        assert_true(is_idle());
}

static void a_code_that_is_not_enough_asks_for_nothing_more(void **state)
{
        _cleanup_request_ struct kb_request q, code;

        ask_code(&code, begin_with_code(&q), "123456");
        answer(200, NEEDS_CODE);
        assert_int_equal(code.error, KB_E_INTERNAL);
        assert_true(is_idle());
}

static void a_password_is_kept_for_three_minutes(void **state)
{
        _cleanup_request_ struct kb_request q, early, late;
        struct kb_span state_of;

        boottime = 1000 * KB_USEC_PER_SEC;
        state_of = begin_with_code(&q);
        ask_code(&early, KB_SPAN_STRING("0123456789abcdef"), "123456");
        assert_int_equal(early.error, KB_E_EXPIRED); /* somebody else's */
        boottime += KB_PEOPLE_WAIT_USEC;
        ask_code(&late, state_of, "123456");
        assert_int_equal(late.error, KB_E_EXPIRED);
        assert_int_equal(bench.n_calls, 0);
}

/* Whoever has shown a right password has a place, and the oldest ones go. */
static void passwords_are_kept_for_so_many_and_no_more(void **state)
{
        static struct kb_request q[KB_PEOPLE_WAITING + 1];
        struct kb_span first, second;

        first = begin_with_code(&q[0]);
        second = begin_with_code(&q[1]);
        for (size_t i = 2; i < KB_ARRAY_SIZE(q); i++)
                begin_with_code(&q[i]);
        {
                _cleanup_request_ struct kb_request one, two;

                ask_code(&one, first, "123456");
                assert_int_equal(one.error, KB_E_EXPIRED);
                ask_code(&two, second, "123456");
                answer(200, TOKEN);
                assert_true(reply_of(&two).granted);
                all_leave();
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(q); i++)
                request_done(&q[i]);
}

static void the_method_is_one_that_is_enough_and_takes_a_code(void **state)
{
        static const struct {
                const char *json, *wanted, *chosen; /* NULL: none */
        } rows[] = {
                {"{\"a\":{\"any\":[" PHONE "," TABLET "]}}", NULL, "id-phone"},
                {"{\"a\":{\"any\":[" PUSH "," TABLET "]}}", NULL, "id-tablet"},
                {"{\"a\":{\"any\":[" PHONE "," TABLET "]}}", "tablet", "id-tablet"},
                {"{\"a\":{\"any\":[" PHONE "," TABLET "]}}", "id-tablet", "id-tablet"},
                {"{\"a\":{\"any\":[" PHONE "]}}", "tablet", NULL},
                {"{\"a\":{\"any\":[" PUSH "]}}", "push", NULL},
                {"{\"a\":{\"any\":[" PHONE "," TABLET "]},\"b\":{\"any\":[" TABLET "]}}", NULL, "id-tablet"},
                {"{\"a\":{\"any\":[" PHONE "]},\"b\":{\"any\":[" TABLET "]}}", NULL, NULL},
                {"{\"a\":{\"any\":[" PHONE "]},\"b\":{\"any\":[" TABLET "]}}", "tablet", NULL},
                {"{\"a\":{\"any\":[]}}", NULL, NULL},
                {"{\"a\":7}", NULL, NULL},
                {"{\"a\":{\"any\":[" METHOD("totp", "with:colon", "true", "a") "]}}", NULL, NULL},
                {"{\"a\":{\"any\":[" METHOD("totp", "with space", "true", "a") "]}}", NULL, NULL},
                {"{\"a\":{\"any\":[{\"id\":7,\"uses_passcode\":true}]}}", NULL, NULL},
                {"{\"a\":{\"any\":[{\"id\":\"x\",\"uses_passcode\":1}]}}", NULL, NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_(kb_json_freep) struct kb_json *json = NULL;
                char text[1024], chosen[KB_MFA_METHOD_MAX + 1] = "";
                struct kb_problem problem;

                snprintf(text, sizeof(text), "{\"mfa_constraints\":%s}", rows[i].json);
                assert_ok(kb_json_parse(KB_SPAN_STRING(text), &json));
                if (kb_mfa_choose(kb_json_root(json), rows[i].wanted, chosen, &problem) !=
                    (rows[i].chosen ? KB_E_OK : KB_E_UNSUPPORTED))
                        fail_msg("%s", text);
                assert_string_equal(chosen, rows[i].chosen ? rows[i].chosen : "");
        }
}

/* --- a new password --- */

static void a_new_password_is_set_with_the_persons_own_token(void **state)
{
        _cleanup_request_ struct kb_request q;
        struct kb_cluster_call *call;

        ask_change(&q, "words of ana", "other words");
        call = expect_call("POST auth/people/login/ana");
        assert_string_equal(call->body, "{\"password\":\"words of ana\"}");
        answer(200, TOKEN);
        call = expect_call("POST auth/people/users/ana/password");
        assert_string_equal(call->token, "hvs.ana");
        assert_string_equal(call->body, "{\"password\":\"other words\"}");
        assert_true(call->once);
        answer(204, "");
        assert_int_equal(q.answers, 1);
        assert_int_equal(q.error, KB_E_OK);
        expect_parting("hvs.ana");
}

static void a_change_that_fails_says_why(void **state)
{
        static const struct {
                int status; /* of the change; 0: of the login */
                const char *json;
                enum kb_error error;
                const char *text;
        } rows[] = {
                {0, WRONG, KB_E_BAD_SECRET, ""},
                {0, NEEDS_CODE, KB_E_UNSUPPORTED, "at the server"},
                {403, "{\"errors\":[\"permission denied\"]}", KB_E_DENIED, "needs a policy"},
                {500, "", KB_E_UNREACHABLE, ""},
                {-1, "", KB_E_UNREACHABLE, "nobody knows which password counts"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_change(&q, "words of ana", "other words");
                if (rows[i].status == 0) {
                        answer(i == 0 ? 400 : 200, rows[i].json);
                } else {
                        answer(200, TOKEN);
                        expect_call("POST auth/people/users/ana/password");
                        if (rows[i].status > 0)
                                answer(rows[i].status, rows[i].json);
                        else
                                answer_nothing(true);
                        expect_parting("hvs.ana");
                }
                assert_int_equal(q.error, rows[i].error);
                if (!strstr(q.text, rows[i].text))
                        fail_msg("%s: %s", rows[i].text, q.text);
        }
}

/* PAM comes twice: who is wrong hears it at first, and it counts once. */
static void the_old_password_is_checked_before_a_new_one_is_asked_for(void **state)
{
        static const struct {
                int status;
                const char *json;
                enum kb_error error;
        } rows[] = {
                {200, TOKEN, KB_E_OK}, {400, WRONG, KB_E_BAD_SECRET}, {200, NEEDS_CODE, KB_E_UNSUPPORTED}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_begin(&q, KB_VERB_change_secret);
                kb_change_secret_request_put(
                        &q.body, &(struct kb_change_secret_request){.user = "ana",
                                                                    .preliminary = true,
                                                                    .old = KB_SPAN_STRING("words")});
                kb_people_change_secret(people, &q);
                expect_call("POST auth/people/login/ana");
                answer(rows[i].status, rows[i].json);
                assert_int_equal(q.error, rows[i].error);
                if (q.error == KB_E_OK)
                        expect_parting("hvs.ana");
        }
        assert_true(is_idle());
}

/* Nothing is asked of a server for these. */
static void what_can_be_no_password_is_not_tried(void **state)
{
        static const char seventy_three[] =
                "0123456789012345678901234567890123456789012345678901234567890123456789012";
        static const char *const weak[] = {"", "words of ana", "\377", seventy_three};

        for (size_t i = 0; i < KB_ARRAY_SIZE(weak); i++) {
                _cleanup_request_ struct kb_request q;

                ask_change(&q, "words of ana", weak[i]);
                assert_int_equal(q.error, KB_E_WEAK);
        }
        assert_int_equal(bench.n_calls, 0);
}

static void a_change_is_for_who_has_the_old_one_and_by_userpass(void **state)
{
        static const struct {
                enum kb_vault_people method;
                bool preliminary, privileged;
                enum kb_error error;
        } rows[] = {
                {KB_VAULT_PEOPLE_userpass, true, false, KB_E_OK},
                {KB_VAULT_PEOPLE_userpass, true, true, KB_E_UNSUPPORTED},
                {KB_VAULT_PEOPLE_userpass, false, true, KB_E_UNSUPPORTED},
                {KB_VAULT_PEOPLE_ldap, true, false, KB_E_UNSUPPORTED},
                {KB_VAULT_PEOPLE_none, true, false, KB_E_UNSUPPORTED},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                make(rows[i].method, NULL);
                ask_begin(&q, KB_VERB_change_secret);
                kb_change_secret_request_put(
                        &q.body, &(struct kb_change_secret_request){.user = "ana",
                                                                    .preliminary = rows[i].preliminary,
                                                                    .privileged = rows[i].privileged,
                                                                    .new = KB_SPAN_STRING("other words")});
                kb_people_change_secret(people, &q);
                assert_int_equal(q.error, rows[i].error);
        }
        assert_int_equal(bench.n_calls, 0);
}

/* --- the end --- */

static void what_is_under_way_ends_with_the_store(void **state)
{
        _cleanup_request_ struct kb_request waits, asks, parts;

        begin_with_code(&waits);
        ask_words(&parts);
        answer(200, TOKEN);
        boottime = kb_now_boottime() + KB_PERSON_TOKEN_GRACE;
        present(""); /* the token is being revoked */
        ask_words(&asks);
        assert_int_equal(bench.n_calls, 2);
        kb_people_free(people);
        people = NULL;
        kb_person_tokens_free(tokens);
        tokens = NULL;
        assert_int_equal(bench.canceled, 2);
        assert_int_equal(asks.answers, 0);
}

static void fields_that_make_no_sense_are_refused(void **state)
{
        void (*const verbs[])(struct kb_people *, struct kb_request *) = {
                kb_people_authenticate, kb_people_continue, kb_people_change_secret};

        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++) {
                _cleanup_request_ struct kb_request q;

                ask_begin(&q, KB_VERB_store_authenticate);
                verbs[i](people, &q);
                assert_int_equal(q.error, KB_E_BAD_REQUEST);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_right_password_lets_in_and_its_token_is_held, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_batch_token_cannot_be_revoked, setup, teardown),
                cmocka_unit_test_setup_teardown(every_other_answer_is_a_typed_error, setup, teardown),
                cmocka_unit_test_setup_teardown(a_lost_answer_is_no_wrong_password, setup, teardown),
                cmocka_unit_test_setup_teardown(what_no_server_can_know_is_not_asked, setup, teardown),
                cmocka_unit_test_setup_teardown(only_the_methods_of_the_settings_are_served, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_token_that_cannot_be_revoked_is_no_matter_of_the_login,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(a_token_lives_for_as_long_as_the_person_is_there, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_token_of_before_a_crash_is_revoked_by_its_accessor, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_token_is_renewed_until_it_cannot_be, setup, teardown),
                cmocka_unit_test_setup_teardown(a_list_of_tokens_that_makes_no_sense_is_left_aside, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_secret_is_fetched_as_a_person_who_is_there, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_code_is_sent_together_with_the_password, setup, teardown),
                cmocka_unit_test_setup_teardown(a_wrong_code_ends_the_login_and_is_no_lock, setup, teardown),
                cmocka_unit_test_setup_teardown(a_code_that_is_not_enough_asks_for_nothing_more, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_password_is_kept_for_three_minutes, setup, teardown),
                cmocka_unit_test_setup_teardown(passwords_are_kept_for_so_many_and_no_more, setup, teardown),
                cmocka_unit_test_setup_teardown(the_method_is_one_that_is_enough_and_takes_a_code, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_new_password_is_set_with_the_persons_own_token, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_change_that_fails_says_why, setup, teardown),
                cmocka_unit_test_setup_teardown(the_old_password_is_checked_before_a_new_one_is_asked_for,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(what_can_be_no_password_is_not_tried, setup, teardown),
                cmocka_unit_test_setup_teardown(a_change_is_for_who_has_the_old_one_and_by_userpass, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(what_is_under_way_ends_with_the_store, setup, teardown),
                cmocka_unit_test_setup_teardown(fields_that_make_no_sense_are_refused, setup, teardown),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
