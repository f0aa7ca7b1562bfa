/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A store program of one's own, for what is done with one's own token and not with the host's: it is started
 * as a child, with a file of settings as stores.conf(5) has it, and speaks the same wire as with the broker,
 * over a socket in a folder that nobody else can enter.
 */

#include "cli/cli.h"
#include "common/client.h"

struct cli_child {
        int pid;
        char *folder, *socket;
};

/* Starts it and greets it: it is logged in. 0, or an exit status after it was said what is wrong. */
int cli_child_start(const struct cli *cli, const char *settings, struct cli_child *ret);
void cli_child_done(struct cli_child *child);
#define _cleanup_child_ _cleanup_(cli_child_done)

/* As cli_ask(). */
int cli_child_ask(const struct cli *cli, const struct cli_child *child, struct kb_call *call);
