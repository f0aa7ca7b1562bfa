/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * keybearer: one table of commands (commands.def), one file per command, and what they share.
 *
 * A command returns the exit status of the process: 0, or what common/error.def has for the way it failed.
 * It says what went wrong with cli_fail(), once. Results go to stdout through cli/output.h, everything else
 * to stderr.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/macro.h"
#include "helper/config/credential.h"

enum cli_option {
#define OPTION(name, letter, argument, help) CLI_OPTION_##name,
#include "cli/options.def"
#undef OPTION
        CLI_OPTION_COUNT
};

struct cli;

struct cli_command {
        const char *object;
        const char *action;    /* "": the object is the whole command */
        const char *arguments; /* as in --help: "UNIT CREDENTIAL...", "[NAME]" */
        const char *fields;    /* of a command that a store carries out, see commands.def */
        uint32_t options;      /* bits of enum cli_option, beside those that all have */
        bool needs_root;
        int (*run)(struct cli *cli);
        const char *help;
};

extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;

/* One run of the program. */
struct cli {
        const struct cli_command *command;
        char **arguments; /* behind the command's own words, NULL-terminated */
        int n_arguments;
        bool given[CLI_OPTION_COUNT];
        const char *value[CLI_OPTION_COUNT]; /* of an option with an argument; NULL: not given */
};

/* The exit status of the process. */
int cli_main(int argc, char **argv);

/* Fills cli from the command line. 0, or an exit status after it was said what is wrong. */
int cli_parse(struct cli *cli, int argc, char **argv);

/* --help for everything, for an object, or for one command; and for --version. */
void cli_help(const char *object, const char *action);

/* Each command's own file. */
#define COMMAND(object, action, arguments, fields, options, who, run, help)                                 \
        int cli_run_##run(struct cli *cli);
#include "cli/commands.def"
#undef COMMAND

/* What went wrong: "cause; cure". Returns its exit status. With --json an object on stdout says it too. */
int cli_fail(const struct cli *cli, enum kb_error error, const char *format, ...) _printf_(3, 4);

/* What was done, in a sentence on stdout. Returns 0, the exit status. */
int cli_done(const struct cli *cli, const char *format, ...) _printf_(2, 3);
int cli_vdone(const struct cli *cli, const char *format, va_list arguments) _printf_(2, 0);

/* What may be of use beside a result; silent when nobody reads stderr as text (--json). */
void cli_note(const struct cli *cli, const char *format, ...) _printf_(2, 3);

/* --- where things are: below --root= when it is given --- */

/* path with --root= before it; a new string. Ends the process when memory is out: there is nothing to save.
 */
char *cli_path(const struct cli *cli, const char *path);
char *cli_format(const char *format, ...) _printf_(1, 2);
char *cli_vformat(const char *format, va_list arguments) _printf_(1, 0);

/* Files of settings are root's; below --root= they belong to whoever works there. */
struct kb_config_trust cli_trust(const struct cli *cli);

/* keybearer.conf as it is now. An exit status after problems were said. */
int cli_load_config(struct cli *cli, struct kb_config **ret);

/* One credential by name; NOT_FOUND names the folder. */
int cli_load_credential(struct cli *cli, const char *name, struct kb_credential **ret);

/* Says every problem on stderr, as cli_fail() does with one. Returns the exit status. */
int cli_fail_problems(const struct cli *cli, const struct kb_problems *problems);

/* What reading a file of settings came to: its problems (-EBADMSG), or the error. 0 when r is none. */
int cli_fail_file(const struct cli *cli, int r, const char *path, const struct kb_problems *problems);
