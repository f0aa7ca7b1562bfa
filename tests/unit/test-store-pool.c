/* SPDX-License-Identifier: Apache-2.0 */
/* What stores share: a pool that answers in time or refuses at once, and answers that are given again. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/clock.h"
#include "helper/server/pool.h"
#include "helper/store/recent.h"

#define THREADS   2
#define WORK_USEC (2 * KB_USEC_PER_MSEC)

struct crowd {
        uint64_t deadline;
        unsigned done, busy, cancelled;
        atomic_uint worked, late;
};

static int work(void *userdata)
{
        struct crowd *c = userdata;

        c->late += kb_now_monotonic() > c->deadline;
        usleep(WORK_USEC);
        c->worked++;
        return 7;
}

static void on_done(int result, void *userdata)
{
        struct crowd *c = userdata;

        if (result == 7)
                c->done++;
        else if (result == -EAGAIN)
                c->busy++;
        else if (result == -ECANCELED)
                c->cancelled++;
}

static void a_thousand_at_once_are_answered_or_refused_in_time(void **state)
{
        struct kb_pool *p = NULL;
        sd_event *event = NULL;
        struct crowd c = {.deadline = kb_now_monotonic() + 300 * KB_USEC_PER_MSEC};
        const struct kb_job job = {work, on_done, &c};
        unsigned refused = 0;

        assert_ok(sd_event_new(&event));
        assert_ok(kb_pool_new(&p, event, THREADS, 10));
        for (unsigned i = 0; i < 1000; i++) {
                int r = kb_pool_submit(p, &job, kb_now_monotonic(), c.deadline);

                assert_true(r == 0 || r == -EAGAIN);
                refused += r == -EAGAIN;
                assert_ok(sd_event_run(event, i % 8 == 0 ? 1000 : 0));
        }
        while (kb_pool_pending(p) > 0)
                assert_ok(sd_event_run(event, UINT64_MAX));
        assert_int_equal(c.done + c.busy + refused, 1000);
        assert_int_equal(c.worked, c.done);
        assert_true(c.done > 0 && refused + c.busy > 100);
        assert_true(c.late <= THREADS); /* which were held up when they had looked at the time */
        kb_pool_free(p);
        sd_event_unref(event);
}

static void what_waits_when_the_pool_ends_is_told(void **state)
{
        struct kb_pool *p = NULL;
        sd_event *event = NULL;
        struct crowd c = {.deadline = KB_TIME_NEVER};
        const struct kb_job job = {work, on_done, &c};

        assert_ok(sd_event_new(&event));
        assert_ok(kb_pool_new(&p, event, 1, 10));
        for (unsigned i = 0; i < 50; i++)
                assert_ok(kb_pool_submit(p, &job, 0, KB_TIME_NEVER));
        kb_pool_free(p);
        assert_int_equal(c.done + c.cancelled, 50);
        assert_true(c.cancelled > 0);
        sd_event_unref(event);
}

static void the_oldest_answers_are_forgotten_first(void **state)
{
        _cleanup_(kb_recent_freep) struct kb_recent *r = NULL;

        assert_ok(kb_recent_new(&r, 2));
        assert_ok(kb_recent_put(r, "a", "kv/x", "1"));
        assert_ok(kb_recent_put(r, "b", "kv/x", "2"));
        assert_string_equal(kb_recent_find(r, "a", "kv/x"), "1");
        assert_null(kb_recent_find(r, "a", "kv/y"));
        assert_ok(kb_recent_put(r, "", "kv/x", "3"));
        assert_null(kb_recent_find(r, "", "kv/x"));
        assert_ok(kb_recent_put(r, "c", "kv/x", "3"));
        assert_null(kb_recent_find(r, "a", "kv/x"));
        assert_string_equal(kb_recent_find(r, "b", "kv/x"), "2");
        assert_string_equal(kb_recent_find(r, "c", "kv/x"), "3");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_thousand_at_once_are_answered_or_refused_in_time),
                cmocka_unit_test(the_oldest_answers_are_forgotten_first),
                cmocka_unit_test(what_waits_when_the_pool_ends_is_told),
        };

        return cmocka_run_group_tests_name("store-pool", tests, NULL, NULL);
}
