/* SPDX-License-Identifier: Apache-2.0 */
/* When a host logs in, renews and asks after its token: with a clock and dice of the test's own. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "helper/store/vault/token.h"

#define SEC KB_USEC_PER_SEC
#define T0  (1000 * SEC)

#define NEVER KB_TIME_NEVER

/* splitmix64: even, and the same in every run. */
static uint64_t dice(uint64_t *state)
{
        uint64_t z = (*state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

static struct kb_token_grant seconds(uint64_t left, bool renewable)
{
        return (struct kb_token_grant){left == NEVER ? NEVER : left * SEC, renewable};
}

static void take(struct kb_token *t, enum kb_token_step step, uint64_t now)
{
        assert_int_equal(kb_token_take(t, now), step);
}

/* Logged in at T0. */
static struct kb_token with_token(uint64_t left, bool renewable, uint64_t random)
{
        struct kb_token_grant grant = seconds(left, renewable);
        struct kb_token t;

        kb_token_init(&t, 0);
        take(&t, KB_TOKEN_LOG_IN, T0);
        kb_token_logged_in(&t, &grant, T0, random);
        return t;
}

static void a_login_is_due_at_once_and_one_thing_is_done_at_a_time(void **state)
{
        struct kb_token t;

        kb_token_init(&t, 0);
        assert_int_equal(t.share, KB_TOKEN_SHARE_DEFAULT);
        assert_int_equal(kb_token_due(&t), 0);
        assert_false(kb_token_usable(&t, T0));
        take(&t, KB_TOKEN_LOG_IN, T0);
        assert_true(kb_token_due(&t) == NEVER);
        take(&t, KB_TOKEN_REST, T0 + 100 * SEC);
}

static void it_is_renewed_at_two_thirds_and_replaced_half_way_when_it_cannot_be(void **state)
{
        static const struct {
                uint64_t left;
                bool renewable;
                uint64_t renew_least, renew_most, replace_least, replace_most; /* ms after T0 */
        } rows[] = {
                {3600, true, 2160000, 2400002, 2916000, 3240000},
                {60, true, 36000, 40001, 48600, 54000},
                {3, true, 1800, 2001, 2430, 2700},
                {1, true, 1000, 1000, 1000, 1000}, /* the floor, whatever its life */
                {3600, false, 0, 0, 1620000, 1800001},
                {2, false, 0, 0, 1000, 1001},
                {NEVER, true, 0, 0, 0, 0},
                {NEVER, false, 0, 0, 0, 0},
                {100 * 365 * 86400ull, true, 1892160000000, 2102401000000, 2554416000000, 2838240000000},
        };
        uint64_t seed = 1;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                for (int j = 0; j < 100; j++) {
                        struct kb_token t = with_token(rows[i].left, rows[i].renewable, dice(&seed));

                        if (rows[i].renew_most > 0)
                                assert_in_range((t.renew - T0) / 1000, rows[i].renew_least,
                                                rows[i].renew_most);
                        else
                                assert_true(t.renew == NEVER);
                        if (rows[i].replace_most > 0)
                                assert_in_range((t.replace - T0) / 1000, rows[i].replace_least,
                                                rows[i].replace_most);
                        else
                                assert_true(t.replace == NEVER);
                        assert_true(kb_token_usable(&t, T0));
                }
}

static void another_share_moves_it(void **state)
{
        static const struct {
                uint32_t share;
                uint64_t most; /* seconds of 1000 */
        } rows[] = {{100000, 100}, {500000, 500}, {950000, 950}, {0, 667}, {KB_TOKEN_SHARE_ONE, 667}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_token_grant grant = seconds(1000, true);
                struct kb_token t;

                kb_token_init(&t, rows[i].share);
                take(&t, KB_TOKEN_LOG_IN, T0);
                kb_token_logged_in(&t, &grant, T0, 0);
                assert_in_range(t.renew, T0 + (rows[i].most - 1) * SEC, T0 + rows[i].most * SEC);
        }
}

static void renewing_ends_when_the_end_moves_no_more(void **state)
{
        static const struct {
                uint64_t first, after, left; /* seconds */
                bool renewable;
                bool goes_on;
        } rows[] = {
                {3600, 2400, 3600, true, true},
                {3600, 2400, 3600, false, false}, /* the server says so */
                {3600, 2400, 1200, true, false},  /* the same end as before */
                {3600, 2400, 1201, true, false},  /* and what whole seconds hide of that */
                {3600, 2400, 1100, true, false},  /* shorter */
                {3600, 2400, 1500, true, false},  /* a maximum is near: the next one would bring nothing */
                {3600, 2400, 3000, true, true},   /* shrinking, and still worth it */
                {2, 1, 2, true, true},
                {3600, 2400, NEVER, true, false}, /* no end any more: nothing to renew */
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_token t = with_token(rows[i].first, true, 0);
                struct kb_token_grant grant = seconds(rows[i].left, rows[i].renewable);
                uint64_t now = T0 + rows[i].after * SEC + SEC / 2;

                take(&t, KB_TOKEN_RENEW, now);
                kb_token_renewed(&t, &grant, now, 0);
                if ((t.renew != NEVER) != rows[i].goes_on)
                        fail_msg("row %zu", i);
                assert_true(rows[i].goes_on || rows[i].left == NEVER || t.replace != NEVER);
                assert_true(t.ends == kb_time_add(now, grant.left));
        }
}

static void a_maximum_ends_in_one_replacement_with_time_left(void **state)
{
        uint64_t max = T0 + 4 * 3600 * SEC, now, seed = 2;
        struct kb_token t = with_token(3600, true, dice(&seed));
        enum kb_token_step step;
        int renewals = 0;

        for (;;) {
                struct kb_token_grant grant;

                now = kb_token_due(&t);
                step = kb_token_take(&t, now);
                if (step != KB_TOKEN_RENEW)
                        break;
                renewals++;
                grant = seconds((max - now < 3600 * SEC ? max - now : 3600 * SEC) / SEC, true);
                kb_token_renewed(&t, &grant, now, dice(&seed));
        }
        assert_int_equal(step, KB_TOKEN_LOG_IN);
        assert_in_range(renewals, 5, 8);
        assert_true(kb_token_usable(&t, now)); /* and it is used until there is another one */
        assert_true(max - now > 300 * SEC);
}

static void a_short_token_is_replaced_before_its_maximum_too(void **state)
{
        uint64_t seed = 9;

        for (int i = 0; i < 1000; i++) {
                uint64_t max = T0 + 15 * SEC, now;
                struct kb_token t = with_token(6, true, dice(&seed));

                while (now = kb_token_due(&t), kb_token_take(&t, now) == KB_TOKEN_RENEW) {
                        struct kb_token_grant grant =
                                seconds((max - now) / SEC < 6 ? (max - now) / SEC : 6, true);

                        kb_token_renewed(&t, &grant, now, dice(&seed));
                }
                assert_true(t.busy == KB_TOKEN_LOG_IN && t.here && t.ends - now >= SEC / 2);
        }
}

static void a_refused_renewal_is_final_and_looked_into(void **state)
{
        struct kb_token t = with_token(3600, true, 0);
        struct kb_token_grant lives = seconds(1200, true);
        uint64_t now = kb_token_due(&t);

        take(&t, KB_TOKEN_RENEW, now);
        kb_token_renewal_failed(&t, true, now, 0);
        assert_int_equal(kb_token_due(&t), now);
        take(&t, KB_TOKEN_LOOK_UP, now);
        kb_token_looked_up(&t, &lives, now, 0);
        assert_true(t.renew == NEVER); /* "renewable" is not "may be renewed" */
        assert_true(kb_token_due(&t) > now + 500 * SEC && kb_token_due(&t) < now + 700 * SEC);
        take(&t, KB_TOKEN_LOG_IN, kb_token_due(&t));
        assert_true(t.here);
}

static void a_renewal_that_fails_is_tried_until_the_end_and_never_at_once(void **state)
{
        uint64_t seed = 3, now, last = 0;
        struct kb_token t = with_token(60, true, dice(&seed));
        int renewals = 0, logins = 0;

        for (;;) {
                enum kb_token_step step;

                now = kb_token_due(&t);
                step = kb_token_take(&t, now);
                if (now >= T0 + 60 * SEC)
                        break;
                if (step == KB_TOKEN_RENEW) {
                        assert_true(last == 0 || now - last >= KB_TOKEN_RENEW_FLOOR);
                        last = now;
                        renewals++;
                        kb_token_renewal_failed(&t, false, now, dice(&seed));
                } else if (step == KB_TOKEN_LOG_IN) { /* near the end another one is tried for, too */
                        assert_true(now >= T0 + 48 * SEC);
                        logins++;
                        kb_token_login_failed(&t, KB_TOKEN_FAILED, now, dice(&seed));
                }
                assert_true(kb_token_usable(&t, now));
        }
        assert_in_range(renewals, 3, 10);
        assert_in_range(logins, 1, 4);
        assert_false(t.here); /* it has ended */
        assert_false(kb_token_usable(&t, now));
}

static void failed_logins_wait_twice_as_long_each_time_up_to_five_minutes(void **state)
{
        static const uint64_t most[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300};
        uint64_t seed = 4;

        for (int j = 0; j < 100; j++) {
                uint64_t now = T0;
                struct kb_token t;

                kb_token_init(&t, 0);
                for (size_t i = 0; i < KB_ARRAY_SIZE(most); i++) {
                        take(&t, KB_TOKEN_LOG_IN, now);
                        kb_token_login_failed(&t, KB_TOKEN_FAILED, now, dice(&seed));
                        assert_in_range(kb_token_due(&t) - now, most[i] * SEC / 4 * 3, most[i] * SEC);
                        take(&t, KB_TOKEN_REST, kb_token_due(&t) - 1);
                        now = kb_token_due(&t);
                }
                t.failures = UINT32_MAX;
                take(&t, KB_TOKEN_LOG_IN, now);
                kb_token_login_failed(&t, KB_TOKEN_FAILED, now, 0);
                assert_int_equal(kb_token_due(&t), now + 300 * SEC);
        }
}

static void the_wait_is_spread_over_a_quarter(void **state)
{
        uint64_t seed = 8;
        unsigned quarters[4] = {0};

        for (int i = 0; i < 1000; i++) {
                struct kb_token t;

                kb_token_init(&t, 0);
                take(&t, KB_TOKEN_LOG_IN, T0);
                kb_token_login_failed(&t, KB_TOKEN_FAILED, T0, dice(&seed));
                quarters[(kb_token_due(&t) - T0 - SEC / 4 * 3) * 4 / (SEC / 4 + 1)]++;
        }
        for (int i = 0; i < 4; i++)
                assert_in_range(quarters[i], 150, 350);
}

static void a_failed_renewal_leaves_time_for_another(void **state)
{
        struct kb_token t = with_token(60, true, 0);
        uint64_t now = T0 + 50 * SEC;

        t.troubles = 20; /* five minutes by now, if it had them */
        t.replace = NEVER;
        take(&t, KB_TOKEN_RENEW, now);
        kb_token_renewal_failed(&t, false, now, 0);
        assert_int_equal(kb_token_due(&t), now + 5 * SEC);
}

static void a_success_starts_counting_anew(void **state)
{
        struct kb_token_grant grant = seconds(10, false);
        struct kb_token t;
        uint64_t now = T0;

        kb_token_init(&t, 0);
        for (int i = 0; i < 6; i++) {
                take(&t, KB_TOKEN_LOG_IN, now);
                kb_token_login_failed(&t, KB_TOKEN_FAILED, now, 0);
                now = kb_token_due(&t);
        }
        take(&t, KB_TOKEN_LOG_IN, now);
        kb_token_logged_in(&t, &grant, now, 0);
        now = kb_token_due(&t);
        take(&t, KB_TOKEN_LOG_IN, now);
        kb_token_login_failed(&t, KB_TOKEN_FAILED, now, 0);
        assert_int_equal(kb_token_due(&t), now + 1 * SEC);
}

/* How many logins are made of the same wrong files within so many seconds. */
static unsigned logins_within(uint64_t span, enum kb_token_failure why, uint64_t *seed)
{
        unsigned n = 0;
        struct kb_token t;

        kb_token_init(&t, 0);
        for (uint64_t now = T0; now <= T0 + span * SEC; now = kb_token_due(&t), n++) {
                take(&t, KB_TOKEN_LOG_IN, now);
                kb_token_login_failed(&t, why, now, dice(seed));
                if (kb_token_due(&t) == NEVER)
                        return n + 1;
        }
        return n;
}

static void a_lockout_is_never_fed(void **state)
{
        static const struct {
                enum kb_token_failure why;
                uint64_t span;
                unsigned least, most;
        } rows[] = {
                {KB_TOKEN_REFUSED, 899, 2, 2},       {KB_TOKEN_REFUSED, 24 * 3600, 70, 97},
                {KB_TOKEN_LOCKED, 899, 1, 1},        {KB_TOKEN_LOCKED, 24 * 3600, 70, 96},
                {KB_TOKEN_NOTHING, 24 * 3600, 1, 1},
        };
        uint64_t seed = 5;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                for (int j = 0; j < 20; j++)
                        assert_in_range(logins_within(rows[i].span, rows[i].why, &seed), rows[i].least,
                                        rows[i].most);
}

static void files_that_change_are_tried_at_once_but_not_twice_a_second(void **state)
{
        static const enum kb_token_failure rows[] = {KB_TOKEN_REFUSED, KB_TOKEN_LOCKED, KB_TOKEN_NOTHING,
                                                     KB_TOKEN_FAILED};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_token t;
                uint64_t now = T0;

                kb_token_init(&t, 0);
                for (int j = 0; j < 3; j++) {
                        take(&t, KB_TOKEN_LOG_IN, now);
                        kb_token_login_failed(&t, rows[i], now, 0);
                        kb_token_changed(&t, false, now);
                        assert_int_equal(kb_token_due(&t), now + SEC);
                        kb_token_changed(&t, false, now + 30 * SEC);
                        assert_int_equal(kb_token_due(&t), now + 30 * SEC);
                        now += 30 * SEC;
                }
        }
}

static void refusals_are_remembered_over_a_restart(void **state)
{
        static const struct {
                unsigned refusals;
                int64_t when;         /* seconds before T0 */
                uint64_t least, most; /* due: seconds after T0 */
        } rows[] = {
                {0, 0, 0, 0},          {1, 10, 0, 0},    {2, 0, 901, 1201},
                {2, 600, 301, 601},    {2, 950, 0, 251}, {UINT32_MAX, 0, 901, 1201},
                {2, -3600, 901, 1201}, /* the clock was wrong */
        };
        uint64_t seed = 6;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_token t;
                uint64_t due;

                kb_token_init(&t, 0);
                kb_token_refused_before(&t, rows[i].refusals, T0 - (uint64_t)(rows[i].when * (int64_t)SEC),
                                        T0, dice(&seed));
                due = kb_token_due(&t) > T0 ? kb_token_due(&t) - T0 : 0;
                assert_in_range(due, rows[i].least * SEC, rows[i].most * SEC);
                take(&t, KB_TOKEN_LOG_IN, T0 + due);
                kb_token_login_failed(&t, KB_TOKEN_REFUSED, T0 + due, dice(&seed));
                assert_true((kb_token_due(&t) - T0 - due > 900 * SEC) == (rows[i].refusals > 0));
        }
}

/* 403 means a dead token, or one that may not look itself up. */
static void a_refused_lookup_tells_dead_from_shy(void **state)
{
        static const struct {
                bool proven, looked_up, shy;
                uint64_t age;
                bool here, shy_after;
        } rows[] = {
                {false, false, false, 0, false, false}, /* a kept one */
                {true, true, false, 10, false, false},  /* it could before */
                {true, true, false, 1000, false, false}, {true, true, true, 10, false, true},
                {true, false, false, 10, true, true}, /* so young cannot be dead */
                {true, false, false, 59, true, true},    {true, false, false, 60, false, false},
                {true, false, true, 10, true, true},     {true, false, true, 1000, true, true},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_token t = with_token(3600, false, 0);
                uint64_t now = T0 + rows[i].age * SEC;

                t.proven = rows[i].proven;
                t.looked_up = rows[i].looked_up;
                t.shy = rows[i].shy;
                kb_token_doubted(&t, now);
                take(&t, KB_TOKEN_LOOK_UP, now);
                if (kb_token_look_up_failed(&t, true, now, 0) != rows[i].here || t.here != rows[i].here ||
                    t.shy != rows[i].shy_after)
                        fail_msg("row %zu", i);
                assert_true(kb_token_due(&t) > now || !t.here);
        }
}

static void tokens_that_die_young_are_not_fetched_faster_and_faster(void **state)
{
        struct kb_token_grant grant = seconds(3600, true);
        struct kb_token t = with_token(3600, true, 0);
        uint64_t now = T0, waited = 0;

        for (int i = 0; i < 12; i++) {
                uint64_t died = now + SEC;

                t.looked_up = true;
                kb_token_doubted(&t, died);
                take(&t, KB_TOKEN_LOOK_UP, died);
                assert_false(kb_token_look_up_failed(&t, true, died, 0));
                now = kb_token_due(&t);
                assert_true(now - died >= waited && now - died >= 4 * SEC);
                waited = now - died;
                take(&t, KB_TOKEN_LOG_IN, now);
                kb_token_logged_in(&t, &grant, now, 0);
        }
        assert_int_equal(waited, 300 * SEC);
        now = kb_token_due(&t); /* one that lives long enough to be renewed ends that */
        take(&t, KB_TOKEN_RENEW, now);
        kb_token_renewed(&t, &grant, now, 0);
        assert_int_equal(t.short_lives, 0);
}

static void a_dead_token_is_replaced_at_once(void **state)
{
        struct kb_token t = with_token(3600, true, 0);
        uint64_t now = T0 + 100 * SEC;

        kb_token_doubted(&t, now);
        take(&t, KB_TOKEN_LOOK_UP, now);
        assert_false(kb_token_look_up_failed(&t, true, now, 0));
        take(&t, KB_TOKEN_LOG_IN, now);
}

static void doubts_are_one_question_a_second_and_put_nothing_off(void **state)
{
        struct kb_token t = with_token(3600, true, 0);
        uint64_t renew = t.renew, replace = t.replace, now = T0 + 10 * SEC;
        struct kb_token_grant grant;

        for (int i = 0; i < 20; i++) {
                for (int j = 0; j < 10; j++)
                        kb_token_doubted(&t, now);
                take(&t, KB_TOKEN_LOOK_UP, now);
                grant = seconds(3600 - (now - T0) / SEC - 1, true);
                kb_token_looked_up(&t, &grant, now, 0);
                kb_token_doubted(&t, now + 1);
                assert_int_equal(kb_token_due(&t), now + SEC);
                now += SEC;
        }
        assert_true(t.renew == renew && t.replace == replace && t.ends == T0 + 3600 * SEC);
        take(&t, KB_TOKEN_LOOK_UP, now);
        grant = seconds(100, true); /* somebody has made its life shorter */
        kb_token_looked_up(&t, &grant, now, 0);
        assert_true(t.renew < now + 67 * SEC && t.ends == now + 100 * SEC);
        kb_token_doubted(&t, now + SEC);
        take(&t, KB_TOKEN_LOOK_UP, now + SEC);
        assert_true(kb_token_look_up_failed(&t, false, now + SEC, 0)); /* no answer: as it was */
        assert_true(kb_token_usable(&t, now + SEC) && kb_token_due(&t) == t.renew);
}

static void a_kept_token_is_not_used_before_it_was_looked_up(void **state)
{
        struct kb_token_grant grant = seconds(600, true);
        uint64_t now = T0, last = 0;
        struct kb_token t;

        kb_token_init(&t, 0);
        kb_token_restored(&t, T0);
        for (int i = 0; i < 10; i++) { /* the server is away: no login, that would be one too many */
                assert_false(kb_token_usable(&t, now));
                take(&t, KB_TOKEN_LOOK_UP, now);
                assert_true(kb_token_look_up_failed(&t, false, now, 0));
                assert_true(last == 0 || now - last >= SEC);
                last = now;
                now = kb_token_due(&t);
                assert_true(now - last <= 300 * SEC);
        }
        take(&t, KB_TOKEN_LOOK_UP, now);
        kb_token_looked_up(&t, &grant, now, 0);
        assert_true(kb_token_usable(&t, now) && t.renew < now + 401 * SEC);
}

static void a_file_with_another_token_replaces_the_one_in_use(void **state)
{
        struct kb_token t = with_token(NEVER, false, 0);

        assert_true(kb_token_due(&t) == NEVER);
        kb_token_changed(&t, false, T0 + 10 * SEC);
        assert_true(kb_token_due(&t) == NEVER);
        kb_token_changed(&t, true, T0 + 10 * SEC);
        take(&t, KB_TOKEN_LOG_IN, T0 + 10 * SEC);
        assert_true(kb_token_usable(&t, T0 + 10 * SEC));
        kb_token_login_failed(&t, KB_TOKEN_NOTHING, T0 + 10 * SEC, 0);
        assert_true(kb_token_usable(&t, T0 + 10 * SEC) && kb_token_due(&t) == NEVER);
}

/* --- whatever happens --- */

struct walk {
        struct kb_token t;
        uint64_t now, seed, logins[64];
        size_t n_logins;
        uint64_t last[4]; /* when each step was begun */
};

static void one_answer(struct walk *w, enum kb_token_step step)
{
        static const uint64_t lives[] = {1, 2, 5, 30, 60, 600, 3600, 86400, NEVER};
        struct kb_token_grant grant =
                seconds(lives[dice(&w->seed) % KB_ARRAY_SIZE(lives)], dice(&w->seed) % 3 > 0);
        uint64_t random = dice(&w->seed), luck = dice(&w->seed) % 8;

        switch (step) {
        case KB_TOKEN_LOG_IN:
                if (luck < 4)
                        kb_token_logged_in(&w->t, &grant, w->now, random);
                else
                        kb_token_login_failed(&w->t, luck - 4, w->now, random);
                return;
        case KB_TOKEN_RENEW:
                if (luck < 4)
                        kb_token_renewed(&w->t, &grant, w->now, random);
                else
                        kb_token_renewal_failed(&w->t, luck == 4, w->now, random);
                return;
        case KB_TOKEN_LOOK_UP:
                if (luck < 4)
                        kb_token_looked_up(&w->t, &grant, w->now, random);
                else
                        (void)!kb_token_look_up_failed(&w->t, luck < 6, w->now, random);
                return;
        default:
                return;
        }
}

static void note_step(struct walk *w, enum kb_token_step step)
{
        size_t slot = w->n_logins % KB_ARRAY_SIZE(w->logins);

        if (step == KB_TOKEN_REST)
                return;
        /* Never twice at once, whatever was answered. */
        assert_true(w->last[step] == 0 || w->now - w->last[step] >= SEC / 4 * 3);
        w->last[step] = w->now;
        if (step != KB_TOKEN_LOG_IN)
                return;
        /* 24 logins need a minute at the least: the shortest waits are 5 s after a success and 0.75 s. */
        if (w->n_logins >= 24)
                assert_true(w->now - w->logins[(w->n_logins - 24) % KB_ARRAY_SIZE(w->logins)] >= 40 * SEC);
        w->logins[slot] = w->now;
        w->n_logins++;
}

static void ten_thousand_steps_never_hurry_and_never_use_what_has_ended(void **state)
{
        for (uint64_t seed = 1; seed <= 20; seed++) {
                struct walk w = {.now = T0, .seed = seed};

                kb_token_init(&w.t, 0);
                if (seed % 2)
                        kb_token_restored(&w.t, T0);
                for (int i = 0; i < 10000; i++) {
                        uint64_t due = kb_token_due(&w.t), luck = dice(&w.seed) % 40;
                        enum kb_token_step step;

                        assert_true(w.t.busy == KB_TOKEN_REST);
                        if (due == NEVER || luck == 0) { /* nothing by itself: something from elsewhere */
                                w.now += dice(&w.seed) % (20 * SEC);
                                if (due == NEVER && (luck % 2 || !w.t.here))
                                        kb_token_changed(&w.t, luck % 4 > 0, w.now);
                                else
                                        kb_token_doubted(&w.t, w.now);
                                continue;
                        }
                        w.now = due > w.now ? due : w.now;
                        step = kb_token_take(&w.t, w.now);
                        assert_true(step == KB_TOKEN_REST || w.t.busy == step);
                        if (step == KB_TOKEN_RENEW)
                                assert_true(kb_token_usable(&w.t, w.now));
                        note_step(&w, step);
                        w.now += dice(&w.seed) % (2 * SEC); /* the answer takes its time */
                        one_answer(&w, step);
                        assert_true(!kb_token_usable(&w.t, w.now) || w.t.ends > w.now);
                        assert_false(kb_token_usable(&w.t, w.t.ends));
                }
                assert_true(w.n_logins > 100);
        }
}

/* --- ten thousand hosts of one cluster --- */

#define HOSTS 10000

struct fleet {
        struct kb_token t[HOSTS];
        uint64_t due[HOSTS], max[HOSTS];
        unsigned logins, renewals;           /* in all */
        unsigned most_logins, most_renewals; /* in one second */
};

/* What the server says to one host. */
static void serve(struct fleet *f, int i, uint64_t now, bool up, uint64_t *seed, unsigned *logins,
                  unsigned *renewals)
{
        enum kb_token_step step = kb_token_take(&f->t[i], now);
        uint64_t random = dice(seed), left;
        struct kb_token_grant grant = seconds(3600, true);

        if (step == KB_TOKEN_LOG_IN && up) {
                f->max[i] = now + 4 * 3600 * SEC;
                kb_token_logged_in(&f->t[i], &grant, now, random);
                (*logins)++;
        } else if (step == KB_TOKEN_LOG_IN) {
                kb_token_login_failed(&f->t[i], KB_TOKEN_FAILED, now, random);
        } else if (step == KB_TOKEN_RENEW && up) {
                left = f->max[i] - now;
                grant.left = left < grant.left ? left : grant.left;
                kb_token_renewed(&f->t[i], &grant, now, random);
                (*renewals)++;
        } else if (step == KB_TOKEN_RENEW) {
                kb_token_renewal_failed(&f->t[i], false, now, random);
        }
        f->due[i] = kb_token_due(&f->t[i]);
}

static void run(struct fleet *f, uint64_t from, uint64_t to, bool up, uint64_t *seed)
{
        for (uint64_t now = from; now < to; now += SEC) {
                unsigned logins = 0, renewals = 0;

                for (int i = 0; i < HOSTS; i++)
                        if (f->due[i] <= now)
                                serve(f, i, now, up, seed, &logins, &renewals);
                f->logins += logins;
                f->renewals += renewals;
                f->most_logins = logins > f->most_logins ? logins : f->most_logins;
                f->most_renewals = renewals > f->most_renewals ? renewals : f->most_renewals;
        }
}

static unsigned logged_in(const struct fleet *f, uint64_t now)
{
        unsigned n = 0;

        for (int i = 0; i < HOSTS; i++)
                n += kb_token_usable(&f->t[i], now);
        return n;
}

static void ten_thousand_hosts_come_back_from_an_outage_spread_over_minutes(void **state)
{
        struct fleet *f = calloc(1, sizeof(*f));
        uint64_t now = T0, seed = 7;

        assert_non_null(f);
        for (int i = 0; i < HOSTS; i++) {
                kb_token_init(&f->t[i], 0);
                f->due[i] = T0 + dice(&seed) % (60 * SEC); /* they boot in a minute */
        }
        run(f, now, now + 300 * SEC, true, &seed);
        now += 300 * SEC;
        assert_int_equal(f->logins, HOSTS);
        assert_int_equal(logged_in(f, now), HOSTS);

        f->most_renewals = 0;
        run(f, now, now + 7200 * SEC, true, &seed);
        now += 7200 * SEC;
        assert_int_equal(f->logins, HOSTS); /* they renew, and nobody logs in again */
        assert_true(f->most_renewals < 150);
        assert_int_equal(logged_in(f, now), HOSTS);

        run(f, now, now + 7200 * SEC, false, &seed); /* away, until no token lives any more */
        now += 7200 * SEC;
        assert_int_equal(logged_in(f, now), 0);

        f->logins = f->most_logins = 0;
        run(f, now, now + 300 * SEC, true, &seed);
        now += 300 * SEC;
        assert_int_equal(logged_in(f, now), HOSTS);
        assert_int_equal(f->logins, HOSTS);
        assert_true(f->most_logins < 4 * HOSTS / 300); /* evenly would be a third of that at least */
        free(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_login_is_due_at_once_and_one_thing_is_done_at_a_time),
                cmocka_unit_test(it_is_renewed_at_two_thirds_and_replaced_half_way_when_it_cannot_be),
                cmocka_unit_test(another_share_moves_it),
                cmocka_unit_test(renewing_ends_when_the_end_moves_no_more),
                cmocka_unit_test(a_maximum_ends_in_one_replacement_with_time_left),
                cmocka_unit_test(a_short_token_is_replaced_before_its_maximum_too),
                cmocka_unit_test(a_refused_renewal_is_final_and_looked_into),
                cmocka_unit_test(a_renewal_that_fails_is_tried_until_the_end_and_never_at_once),
                cmocka_unit_test(failed_logins_wait_twice_as_long_each_time_up_to_five_minutes),
                cmocka_unit_test(the_wait_is_spread_over_a_quarter),
                cmocka_unit_test(a_failed_renewal_leaves_time_for_another),
                cmocka_unit_test(a_success_starts_counting_anew),
                cmocka_unit_test(a_lockout_is_never_fed),
                cmocka_unit_test(files_that_change_are_tried_at_once_but_not_twice_a_second),
                cmocka_unit_test(refusals_are_remembered_over_a_restart),
                cmocka_unit_test(a_refused_lookup_tells_dead_from_shy),
                cmocka_unit_test(tokens_that_die_young_are_not_fetched_faster_and_faster),
                cmocka_unit_test(a_dead_token_is_replaced_at_once),
                cmocka_unit_test(doubts_are_one_question_a_second_and_put_nothing_off),
                cmocka_unit_test(a_kept_token_is_not_used_before_it_was_looked_up),
                cmocka_unit_test(a_file_with_another_token_replaces_the_one_in_use),
                cmocka_unit_test(ten_thousand_steps_never_hurry_and_never_use_what_has_ended),
                cmocka_unit_test(ten_thousand_hosts_come_back_from_an_outage_spread_over_minutes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
