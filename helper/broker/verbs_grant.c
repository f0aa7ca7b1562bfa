/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/broker/broker.h"
#include "helper/broker/grants.h"
#include "helper/broker/store_client.h"
#include "helper/broker/verbs.h"

/* --- list --- */

#define PORTION 500 /* records of one reply: they fit in a frame with all their maxima */

struct listing {
        uint64_t after;
        uint64_t now_boottime, now_realtime;
        const struct kb_log_identity *identity;
        const struct kb_held **held; /* those that come after */
        size_t n, room;
};

static void take(struct kb_held *held, void *userdata)
{
        struct listing *l = userdata;

        if (held->grant.id > l->after && l->n < l->room)
                l->held[l->n++] = held;
}

static int by_id(const void *a, const void *b)
{
        const struct kb_held *const *x = a, *const *y = b;

        return ((*x)->grant.id > (*y)->grant.id) - ((*x)->grant.id < (*y)->grant.id);
}

/* A time of CLOCK_BOOTTIME as one of day. */
static uint64_t time_of_day(const struct listing *l, uint64_t at)
{
        if (at == KB_TIME_NEVER)
                return KB_TIME_NEVER;
        return kb_time_add(l->now_realtime, at > l->now_boottime ? at - l->now_boottime : 0);
}

/* An old lease lives until the new one was adopted. */
static const char *note_of(const struct kb_grant *g)
{
        bool both = kb_grant_lease_in(g, KB_LEASE_OFFERED) && kb_grant_lease_in(g, KB_LEASE_CURRENT);

        return both ? "old one still in use" : "";
}

static void list_one(const struct listing *l, const struct kb_held *held, struct kb_list_builder *grants)
{
        const struct kb_grant *g = &held->grant;
        const struct kb_lease *lease = kb_grant_newest(g);
        _cleanup_writer_ struct kb_writer record = kb_writer_init(8192);
        char fingerprint[KB_FINGERPRINT_MAX] = "";

        if (lease)
                kb_fingerprint_text(l->identity, lease->id, fingerprint);
        kb_grant_record_put(&record,
                            &(struct kb_grant_record){
                                    .id = g->id,
                                    .consumer = g->consumer,
                                    .instance = g->instance,
                                    .credential = g->credential,
                                    .store = g->store,
                                    .state = kb_grant_state_word(kb_grant_state(g)),
                                    .lease = fingerprint,
                                    .issued = held->issued,
                                    .expires = lease ? time_of_day(l, lease->ends) : 0,
                                    .renews = time_of_day(l, g->wake.place ? g->wake.at : KB_TIME_NEVER),
                                    .renewals = lease ? lease->renewals : 0,
                                    .problem = held->problem,
                                    .note = note_of(g),
                            });
        kb_list_add(grants, KB_SPAN(record.data, record.size));
}

void kb_verb_grant_list(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_grant_list_request asked;
        _cleanup_list_ struct kb_list_builder grants = kb_list_builder_init(KB_FRAME_MAX - 4096);
        struct listing l = {
                .now_boottime = kb_now_boottime(),
                .now_realtime = kb_now_realtime(),
                .identity = kb_log_identity(broker->log),
                .room = kb_grants_count(broker->grants),
        };

        l.held = calloc(l.room + 1, sizeof(*l.held));
        if (!l.held || kb_grant_list_request_get(kb_request_body(request), &asked) < 0) {
                free(l.held);
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        l.after = asked.after;
        kb_grants_each(broker->grants, take, &l);
        qsort(l.held, l.n, sizeof(*l.held), by_id);
        for (size_t i = 0; i < l.n && i < PORTION; i++)
                list_one(&l, l.held[i], &grants);
        kb_request_reply(request, grant_list, .grants = kb_list_built(&grants), .more = l.n > PORTION);
        free(l.held);
}

/* --- revoke --- */

static void on_revoke_recorded(int r, uint64_t sequence, void *userdata)
{
        struct kb_request *request = userdata;

        if (r < 0)
                kb_request_fail(request, KB_E_NO_RECORD,
                                "it is being revoked, but the log cannot be written: look again with "
                                "keybearer grant list");
        else
                kb_request_reply(request, grant_revoke);
}

/* The answer goes out when it is on disk that the grant is to be revoked: no crash gives it back. */
void kb_verb_grant_revoke(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_grant_revoke_request asked;
        struct kb_event event = {.id = KB_EVENT_ADMIN_DONE, .subject = "root", .action = "grant revoke"};
        char credential[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_held *held = NULL;
        int r;

        if (kb_grant_revoke_request_get(kb_request_body(request), &asked) >= 0 && asked.id > 0)
                held = kb_grants_find_id(broker->grants, asked.id);
        if (!held) {
                kb_request_fail(request, KB_E_NOT_FOUND, "there is no such grant: keybearer grant list");
                return;
        }
        snprintf(credential, sizeof(credential), "%s", held->grant.credential);
        event.object = credential;
        event.grant = held->grant.id;
        event.request = kb_request_id(request);
        kb_grants_end(held); /* it may be gone now; that it is to be revoked is before this in the log */
        r = kb_log_append(broker->log, &event, true, on_revoke_recorded, request);
        if (r < 0)
                on_revoke_recorded(r, 0, request);
}

/* --- fetch, to try a definition: a grant of root for as long as it takes to show it --- */

struct trial {
        struct kb_broker *broker;
        struct kb_request *request;
        char instance[17];
        char credential[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_issue *issue;
};

static struct kb_held *held_of(const struct trial *t)
{
        return kb_grants_find(t->broker->grants, KB_CONSUMER_TRIAL, "root", t->instance, t->credential);
}

static void give_back(const struct trial *t)
{
        struct kb_held *held = held_of(t);

        if (held)
                kb_grants_end(held);
}

/* Seconds that its lease would have lived; 0: no end. */
static uint64_t ttl_of(const struct trial *t)
{
        const struct kb_held *held = held_of(t);
        const struct kb_lease *lease = held ? kb_grant_newest(&held->grant) : NULL;

        return lease && lease->ttl != KB_TIME_NEVER ? lease->ttl / KB_USEC_PER_SEC : 0;
}

/* Seconds that it would have lived on once there was a new one. */
static uint64_t overlap_of(const struct trial *t)
{
        const struct kb_held *held = held_of(t);
        uint64_t overlap = held ? kb_grant_overlap(&held->grant) : 0;

        return overlap != KB_TIME_NEVER ? overlap / KB_USEC_PER_SEC : KB_TIME_NEVER;
}

static void on_trial(const struct kb_issued *issued, void *userdata)
{
        _cleanup_free_ struct trial *t = userdata;
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(KB_FRAME_MAX / 2);

        if (issued->error != KB_E_OK) {
                kb_broker_note(t->broker, (struct kb_event){
                                                  .id = KB_EVENT_GRANT_REFUSED,
                                                  .user = "root",
                                                  .credential = t->credential,
                                                  .request = t->instance,
                                                  .reason = kb_error_word(issued->error),
                                                  .detail = issued->reason,
                                          });
                kb_request_fail(t->request, issued->error, "%s", issued->reason);
                return;
        }
        for (size_t i = 0; i < issued->fields->count; i++)
                kb_list_add_pair(&pairs, issued->fields->field[i].name, issued->fields->field[i].value);
        kb_request_reply(t->request, credential_fetch, .fields = kb_list_built(&pairs), .ttl = ttl_of(t),
                         .overlap = overlap_of(t));
        give_back(t);
}

void kb_verb_credential_fetch(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_credential_fetch_request asked;
        const struct kb_credential *credential = NULL;
        struct trial *t;

        if (kb_credential_fetch_request_get(kb_request_body(request), &asked) >= 0)
                credential = kb_broker_credential(broker, asked.name);
        if (!credential) {
                kb_request_fail(request, KB_E_NOT_FOUND,
                                "there is no such credential: keybearer credential list");
                return;
        }
        t = calloc(1, sizeof(*t));
        if (!t) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        *t = (struct trial){.broker = broker, .request = request};
        snprintf(t->instance, sizeof(t->instance), "%s", kb_request_id(request));
        snprintf(t->credential, sizeof(t->credential), "%s", credential->name);
        kb_issue_start(broker,
                       &(struct kb_issue_request){
                               .consumer = KB_CONSUMER_TRIAL,
                               .name = "root",
                               .instance = t->instance,
                               .credential = credential,
                               .request = t->instance,
                       },
                       on_trial, t, &t->issue);
}
