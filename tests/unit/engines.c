/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct bench bench;

/* --- what helper/server does --- */

struct kb_span kb_request_body(const struct kb_request *request)
{
        return KB_SPAN(request->body.data, request->body.size);
}

uint32_t kb_request_verb(const struct kb_request *request)
{
        return request->verb;
}

bool kb_request_abandoned(const struct kb_request *request)
{
        return request->abandoned;
}

struct kb_writer *kb_request_reply_begin(struct kb_request *request)
{
        request->out = kb_writer_init(KB_FRAME_MAX);
        return &request->out;
}

void kb_request_reply_end(struct kb_request *request)
{
        struct kb_span out = KB_SPAN(request->out.data, request->out.size);

        assert_ok(kb_writer_end(&request->out));
        request->answers++;
        request->error = KB_E_OK;
        if (request->verb == KB_VERB_fetch)
                assert_ok(kb_fetch_reply_get(out, &request->fetched));
        else if (request->verb == KB_VERB_renew)
                assert_ok(kb_renew_reply_get(out, &request->renewed));
        else if (request->verb == KB_VERB_directory)
                assert_ok(kb_directory_reply_get(out, &request->directory));
}

void kb_request_fail(struct kb_request *request, enum kb_error error, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        request->text[0] = '\0';
        if (format)
                vsnprintf(request->text, sizeof(request->text), format, arguments);
        va_end(arguments);
        request->answers++;
        request->error = error;
}

/* --- the cluster --- */

int kb_cluster_start(struct kb_cluster *cluster, const struct kb_cluster_request *request,
                     struct kb_cluster_call **ret)
{
        static const char *const methods[] = {"GET", "LIST", "POST", "PUT", "PATCH", "DELETE"};
        struct kb_cluster_call *call;

        if (bench.start_error < 0)
                return bench.start_error;
        call = calloc(1, sizeof(*call));
        assert_non_null(call);
        assert_true(request->deadline > kb_now_monotonic());
        assert_string_equal(request->namespace, "team");
        snprintf(call->line, sizeof(call->line), "%s %s", methods[request->method], request->path);
        snprintf(call->body, sizeof(call->body), "%.*s", (int)request->body.size,
                 (const char *)request->body.data);
        snprintf(call->token, sizeof(call->token), "%.*s", (int)request->token.size,
                 (const char *)request->token.data);
        snprintf(call->mfa, sizeof(call->mfa), "%.*s", (int)request->mfa.size,
                 (const char *)request->mfa.data);
        call->once = request->once;
        call->patient = request->patient;
        call->done = request->done;
        call->userdata = request->userdata;
        assert_true(bench.n_calls < KB_ARRAY_SIZE(bench.calls));
        bench.calls[bench.n_calls++] = call;
        *ret = call;
        return 0;
}

static struct kb_cluster_call *take_call(unsigned at)
{
        struct kb_cluster_call *call = bench.calls[at];

        bench.n_calls--;
        memmove(bench.calls + at, bench.calls + at + 1, (bench.n_calls - at) * sizeof(*bench.calls));
        return call;
}

void kb_cluster_cancel(struct kb_cluster_call *call)
{
        for (unsigned i = 0; call && i < bench.n_calls; i++)
                if (bench.calls[i] == call) {
                        free(take_call(i));
                        bench.canceled++;
                        return;
                }
        assert_null(call);
}

struct kb_cluster_call *expect_call(const char *line)
{
        assert_int_equal(bench.n_calls, 1);
        assert_string_equal(bench.calls[0]->line, line);
        return bench.calls[0];
}

/* The table of cluster.h. */
static enum kb_error error_of(int status)
{
        static const struct {
                int status;
                enum kb_error error;
        } table[] = {
                {200, KB_E_OK},        {204, KB_E_OK},          {400, KB_E_BAD_REQUEST}, {403, KB_E_DENIED},
                {404, KB_E_NOT_FOUND}, {405, KB_E_UNSUPPORTED}, {429, KB_E_THROTTLED},   {503, KB_E_SEALED},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                if (table[i].status == status)
                        return table[i].error;
        return KB_E_UNREACHABLE;
}

void answer(int status, const char *json)
{
        _cleanup_(kb_json_freep) struct kb_json *document = NULL;
        struct kb_cluster_answer is = {
                .error = error_of(status), .status = status, .address = "here", .text = ""};
        struct kb_cluster_call *call;
        const char *part = "";
        char text[512];

        assert_int_equal(bench.n_calls, 1);
        call = take_call(0);
        is.envelope = (struct kb_api_envelope){.lease_id = ""};
        if (json[0]) {
                assert_ok(kb_json_parse(KB_SPAN_STRING(json), &document));
                if (kb_api_envelope(kb_json_root(document), &is.envelope, &part) < 0)
                        fail_msg("%s in %s", part, json);
                is.json = kb_json_root(document);
        }
        if (is.error != KB_E_OK) {
                kb_api_errors(&is.envelope, NULL, 0, text, sizeof(text));
                is.text = text;
        }
        call->done(&is, call->userdata);
        free(call);
}

void answer_nothing(bool doubt)
{
        struct kb_cluster_call *call = take_call(0);

        call->done(&(struct kb_cluster_answer){.error = KB_E_UNREACHABLE,
                                               .doubt = doubt,
                                               .address = "here",
                                               .text = "the connection broke",
                                               .envelope = {.lease_id = ""}},
                   call->userdata);
        free(call);
}

void answer_mount(const char *path, const char *mount, const char *type)
{
        char line[600], json[600];

        snprintf(line, sizeof(line), "GET sys/internal/ui/mounts/%s", path);
        assert_false(expect_call(line)->once);
        snprintf(json, sizeof(json), "{\"data\":{\"path\":\"%s\",\"type\":\"%.*s\",\"options\":%s%s%s}}",
                 mount, (int)strcspn(type, " "), type, strchr(type, ' ') ? "{\"version\":\"" : "null",
                 strchr(type, ' ') ? strchr(type, ' ') + 1 : "", strchr(type, ' ') ? "\"}" : "");
        answer(200, json);
}

void run_until_call(void)
{
        while (bench.n_calls == 0)
                assert_true(sd_event_run(bench.event, 5 * KB_USEC_PER_SEC) > 0);
}

/* --- the login --- */

const struct kb_problem *kb_login_problem(const struct kb_login *login)
{
        return &bench.problem;
}

struct kb_span kb_login_token(const struct kb_login *login)
{
        return KB_SPAN_STRING("host-token");
}

bool kb_login_batch(const struct kb_login *login)
{
        return bench.batch;
}

uint64_t kb_login_generation(const struct kb_login *login)
{
        return bench.generation;
}

uint64_t kb_login_generation_ends(const struct kb_login *login, uint64_t generation)
{
        return generation == bench.generation ? bench.ends : 0;
}

int kb_login_judge(struct kb_login *login, uint64_t generation, kb_login_judged done, void *userdata,
                   struct kb_login_judgement **ret)
{
        if (generation == bench.judged_stale)
                return -ESTALE;
        bench.judged = done;
        bench.judged_userdata = userdata;
        *ret = userdata;
        return 0;
}

void kb_login_judge_cancel(struct kb_login_judgement *judgement)
{
        if (judgement)
                bench.judged = NULL;
}

/* --- requests --- */

void ask_begin(struct kb_request *q, uint32_t verb)
{
        *q = (struct kb_request){.verb = verb, .body = kb_writer_init(KB_FRAME_MAX)};
}

void ask_fetch(struct kb_request *q, const char *path, const char *method, const char *version,
               const char *parameters, const char *id)
{
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(65536);
        char text[4096], *rest = text, *word;

        snprintf(text, sizeof(text), "%s", parameters ? parameters : "");
        while ((word = strsep(&rest, "|")))
                if (word[0]) {
                        char *value = strchr(word, '=');

                        *value++ = '\0';
                        kb_list_add_text(&list, word, value);
                }
        ask_begin(q, KB_VERB_fetch);
        kb_fetch_request_put(&q->body, &(struct kb_fetch_request){.path = path,
                                                                  .method = method ? method : "",
                                                                  .version = version ? version : "",
                                                                  .parameters = kb_list_built(&list),
                                                                  .request = id});
        assert_ok(kb_writer_end(&q->body));
        kb_engines_fetch(bench.engines, q);
}

void ask_fetch_part(struct kb_request *q, const char *path, const char *pointer, const char *more)
{
        _cleanup_list_ struct kb_list_builder pointers = kb_list_builder_init(4096);

        kb_list_add_string(&pointers, pointer);
        kb_list_add_string(&pointers, more);
        ask_begin(q, KB_VERB_fetch);
        kb_fetch_request_put(&q->body, &(struct kb_fetch_request){.path = path,
                                                                  .method = "",
                                                                  .version = "",
                                                                  .pointers = kb_list_built(&pointers),
                                                                  .request = ""});
        kb_engines_fetch(bench.engines, q);
}

void ask_renew(struct kb_request *q, const char *lease, uint64_t increment)
{
        ask_begin(q, KB_VERB_renew);
        kb_renew_request_put(&q->body, &(struct kb_renew_request){.lease = lease, .increment = increment});
        kb_engines_renew(bench.engines, q);
}

void ask_revoke(struct kb_request *q, const char *lease)
{
        ask_begin(q, KB_VERB_revoke);
        kb_revoke_request_put(&q->body, &(struct kb_revoke_request){.lease = lease});
        kb_engines_revoke(bench.engines, q);
}

void request_done(struct kb_request *q)
{
        kb_writer_done(&q->body);
        kb_writer_done(&q->out);
}

void fields_text(const struct kb_request *q, char *ret, size_t size)
{
        struct kb_list rest = q->fetched.fields;
        struct kb_span value;
        const char *name;
        size_t n = 0;

        ret[0] = '\0';
        while (kb_list_next_pair(&rest, &name, &value) && n < size)
                n += (size_t)snprintf(ret + n, size - n, "%s%s=%.*s", n ? " " : "", name, (int)value.size,
                                      (const char *)value.data);
}

const char *field(const struct kb_request *q, const char *name)
{
        const char *value = NULL;

        assert_true(kb_list_find_string(q->fetched.fields, name, &value));
        return value;
}

/* --- life --- */

int bench_setup(void **state)
{
        struct kb_engines_settings settings = {
                .namespace = "team", .request_usec = 30 * KB_USEC_PER_SEC, .fingerprint_key = {1, 2, 3}};

        bench = (struct bench){.generation = 7, .ends = KB_TIME_NEVER};
        assert_ok(sd_event_new(&bench.event));
        settings.event = bench.event;
        assert_ok(kb_engines_new(&bench.engines, &settings));
        return 0;
}

int bench_teardown(void **state)
{
        kb_engines_free(bench.engines);
        assert_int_equal(bench.n_calls, 0);
        sd_event_unref(bench.event);
        return 0;
}
