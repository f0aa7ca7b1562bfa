/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/grant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A unit that waits for a store asks at least so often (and the floor). Not more often towards the end of
 * its wait either: then all that wait would give up in one moment, and be started again in one.
 */
#define START_BACKOFF_USEC (10 * KB_USEC_PER_SEC)

/* How long a unit that was asked to restart may take before it is asked again. */
#define RESTART_USEC (300 * KB_USEC_PER_SEC)

/* --- begin and end --- */

int kb_grant_init(struct kb_grant *g, const struct kb_grant_who *who, const struct kb_grant_policy *policy,
                  uint64_t seed, uint64_t now)
{
        *g = (struct kb_grant){
                .consumer = strdup(who->consumer),
                .instance = strdup(who->instance),
                .credential = strdup(who->credential),
                .store = strdup(who->store),
                .policy = *policy,
                .random = seed,
                .due = now,
                .ask_until = kb_time_add(now, policy->wait_usec),
                .adopt_by = KB_TIME_NEVER,
        };
        if (g->consumer && g->instance && g->credential && g->store)
                return 0;
        kb_grant_done(g);
        return -ENOMEM;
}

void kb_grant_done(struct kb_grant *g)
{
        struct kb_lease *next;

        for (struct kb_lease *l = g->leases; l; l = next) {
                next = l->next;
                kb_lease_free(l);
        }
        kb_lease_free(g->spare);
        free(g->consumer);
        free(g->instance);
        free(g->credential);
        free(g->store);
        *g = (struct kb_grant){};
}

/* --- leases --- */

struct kb_lease *kb_grant_lease(const struct kb_grant *g, uint32_t number)
{
        for (struct kb_lease *l = g->leases; l; l = l->next)
                if (l->number == number)
                        return l;
        return NULL;
}

struct kb_lease *kb_grant_lease_in(const struct kb_grant *g, enum kb_lease_role role)
{
        for (struct kb_lease *l = g->leases; l; l = l->next)
                if (l->role == role)
                        return l;
        return NULL;
}

struct kb_lease *kb_grant_newest(const struct kb_grant *g)
{
        struct kb_lease *offered = kb_grant_lease_in(g, KB_LEASE_OFFERED);

        return offered ? offered : kb_grant_lease_in(g, KB_LEASE_CURRENT);
}

/* Takes the spare, which kb_grant_begin() has provided. */
static struct kb_lease *add_lease(struct kb_grant *g, const struct kb_lease_answer *answer, uint64_t now,
                                  uint64_t left)
{
        struct kb_lease *lease = kb_lease_fill(take_ptr(g->spare), answer, now, left);

        lease->number = ++g->last_number;
        lease->next = g->leases;
        g->leases = lease;
        g->issued = true;
        g->expired = false;
        return lease;
}

static void drop_lease(struct kb_grant *g, struct kb_lease *lease)
{
        struct kb_lease **at = &g->leases;

        while (*at != lease)
                at = &(*at)->next;
        *at = lease->next;
        kb_lease_free(lease);
}

static void retire(struct kb_lease *lease, uint64_t now)
{
        if (lease->role == KB_LEASE_RETIRED)
                return;
        lease->role = KB_LEASE_RETIRED;
        lease->due = now;
        lease->failures = 0;
        kb_fields_free(take_ptr(lease->fields));
}

static bool grows(const struct kb_grant *g, const struct kb_lease *lease)
{
        return lease->renewable && g->policy.renews;
}

/* --- when --- */

/*
 * How far into its life a lease is renewed or rotated. A rotation leaves twice the overlap before the end,
 * so that old and new are both good while the consumer changes over; but it never comes in the first third,
 * or a short lease would do nothing but rotate. So does a renewal: that it was the last is seen only then.
 */
static uint64_t point(const struct kb_grant *g, const struct kb_lease *lease)
{
        uint64_t at = (uint64_t)((double)lease->ttl * g->policy.renew_at);
        uint64_t latest = lease->ttl - lease->ttl / 3;

        if (g->policy.overlap_usec == 0)
                return at;
        if (g->policy.overlap_usec < lease->ttl / 3)
                latest = g->policy.overlap_usec * 2;
        latest = lease->ttl - latest;
        return at < latest ? at : latest;
}

/* Up to a tenth earlier, so that a hundred units that started together do not look together. */
static uint64_t check_in(struct kb_grant *g)
{
        uint64_t wait = g->policy.check_usec - kb_lease_random(&g->random, g->policy.check_usec / 10);

        return wait > KB_LEASE_FLOOR_USEC ? wait : KB_LEASE_FLOOR_USEC;
}

/*
 * Sets when a current or offered lease is due, from its ttl and how much of that is left. What is late
 * already, as after a restart of ours, is due soon, but not all at once.
 */
static void schedule(struct kb_grant *g, struct kb_lease *lease, uint64_t now)
{
        uint64_t left = kb_lease_left(lease, now), elapsed, wait, early;

        lease->due = KB_TIME_NEVER;
        if (left == KB_TIME_NEVER) {
                if (g->policy.check_usec > 0)
                        lease->due = kb_time_add(now, check_in(g));
                return;
        }
        elapsed = lease->ttl > left ? lease->ttl - left : 0;
        wait = point(g, lease);
        if (wait > elapsed) {
                wait -= elapsed;
                early = grows(g, lease) && lease->renewals == 0 ? wait / 2 : wait / 10;
        } else {
                wait = early = left / 10;
        }
        wait -= kb_lease_random(&g->random, early);
        lease->due = kb_time_add(now, wait > KB_LEASE_FLOOR_USEC ? wait : KB_LEASE_FLOOR_USEC);
}

uint64_t kb_grant_overlap(const struct kb_grant *g)
{
        const struct kb_lease *lease = kb_grant_newest(g);
        uint64_t left;

        if (!lease || lease->ends == KB_TIME_NEVER)
                return KB_TIME_NEVER;
        left = lease->ttl - point(g, lease);
        if (grows(g, lease))
                left -= left / 10;
        return left > KB_LEASE_FLOOR_USEC ? left - KB_LEASE_FLOOR_USEC : 0;
}

/* A lease that will not live longer is replaced soon: anywhere in the first tenth of what is left. */
static void give_up_growing(struct kb_grant *g, struct kb_lease *lease, uint64_t now)
{
        lease->renewable = false;
        lease->due = kb_time_add(now, KB_LEASE_FLOOR_USEC +
                                              kb_lease_random(&g->random, kb_lease_left(lease, now) / 10));
}

/* The next fetch, from the current lease. Not while something is offered: that comes to its own end first.
 */
static void plan_rotation(struct kb_grant *g)
{
        struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);

        if (g->ended || g->busy || g->wanted || kb_grant_lease_in(g, KB_LEASE_OFFERED))
                return;
        g->due = current && g->policy.rotates && !grows(g, current) ? current->due : KB_TIME_NEVER;
}

/* After a fetch, an offer or a restart failed. */
static void try_later(struct kb_grant *g, uint64_t now, enum kb_error error, uint64_t left)
{
        g->problem = error;
        g->due = kb_time_add(now, kb_lease_backoff(&g->random, g->failures++, left));
}

/* --- what is to be done --- */

static void consider(struct kb_grant_step *best, enum kb_grant_action action, uint64_t at, uint32_t lease)
{
        if (at < best->at)
                *best = (struct kb_grant_step){.action = action, .at = at, .lease = lease};
}

static void consider_lease(const struct kb_grant *g, const struct kb_lease *l, uint64_t now,
                           struct kb_grant_step *best)
{
        if (l->busy)
                return;
        consider(best, KB_GRANT_EXPIRE, l->ends, l->number);
        if (l->ends <= now) /* overslept: neither renewing nor revoking helps any more */
                return;
        if (l->role == KB_LEASE_RETIRED)
                consider(best, l->noted ? KB_GRANT_REVOKE : KB_GRANT_NOTE, l->due, l->number);
        else if (grows(g, l))
                consider(best, KB_GRANT_RENEW, l->due, l->number);
}

/* Whether the unit is restarted for what is due; one without an end is looked at before. */
static bool restarts_next(const struct kb_grant *g)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);
        bool looks = current && current->ends == KB_TIME_NEVER && !g->wanted;

        return g->issued && g->policy.restarts && !looks;
}

static void consider_rotation(const struct kb_grant *g, struct kb_grant_step *best)
{
        const struct kb_lease *offered = kb_grant_lease_in(g, KB_LEASE_OFFERED);

        if (g->busy || g->ended)
                return;
        if (!offered) {
                consider(best, restarts_next(g) ? KB_GRANT_RESTART : KB_GRANT_FETCH, g->due, 0);
        } else if (!g->told) {
                consider(best, KB_GRANT_OFFER, g->due, offered->number);
        } else {
                consider(best, KB_GRANT_ADOPT, g->adopt_by, offered->number);
                consider(best, KB_GRANT_PROBE, g->due, offered->number);
        }
}

struct kb_grant_step kb_grant_next(const struct kb_grant *g, uint64_t now)
{
        struct kb_grant_step best = {.action = KB_GRANT_WAIT, .at = KB_TIME_NEVER};

        if (g->ended && !g->leases && !g->busy)
                return (struct kb_grant_step){.action = KB_GRANT_FORGET, .at = now};
        for (const struct kb_lease *l = g->leases; l; l = l->next)
                consider_lease(g, l, now, &best);
        consider_rotation(g, &best);
        if (best.at > now)
                best.action = KB_GRANT_WAIT;
        return best;
}

int kb_grant_begin(struct kb_grant *g, const struct kb_grant_step *step)
{
        struct kb_lease *lease = kb_grant_lease(g, step->lease);

        switch (step->action) {
        case KB_GRANT_FETCH:
                if (!g->spare)
                        g->spare = kb_lease_new();
                if (!g->spare)
                        return -ENOMEM;
                g->busy = true;
                break;
        case KB_GRANT_OFFER:
        case KB_GRANT_RESTART:
        case KB_GRANT_PROBE:
                g->busy = true;
                break;
        case KB_GRANT_RENEW:
        case KB_GRANT_NOTE:
        case KB_GRANT_REVOKE:
                if (lease)
                        lease->busy = true;
                break;
        default:
                break;
        }
        return 0;
}

void kb_grant_defer(struct kb_grant *g, uint64_t until)
{
        g->due = until;
}

/* --- what came of it --- */

/* A first fetch that failed: again, as long as the consumer can wait and the store may come back. */
static void first_fetch_failed(struct kb_grant *g, uint64_t now, enum kb_error error)
{
        try_later(g, now, error, 2 * START_BACKOFF_USEC);
        if (!kb_lease_error_passes(error) || g->due > g->ask_until)
                g->ended = true;
}

/* The store answered with the lease that we have: what it says now counts. */
static void live_on(struct kb_grant *g, struct kb_lease *current, const struct kb_lease_answer *answer,
                    uint64_t now)
{
        if (answer->fields) {
                kb_fields_free(current->fields);
                current->fields = answer->fields;
        }
        current->renewable = answer->renewable && answer->ttl > 0;
        current->ttl = answer->ttl > 0 ? kb_lease_usec(answer->ttl) : 0;
        current->ends = kb_time_add(now, kb_lease_usec(answer->ttl));
        g->failures = 0;
        g->wanted = false;
        schedule(g, current, now);
        plan_rotation(g);
}

bool kb_grant_lives_on(const struct kb_grant *g, const struct kb_lease_answer *answer)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);

        return current && !answer->differs && strcmp(current->id, answer->id) == 0;
}

struct kb_lease *kb_grant_on_fetched(struct kb_grant *g, uint64_t now, enum kb_error error,
                                     const struct kb_lease_answer *answer)
{
        struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT), *lease;
        bool first = !g->issued;

        g->busy = false;
        if (error != KB_E_OK) {
                if (first)
                        first_fetch_failed(g, now, error);
                else
                        try_later(g, now, error, current ? kb_lease_left(current, now) : KB_TIME_NEVER);
                return NULL;
        }
        g->problem = KB_E_OK;
        if (kb_grant_lives_on(g, answer)) {
                live_on(g, current, answer, now);
                return current;
        }
        lease = add_lease(g, answer, now, kb_lease_usec(answer->ttl));
        lease->role = first ? KB_LEASE_CURRENT : KB_LEASE_OFFERED;
        schedule(g, lease, now);
        g->told = false;
        g->due = now;
        if (first)
                g->failures = 0;
        if (g->ended)
                retire(lease, now);
        else if (first)
                plan_rotation(g);
        else if (g->policy.restarts) {
                retire(lease, now);
                g->wanted = true;
        }
        return lease;
}

/*
 * Whether another renewal makes sense. A store that renews up to a last moment gives less and less when that
 * comes near, and that moment is the same for all leases that began together: so the first answer that is
 * clearly shorter than the one before is taken as the sign, not the last moment itself.
 */
static bool worth_renewing(const struct kb_lease *lease, uint64_t ends, uint64_t ttl)
{
        uint64_t slack = lease->ttl / 100 + KB_LEASE_FLOOR_USEC;

        if (ends <= kb_time_add(lease->ends, KB_LEASE_FLOOR_USEC))
                return false;
        return lease->renewals == 0 || ttl == KB_TIME_NEVER || ttl + slack >= lease->ttl;
}

static void renewal_failed(struct kb_grant *g, uint64_t now, struct kb_lease *lease, enum kb_error error)
{
        lease->problem = error;
        if (lease->role == KB_LEASE_RETIRED)
                return;
        if (kb_lease_error_passes(error))
                lease->due = kb_time_add(
                        now, kb_lease_backoff(&g->random, lease->failures++, kb_lease_left(lease, now)));
        else
                give_up_growing(g, lease, now);
        plan_rotation(g);
}

void kb_grant_on_renewed(struct kb_grant *g, uint64_t now, uint32_t number, enum kb_error error,
                         uint64_t ttl, bool renewable)
{
        struct kb_lease *lease = kb_grant_lease(g, number);
        uint64_t ttl_usec = kb_lease_usec(ttl), ends = kb_time_add(now, ttl_usec);
        bool again;

        if (!lease)
                return;
        lease->busy = false;
        if (error != KB_E_OK) {
                renewal_failed(g, now, lease, error);
                return;
        }
        again = worth_renewing(lease, ends, ttl_usec);
        lease->ends = ends;
        lease->renewals++;
        lease->failures = 0;
        lease->problem = KB_E_OK;
        lease->renewable = renewable && ends != KB_TIME_NEVER;
        lease->ttl = ttl > 0 ? ttl_usec : 0;
        if (lease->role == KB_LEASE_RETIRED)
                return;
        if (again)
                schedule(g, lease, now);
        else
                give_up_growing(g, lease, now);
        plan_rotation(g);
}

static void adopt(struct kb_grant *g, uint64_t now)
{
        struct kb_lease *offered = kb_grant_lease_in(g, KB_LEASE_OFFERED);

        if (!offered)
                return;
        for (struct kb_lease *l = g->leases; l; l = l->next)
                if (l->role == KB_LEASE_CURRENT || l->role == KB_LEASE_UNTOLD)
                        retire(l, now);
        offered->role = KB_LEASE_CURRENT;
        g->adopt_by = KB_TIME_NEVER;
        g->told = false;
        g->wanted = false;
        g->rotations++;
        plan_rotation(g);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* When to look whether the new lease is in use: more often while an old one is about to end. */
static uint64_t next_probe(const struct kb_grant *g, uint64_t now)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);
        uint64_t soon = current ? kb_lease_left(current, now) / 10 : 0;

        if (g->policy.probe_usec == 0)
                return KB_TIME_NEVER;
        soon = soon > KB_LEASE_FLOOR_USEC ? soon : KB_LEASE_FLOOR_USEC;
        return kb_time_add(now, earlier(soon, g->policy.probe_usec));
}

/*
 * The consumer knows. It is waited for until its old lease has ended, or the new one needs attention itself;
 * if nothing can tell whether it changed over, no longer than the overlap.
 */
static void wait_for_adoption(struct kb_grant *g, uint64_t now)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);
        const struct kb_lease *offered = kb_grant_lease_in(g, KB_LEASE_OFFERED);

        g->told = true;
        g->failures = 0;
        g->problem = KB_E_OK;
        g->due = next_probe(g, now);
        g->adopt_by =
                earlier(current ? current->ends : now, grows(g, offered) ? offered->ends : offered->due);
        if (g->policy.probe_usec == 0)
                g->adopt_by = earlier(g->adopt_by, kb_time_add(now, g->policy.overlap_usec));
}

void kb_grant_on_offered(struct kb_grant *g, uint64_t now, enum kb_error error)
{
        struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);
        struct kb_lease *offered = kb_grant_lease_in(g, KB_LEASE_OFFERED);

        g->busy = false;
        if (g->ended)
                return;
        if (error == KB_E_OK) {
                if (offered)
                        wait_for_adoption(g, now);
                return;
        }
        if (current && offered) /* which is still good: the new one was for nothing */
                retire(offered, now);
        try_later(g, now, error, current || offered ? kb_lease_left(current ? current : offered, now) : 0);
}

void kb_grant_keep_offered(struct kb_grant *g)
{
        struct kb_lease *offered = kb_grant_lease_in(g, KB_LEASE_OFFERED);

        if (offered)
                offered->role = KB_LEASE_UNTOLD;
}

void kb_grant_reject(struct kb_grant *g, uint64_t now, uint32_t number, enum kb_error error)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);
        struct kb_lease *lease = kb_grant_lease(g, number);

        if (!lease || lease->role == KB_LEASE_RETIRED)
                return;
        if (lease == current) {
                kb_grant_end(g, now);
                g->problem = error;
                return;
        }
        retire(lease, now);
        g->told = false;
        try_later(g, now, error, current ? kb_lease_left(current, now) : KB_TIME_NEVER);
}

void kb_grant_on_restarted(struct kb_grant *g, uint64_t now, enum kb_error error)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);

        g->busy = false;
        g->restarting = error == KB_E_OK;
        if (error != KB_E_OK) {
                try_later(g, now, error, current ? kb_lease_left(current, now) : KB_TIME_NEVER);
                return;
        }
        g->problem = KB_E_OK;
        g->failures = 0;
        g->due = kb_time_add(now, RESTART_USEC);
}

void kb_grant_on_probed(struct kb_grant *g, uint64_t now, bool adopted)
{
        g->busy = false;
        if (!kb_grant_lease_in(g, KB_LEASE_OFFERED)) /* that came about meanwhile */
                plan_rotation(g);
        else if (adopted)
                adopt(g, now);
        else
                g->due = next_probe(g, now);
}

void kb_grant_on_adopted(struct kb_grant *g, uint64_t now)
{
        adopt(g, now);
}

void kb_grant_on_noted(struct kb_grant *g, uint32_t number)
{
        struct kb_lease *lease = kb_grant_lease(g, number);

        if (!lease)
                return;
        lease->busy = false;
        lease->noted = true;
}

void kb_grant_on_revoked(struct kb_grant *g, uint64_t now, uint32_t number, enum kb_error error)
{
        struct kb_lease *lease = kb_grant_lease(g, number);

        if (!lease)
                return;
        lease->busy = false;
        lease->problem = error;
        if (kb_lease_error_is_gone(error))
                drop_lease(g, lease);
        else
                lease->due = kb_time_add(
                        now, kb_lease_backoff(&g->random, lease->failures++, kb_lease_left(lease, now)));
}

void kb_grant_on_expired(struct kb_grant *g, uint64_t now, uint32_t number)
{
        struct kb_lease *lease = kb_grant_lease(g, number);
        enum kb_lease_role role;

        if (!lease)
                return;
        role = lease->role;
        drop_lease(g, lease);
        g->expired = !g->leases;
        if (g->ended || g->busy || role == KB_LEASE_RETIRED || role == KB_LEASE_UNTOLD || !g->policy.rotates)
                return;
        if (role == KB_LEASE_OFFERED)
                g->told = false;
        if (!kb_grant_lease_in(g, KB_LEASE_OFFERED) && (role == KB_LEASE_OFFERED || g->due == KB_TIME_NEVER))
                g->due = now;
}

/* --- from outside --- */

void kb_grant_end(struct kb_grant *g, uint64_t now)
{
        g->ended = true;
        g->due = KB_TIME_NEVER;
        for (struct kb_lease *l = g->leases; l; l = l->next)
                retire(l, now);
}

void kb_grant_rotate(struct kb_grant *g, uint64_t at)
{
        if (g->ended || g->busy || !g->issued || kb_grant_lease_in(g, KB_LEASE_OFFERED))
                return;
        g->wanted = true;
        g->due = earlier(g->due, at);
}

int kb_grant_restore(struct kb_grant *g, uint64_t now, enum kb_lease_role role, bool adopted,
                     const struct kb_lease_answer *answer, uint64_t left)
{
        struct kb_lease *lease, *before;

        g->spare = kb_lease_new();
        if (!g->spare)
                return -ENOMEM;
        before = kb_grant_lease_in(g, role);
        if (before && (role == KB_LEASE_CURRENT || role == KB_LEASE_OFFERED))
                retire(before, now);
        lease = add_lease(g, answer, now, left);
        lease->role = role;
        lease->noted = role == KB_LEASE_RETIRED;
        g->rotations += adopted;
        if (role == KB_LEASE_RETIRED)
                lease->due = now;
        else
                schedule(g, lease, now);
        if (kb_grant_lease_in(g, KB_LEASE_OFFERED))
                wait_for_adoption(g, now);
        else if (role == KB_LEASE_UNTOLD) {
                g->due = KB_TIME_NEVER;
                kb_grant_rotate(g, now);
        } else
                plan_rotation(g);
        return 0;
}

/* --- looking at it --- */

static enum kb_grant_state state_after_end(const struct kb_grant *g)
{
        if (!g->issued)
                return KB_GRANT_FAILED;
        if (g->leases || g->busy)
                return KB_GRANT_REVOKING;
        return g->expired ? KB_GRANT_EXPIRED : KB_GRANT_REVOKED;
}

enum kb_grant_state kb_grant_state(const struct kb_grant *g)
{
        const struct kb_lease *current = kb_grant_lease_in(g, KB_LEASE_CURRENT);

        if (g->ended)
                return state_after_end(g);
        if (!g->issued)
                return KB_GRANT_ASKED;
        if (kb_grant_lease_in(g, KB_LEASE_OFFERED))
                return g->told ? KB_GRANT_OFFERED : KB_GRANT_ROTATING;
        if (g->busy || g->restarting || (current && g->failures > 0))
                return KB_GRANT_ROTATING;
        if (!current)
                return KB_GRANT_EXPIRED;
        if (grows(g, current) && (current->busy || current->failures > 0))
                return KB_GRANT_RENEWING;
        return g->rotations > 0 ? KB_GRANT_ADOPTED : KB_GRANT_ISSUED;
}

const char *kb_grant_state_word(enum kb_grant_state state)
{
        static const char *const words[] = {
                [KB_GRANT_ASKED] = "asked",       [KB_GRANT_ISSUED] = "issued",
                [KB_GRANT_RENEWING] = "renewing", [KB_GRANT_ROTATING] = "rotating",
                [KB_GRANT_OFFERED] = "offered",   [KB_GRANT_ADOPTED] = "adopted",
                [KB_GRANT_REVOKING] = "revoking", [KB_GRANT_REVOKED] = "revoked",
                [KB_GRANT_EXPIRED] = "expired",   [KB_GRANT_FAILED] = "failed",
        };

        return (size_t)state < KB_ARRAY_SIZE(words) ? words[state] : "unknown";
}
