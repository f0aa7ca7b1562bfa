/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keeps a store from asking an address that does not work. One of these for each address:
 *
 *   closed      it is asked
 *   open        after KB_BREAKER_FAILURES in a row nobody asks it, for 2 s and then twice as long each time,
 * 30 s at most; half of that time is spread, so that many hosts do not come back in step half open   that
 * time is over: one probe may ask, everybody else still goes elsewhere. The probe closes it or opens it
 * again
 *
 * What counts as a failure decides whoever asks: no answer at all, or one that says that the server is
 * broken. A refusal (no such thing, not allowed, too many requests) and a server that says that it is sealed
 * or standing by are answers.
 *
 * No clock and no randomness of its own. A value that is all zeroes is closed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/macro.h"

#define KB_BREAKER_FAILURES 5

struct kb_breaker {
        unsigned failures; /* in a row */
        unsigned openings; /* in a row, without a success in between */
        uint64_t until;    /* not asked before this, when openings > 0 */
        bool probing;
};

/* Whether anybody may ask. */
bool kb_breaker_closed(const struct kb_breaker *b);

/* When the next probe may be made: 0 when it is closed, KB_TIME_NEVER while there is one under way. */
uint64_t kb_breaker_probe_at(const struct kb_breaker *b);

/*
 * Takes the place of the one probe. True: the caller asks now, and tells with kb_breaker_good() or
 * kb_breaker_probe_bad() what came of it, or gives the place back with kb_breaker_dropped().
 */
bool kb_breaker_probe(struct kb_breaker *b, uint64_t now) _must_check_;

/* It answered. True when this closed it. */
bool kb_breaker_good(struct kb_breaker *b);

/* It failed. True when this opened it. What was under way when it opened changes nothing by failing. */
bool kb_breaker_bad(struct kb_breaker *b, uint64_t now, uint64_t random);

/* The probe failed: it opens again, for longer. */
void kb_breaker_probe_bad(struct kb_breaker *b, uint64_t now, uint64_t random);

/* The probe was given up, and nothing was learnt. */
void kb_breaker_dropped(struct kb_breaker *b);
