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

/* The store that a fact of this name is about ("store.NAME"), points into it; NULL: about none. */
const char *cli_fact_store(const char *name);

/* Digits, and no more of them than 64 bits may have. */
bool cli_is_number(const char *text);
