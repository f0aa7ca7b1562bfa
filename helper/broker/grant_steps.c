/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/grant_steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/crashpoint.h"
#include "helper/broker/clock_watch.h"
#include "helper/broker/stale.h"
#include "helper/broker/stores.h"
#include "helper/broker/systemd.h"
#include "helper/broker/user_folder.h"

/* --- life of a step --- */

static void step_free(struct kb_step *s)
{
        if (!s)
                return;
        if (s->call)
                kb_store_call_cancel(s->call);
        sd_event_source_disable_unref(s->timer);
        kb_credential_unref(s->definition);
        kb_fields_free(s->fields);
        kb_secret_free(s->frame);
        free(s);
}

static void remove_step(struct kb_step *s)
{
        struct kb_step **p = &s->held->steps;

        while (*p != s)
                p = &(*p)->next;
        *p = s->next;
        step_free(s);
}

void kb_step_done(struct kb_step *s)
{
        struct kb_held *held = s->held;

        remove_step(s);
        kb_issue_settle(held);
        kb_grants_advance(held);
}

bool kb_step_take_back(struct kb_step *s)
{
        s->lent = false;
        if (s->held)
                return true;
        step_free(s);
        return false;
}

void kb_steps_cancel(struct kb_held *held)
{
        while (held->steps) {
                struct kb_step *s = held->steps;

                held->steps = s->next;
                s->held = NULL;
                if (!s->lent)
                        step_free(s);
        }
}

void kb_step_set_problem(struct kb_held *held, const char *text)
{
        if (text == held->problem)
                return;
        snprintf(held->problem, sizeof(held->problem), "%s", text);
        if (!kb_text_valid(
                    held->problem)) /* it may be a store's, and goes to terminals; or was cut in a letter */
                snprintf(held->problem, sizeof(held->problem), "the store's message cannot be printed");
}

/* --- what is written down --- */

struct kb_event kb_step_event(const struct kb_held *held, enum kb_event_id id, const struct kb_lease *lease)
{
        const struct kb_grant *g = &held->grant;
        struct kb_event event = {
                .id = id,
                .credential = g->credential,
                .store = g->store,
                .request = held->request,
        };

        if (held->consumer == KB_CONSUMER_UNIT) {
                event.unit = g->consumer;
                event.invocation = g->instance;
        } else {
                event.user = g->consumer;
                event.uid = g->instance;
        }
        if (lease) {
                event.grant = lease->record;
                event.lease = lease->id;
        }
        return event;
}

void kb_step_note_failure(struct kb_held *held, enum kb_event_id id, const struct kb_lease *lease,
                          enum kb_error error, const char *text)
{
        struct kb_event event = kb_step_event(held, id, lease);

        kb_step_set_problem(held, text);
        event.reason = kb_error_word(error);
        event.detail = text;
        kb_broker_note(held->broker, event);
}

/* --- asking the store --- */

static const struct kb_credential *definition_of(const struct kb_step *s)
{
        return s->definition ? s->definition : s->held->credential;
}

/* Whether the values would be others than those of the current lease, also under the same id. */
static bool is_redefined(const struct kb_step *s)
{
        return s->definition && s->held->credential &&
               !kb_credential_gives_same(s->definition, s->held->credential);
}

static int ask(struct kb_step *s, uint32_t verb, kb_store_done done)
{
        struct kb_broker *broker = s->held->broker;

        return kb_store_call_new(&s->call, &(struct kb_store_request){
                                                   .event = broker->event,
                                                   .dir = KB_STORES_DIR,
                                                   .store = s->held->grant.store,
                                                   .verb = verb,
                                                   .usec = broker->config->store_usec,
                                                   .done = done,
                                                   .userdata = s,
                                           });
}

/* --- fetch: store, then log, and only then is it a grant --- */

/* The lease is real, but of no use: back with it. Only a first one takes the grant along. */
static void reject(struct kb_held *held, uint32_t lease, enum kb_error error, const char *why)
{
        kb_step_set_problem(held, why);
        kb_grant_reject(&held->grant, kb_now_boottime(), lease, error);
        if (held->grant.ended && held->refusal == KB_E_OK)
                held->refusal = error;
}

static void on_first_published(int r, const struct kb_unit_folder_made *made, void *userdata)
{
        struct kb_step *s = userdata;

        if (!kb_step_take_back(s))
                return;
        if (r < 0)
                reject(s->held, s->is.lease, KB_E_INTERNAL,
                       "its folder below " KB_RUNDIR "/units could not be written");
        s->held->ready = true;
        kb_step_done(s);
}

/* People find all of it in their folder, and it has to be there before the login goes on. */
static void make_ready_for_person(struct kb_step *s)
{
        struct kb_held *held = s->held;

        if (!held->ready && !held->grant.ended &&
            kb_user_folder_update(held->broker, held->grant.consumer, held->grant.instance) < 0)
                reject(held, s->is.lease, KB_E_INTERNAL,
                       "its folder below " KB_USERS_DIR " could not be written");
        held->ready = true;
        kb_step_done(s);
}

/* A service reads what rotates in its folder, from the first start on: it has to be there before it starts.
 */
static void make_ready(struct kb_step *s)
{
        struct kb_held *held = s->held;

        if (held->consumer == KB_CONSUMER_USER) {
                make_ready_for_person(s);
                return;
        }
        if (held->ready || held->grant.ended || !kb_unit_folder_wanted(held)) {
                held->ready = true;
                kb_step_done(s);
                return;
        }
        s->lent = true;
        kb_unit_folder_publish(held->broker, held->grant.consumer, held->grant.instance, on_first_published,
                               s);
}

/* r: what the log says. sequence: the id of the lease from now on. */
static void on_recorded(int r, uint64_t sequence, void *userdata)
{
        struct kb_step *s = userdata;
        struct kb_held *held = s->held;
        struct kb_lease_answer answer;
        struct kb_lease *lease;
        bool useless = !s->fields;

        kb_crashpoint("issued");
        if (!kb_step_take_back(s))
                return;
        answer = (struct kb_lease_answer){.id = s->reply.lease,
                                          .ttl = s->reply.ttl,
                                          .renewable = s->reply.renewable,
                                          .differs = is_redefined(s),
                                          .fields = take_ptr(s->fields)};
        lease = kb_grant_on_fetched(&held->grant, kb_now_boottime(), KB_E_OK, &answer);
        s->is.lease = lease->number;
        lease->clock = s->clock;
        if (lease->role == KB_LEASE_OFFERED) {
                kb_credential_unref(held->next);
                held->next = take_ptr(s->definition);
        }
        if (r >= 0) {
                lease->record = sequence;
                if (held->grant.id == 0)
                        held->grant.id = sequence;
                if (held->issued == 0)
                        held->issued = kb_now_realtime();
        }
        if (r < 0 && held->broker->config->log_required)
                reject(held, lease->number, KB_E_NO_RECORD, "its record could not be written to the log");
        else if (useless)
                reject(held, lease->number, KB_E_BAD_REQUEST, held->problem);
        make_ready(s);
}

static void record_issue(struct kb_step *s)
{
        struct kb_held *held = s->held;
        const struct kb_lease *before = kb_grant_lease_in(&held->grant, KB_LEASE_CURRENT);
        struct kb_event event = kb_step_event(held, KB_EVENT_GRANT_ISSUED, NULL);
        uint64_t now = kb_now_realtime();
        int r;

        event.path = definition_of(s) ? definition_of(s)->path : "";
        event.lease = s->reply.lease;
        event.version = s->reply.version;
        event.issued = now;
        event.expires = s->reply.ttl == 0 ? KB_TIME_NEVER : kb_time_add(now, kb_lease_usec(s->reply.ttl));
        event.renewable = s->reply.renewable;
        event.replaces = before ? before->record : 0;
        event.state = before ? "offered" : "issued";
        s->lent = true;
        r = kb_log_append(held->broker->log, &event, true, on_recorded, s);
        if (r < 0)
                on_recorded(r, 0, s);
}

int kb_step_take_fields(struct kb_step *s, struct kb_fields_problem *problem)
{
        const struct kb_credential *c = definition_of(s);
        size_t n = c ? c->fields.count : 0;
        _cleanup_free_ struct kb_field_map *map = calloc(n + 1, sizeof(*map));

        if (!map) {
                snprintf(problem->text, sizeof(problem->text), "out of memory");
                return -ENOMEM;
        }
        for (size_t i = 0; i < n; i++)
                map[i] = (struct kb_field_map){c->fields.pairs[i].name, c->fields.pairs[i].value};
        return kb_fields_new(s->reply.fields, map, n, &s->fields, problem);
}

/* One that was started anew cannot answer before it is greeted: so as not to wait for the next minute. */
static void greet_if_away(const struct kb_held *held, enum kb_error error)
{
        if (error == KB_E_UNREACHABLE)
                kb_stores_greet_again(held->broker->stores, held->grant.store);
}

/* A first fetch that fails is a refusal, which whoever asked writes down; later ones are failed rotations.
 */
static void fetch_failed(struct kb_step *s, enum kb_error error, const char *why)
{
        struct kb_held *held = s->held;
        const struct kb_lease *newest = kb_grant_newest(&held->grant);

        greet_if_away(held, error);
        if (!newest && kb_stale_use(held, definition_of(s), error, &s->frame, &s->reply)) {
                struct kb_fields_problem problem;

                if (kb_step_take_fields(s, &problem) >= 0) {
                        record_issue(s);
                        return;
                }
        }
        if (newest)
                kb_step_note_failure(held, KB_EVENT_RENEW_FAILED, newest, error, why);
        else
                kb_step_set_problem(held, why);
        kb_grant_on_fetched(&held->grant, kb_now_boottime(), error, NULL);
        kb_step_done(s);
}

/*
 * The store has answered with the lease that we have, which is a renewal; of one without an end it is no
 * news. The grant, its record and its folder stay.
 */
static void live_on(struct kb_step *s, struct kb_lease_answer *answer)
{
        struct kb_held *held = s->held;
        const struct kb_lease *current = kb_grant_lease_in(&held->grant, KB_LEASE_CURRENT);
        struct kb_event event = kb_step_event(held, KB_EVENT_GRANT_RENEWED, current);
        struct kb_fields_problem problem;

        if (kb_step_take_fields(s, &problem) >= 0)
                answer->fields = take_ptr(s->fields);
        event.expires = kb_time_add(kb_now_realtime(), kb_lease_usec(answer->ttl));
        event.renewals = current->renewals + 1;
        event.renewable = answer->renewable;
        if (answer->ttl > 0 || current->ends != KB_TIME_NEVER)
                kb_broker_note(held->broker, event);
        held->problem[0] = '\0';
        if (s->definition && !is_redefined(s)) {
                kb_credential_unref(held->credential);
                held->credential = take_ptr(s->definition);
        }
        kb_grant_on_fetched(&held->grant, kb_now_boottime(), KB_E_OK, answer);
        kb_step_done(s);
}

static void on_fetched(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_step *s = userdata;
        struct kb_held *held = s->held;
        struct kb_fields_problem problem = {""};
        struct kb_lease_answer same;

        s->call = NULL;
        kb_crashpoint("fetched");
        if (answer->error != KB_E_OK) {
                fetch_failed(s, answer->error, answer->text);
                return;
        }
        if (kb_fetch_reply_get(answer->fields, &s->reply) < 0) {
                fetch_failed(s, KB_E_INTERNAL, "the store's answer makes no sense");
                return;
        }
        held->fetched++;
        s->frame = kb_store_answer_take(answer);
        kb_stale_keep(held, definition_of(s), &s->reply);
        same = (struct kb_lease_answer){.id = s->reply.lease,
                                        .ttl = s->reply.ttl,
                                        .renewable = s->reply.renewable,
                                        .differs = s->reply.ttl == 0 && is_redefined(s)};
        if (kb_grant_lives_on(&held->grant, &same)) {
                live_on(s, &same);
                return;
        }
        if (kb_step_take_fields(s, &problem) < 0) /* the lease is real all the same: write it down first */
                kb_step_set_problem(held, problem.text);
        else
                held->problem[0] = '\0';
        record_issue(s);
}

int kb_step_ask_fetch(struct kb_step *s, const char *version, kb_store_done done)
{
        struct kb_held *held = s->held;
        const struct kb_credential *c = definition_of(s);
        _cleanup_list_ struct kb_list_builder parameters = kb_list_builder_init(KB_FRAME_MAX / 2),
                                              pointers = kb_list_builder_init(KB_FRAME_MAX / 2);
        char request[64];
        bool nobody = c && c->as == KB_AS_person && held->consumer != KB_CONSUMER_USER;
        int r = !c ? -ENOENT : nobody ? -EPERM : ask(s, KB_VERB_fetch, done);

        if (r < 0)
                return r;
        s->clock = kb_clock_offset();
        for (size_t i = 0; i < c->params.count; i++)
                kb_list_add_text(&parameters, c->params.pairs[i].name, c->params.pairs[i].value);
        for (size_t i = 0; i < c->fields.count; i++)
                if (c->fields.pairs[i].value[0] == '/')
                        kb_list_add_string(&pointers, c->fields.pairs[i].value);
        /* A fetch that is tried again is the same one for the store; the one after an answer is another. */
        snprintf(request, sizeof(request), "%s.%u", held->request, held->fetched);
        kb_fetch_request_put(kb_store_call_writer(s->call),
                             &(struct kb_fetch_request){
                                     .path = c->path,
                                     .method = c->method,
                                     .version = version ? version : c->version,
                                     .parameters = kb_list_built(&parameters),
                                     .pointers = kb_list_built(&pointers),
                                     .request = request,
                                     .person = c->as == KB_AS_person ? held->grant.consumer : "",
                             });
        kb_store_call_start(s->call);
        return 0;
}

static void fetch(struct kb_step *s)
{
        int r;

        if (s->held->grant.issued) {
                s->held->offers = false;
                s->definition = kb_grants_take_definition(s->held);
        }
        r = kb_step_ask_fetch(s, NULL, on_fetched);
        if (r == -ENOENT)
                fetch_failed(s, KB_E_NOT_FOUND, "the credential's file is gone");
        else if (r == -EPERM)
                fetch_failed(s, KB_E_BAD_REQUEST, "with As=person only somebody who logged in can have it");
        else if (r < 0)
                fetch_failed(s, KB_E_INTERNAL, "out of memory");
}

static void on_pid_1_asked(int r, const struct kb_unit_facts *facts, void *userdata)
{
        struct kb_step *s = userdata;

        if (!kb_step_take_back(s))
                return;
        if (r >= 0 && !s->held->grant.ended)
                fetch(s);
        else
                fetch_failed(s, KB_E_UNREACHABLE,
                             "PID 1 does not say who the unit runs as, and it keeps the old one");
}

/*
 * Without PID 1 a unit can be given nothing new. So after a lease that was for nothing the store is not
 * asked for another before PID 1 has answered: each would only be revoked again.
 */
static void begin_fetch(struct kb_step *s)
{
        struct kb_held *held = s->held;
        int r;

        if (!held->asks_first || held->consumer != KB_CONSUMER_UNIT || !kb_grant_newest(&held->grant)) {
                fetch(s);
                return;
        }
        s->lent = true;
        r = kb_systemd_unit_facts(held->broker->systemd, held->grant.consumer, on_pid_1_asked, s);
        if (r < 0)
                on_pid_1_asked(r, NULL, s);
}

/* --- renew --- */

static void on_renewed(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_step *s = userdata;
        struct kb_held *held = s->held;
        const struct kb_lease *lease = kb_grant_lease(&held->grant, s->is.lease);
        struct kb_renew_reply reply = {0};
        enum kb_error error = answer->error;

        s->call = NULL;
        greet_if_away(held, error);
        if (error == KB_E_OK && kb_renew_reply_get(answer->fields, &reply) < 0)
                error = KB_E_INTERNAL;
        if (error != KB_E_OK)
                kb_step_note_failure(held, KB_EVENT_RENEW_FAILED, lease, error, answer->text);
        else {
                struct kb_event event = kb_step_event(held, KB_EVENT_GRANT_RENEWED, lease);

                held->problem[0] = '\0';
                event.expires = kb_time_add(kb_now_realtime(), kb_lease_usec(reply.ttl));
                event.renewals = lease ? lease->renewals + 1 : 0;
                event.renewable = reply.renewable;
                kb_broker_note(held->broker, event);
        }
        kb_grant_on_renewed(&held->grant, kb_now_boottime(), s->is.lease, error, reply.ttl, reply.renewable);
        kb_step_done(s);
}

static void begin_renew(struct kb_step *s)
{
        const struct kb_lease *lease = kb_grant_lease(&s->held->grant, s->is.lease);

        if (ask(s, KB_VERB_renew, on_renewed) < 0) {
                kb_grant_on_renewed(&s->held->grant, kb_now_boottime(), s->is.lease, KB_E_INTERNAL, 0, true);
                kb_step_done(s);
                return;
        }
        kb_renew_request_put(kb_store_call_writer(s->call), &(struct kb_renew_request){.lease = lease->id});
        kb_store_call_start(s->call);
}

/* --- revoke: log, and only then the store --- */

static void on_noted(int r, uint64_t sequence, void *userdata)
{
        struct kb_step *s = userdata;

        kb_crashpoint("revoking");
        if (!kb_step_take_back(s))
                return;
        kb_grant_on_noted(&s->held->grant, s->is.lease);
        kb_step_done(s);
}

/*
 * A lease is not spared because the log cannot be written. That it was not noted ends at once, but the grant
 * goes on from the loop only: whoever retired its leases still looks at them.
 */
static void begin_note(struct kb_step *s)
{
        struct kb_held *held = s->held;
        const struct kb_lease *lease = kb_grant_lease(&held->grant, s->is.lease);
        struct kb_event event = kb_step_event(held, KB_EVENT_GRANT_REVOKING, lease);
        int r = -ENOENT; /* what has no record needs none */

        s->lent = true;
        if (lease->record > 0)
                r = kb_log_append(held->broker->log, &event, true, on_noted, s);
        if (r >= 0)
                return;
        kb_grant_on_noted(&held->grant, s->is.lease);
        remove_step(s);
}

static void on_revoked(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_step *s = userdata;
        struct kb_held *held = s->held;
        const struct kb_lease *lease = kb_grant_lease(&held->grant, s->is.lease);

        s->call = NULL;
        greet_if_away(held, answer->error);
        kb_crashpoint("revoked");
        if (answer->error == KB_E_OK || kb_lease_error_is_gone(answer->error)) {
                kb_broker_note(held->broker, kb_step_event(held, KB_EVENT_GRANT_REVOKED, lease));
                kb_stores_greet(held->broker->stores, held->grant.store); /* for its revocation lists */
        } else
                kb_step_note_failure(held, KB_EVENT_REVOKE_FAILED, lease, answer->error, answer->text);
        kb_grant_on_revoked(&held->grant, kb_now_boottime(), s->is.lease, answer->error);
        kb_step_done(s);
}

static void begin_revoke(struct kb_step *s)
{
        const struct kb_lease *lease = kb_grant_lease(&s->held->grant, s->is.lease);

        if (ask(s, KB_VERB_revoke, on_revoked) < 0) {
                kb_grant_on_revoked(&s->held->grant, kb_now_boottime(), s->is.lease, KB_E_INTERNAL);
                kb_step_done(s);
                return;
        }
        kb_revoke_request_put(kb_store_call_writer(s->call),
                              &(struct kb_revoke_request){.lease = lease->id});
        kb_store_call_start(s->call);
}

static void begin_expire(struct kb_step *s)
{
        struct kb_held *held = s->held;

        kb_broker_note(held->broker, kb_step_event(held, KB_EVENT_GRANT_EXPIRED,
                                                   kb_grant_lease(&held->grant, s->is.lease)));
        kb_grant_on_expired(&held->grant, kb_now_boottime(), s->is.lease);
        if (held->consumer == KB_CONSUMER_USER)
                kb_user_folder_update(held->broker, held->grant.consumer, held->grant.instance);
        kb_step_done(s);
}

/* --- dispatch --- */

static void (*const begin[])(struct kb_step *s) = {
        [KB_GRANT_FETCH] = begin_fetch,       [KB_GRANT_RENEW] = begin_renew,
        [KB_GRANT_OFFER] = kb_rotation_offer, [KB_GRANT_RESTART] = kb_rotation_restart,
        [KB_GRANT_PROBE] = kb_rotation_probe, [KB_GRANT_ADOPT] = kb_rotation_adopt,
        [KB_GRANT_NOTE] = begin_note,         [KB_GRANT_REVOKE] = begin_revoke,
        [KB_GRANT_EXPIRE] = begin_expire,
};

struct kb_step *kb_step_new(struct kb_held *held)
{
        struct kb_step *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->held = held;
        s->next = held->steps;
        held->steps = s;
        return s;
}

/* What a broker that is on its way out leaves to the next one. */
static bool makes_new(enum kb_grant_action action)
{
        return action == KB_GRANT_FETCH || action == KB_GRANT_OFFER || action == KB_GRANT_RESTART;
}

/* New values for a consumer that has some: nothing is fetched, and no unit restarted, for what would stop.
 */
static bool is_stopped(const struct kb_held *held, const struct kb_grant_step *step)
{
        bool replaces =
                step->action == KB_GRANT_RESTART || (step->action == KB_GRANT_FETCH && held->grant.issued);

        return replaces && kb_rotation_is_stopped(held);
}

int kb_step_begin(struct kb_held *held, const struct kb_grant_step *step)
{
        struct kb_step *s;

        if (kb_rotation_must_wait(held, step) || is_stopped(held, step) ||
            (held->broker->stopping && makes_new(step->action))) {
                kb_grant_defer(&held->grant, kb_now_boottime() + KB_LEASE_FLOOR_USEC);
                return -EAGAIN;
        }
        s = kb_step_new(held);
        if (!s || kb_grant_begin(&held->grant, step) < 0) {
                if (s)
                        remove_step(s);
                return -ENOMEM;
        }
        s->is = *step;
        begin[step->action](s);
        return 0;
}
