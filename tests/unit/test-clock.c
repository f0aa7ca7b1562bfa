/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody sets the clock: it is noticed, and what is good by the time of day only is replaced. */
#include "tests/unit/world.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "helper/broker/clock_watch.h"

#define HOUR (3600 * (int64_t)SEC)

#define TLS                                                                                                 \
        "[Credential]\nPath=pki/issue/web\n[Allow]\nUnit=orders.service\n"                                  \
        "[Rotation]\nOnRotate=reload\nOverlap=10s\n"

/* --- the kernel's part: what it would make readable is in our hands --- */

static int timer_fd = -1, create_fails, settime_fails;

int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
        assert_int_equal(clock, CLOCK_REALTIME);
        if (create_fails) {
                errno = create_fails;
                return -1;
        }
        timer_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return timer_fd;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
        assert_int_equal(flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
        errno = settime_fails;
        return settime_fails ? -1 : 0;
}

/* The clock is set, and the watch looks. */
static void set_clock(int64_t usec)
{
        world_set_clock(usec);
        assert_ok(eventfd_write(timer_fd, 1));
        assert_ok(sd_event_run(broker.event, 0));
}

static int64_t told;
static unsigned times;

static void on_set(int64_t ahead, void *userdata)
{
        told = ahead;
        times++;
}

static void the_watch_tells_how_far_the_clock_was_set(void **state)
{
        static const struct {
                int64_t by, told;
        } table[] = {
                {HOUR, HOUR}, {-HOUR, -HOUR}, {4 * (int64_t)SEC, 0}, {4 * (int64_t)SEC, 8 * (int64_t)SEC},
                {0, 0},
        };
        _cleanup_(kb_clock_watch_freep) struct kb_clock_watch *w = NULL;

        assert_ok(kb_clock_watch_new(&w, broker.event, on_set, NULL));
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                told = 0;
                set_clock(table[i].by);
                assert_int_equal(told, table[i].told);
        }
        assert_int_equal(times, 3);
}

static void a_watch_that_cannot_be_made_says_so(void **state)
{
        struct kb_clock_watch *w = NULL;

        world_faults.memory = 1;
        assert_int_equal(kb_clock_watch_new(&w, broker.event, on_set, NULL), -ENOMEM);
        create_fails = EMFILE;
        assert_int_equal(kb_clock_watch_new(&w, broker.event, on_set, NULL), -EMFILE);
        create_fails = 0;
        settime_fails = EINVAL;
        assert_int_equal(kb_clock_watch_new(&w, broker.event, on_set, NULL), -EINVAL);
        settime_fails = 0;
        assert_null(w);
}

/* --- grants --- */

static int begin(void **state)
{
        world_begin();
        world_define("web-tls", TLS);
        return 0;
}

static int end(void **state)
{
        world_end();
        return 0;
}

/* As the broker does; and long enough for all to be looked at again. */
static void clock_is_set(int64_t by)
{
        world_set_clock(by);
        kb_grants_follow_clock(broker.grants);
        world_pass(0);
        world_pass(10 * SEC);
}

/* The second lease comes, and takes the first one's place. */
static void see_through(const char *lease)
{
        FETCHED(lease, 3600, "password", lease);
        world_commit();
        world_facts(0, false);
        world_job(0);
        world_pass(11 * SEC);
        world_commit();
        world_revoked();
        world_commit();
        assert_string_equal(world_file("web-tls.password"), lease);
        world_trace();
}

static void a_certificate_is_replaced_once_when_the_clock_is_set(void **state)
{
        static const int64_t table[] = {HOUR, -HOUR};

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                world_issue("web-tls", "L1", 3600, "one");
                clock_is_set(table[i]);
                assert_string_equal(world_trace(), "fetch pki/issue/web");
                see_through("L2");
                world_pass(120 * SEC);
                assert_string_equal(world_trace(), "");
                end(NULL);
                begin(NULL);
        }
}

static void what_is_not_by_the_time_of_day_stays(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        clock_is_set(4 * (int64_t)SEC); /* nobody's certificate is that exact */
        assert_string_equal(world_trace(), "");
        world_define("kept", "[Credential]\nPath=kv/kept\n[Allow]\nUnit=orders.service\n");
        world_define("lent",
                     "[Credential]\nPath=pki/issue/lent\nStrategy=lazy\n[Allow]\nUnit=orders.service\n");
        world_issue("kept", "kv/kept@1", 0, "for ever");
        world_issue("lent", "L2", 3600, "until it ends");
        kb_grants_end(world_held("web-tls"));
        world_commit();
        world_revoked();
        world_commit();
        world_renewable = true;
        world_issue("web-tls", "L3", 3600, "one"); /* by the store's own clock */
        clock_is_set(HOUR);
        assert_string_equal(world_trace(), "");
}

/* It is not lost: once its turn is over, it is seen that the new one is by the wrong clock, too. */
static void a_clock_that_is_set_during_a_rotation_is_followed_after_it(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, false);
        world_set_clock(HOUR);
        kb_grants_follow_clock(broker.grants);
        world_pass(0);
        world_job(0);
        world_pass(11 * SEC);
        world_commit();
        world_revoked();
        world_commit();
        world_trace();
        world_pass(30 * SEC);
        world_pass(10 * SEC);
        assert_string_equal(world_trace(), "fetch pki/issue/web");
        see_through("L3");
}

static void a_store_that_is_away_is_asked_again_later(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        clock_is_set(-HOUR);
        assert_string_equal(world_trace(), "fetch pki/issue/web");
        world_fail(KB_E_UNREACHABLE, "no store");
        world_commit();
        world_trace();
        while (world_calls() == 0)
                world_pass(10 * SEC);
        world_commit();
        world_trace();
        see_through("L2");
}

/* The log has the time of day only. */
static void a_broker_that_starts_with_a_clock_that_went_back_replaces_it(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_set_clock(-HOUR);
        world_die_and_start();
        world_pass(10 * SEC);
        assert_string_equal(world_trace(), "fetch pki/issue/web");
        see_through("L2");
}

/* An hour more would be an hour in which nobody renews it. */
static void a_clock_that_went_back_lets_no_lease_live_longer(void **state)
{
        world_define("web-tls", TLS "[Credential]\nStrategy=lazy\n");
        world_issue("web-tls", "L1", 3600, "one");
        world_set_clock(-HOUR);
        world_die_and_start();
        world_trace();
        world_pass(3601 * SEC);
        world_commit();
        assert_string_equal(world_trace(), "grant-expired L1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(the_watch_tells_how_far_the_clock_was_set),
                TEST(a_watch_that_cannot_be_made_says_so),
                TEST(a_certificate_is_replaced_once_when_the_clock_is_set),
                TEST(what_is_not_by_the_time_of_day_stays),
                TEST(a_clock_that_is_set_during_a_rotation_is_followed_after_it),
                TEST(a_store_that_is_away_is_asked_again_later),
                TEST(a_broker_that_starts_with_a_clock_that_went_back_replaces_it),
                TEST(a_clock_that_went_back_lets_no_lease_live_longer),
        };

        return cmocka_run_group_tests(tests, world_make, world_remove);
}
