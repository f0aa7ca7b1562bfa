/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "common/clock.h"

#define WATCHED     (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR)
#define SETTLE_USEC KB_USEC_PER_SEC /* useradd(8) changes one file after the other */

struct kb_accounts {
        sd_event_source *watch;
        sd_event_source *timer;
        void (*changed)(void *userdata);
        void *userdata;
};

static int on_settled(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_accounts *a = userdata;

        a->changed(a->userdata);
        return 0;
}

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
        struct kb_accounts *a = userdata;
        int enabled = 0;

        if (!(event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) &&
            (event->len == 0 || (strcmp(event->name, "passwd") != 0 && strcmp(event->name, "group") != 0)))
                return 0;
        /* The first change sets the time: a stream of them puts nothing off. */
        if (sd_event_source_get_enabled(a->timer, &enabled) == 0) {
                sd_event_source_set_time_relative(a->timer, SETTLE_USEC);
                sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
        }
        return 0;
}

int kb_accounts_new(struct kb_accounts **ret, sd_event *event, const char *folder,
                    void (*changed)(void *userdata), void *userdata)
{
        _cleanup_(kb_accounts_freep) struct kb_accounts *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->changed = changed;
        a->userdata = userdata;
        r = sd_event_add_time(event, &a->timer, CLOCK_MONOTONIC, 0, 0, on_settled, a);
        if (r >= 0)
                r = sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_inotify(event, &a->watch, folder, WATCHED, on_inotify, a);
        if (r < 0)
                return r;
        *ret = take_ptr(a);
        return 0;
}

void kb_accounts_free(struct kb_accounts *a)
{
        if (!a)
                return;
        sd_event_source_disable_unref(a->watch);
        sd_event_source_disable_unref(a->timer);
        free(a);
}
