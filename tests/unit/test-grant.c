/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a grant, step by step: what is done, when, and what comes of each answer. */
#include "tests/unit/test.h"

#include "helper/grant/grant.h"

#define SEC   KB_USEC_PER_SEC
#define START ((uint64_t)1000 * SEC)
#define HOUR  3600

static const struct kb_grant_who who = {"orders.service", "invocation", "orders-db", "local"};
static const struct kb_grant_policy eager = {
        .renews = true, .rotates = true, .renew_at = 2.0 / 3, .overlap_usec = 60 * SEC};

static struct kb_grant begun(const struct kb_grant_policy *policy)
{
        struct kb_grant g;

        assert_ok(kb_grant_init(&g, &who, policy, 42, START));
        return g;
}

/* What is due now, after it was written down which leases are to be revoked. */
static struct kb_grant_step next_noted(struct kb_grant *g, uint64_t now)
{
        struct kb_grant_step step;

        while ((step = kb_grant_next(g, now)).action == KB_GRANT_NOTE) {
                assert_ok(kb_grant_begin(g, &step));
                kb_grant_on_noted(g, step.lease);
        }
        return step;
}

/* Asserts that exactly this is due at this moment, and begins it. Returns the number of its lease. */
static uint32_t expect(struct kb_grant *g, uint64_t now, enum kb_grant_action action)
{
        struct kb_grant_step step = action == KB_GRANT_REVOKE ? next_noted(g, now) : kb_grant_next(g, now);

        if (step.action != action)
                fail_msg("action %d instead of %d", step.action, action);
        assert_true(step.at <= now);
        assert_ok(kb_grant_begin(g, &step));
        return step.lease;
}

/* Asserts that nothing is due now, and returns when something will be. */
static uint64_t expect_wait(const struct kb_grant *g, uint64_t now)
{
        struct kb_grant_step step = kb_grant_next(g, now);

        assert_int_equal(step.action, KB_GRANT_WAIT);
        assert_true(step.at > now);
        return step.at;
}

static void assert_within(uint64_t value, uint64_t low, uint64_t high)
{
        if (value < low || value > high)
                fail_msg("%.3f s is not within %.3f s and %.3f s", (double)value / SEC, (double)low / SEC,
                         (double)high / SEC);
}

static void assert_state(const struct kb_grant *g, enum kb_grant_state expected)
{
        assert_string_equal(kb_grant_state_word(kb_grant_state(g)), kb_grant_state_word(expected));
}

static void fetched(struct kb_grant *g, uint64_t now, const char *id, uint64_t ttl, bool renewable)
{
        const struct kb_lease_answer answer = {.id = id, .ttl = ttl, .renewable = renewable};

        expect(g, now, KB_GRANT_FETCH);
        kb_grant_on_fetched(g, now, KB_E_OK, &answer);
}

static void refused(struct kb_grant *g, uint64_t now, enum kb_error error)
{
        expect(g, now, KB_GRANT_FETCH);
        kb_grant_on_fetched(g, now, error, NULL);
}

/* A grant with its first lease. */
static struct kb_grant issued(const struct kb_grant_policy *policy, uint64_t ttl, bool renewable)
{
        struct kb_grant g = begun(policy);

        assert_state(&g, KB_GRANT_ASKED);
        fetched(&g, START, "first", ttl, renewable);
        assert_state(&g, KB_GRANT_ISSUED);
        return g;
}

/* A grant that has just been offered a second lease; *now is when. */
static struct kb_grant offered(const struct kb_grant_policy *policy, uint64_t *now)
{
        struct kb_grant g = issued(policy, HOUR, false);

        *now = expect_wait(&g, START);
        fetched(&g, *now, "second", HOUR, false);
        assert_state(&g, KB_GRANT_ROTATING);
        expect(&g, *now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, *now, KB_E_OK);
        return g;
}

static void a_lease_is_due_at_its_share_and_no_later(void **state)
{
        static const struct {
                uint64_t ttl;
                double share;
                bool renewable;
                uint64_t overlap;
                uint64_t low, high; /* milliseconds after the start */
        } table[] = {
                {3600, 2.0 / 3, true, 0, 1200000,
                 2400000}, /* a first renewal: anywhere in the second half */
                {3600, 2.0 / 3, false, 0, 2160000, 2400000}, /* a rotation: a tenth of the way at most */
                {3600, 0.9, false, 60, 2916000, 3240000},    /* RenewAt= is earlier than the overlap needs */
                {3600, 0.9, false, 600, 2160000, 2400000},   /* twice the overlap before the end */
                {3600, 0.9, false, 3600, 1080000,
                 1200000}, /* an overlap that does not fit: the first third is free */
                {3600, 0.9, true, 600, 1200000, 2400000}, /* so does a renewal, which may be the last */
                {3600, 0.9, true, 3600, 600000, 1200000},
                {2, 0.5, false, 0, 1000, 1000}, /* the floor */
                {1, 0.5, true, 0, 1000, 1000},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (uint64_t seed = 0; seed < 200; seed++) {
                        struct kb_grant_policy policy = eager;
                        _cleanup_grant_ struct kb_grant g;

                        policy.renew_at = table[i].share;
                        policy.overlap_usec = table[i].overlap * SEC;
                        assert_ok(kb_grant_init(&g, &who, &policy, seed, START));
                        fetched(&g, START, "a", table[i].ttl, table[i].renewable);
                        assert_within(kb_grant_next(&g, START).at - START, table[i].low * 1000 - 1000,
                                      table[i].high * 1000);
                }
}

static void a_renewed_lease_is_due_again(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
        uint64_t now = START;

        for (unsigned i = 1; i <= 100; i++) {
                uint32_t lease;

                now = expect_wait(&g, now);
                lease = expect(&g, now, KB_GRANT_RENEW);
                assert_state(&g, KB_GRANT_RENEWING);
                kb_grant_on_renewed(&g, now, lease, KB_E_OK, HOUR, true);
                assert_state(&g, KB_GRANT_ISSUED);
                assert_int_equal(kb_grant_lease(&g, lease)->renewals, i);
                assert_within(expect_wait(&g, now) - now, 2160 * SEC, 2400 * SEC);
        }
}

/* Whenever it turns out that a lease grows no more, so much is left when it is replaced. */
static void what_an_overlap_may_be_is_left_at_each_rotation(void **state)
{
        static const struct {
                uint64_t ttl, most, overlap; /* seconds; most 0: it cannot be renewed */
                uint64_t left;               /* milliseconds */
        } table[] = {
                {3600, 0, 60, 1199000},  {3600, 86400, 60, 1079000},  {10, 20, 60, 5000},
                {10, 20, 3, 4400},       {10, 86400, 0, 2000},        {10, 0, 60, 5667},
                {3600, 0, 600, 1199000}, {3600, 7200, 1800, 2159000},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (uint64_t seed = 0; seed < 200; seed++) {
                        uint64_t now = START, last = START + table[i].most * SEC, left;
                        struct kb_grant_policy policy = eager;
                        _cleanup_grant_ struct kb_grant g;
                        struct kb_grant_step step;

                        policy.overlap_usec = table[i].overlap * SEC;
                        assert_ok(kb_grant_init(&g, &who, &policy, seed, START));
                        fetched(&g, START, "a", table[i].ttl, table[i].most > 0);
                        left = kb_grant_overlap(&g);
                        assert_within(left / 1000, table[i].left - (table[i].left > 0), table[i].left + 1);
                        while ((step = kb_grant_next(&g, now)).action != KB_GRANT_FETCH) {
                                uint64_t most = (last - step.at) / SEC;

                                now = step.at;
                                if (step.action != KB_GRANT_RENEW)
                                        continue;
                                assert_ok(kb_grant_begin(&g, &step));
                                kb_grant_on_renewed(&g, now, step.lease, KB_E_OK,
                                                    most < table[i].ttl ? most : table[i].ttl, true);
                        }
                        assert_true(kb_lease_left(g.leases, now) + SEC >= left);
                }
}

static void what_has_no_end_is_left_alone(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, 0, true);

        assert_true(expect_wait(&g, START) == KB_TIME_NEVER);
        assert_true(expect_wait(&g, KB_TIME_NEVER - 1) == KB_TIME_NEVER);
        kb_grant_end(&g, START);
        expect(&g, START, KB_GRANT_REVOKE);
}

/* strategy x renewable -> what happens to a lease of an hour */
static void strategies_keep_their_word(void **state)
{
        static const struct {
                bool renews, rotates, restarts, renewable;
                enum kb_grant_action action;
        } table[] = {
                {true, true, false, true, KB_GRANT_RENEW},    {true, true, false, false, KB_GRANT_FETCH},
                {true, true, true, true, KB_GRANT_RENEW},     {true, true, true, false, KB_GRANT_RESTART},
                {true, false, false, true, KB_GRANT_RENEW},   {true, false, false, false, KB_GRANT_EXPIRE},
                {false, false, false, true, KB_GRANT_EXPIRE}, {false, false, false, false, KB_GRANT_EXPIRE},
                {false, true, false, true, KB_GRANT_FETCH},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_grant_policy policy = eager;
                _cleanup_grant_ struct kb_grant g;
                uint64_t now;

                policy.renews = table[i].renews;
                policy.rotates = table[i].rotates;
                policy.restarts = table[i].restarts;
                g = issued(&policy, HOUR, table[i].renewable);
                now = expect_wait(&g, START);
                expect(&g, now, table[i].action);
                if (table[i].action == KB_GRANT_EXPIRE) {
                        assert_true(now == START + HOUR * SEC);
                        kb_grant_on_expired(&g, now, 1);
                        assert_state(&g, KB_GRANT_EXPIRED);
                        assert_true(expect_wait(&g, now) == KB_TIME_NEVER);
                }
        }
}

/* Each way a renewal can fail: the store was away (again later), or it said no (another lease, soon). */
static void every_error_of_a_renewal_has_its_consequence(void **state)
{
        static const enum kb_error answers[] = {KB_E_DENIED,  KB_E_NOT_FOUND,   KB_E_BAD_REQUEST,
                                                KB_E_EXPIRED, KB_E_UNSUPPORTED, KB_E_CONFLICT,
                                                KB_E_LOCKED,  KB_E_BAD_SECRET,  KB_E_WEAK};

        for (enum kb_error error = KB_E_UNREACHABLE; error <= 100; error++) {
                _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
                uint64_t now = expect_wait(&g, START), left;
                bool is_answer = false;

                for (size_t i = 0; i < KB_ARRAY_SIZE(answers); i++)
                        is_answer |= answers[i] == error;
                kb_grant_on_renewed(&g, now, expect(&g, now, KB_GRANT_RENEW), error, 0, false);
                left = START + HOUR * SEC - now;
                assert_int_equal(kb_grant_lease(&g, 1)->problem, error);
                if (is_answer) {
                        assert_within(expect_wait(&g, now) - now, SEC, SEC + left / 10);
                        expect(&g, kb_grant_next(&g, now).at, KB_GRANT_FETCH);
                } else {
                        assert_state(&g, KB_GRANT_RENEWING);
                        assert_within(expect_wait(&g, now) - now, SEC, 2 * SEC);
                        expect(&g, kb_grant_next(&g, now).at, KB_GRANT_RENEW);
                }
        }
}

static void tries_are_at_least_a_second_apart_and_go_on_until_the_end(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, 24 * HOUR, true);
        uint64_t now = expect_wait(&g, START), last = now, widest = 0;
        unsigned tries = 0;

        for (; kb_grant_next(&g, now).action == KB_GRANT_RENEW; tries++) {
                kb_grant_on_renewed(&g, now, expect(&g, now, KB_GRANT_RENEW), KB_E_UNREACHABLE, 0, false);
                last = now;
                now = expect_wait(&g, now);
                if (kb_grant_next(&g, now).action != KB_GRANT_RENEW)
                        break;
                assert_within(now - last, SEC, KB_LEASE_BACKOFF_USEC + SEC);
                widest = now - last > widest ? now - last : widest;
        }
        assert_true(widest > 60 * SEC);             /* it does back off */
        assert_within(tries, 8 * 3600 / 301, 1000); /* and stays bounded */
        assert_true(now >= START + (uint64_t)24 * HOUR * SEC);
        expect(&g, now, KB_GRANT_EXPIRE);
        kb_grant_on_expired(&g, now, 1);
        assert_state(&g, KB_GRANT_EXPIRED);
        refused(&g, now, KB_E_UNREACHABLE); /* a consumer without anything is still looked after */
        assert_within(expect_wait(&g, now) - now, SEC, 2 * SEC);
        now = expect_wait(&g, now);
        fetched(&g, now, "second", HOUR, true);
        expect(&g, now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, now, KB_E_OK);
        expect(&g, now, KB_GRANT_ADOPT); /* there is nothing that it could overlap with */
        kb_grant_on_adopted(&g, now);
        assert_state(&g, KB_GRANT_ADOPTED);
}

static void a_lease_that_stops_growing_is_replaced_soon(void **state)
{
        static const struct {
                bool second;  /* the answer to the second renewal, the first having given an hour */
                uint64_t ttl; /* of the answer; at least 1200 seconds are left anyway */
                bool renewable;
                bool soon;
        } table[] = {
                {false, HOUR, true, false},    {false, HOUR, false, false},    {false, 2500, true, false},
                {false, 1200, true, true},     {false, 1, true, true},         {true, HOUR, true, false},
                {true, 2 * HOUR, true, false}, {true, HOUR - 30, true, false}, {true, HOUR - 60, true, true},
                {true, HOUR / 2, true, true},  {true, 1, true, true},          {true, 0, true, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
                uint64_t now = expect_wait(&g, START), ends;
                struct kb_lease *lease = kb_grant_lease(&g, 1);

                expect(&g, now, KB_GRANT_RENEW);
                if (table[i].second) {
                        kb_grant_on_renewed(&g, now, 1, KB_E_OK, HOUR, true);
                        now = expect_wait(&g, now);
                        expect(&g, now, KB_GRANT_RENEW);
                }
                kb_grant_on_renewed(&g, now, 1, KB_E_OK, table[i].ttl, table[i].renewable);
                ends = table[i].ttl ? now + table[i].ttl * SEC : KB_TIME_NEVER;
                assert_true(lease->ends == ends);
                assert_int_equal(lease->renewable, table[i].renewable && table[i].ttl && !table[i].soon);
                if (!table[i].ttl)
                        assert_true(expect_wait(&g, now) == KB_TIME_NEVER);
                else if (table[i].soon)
                        assert_within(kb_grant_next(&g, now).at - now, SEC, SEC + table[i].ttl * SEC / 10);
                else
                        assert_within(kb_grant_next(&g, now).at - now, table[i].ttl * SEC * 59 / 100,
                                      table[i].ttl * SEC * 2 / 3);
        }
}

static void the_old_lease_goes_only_after_the_new_one_was_adopted(void **state)
{
        uint64_t now;
        _cleanup_grant_ struct kb_grant g = offered(&eager, &now);
        uint64_t adopted_at = expect_wait(&g, now);

        assert_state(&g, KB_GRANT_OFFERED);
        assert_true(adopted_at == now + eager.overlap_usec);
        assert_string_equal(kb_grant_newest(&g)->id, "second");
        assert_string_equal(kb_grant_lease_in(&g, KB_LEASE_CURRENT)->id, "first");
        expect(&g, adopted_at, KB_GRANT_ADOPT);
        kb_grant_on_adopted(&g, adopted_at);
        assert_state(&g, KB_GRANT_ADOPTED);
        assert_int_equal(expect(&g, adopted_at, KB_GRANT_REVOKE), 1);
        kb_grant_on_revoked(&g, adopted_at, 1, KB_E_OK);
        assert_null(kb_grant_lease(&g, 1));
        expect_wait(&g, adopted_at);
        assert_state(&g, KB_GRANT_ADOPTED);
}

static void adoption_that_is_known_is_not_waited_for(void **state)
{
        uint64_t now;
        _cleanup_grant_ struct kb_grant g = offered(&eager, &now);

        kb_grant_on_adopted(&g, now + 1); /* Type=notify-reload said so */
        assert_state(&g, KB_GRANT_ADOPTED);
        expect(&g, now + 1, KB_GRANT_REVOKE);
}

static void a_probe_is_repeated_until_it_sees_the_new_lease_in_use(void **state)
{
        struct kb_grant_policy policy = eager;
        uint64_t now;

        policy.probe_usec = 10 * SEC;
        {
                _cleanup_grant_ struct kb_grant g = offered(&policy, &now);

                for (unsigned i = 0; i < 10; i++) { /* longer than the overlap, which does not count here */
                        assert_true(expect_wait(&g, now) == now + 10 * SEC);
                        now += 10 * SEC;
                        expect(&g, now, KB_GRANT_PROBE);
                        kb_grant_on_probed(&g, now, false);
                        assert_state(&g, KB_GRANT_OFFERED);
                }
                now += 10 * SEC;
                expect(&g, now, KB_GRANT_PROBE);
                kb_grant_on_probed(&g, now, true);
                assert_state(&g, KB_GRANT_ADOPTED);
                expect(&g, now, KB_GRANT_REVOKE);
        }
        {
                _cleanup_grant_ struct kb_grant g = offered(&policy, &now);
                uint64_t end = kb_grant_lease(&g, 1)->ends;

                while (end - now > 30 * SEC)
                        now = expect_wait(&g, now), expect(&g, now, KB_GRANT_PROBE),
                        kb_grant_on_probed(&g, now, false);
                assert_true(expect_wait(&g, now) <=
                            now + 3 * SEC); /* more often when there is little time */
        }
        {
                _cleanup_grant_ struct kb_grant g = offered(&policy, &now);
                uint64_t end = kb_grant_lease(&g, 1)->ends;

                kb_grant_defer(&g, KB_TIME_NEVER);
                assert_true(expect_wait(&g, now) == end); /* then the old one is of no use to anybody */
                expect(&g, end, KB_GRANT_EXPIRE);
                kb_grant_on_expired(&g, end, 1);
                expect(&g, end, KB_GRANT_ADOPT);
        }
        {
                _cleanup_grant_ struct kb_grant g = offered(&policy, &now);

                now += 10 * SEC;
                expect(&g, now, KB_GRANT_PROBE);
                kb_grant_on_adopted(&g, now); /* while the probe looks */
                kb_grant_on_probed(&g, now, true);
                assert_int_equal(g.rotations, 1);
                kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), KB_E_OK);
                assert_within(expect_wait(&g, now) - now, 2000 * SEC, 2400 * SEC);
        }
}

static void when_the_consumer_cannot_be_told_the_old_lease_stays(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, 24 * HOUR, false);
        uint64_t now = expect_wait(&g, START), first_try = now;
        char id[16];

        for (unsigned i = 0; i < 30; i++) {
                uint32_t lease;

                snprintf(id, sizeof(id), "new-%u", i);
                fetched(&g, now, id, HOUR, true);
                lease = expect(&g, now, KB_GRANT_OFFER);
                kb_grant_on_offered(&g, now, KB_E_INTERNAL);
                assert_string_equal(kb_grant_newest(&g)->id, "first");
                assert_state(&g, KB_GRANT_ROTATING);
                assert_int_equal(expect(&g, now, KB_GRANT_REVOKE), lease);
                kb_grant_on_revoked(&g, now, lease, KB_E_OK);
                now = expect_wait(&g, now);
        }
        /* a reload that always fails does not mint leases in a loop */
        assert_true(now - first_try > 1500 * SEC);
}

static void a_rotation_whose_fetch_fails_is_tried_until_the_old_lease_ends(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, false);
        uint64_t now = expect_wait(&g, START), last = 0;

        while (kb_grant_next(&g, now).action == KB_GRANT_FETCH) {
                refused(&g, now, now % 2 ? KB_E_DENIED : KB_E_UNREACHABLE);
                assert_state(&g, KB_GRANT_ROTATING);
                assert_true(now - last >= SEC);
                last = now;
                now = expect_wait(&g, now);
        }
        expect(&g, now, KB_GRANT_EXPIRE);
        kb_grant_on_expired(&g, now, 1);
        now = kb_grant_next(&g, now).at;
        fetched(&g, now, "second", HOUR, false);
        expect(&g, now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, now, KB_E_INTERNAL); /* nothing to keep instead: the new one stays */
        assert_null(kb_grant_lease_in(&g, KB_LEASE_RETIRED));
        now = expect_wait(&g, now);
        expect(&g, now, KB_GRANT_OFFER);
}

static void with_restart_nothing_is_fetched_beforehand(void **state)
{
        struct kb_grant_policy policy = eager;
        _cleanup_grant_ struct kb_grant g;
        uint64_t now;

        policy.restarts = true;
        g = issued(&policy, HOUR, false);
        now = expect_wait(&g, START);
        expect(&g, now, KB_GRANT_RESTART);
        kb_grant_on_restarted(&g, now, KB_E_BUSY);
        assert_state(&g, KB_GRANT_ROTATING);
        now = expect_wait(&g, now);
        expect(&g, now, KB_GRANT_RESTART);
        kb_grant_on_restarted(&g, now, KB_E_OK);
        assert_state(&g, KB_GRANT_ROTATING);
        expect(&g, expect_wait(&g, now), KB_GRANT_RESTART); /* it did not go: ask again, much later */
        assert_true(expect_wait(&g, now) - now >= 60 * SEC);
        kb_grant_end(&g, now);
        expect(&g, now, KB_GRANT_REVOKE);
}

static void many_rotations_can_wait_for_one_another(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, false);
        uint64_t now = expect_wait(&g, START);

        assert_int_equal(kb_grant_next(&g, now).action, KB_GRANT_FETCH);
        kb_grant_defer(&g, now + 5 * SEC);
        assert_true(expect_wait(&g, now) == now + 5 * SEC);
}

/* Brings a grant into a state, with or without an answer under way. */
static struct kb_grant in_state(unsigned which, uint64_t *now)
{
        struct kb_grant_policy policy = eager;
        struct kb_grant g;

        policy.probe_usec = 10 * SEC;
        if (which < 2) {
                g = begun(&policy);
                *now = START;
                if (which == 1)
                        expect(&g, START, KB_GRANT_FETCH);
        } else if (which < 5) {
                g = issued(&policy, HOUR, which != 4);
                *now = expect_wait(&g, START);
                if (which == 3)
                        expect(&g, *now, KB_GRANT_RENEW);
                if (which == 4)
                        expect(&g, *now, KB_GRANT_FETCH);
        } else {
                g = offered(&policy, now);
                if (which == 6) {
                        *now += 10 * SEC;
                        expect(&g, *now, KB_GRANT_PROBE);
                }
                if (which == 7) {
                        kb_grant_on_adopted(&g, *now);
                        expect(&g, *now, KB_GRANT_REVOKE);
                }
        }
        return g;
}

/* Answers whatever is under way, as a store does that has no idea of what happened meanwhile. */
static void answer_late(struct kb_grant *g, unsigned which, uint64_t now)
{
        const struct kb_lease_answer late = {.id = "late", .ttl = HOUR, .renewable = true};

        if (which == 1 || which == 4)
                kb_grant_on_fetched(g, now, KB_E_OK, &late);
        if (which == 3)
                kb_grant_on_renewed(g, now, 1, KB_E_OK, HOUR, true);
        if (which == 6)
                kb_grant_on_probed(g, now, true);
        if (which == 7)
                kb_grant_on_revoked(g, now, 1, KB_E_OK);
}

static void when_the_consumer_goes_everything_is_revoked_in_every_state(void **state)
{
        static const unsigned leases[] = {0, 1, 1, 1, 2, 2, 2, 1};

        for (unsigned which = 0; which < KB_ARRAY_SIZE(leases); which++) {
                uint64_t now;
                _cleanup_grant_ struct kb_grant g = in_state(which, &now);
                unsigned revoked = 0;

                kb_grant_end(&g, now);
                answer_late(&g, which, now);
                for (;;) {
                        struct kb_grant_step step = kb_grant_next(&g, now);

                        if (step.action == KB_GRANT_FORGET)
                                break;
                        assert_state(&g, KB_GRANT_REVOKING);
                        kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), KB_E_OK);
                        revoked++;
                }
                assert_int_equal(revoked, leases[which]);
                assert_state(&g, which == 0 ? KB_GRANT_FAILED : KB_GRANT_REVOKED);
                kb_grant_rotate(&g, now);
                kb_grant_on_adopted(&g, now);
                assert_int_equal(kb_grant_next(&g, now).action, KB_GRANT_FORGET); /* for good */
        }
}

static void a_revocation_is_tried_until_it_is_done_or_the_lease_has_ended(void **state)
{
        static const struct {
                enum kb_error error;
                bool done;
        } table[] = {
                {KB_E_OK, true},          {KB_E_NOT_FOUND, true},    {KB_E_EXPIRED, true},
                {KB_E_UNSUPPORTED, true}, {KB_E_UNREACHABLE, false}, {KB_E_DENIED, false},
                {KB_E_SEALED, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
                uint64_t now = START + SEC, last = START - SEC;

                kb_grant_end(&g, now);
                while (next_noted(&g, now).action == KB_GRANT_REVOKE) {
                        kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), table[i].error);
                        assert_true(now - last >= SEC);
                        last = now;
                        if (!g.leases)
                                break;
                        assert_state(&g, KB_GRANT_REVOKING);
                        now = expect_wait(&g, now);
                }
                if (!table[i].done) {
                        assert_true(now >= START + HOUR * SEC);
                        expect(&g, now, KB_GRANT_EXPIRE);
                        kb_grant_on_expired(&g, now, 1);
                }
                assert_int_equal(kb_grant_next(&g, now).action, KB_GRANT_FORGET);
                assert_state(&g, table[i].done ? KB_GRANT_REVOKED : KB_GRANT_EXPIRED);
        }
}

static void a_first_fetch_waits_for_a_store_that_is_away_but_not_longer_than_allowed(void **state)
{
        static const struct {
                uint64_t wait;
                enum kb_error error;
                bool again;
        } table[] = {
                {0, KB_E_UNREACHABLE, false}, {30, KB_E_UNREACHABLE, true}, {30, KB_E_SEALED, true},
                {30, KB_E_DENIED, false},     {30, KB_E_NOT_FOUND, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_grant_policy policy = eager;
                _cleanup_grant_ struct kb_grant g;
                uint64_t now = START;
                unsigned tries = 0;

                policy.wait_usec = table[i].wait * SEC;
                g = begun(&policy);
                for (; kb_grant_next(&g, now).action == KB_GRANT_FETCH; tries++) {
                        refused(&g, now, table[i].error);
                        if (kb_grant_next(&g, now).action == KB_GRANT_WAIT)
                                now = expect_wait(&g, now);
                }
                assert_int_equal(kb_grant_next(&g, now).action, KB_GRANT_FORGET);
                assert_state(&g, KB_GRANT_FAILED);
                assert_int_equal(g.problem, table[i].error);
                assert_int_equal(tries > 1, table[i].again);
                assert_true(now <= START + policy.wait_usec);
        }
}

static void a_host_that_slept_over_the_end_does_not_renew_what_is_gone(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
        uint64_t now = START + (uint64_t)100 * HOUR * SEC;

        expect(&g, now, KB_GRANT_EXPIRE);
        kb_grant_on_expired(&g, now, 1);
        fetched(&g, now, "second", HOUR, true);
        expect(&g, now, KB_GRANT_OFFER);
}

static void the_same_lease_again_lives_on(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, false);
        uint64_t now = expect_wait(&g, START);

        fetched(&g, now, "first", HOUR, false);
        assert_true(kb_grant_lease(&g, 1)->ends == now + (uint64_t)HOUR * SEC);
        assert_null(g.leases->next);
        assert_within(expect_wait(&g, now) - now, 2160 * SEC, 2400 * SEC);
        assert_state(&g, KB_GRANT_ISSUED);
}

static void answers_about_a_lease_that_is_gone_change_nothing(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
        uint64_t before = expect_wait(&g, START);

        kb_grant_on_renewed(&g, START, 7, KB_E_OK, 1, true);
        kb_grant_on_revoked(&g, START, 7, KB_E_OK);
        kb_grant_on_expired(&g, START, 7);
        kb_grant_on_adopted(&g, START);
        kb_grant_on_offered(&g, START, KB_E_OK);
        assert_true(expect_wait(&g, START) == before);
        assert_state(&g, KB_GRANT_ISSUED);
}

static void a_rotation_on_request_is_not_forgotten(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, true);
        uint64_t now = expect_wait(&g, START);
        uint32_t lease = expect(&g, now, KB_GRANT_RENEW);

        kb_grant_rotate(&g, now);
        kb_grant_on_renewed(&g, now, lease, KB_E_OK, HOUR, true);
        refused(&g, now, KB_E_UNREACHABLE);
        now = expect_wait(&g, now);
        fetched(&g, now, "second", HOUR, true);
        kb_grant_rotate(&g, now); /* one at a time */
        expect(&g, now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, now, KB_E_OK);
        kb_grant_on_adopted(&g, now);
        kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), KB_E_OK);
        assert_within(expect_wait(&g, now) - now, 1200 * SEC, 2400 * SEC);
}

static void an_offered_lease_that_ends_first_is_replaced(void **state)
{
        struct kb_grant_policy policy = eager;
        _cleanup_grant_ struct kb_grant g;
        uint64_t now;

        policy.probe_usec = 1000 * SEC;
        g = issued(&policy, HOUR, false);
        now = expect_wait(&g, START);
        fetched(&g, now, "short", 10, true);
        expect(&g, now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, now, KB_E_OK);
        now += 10 * SEC;
        expect(&g, now, KB_GRANT_EXPIRE);
        kb_grant_on_expired(&g, now, 2);
        assert_string_equal(kb_grant_newest(&g)->id, "first");
        expect(&g, now, KB_GRANT_FETCH);
}

static void what_the_log_knew_goes_on_after_a_restart(void **state)
{
        static const struct {
                uint64_t left; /* of an hour */
                uint64_t low, high;
        } table[] = {
                {3600, 2160, 2400}, {1800, 540, 600}, {1200, 1, 120}, {100, 1, 10}, {1, 1, 1}, {0, 0, 0},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                const struct kb_lease_answer known = {.id = "known", .ttl = HOUR};
                _cleanup_grant_ struct kb_grant g = begun(&eager);

                assert_ok(kb_grant_restore(&g, START, KB_LEASE_CURRENT, false, &known, table[i].left * SEC));
                assert_within(kb_grant_next(&g, START).at - START, table[i].low * SEC, table[i].high * SEC);
                assert_state(&g, KB_GRANT_ISSUED);
        }
}

static void a_restart_in_the_middle_of_a_rotation_forgets_neither_lease(void **state)
{
        const struct kb_lease_answer old = {.id = "old", .ttl = HOUR}, new = {.id = "new", .ttl = HOUR};
        const struct kb_lease_answer gone = {.id = "gone"};
        _cleanup_grant_ struct kb_grant g = begun(&eager);

        assert_ok(kb_grant_restore(&g, START, KB_LEASE_OFFERED, false, &new, 3000 * SEC));
        assert_ok(kb_grant_restore(&g, START, KB_LEASE_CURRENT, false, &old, 1000 * SEC));
        assert_ok(kb_grant_restore(&g, START, KB_LEASE_RETIRED, false, &gone, 0));
        assert_state(&g, KB_GRANT_OFFERED);
        kb_grant_on_revoked(&g, START, expect(&g, START, KB_GRANT_REVOKE), KB_E_OK);
        assert_true(expect_wait(&g, START) == START + eager.overlap_usec);
        expect(&g, START + eager.overlap_usec, KB_GRANT_ADOPT);
        kb_grant_on_adopted(&g, START + eager.overlap_usec);
        assert_string_equal(kb_grant_lease(&g, expect(&g, START + eager.overlap_usec, KB_GRANT_REVOKE))->id,
                            "old");
}

static void of_two_leases_in_one_role_the_later_counts(void **state)
{
        const struct kb_lease_answer old = {.id = "old", .ttl = HOUR}, new = {.id = "new", .ttl = HOUR};
        _cleanup_grant_ struct kb_grant g = begun(&eager);

        assert_ok(kb_grant_restore(&g, START, KB_LEASE_CURRENT, false, &old, 3000 * SEC));
        assert_ok(kb_grant_restore(&g, START, KB_LEASE_CURRENT, false, &new, 3000 * SEC));
        assert_string_equal(kb_grant_newest(&g)->id, "new");
        assert_int_equal(kb_grant_newest(&g)->number, g.last_number);
        assert_string_equal(kb_grant_lease(&g, expect(&g, START, KB_GRANT_REVOKE))->id, "old");
}

static void a_lease_is_revoked_only_after_it_was_written_down(void **state)
{
        const struct kb_lease_answer gone = {.id = "gone", .ttl = HOUR};
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, false), after = begun(&eager);
        struct kb_grant_step step;

        kb_grant_end(&g, START);
        step = kb_grant_next(&g, START);
        assert_int_equal(step.action, KB_GRANT_NOTE);
        assert_ok(kb_grant_begin(&g, &step));
        assert_true(expect_wait(&g, START) == KB_TIME_NEVER); /* for the log, and for nothing else */
        kb_grant_on_noted(&g, step.lease);
        kb_grant_on_noted(&g, 99);
        assert_int_equal(expect(&g, START, KB_GRANT_REVOKE), step.lease);

        assert_ok(kb_grant_restore(&after, START, KB_LEASE_RETIRED, false, &gone, HOUR * SEC)); /* it was */
        assert_int_equal(kb_grant_next(&after, START).action, KB_GRANT_REVOKE);
        assert_null(kb_grant_newest(&after));
}

static void what_nobody_was_told_of_lives_until_another_is_adopted(void **state)
{
        const struct kb_lease_answer old = {.id = "old", .ttl = HOUR};
        const struct kb_lease_answer untold = {.id = "untold", .ttl = HOUR, .renewable = true};
        const struct kb_lease_answer short_one = {.id = "short", .ttl = 10};
        _cleanup_grant_ struct kb_grant g = begun(&eager);
        uint64_t now;

        assert_ok(kb_grant_restore(&g, START, KB_LEASE_CURRENT, false, &old, 3000 * SEC));
        assert_ok(kb_grant_restore(&g, START, KB_LEASE_UNTOLD, false, &short_one, 10 * SEC));
        assert_ok(kb_grant_restore(&g, START, KB_LEASE_UNTOLD, false, &untold, 3000 * SEC));
        assert_string_equal(kb_grant_newest(&g)->id, "old"); /* nobody gets the other one any more */
        expect(&g, START, KB_GRANT_FETCH);
        kb_grant_on_fetched(&g, START, KB_E_UNREACHABLE, NULL);
        now = expect_wait(&g, START);
        fetched(&g, now, "new", HOUR, false);
        expect(&g, now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, now, KB_E_OK);
        kb_grant_on_expired(&g, START + 10 * SEC, expect(&g, START + 10 * SEC, KB_GRANT_EXPIRE));
        expect_wait(&g, START + 10 * SEC);
        kb_grant_on_adopted(&g, START + 20 * SEC);
        for (unsigned n = 0; n < 2; n++)
                kb_grant_on_revoked(&g, START + 20 * SEC, expect(&g, START + 20 * SEC, KB_GRANT_REVOKE),
                                    KB_E_OK);
        assert_string_equal(kb_grant_newest(&g)->id, "new");
        assert_null(g.leases->next);
}

static void a_secret_without_an_end_is_looked_at_again(void **state)
{
        struct kb_grant_policy policy = eager;
        _cleanup_grant_ struct kb_grant g;
        uint64_t now;

        policy.check_usec = 100 * SEC;
        g = issued(&policy, 0, false);
        now = expect_wait(&g, START);
        assert_within(now - START, 90 * SEC, 100 * SEC);
        fetched(&g, now, "first", 0, false);
        assert_state(&g, KB_GRANT_ISSUED);
        assert_within(expect_wait(&g, now) - now, 90 * SEC, 100 * SEC);
        now = expect_wait(&g, now);
        refused(&g, now, KB_E_UNREACHABLE);
        now = expect_wait(&g, now);
        fetched(&g, now, "second", 0, false);
        expect(&g, now, KB_GRANT_OFFER);
        kb_grant_on_offered(&g, now, KB_E_OK);
        now = expect_wait(&g, now);
        expect(&g, now, KB_GRANT_ADOPT);
        kb_grant_on_adopted(&g, now);
        kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), KB_E_OK);
        assert_string_equal(kb_grant_newest(&g)->id, "second");
        assert_true(expect_wait(&g, now) - now <= 100 * SEC);
}

static void a_unit_is_restarted_only_when_there_is_something_new(void **state)
{
        struct kb_grant_policy policy = eager;
        _cleanup_grant_ struct kb_grant g;
        uint64_t now;

        policy.check_usec = 1;
        policy.restarts = true;
        g = issued(&policy, 0, false);
        now = expect_wait(&g, START);
        assert_true(now - START == SEC); /* the floor */
        fetched(&g, now, "first", 0, false);
        now = expect_wait(&g, now);
        fetched(&g, now, "second", 0, false); /* says so, and is not given to anybody */
        assert_string_equal(kb_grant_newest(&g)->id, "first");
        kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), KB_E_OK);
        expect(&g, now, KB_GRANT_RESTART);
        kb_grant_on_restarted(&g, now, KB_E_OK);
        assert_true(expect_wait(&g, now) > now);
}

static void a_new_lease_that_is_of_no_use_goes_back_and_the_old_one_stays(void **state)
{
        const struct kb_lease_answer answer = {.id = "second", .ttl = HOUR};
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, false);
        uint64_t now = expect_wait(&g, START);
        struct kb_lease *lease;

        expect(&g, now, KB_GRANT_FETCH);
        lease = kb_grant_on_fetched(&g, now, KB_E_OK, &answer);
        assert_string_equal(lease->id, "second");
        kb_grant_reject(&g, now, lease->number, KB_E_NO_RECORD);
        kb_grant_reject(&g, now, lease->number, KB_E_NO_RECORD); /* twice is nothing */
        assert_string_equal(kb_grant_newest(&g)->id, "first");
        assert_state(&g, KB_GRANT_ROTATING);
        assert_int_equal(g.problem, KB_E_NO_RECORD);
        kb_grant_on_revoked(&g, now, expect(&g, now, KB_GRANT_REVOKE), KB_E_OK);
        now = expect_wait(&g, now);
        fetched(&g, now, "third", HOUR, false);
        expect(&g, now, KB_GRANT_OFFER);
}

static void a_first_lease_that_is_of_no_use_ends_the_grant(void **state)
{
        _cleanup_grant_ struct kb_grant g = issued(&eager, HOUR, false);

        kb_grant_reject(&g, START, 1, KB_E_BAD_REQUEST);
        assert_state(&g, KB_GRANT_REVOKING);
        kb_grant_on_revoked(&g, START, expect(&g, START, KB_GRANT_REVOKE), KB_E_OK);
        assert_int_equal(kb_grant_next(&g, START).action, KB_GRANT_FORGET);
        kb_grant_reject(&g, START, 1, KB_E_BAD_REQUEST);
}

static void secrets_go_as_soon_as_nobody_uses_them(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1024);
        _cleanup_grant_ struct kb_grant g = begun(&eager);
        struct kb_lease_answer answer = {.id = "a", .ttl = HOUR};

        kb_list_add_text(&b, "password", "x");
        assert_ok(kb_fields_new(kb_list_built(&b), NULL, 0, &answer.fields, NULL));
        expect(&g, START, KB_GRANT_FETCH);
        kb_grant_on_fetched(&g, START, KB_E_OK, &answer);
        assert_non_null(kb_grant_newest(&g)->fields);
        kb_grant_end(&g, START);
        assert_null(g.leases->fields);
}

static void every_state_has_its_word(void **state)
{
        assert_string_equal(kb_grant_state_word(KB_GRANT_OFFERED), "offered");
        assert_string_equal(kb_grant_state_word((enum kb_grant_state)99), "unknown");
        for (unsigned i = 0; i <= KB_GRANT_FAILED; i++)
                assert_string_not_equal(kb_grant_state_word((enum kb_grant_state)i), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_lease_is_due_at_its_share_and_no_later),
                cmocka_unit_test(a_renewed_lease_is_due_again),
                cmocka_unit_test(what_an_overlap_may_be_is_left_at_each_rotation),
                cmocka_unit_test(what_has_no_end_is_left_alone),
                cmocka_unit_test(a_lease_is_revoked_only_after_it_was_written_down),
                cmocka_unit_test(what_nobody_was_told_of_lives_until_another_is_adopted),
                cmocka_unit_test(a_secret_without_an_end_is_looked_at_again),
                cmocka_unit_test(a_unit_is_restarted_only_when_there_is_something_new),
                cmocka_unit_test(strategies_keep_their_word),
                cmocka_unit_test(every_error_of_a_renewal_has_its_consequence),
                cmocka_unit_test(tries_are_at_least_a_second_apart_and_go_on_until_the_end),
                cmocka_unit_test(a_lease_that_stops_growing_is_replaced_soon),
                cmocka_unit_test(the_old_lease_goes_only_after_the_new_one_was_adopted),
                cmocka_unit_test(adoption_that_is_known_is_not_waited_for),
                cmocka_unit_test(a_probe_is_repeated_until_it_sees_the_new_lease_in_use),
                cmocka_unit_test(when_the_consumer_cannot_be_told_the_old_lease_stays),
                cmocka_unit_test(a_rotation_whose_fetch_fails_is_tried_until_the_old_lease_ends),
                cmocka_unit_test(with_restart_nothing_is_fetched_beforehand),
                cmocka_unit_test(many_rotations_can_wait_for_one_another),
                cmocka_unit_test(when_the_consumer_goes_everything_is_revoked_in_every_state),
                cmocka_unit_test(a_revocation_is_tried_until_it_is_done_or_the_lease_has_ended),
                cmocka_unit_test(a_first_fetch_waits_for_a_store_that_is_away_but_not_longer_than_allowed),
                cmocka_unit_test(a_host_that_slept_over_the_end_does_not_renew_what_is_gone),
                cmocka_unit_test(the_same_lease_again_lives_on),
                cmocka_unit_test(answers_about_a_lease_that_is_gone_change_nothing),
                cmocka_unit_test(a_rotation_on_request_is_not_forgotten),
                cmocka_unit_test(an_offered_lease_that_ends_first_is_replaced),
                cmocka_unit_test(what_the_log_knew_goes_on_after_a_restart),
                cmocka_unit_test(a_restart_in_the_middle_of_a_rotation_forgets_neither_lease),
                cmocka_unit_test(of_two_leases_in_one_role_the_later_counts),
                cmocka_unit_test(a_new_lease_that_is_of_no_use_goes_back_and_the_old_one_stays),
                cmocka_unit_test(a_first_lease_that_is_of_no_use_ends_the_grant),
                cmocka_unit_test(secrets_go_as_soon_as_nobody_uses_them),
                cmocka_unit_test(every_state_has_its_word),
        };

        return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
