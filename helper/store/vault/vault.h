/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The running program of one store of type vault: its settings, and why it gives nothing out while it does
 * not.
 */

#include <systemd/sd-event.h>

#include "common/wire.h"
#include "helper/config/store_vault.h"
#include "helper/store/problem.h"
#include "helper/store/store.h"

/* Which store this process is. */
struct kb_vault_identity {
        const char *name;             /* of the store */
        const char *folder;           /* that its file NAME.conf lies in */
        struct kb_config_trust trust; /* who may have written it */
};

struct kb_vault {
        sd_event *event;
        struct kb_vault_identity identity;
        struct kb_vault_settings *settings; /* NULL: they cannot be used, as `problem` says */
        struct kb_problem problem;          /* why nothing is given out; error KB_E_OK: it is */
        uint64_t reread; /* when settings that cannot be used were last read; CLOCK_MONOTONIC */
};

/*
 * Reads the settings. 0, also when they are bad: that is said in the journal and in each answer. What
 * identity points to must outlive it.
 */
int kb_vault_new(struct kb_vault **ret, sd_event *event, const struct kb_vault_identity *identity)
        _must_check_;
void kb_vault_free(struct kb_vault *v);
KB_DEFINE_CLEANUP(struct kb_vault, kb_vault_free);

/* Reads settings again that could not be used, once a second at most: nobody has to restart what was mended.
 */
void kb_vault_retry(struct kb_vault *v, uint64_t now);

/* How the store is: in a word, in a line, and in names and texts for `store status`. */
const char *kb_vault_state_word(const struct kb_vault *v);
void kb_vault_describe(const struct kb_vault *v, char *ret, size_t size); /* for `systemctl status` */
void kb_vault_facts(const struct kb_vault *v, struct kb_list_builder *facts);

/* The exit status of the program: runs until it is told to stop. */
int kb_vault_main(const struct kb_vault_identity *identity);

/* The handlers of the store verbs: verbs.c. */
extern const struct kb_dispatch kb_vault_dispatch[];
extern const size_t kb_vault_dispatch_size;
