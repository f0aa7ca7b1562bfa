/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A new root key while the store runs: first every slot gets a box with it, then every record is sealed
 * anew, some at a time, and at last the boxes with the old key go. A crash in between loses nothing: both
 * keys have boxes, each record says which one it is under, and the next rotation goes on where this one
 * stopped.
 *
 * A record that does not open ends the rotation with -EBADMSG or -ENOKEY, and damage.h says which one it is.
 * With `skip` it is left as it is, counted and named in the journal; when the old root key goes, so does the
 * last hope for it. A record whose root key some slot could still give is never skipped.
 */

#include "helper/store/local/local.h"

struct kb_rotation {
        struct kb_local *local;
        bool skip;
        uint64_t done, total; /* records; total is a guess, since somebody may write meanwhile */
        uint64_t skipped;
        unsigned table; /* where it is: a row of kb_sealed_tables, and the last rowid of it */
        uint64_t after;
};

/* Whether a rotation was begun and not finished. */
bool kb_rotate_unfinished(const struct kb_local *l);

/* Makes the new root key, unless a rotation is unfinished: then there is one. Counts the records to be done.
 */
int kb_rotate_begin(struct kb_rotation *ret, struct kb_local *l, bool skip) _must_check_;

/* Seals some records anew, in one transaction. 0: none is left, and the old root key is gone; 1: go on. */
int kb_rotate_step(struct kb_rotation *rotation) _must_check_;
