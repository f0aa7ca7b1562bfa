/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Running another program of the system: no shell, its words as they are. */

#include <stddef.h>

#include "common/secret.h"

/*
 * Runs argv[0], found in PATH, with `input` on its stdin (none: NULL, 0). What it writes, errors too, goes
 * to `output`, size - 1 bytes of it, terminated; nowhere when output is NULL. Returns the exit status, 128 +
 * signal, or a negative errno when it could not be run.
 */
int cli_spawn(char *const argv[], struct kb_span input, char *output, size_t size);

/* `systemctl` with these words, quietly. */
int cli_systemctl(const char *verb, const char *unit);
