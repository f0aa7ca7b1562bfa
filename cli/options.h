/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The table of options, as an array in the order of enum cli_option. */

#include "cli/cli.h"

struct cli_option_row {
        const char *name; /* as typed, without "--" */
        char letter;
        const char *argument;
        const char *help;
};

extern const struct cli_option_row cli_options[CLI_OPTION_COUNT];

/* Whether the command takes it. */
bool cli_option_fits(const struct cli_command *command, size_t option);
