/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the broker says about itself: pairs of name and text. metrics.def says which of them are figures, and
 * common/protocol.def how they come (`status`).
 */

#include "cli/cli.h"
#include "common/client.h"

/* *ret points into call, which the caller releases in any case. 0, or an exit status. */
int cli_get_facts(const struct cli *cli, struct kb_call *call, struct kb_list *ret);
