/* SPDX-License-Identifier: Apache-2.0 */
/* Grants when memory runs out: the store is not asked for what could not be kept. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/grant/cache.h"
#include "helper/grant/fields.h"
#include "helper/grant/grant.h"
#include "helper/grant/sdcred.h"

static unsigned countdown; /* the how-manieth allocation fails; 0: none */

static bool fails(void)
{
        return countdown > 0 && --countdown == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
        return fails() ? NULL : __real_realloc(p, size);
}

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
        return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
        return fails() ? NULL : __real_strdup(s);
}

static const struct kb_grant_who who = {"orders.service", "invocation", "orders-db", "local"};
static const struct kb_grant_policy policy = {.renews = true, .rotates = true, .renew_at = 0.5};

static void a_grant_is_made_whole_or_not_at_all(void **state)
{
        struct kb_grant g;

        for (unsigned nth = 1; nth <= 4; nth++) {
                countdown = nth;
                assert_int_equal(kb_grant_init(&g, &who, &policy, 1, 0), -ENOMEM);
        }
        assert_ok(kb_grant_init(&g, &who, &policy, 1, 0));
        kb_grant_done(&g);
}

static void without_memory_the_store_is_not_asked_and_with_a_lease_in_hand_none_is_needed(void **state)
{
        const struct kb_lease_answer answer = {.id = "lease", .ttl = 60};
        _cleanup_grant_ struct kb_grant g;
        struct kb_grant_step step;

        assert_ok(kb_grant_init(&g, &who, &policy, 1, 0));
        step = kb_grant_next(&g, 0);
        countdown = 1;
        assert_int_equal(kb_grant_begin(&g, &step), -ENOMEM);
        kb_grant_defer(&g, KB_USEC_PER_SEC);
        assert_true(kb_grant_next(&g, 0).at == KB_USEC_PER_SEC);
        step = kb_grant_next(&g, KB_USEC_PER_SEC);
        assert_ok(kb_grant_begin(&g, &step));
        countdown = 1; /* what shrinks the lease may fail */
        kb_grant_on_fetched(&g, KB_USEC_PER_SEC, KB_E_OK, &answer);
        countdown = 0;
        assert_string_equal(kb_grant_newest(&g)->id, "lease");
}

static void a_restored_lease_is_there_or_it_is_said(void **state)
{
        const struct kb_lease_answer answer = {.id = "lease", .ttl = 60};
        _cleanup_grant_ struct kb_grant g;

        assert_ok(kb_grant_init(&g, &who, &policy, 1, 0));
        countdown = 1;
        assert_int_equal(kb_grant_restore(&g, 0, KB_LEASE_CURRENT, false, &answer, 60), -ENOMEM);
        assert_null(g.leases);
}

static void an_entry_that_finds_no_room_is_not_in_the_queue(void **state)
{
        struct kb_queue_entry entry = {};
        struct kb_queue q = {};

        countdown = 1;
        assert_int_equal(kb_queue_set(&q, &entry, 1), -ENOMEM);
        assert_int_equal(entry.place, 0);
        assert_ok(kb_queue_set(&q, &entry, 1));
        kb_queue_done(&q);
}

static void fields_are_copied_whole_or_not_at_all(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1024);
        struct kb_fields *fields = NULL;
        struct kb_fields_problem problem;

        kb_list_add_text(&b, "username", "orders");
        kb_list_add_text(&b, "password", "secret");
        for (unsigned nth = 1; nth <= 4; nth++) {
                countdown = nth;
                assert_int_equal(kb_fields_new(kb_list_built(&b), NULL, 0, &fields, &problem), -ENOMEM);
                assert_string_equal(problem.text, "out of memory");
                assert_null(fields);
        }
        assert_ok(kb_fields_new(kb_list_built(&b), NULL, 0, &fields, NULL));
        kb_fields_free(fields);
}

static void an_answer_that_finds_no_room_is_not_kept_and_neither_is_the_old_one(void **state)
{
        _cleanup_(kb_cache_freep) struct kb_cache *cache = NULL;
        struct kb_span answer;
        uint64_t age;

        countdown = 1;
        assert_int_equal(kb_cache_new(&cache, 10, 100), -ENOMEM);
        assert_ok(kb_cache_new(&cache, 10, 100));
        for (unsigned nth = 1; nth <= 2; nth++) {
                assert_ok(kb_cache_put(cache, "a", KB_SPAN_STRING("old"), 0, 10));
                countdown = nth;
                assert_int_equal(kb_cache_put(cache, "a", KB_SPAN_STRING("new"), 0, 10), -ENOMEM);
                assert_false(kb_cache_get(cache, "a", 0, 10, &answer, &age));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_grant_is_made_whole_or_not_at_all),
                cmocka_unit_test(
                        without_memory_the_store_is_not_asked_and_with_a_lease_in_hand_none_is_needed),
                cmocka_unit_test(a_restored_lease_is_there_or_it_is_said),
                cmocka_unit_test(an_entry_that_finds_no_room_is_not_in_the_queue),
                cmocka_unit_test(an_answer_that_finds_no_room_is_not_kept_and_neither_is_the_old_one),
                cmocka_unit_test(fields_are_copied_whole_or_not_at_all),
        };

        return cmocka_run_group_tests_name("grant-memory", tests, NULL, NULL);
}
