/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "common/clock.h"
#include "common/names.h"

#define PREFIX    "invocation:"
#define ID_LENGTH 32
#define WATCHED                                                                                             \
        (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* The folder itself is not the one we watched any more; the kernel says IN_IGNORED when it is gone for good.
 */
#define REPLACED (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)

#define AGAIN_USEC KB_USEC_PER_SEC /* until there is one again */

struct kb_units {
        char *dir;
        sd_event *event;
        sd_event_source *source;
        sd_event_source *again;
        kb_units_changed changed;
        kb_units_rescan rescan;
        void *userdata;
};

int kb_unit_invocation(const char *dir, const char *unit, char ret[static 33])
{
        char path[512], target[64];
        ssize_t n;

        if (!kb_name_unit_valid(unit))
                return -EINVAL;
        if (snprintf(path, sizeof(path), "%s/" PREFIX "%s", dir, unit) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        n = readlink(path, target, sizeof(target));
        if (n < 0)
                return -errno;
        if (n != ID_LENGTH || strspn(target, "0123456789abcdef") < ID_LENGTH)
                return -EBADMSG;
        memcpy(ret, target, ID_LENGTH);
        ret[ID_LENGTH] = '\0';
        return 0;
}

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata);

static int watch(struct kb_units *u)
{
        return sd_event_add_inotify(u->event, &u->source, u->dir, WATCHED, on_inotify, u);
}

/* Whatever happened in between is found by looking. */
static int on_again(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_units *u = userdata;

        if (watch(u) < 0) {
                sd_event_source_set_time_relative(u->again, AGAIN_USEC);
                sd_event_source_set_enabled(u->again, SD_EVENT_ONESHOT);
        }
        u->rescan(u->userdata);
        return 0;
}

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
        struct kb_units *u = userdata;
        char invocation[33] = "";
        const char *unit;

        if (event->mask & REPLACED) {
                u->source = sd_event_source_disable_unref(u->source);
                return on_again(NULL, 0, u);
        }
        if (event->mask & IN_Q_OVERFLOW) {
                u->rescan(u->userdata);
                return 0;
        }
        if (event->len == 0 || strncmp(event->name, PREFIX, strlen(PREFIX)) != 0)
                return 0; /* log-extra-fields:, and temporary names before a rename */
        unit = event->name + strlen(PREFIX);
        if (!kb_name_unit_valid(unit))
                return 0;
        if (kb_unit_invocation(u->dir, unit, invocation) < 0)
                invocation[0] = '\0';
        u->changed(unit, invocation, u->userdata);
        return 0;
}

int kb_units_new(struct kb_units **ret, sd_event *event, const char *dir, kb_units_changed changed,
                 kb_units_rescan rescan, void *userdata)
{
        _cleanup_(kb_units_freep) struct kb_units *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;
        u->changed = changed;
        u->rescan = rescan;
        u->userdata = userdata;
        u->dir = strdup(dir);
        if (!u->dir)
                return -ENOMEM;
        u->event = sd_event_ref(event);
        r = sd_event_add_time(event, &u->again, CLOCK_MONOTONIC, KB_TIME_NEVER, 0, on_again, u);
        if (r >= 0)
                r = sd_event_source_set_enabled(u->again, SD_EVENT_OFF);
        if (r >= 0)
                r = watch(u);
        if (r < 0)
                return r;
        *ret = take_ptr(u);
        return 0;
}

void kb_units_free(struct kb_units *u)
{
        if (!u)
                return;
        sd_event_source_disable_unref(u->source);
        sd_event_source_disable_unref(u->again);
        sd_event_unref(u->event);
        free(u->dir);
        free(u);
}
