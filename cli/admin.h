/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a store does for an administrator: the broker checks and logs it, and hands it on (verb `admin`).
 * Most commands are rows of commands.def and nothing else; a few make the request, or show the answer, in a
 * way of their own.
 */

#include "cli/ask.h"

struct cli_admin {
        const char *store; /* NULL: the one that --store=, or keybearer.conf, says */
        const char *object;
        const char *action;
        const char *name;
        struct kb_list_builder fields; /* wiped by cli_admin_done() */

        /* Called for each progress record; NULL: long work is shown to whoever watches. */
        void (*on_progress)(void *userdata, const struct kb_progress_record *progress);
        void *userdata;
};

struct cli_admin cli_admin_init(const char *object, const char *action, const char *name);
void cli_admin_done(struct cli_admin *a);
#define _cleanup_admin_ _cleanup_(cli_admin_done)

/*
 * The one that --store=, or keybearer.conf, says: people, groups and rules live in the store of the
 * directory; the rest where credentials come from. A new string; 0, or an exit status.
 */
int cli_choose_store(struct cli *cli, const char *object, char **ret);

/* Asks; *ret_rows points into call, which the caller releases in any case. 0, or an exit status. */
int cli_admin_ask(struct cli *cli, struct cli_admin *a, struct kb_call *call, struct kb_list *ret_rows);

/* How far it has come, on a terminal. */
void cli_admin_show_progress(void *userdata, const struct kb_progress_record *progress);

/* The next row of an answer, as a list of pairs. False at the end. */
bool cli_admin_next_row(struct kb_list *rows, struct kb_list *ret_pairs);
