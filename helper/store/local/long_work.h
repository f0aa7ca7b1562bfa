/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Work that takes more than a moment and must not hold up the event loop: done in small steps, between which
 * other requests are served, with a progress record after each. The next step waits until the record is with
 * the peer, so that a slow reader slows down the work and not our memory. One at a time.
 */

#include "helper/store/local/admin.h"

struct kb_long_kind {
        const char *doing;        /* "backing up": for problems */
        const char *when_damaged; /* what to do about a record that does not open; NULL: nothing else */
        bool needs_peer;          /* pointless when nobody listens any more: ends then */

        /* 1: not done yet, and *progress is filled; 0: done; or a negative errno. */
        int (*step)(void *state, struct kb_progress_record *progress);

        /* After the last step: fills in the rows of the answer. May be NULL. */
        enum kb_error (*finish)(void *state, struct kb_admin_call *call);
        void (*free)(void *state);
};

/* Whether other long work is under way. The problem of the call says so then: KB_E_BUSY. */
bool kb_long_busy(struct kb_admin_call *call);

/* Takes over call and state, and answers in the end. KB_E_BUSY for the call when other long work is under
 * way. */
void kb_long_start(struct kb_admin_call *call, const struct kb_long_kind *kind, void *state);

/* At the end of the process; the request belongs to the server. */
void kb_long_free(struct kb_long_work *work);
