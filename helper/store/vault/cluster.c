/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "helper/store/backoff.h"
#include "helper/store/breaker.h"
#include "helper/store/vault/route.h"

#define CONNECT_DEFAULT (3 * KB_USEC_PER_SEC)
#define PROBE_USEC      (5 * KB_USEC_PER_SEC)
#define PROBE_PATH      "sys/health?standbyok=true&perfstandbyok=true"
#define FAIR_USEC       KB_USEC_PER_SEC          /* who had less than this, has not failed */
#define TRY_USEC        (100 * KB_USEC_PER_MSEC) /* nobody is asked again with less than this left */
#define BUSY_MAX        3  /* how often a server may say that it is not as far yet (412) */
#define SECRETS_MAX     32 /* strings of a request that must not come back in a message */
#define SECRET_MIN      6  /* shorter ones are words that any message has */
#define WHERE_MAX       (KB_ADDRESS_HOST_MAX + 32)

struct node {
        struct kb_cluster *cluster;
        struct kb_address address;
        char where[WHERE_MAX];
        struct kb_breaker breaker;
        sd_event_source *timer; /* the next probe */
        struct kb_http_exchange *probe;
        char failure[512]; /* with `where`; "" since the last success */
};

/* One request on its way, for everybody who asked the same. */
struct flight {
        struct kb_cluster *cluster;
        struct flight *next;
        struct kb_cluster_call *calls;

        enum kb_http_method method;
        char *path, *namespace;
        uint8_t *token, *mfa, *body; /* wiped */
        size_t token_size, mfa_size, body_size;
        uint64_t wrap_seconds;
        bool once, patient;

        sd_event_source *timer; /* of the wait before the next try */
        struct kb_http_exchange *exchange;
        size_t at;      /* whom it asks, or asked last */
        uint64_t since; /* when that began */
        uint64_t share; /* how long it may take */
        struct kb_route route;
        unsigned rounds, busy;
        bool passed_on;  /* `once`: no address is the leader, so a standby may pass it on */
        bool redirected; /* `once`: somebody said in this round that another one is the leader */
        bool asked;      /* anybody at all */
        bool parked;     /* waits for a breaker to close */
        bool ending;     /* its calls are being told */

        /* what it comes to when nobody does better */
        enum kb_error error;
        int status;
        char text[512];
};

struct kb_cluster_call {
        struct flight *flight;
        struct kb_cluster_call *next;
        sd_event_source *timer; /* its deadline */
        uint64_t deadline;
        kb_cluster_done done;
        void *userdata;
};

struct kb_cluster {
        sd_event *event;
        struct kb_http *http;
        uint64_t connect_usec;
        uint64_t (*random)(void *userdata);
        void *userdata;
        struct node nodes[KB_CLUSTER_ADDRESSES];
        size_t n_nodes;
        size_t current;
        struct flight *flights;
};

/* So that kb_cluster_take() finds the document: the answer is its first member. */
struct answering {
        struct kb_cluster_answer answer;
        struct kb_json *json;
};

static void try_next(struct flight *f);

static uint64_t kernel_random(void *userdata)
{
        uint64_t random;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                random = kb_now_monotonic(); /* spreads worse, and works */
        return random;
}

static uint64_t dice(const struct kb_cluster *c)
{
        return c->random(c->userdata);
}

static uint32_t closed_nodes(const struct kb_cluster *c)
{
        uint32_t closed = 0;

        for (size_t i = 0; i < c->n_nodes; i++)
                if (kb_breaker_closed(&c->nodes[i].breaker))
                        closed |= UINT32_C(1) << i;
        return closed;
}

/* --- the end of calls and flights --- */

static void call_free(struct kb_cluster_call *call)
{
        sd_event_source_disable_unref(call->timer);
        free(call);
}

static void call_unlink(struct kb_cluster_call *call)
{
        struct kb_cluster_call **at = &call->flight->calls;

        while (*at != call)
                at = &(*at)->next;
        *at = call->next;
}

/* Nobody joins it any more. */
static void flight_unlink(struct flight *f)
{
        struct flight **at = &f->cluster->flights;

        while (*at && *at != f)
                at = &(*at)->next;
        if (*at)
                *at = f->next;
}

static void flight_free(struct flight *f)
{
        flight_unlink(f);
        if (f->exchange)
                kb_http_cancel(f->exchange);
        sd_event_source_disable_unref(f->timer);
        while (f->calls) {
                struct kb_cluster_call *call = f->calls;

                f->calls = call->next;
                call_free(call);
        }
        kb_secret_free(f->token);
        kb_secret_free(f->mfa);
        kb_secret_free(f->body);
        free(f->path);
        free(f->namespace);
        free(f);
}

/* A call that has nothing to wait for any more leaves its flight; the last one ends it. */
static void leave(struct kb_cluster_call *call)
{
        struct flight *f = call->flight;

        call_unlink(call);
        call_free(call);
        if (!f->calls && !f->ending)
                flight_free(f);
}

void kb_cluster_cancel(struct kb_cluster_call *call)
{
        if (call)
                leave(call);
}

struct kb_json *kb_cluster_take(const struct kb_cluster_answer *answer)
{
        return take_ptr(((struct answering *)(uintptr_t)answer)->json);
}

static struct answering answer_of(const struct flight *f)
{
        return (struct answering){
                .answer =
                        {
                                .error = f->error,
                                .status = f->status,
                                .address = f->asked ? f->cluster->nodes[f->at].where : "",
                                .text = f->text,
                                .envelope = {.lease_id = ""},
                        },
        };
}

/* What the server said, as a document of this call's own, which may be taken. */
static void attach(struct answering *a, struct kb_span body)
{
        const char *part;
        int r = body.size > 0 ? kb_json_parse(body, &a->json) : -ENOENT;

        if (r == -ENOMEM && a->answer.error == KB_E_OK) { /* not as if it had said nothing */
                a->answer.error = KB_E_BUSY;
                a->answer.text = "memory is out, and with it the answer";
                a->answer.doubt = true;
        }
        if (r < 0)
                return;
        a->answer.json = kb_json_root(a->json);
        (void)!kb_api_envelope(a->answer.json, &a->answer.envelope, &part); /* a refusal need not be one */
}

/* Tells everybody. */
static void end(struct flight *f, bool doubt, struct kb_span body)
{
        f->ending = true;
        flight_unlink(f);
        while (f->calls) {
                struct kb_cluster_call *call = f->calls;
                struct answering a = answer_of(f);

                f->calls = call->next;
                a.answer.doubt = doubt;
                attach(&a, body);
                call->done(&a.answer, call->userdata);
                kb_json_free(a.json);
                call_free(call);
        }
        flight_free(f);
}

static void end_without_answer(struct flight *f)
{
        end(f, false, KB_SPAN("", 0));
}

static void remember(struct flight *f, enum kb_error error, int status, const char *text)
{
        f->error = error;
        f->status = status;
        snprintf(f->text, sizeof(f->text), "%s", text);
}

/* --- addresses that fail, and probes --- */

static void wake_parked(struct kb_cluster *c)
{
        for (struct flight *f = c->flights; f; f = f->next)
                if (f->parked) {
                        f->parked = false;
                        f->route = kb_route_init();
                        sd_event_source_set_time(f->timer, 0);
                        sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
                }
}

static void plan_probe(struct node *node)
{
        uint64_t at = kb_breaker_probe_at(&node->breaker);

        sd_event_source_set_enabled(node->timer, SD_EVENT_OFF);
        if (kb_breaker_closed(&node->breaker) || at == KB_TIME_NEVER)
                return;
        sd_event_source_set_time(node->timer, at);
        sd_event_source_set_enabled(node->timer, SD_EVENT_ONESHOT);
}

static void node_good(struct node *node)
{
        node->failure[0] = '\0';
        if (node->probe)
                kb_http_cancel(take_ptr(node->probe));
        if (kb_breaker_good(&node->breaker))
                wake_parked(node->cluster);
        plan_probe(node);
}

static void node_bad(struct node *node, const char *text)
{
        snprintf(node->failure, sizeof(node->failure), "%.300s", text);
        if (kb_breaker_bad(&node->breaker, kb_now_monotonic(), dice(node->cluster)))
                plan_probe(node);
}

/* A server that tells of its health works, whatever it tells. A balancer with none behind it does not. */
static bool tells_health(const struct kb_http_answer *answer)
{
        _cleanup_(kb_json_freep) struct kb_json *json = NULL;

        if (answer->result != KB_HTTP_ANSWERED || answer->status < 500)
                return answer->result == KB_HTTP_ANSWERED;
        return kb_json_parse(answer->body, &json) >= 0 && kb_json_get(kb_json_root(json), "initialized");
}

static void on_probe(const struct kb_http_answer *answer, void *userdata)
{
        struct node *node = userdata;

        node->probe = NULL;
        if (tells_health(answer)) {
                node_good(node);
                return;
        }
        if (answer->text[0])
                snprintf(node->failure, sizeof(node->failure), "%s: %.200s", node->where, answer->text);
        else
                snprintf(node->failure, sizeof(node->failure), "%s: HTTP %d", node->where, answer->status);
        kb_breaker_probe_bad(&node->breaker, kb_now_monotonic(), dice(node->cluster));
        plan_probe(node);
}

static int on_probe_time(sd_event_source *source, uint64_t now, void *userdata)
{
        struct node *node = userdata;
        struct kb_http_request request = {
                .address = &node->address,
                .method = KB_HTTP_GET,
                .path = PROBE_PATH,
                .connect_usec = node->cluster->connect_usec,
                .total_usec = PROBE_USEC,
                .done = on_probe,
                .userdata = node,
        };

        if (!kb_breaker_probe(&node->breaker, kb_now_monotonic()))
                return 0;
        if (kb_http_start(node->cluster->http, &request, &node->probe) < 0)
                kb_breaker_probe_bad(&node->breaker, kb_now_monotonic(), dice(node->cluster));
        plan_probe(node);
        return 0;
}

/* Whether the server had time enough to blame it. */
static bool fair(const struct flight *f)
{
        return f->share >= FAIR_USEC && kb_now_monotonic() - f->since >= FAIR_USEC;
}

static int on_deadline(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_cluster_call *call = userdata;
        struct flight *f = call->flight;
        struct answering a = answer_of(f);
        char text[512];

        a.answer.doubt = f->once && f->exchange && kb_http_sent(f->exchange);
        if (f->text[0])
                snprintf(text, sizeof(text), "no answer in time; before that, %.400s", f->text);
        else
                snprintf(text, sizeof(text), "%s%sno answer in time", a.answer.address,
                         f->asked ? ": " : "");
        a.answer.text = text;
        call_unlink(call);
        f->ending = true; /* it must outlive what `done` does */
        call->done(&a.answer, call->userdata);
        f->ending = false;
        call_free(call);
        if (!f->calls) {
                if (f->exchange && fair(f)) /* who lets callers wait in vain is as broken as who hangs up */
                        node_bad(&f->cluster->nodes[f->at], text);
                flight_free(f);
        }
        return 0;
}

/* --- what an answer says --- */

/* Every string of the request's body that could be a secret, for kb_api_errors(). */
static void collect(const struct kb_json_value *value, struct kb_span *ret, size_t *n)
{
        struct kb_json_each each = {0};
        const struct kb_json_value *member;
        const char *name;
        struct kb_span string;

        if (kb_json_string(value, &string) >= 0 && string.size >= SECRET_MIN && *n < SECRETS_MAX)
                ret[(*n)++] = string;
        for (size_t i = 0; kb_json_type(value) == KB_JSON_LIST && i < kb_json_count(value); i++)
                collect(kb_json_element(value, i), ret, n);
        while (kb_json_next(value, &each, &name, &member))
                collect(member, ret, n);
}

static void errors_of(const struct flight *f, const struct kb_api_envelope *envelope, char *ret, size_t size)
{
        _cleanup_(kb_json_freep) struct kb_json *body = NULL;
        struct kb_span secrets[SECRETS_MAX + 1] = {KB_SPAN(f->token, f->token_size)};
        size_t n = 0;

        if (f->body_size > 0 && kb_json_parse(KB_SPAN(f->body, f->body_size), &body) >= 0)
                collect(kb_json_root(body), secrets + 1, &n);
        kb_api_errors(envelope, secrets, n + 1, ret, size);
}

/* The body of an answer as far as it can be read: what the server complains of, and whether it is an
 * envelope. */
static bool read_body(const struct flight *f, struct kb_span body, char *ret_errors, size_t size)
{
        _cleanup_(kb_json_freep) struct kb_json *json = NULL;
        struct kb_api_envelope envelope;
        const char *part;

        ret_errors[0] = '\0';
        if (body.size == 0)
                return true;
        if (kb_json_parse(body, &json) < 0 || kb_api_envelope(kb_json_root(json), &envelope, &part) < 0)
                return false;
        errors_of(f, &envelope, ret_errors, size);
        return true;
}

/* One line for a person: who, and what. */
static void tell(struct flight *f, const struct kb_http_answer *answer, struct kb_judgement judgement,
                 const char *errors, bool readable)
{
        const char *where = f->cluster->nodes[f->at].where;
        const char *said = errors[0] ? errors : kb_route_status_text(answer->status);
        char text[512] = "";

        if (answer->result == KB_HTTP_TIMEOUT && !fair(f) && f->text[0])
                return; /* what was said before says more */
        if (answer->result != KB_HTTP_ANSWERED)
                snprintf(text, sizeof(text), "%s: %.200s", where, answer->text);
        else if (judgement.error != KB_E_OK && answer->status < 300 && !readable)
                snprintf(text, sizeof(text), "%s: its answer is no JSON of OpenBao", where);
        else if (judgement.error != KB_E_OK)
                snprintf(text, sizeof(text), "%s: HTTP %d%s%.300s", where, answer->status,
                         said[0] ? ": " : "", said);
        remember(f, judgement.error, answer->status, text);
}

/* --- the tries --- */

static uint64_t deadline_of(const struct flight *f)
{
        uint64_t last = 0;

        for (const struct kb_cluster_call *call = f->calls; call; call = call->next)
                if (call->deadline > last)
                        last = call->deadline;
        return last;
}

/* Leaves all of them alone for a while, then begins anew. When the deadline comes before that: now is the
 * end. */
static void wait_and_try(struct flight *f, uint64_t floor)
{
        uint64_t at = kb_time_add(kb_now_monotonic(), kb_backoff_wait(++f->rounds, floor, dice(f->cluster)));

        if (at >= deadline_of(f)) {
                end_without_answer(f);
                return;
        }
        if (f->once && f->redirected)
                f->passed_on = true;
        f->redirected = false;
        f->route = kb_route_init();
        sd_event_source_set_time(f->timer, at);
        sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

static void on_answer(const struct kb_http_answer *answer, void *userdata)
{
        struct flight *f = userdata;
        struct kb_cluster *c = f->cluster;
        struct node *node = &c->nodes[f->at];
        char errors[400];
        bool readable = read_body(f, answer->body, errors, sizeof(errors));
        struct kb_judgement judgement = kb_route_judge(answer, errors, readable, f->once && !f->passed_on);

        f->exchange = NULL;
        tell(f, answer, judgement, errors, readable);
        if (answer->result == KB_HTTP_ANSWERED && judgement.verdict != KB_VERDICT_BROKEN)
                node_good(node);
        else if (judgement.verdict == KB_VERDICT_BROKEN && (answer->result != KB_HTTP_TIMEOUT || fair(f)))
                node_bad(node, f->text);
        if (judgement.verdict == KB_VERDICT_ANSWER)
                c->current = f->at;
        if (judgement.verdict == KB_VERDICT_ANSWER || judgement.verdict == KB_VERDICT_OURS) {
                end(f, f->once && judgement.verdict == KB_VERDICT_OURS && judgement.executed, answer->body);
        } else if (f->once && judgement.executed) {
                end(f, true, KB_SPAN("", 0));
        } else if (judgement.error == KB_E_BUSY && ++f->busy > BUSY_MAX) {
                end(f, false, answer->body);
        } else if (judgement.verdict == KB_VERDICT_WAIT) {
                wait_and_try(f, answer->retry_after);
        } else {
                if (answer->status >= 300 && answer->status < 400) {
                        f->redirected = true;
                        f->route.hint = -1;
                        for (size_t i = 0; i < c->n_nodes && f->route.hint < 0; i++)
                                if (kb_address_find(&c->nodes[i].address, 1, answer->location) == 0)
                                        f->route.hint = (int)i;
                }
                try_next(f);
        }
}

/* A try's share of the time that is left. */
static int ask(struct flight *f, uint64_t left, unsigned among)
{
        uint64_t share = left / among;
        struct kb_http_request request = {
                .address = &f->cluster->nodes[f->at].address,
                .method = f->method,
                .path = f->path,
                .namespace = f->namespace,
                .token = KB_SPAN(f->token, f->token_size),
                .mfa = KB_SPAN(f->mfa, f->mfa_size),
                .body = KB_SPAN(f->body, f->body_size),
                .wrap_seconds = f->wrap_seconds,
                .once = f->once,
                .here = f->once && !f->passed_on,
                .connect_usec = share < f->cluster->connect_usec ? share : f->cluster->connect_usec,
                .total_usec = f->once ? left : share,
                .done = on_answer,
                .userdata = f,
        };

        f->asked = true;
        f->share = request.total_usec;
        return kb_http_start(f->cluster->http, &request, &f->exchange);
}

/* Nobody can be asked: all breakers are open. */
static void nobody_left(struct flight *f)
{
        const struct node *node = &f->cluster->nodes[f->cluster->current];
        char text[512];

        if (f->patient) {
                f->parked = true;
                return;
        }
        if (!f->text[0]) {
                snprintf(text, sizeof(text), "%.300s; not asked again before it answers a probe",
                         node->failure[0] ? node->failure : node->where);
                remember(f, KB_E_UNREACHABLE, 0, text);
        }
        end_without_answer(f);
}

static void try_next(struct flight *f)
{
        struct kb_cluster *c = f->cluster;
        uint64_t now = kb_now_monotonic(), deadline = deadline_of(f);
        uint32_t closed = closed_nodes(c);
        unsigned among = kb_route_left(&f->route, c->n_nodes, closed);
        int i = kb_route_next(&f->route, c->n_nodes, c->current, closed);
        int r;

        if (closed == 0) {
                nobody_left(f);
        } else if (i < 0 && f->error == KB_E_UNSUPPORTED) { /* KB_VERDICT_OTHERS */
                end_without_answer(f);
        } else if (i < 0) {
                wait_and_try(f, 0);
        } else if (f->asked && kb_time_add(now, TRY_USEC) > deadline) {
                end_without_answer(f);
        } else if (deadline > now) { /* else the calls' timers are due */
                f->at = (size_t)i;
                f->since = now;
                r = ask(f, deadline - now, among);
                if (r < 0) {
                        remember(f, kb_error_from_errno(r), 0, strerror(-r));
                        end_without_answer(f);
                }
        }
}

static int on_time(sd_event_source *source, uint64_t now, void *userdata)
{
        try_next(userdata);
        return 0;
}

/* --- starting --- */

static bool same_text(const char *a, const char *b)
{
        return strcmp(a ? a : "", b ? b : "") == 0;
}

/* What may be asked once for many: it changes nothing, and everybody sees the same. */
static bool shareable(const struct kb_cluster_request *r)
{
        return (r->method == KB_HTTP_GET || r->method == KB_HTTP_LIST) && !r->once && r->wrap_seconds == 0 &&
               r->mfa.size == 0 && r->body.size == 0;
}

static struct flight *same_flight(struct kb_cluster *c, const struct kb_cluster_request *r)
{
        if (!shareable(r))
                return NULL;
        for (struct flight *f = c->flights; f; f = f->next)
                if (f->method == r->method && !f->once && f->wrap_seconds == 0 && f->body_size == 0 &&
                    f->patient == r->patient && same_text(f->path, r->path) &&
                    same_text(f->namespace, r->namespace) &&
                    kb_secret_equal(KB_SPAN(f->token, f->token_size), r->token))
                        return f;
        return NULL;
}

static int flight_fill(struct flight *f, const struct kb_cluster_request *r)
{
        f->path = strdup(r->path);
        f->namespace = strdup(r->namespace ? r->namespace : "");
        f->token = kb_secret_dup(r->token);
        f->mfa = kb_secret_dup(r->mfa);
        f->body = kb_secret_dup(r->body);
        if (!f->path || !f->namespace || !f->token || !f->mfa || !f->body)
                return -ENOMEM;
        f->token_size = r->token.size;
        f->mfa_size = r->mfa.size;
        f->body_size = r->body.size;
        /* From the loop and not from here, so that nobody is called back from inside kb_cluster_start(). */
        return sd_event_add_time(f->cluster->event, &f->timer, CLOCK_MONOTONIC, 0, 1, on_time, f);
}

static int flight_new(struct kb_cluster *c, const struct kb_cluster_request *r, struct flight **ret)
{
        struct flight *f = calloc(1, sizeof(*f));
        int error;

        if (!f)
                return -ENOMEM;
        f->cluster = c;
        f->method = r->method;
        f->wrap_seconds = r->wrap_seconds;
        f->once = r->once;
        f->patient = r->patient;
        f->error = KB_E_UNREACHABLE;
        f->route = kb_route_init();
        error = flight_fill(f, r);
        if (error < 0) {
                flight_free(f);
                return error;
        }
        f->next = c->flights;
        c->flights = f;
        *ret = f;
        return 0;
}

int kb_cluster_start(struct kb_cluster *c, const struct kb_cluster_request *r, struct kb_cluster_call **ret)
{
        struct kb_cluster_call *call = calloc(1, sizeof(*call));
        struct flight *f;
        int error;

        if (!call)
                return -ENOMEM;
        *call = (struct kb_cluster_call){.deadline = r->deadline, .done = r->done, .userdata = r->userdata};
        error = kb_http_header_valid(r->token) && kb_http_header_valid(r->mfa) &&
                                kb_http_header_valid(KB_SPAN_STRING(r->namespace ? r->namespace : ""))
                        ? sd_event_add_time(c->event, &call->timer, CLOCK_MONOTONIC, r->deadline, 1,
                                            on_deadline, call)
                        : -EINVAL;
        f = same_flight(c, r);
        if (error >= 0 && !f)
                error = flight_new(c, r, &f);
        if (error < 0) {
                call_free(call);
                return error;
        }
        call->flight = f;
        call->next = f->calls;
        f->calls = call;
        *ret = call;
        return 0;
}

/* --- the cluster --- */

static enum kb_error add_nodes(struct kb_cluster *c, const struct kb_cluster_settings *settings,
                               struct kb_problem *problem)
{
        for (size_t i = 0; i < settings->n_addresses; i++) {
                struct node *node = &c->nodes[i];
                int r;

                node->cluster = c;
                node->address = settings->addresses[i];
                kb_address_text(&node->address, node->where, sizeof(node->where));
                r = sd_event_add_time(c->event, &node->timer, CLOCK_MONOTONIC, 0, 1, on_probe_time, node);
                if (r >= 0)
                        r = sd_event_source_set_enabled(node->timer, SD_EVENT_OFF);
                if (r < 0)
                        return kb_problem_errno(problem, r, "addresses");
                c->n_nodes++;
        }
        return KB_E_OK;
}

enum kb_error kb_cluster_new(struct kb_cluster **ret, sd_event *event,
                             const struct kb_cluster_settings *settings, struct kb_problem *problem)
{
        _cleanup_(kb_cluster_freep) struct kb_cluster *c = calloc(1, sizeof(*c));
        enum kb_error error;

        if (settings->n_addresses < 1 || settings->n_addresses > KB_CLUSTER_ADDRESSES)
                return kb_problem(problem, KB_E_BAD_REQUEST, "a cluster has 1 to %d addresses",
                                  KB_CLUSTER_ADDRESSES);
        if (!c)
                return kb_problem_errno(problem, -ENOMEM, "addresses");
        c->event = sd_event_ref(event);
        c->connect_usec = settings->connect_usec > 0 ? settings->connect_usec : CONNECT_DEFAULT;
        c->random = settings->random ? settings->random : kernel_random;
        c->userdata = settings->userdata;
        error = kb_http_new(&c->http, event, &settings->http, problem);
        if (error == KB_E_OK)
                error = add_nodes(c, settings, problem);
        if (error != KB_E_OK)
                return error;
        c->current = (size_t)kb_spread(c->n_nodes - 1, dice(c));
        *ret = take_ptr(c);
        return KB_E_OK;
}

void kb_cluster_free(struct kb_cluster *c)
{
        if (!c)
                return;
        while (c->flights)
                flight_free(c->flights);
        for (size_t i = 0; i < c->n_nodes; i++) {
                if (c->nodes[i].probe)
                        kb_http_cancel(c->nodes[i].probe);
                sd_event_source_disable_unref(c->nodes[i].timer);
        }
        kb_http_free(c->http);
        sd_event_unref(c->event);
        free(c);
}

size_t kb_cluster_size(const struct kb_cluster *c)
{
        return c->n_nodes;
}

void kb_cluster_state(const struct kb_cluster *c, size_t index, struct kb_cluster_state *ret)
{
        *ret = (struct kb_cluster_state){
                .address = c->nodes[index].where,
                .current = c->current == index,
                .open = !kb_breaker_closed(&c->nodes[index].breaker),
                .text = c->nodes[index].failure,
        };
}

const char *kb_cluster_trouble(const struct kb_cluster *c)
{
        return kb_http_trouble(c->http);
}
