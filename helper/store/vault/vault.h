/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The running program of one store of type vault: its settings, the cluster that they name, the login there,
 * and why it gives nothing out while it does not.
 */

#include <systemd/sd-event.h>

#include "common/wire.h"
#include "helper/config/store_vault.h"
#include "helper/store/problem.h"
#include "helper/store/store.h"
#include "helper/store/vault/directory.h"
#include "helper/store/vault/engines.h"
#include "helper/store/vault/login.h"
#include "helper/store/vault/people.h"

/* Which store this process is. */
struct kb_vault_identity {
        const char *name;             /* of the store */
        const char *folder;           /* that its file NAME.conf lies in */
        struct kb_config_trust trust; /* who may have written it */
        const char *credentials;      /* $CREDENTIALS_DIRECTORY; NULL: systemd passed none */
        const char *state;            /* $STATE_DIRECTORY */
        bool user;                    /* it is a person's, who may write: not the broker's */
};

/* A request that is looked at again once the first login has been tried. */
struct kb_vault_waiting {
        struct kb_request *request;
        kb_handler handler;
};
#define KB_VAULT_WAITING_MAX 1024

struct kb_vault {
        sd_event *event;
        struct kb_vault_identity identity;
        struct kb_vault_settings *settings;
        struct kb_cluster *cluster;
        struct kb_login *login;               /* NULL: the settings cannot be used, as `problem` says */
        struct kb_engines *engines;           /* there when the login is */
        struct kb_vault_directory *directory; /* the same */
        struct kb_people *people;             /* the same; they need no login of this host */
        struct kb_person_tokens *tokens;      /* the same; theirs */
        struct kb_problem problem;            /* until there is a login */
        uint64_t reread; /* when settings that cannot be used were last read; CLOCK_MONOTONIC */
        char told[600];  /* how it was when systemd and the journal were last told */

        bool greeted, settled;     /* the broker has greeted it; the first login after that has been tried */
        sd_event_source *patience; /* until it counts as tried in any case */
        struct kb_vault_waiting waiting[KB_VAULT_WAITING_MAX];
        size_t n_waiting;

        struct kb_vault_settings *next; /* to be taken up once nothing is under way; new requests wait */
        sd_event_source *change;        /* looks whether that is so */
        uint64_t change_by;             /* CLOCK_MONOTONIC: it has to be then */
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

/* Makes the cluster, the login, the engines and the people of v->settings: connect.c. False after v->problem
 * was filled in. */
bool kb_vault_connect(struct kb_vault *v, kb_login_changed changed);
void kb_vault_disconnect(struct kb_vault *v); /* all but the cluster */

/*
 * Reads the settings anew. They are taken up once every request that is under way has been answered; the
 * token stays in use where they log in as the same. What cannot be used changes nothing, and is logged.
 */
void kb_vault_reload(struct kb_vault *v);

/* error KB_E_OK: it is logged in. Else what everything that needs that is answered with. */
const struct kb_problem *kb_vault_problem(const struct kb_vault *v);

/* At each greeting: what the broker has kept for it. With the first one the login begins. */
void kb_vault_greeted(struct kb_vault *v, struct kb_span keep);

/*
 * Whether the request waits: its handler is called again once the first login was tried. So nobody who comes
 * right behind a start is told that it is not logged in when it is about to be.
 */
bool kb_vault_waits(struct kb_vault *v, struct kb_request *request, kb_handler handler);

/* How the store is: in a word, in a line, and in names and texts for `store status`. */
const char *kb_vault_state_word(const struct kb_vault *v);
void kb_vault_describe(const struct kb_vault *v, char *ret, size_t size); /* for `systemctl status` */
void kb_vault_facts(const struct kb_vault *v, struct kb_list_builder *facts);

/* The exit status of the program: runs until it is told to stop. */
int kb_vault_main(const struct kb_vault_identity *identity);

/* The handlers of the store verbs: verbs.c. */
extern const struct kb_dispatch kb_vault_dispatch[];
extern const size_t kb_vault_dispatch_size;
