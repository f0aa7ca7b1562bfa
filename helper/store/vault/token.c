/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/token.h"

#include "helper/store/backoff.h"

#define SEC KB_USEC_PER_SEC

static uint64_t later(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* 1 s, 2 s, 4 s ... five minutes, less up to a quarter, so that hosts do not come back in step. */
static uint64_t backoff(unsigned failures, uint64_t random)
{
        uint64_t most = failures < 10 ? SEC << (failures > 0 ? failures - 1 : 0) : KB_TOKEN_BACKOFF_MAX;

        most = sooner(most, KB_TOKEN_BACKOFF_MAX);
        return most - kb_spread(most / 4, random);
}

static uint64_t share_of(uint64_t span, uint64_t share)
{
        return span / KB_TOKEN_SHARE_ONE * share + span % KB_TOKEN_SHARE_ONE * share / KB_TOKEN_SHARE_ONE;
}

static uint64_t left(const struct kb_token *t, uint64_t now)
{
        return t->ends > now ? t->ends - now : 0;
}

/* That much later, less up to a tenth; but never sooner than the floor. */
static uint64_t at(uint64_t now, uint64_t wait, uint64_t random)
{
        return kb_time_add(now, later(wait - kb_spread(wait / 10, random), KB_TOKEN_RENEW_FLOOR));
}

void kb_token_init(struct kb_token *t, uint32_t share)
{
        *t = (struct kb_token){
                .share = share > 0 && share < KB_TOKEN_SHARE_ONE ? share : KB_TOKEN_SHARE_DEFAULT,
                .renew = KB_TIME_NEVER,
                .replace = KB_TIME_NEVER,
                .look_up = KB_TIME_NEVER,
        };
}

static void forget(struct kb_token *t)
{
        t->here = t->proven = t->looked_up = false;
        t->renew = t->replace = t->look_up = KB_TIME_NEVER;
        t->troubles = 0;
}

/*
 * A token that can be renewed is replaced only when that has failed for long. One that cannot is replaced at
 * three quarters of the share, half way by default, since its leases move over meanwhile: who holds them
 * begins at two thirds, and must not be given new ones of the old token then.
 */
static void plan(struct kb_token *t, bool renewable, uint64_t now, uint64_t random)
{
        uint64_t span = left(t, now);

        t->renew = t->replace = KB_TIME_NEVER;
        if (t->ends == KB_TIME_NEVER)
                return;
        if (renewable)
                t->renew = at(now, share_of(span, t->share), random);
        t->replace = at(now, renewable ? span / 10 * 9 : share_of(span, t->share) / 4 * 3, random);
}

static void granted(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now)
{
        t->ends = kb_time_add(now, grant->left);
        t->asked = now;
        t->troubles = 0;
}

/* --- what is due --- */

static uint64_t login_due(const struct kb_token *t)
{
        if (t->here && t->replace == KB_TIME_NEVER)
                return KB_TIME_NEVER;
        return t->waiting ? KB_TIME_NEVER : later(t->here ? t->replace : 0, t->earliest);
}

uint64_t kb_token_due(const struct kb_token *t)
{
        uint64_t due;

        if (t->busy != KB_TOKEN_REST)
                return KB_TIME_NEVER;
        due = login_due(t);
        if (!t->here)
                return due;
        due = sooner(due, sooner(t->look_up, t->renew));
        return sooner(due, t->ends);
}

enum kb_token_step kb_token_take(struct kb_token *t, uint64_t now)
{
        if (t->busy != KB_TOKEN_REST)
                return KB_TOKEN_REST;
        if (t->here && t->ends <= now)
                forget(t);
        if (t->here && t->look_up <= now)
                t->busy = KB_TOKEN_LOOK_UP;
        else if (login_due(t) <= now) {
                t->busy = KB_TOKEN_LOG_IN;
                t->tried = now;
        } else if (t->here && t->renew <= now)
                t->busy = KB_TOKEN_RENEW;
        return t->busy;
}

bool kb_token_usable(const struct kb_token *t, uint64_t now)
{
        return t->here && t->proven && t->ends > now;
}

/* --- what came of it --- */

void kb_token_logged_in(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now,
                        uint64_t random)
{
        t->busy = KB_TOKEN_REST;
        forget(t);
        t->here = t->proven = true;
        t->since = now;
        granted(t, grant, now);
        plan(t, grant->renewable, now, random);
        t->failures = t->refusals = 0;
        t->earliest = kb_time_add(now, KB_TOKEN_LOGIN_SPACE);
}

/* Rests until nobody counts what was refused any more, and a while longer, so that a fleet does not come
 * back in step. */
static void rest(struct kb_token *t, uint64_t from, uint64_t random)
{
        uint64_t span = KB_TOKEN_LOCKOUT + SEC + kb_spread(KB_TOKEN_LOCKOUT / 3, random);

        t->earliest = later(t->earliest, kb_time_add(from, span));
}

void kb_token_login_failed(struct kb_token *t, enum kb_token_failure why, uint64_t now, uint64_t random)
{
        t->busy = KB_TOKEN_REST;
        if (why == KB_TOKEN_NOTHING) {
                t->waiting = true;
                return;
        }
        if (t->failures < UINT32_MAX)
                t->failures++;
        t->earliest = later(t->earliest, kb_time_add(now, backoff(t->failures, random)));
        if (why == KB_TOKEN_FAILED)
                return;
        if (t->refusals < KB_TOKEN_REFUSALS)
                t->refusals++;
        if (why == KB_TOKEN_LOCKED)
                t->refusals = KB_TOKEN_REFUSALS;
        t->refused = now;
        if (t->refusals >= KB_TOKEN_REFUSALS)
                rest(t, now, random);
}

/* By how much the end moved shows whether a maximum is near: then the next renewal would bring next to
 * nothing, and the leases need the time. */
static bool still_grows(const struct kb_token *t, const struct kb_token_grant *grant, uint64_t now)
{
        uint64_t ends = kb_time_add(now, grant->left);

        return ends > t->ends && ends - t->ends > (now - t->asked) / 2;
}

void kb_token_renewed(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now, uint64_t random)
{
        bool grows = still_grows(t, grant, now);

        t->busy = KB_TOKEN_REST;
        granted(t, grant, now);
        plan(t, grant->renewable && grows, now, random);
        if (now - t->since >= KB_TOKEN_YOUNG)
                t->short_lives = 0;
}

/* The next try: never later than half of what is left. */
static uint64_t retry(struct kb_token *t, uint64_t now, uint64_t random)
{
        uint64_t wait;

        if (t->troubles < UINT32_MAX)
                t->troubles++;
        wait = backoff(t->troubles, random);
        if (t->ends != KB_TIME_NEVER)
                wait = sooner(wait, left(t, now) / 2);
        return kb_time_add(now, later(wait, KB_TOKEN_RENEW_FLOOR));
}

void kb_token_renewal_failed(struct kb_token *t, bool final, uint64_t now, uint64_t random)
{
        t->busy = KB_TOKEN_REST;
        if (!final) {
                t->renew = retry(t, now, random);
                return;
        }
        plan(t, false, now, random);
        kb_token_doubted(t, now); /* it may not be renewed, or it is dead */
}

static void looked(struct kb_token *t, uint64_t now)
{
        t->busy = KB_TOKEN_REST;
        t->look_up = KB_TIME_NEVER;
        t->looked = now;
}

void kb_token_looked_up(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now,
                        uint64_t random)
{
        uint64_t ends = kb_time_add(now, grant->left);
        bool sooner_than_planned = ends < t->ends && t->ends - ends > 2 * SEC;

        looked(t, now);
        t->looked_up = true;
        if (t->proven && !sooner_than_planned)
                return; /* the plan holds: to make it anew at each question would put it off each time */
        if (!t->proven)
                t->since = now;
        granted(t, grant, now);
        plan(t, grant->renewable && (!t->proven || t->renew != KB_TIME_NEVER), now, random);
        t->proven = true;
}

/*
 * 403 is also what a live token hears that may not look itself up. One that could before is dead; one that
 * was made a moment ago is not, and then the same holds for those that come after it.
 */
static bool is_dead(struct kb_token *t, uint64_t now)
{
        if (!t->proven || t->looked_up)
                return true;
        if (now - t->since < KB_TOKEN_YOUNG)
                t->shy = true;
        return !t->shy;
}

bool kb_token_look_up_failed(struct kb_token *t, bool refused, uint64_t now, uint64_t random)
{
        looked(t, now);
        if (!refused) {
                t->look_up = t->proven ? KB_TIME_NEVER : retry(t, now, random);
                return true;
        }
        if (!is_dead(t, now))
                return true;
        if (t->proven && now - t->since < KB_TOKEN_YOUNG) {
                if (t->short_lives < UINT32_MAX)
                        t->short_lives++;
                t->earliest = later(t->earliest, kb_time_add(now, backoff(t->short_lives, random)));
        } else
                t->short_lives = 0;
        forget(t);
        return false;
}

/* --- what comes from elsewhere --- */

void kb_token_restored(struct kb_token *t, uint64_t now)
{
        t->here = true;
        t->ends = KB_TIME_NEVER; /* the server will say */
        t->since = t->asked = now;
        t->look_up = now;
}

void kb_token_refused_before(struct kb_token *t, unsigned refusals, uint64_t when, uint64_t now,
                             uint64_t random)
{
        t->refusals = refusals < KB_TOKEN_REFUSALS ? refusals : KB_TOKEN_REFUSALS;
        t->refused = sooner(when, now); /* not from a future that a wrong clock has seen */
        if (t->refusals >= KB_TOKEN_REFUSALS)
                rest(t, t->refused, random);
}

void kb_token_changed(struct kb_token *t, bool replace, uint64_t now)
{
        t->waiting = false;
        t->failures = t->refusals = 0;
        t->earliest = later(now, t->tried > 0 ? kb_time_add(t->tried, SEC) : 0);
        if (replace && t->here && t->proven)
                t->replace = now;
}

void kb_token_doubted(struct kb_token *t, uint64_t now)
{
        if (t->here && t->look_up == KB_TIME_NEVER)
                t->look_up = later(now, t->looked > 0 ? kb_time_add(t->looked, KB_TOKEN_RENEW_FLOOR) : 0);
}
