/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One-time codes that let a named person in while the store is away. They are shown once. */

#include <json-c/json.h>

#include "cli/cli.h"

#define CLI_RECOVERY_CODES 8
#define CLI_RECOVERY_MAX   20

/*
 * Has the broker make `count` new ones, 1 to CLI_RECOVERY_MAX; all old ones are void then. *ret_codes is an
 * array of strings, and the caller's reference. 0, or an exit status, with the reason said.
 */
int cli_make_recovery_codes(const struct cli *cli, uint32_t count, json_object **ret_codes);
