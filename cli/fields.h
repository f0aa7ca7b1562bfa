/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Showing a secret to whoever asked for it. */

#include "cli/cli.h"
#include "common/wire.h"

/*
 * Pairs of field and value, as lines or as an object; with `only`, the bytes of that field and nothing else,
 * for a pipe. ttl: seconds of the lease it had, 0: none. Returns the exit status.
 */
int cli_print_fields(const struct cli *cli, struct kb_list fields, const char *only, uint64_t ttl);
