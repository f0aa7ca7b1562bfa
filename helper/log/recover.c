/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/recover.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/log/scan.h"

/* Takes a good record into account. */
static int advance(struct kb_log_recovered *state, const struct kb_record *record, struct kb_span whole,
                   uint64_t end)
{
        struct kb_event event;
        int r;

        r = kb_record_hash(whole, state->tail.hash);
        if (r < 0)
                return r;
        state->tail.next = record->sequence + 1;
        state->tail.end = end;
        if (state->began == 0)
                state->began = record->time;
        state->since_anchor++;
        if (record->event == KB_EVENT_ANCHOR && kb_record_event(record, &event) == 0) {
                state->last_anchor = event.anchor;
                state->last_anchor_time = record->time;
                state->since_anchor = 0;
        }
        return 0;
}

/* Whether it is the one that follows. What precedes the first of a file is not looked at: that is verify's
 * work. */
static bool follows(const struct kb_log_recovered *state, const struct kb_record *record)
{
        if (record->sequence != state->tail.next)
                return false;
        return state->tail.end == 0 || memcmp(record->previous, state->tail.hash, KB_HASH_SIZE) == 0;
}

/*
 * Something is wrong at scan->offset. Looks at what lies there and behind: true in *ret_settled when a
 * record says that everything before it was on disk. state follows to the last whole record.
 */
static int look_behind(struct kb_scan *scan, struct kb_log_recovered *state, bool *ret_settled)
{
        uint64_t expected = state->tail.next;
        struct kb_record record;
        struct kb_span whole;
        bool settled = false;
        int r;

        while ((r = kb_scan_next(scan, &record, &whole)) != 0) {
                if (r == -EBADMSG || r == -ENODATA) {
                        r = kb_scan_skip(scan);
                } else if (r > 0 && record.sequence >= expected) {
                        settled = settled || record.flags & KB_RECORD_SETTLED;
                        r = advance(state, &record, whole, scan->offset);
                }
                if (r < 0)
                        return r;
        }
        *ret_settled = settled;
        return 0;
}

int kb_log_recover(int fd, uint64_t first, struct kb_log_recovered *ret, struct kb_log_damage *ret_damage)
{
        struct kb_log_recovered state = {.tail.next = first}, behind;
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_record record;
        struct kb_span whole;
        struct stat st;
        bool settled;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        r = kb_scan_init(&scan, fd, 0);
        if (r < 0)
                return r;
        while ((r = kb_scan_next(&scan, &record, &whole)) > 0 && follows(&state, &record)) {
                r = advance(&state, &record, whole, scan.offset);
                if (r < 0)
                        return r;
        }
        if (r < 0 && r != -EBADMSG && r != -ENODATA)
                return r;
        behind = state;
        kb_scan_seek(&scan, state.tail.end);
        r = look_behind(&scan, &behind, &settled);
        if (r < 0)
                return r;
        if (settled || state.tail.end == 0) {
                *ret_damage = (struct kb_log_damage){.file = first, .offset = state.tail.end};
                *ret = behind;
                return -EBADMSG;
        }
        state.torn = (uint64_t)st.st_size - state.tail.end;
        *ret = state;
        return 0;
}
