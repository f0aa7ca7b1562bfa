/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is shown once and kept nowhere: recovery codes, the first key of the log. Whether it came through is
 * looked at each time, and a failure says what to do: with the output gone nobody has it.
 */

#include <json-c/json.h>

#include "cli/cli.h"

/* Whether nobody can read our output any more: then nothing is made that has to be shown. */
bool cli_output_is_gone(void);

/* Prints a text, or an array of them, below its name. 0, or a negative errno: it was not shown. */
int cli_show_once(const char *name, json_object *value);

/* Brings what was printed so far to whoever reads it. 0, or a negative errno. */
int cli_flush_once(void);

/* Says that `what` was not shown, for r, and is lost. Returns the exit status. */
int cli_fail_to_show(const struct cli *cli, int r, const char *what, const char *cure);
