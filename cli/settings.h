/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Settings in force, on stdout as a file that could be read again, each behind a comment that says where it
 * is from; with --json as an object. object is the struct that belongs to the table. Returns 0.
 */

#include "cli/cli.h"

int cli_print_settings(const struct cli *cli, const struct kb_config_table *table, const void *object);
