/* SPDX-License-Identifier: Apache-2.0 */
/* Counting failures: who guesses locks out himself, and nobody else. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "common/clock.h"
#include "helper/broker/lockout.h"

#define MINUTE (60 * KB_USEC_PER_SEC)

static const struct kb_lockout_policy policy = {.attempts = 3, .window = 10 * MINUTE, .usec = 5 * MINUTE};
static const struct kb_lockout_key ana = {"host", "ana", "sshd"};

static void the_last_failure_locks_out_for_its_time(void **state)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;
        uint64_t now = 1000 * MINUTE;

        assert_ok(kb_lockout_new(&l));
        assert_int_equal(kb_lockout_until(l, &ana, now), 0);
        assert_false(kb_lockout_fail(l, &policy, &ana, now));
        assert_false(kb_lockout_fail(l, &policy, &ana, now + 1));
        assert_int_equal(kb_lockout_until(l, &ana, now + 2), 0);
        assert_true(kb_lockout_fail(l, &policy, &ana, now + 2));
        assert_int_equal(kb_lockout_until(l, &ana, now + 2), now + 2 + 5 * MINUTE);
        assert_int_equal(kb_lockout_until(l, &ana, now + 1 + 5 * MINUTE), now + 2 + 5 * MINUTE);
        assert_int_equal(kb_lockout_until(l, &ana, now + 2 + 5 * MINUTE), 0);
}

static void each_part_of_the_key_counts_for_itself(void **state)
{
        static const struct kb_lockout_key others[] = {
                {"other", "ana", "sshd"}, {"host", "bea", "sshd"}, {"host", "ana", "sudo"},
                {"", "ana", "sshd"},      {NULL, "ana", "sshd"},   {"hostana", "", "sshd"},
                {"host", "anasshd", ""},
        };
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;

        assert_ok(kb_lockout_new(&l));
        for (unsigned i = 0; i < 3; i++)
                kb_lockout_fail(l, &policy, &ana, MINUTE);
        assert_true(kb_lockout_until(l, &ana, MINUTE) > 0);
        for (size_t i = 0; i < KB_ARRAY_SIZE(others); i++)
                assert_int_equal(kb_lockout_until(l, &others[i], MINUTE), 0);
}

static void what_lies_further_apart_does_not_add_up(void **state)
{
        static const struct {
                uint64_t step;
                bool locks;
        } table[] = {{1, true}, {5 * MINUTE, true}, {5 * MINUTE + 1, false}, {11 * MINUTE, false}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;
                bool locked = false;

                assert_ok(kb_lockout_new(&l));
                for (unsigned k = 0; k < 3; k++)
                        locked = kb_lockout_fail(l, &policy, &ana, MINUTE + k * table[i].step);
                assert_int_equal(locked, table[i].locks);
        }
}

/* Nor may a clock that was ahead, and is put right, lock somebody out for the difference. */
static void a_clock_that_goes_back_makes_no_lockout_longer(void **state)
{
        static const struct kb_lockout_key bea = {"host", "bea", "sshd"};
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;
        uint64_t now = 1000 * MINUTE;

        assert_ok(kb_lockout_new(&l));
        for (unsigned i = 0; i < 3; i++)
                kb_lockout_fail(l, &policy, &ana, now);
        kb_lockout_fail(l, &policy, &bea, now);
        now -= 60 * MINUTE;
        assert_int_equal(kb_lockout_until(l, &ana, now), now + 5 * MINUTE);
        assert_int_equal(kb_lockout_until(l, &ana, now + 4 * MINUTE), now + 5 * MINUTE);
        assert_int_equal(kb_lockout_until(l, &ana, now + 5 * MINUTE), 0);
        assert_false(kb_lockout_fail(l, &policy, &bea, now)); /* and what was counted counts */
        assert_true(kb_lockout_fail(l, &policy, &bea, now));
        kb_lockout_pass(l, &ana, 0); /* a clock that has lost its battery */
        assert_true(kb_lockout_until(l, &ana, 0) <= 5 * MINUTE);
}

static void the_right_answer_forgets(void **state)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;

        assert_ok(kb_lockout_new(&l));
        assert_false(kb_lockout_pass(l, &ana, MINUTE));
        kb_lockout_fail(l, &policy, &ana, MINUTE);
        kb_lockout_fail(l, &policy, &ana, MINUTE);
        assert_true(kb_lockout_pass(l, &ana, MINUTE));
        assert_false(kb_lockout_fail(l, &policy, &ana, MINUTE));
}

static void nobody_is_locked_out_when_that_is_switched_off(void **state)
{
        const struct kb_lockout_policy off = {.attempts = 0, .window = MINUTE, .usec = MINUTE};
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;

        assert_ok(kb_lockout_new(&l));
        for (unsigned i = 0; i < 100; i++)
                assert_false(kb_lockout_fail(l, &off, &ana, MINUTE));
        assert_int_equal(kb_lockout_until(l, &ana, MINUTE), 0);
}

static void the_right_answer_does_not_end_a_lock(void **state)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;

        assert_ok(kb_lockout_new(&l));
        for (unsigned i = 0; i < 3; i++)
                kb_lockout_fail(l, &policy, &ana, MINUTE);
        assert_false(kb_lockout_pass(l, &ana, MINUTE));
        assert_int_equal(kb_lockout_until(l, &ana, MINUTE), 6 * MINUTE);
        assert_true(kb_lockout_pass(l, &ana, 6 * MINUTE));
}

static void fail_from_hosts(struct kb_lockout *l, const struct kb_lockout_policy *p, unsigned first,
                            unsigned n, uint64_t now)
{
        char host[16];
        const struct kb_lockout_key key = {.remote_host = host, .user = "ana", .service = "sshd"};

        for (unsigned i = first; i < first + n; i++) {
                snprintf(host, sizeof(host), "%u", i);
                kb_lockout_fail(l, p, &key, now + i);
        }
}

/* More hosts than there are counters: the last ones are known, and memory stays what it is. */
static void a_crowd_makes_room_from_the_oldest_on(void **state)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;
        const struct kb_lockout_policy twice = {.attempts = 2, .window = 10 * MINUTE, .usec = MINUTE};
        char host[16];
        struct kb_lockout_key key = {.remote_host = host, .user = "ana", .service = "sshd"};

        assert_ok(kb_lockout_new(&l));
        fail_from_hosts(l, &twice, 0, 4196, MINUTE);
        for (unsigned i = 4196; i-- > 99;) { /* the rest would make room in turn */
                snprintf(host, sizeof(host), "%u", i);
                assert_int_equal(kb_lockout_fail(l, &twice, &key, 2 * MINUTE + i), i >= 100);
        }
}

/* Whoever guesses from thousands of places neither gets the first of them free, nor one that counts nothing.
 */
static void no_crowd_ends_a_lock_or_guesses_uncounted(void **state)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;
        const struct kb_lockout_policy once = {.attempts = 1, .window = MINUTE, .usec = 10 * MINUTE};
        const struct kb_lockout_key fresh = {"fresh", "ana", "sshd"}, bea = {"fresh", "bea", "sshd"};
        char host[16];
        struct kb_lockout_key key = {.remote_host = host, .user = "ana", .service = "sshd"};

        assert_ok(kb_lockout_new(&l));
        fail_from_hosts(l, &once, 0, 4096, MINUTE);
        assert_int_equal(kb_lockout_until(l, &fresh, 2 * MINUTE), 0);
        for (unsigned i = 0; i < 2; i++)
                assert_false(kb_lockout_fail(l, &policy, &fresh, 2 * MINUTE));
        fail_from_hosts(l, &policy, 5000, 1, 2 * MINUTE); /* a third place, and the same count */
        assert_int_equal(kb_lockout_until(l, &fresh, 3 * MINUTE), 2 * MINUTE + 5000 + 5 * MINUTE);
        assert_int_equal(kb_lockout_until(l, &bea, 3 * MINUTE), 0);
        for (unsigned i = 0; i < 4096; i++) {
                snprintf(host, sizeof(host), "%u", i);
                assert_int_equal(kb_lockout_until(l, &key, 3 * MINUTE), MINUTE + i + 10 * MINUTE);
        }
        assert_int_equal(kb_lockout_until(l, &fresh, 12 * MINUTE), 0); /* there is room again */
        assert_false(kb_lockout_fail(l, &policy, &fresh, 12 * MINUTE));
}

static void counters_come_back_as_they_were(void **state)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL, *other = NULL;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_LOCKOUT_BYTES_MAX);

        assert_ok(kb_lockout_new(&l));
        assert_ok(kb_lockout_new(&other));
        for (unsigned i = 0; i < 3; i++)
                kb_lockout_fail(l, &policy, &ana, MINUTE);
        kb_lockout_put(l, &w);
        assert_ok(kb_writer_end(&w));
        for (size_t cut = 0; cut < w.size; cut++)
                assert_int_equal(kb_lockout_get(other, KB_SPAN(w.data, cut)), -EBADMSG);
        assert_int_equal(kb_lockout_until(other, &ana, MINUTE), 0);
        assert_ok(kb_lockout_get(other, KB_SPAN(w.data, w.size)));
        assert_int_equal(kb_lockout_until(other, &ana, MINUTE), 6 * MINUTE);
        w.data[0] ^= 0xff; /* the format */
        assert_int_equal(kb_lockout_get(other, KB_SPAN(w.data, w.size)), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_last_failure_locks_out_for_its_time),
                cmocka_unit_test(each_part_of_the_key_counts_for_itself),
                cmocka_unit_test(what_lies_further_apart_does_not_add_up),
                cmocka_unit_test(a_clock_that_goes_back_makes_no_lockout_longer),
                cmocka_unit_test(the_right_answer_forgets),
                cmocka_unit_test(nobody_is_locked_out_when_that_is_switched_off),
                cmocka_unit_test(the_right_answer_does_not_end_a_lock),
                cmocka_unit_test(a_crowd_makes_room_from_the_oldest_on),
                cmocka_unit_test(no_crowd_ends_a_lock_or_guesses_uncounted),
                cmocka_unit_test(counters_come_back_as_they_were),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
