/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Settings in force, as a file that could be read again, each behind a comment that says where it is from.
 */

#include "cli/cli.h"

int cli_print_settings(const struct cli *cli, const struct kb_config_table *table, const void *object);
