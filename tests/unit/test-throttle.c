/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks too often is refused, counted, and nobody else pays for it. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "common/clock.h"
#include "helper/broker/throttle.h"

#define SEC   KB_USEC_PER_SEC
#define START (1000 * SEC)

static void a_burst_passes_and_then_one_at_a_time(void **state)
{
        _cleanup_(kb_throttle_freep) struct kb_throttle *t = NULL;
        struct kb_throttled who;

        assert_ok(kb_throttle_new(&t, 5, 3 * SEC));
        for (unsigned i = 0; i < 5; i++)
                assert_true(kb_throttle_take(t, 1000, "ana", START));
        for (unsigned i = 0; i < 7; i++)
                assert_false(kb_throttle_take(t, 1000, "ana", START + 3 * SEC - 1));
        assert_true(kb_throttle_take(t, 1000, "ana", START + 3 * SEC));
        assert_false(kb_throttle_take(t, 1000, "ana", START + 3 * SEC));
        for (unsigned i = 0; i < 5; i++) /* after a rest, all of it again, and no more */
                assert_true(kb_throttle_take(t, 1000, "ana", START + 1000 * SEC));
        assert_false(kb_throttle_take(t, 1000, "ana", START + 1000 * SEC));
        assert_true(kb_throttle_next(t, &who));
        assert_int_equal(who.uid, 1000);
        assert_string_equal(who.user, "ana");
        assert_int_equal(who.refused, 9);
        assert_false(kb_throttle_next(t, &who));
}

static void each_uid_has_a_bucket_of_its_own(void **state)
{
        _cleanup_(kb_throttle_freep) struct kb_throttle *t = NULL;
        struct kb_throttled who;
        uint64_t refused = 0;

        assert_ok(kb_throttle_new(&t, 1, SEC));
        for (uid_t uid = 0; uid < 1000; uid++)
                assert_true(kb_throttle_take(t, uid, "x", START));
        for (uid_t uid = 0; uid < 1000; uid++)
                assert_false(kb_throttle_take(t, uid, "x", START));
        while (kb_throttle_next(t, &who))
                refused += who.refused;
        assert_int_equal(refused, 1000);
}

/* So that nobody comes by a full bucket by having others fill the table. */
static void a_full_table_turns_newcomers_away_until_somebody_rests(void **state)
{
        _cleanup_(kb_throttle_freep) struct kb_throttle *t = NULL;
        struct kb_throttled who;

        assert_ok(kb_throttle_new(&t, 1, SEC));
        for (uid_t uid = 0; uid < 1024; uid++)
                assert_true(kb_throttle_take(t, uid, "x", START));
        assert_false(kb_throttle_take(t, 5000, "late", START));
        assert_false(kb_throttle_take(t, 7, "x", START));
        assert_true(kb_throttle_next(t, &who));
        assert_int_equal(who.uid, 7);
        assert_true(kb_throttle_next(t, &who)); /* of all for whom there was none */
        assert_string_equal(who.user, "");
        assert_int_equal(who.refused, 1);
        assert_false(kb_throttle_next(t, &who));
        assert_true(kb_throttle_take(t, 5000, "late", START + SEC));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_burst_passes_and_then_one_at_a_time),
                cmocka_unit_test(each_uid_has_a_bucket_of_its_own),
                cmocka_unit_test(a_full_table_turns_newcomers_away_until_somebody_rests),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
