/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Time. All of it is microseconds in a uint64_t. Logic takes "now" as a parameter and never reads a clock;
 * only entry points read one.
 */

#include <stdint.h>

#include "common/macro.h"

#define KB_TIME_NEVER UINT64_MAX

/* CLOCK_MONOTONIC: for deadlines and intervals. */
uint64_t kb_now_monotonic(void);

/* CLOCK_REALTIME, since the epoch: for records, certificates and what a person reads. */
uint64_t kb_now_realtime(void);

/* CLOCK_BOOTTIME: like monotonic, but a suspended host ages too. For the life of leases. */
uint64_t kb_now_boottime(void);

/* a + b, KB_TIME_NEVER instead of an overflow. */
uint64_t kb_time_add(uint64_t a, uint64_t b);

/* Milliseconds from now until deadline for poll(2): 0 when past, rounded up, at most INT_MAX. */
int kb_time_poll_ms(uint64_t now, uint64_t deadline);
