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

/* Of the rows of `seal list`: whether a slot opens with what a person knows or has. */
bool cli_opens_by_hand(struct kb_list slots);

/*
 * Of the same rows, when there is no CLI_ROOT_KEY_FILE: whether it is missing. Who removed the slot too
 * wants a store that only a person opens, and making another file would undo that.
 */
bool cli_root_key_is_lost(struct kb_list slots);

/* Adds a slot of kind systemd to the local store, named after this moment, and keeps its secret. */
int cli_make_root_key(struct cli *cli, const char **ret_holder);
