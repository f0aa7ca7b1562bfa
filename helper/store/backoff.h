/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How long to wait before the next try. Full jitter: anything between nothing and a ceiling of 1, 2 and then
 * always 4 s, evenly spread, so that many hosts that lost the same server do not come back in step. A server
 * that says when to come again (Retry-After) is not asked before that, and the spread is added.
 *
 * `random` is any even 64 bits, from kb_random() or from a simulation's seed.
 */

#include <stdint.h>

#include "common/macro.h"

/* Before try number 1 (the second one), 2, 3 ...; tries 0 counts as 1. */
uint64_t kb_backoff_ceiling(unsigned tries);

/* Microseconds to wait before that try. floor: what the server asked for, 0 when it did not. */
uint64_t kb_backoff_wait(unsigned tries, uint64_t floor, uint64_t random);

/* An even number from 0 to limit, both included. */
uint64_t kb_spread(uint64_t limit, uint64_t random);
