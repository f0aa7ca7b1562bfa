/* SPDX-License-Identifier: Apache-2.0 */
/* Three servers as one: success elsewhere, or a typed error before the deadline. */
#include "tests/unit/fault-server.h"

#include <errno.h>
#include <systemd/sd-event.h>

#include "common/clock.h"
#include "helper/store/vault/cluster.h"

#define SEC     KB_USEC_PER_SEC
#define SEALED  "status 503 {\"errors\":[\"Vault is sealed\"]}"
#define DEFAULT (20 * SEC)

struct outcome {
        unsigned calls;
        enum kb_error error;
        int status;
        bool doubt, json, take;
        char text[512], address[128], by[16];
        struct kb_json *taken;
        struct kb_cluster_call *call;
};

static sd_event *event;
static struct kb_cluster *cluster;
static uint64_t die; /* what the cluster's dice show */

static uint64_t dice(void *userdata)
{
        return die;
}

static void on_done(const struct kb_cluster_answer *answer, void *userdata)
{
        struct outcome *o = userdata;
        int64_t port = 0;

        o->calls++;
        o->error = answer->error;
        o->status = answer->status;
        o->doubt = answer->doubt;
        o->json = answer->json != NULL;
        snprintf(o->text, sizeof(o->text), "%s", answer->text);
        snprintf(o->address, sizeof(o->address), "%s", answer->address);
        if (kb_json_integer(kb_json_get(answer->envelope.data, "port"), 0, 65535, &port) >= 0)
                snprintf(o->by, sizeof(o->by), "%d", (int)port);
        if (o->take)
                o->taken = kb_cluster_take(answer);
}

/* Node 0 is asked first. */
static void make_cluster(size_t n)
{
        struct kb_address addresses[FAULT_NODES];
        struct kb_cluster_settings settings = {.addresses = addresses,
                                               .n_addresses = n,
                                               .connect_usec = 3 * SEC,
                                               .http = {.ca_file = in_folder("ca.pem")},
                                               .random = dice};
        struct kb_problem problem;
        char text[64];

        for (size_t i = 0; i < n; i++) {
                snprintf(text, sizeof(text), "https://127.0.0.1:%u", faults.ports[i]);
                assert_int_equal(kb_address_parse(text, false, &addresses[i], &problem), KB_E_OK);
        }
        die = 0;
        if (kb_cluster_new(&cluster, event, &settings, &problem) != KB_E_OK)
                fail_msg("%s", problem.text);
}

static int fresh(void **state)
{
        for (unsigned i = 0; i < FAULT_NODES; i++) {
                tell(i, "up");
                tell(i, "ok");
                tell(i, "forget");
        }
        if (sd_event_new(&event) < 0)
                return -1;
        make_cluster(FAULT_NODES);
        return 0;
}

static int stale(void **state)
{
        kb_cluster_free(cluster);
        cluster = NULL;
        sd_event_unref(event);
        return 0;
}

static void begin(struct outcome *o, struct kb_cluster_request request)
{
        request.path = request.path ? request.path : "kv/data/x";
        request.deadline = kb_time_add(kb_now_monotonic(), request.deadline ? request.deadline : DEFAULT);
        request.done = on_done;
        request.userdata = o;
        assert_ok(kb_cluster_start(cluster, &request, &o->call));
        assert_int_equal(o->calls, 0);
}

static void run_for(uint64_t usec)
{
        uint64_t end = kb_now_monotonic() + usec;

        while (kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, end - kb_now_monotonic() + 1));
}

static void wait_for(struct outcome *o)
{
        uint64_t end = kb_now_monotonic() + 60 * SEC;

        while (o->calls == 0 && kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, SEC));
        assert_int_equal(o->calls, 1);
}

/* request.deadline is counted from now. */
static struct outcome ask(struct kb_cluster_request request)
{
        struct outcome o = {.calls = 0};

        begin(&o, request);
        wait_for(&o);
        return o;
}

static unsigned by(const struct outcome *o)
{
        for (unsigned i = 0; i < FAULT_NODES; i++)
                if (strtoul(o->by, NULL, 10) == faults.ports[i])
                        return i;
        return 99;
}

static void all(const char *what)
{
        for (unsigned i = 0; i < FAULT_NODES; i++)
                tell(i, what);
}

static unsigned long counts(void)
{
        unsigned long n = 0;

        for (unsigned i = 0; i < FAULT_NODES; i++)
                n += told_number(i, "count");
        return n;
}

static void run_until_counts(unsigned long n)
{
        uint64_t end = kb_now_monotonic() + 60 * SEC;

        while (counts() < n && kb_now_monotonic() < end)
                run_for(SEC / 100);
        assert_int_equal(counts(), n);
}

static void redirect(unsigned from, unsigned to)
{
        char what[128];

        snprintf(what, sizeof(what), "status 307 Location:https://127.0.0.1:%u/v1/kv/data/x",
                 faults.ports[to]);
        tell(from, what);
}

/* --- success elsewhere --- */

static void whatever_one_server_does_another_one_answers(void **state)
{
        static const char *const rows[] = {
                "down",
                "stall_tls",
                "stall",
                "drip",
                "plain",
                "hang_up",
                "close",
                "cut",
                "garbage",
                "headers",
                "large",
                "status 200 <html>",
                "status 200 {\"data\":[]}",
                "status 302 Location:https://127.0.0.1:1/",
                "status 472",
                "status 473",
                "status 500 oops",
                "status 500 {\"errors\":[\"local node not active but active cluster node not found\"]}",
                "status 502",
                "status 503",
                SEALED,
                "status 504",
                "certificate stranger",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct outcome o;

                stale(NULL);
                fresh(NULL);
                tell(0, rows[i]);
                o = ask((struct kb_cluster_request){.deadline = 9 * SEC, .token = KB_SPAN_STRING("s.tok")});
                if (o.error != KB_E_OK || by(&o) != 1)
                        fail_msg("%s: %s", rows[i], o.text);
                assert_string_equal(o.text, "");
                o = ask((struct kb_cluster_request){}); /* and is asked first from now on */
                assert_int_equal(by(&o), 1);
                assert_true(told_number(0, "count") <= 1);
        }
}

static void a_hint_to_one_of_ours_is_taken(void **state)
{
        struct outcome o;

        redirect(0, 2);
        o = ask((struct kb_cluster_request){.method = KB_HTTP_POST, .body = KB_SPAN_STRING("{}")});
        assert_int_equal(o.error, KB_E_OK);
        assert_int_equal(by(&o), 2);
        assert_int_equal(told_number(1, "count"), 0);
        assert_non_null(strstr(tell(2, "last"), "POST /v1/kv/data/x"));
        assert_non_null(strstr(tell(2, "last"), "body={}"));
}

static void a_hint_to_a_dead_leader_means_another_one(void **state)
{
        struct outcome o;

        redirect(0, 2);
        tell(2, "down");
        o = ask((struct kb_cluster_request){});
        assert_int_equal(o.error, KB_E_OK);
        assert_int_equal(by(&o), 1);
}

static void standbys_that_point_at_each_other_are_left_in_time(void **state)
{
        uint64_t began = kb_now_monotonic();
        struct outcome o;

        redirect(0, 1);
        redirect(1, 2);
        redirect(2, 0);
        o = ask((struct kb_cluster_request){.deadline = 2 * SEC});
        assert_int_equal(o.error, KB_E_UNREACHABLE);
        assert_int_equal(o.status, 307);
        assert_true(kb_now_monotonic() - began < 20 * SEC);
}

static void a_token_goes_to_no_stranger(void **state)
{
        struct outcome o;
        char what[128];

        kb_cluster_free(take_ptr(cluster));
        make_cluster(1);
        redirect(0, 2); /* a server, but none of the settings now */
        o = ask((struct kb_cluster_request){.token = KB_SPAN_STRING("s.tok"), .deadline = SEC});
        assert_int_equal(o.error, KB_E_UNREACHABLE);
        snprintf(what, sizeof(what), "status 307 Location:http://127.0.0.1:%u/v1/kv/data/x",
                 faults.ports[0]);
        tell(0, what);
        o = ask((struct kb_cluster_request){.token = KB_SPAN_STRING("s.tok"), .deadline = SEC});
        assert_int_equal(o.error, KB_E_UNREACHABLE);
        assert_int_equal(told_number(2, "connections"), 0);
}

/* --- answers that are the caller's --- */

static void a_refusal_is_an_answer_and_nobody_else_is_asked(void **state)
{
        static const struct {
                const char *told;
                enum kb_error error;
                const char *text; /* behind the address */
        } rows[] = {
                {"status 400 {\"errors\":[\"invalid role or secret ID\"]}", KB_E_BAD_REQUEST,
                 "HTTP 400: invalid role or secret ID"},
                {"status 403 {\"errors\":[\"permission denied\"]}", KB_E_DENIED,
                 "HTTP 403: permission denied"},
                {"status 404 {\"errors\":[]}", KB_E_NOT_FOUND, "HTTP 404"},
                {"status 405", KB_E_UNSUPPORTED, "HTTP 405"},
                {"status 413", KB_E_BAD_REQUEST, "HTTP 413"},
                {"status 403 {\"errors\":[\"bad token s.hunter2-hunter2\"]}", KB_E_DENIED,
                 "HTTP 403: (a text that repeats what it was sent)"},
                {"status 400 {\"errors\":[\"wrong: pa55word\"]}", KB_E_BAD_REQUEST,
                 "HTTP 400: (a text that repeats what it was sent)"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct outcome o;

                tell(0, rows[i].told);
                o = ask((struct kb_cluster_request){
                        .method = KB_HTTP_POST,
                        .token = KB_SPAN_STRING("s.hunter2-hunter2"),
                        .body = KB_SPAN_STRING("{\"a\":[{\"password\":\"pa55word\"}]}")});
                assert_int_equal(o.error, rows[i].error);
                assert_string_equal(strchr(o.text + 8, ' ') + 1, rows[i].text);
                assert_memory_equal(o.text, o.address, strlen(o.address));
                assert_int_equal(o.json, strchr(rows[i].told, '{') != NULL);
                assert_false(o.doubt);
        }
        assert_int_equal(counts(), KB_ARRAY_SIZE(rows));
}

static void an_answer_may_be_kept(void **state)
{
        struct outcome o = {.take = true};
        const struct kb_json_value *value = NULL;

        begin(&o, (struct kb_cluster_request){.namespace = "team",
                                              .token = KB_SPAN_STRING("s.t"),
                                              .mfa = KB_SPAN_STRING("id:123456"),
                                              .wrap_seconds = 60});
        wait_for(&o);
        assert_non_null(o.taken);
        assert_ok(kb_json_at(kb_json_root(o.taken), "/data/request", &value));
        kb_json_free(o.taken);
        assert_non_null(
                strstr(tell(0, "last"), "token=s.t mfa=id:123456 namespace=team wrap=60 request=true"));
        tell(0, "status 204");
        o = (struct outcome){.take = true};
        begin(&o, (struct kb_cluster_request){.method = KB_HTTP_DELETE});
        wait_for(&o);
        assert_int_equal(o.error, KB_E_OK);
        assert_true(!o.json && !o.taken);
}

/* --- typed errors in time --- */

/* A host that is busy with other things may be too slow for a server that answers: it is asked again. */
static struct outcome ask_for(enum kb_error error)
{
        struct outcome o;

        for (int tries = 0; tries < 5; tries++) {
                o = ask((struct kb_cluster_request){.deadline = 3 * SEC});
                if (o.error == error || !strstr(o.text, "timed out"))
                        break;
        }
        return o;
}

static void when_all_fail_there_is_a_typed_error_before_the_deadline(void **state)
{
        static const struct {
                const char *told;
                enum kb_error error;
                bool hangs;
        } rows[] = {
                {"stall", KB_E_UNREACHABLE, true},
                {"stall_tls", KB_E_UNREACHABLE, true},
                {"drip", KB_E_UNREACHABLE, true},
                {"full", KB_E_UNREACHABLE, true},
                {"down", KB_E_UNREACHABLE},
                {"garbage", KB_E_UNREACHABLE},
                {"large", KB_E_UNSUPPORTED},
                {"status 200 <html>", KB_E_UNSUPPORTED},
                {SEALED, KB_E_SEALED},
                {"status 501", KB_E_SEALED},
                {"status 429", KB_E_THROTTLED},
                {"status 429 Retry-After:3000", KB_E_THROTTLED},
                {"status 412", KB_E_BUSY},
                {"status 500 {\"errors\":[\"the database is down\"]}", KB_E_UNREACHABLE},
                {"status 503", KB_E_UNREACHABLE},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                uint64_t began;
                struct outcome o;

                stale(NULL);
                fresh(NULL);
                all(rows[i].told);
                die = UINT64_MAX;
                began = kb_now_monotonic();
                o = rows[i].hangs ? ask((struct kb_cluster_request){.deadline = 3 * SEC / 2})
                                  : ask_for(rows[i].error);
                if (o.error != rows[i].error || !o.text[0] || !o.address[0])
                        fail_msg("%s: %s, %s", rows[i].told, kb_error_word(o.error), o.text);
                assert_true(!rows[i].hangs || kb_now_monotonic() - began < 15 * SEC);
        }
}

static void too_many_requests_are_waited_for_and_do_not_count_as_failures(void **state)
{
        struct outcome o = {.calls = 0};
        struct kb_cluster_state s;

        tell(0, "status 429 Retry-After:2");
        begin(&o, (struct kb_cluster_request){.once = true});
        run_until_counts(1);
        run_for(SEC / 2);
        assert_int_equal(counts(), 1); /* not asked again before that, and nobody else instead */
        tell(0, "ok");
        wait_for(&o);
        assert_int_equal(o.error, KB_E_OK);
        assert_int_equal(counts(), 2);
        tell(0, "status 429");
        for (int i = 0; i < 10; i++)
                ask((struct kb_cluster_request){.deadline = SEC / 10});
        kb_cluster_state(cluster, 0, &s);
        assert_false(s.open);
}

static void a_cluster_that_elects_is_waited_for(void **state)
{
        struct outcome o = {.calls = 0};

        all("status 500 {\"errors\":[\"local node not active but active cluster node not found\"]}");
        die = SEC;
        begin(&o, (struct kb_cluster_request){.once = true});
        run_until_counts(3);
        assert_int_equal(o.calls, 0);
        all("ok");
        wait_for(&o);
        assert_int_equal(o.error, KB_E_OK);
}

/* --- once --- */

static void what_may_have_been_executed_is_not_sent_again(void **state)
{
        static const struct {
                const char *told;
                bool again; /* it is certain that it was not */
        } rows[] = {
                {"stall", false},
                {"close", false},
                {"cut", false},
                {"garbage", false},
                {"large", false},
                {"status 200 <html>", false},
                {"status 500", false},
                {"status 500 {\"errors\":[\"internal error\"]}", false},
                {"status 502", false},
                {"status 503", false},
                {"status 504", false},
                {"down", true},
                {"stall_tls", true},
                {"certificate stranger", true},
                {SEALED, true},
                {"status 472", true},
                {"status 500 {\"errors\":[\"local node not active but active cluster node not found\"]}",
                 true},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct outcome o;

                stale(NULL);
                fresh(NULL);
                tell(0, rows[i].told);
                o = ask((struct kb_cluster_request){.once = true,
                                                    .path = "sys/wrapping/unwrap",
                                                    .method = KB_HTTP_POST,
                                                    .deadline = rows[i].again ? DEFAULT : 3 * SEC});
                if ((o.error == KB_E_OK) != rows[i].again || o.doubt == rows[i].again)
                        fail_msg("%s: %s, doubt %d", rows[i].told, o.text, o.doubt);
                assert_int_equal(told_number(1, "count"), rows[i].again);
        }
}

static void a_standby_is_told_not_to_pass_on_what_may_happen_once(void **state)
{
        struct outcome o;

        redirect(0, 1);
        o = ask((struct kb_cluster_request){.once = true});
        assert_int_equal(o.error, KB_E_OK);
        assert_non_null(strstr(tell(0, "last"), "here=true"));
        assert_int_equal(by(&o), 1);
        o = ask((struct kb_cluster_request){.path = "other"});
        assert_null(strstr(tell(1, "last"), "here=true"));
}

static void only_when_no_address_is_the_leader_a_standby_may_pass_it_on(void **state)
{
        struct outcome o = {.calls = 0};

        all("status 307 Location:https://10.0.0.1:8200/v1/kv/data/x"); /* known by another name */
        die = SEC;
        begin(&o, (struct kb_cluster_request){.once = true});
        run_until_counts(3);
        all("ok");
        wait_for(&o);
        assert_int_equal(o.error, KB_E_OK);
        assert_null(strstr(tell(0, "last"), "here=true"));
        all("status 307"); /* now a standby that says no more may have lost its leader in the middle */
        o = ask((struct kb_cluster_request){.once = true});
        assert_true(o.error == KB_E_UNREACHABLE && o.doubt);
        assert_int_equal(counts(), 4 + 3 + 1);
}

/* --- breaker --- */

static void five_failures_and_nobody_asks_until_a_probe_was_answered(void **state)
{
        struct kb_cluster_state s;
        struct outcome o;

        kb_cluster_free(take_ptr(cluster));
        make_cluster(1);
        tell(0, "close");
        for (int i = 0; i < 5; i++)
                assert_int_equal(ask((struct kb_cluster_request){.once = true}).error, KB_E_UNREACHABLE);
        kb_cluster_state(cluster, 0, &s);
        assert_true(s.open && s.text[0]);
        assert_int_equal(told_number(0, "count"), 5);
        o = ask((struct kb_cluster_request){}); /* at once, and not asked */
        assert_int_equal(o.error, KB_E_UNREACHABLE);
        assert_string_equal(o.address, "");
        assert_non_null(strstr(o.text, "not asked again before it answers a probe"));
        assert_int_equal(told_number(0, "count"), 5);
        run_until_counts(6); /* the probe after 1 s; it fails */
        run_for(SEC / 2);
        assert_non_null(strstr(tell(0, "last"), "GET /v1/sys/health"));
        assert_null(strstr(tell(0, "last"), "token="));
        tell(0, "status 503"); /* of somebody in between */
        run_until_counts(7);
        tell(0, "status 503 {\"initialized\":true,\"sealed\":true}"); /* that is an answer */
        run_until_counts(8);
        run_for(SEC / 2);
        kb_cluster_state(cluster, 0, &s);
        assert_true(!s.open && !s.text[0]);
        assert_int_equal(told_number(0, "count"), 8);
        tell(0, "ok");
        assert_int_equal(ask((struct kb_cluster_request){}).error, KB_E_OK);
}

static void a_patient_call_waits_for_the_probe(void **state)
{
        struct outcome o = {.calls = 0}, late = {.calls = 0};

        kb_cluster_free(take_ptr(cluster));
        make_cluster(1);
        tell(0, "down");
        for (int i = 0; i < 5; i++)
                ask((struct kb_cluster_request){.deadline = 1});
        for (int i = 0; i < 5; i++)
                ask((struct kb_cluster_request){.once = true, .deadline = SEC / 2});
        begin(&o, (struct kb_cluster_request){.patient = true, .path = "a"});
        begin(&late, (struct kb_cluster_request){.patient = true, .path = "b", .deadline = SEC / 10});
        wait_for(&late);
        assert_int_equal(late.error, KB_E_UNREACHABLE);
        assert_int_equal(o.calls, 0);
        tell(0, "up");
        wait_for(&o);
        assert_int_equal(o.error, KB_E_OK);
}

static void refusals_and_sealed_servers_open_nothing(void **state)
{
        static const char *const rows[] = {
                "status 403",
                "status 404",
                "status 400",
                "status 200 <html>",
                SEALED,
                "status 307",
                "status 500 {\"errors\":[\"the database is down\"]}",
        };
        struct kb_cluster_state s;

        kb_cluster_free(take_ptr(cluster));
        make_cluster(1);
        die = UINT64_MAX;
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                tell(0, rows[i]);
                for (int k = 0; k < 6; k++)
                        ask((struct kb_cluster_request){.deadline = SEC / 20 + (uint64_t)k, .once = k % 2});
                kb_cluster_state(cluster, 0, &s);
                if (s.open)
                        fail_msg("%s has opened it: %s", rows[i], s.text);
        }
}

/* --- one flight --- */

static void the_same_question_is_asked_once(void **state)
{
        static struct outcome outcomes[50];
        struct outcome other = {.calls = 0}, short_one = {.calls = 0}, cancelled = {.calls = 0};

        memset(outcomes, 0, sizeof(outcomes));
        for (size_t i = 0; i < KB_ARRAY_SIZE(outcomes); i++) {
                outcomes[i].take = i % 2;
                begin(&outcomes[i], (struct kb_cluster_request){.token = KB_SPAN_STRING("s.t")});
        }
        begin(&cancelled, (struct kb_cluster_request){.token = KB_SPAN_STRING("s.t")});
        begin(&short_one, (struct kb_cluster_request){.token = KB_SPAN_STRING("s.t"), .deadline = 1});
        begin(&other,
              (struct kb_cluster_request){.token = KB_SPAN_STRING("s.other")}); /* may see something else */
        kb_cluster_cancel(cancelled.call);
        wait_for(&other);
        for (size_t i = 0; i < KB_ARRAY_SIZE(outcomes); i++) {
                wait_for(&outcomes[i]);
                assert_int_equal(outcomes[i].error, KB_E_OK);
                assert_int_equal(by(&outcomes[i]), 0);
                assert_int_equal(outcomes[i].taken != NULL, outcomes[i].take);
                kb_json_free(outcomes[i].taken);
        }
        assert_int_equal(short_one.calls, 1);
        assert_int_equal(short_one.error, KB_E_UNREACHABLE);
        assert_int_equal(cancelled.calls, 0);
        assert_int_equal(counts(), 2);
}

static void what_changes_something_is_asked_for_each(void **state)
{
        static const struct kb_cluster_request rows[] = {
                {.method = KB_HTTP_POST},
                {.method = KB_HTTP_GET, .once = true},
                {.method = KB_HTTP_GET, .wrap_seconds = 60},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct outcome a = {.calls = 0}, b = {.calls = 0};

                begin(&a, rows[i]);
                begin(&b, rows[i]);
                wait_for(&a);
                if (b.calls == 0)
                        wait_for(&b);
        }
        assert_int_equal(counts(), 2 * KB_ARRAY_SIZE(rows));
}

static void the_last_to_leave_ends_the_request(void **state)
{
        struct outcome a = {.calls = 0}, b = {.calls = 0};

        tell(0, "stall");
        begin(&a, (struct kb_cluster_request){});
        begin(&b, (struct kb_cluster_request){.deadline = SEC / 2});
        run_for(SEC / 5);
        kb_cluster_cancel(a.call);
        kb_cluster_cancel(NULL);
        wait_for(&b);
        assert_non_null(strstr(b.text, "no answer in time"));
        assert_int_equal(a.calls, 0);
        assert_int_equal(ask((struct kb_cluster_request){.method = KB_HTTP_LIST, .path = "y"}).error,
                         KB_E_OK);
}

/* --- starting --- */

static void what_cannot_be_started_is_told_at_once(void **state)
{
        struct kb_address address;
        struct kb_cluster_settings settings = {.addresses = &address, .n_addresses = 0};
        struct kb_cluster_request request = {.path = "x", .token = KB_SPAN_STRING("a\nb"), .done = on_done};
        struct kb_cluster *none = NULL;
        struct kb_cluster_call *call = NULL;
        struct kb_problem problem;

        assert_int_equal(kb_cluster_start(cluster, &request, &call), -EINVAL);
        request = (struct kb_cluster_request){.path = "x", .namespace = "a b", .done = on_done};
        assert_int_equal(kb_cluster_start(cluster, &request, &call), -EINVAL);
        request = (struct kb_cluster_request){.path = "x", .mfa = KB_SPAN_STRING("a:\n"), .done = on_done};
        assert_int_equal(kb_cluster_start(cluster, &request, &call), -EINVAL);
        assert_null(call);
        assert_int_equal(kb_cluster_new(&none, event, &settings, &problem), KB_E_BAD_REQUEST);
        assert_int_equal(kb_address_parse("https://127.0.0.1", false, &address, &problem), KB_E_OK);
        settings.n_addresses = KB_CLUSTER_ADDRESSES + 1;
        assert_int_equal(kb_cluster_new(&none, event, &settings, &problem), KB_E_BAD_REQUEST);
        settings.n_addresses = 1;
        settings.http.ca_file = "/nowhere";
        assert_int_equal(kb_cluster_new(&none, event, &settings, &problem), KB_E_BAD_REQUEST);
        assert_non_null(strstr(problem.text, "/nowhere"));
        assert_int_equal(kb_cluster_size(cluster), FAULT_NODES);
        assert_string_equal(kb_cluster_trouble(cluster), "");
}

static void hosts_do_not_all_begin_with_the_same_address(void **state)
{
        struct kb_address addresses[3];
        struct kb_cluster_settings settings = {.addresses = addresses, .n_addresses = 3};
        unsigned first[3] = {0};
        struct kb_problem problem;

        for (size_t i = 0; i < 3; i++)
                assert_int_equal(kb_address_parse("https://127.0.0.1", false, &addresses[i], &problem),
                                 KB_E_OK);
        for (int n = 0; n < 100; n++) {
                struct kb_cluster *c = NULL;
                struct kb_cluster_state s;

                assert_int_equal(kb_cluster_new(&c, event, &settings, &problem), KB_E_OK);
                for (size_t i = 0; i < 3; i++) {
                        kb_cluster_state(c, i, &s);
                        first[i] += s.current;
                }
                kb_cluster_free(c);
        }
        assert_true(first[0] > 0 && first[1] > 0 && first[2] > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, stale)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(whatever_one_server_does_another_one_answers),
                TEST(a_hint_to_one_of_ours_is_taken),
                TEST(a_hint_to_a_dead_leader_means_another_one),
                TEST(standbys_that_point_at_each_other_are_left_in_time),
                TEST(a_token_goes_to_no_stranger),
                TEST(a_refusal_is_an_answer_and_nobody_else_is_asked),
                TEST(an_answer_may_be_kept),
                TEST(when_all_fail_there_is_a_typed_error_before_the_deadline),
                TEST(too_many_requests_are_waited_for_and_do_not_count_as_failures),
                TEST(a_cluster_that_elects_is_waited_for),
                TEST(what_may_have_been_executed_is_not_sent_again),
                TEST(a_standby_is_told_not_to_pass_on_what_may_happen_once),
                TEST(only_when_no_address_is_the_leader_a_standby_may_pass_it_on),
                TEST(five_failures_and_nobody_asks_until_a_probe_was_answered),
                TEST(a_patient_call_waits_for_the_probe),
                TEST(refusals_and_sealed_servers_open_nothing),
                TEST(the_same_question_is_asked_once),
                TEST(what_changes_something_is_asked_for_each),
                TEST(the_last_to_leave_ends_the_request),
                TEST(what_cannot_be_started_is_told_at_once),
                TEST(hosts_do_not_all_begin_with_the_same_address),
        };

        return cmocka_run_group_tests(tests, faults_start, faults_stop);
}
