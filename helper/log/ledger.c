/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "helper/log/files.h"
#include "helper/log/scan.h"

static void grant_free(struct kb_live_grant *grant)
{
        if (!grant)
                return;
        kb_writer_done(&grant->memory);
        free(grant);
}
KB_DEFINE_CLEANUP(struct kb_live_grant, grant_free);

static void clear(struct kb_ledger *ledger)
{
        for (size_t i = 0; i < ledger->n; i++)
                grant_free(ledger->grants[i]);
        ledger->n = 0;
}

void kb_ledger_done(struct kb_ledger *ledger)
{
        clear(ledger);
        free(ledger->grants);
        *ledger = (struct kb_ledger){};
}

/* Where this id is, or would be. */
static size_t place(const struct kb_ledger *ledger, uint64_t id)
{
        size_t low = 0, high = ledger->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (ledger->grants[middle]->id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

const struct kb_live_grant *kb_ledger_find(const struct kb_ledger *ledger, uint64_t id)
{
        size_t i = place(ledger, id);

        return i < ledger->n && ledger->grants[i]->id == id ? ledger->grants[i] : NULL;
}

/* A grant that owns everything the event points to. */
static int grant_new(struct kb_live_grant **ret, uint64_t id, const struct kb_event *event)
{
        _cleanup_(grant_freep) struct kb_live_grant *grant = calloc(1, sizeof(*grant));

        if (!grant)
                return -ENOMEM;
        grant->id = id;
        grant->memory = kb_writer_init(KB_RECORD_MAX);
        kb_event_put(&grant->memory, event);
        if (kb_writer_end(&grant->memory) < 0 ||
            kb_event_get(KB_SPAN(grant->memory.data, grant->memory.size), &grant->event) < 0)
                return -ENOMEM;
        grant->event.id = event->id;
        grant->event.time = event->time;
        *ret = take_ptr(grant);
        return 0;
}

static int put(struct kb_ledger *ledger, struct kb_live_grant *grant)
{
        size_t i = place(ledger, grant->id);
        struct kb_live_grant **more;

        if (i < ledger->n && ledger->grants[i]->id == grant->id) {
                grant_free(ledger->grants[i]);
                ledger->grants[i] = grant;
                return 0;
        }
        more = reallocarray(ledger->grants, ledger->n + 1, sizeof(struct kb_live_grant *));
        if (!more)
                return -ENOMEM;
        ledger->grants = more;
        memmove(more + i + 1, more + i, (ledger->n - i) * sizeof(struct kb_live_grant *));
        more[i] = grant;
        ledger->n++;
        return 0;
}

static void forget(struct kb_ledger *ledger, uint64_t id)
{
        size_t i = place(ledger, id);

        if (i == ledger->n || ledger->grants[i]->id != id)
                return;
        grant_free(ledger->grants[i]);
        ledger->n--;
        memmove(ledger->grants + i, ledger->grants + i + 1,
                (ledger->n - i) * sizeof(struct kb_live_grant *));
}

/* --- what an event does --- */

enum effect { NOTHING, CLEAR, ADD, CHANGE, REMOVE };

static const struct {
        uint32_t event;
        enum effect effect;
        const char *state; /* the grant's from now on, NULL: as it was */
} effects[] = {
        {KB_EVENT_CHECKPOINT, CLEAR, NULL},
        {KB_EVENT_GRANT_LIVE, ADD, NULL},
        {KB_EVENT_GRANT_ISSUED, ADD, "issued"},
        {KB_EVENT_GRANT_RENEWED, CHANGE, NULL},
        {KB_EVENT_RENEW_FAILED, CHANGE, NULL},
        {KB_EVENT_GRANT_OFFERED, CHANGE, "offered"},
        {KB_EVENT_GRANT_ADOPTED, CHANGE, "adopted"},
        {KB_EVENT_REVOKE_FAILED, CHANGE, "revoking"},
        {KB_EVENT_GRANT_REVOKING, CHANGE, "revoking"},
        {KB_EVENT_GRANT_REVOKED, REMOVE, NULL},
        {KB_EVENT_GRANT_EXPIRED, REMOVE, NULL},
};

/* The grant's event with what this one changes. */
static struct kb_event merged(const struct kb_event *old, const struct kb_event *change)
{
        struct kb_event e = *old;

        if (change->issued > 0)
                e.issued = change->issued;
        if (change->expires > 0)
                e.expires = change->expires;
        if (change->lease)
                e.lease = change->lease;
        if (change->version)
                e.version = change->version;
        if (change->renewals > 0)
                e.renewals = change->renewals;
        else if (change->id == KB_EVENT_GRANT_RENEWED)
                e.renewals++;
        e.reason = change->reason; /* of the last attempt: a success forgets the failure before it */
        e.detail = change->detail;
        return e;
}

static int replace(struct kb_ledger *ledger, uint64_t id, struct kb_event event, const char *state)
{
        _cleanup_(grant_freep) struct kb_live_grant *grant = NULL;
        int r;

        if (state)
                event.state = state;
        event.id = KB_EVENT_GRANT_LIVE;
        event.grant = id;
        r = grant_new(&grant, id, &event);
        if (r < 0)
                return r;
        r = put(ledger, grant);
        if (r == 0)
                take_ptr(grant);
        return r;
}

int kb_ledger_fold(struct kb_ledger *ledger, uint64_t sequence, const struct kb_event *event)
{
        const struct kb_live_grant *old = kb_ledger_find(ledger, event->grant);
        enum effect effect = NOTHING;
        const char *state = NULL;

        for (size_t i = 0; i < KB_ARRAY_SIZE(effects); i++)
                if (effects[i].event == event->id) {
                        effect = effects[i].effect;
                        state = effects[i].state;
                }
        switch (effect) {
        case CLEAR:
                clear(ledger);
                return 0;
        case ADD:
                return replace(ledger, event->grant > 0 ? event->grant : sequence, *event, state);
        case CHANGE:
                return old ? replace(ledger, old->id, merged(&old->event, event), state) : 0;
        case REMOVE:
                forget(ledger, event->grant);
                return 0;
        case NOTHING:
                break;
        }
        return 0;
}

/* --- from files --- */

int kb_ledger_read(struct kb_ledger *ledger, int fd)
{
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_record record;
        struct kb_event event;
        struct kb_span whole;
        int r;

        r = kb_scan_init(&scan, fd, 0);
        if (r < 0)
                return r;
        while ((r = kb_scan_next(&scan, &record, &whole)) != 0) {
                if (r == -EBADMSG || r == -ENODATA)
                        r = kb_scan_skip(&scan);
                else if (r > 0 && kb_record_event(&record, &event) == 0)
                        r = kb_ledger_fold(ledger, record.sequence, &event);
                if (r < 0)
                        return r;
        }
        return 0;
}

int kb_ledger_load(struct kb_ledger *ret, const char *dir)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        _cleanup_ledger_ struct kb_ledger ledger = {};
        _cleanup_close_ int dir_fd = -1, fd = -1;
        int r;

        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        r = kb_log_files_list(dir_fd, &files);
        if (r < 0)
                return r;
        if (files.n == 0)
                return -ENOENT;
        fd = kb_log_file_open(dir_fd, files.first[files.n - 1], O_RDONLY);
        if (fd < 0)
                return fd;
        r = kb_ledger_read(&ledger, fd);
        if (r < 0)
                return r;
        *ret = ledger;
        ledger = (struct kb_ledger){};
        return 0;
}
