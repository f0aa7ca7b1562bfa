/* SPDX-License-Identifier: Apache-2.0 */
/* The last good answers: bounded in age, number and size. */
#include "tests/unit/test.h"

#include <errno.h>

#include "helper/grant/cache.h"

#define HOUR (3600 * KB_USEC_PER_SEC)

static struct kb_cache *cache_of(size_t entries, size_t bytes)
{
        struct kb_cache *cache = NULL;

        assert_ok(kb_cache_new(&cache, entries, bytes));
        return cache;
}

static bool has(struct kb_cache *cache, const char *key, uint64_t now, const char *expected)
{
        struct kb_span answer;
        uint64_t age;

        if (!kb_cache_get(cache, key, now, HOUR, &answer, &age))
                return false;
        assert_true(kb_secret_equal(answer, KB_SPAN_STRING(expected)));
        return true;
}

static void an_answer_is_there_until_it_is_too_old(void **state)
{
        _cleanup_(kb_cache_freep) struct kb_cache *cache = cache_of(10, 1000);
        struct kb_span answer;
        uint64_t age;

        assert_ok(kb_cache_put(cache, "a", KB_SPAN_STRING("one"), 100, HOUR));
        assert_false(has(cache, "b", 100, ""));
        assert_true(kb_cache_get(cache, "a", 100 + HOUR - 1, HOUR, &answer, &age));
        assert_true(age == HOUR - 1);
        assert_ok(kb_cache_put(cache, "a", KB_SPAN_STRING("two"), 200, HOUR));
        assert_true(has(cache, "a", 100 + HOUR, "two"));
        assert_false(has(cache, "a", 200 + HOUR, ""));
        assert_false(has(cache, "a", 200, "")); /* wiped, not only hidden */
}

static void a_file_that_allows_less_by_now_counts(void **state)
{
        _cleanup_(kb_cache_freep) struct kb_cache *cache = cache_of(10, 1000);
        struct kb_span answer;
        uint64_t age;

        assert_ok(kb_cache_put(cache, "a", KB_SPAN_STRING("one"), 0, HOUR));
        assert_true(kb_cache_get(cache, "a", HOUR / 2, HOUR * 2, &answer, &age));
        assert_false(kb_cache_get(cache, "a", HOUR / 2, HOUR / 2, &answer, &age));
}

static void a_store_that_says_no_is_believed(void **state)
{
        _cleanup_(kb_cache_freep) struct kb_cache *cache = cache_of(10, 1000);

        assert_ok(kb_cache_put(cache, "a", KB_SPAN_STRING("one"), 0, HOUR));
        kb_cache_drop(cache, "a");
        kb_cache_drop(cache, "a");
        assert_false(has(cache, "a", 0, ""));
}

static void the_oldest_goes_when_there_is_no_room(void **state)
{
        _cleanup_(kb_cache_freep) struct kb_cache *few = cache_of(2, 1000);
        _cleanup_(kb_cache_freep) struct kb_cache *small = cache_of(10, 8);
        _cleanup_(kb_cache_freep) struct kb_cache *none = cache_of(0, 8);

        assert_ok(kb_cache_put(few, "a", KB_SPAN_STRING("1"), 1, HOUR));
        assert_ok(kb_cache_put(few, "b", KB_SPAN_STRING("2"), 2, HOUR));
        assert_ok(kb_cache_put(few, "a", KB_SPAN_STRING("3"), 3, HOUR)); /* a is the younger one now */
        assert_ok(kb_cache_put(few, "c", KB_SPAN_STRING("4"), 4, HOUR));
        assert_true(has(few, "a", 4, "3") && has(few, "c", 4, "4") && !has(few, "b", 4, ""));

        assert_ok(kb_cache_put(small, "a", KB_SPAN_STRING("1234"), 1, HOUR));
        assert_ok(kb_cache_put(small, "b", KB_SPAN_STRING("5678"), 2, HOUR));
        assert_ok(kb_cache_put(small, "c", KB_SPAN_STRING("9"), 3, HOUR));
        assert_true(!has(small, "a", 3, "") && has(small, "b", 3, "5678") && has(small, "c", 3, "9"));
        assert_int_equal(kb_cache_put(small, "c", KB_SPAN_STRING("123456789"), 4, HOUR), -EMSGSIZE);
        assert_false(has(small, "c", 4, "")); /* the old one is not the answer any more */
        assert_true(has(small, "b", 4, "5678"));
        assert_int_equal(kb_cache_put(none, "a", KB_SPAN_STRING("1"), 1, HOUR), -EMSGSIZE);
}

static void what_is_over_is_wiped_in_time(void **state)
{
        _cleanup_(kb_cache_freep) struct kb_cache *cache = cache_of(10, 1000);

        assert_true(kb_cache_expire(cache, 0) == KB_TIME_NEVER);
        assert_ok(kb_cache_put(cache, "a", KB_SPAN_STRING("1"), 0, 3 * HOUR));
        assert_ok(kb_cache_put(cache, "b", KB_SPAN_STRING("2"), 0, HOUR));
        assert_ok(kb_cache_put(cache, "c", KB_SPAN_STRING("3"), 0, 2 * HOUR));
        assert_true(kb_cache_expire(cache, 0) == HOUR);
        assert_true(kb_cache_expire(cache, HOUR) == 2 * HOUR);
        assert_false(has(cache, "b", 0, ""));
        assert_true(has(cache, "c", 0, "3"));
        assert_true(kb_cache_expire(cache, 3 * HOUR) == KB_TIME_NEVER);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_is_there_until_it_is_too_old),
                cmocka_unit_test(a_file_that_allows_less_by_now_counts),
                cmocka_unit_test(a_store_that_says_no_is_believed),
                cmocka_unit_test(the_oldest_goes_when_there_is_no_room),
                cmocka_unit_test(what_is_over_is_wiped_in_time),
        };

        return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
