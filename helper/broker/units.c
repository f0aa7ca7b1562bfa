/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "common/names.h"

#define PREFIX    "invocation:"
#define ID_LENGTH 32
#define WATCHED   (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR)

struct kb_units {
        char *dir;
        sd_event_source *source;
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

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
        struct kb_units *u = userdata;
        char invocation[33] = "";
        const char *unit;

        if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) {
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
        r = sd_event_add_inotify(event, &u->source, dir, WATCHED, on_inotify, u);
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
        free(u->dir);
        free(u);
}
