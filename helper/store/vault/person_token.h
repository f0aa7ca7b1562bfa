/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The tokens of people who are on this host: what they logged in with lives on for as long as they are
 * there, so that a secret can be fetched as them. One for each person, that of the first login; what a later
 * login gives is revoked at once.
 *
 *   renewed   at two thirds of its life; what cannot be renewed ends
 *   revoked   once a greeting of the broker, which names who is there, does not name them any more; with
 *             itself, or by its accessor with the token of this host when it is not known any more
 *   written   the accessors, which are no secrets, into the file `people` of the store's folder, before
 *             anybody hears of the login: so those from before a crash or a boot are revoked, too. The
 *             tokens themselves are nowhere but in memory
 */

#include <systemd/sd-event.h>

#include "common/clock.h"
#include "helper/store/vault/login.h"

#define KB_PERSON_TOKENS_MAX  1024
#define KB_PERSON_TOKEN_GRACE (15 * KB_USEC_PER_SEC) /* from a login to the session */

struct kb_person_tokens;

/* Copied, but for what it points to, which has to outlive the tokens. */
struct kb_person_tokens_settings {
        sd_event *event;
        struct kb_cluster *cluster;
        struct kb_login *login; /* of this host, for what is revoked by its accessor */
        const char *namespace;  /* NULL or "": none */
        const char *folder;     /* $STATE_DIRECTORY */
};

/* Reads the file: 0, also when it makes no sense, which is said; or a negative errno. */
int kb_person_tokens_new(struct kb_person_tokens **ret, const struct kb_person_tokens_settings *settings)
        _must_check_;
void kb_person_tokens_free(struct kb_person_tokens *t); /* asks nothing of a server any more */
KB_DEFINE_CLEANUP(struct kb_person_tokens, kb_person_tokens_free);

/*
 * What a login gave. It is held, or revoked: when there is one already, no accessor, no room, or the file
 * cannot be written.
 */
void kb_person_tokens_take(struct kb_person_tokens *t, const char *user, const struct kb_api_auth *auth);

/* Revokes one that was never held. */
void kb_person_tokens_part(struct kb_person_tokens *t, const char *token, const char *type);

/* Empty when there is none. ret_ends: CLOCK_BOOTTIME. Lives until the loop runs on. */
struct kb_span kb_person_tokens_find(const struct kb_person_tokens *t, const char *user, uint64_t *ret_ends);

/* Who is there, as a greeting names them: revokes those of all others. */
void kb_person_tokens_present(struct kb_person_tokens *t, struct kb_list people);

/* True when no server is being asked. */
bool kb_person_tokens_idle(const struct kb_person_tokens *t);

/* How many there are, for `store status`. */
unsigned kb_person_tokens_count(const struct kb_person_tokens *t);
