/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting between tries, and not asking what does not work: with a clock and dice of the test's own. */
#include "tests/unit/test.h"

#include "common/clock.h"
#include "helper/store/backoff.h"
#include "helper/store/breaker.h"

#define SEC KB_USEC_PER_SEC

/* splitmix64: even, and the same in every run. */
static uint64_t dice(uint64_t *state)
{
        uint64_t z = (*state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

static void the_wait_has_ceilings_of_1_2_and_4_seconds(void **state)
{
        static const struct {
                unsigned tries;
                uint64_t ceiling;
        } rows[] = {{0, 1 * SEC}, {1, 1 * SEC}, {2, 2 * SEC},
                    {3, 4 * SEC}, {4, 4 * SEC}, {UINT32_MAX, 4 * SEC}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                assert_int_equal(kb_backoff_ceiling(rows[i].tries), rows[i].ceiling);
                assert_int_equal(kb_backoff_wait(rows[i].tries, 0, 0), 0);
                assert_int_equal(kb_backoff_wait(rows[i].tries, 0, rows[i].ceiling), rows[i].ceiling);
        }
}

static void the_wait_is_spread_over_all_of_it(void **state)
{
        uint64_t seed = 1, sum = 0;
        unsigned tenths[10] = {0};

        for (int i = 0; i < 10000; i++) {
                uint64_t wait = kb_backoff_wait(3, 0, dice(&seed));

                assert_true(wait <= 4 * SEC);
                sum += wait;
                tenths[wait * 10 / (4 * SEC + 1)]++;
        }
        assert_in_range(sum / 10000, 19 * SEC / 10, 21 * SEC / 10);
        for (int i = 0; i < 10; i++)
                assert_in_range(tenths[i], 800, 1200);
}

static void a_server_that_says_when_is_not_asked_before(void **state)
{
        uint64_t seed = 2;

        for (int i = 0; i < 1000; i++)
                assert_in_range(kb_backoff_wait(1, 7 * SEC, dice(&seed)), 7 * SEC, 8 * SEC);
        assert_true(kb_backoff_wait(1, UINT64_MAX - 1, 5) == KB_TIME_NEVER);
        assert_true(kb_spread(UINT64_MAX, 42) == 42);
}

static void five_failures_in_a_row_open_it(void **state)
{
        struct kb_breaker b = {0};

        for (int i = 0; i < KB_BREAKER_FAILURES - 1; i++)
                assert_false(kb_breaker_bad(&b, 100, 0));
        assert_true(kb_breaker_closed(&b));
        assert_false(kb_breaker_good(&b)); /* one success, and counting starts anew */
        for (int i = 0; i < KB_BREAKER_FAILURES - 1; i++)
                assert_false(kb_breaker_bad(&b, 100, 0));
        assert_true(kb_breaker_closed(&b));
        assert_int_equal(kb_breaker_probe_at(&b), 0);
        assert_false(kb_breaker_probe(&b, 100)); /* nothing to probe */
        assert_true(kb_breaker_bad(&b, 100, 0));
        assert_false(kb_breaker_closed(&b));
}

static struct kb_breaker opened(uint64_t now, uint64_t random)
{
        struct kb_breaker b = {0};

        for (int i = 0; i < KB_BREAKER_FAILURES; i++)
                kb_breaker_bad(&b, now, random);
        return b;
}

static void half_open_lets_exactly_one_probe_through(void **state)
{
        struct kb_breaker b = opened(0, 0); /* until 1 s */

        assert_int_equal(kb_breaker_probe_at(&b), 1 * SEC);
        assert_false(kb_breaker_probe(&b, 1 * SEC - 1));
        assert_true(kb_breaker_probe(&b, 1 * SEC));
        for (int i = 0; i < 100; i++)
                assert_false(kb_breaker_probe(&b, (uint64_t)i * SEC));
        assert_false(kb_breaker_closed(&b)); /* nobody else asks meanwhile */
        assert_true(kb_breaker_probe_at(&b) == KB_TIME_NEVER);
        assert_true(kb_breaker_good(&b));
        assert_true(kb_breaker_closed(&b));
        assert_false(kb_breaker_probe(&b, 200 * SEC));
}

static void a_probe_that_was_given_up_makes_room_for_another(void **state)
{
        struct kb_breaker b = opened(0, 0);

        assert_true(kb_breaker_probe(&b, 2 * SEC));
        kb_breaker_dropped(&b);
        assert_true(kb_breaker_probe(&b, 2 * SEC));
}

static void each_failed_probe_doubles_the_rest_up_to_30_seconds(void **state)
{
        static const uint64_t most[] = {2, 4, 8, 16, 30, 30, 30};
        struct kb_breaker shortest = opened(0, 0), longest = opened(0, UINT64_MAX);
        uint64_t seed = 3;

        for (size_t i = 0; i < KB_ARRAY_SIZE(most); i++) {
                struct kb_breaker any = opened(0, 0);

                assert_int_equal(shortest.until, most[i] * SEC / 2);
                assert_in_range(longest.until, most[i] * SEC / 2, most[i] * SEC);
                any = shortest;
                assert_true(kb_breaker_probe(&any, 100 * SEC));
                kb_breaker_probe_bad(&any, 0, dice(&seed));
                assert_true(kb_breaker_probe(&shortest, 100 * SEC) && kb_breaker_probe(&longest, 100 * SEC));
                kb_breaker_probe_bad(&shortest, 0, 0);
                kb_breaker_probe_bad(&longest, 0, UINT64_MAX);
                assert_true(any.until >= shortest.until && any.until <= 2 * shortest.until);
        }
        kb_breaker_good(&shortest);
        for (int i = 0; i < KB_BREAKER_FAILURES; i++)
                kb_breaker_bad(&shortest, 0, 0);
        assert_int_equal(shortest.until, 1 * SEC); /* and a success starts anew */
}

static void what_was_under_way_when_it_opened_changes_nothing_by_failing(void **state)
{
        struct kb_breaker b = opened(0, 0), before = b;

        for (int i = 0; i < 20; i++)
                assert_false(kb_breaker_bad(&b, 5 * SEC, 0));
        assert_memory_equal(&b, &before, sizeof(b));
        assert_true(kb_breaker_probe(&b, 5 * SEC));
        assert_false(kb_breaker_bad(&b, 5 * SEC, 0)); /* the probe still has its place */
        assert_true(kb_breaker_probe_at(&b) == KB_TIME_NEVER);
        assert_true(kb_breaker_good(&b)); /* but an answer is an answer */
        kb_breaker_probe_bad(&b, 6 * SEC, 0);
        assert_true(kb_breaker_closed(&b));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_wait_has_ceilings_of_1_2_and_4_seconds),
                cmocka_unit_test(the_wait_is_spread_over_all_of_it),
                cmocka_unit_test(a_server_that_says_when_is_not_asked_before),
                cmocka_unit_test(five_failures_in_a_row_open_it),
                cmocka_unit_test(half_open_lets_exactly_one_probe_through),
                cmocka_unit_test(a_probe_that_was_given_up_makes_room_for_another),
                cmocka_unit_test(each_failed_probe_doubles_the_rest_up_to_30_seconds),
                cmocka_unit_test(what_was_under_way_when_it_opened_changes_nothing_by_failing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
