/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Secrets of a cluster, for the verbs fetch, renew and revoke. What a path means is said by the type of the
 * mount that it lies in, not by the mount's name; the tables in engines.c say what each type has:
 *
 *   kv                 PATH; version 1 and 2
 *   database           creds/ROLE (leased), static-creds/ROLE
 *   pki                issue/ROLE, sign/ROLE with a key that is made here
 *   ssh                sign/ROLE
 *   totp               code/NAME
 *   transit            decrypt/KEY
 *   sys/wrapping/unwrap
 *   everything else    Method=read (GET) or write (POST), with parameters
 *
 * A request that comes again, with the same id and the same fields, gets the same answer for a minute, or
 * joins the one that is under way: who did not hear an answer makes no second lease. An answer that nobody
 * was there to hear is taken back after seconds. After an end of this process in the middle of a fetch
 * nobody knows: what the server made then lives until its lease or the token ends.
 *
 * Names of leases, none of which holds a secret, and all of which say all there is to know:
 *
 *   ID#token/N             a lease of the server, made with our token of that generation; 0: with that of a
 *                          person, or of whoever wrapped it
 *   MOUNT/#cert/SERIAL     a certificate without a lease: revoked by its serial number
 *   PATH#record/TEXT       ends by itself, cannot be taken back: a static password, a certificate of SSH
 *   PATH@VERSION           has no end: a kept secret. Where the server counts no versions, VERSION is a
 *                          keyed fingerprint of the values
 */

#include <systemd/sd-event.h>

#include "helper/server/server.h"
#include "helper/store/vault/login.h"
#include "helper/store/vault/person_token.h"

#define KB_FINGERPRINT_KEY_SIZE 32

struct kb_engines;

/* Copied, but for what it points to, which has to outlive the engines. */
struct kb_engines_settings {
        sd_event *event;
        struct kb_cluster *cluster;
        struct kb_login *login;
        struct kb_person_tokens *people; /* whom a fetch may be made as */
        const char *namespace;           /* NULL or "": none */
        uint64_t request_usec;           /* for one verb, all its requests together */
        uint8_t fingerprint_key[KB_FINGERPRINT_KEY_SIZE];
};

/*
 * The key that fingerprints are made with, from the file `fingerprint` of that folder; made when there is
 * none. It stays the same, so that a restart is no new version. 0 or a negative errno.
 */
int kb_fingerprint_key(const char *folder, uint8_t ret[KB_FINGERPRINT_KEY_SIZE]) _must_check_;

int kb_engines_new(struct kb_engines **ret, const struct kb_engines_settings *settings) _must_check_;

/* Requests that are still open are not answered any more: the server they belong to is freed before. */
void kb_engines_free(struct kb_engines *e);
KB_DEFINE_CLEANUP(struct kb_engines, kb_engines_free);

/* No request comes any more: takes back what nobody took. True when nothing is under way. */
bool kb_engines_idle(struct kb_engines *e);

/* The verbs. Each answers its request, now or later. */
void kb_engines_fetch(struct kb_engines *e, struct kb_request *request);
void kb_engines_renew(struct kb_engines *e, struct kb_request *request);
void kb_engines_revoke(struct kb_engines *e, struct kb_request *request);
