/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reads the system's journal back with sd-journal(3). Only entries of our own uid count, which journald
 * vouches for: somebody else's lookalike must not pass for a record that was lost. The one place that needs
 * libsystemd.
 */

#include "helper/log/forward.h"

extern const struct kb_confirmer kb_confirm_journal;
