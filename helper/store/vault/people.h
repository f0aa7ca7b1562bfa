/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * People whose password a cluster checks, by userpass or LDAP: for the verbs store_authenticate,
 * store_continue and change_secret. That needs no login of this host.
 *
 *   password       asked for once and never again: the server counts what is wrong, and locks after a few
 *   second factor  when the server wants one, the code is asked for; the password is kept for that, in
 *                  memory that is wiped, for three minutes and for so many people at most. Both are sent
 *                  together then: see mfa.h
 *   token          what a login gives is a token: person_token.h holds it while the person is there
 *
 * How a login ends
 *
 *   KB_E_BAD_SECRET    the password, or the code. An unknown name sounds the same
 *   KB_E_LOCKED        the server refuses to look at the password (403): after too many that were wrong; or
 *                      the entity is disabled, or the method is not mounted there. It does not say which
 *   KB_E_UNSUPPORTED   Method=none, another method than the person's, or a factor that nobody can type
 *   others             as in cluster.h. A directory service that does not answer is KB_E_UNREACHABLE
 */

#include <systemd/sd-event.h>

#include "helper/config/store_vault.h"
#include "helper/server/server.h"
#include "helper/store/vault/person_token.h"

#define KB_PEOPLE_WAITING   256 /* for a code; where there is no room, who came first has to begin anew */
#define KB_PEOPLE_WAIT_USEC (180 * KB_USEC_PER_SEC)

struct kb_people;

/* Copied, but for what it points to, which has to outlive the people. */
struct kb_people_settings {
        sd_event *event;
        struct kb_cluster *cluster;
        struct kb_person_tokens *tokens;
        const char *namespace; /* NULL or "": none */
        enum kb_vault_people method;
        const char *mount;      /* below auth/ */
        const char *mfa_method; /* NULL: whichever takes a code */
        uint64_t request_usec;
};

int kb_people_new(struct kb_people **ret, const struct kb_people_settings *settings) _must_check_;

/* Requests that are still open are not answered any more: the server they belong to is freed before. */
void kb_people_free(struct kb_people *p);
KB_DEFINE_CLEANUP(struct kb_people, kb_people_free);

/* No request comes any more. True when nothing is under way. */
bool kb_people_idle(const struct kb_people *p);

/* The verbs. Each answers its request, now or later. */
void kb_people_authenticate(struct kb_people *p, struct kb_request *request);
void kb_people_continue(struct kb_people *p, struct kb_request *request);
void kb_people_change_secret(struct kb_people *p, struct kb_request *request);
