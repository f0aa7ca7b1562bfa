/* SPDX-License-Identifier: Apache-2.0 */
/* Logins under way: a handle that cannot be guessed, and an end to everything. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/clock.h"
#include "helper/broker/attempts.h"

#define LATER (600 * KB_USEC_PER_SEC)

static void a_handle_finds_its_attempt_until_its_time_is_over(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a, *b;
        char handle[KB_ATTEMPT_HANDLE_SIZE];

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 0, 1000, &a));
        assert_ok(kb_attempt_begin(t, 0, 1000, &b));
        assert_int_equal(strlen(a->handle), KB_ATTEMPT_HANDLE_SIZE - 1);
        assert_true(kb_name_word_valid(a->handle)); /* the module takes no other */
        assert_string_not_equal(a->handle, b->handle);
        assert_ptr_equal(kb_attempt_find(t, a->handle, 2000), a);
        assert_null(kb_attempt_find(t, "", 2000));
        assert_null(kb_attempt_find(t, "00000000000000000000000000000000", 2000));
        assert_ptr_equal(kb_attempt_find(t, a->handle, LATER), a); /* which gives it time again */
        assert_ptr_equal(kb_attempt_find(t, a->handle, LATER + LATER - 1), a);
        assert_null(kb_attempt_find(t, b->handle, 1000 + LATER));
        memcpy(handle, a->handle, sizeof(handle));
        kb_attempt_end(t, a);
        assert_null(kb_attempt_find(t, handle, LATER));
        kb_attempt_end(t, NULL);
}

static void what_is_being_checked_is_not_forgotten(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a, *b;

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 0, 0, &a));
        a->busy = true;
        assert_ok(kb_attempt_begin(t, 0, 2 * LATER, &b));
        assert_ptr_equal(kb_attempt_find(t, a->handle, 2 * LATER), a);
}

static void a_full_table_takes_no_more_until_some_are_over(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a;

        assert_ok(kb_attempts_new(&t));
        for (unsigned i = 0; i < KB_ATTEMPTS_MAX; i++)
                assert_ok(kb_attempt_begin(t, 0, 0, &a));
        assert_int_equal(kb_attempt_begin(t, 0, LATER - 1, &a), -EBUSY);
        assert_ok(kb_attempt_begin(t, 0, LATER, &a));
}

static void a_crowd_that_is_not_root_leaves_room_for_root(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a;
        unsigned n = 0;

        assert_ok(kb_attempts_new(&t));
        while (kb_attempt_begin(t, 1000 + n, 0, &a) == 0)
                n++;
        assert_int_equal(n, KB_ATTEMPTS_MAX / 4);
        assert_ok(kb_attempt_begin(t, 0, 0, &a));
        assert_int_equal(a->caller, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_handle_finds_its_attempt_until_its_time_is_over),
                cmocka_unit_test(what_is_being_checked_is_not_forgotten),
                cmocka_unit_test(a_full_table_takes_no_more_until_some_are_over),
                cmocka_unit_test(a_crowd_that_is_not_root_leaves_room_for_root),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
