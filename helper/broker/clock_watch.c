/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/clock_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"

struct kb_clock_watch {
        int fd;
        sd_event_source *source;
        uint64_t offset; /* as it was last told of */
        kb_clock_set set;
        void *userdata;
};

uint64_t kb_clock_offset(void)
{
        return kb_now_realtime() - kb_now_boottime();
}

bool kb_clock_same(uint64_t one, uint64_t other)
{
        return (one > other ? one - other : other - one) < KB_CLOCK_SLACK_USEC;
}

#define NEVER_SEC (INT64_MAX / 1000000000) /* what the kernel can count in nanoseconds */

/* A timer that never comes: timerfd_create(2) lets it be read whenever the clock is set. */
static int arm(int fd)
{
        const struct itimerspec never = {.it_value.tv_sec = NEVER_SEC};

        return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ? -errno
                                                                                                  : 0;
}

static int on_set(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct kb_clock_watch *w = userdata;
        uint64_t expirations, offset, before = w->offset;

        (void)!read(fd, &expirations, sizeof(expirations)); /* ECANCELED; what counts is the clock itself */
        offset = kb_clock_offset();
        if (!kb_clock_same(offset, before)) {
                w->offset = offset;
                w->set((int64_t)(offset - before), w->userdata);
        }
        return 0;
}

int kb_clock_watch_new(struct kb_clock_watch **ret, sd_event *event, kb_clock_set set, void *userdata)
{
        _cleanup_(kb_clock_watch_freep) struct kb_clock_watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = (struct kb_clock_watch){.set = set, .userdata = userdata};
        w->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (w->fd < 0)
                return -errno;
        r = arm(w->fd);
        if (r >= 0)
                r = sd_event_add_io(event, &w->source, w->fd, EPOLLIN, on_set, w);
        if (r < 0)
                return r;
        w->offset = kb_clock_offset();
        *ret = take_ptr(w);
        return 0;
}

void kb_clock_watch_free(struct kb_clock_watch *w)
{
        if (!w)
                return;
        sd_event_source_disable_unref(w->source);
        if (w->fd >= 0)
                close(w->fd);
        free(w);
}
