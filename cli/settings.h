/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of settings: what is wrong with them, and what is in force. */

#include "cli/cli.h"

/* Files without mistakes. */
struct cli_settings_count {
        size_t credentials, stores;
};

/*
 * Reads keybearer.conf and the files of all credentials and stores. 0; -EBADMSG after problems were added,
 * all that were found; -ENOMEM.
 */
int cli_check_settings(const struct cli *cli, struct kb_problems *problems, struct cli_settings_count *ret);

/*
 * Settings in force, on stdout as a file that could be read again, each behind a comment that says where it
 * is from; with --json as an object. object is the struct that belongs to the table. Returns 0.
 */
int cli_print_settings(const struct cli *cli, const struct kb_config_table *table, const void *object);
