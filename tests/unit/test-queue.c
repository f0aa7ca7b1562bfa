/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of who is woken next. */
#include "tests/unit/test.h"

#include "helper/grant/lease.h"
#include "helper/grant/queue.h"

#define MANY 10000

static void ten_thousand_come_out_in_their_order(void **state)
{
        static struct kb_queue_entry entries[MANY];
        _cleanup_queue_ struct kb_queue q = {};
        uint64_t random = 1, last = 0;
        size_t n = 0;

        for (size_t i = 0; i < MANY; i++)
                assert_ok(kb_queue_set(&q, &entries[i], kb_lease_random(&random, 1000)));
        for (size_t i = 0; i < MANY; i += 2) /* moved: earlier and later */
                assert_ok(kb_queue_set(&q, &entries[i], kb_lease_random(&random, 2000)));
        for (size_t i = 0; i < MANY; i += 5)
                kb_queue_remove(&q, &entries[i]);
        assert_int_equal(q.count, MANY - MANY / 5);
        for (struct kb_queue_entry *e; (e = kb_queue_take(&q, KB_TIME_NEVER - 1)); n++) {
                assert_true(e->at >= last);
                assert_int_equal(e->place, 0);
                last = e->at;
        }
        assert_int_equal(n, MANY - MANY / 5);
        assert_true(kb_queue_at(&q) == KB_TIME_NEVER);
}

static void nobody_is_woken_early_and_those_who_wait_for_nothing_not_at_all(void **state)
{
        struct kb_queue_entry a = {}, b = {};
        _cleanup_queue_ struct kb_queue q = {};

        assert_ok(kb_queue_set(&q, &a, 10));
        assert_ok(kb_queue_set(&q, &b, 20));
        assert_null(kb_queue_take(&q, 9));
        assert_true(kb_queue_take(&q, 10) == &a);
        assert_null(kb_queue_take(&q, 19));
        assert_ok(kb_queue_set(&q, &b, KB_TIME_NEVER));
        assert_int_equal(b.place, 0);
        assert_null(kb_queue_take(&q, 1000));
        kb_queue_remove(&q, &b); /* twice is nothing */
        assert_int_equal(q.count, 0);
}

static void a_queue_that_goes_leaves_its_entries_free(void **state)
{
        struct kb_queue_entry a = {};
        struct kb_queue q = {};

        assert_ok(kb_queue_set(&q, &a, 10));
        kb_queue_done(&q);
        assert_int_equal(a.place, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ten_thousand_come_out_in_their_order),
                cmocka_unit_test(nobody_is_woken_early_and_those_who_wait_for_nothing_not_at_all),
                cmocka_unit_test(a_queue_that_goes_leaves_its_entries_free),
        };

        return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
