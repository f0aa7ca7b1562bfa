/* SPDX-License-Identifier: Apache-2.0 */
/* What journald has, what it lost, and when that is known. */
#include "tests/unit/test.h"

#include "helper/log/window.h"

#define SEC KB_USEC_PER_SEC

/* Too big for a stack. */
static struct kb_window window;

static struct kb_window *fresh(uint64_t sent, uint64_t now)
{
        memset(&window, 0, sizeof(window));
        for (uint64_t i = 1; i <= sent; i++)
                kb_window_sent(&window, i, now);
        return &window;
}

static void what_was_seen_in_order_is_done_with(void **state)
{
        struct kb_window *w = fresh(5, SEC);

        assert_false(kb_window_seen(w, 2));
        assert_false(kb_window_advance(w));
        assert_false(kb_window_seen(w, 1));
        assert_true(kb_window_advance(w));
        assert_int_equal(w->base, 2);
        assert_int_equal(w->seen, 2);
        assert_int_equal(kb_window_oldest(w), SEC);
}

static void what_others_overtook_is_missing_soon(void **state)
{
        struct kb_window *w = fresh(5, SEC);

        for (uint64_t i = 1; i <= 5; i++)
                if (i != 3)
                        kb_window_seen(w, i);
        assert_int_equal(kb_window_missing(w, 0, 5, SEC), 0); /* journald may be just behind */
        assert_int_equal(kb_window_missing(w, 0, 5, SEC + KB_WINDOW_GRACE), 3);
        assert_int_equal(kb_window_missing(w, 3, 5, SEC + KB_WINDOW_GRACE), 0);
        kb_window_sent(w, 3, 3 * SEC);
        assert_int_equal(kb_window_missing(w, 0, 5, 5 * SEC), 0);
        assert_true(kb_window_seen(w, 3)); /* a gap was filled */
        assert_false(kb_window_seen(w, 3));
        kb_window_advance(w);
        assert_int_equal(w->base, 5);
}

static void with_nothing_after_it_time_tells(void **state)
{
        struct kb_window *w = fresh(2, SEC);

        assert_int_equal(kb_window_missing(w, 0, 2, SEC + KB_WINDOW_WAIT - 1), 0);
        assert_int_equal(kb_window_missing(w, 0, 2, SEC + KB_WINDOW_WAIT), 1);
        assert_int_equal(kb_window_missing(w, 0, 2, 0), 0);
        kb_window_sent(w, 1, 40 * SEC);
        assert_int_equal(kb_window_missing(w, 0, 1, 40 * SEC + KB_WINDOW_WAIT),
                         0); /* waits longer each time */
        assert_int_equal(kb_window_missing(w, 0, 1, 40 * SEC + 2 * KB_WINDOW_WAIT), 1);
}

static void what_is_never_taken_is_given_up_once_others_pass(void **state)
{
        struct kb_window *w = fresh(1, SEC);
        uint64_t now = SEC;

        for (unsigned i = 0; i < KB_WINDOW_TRIES + 3; i++)
                kb_window_sent(w, 1, now += 3600 * SEC);
        assert_false(kb_window_advance(w)); /* nobody passed: journald may be away */
        kb_window_sent(w, 2, now);
        kb_window_seen(w, 2);
        assert_true(kb_window_advance(w));
        assert_int_equal(w->base, 2);
        assert_int_equal(w->given_up, 1);
}

static void new_records_do_not_wait_for_one_that_is_never_taken(void **state)
{
        struct kb_window *w = fresh(KB_WINDOW_SIZE, SEC);

        for (uint64_t i = 2; i <= KB_WINDOW_SIZE; i++)
                kb_window_seen(w, i);
        for (unsigned i = 1; i < KB_WINDOW_TRIES_FULL; i++) {
                assert_false(kb_window_advance(w));
                kb_window_sent(w, 1, 1000 * i * SEC);
        }
        assert_false(kb_window_advance(w)); /* sent after all others: nobody has overtaken it this time */
        kb_window_sent(w, 1, 0);
        w->order_seen = w->order + 1;
        assert_true(kb_window_advance(w));
        assert_int_equal(w->base, KB_WINDOW_SIZE);
        assert_int_equal(w->given_up, 1);
}

static void what_does_not_fit_is_refused(void **state)
{
        struct kb_window *w = fresh(0, SEC);

        assert_true(kb_window_has_room(w, KB_WINDOW_SIZE));
        assert_false(kb_window_has_room(w, KB_WINDOW_SIZE + 1));
        assert_false(kb_window_has_room(w, 0));
        assert_false(kb_window_seen(w, KB_WINDOW_SIZE + 1));
        kb_window_sent(w, KB_WINDOW_SIZE + 1, SEC);
        assert_int_equal(w->order, 0);
        kb_window_give_up(w);
        assert_true(kb_window_has_room(w, KB_WINDOW_SIZE + 1));
        assert_true(kb_window_wants(w, KB_WINDOW_SIZE + 1));
}

static void a_slot_starts_afresh_for_the_next_record_in_it(void **state)
{
        struct kb_window *w = fresh(KB_WINDOW_SIZE, SEC);

        for (uint64_t i = 1; i <= KB_WINDOW_SIZE; i++)
                kb_window_seen(w, i);
        kb_window_advance(w);
        assert_int_equal(w->base, KB_WINDOW_SIZE);
        assert_int_equal(kb_window_oldest(w), 0);
        assert_true(kb_window_wants(w, KB_WINDOW_SIZE + 1));
        assert_int_equal(kb_window_missing(w, 0, 2 * KB_WINDOW_SIZE, 3600 * SEC), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_seen_in_order_is_done_with),
                cmocka_unit_test(what_others_overtook_is_missing_soon),
                cmocka_unit_test(with_nothing_after_it_time_tells),
                cmocka_unit_test(what_is_never_taken_is_given_up_once_others_pass),
                cmocka_unit_test(new_records_do_not_wait_for_one_that_is_never_taken),
                cmocka_unit_test(what_does_not_fit_is_refused),
                cmocka_unit_test(a_slot_starts_afresh_for_the_next_record_in_it),
        };

        return cmocka_run_group_tests_name("log-window", tests, NULL, NULL);
}
