/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#define OPT(name)  (1u << CLI_OPTION_##name)
#define WHO_root   true
#define WHO_anyone false

const struct cli_command cli_commands[] = {
#define COMMAND(object_, action_, arguments_, fields_, options_, who, run_, help_)                          \
        {.object = object_,                                                                                 \
         .action = action_,                                                                                 \
         .arguments = arguments_,                                                                           \
         .fields = fields_,                                                                                 \
         .options = options_,                                                                               \
         .needs_root = WHO_##who,                                                                           \
         .run = cli_run_##run_,                                                                             \
         .help = help_},
#include "cli/commands.def"
#undef COMMAND
};

const size_t cli_n_commands = KB_ARRAY_SIZE(cli_commands);
