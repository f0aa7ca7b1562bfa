/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The credential with which systemd opens the local store at each start: the secret of a seal slot,
 * encrypted to this host, and to its TPM when there is one.
 */

#include "cli/cli.h"
#include "common/wire.h"

/* Where systemd looks for what keybearer-store-local.service names. */
#define CLI_ROOT_KEY_FOLDER "/etc/credstore.encrypted"
#define CLI_ROOT_KEY_FILE   CLI_ROOT_KEY_FOLDER "/keybearer-store-local.root-key"

/*
 * 0, or an exit status after it was said what is wrong. *ret_holder is what it is encrypted to, in words:
 * "this host's key", "this host's key and its TPM".
 */
int cli_keep_root_key(const struct cli *cli, struct kb_span credential, const char **ret_holder);

/* Adds a slot of kind systemd to the local store, named after this moment, and keeps its secret. */
int cli_make_root_key(struct cli *cli, const char **ret_holder);
