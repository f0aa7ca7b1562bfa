/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lengths of time as people write them, in the units of systemd.time(7) that have one length. */

#include <stdint.h>

#include "common/macro.h"

/*
 * "90" (seconds), "90s", "1h 30min", "1h30min", "infinity" (KB_TIME_NEVER). 0 with microseconds; or -EINVAL
 * or -ERANGE with the place in text where it stops making sense in *ret_at.
 */
int kb_duration_parse(const char *text, uint64_t *ret_usec, const char **ret_at) _must_check_;

#define KB_DURATION_TEXT_MAX 64

/* "1h 30min"; at most `parts` units, the rest is dropped. "0", "infinity" for KB_TIME_NEVER. */
void kb_duration_format(uint64_t usec, unsigned parts, char to[static KB_DURATION_TEXT_MAX]);
