/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which records journald has, which were only sent, and which have to be sent again. Pure bookkeeping: no
 * clock, no socket, no journal.
 *
 * journald stores what one socket sends in the order it was sent. So a record that was not seen in the
 * journal although one sent after it was, is lost; where nothing after it tells, time does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/macro.h"

#define KB_WINDOW_SIZE  4096
#define KB_WINDOW_GRACE KB_USEC_PER_SEC /* before "not seen" means anything */
#define KB_WINDOW_AGAIN                                                                                     \
        (5 * KB_USEC_PER_SEC) /* for a record that others overtook twice; doubles with each try */
#define KB_WINDOW_WAIT (30 * KB_USEC_PER_SEC) /* with nothing after it to tell; doubles with each try */

/*
 * A record that others overtook so many times is given up, and counted: a journal that stores no such
 * priority (MaxLevelStore=) never takes it. Fewer do when the window is full, because new records wait for
 * it then.
 */
#define KB_WINDOW_TRIES      10
#define KB_WINDOW_TRIES_FULL 4

struct kb_window_slot {
        uint64_t sent_at; /* 0: not sent yet */
        uint64_t order;   /* of all sendings */
        uint8_t tries;
        bool seen;
};

struct kb_window {
        uint64_t base;              /* this record and all before are done with */
        uint64_t last;              /* the highest that was sent */
        uint64_t order, order_seen; /* last one sent; the highest that was seen */
        uint64_t seen;              /* how many, ever */
        uint64_t given_up;          /* the same */
        struct kb_window_slot slots[KB_WINDOW_SIZE];
};

/* Whether a record of this number can be taken in now. */
bool kb_window_has_room(const struct kb_window *w, uint64_t sequence);

/* Whether it has to be sent at all: not when it was seen already. */
bool kb_window_wants(const struct kb_window *w, uint64_t sequence);

void kb_window_sent(struct kb_window *w, uint64_t sequence, uint64_t now);

/* True when it had been sent more than once, and is seen for the first time: a gap was filled. */
bool kb_window_seen(struct kb_window *w, uint64_t sequence);

/* The first record behind `after`, up to `last`, that has to be sent again; 0 when there is none. */
uint64_t kb_window_missing(const struct kb_window *w, uint64_t after, uint64_t last, uint64_t now);

/* Moves base over what is done with. Returns whether it moved. */
bool kb_window_advance(struct kb_window *w);

/* Does with the oldest record as if it had been seen. */
void kb_window_give_up(struct kb_window *w);

/* When the oldest record was sent last, 0 when it was not. */
uint64_t kb_window_oldest(const struct kb_window *w);
