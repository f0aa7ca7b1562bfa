/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A new root key while the store runs: first every slot gets a box with it, then every record is sealed
 * anew, some at a time, and at last the boxes with the old key go. A crash in between loses nothing: both
 * keys have boxes, each record says which one it is under, and the next rotation goes on where this one
 * stopped.
 */

#include "helper/store/local/local.h"

/* Whether a rotation was begun and not finished. */
bool kb_rotate_unfinished(const struct kb_local *l);

/* Makes the new root key, unless a rotation is unfinished: then there is one. Counts the records to be done.
 */
int kb_rotate_begin(struct kb_local *l, uint64_t *ret_total) _must_check_;

/* Seals some records anew, in one transaction; how many. 0: none is left, and the old root key is gone. */
int kb_rotate_step(struct kb_local *l) _must_check_;
