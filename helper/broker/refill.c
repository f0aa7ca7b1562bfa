/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart of ours the log says what is handed out, but not the values. A unit that asks on in the
 * middle of its start must not get fields of another lease. For a kept secret the lease is path@version
 * or path@version.epoch: asking for that very version gives the same values again, and the same lease,
 * unless the store was put back meanwhile. For everything else there is no such way, and the start is
 * refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/broker/grant_steps.h"

bool kb_refill_possible(const struct kb_held *held)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);

        return lease && !lease->fields && lease->ends == KB_TIME_NEVER && strrchr(lease->id, '@') &&
               held->credential && !held->refill_failed;
}

static int ask(struct kb_step *s);

/* What was fetched is what was handed out: the same version, and it can be written. */
static bool fill(struct kb_step *s, const struct kb_store_answer *answer)
{
        struct kb_lease *lease = kb_grant_newest(&s->held->grant);
        struct kb_fields_problem problem;

        if (kb_fetch_reply_get(answer->fields, &s->reply) < 0 || !lease ||
            strcmp(lease->id, s->reply.lease) != 0 || kb_step_take_fields(s, &problem) < 0)
                return false;
        kb_fields_free(lease->fields);
        lease->fields = take_ptr(s->fields);
        return true;
}

static void end(struct kb_step *s, bool failed, enum kb_error problem)
{
        s->held->refilling = false;
        s->held->refill_failed = failed;
        s->held->refill_problem = problem;
        kb_step_done(s);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_step *s = userdata;

        s->timer = sd_event_source_disable_unref(s->timer);
        if (ask(s) < 0)
                end(s, false, KB_E_BUSY);
        return 0;
}

/* The store is away: again, for as long as whoever waits may wait. The next one who asks tries anew. */
static void try_again(struct kb_step *s, enum kb_error error, const char *text)
{
        struct kb_held *held = s->held;
        uint64_t now = kb_now_boottime(),
                 wait = kb_lease_backoff(&held->grant.random, s->tries++, KB_TIME_NEVER);

        if (kb_time_add(now, wait) <= held->refill_until &&
            sd_event_add_time(held->broker->event, &s->timer, CLOCK_BOOTTIME, kb_time_add(now, wait), 0,
                              on_timer, s) >= 0)
                return;
        kb_step_set_problem(held, text);
        end(s, false, error);
}

static void on_refilled(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_step *s = userdata;

        s->call = NULL;
        if (answer->error == KB_E_OK)
                end(s, !fill(s, answer), KB_E_OK);
        else if (kb_lease_error_passes(answer->error))
                try_again(s, answer->error, answer->text);
        else
                end(s, true, KB_E_OK);
}

static int ask(struct kb_step *s)
{
        const struct kb_lease *lease = kb_grant_newest(&s->held->grant);
        const char *at = lease ? strrchr(lease->id, '@') : NULL;
        char version[33];

        if (!at)
                return -ENOENT;
        snprintf(version, sizeof(version), "%.*s", (int)strcspn(at + 1, "."), at + 1);
        return kb_step_ask_fetch(s, version, on_refilled);
}

void kb_refill_begin(struct kb_held *held)
{
        const struct kb_credential *c = held->credential;
        struct kb_step *s;

        if (held->refilling)
                return;
        s = kb_step_new(held);
        if (!s)
                return;
        held->refilling = true;
        held->refill_until = kb_time_add(kb_now_boottime(),
                                         c->on_unavailable == KB_ON_UNAVAILABLE_wait ? c->wait_usec : 0);
        if (ask(s) < 0)
                end(s, false, KB_E_BUSY);
}
