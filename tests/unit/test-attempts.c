/* SPDX-License-Identifier: Apache-2.0 */
/* Logins under way: a handle that cannot be guessed, and an end to everything. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/clock.h"
#include "helper/broker/attempts.h"

#define FIRST (180 * KB_USEC_PER_SEC)
#define LATER (600 * KB_USEC_PER_SEC)

static void a_handle_finds_its_attempt_until_its_time_is_over(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a, *b;
        char handle[KB_HANDLE_SIZE];

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 0, 1000, &a));
        assert_ok(kb_attempt_begin(t, 0, 1000, &b));
        assert_int_equal(strlen(a->handle), KB_HANDLE_SIZE - 1);
        assert_true(kb_name_word_valid(a->handle)); /* the module takes no other */
        assert_string_not_equal(a->handle, b->handle);
        assert_null(kb_attempt_find(t, 0, "", 2000));
        assert_null(kb_attempt_find(t, 0, "00000000000000000000000000000000", 2000));
        assert_ptr_equal(kb_attempt_find(t, 0, a->handle, FIRST), a); /* which gives it more time */
        assert_ptr_equal(kb_attempt_find(t, 0, a->handle, FIRST + LATER - 1), a);
        assert_null(kb_attempt_find(t, 0, b->handle, 1000 + FIRST));
        memcpy(handle, a->handle, sizeof(handle));
        kb_attempt_end(t, a);
        assert_null(kb_attempt_find(t, 0, handle, FIRST));
        kb_attempt_end(t, NULL);
}

/* Whoever has read a handle somewhere neither goes on with it nor keeps it alive. */
static void another_uid_finds_nothing_and_gives_no_time(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a;

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 1000, 0, &a));
        assert_null(kb_attempt_find(t, 0, a->handle, FIRST - 1));
        assert_null(kb_attempt_find(t, 1001, a->handle, FIRST - 1));
        assert_null(kb_attempt_find(t, 1000, a->handle, FIRST));
        assert_ok(kb_attempt_begin(t, 1000, 0, &a));
        assert_ptr_equal(kb_attempt_find(t, 1000, a->handle, FIRST - 1), a);
}

static void what_is_being_checked_is_not_forgotten(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a, *b;

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 0, 0, &a));
        a->busy = true;
        assert_ok(kb_attempt_begin(t, 0, 2 * LATER, &b));
        assert_ptr_equal(kb_attempt_find(t, 0, a->handle, 2 * LATER), a);
}

/* Who floods the table throws out the silent: never what is being checked. */
static void a_full_table_lets_the_one_go_that_was_touched_longest_ago(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *first, *busy, *granted, *a;
        char handle[KB_HANDLE_SIZE];

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 0, 0, &busy));
        assert_ok(kb_attempt_begin(t, 0, 0, &granted));
        busy->busy = true;
        granted->stage = KB_ATTEMPT_GRANTED;
        memcpy(handle, granted->handle, sizeof(handle));
        assert_ok(kb_attempt_begin(t, 0, 1, &first));
        for (unsigned i = 3; i < KB_ATTEMPTS_MAX; i++)
                assert_ok(kb_attempt_begin(t, 0, i, &a));
        assert_int_equal(kb_attempt_begin(t, 1000, FIRST - 1, &a), -EBUSY); /* the crowd displaces no root */
        assert_ok(kb_attempt_begin(t, 0, FIRST - 1, &a));                   /* whose session never came */
        assert_null(kb_attempt_find(t, 0, handle, FIRST - 1));
        assert_ptr_equal(kb_attempt_find(t, 0, first->handle, FIRST - 1), first);
        a->busy = true;
        for (unsigned i = 3; i < KB_ATTEMPTS_MAX; i++) { /* all the others go, one by one */
                assert_ok(kb_attempt_begin(t, 0, FIRST - 1, &a));
                a->busy = true;
        }
        assert_ptr_equal(kb_attempt_find(t, 0, busy->handle, FIRST - 1), busy);
        assert_ptr_equal(kb_attempt_find(t, 0, first->handle, FIRST - 1), first);
        first->busy = true;
        assert_int_equal(kb_attempt_begin(t, 0, FIRST - 1, &a), -EBUSY);
}

static void a_crowd_that_is_not_root_leaves_room_for_root(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a, *first;
        char handle[KB_HANDLE_SIZE];

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 999, 0, &first));
        memcpy(handle, first->handle, sizeof(handle));
        for (unsigned i = 1; i < KB_ATTEMPTS_OF_CROWD; i++)
                assert_ok(kb_attempt_begin(t, 1000 + i, 1, &a));
        for (unsigned i = 0; i < KB_ATTEMPTS_MAX - KB_ATTEMPTS_OF_CROWD; i++) {
                assert_ok(kb_attempt_begin(t, 0, 2, &a));
                a->busy = true;
        }
        assert_ptr_equal(kb_attempt_find(t, 999, handle, 2), first);
        first->touched = 0;
        assert_ok(kb_attempt_begin(t, 1000, 2, &a)); /* in the place of one of the crowd */
        assert_null(kb_attempt_find(t, 999, handle, 2));
        assert_ok(kb_attempt_begin(t, 0, 2, &a)); /* and so does root, when all else is busy */
}

static void one_of_the_crowd_takes_the_places_of_nobody_else(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        struct kb_attempt *a[KB_ATTEMPTS_OF_ONE], *other, *more;
        char handle[KB_HANDLE_SIZE];

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 1001, 0, &other));
        for (unsigned i = 0; i < KB_ATTEMPTS_OF_ONE; i++)
                assert_ok(kb_attempt_begin(t, 1000, 1 + i, &a[i]));
        a[0]->busy = true;
        a[1]->stage = KB_ATTEMPT_GRANTED; /* of a screen unlocked long ago: no use any more */
        memcpy(handle, a[1]->handle, sizeof(handle));
        for (unsigned i = 0; i < 1000; i++)
                assert_ok(kb_attempt_begin(t, 1000, 100, &more));
        assert_null(kb_attempt_find(t, 1000, handle, 100));
        assert_ptr_equal(kb_attempt_find(t, 1000, a[0]->handle, 100), a[0]);
        assert_ptr_equal(kb_attempt_find(t, 1001, other->handle, 100), other);
        for (unsigned i = 1; i < KB_ATTEMPTS_OF_ONE; i++) {
                assert_ok(kb_attempt_begin(t, 1000, 100, &more));
                more->busy = true;
        }
        assert_int_equal(kb_attempt_begin(t, 1000, 100, &more), -EBUSY);
        assert_ok(kb_attempt_begin(t, 1002, 100, &more));
}

/* Programs that ask who somebody is, and open no session, fill no table. */
static void of_one_person_few_wait_for_a_session(void **state)
{
        _cleanup_(kb_attempts_freep) struct kb_attempts *t = NULL;
        char handles[KB_ATTEMPTS_OF_NAME][KB_HANDLE_SIZE];
        struct kb_attempt *a, *asked, *other;

        assert_ok(kb_attempts_new(&t));
        assert_ok(kb_attempt_begin(t, 0, 0, &asked)); /* account is still to come: it is needed */
        snprintf(asked->user, sizeof(asked->user), "ana");
        asked->stage = KB_ATTEMPT_GRANTED;
        assert_ok(kb_attempt_begin(t, 0, 0, &other));
        snprintf(other->user, sizeof(other->user), "bea");
        kb_attempt_let_in(t, other);
        for (unsigned i = 0; i < KB_ATTEMPTS_OF_NAME; i++) {
                assert_ok(kb_attempt_begin(t, 0, 10 + i, &a));
                snprintf(a->user, sizeof(a->user), "ana");
                memcpy(handles[i], a->handle, sizeof(handles[i]));
                kb_attempt_let_in(t, a);
                kb_attempt_let_in(t, a); /* twice is once */
        }
        for (unsigned i = 0; i < KB_ATTEMPTS_OF_NAME; i++)
                assert_non_null(kb_attempt_find(t, 0, handles[i], 20 + i));
        assert_ok(kb_attempt_begin(t, 0, 100, &a));
        snprintf(a->user, sizeof(a->user), "ana");
        kb_attempt_let_in(t, a);
        assert_null(kb_attempt_find(t, 0, handles[0], 101));
        assert_non_null(kb_attempt_find(t, 0, handles[1], 101));
        assert_ptr_equal(kb_attempt_find(t, 0, a->handle, 101), a);
        assert_ptr_equal(kb_attempt_find(t, 0, asked->handle, 101), asked);
        assert_ptr_equal(kb_attempt_find(t, 0, other->handle, 101), other);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_handle_finds_its_attempt_until_its_time_is_over),
                cmocka_unit_test(another_uid_finds_nothing_and_gives_no_time),
                cmocka_unit_test(what_is_being_checked_is_not_forgotten),
                cmocka_unit_test(a_full_table_lets_the_one_go_that_was_touched_longest_ago),
                cmocka_unit_test(a_crowd_that_is_not_root_leaves_room_for_root),
                cmocka_unit_test(of_one_person_few_wait_for_a_session),
                cmocka_unit_test(one_of_the_crowd_takes_the_places_of_nobody_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
