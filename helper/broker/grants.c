/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/grants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>

#include "helper/broker/clock_watch.h"
#include "helper/broker/grant_steps.h"
#include "helper/broker/unit_folder.h"
#include "helper/broker/units.h"
#include "helper/broker/user_folder.h"
#include "helper/log/ledger.h"
#include "helper/server/process.h"

#define PROBE_USEC (5 * KB_USEC_PER_SEC) /* how often Probe= is asked */

/* A unit that starts asks for one field after the other, and all have to come from one lease. */
#define START_USEC (30 * KB_USEC_PER_SEC)

/* After the clock was set: all are replaced within this, and looked at again so often until all are. */
#define CLOCK_SPREAD_USEC (10 * KB_USEC_PER_SEC)
#define CLOCK_AGAIN_USEC  (30 * KB_USEC_PER_SEC)

struct kb_grants {
        struct kb_broker *broker;
        struct kb_queue queue;
        sd_event_source *timer;
        sd_event_source *clock; /* on while a lease may be by another clock than that of now */
        struct kb_held **held;  /* in the order they came */
        size_t n_held;
        size_t room;
        struct kb_failed_restart *failed_restarts;
};

/* --- the table --- */

static bool is(const struct kb_held *held, enum kb_consumer consumer, const char *name)
{
        return held->consumer == consumer && strcmp(held->grant.consumer, name) == 0;
}

struct kb_held *kb_grants_find(const struct kb_grants *grants, enum kb_consumer consumer, const char *name,
                               const char *instance, const char *credential)
{
        for (size_t i = grants->n_held; i-- > 0;) {
                struct kb_held *held = grants->held[i];

                if (is(held, consumer, name) && strcmp(held->grant.instance, instance) == 0 &&
                    strcmp(held->grant.credential, credential) == 0)
                        return held;
        }
        return NULL;
}

struct kb_held *kb_grants_find_id(const struct kb_grants *grants, uint64_t id)
{
        for (size_t i = 0; i < grants->n_held; i++)
                if (grants->held[i]->grant.id == id)
                        return grants->held[i];
        return NULL;
}

/* --- definitions --- */

const struct kb_credential *kb_grants_definition(const struct kb_held *held, const struct kb_lease *lease)
{
        return held->next && lease && lease->role == KB_LEASE_OFFERED ? held->next : held->credential;
}

void kb_grants_adopt_definition(struct kb_held *held)
{
        if (!held->next)
                return;
        kb_credential_unref(held->credential);
        held->credential = take_ptr(held->next);
}

const struct kb_lease *kb_grants_shown(const struct kb_held *held)
{
        const struct kb_lease *current = kb_grant_lease_in(&held->grant, KB_LEASE_CURRENT);

        return held->offers || held->grant.told || !current ? kb_grant_newest(&held->grant) : current;
}

static void held_free(struct kb_held *held)
{
        if (!held)
                return;
        kb_steps_cancel(held);
        kb_queue_remove(&held->owner->queue, &held->grant.wake);
        kb_grant_done(&held->grant);
        kb_credential_unref(held->credential);
        kb_credential_unref(held->next);
        free(held);
}

static void forget(struct kb_held *held)
{
        struct kb_grants *grants = held->owner;

        for (size_t i = 0; i < grants->n_held; i++) {
                if (grants->held[i] != held)
                        continue;
                memmove(&grants->held[i], &grants->held[i + 1],
                        (grants->n_held - i - 1) * sizeof(*grants->held));
                grants->n_held--;
                break;
        }
        held_free(held);
}

static int make_room(struct kb_grants *grants)
{
        size_t room = grants->room > 0 ? grants->room * 2 : 64;
        struct kb_held **bigger;

        if (grants->n_held < grants->room)
                return 0;
        bigger = realloc(grants->held, room * sizeof(*bigger));
        if (!bigger)
                return -ENOMEM;
        grants->held = bigger;
        grants->room = room;
        return 0;
}

/* Whether a new version of a kept secret would be of use to anybody. */
static bool is_watched(const struct kb_credential *c, enum kb_consumer consumer)
{
        if (c->strategy != KB_STRATEGY_eager || (c->version && c->version[0]))
                return false;
        return consumer == KB_CONSUMER_USER ||
               (consumer == KB_CONSUMER_UNIT && c->on_rotate.action != KB_ON_ROTATE_none);
}

/* What the credential's file says, in the words of the state machine. No file: whatever lives is let run
 * out. */
static struct kb_grant_policy policy_of(const struct kb_credential *c, enum kb_consumer consumer)
{
        bool is_unit = consumer == KB_CONSUMER_UNIT; /* OnRotate= and Probe= are about units */
        bool waits = consumer != KB_CONSUMER_TRIAL;  /* an administrator wants to know how it is now */

        if (!c)
                return (struct kb_grant_policy){.renew_at = 0.5};
        return (struct kb_grant_policy){
                .renews = c->strategy != KB_STRATEGY_off,
                .rotates = c->strategy == KB_STRATEGY_eager,
                .restarts = is_unit && c->on_rotate.action == KB_ON_ROTATE_restart,
                .renew_at = (double)c->renew_at / KB_SHARE_ONE,
                .check_usec = is_watched(c, consumer) ? c->check_usec : 0,
                .overlap_usec = c->overlap_usec,
                .probe_usec = is_unit && c->probe ? PROBE_USEC : 0,
                .wait_usec = waits && c->on_unavailable == KB_ON_UNAVAILABLE_wait ? c->wait_usec : 0,
        };
}

/* The definition in force, when a running grant can change to it: its leases are another store's otherwise.
 */
static const struct kb_credential *in_force(const struct kb_held *held)
{
        const struct kb_credential *c = kb_broker_credential(held->broker, held->grant.credential);

        return c && c->store && strcmp(c->store, held->grant.store) == 0 ? c : NULL;
}

struct kb_credential *kb_grants_take_definition(struct kb_held *held)
{
        const struct kb_credential *c = in_force(held);

        if (!c)
                return NULL;
        held->grant.policy = policy_of(c, held->consumer);
        return kb_credential_ref(c);
}

/* Whether the unit can be told that its credential is defined in another way now. */
static bool is_redefined(const struct kb_held *held)
{
        const struct kb_credential *c = in_force(held);

        return c && held->consumer == KB_CONSUMER_UNIT && c->strategy == KB_STRATEGY_eager &&
               c->on_rotate.action != KB_ON_ROTATE_none && held->credential &&
               !kb_credential_gives_same(c, held->credential);
}

static int add(struct kb_grants *grants, enum kb_consumer consumer, const struct kb_grant_who *who,
               const struct kb_credential *credential, struct kb_held **ret)
{
        struct kb_grant_policy policy = policy_of(credential, consumer);
        struct kb_held *held;
        uint64_t seed = 0;
        int r = make_room(grants);

        if (r < 0)
                return r;
        held = calloc(1, sizeof(*held));
        if (!held)
                return -ENOMEM;
        held->owner = grants;
        held->broker = grants->broker;
        held->consumer = consumer;
        if (getrandom(&seed, sizeof(seed), 0) < 0)
                seed = kb_now_boottime();
        r = kb_grant_init(&held->grant, who, &policy, seed, kb_now_boottime());
        if (r < 0) {
                free(held);
                return r;
        }
        held->credential = credential ? kb_credential_ref(credential) : NULL;
        grants->held[grants->n_held++] = held;
        *ret = held;
        return 0;
}

int kb_grants_add(struct kb_grants *grants, const struct kb_issue_request *request, struct kb_held **ret)
{
        struct kb_grant_who who = {
                .consumer = request->name,
                .instance = request->instance,
                .credential = request->credential->name,
                .store = request->credential->store,
        };
        int r = add(grants, request->consumer, &who, request->credential, ret);

        if (r >= 0)
                snprintf((*ret)->request, sizeof((*ret)->request), "%s", request->request);
        return r;
}

size_t kb_grants_count(const struct kb_grants *grants)
{
        return grants->n_held;
}

void kb_grants_each(const struct kb_grants *grants, void (*each)(struct kb_held *held, void *userdata),
                    void *userdata)
{
        for (size_t i = 0; i < grants->n_held; i++)
                each(grants->held[i], userdata);
}

bool kb_grants_fetching(const struct kb_grants *grants)
{
        for (size_t i = 0; i < grants->n_held; i++)
                for (const struct kb_step *s = grants->held[i]->steps; s; s = s->next)
                        if (s->is.action == KB_GRANT_FETCH)
                                return true;
        return false;
}

void kb_grants_get_state(const struct kb_grants *grants, struct kb_grants_state *ret)
{
        struct kb_grants_state state = {0};
        uint64_t now = kb_now_boottime();

        for (size_t i = 0; i < grants->n_held; i++) {
                const struct kb_grant *g = &grants->held[i]->grant;

                const struct kb_lease *newest = kb_grant_newest(g);
                bool failing = newest && !g->ended && (g->failures > 0 || newest->failures > 0);
                uint64_t due =
                        failing && newest->ttl > 0
                                ? newest->ends - (uint64_t)((double)newest->ttl * (1 - g->policy.renew_at))
                                : KB_TIME_NEVER;

                state.live += newest != NULL;
                state.failing += failing;
                if (due < now && now - due > state.overdue)
                        state.overdue = now - due;
                state.revoking += kb_grant_state(g) == KB_GRANT_REVOKING;
        }
        *ret = state;
}

/* --- time --- */

static void arm(struct kb_grants *grants)
{
        uint64_t at = kb_queue_at(&grants->queue);

        if (at == KB_TIME_NEVER) {
                sd_event_source_set_enabled(grants->timer, SD_EVENT_OFF);
                return;
        }
        sd_event_source_set_time(grants->timer, at);
        sd_event_source_set_enabled(grants->timer, SD_EVENT_ONESHOT);
}

static void wake_at(struct kb_held *held, uint64_t at)
{
        if (kb_queue_set(&held->owner->queue, &held->grant.wake, at) < 0)
                kb_process_log(LOG_ERR, "a grant of %s is not looked after: out of memory",
                               held->grant.consumer);
}

/* A step may end at once, and then this is called again from inside: the outer call must not go on with it.
 */
void kb_grants_advance(struct kb_held *held)
{
        struct kb_grants *grants = held->owner;
        uint64_t now = kb_now_boottime();
        struct kb_grant_step step;

        do /* all that is to be revoked, so that whatever is written next stands behind it in the log */
                step = kb_grant_next(&held->grant, now);
        while (step.action == KB_GRANT_NOTE && kb_step_begin(held, &step) >= 0);
        switch (step.action) {
        case KB_GRANT_FORGET:
                if (held->steps || held->waiting)
                        wake_at(held, KB_TIME_NEVER);
                else
                        forget(held);
                break;
        case KB_GRANT_WAIT:
                wake_at(held, step.at);
                break;
        default:
                wake_at(held, now);                 /* there may be more to do than this: come back */
                if (kb_step_begin(held, &step) < 0) /* nothing was begun, so the grant is still here */
                        wake_at(held, now + KB_LEASE_FLOOR_USEC);
        }
        arm(grants);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_grants *grants = userdata;
        struct kb_queue_entry *entry;

        while ((entry = kb_queue_take(&grants->queue, kb_now_boottime())))
                kb_grants_advance(KB_QUEUE_OWNER(entry, struct kb_held, grant.wake));
        arm(grants);
        return 0;
}

/*
 * A lease that can neither be renewed nor lives for ever is as good as a certificate: it ends by the time of
 * day, whatever time has passed.
 */
static bool is_by_another_clock(const struct kb_held *held)
{
        const struct kb_lease *newest = kb_grant_newest(&held->grant);

        return newest && newest->ends != KB_TIME_NEVER && !newest->renewable && !held->grant.ended &&
               held->grant.policy.rotates && !kb_clock_same(newest->clock, kb_clock_offset());
}

/* One that is busy now, or whose offered lease is not adopted yet, has its turn later. */
static int on_clock(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_grants *grants = userdata;
        bool again = false;

        for (size_t i = grants->n_held; i-- > 0;) {
                struct kb_held *held = grants->held[i];
                uint64_t spread;

                if (!is_by_another_clock(held))
                        continue;
                again = true;
                if (held->grant.wanted)
                        continue;
                spread = kb_lease_random(&held->grant.random, CLOCK_SPREAD_USEC);
                kb_grant_rotate(&held->grant, kb_time_add(kb_now_boottime(), spread));
                kb_grants_advance(held);
        }
        sd_event_source_set_time(grants->clock, kb_time_add(kb_now_boottime(), CLOCK_AGAIN_USEC));
        return sd_event_source_set_enabled(grants->clock, again ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void kb_grants_follow_clock(struct kb_grants *grants)
{
        sd_event_source_set_time(grants->clock, kb_now_boottime());
        sd_event_source_set_enabled(grants->clock, SD_EVENT_ONESHOT);
}

int kb_grants_new(struct kb_grants **ret, struct kb_broker *broker)
{
        _cleanup_(kb_grants_freep) struct kb_grants *grants = calloc(1, sizeof(*grants));
        int r;

        if (!grants)
                return -ENOMEM;
        grants->broker = broker;
        r = sd_event_add_time(broker->event, &grants->timer, CLOCK_BOOTTIME, 0, 0, on_timer, grants);
        if (r >= 0)
                r = sd_event_add_time(broker->event, &grants->clock, CLOCK_BOOTTIME, 0, 0, on_clock, grants);
        if (r < 0)
                return r;
        sd_event_source_set_enabled(grants->timer, SD_EVENT_OFF);
        sd_event_source_set_enabled(grants->clock, SD_EVENT_OFF);
        *ret = take_ptr(grants);
        return 0;
}

void kb_grants_free(struct kb_grants *grants)
{
        if (!grants)
                return;
        for (size_t i = 0; i < grants->n_held; i++)
                held_free(grants->held[i]);
        sd_event_source_disable_unref(grants->timer);
        sd_event_source_disable_unref(grants->clock);
        kb_queue_done(&grants->queue);
        kb_failed_restarts_free(grants->failed_restarts);
        free(grants->held);
        free(grants);
}

struct kb_failed_restart **kb_grants_failed_restarts(struct kb_grants *grants)
{
        return &grants->failed_restarts;
}

/* --- consumers that end --- */

void kb_grants_end(struct kb_held *held)
{
        kb_grant_end(&held->grant, kb_now_boottime());
        if (held->consumer == KB_CONSUMER_USER)
                kb_user_folder_update(held->broker, held->grant.consumer, held->grant.instance);
        if (held->consumer == KB_CONSUMER_UNIT)
                kb_unit_folder_check(held->broker, held->grant.consumer);
        kb_issue_settle(held);
        kb_grants_advance(held);
}

/* From the newest to the oldest: whoever is forgotten meanwhile is behind us. */
void kb_grants_end_consumer(struct kb_grants *grants, enum kb_consumer consumer, const char *name,
                            const char *except_instance)
{
        for (size_t i = grants->n_held; i-- > 0;) {
                struct kb_held *held = grants->held[i];

                if (is(held, consumer, name) && !held->grant.ended &&
                    (!except_instance || strcmp(held->grant.instance, except_instance) != 0))
                        kb_grants_end(held);
        }
}

void kb_grants_end_those(struct kb_grants *grants, bool (*over)(struct kb_held *held, void *userdata),
                         void *userdata)
{
        for (size_t i = grants->n_held; i-- > 0;)
                if (over(grants->held[i], userdata))
                        kb_grants_end(grants->held[i]);
}

/* Whether the files that are in force now would still give it. */
static bool is_allowed(const struct kb_held *held)
{
        const struct kb_credential *credential = kb_broker_credential(held->broker, held->grant.credential);

        if (!credential)
                return false;
        return held->consumer != KB_CONSUMER_UNIT ||
               kb_credential_allows_unit(credential, held->grant.consumer);
}

/* Whether the consumer is still the one we gave to. */
static bool consumer_lives(const struct kb_held *held)
{
        char invocation[33];

        if (held->consumer != KB_CONSUMER_UNIT)
                return true;
        return kb_unit_invocation(KB_UNITS_RUNTIME_DIR, held->grant.consumer, invocation) >= 0 &&
               strcmp(invocation, held->grant.instance) == 0;
}

void kb_grants_look_again(struct kb_held *held)
{
        uint64_t since = kb_now_realtime() - held->issued;

        if (!held->grant.ended && is_redefined(held))
                kb_grant_rotate(&held->grant,
                                kb_time_add(kb_now_boottime(), since < START_USEC ? START_USEC - since : 0));
}

void kb_grants_check(struct kb_grants *grants)
{
        for (size_t i = grants->n_held; i-- > 0;) {
                struct kb_held *held = grants->held[i];

                if (held->grant.ended)
                        continue;
                if (!is_allowed(held) || !consumer_lives(held)) {
                        kb_grants_end(held);
                        continue;
                }
                kb_grants_look_again(held);
                kb_grants_advance(held);
        }
}

/* --- what was before us --- */

/* Time left of a lease, from the times of day that the log has: a clock that went back adds none. */
static uint64_t time_left(const struct kb_event *event, uint64_t now)
{
        if (event->expires == KB_TIME_NEVER)
                return KB_TIME_NEVER;
        if (now < event->issued)
                now = event->issued;
        return event->expires > now ? event->expires - now : 0;
}

/* One that was issued later than now is by another clock. */
static uint64_t clock_of(const struct kb_event *event, uint64_t now)
{
        return event->issued <= now || kb_clock_same(event->issued, now) ? kb_clock_offset() : 0;
}

static bool was_adopted(const struct kb_event *event)
{
        return event->state && strcmp(event->state, "adopted") == 0;
}

/*
 * What a lease was when its last record was written. One that is to take another's place is offered once the
 * consumer was told; one that was to be revoked still is.
 */
static enum kb_lease_role role_of(const struct kb_event *event)
{
        const char *state = event->state ? event->state : "";

        if (strcmp(state, "revoking") == 0)
                return KB_LEASE_RETIRED;
        if (event->replaces == 0 || was_adopted(event))
                return KB_LEASE_CURRENT;
        return strcmp(state, "offered") == 0 ? KB_LEASE_OFFERED : KB_LEASE_UNTOLD;
}

static int restore(struct kb_grants *grants, const struct kb_live_grant *live)
{
        const struct kb_event *e = &live->event;
        enum kb_consumer consumer = e->unit && e->unit[0] ? KB_CONSUMER_UNIT : KB_CONSUMER_USER;
        struct kb_grant_who who = {
                .consumer = consumer == KB_CONSUMER_UNIT ? e->unit : e->user,
                .instance = consumer == KB_CONSUMER_UNIT ? e->invocation : e->uid,
                .credential = e->credential,
                .store = e->store,
        };
        uint64_t now = kb_now_realtime(), left = time_left(e, now);
        struct kb_lease_answer answer = {.id = e->lease, .renewable = e->renewable != 0};
        struct kb_held *held;
        int r;

        if (left != KB_TIME_NEVER)
                answer.ttl = (e->expires - e->issued) / KB_USEC_PER_SEC + 1;
        held = kb_grants_find(grants, consumer, who.consumer, who.instance, who.credential);
        if (!held) {
                r = add(grants, consumer, &who, kb_broker_credential(grants->broker, e->credential), &held);
                if (r < 0)
                        return r;
                held->grant.id = live->id;
                held->ready = true;
                held->issued = e->issued;
                kb_broker_request_id(held->request);
        }
        r = kb_grant_restore(&held->grant, kb_now_boottime(), role_of(e), was_adopted(e), &answer, left);
        if (r >= 0) {
                struct kb_lease *lease = kb_grant_lease(&held->grant, held->grant.last_number);

                lease->record = live->id;
                lease->clock = clock_of(e, now);
        }
        return r;
}

/* What was being taken back when the process before us ended is taken back: also while its consumer lives.
 */
static void end_revoked(struct kb_grants *grants)
{
        for (size_t i = 0; i < grants->n_held; i++) {
                struct kb_grant *g = &grants->held[i]->grant;
                bool used = false;

                for (const struct kb_lease *l = g->leases; l; l = l->next)
                        used |= l->role != KB_LEASE_RETIRED;
                if (!used)
                        kb_grant_end(g, kb_now_boottime());
        }
}

int kb_grants_replay(struct kb_grants *grants, const char *log_dir)
{
        _cleanup_ledger_ struct kb_ledger ledger = {0};
        int r = kb_ledger_load(&ledger, log_dir);

        for (size_t i = 0; r >= 0 && i < ledger.n; i++)
                r = restore(grants, ledger.grants[i]);
        if (r < 0)
                return r;
        end_revoked(grants);
        kb_grants_check(grants);
        for (size_t i = grants->n_held; i-- > 0;)
                kb_grants_advance(grants->held[i]);
        kb_grants_follow_clock(grants);
        return 0;
}
