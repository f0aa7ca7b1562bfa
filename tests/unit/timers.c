/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/timers.h"

#include <systemd/sd-event.h>

#include "common/macro.h"
#include "tests/unit/test.h"

static struct timer {
        sd_event_source *source;
        sd_event_time_handler_t handler;
        void *userdata;
} timers[64];
static unsigned n_timers;

int __real_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t handler, void *userdata);
int __wrap_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t handler, void *userdata);
int __wrap_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t handler, void *userdata)
{
        assert_ok(__real_sd_event_add_time(e, ret, clock, usec, accuracy, handler, userdata));
        assert_true(n_timers < KB_ARRAY_SIZE(timers));
        timers[n_timers++] = (struct timer){*ret, handler, userdata};
        return 0;
}

sd_event_source *__real_sd_event_source_disable_unref(sd_event_source *s);
sd_event_source *__wrap_sd_event_source_disable_unref(sd_event_source *s);
sd_event_source *__wrap_sd_event_source_disable_unref(sd_event_source *s)
{
        for (unsigned i = 0; i < n_timers; i++)
                if (timers[i].source == s)
                        timers[i] = timers[--n_timers];
        return __real_sd_event_source_disable_unref(s);
}

bool timers_fire(uint64_t now)
{
        for (unsigned i = 0; i < n_timers; i++) {
                struct timer t = timers[i];
                uint64_t at;
                int on;

                assert_ok(sd_event_source_get_enabled(t.source, &on));
                assert_ok(sd_event_source_get_time(t.source, &at));
                if (on == SD_EVENT_OFF || at > now)
                        continue;
                assert_ok(sd_event_source_set_enabled(t.source, SD_EVENT_OFF));
                t.handler(t.source, at, t.userdata);
                return true;
        }
        return false;
}
