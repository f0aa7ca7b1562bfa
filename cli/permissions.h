/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the servers of a store have to let this host do, and do not. The store finds out, credential by
 * credential (admin `policy show`); nothing here knows what kind of store it is.
 */

#include "cli/cli.h"

/*
 * The lines that a policy has to have for this host and all of its credentials from that store, and that no
 * policy has; each once, and each a line of HCL. "" when none is missing, or when it cannot be found out. A
 * new string; *ret_n: how many.
 */
char *cli_missing_lines(const struct cli *cli, const char *store, size_t *ret_n);
