/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Notices when somebody sets the clock: an administrator, NTP after a boot with a wrong one. Leases do not
 * mind, they age by CLOCK_BOOTTIME; but a certificate says by the time of day from when until when it is
 * good, and so does the directory. A clock that is slewed, and a host that slept, set nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/macro.h"

struct kb_clock_watch;

/* ahead: in microseconds, below zero: back. Called for what is worth a word, KB_CLOCK_SLACK_USEC and more.
 */
typedef void (*kb_clock_set)(int64_t ahead, void *userdata);

#define KB_CLOCK_SLACK_USEC (5 * KB_USEC_PER_SEC)

int kb_clock_watch_new(struct kb_clock_watch **ret, sd_event *event, kb_clock_set set, void *userdata)
        _must_check_;
void kb_clock_watch_free(struct kb_clock_watch *w);
KB_DEFINE_CLEANUP(struct kb_clock_watch, kb_clock_watch_free);

/* What the clock was ahead of CLOCK_BOOTTIME then, of itself: it changes when the clock is set. */
uint64_t kb_clock_offset(void);

/* Whether two of them are of one clock, which nobody has set in between. */
bool kb_clock_same(uint64_t one, uint64_t other);
