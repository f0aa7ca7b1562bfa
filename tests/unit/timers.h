/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Timers on a clock that a test moves by hand. A program that has TIMERS_WRAPS among its flags makes its
 * timers here: sd_event_add_time(3) is the real one, but the event loop never runs what is due;
 * timers_fire() does. */

#include <stdbool.h>
#include <stdint.h>

/* Runs the handler of one timer whose time has come, and switches it off before, as the loop would.
 * Returns false when none is due. */
bool timers_fire(uint64_t now);
