/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Asking the broker. A command fills call->request and calls cli_ask(); when that returns 0 the reply lies
 * in call->reply, else it is an exit status and everything was said.
 */

#include "cli/cli.h"
#include "common/client.h"

#define CLI_ASK_USEC  (30 * KB_USEC_PER_SEC)
#define CLI_WORK_USEC (3600 * KB_USEC_PER_SEC) /* a backup, a rotation of keys: long, and with progress */

int cli_ask(const struct cli *cli, struct kb_call *call, uint64_t usec);

/* After a reply that cannot be decoded: broker and CLI are not of one version. Returns the exit status. */
int cli_fail_reply(const struct cli *cli, int r);
