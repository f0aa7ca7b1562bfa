/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The store's own certificate authorities: made here, their keys never leave. A certificate is issued for a
 * role and remembered until it has expired, so that it can be revoked; what is revoked stands in the CA's
 * list.
 */

#include "helper/store/local/local.h"
#include "helper/store/local/role.h"

#define KB_CA_NAME_MAX 64

/* KB_E_CONFLICT when there is one of that name. ttl in seconds. */
enum kb_error kb_ca_create(struct kb_local *l, const char *name, const char *common_name, uint64_t ttl,
                           uint64_t now, struct kb_problem *problem);

/* Its certificate as PEM is attribute "certificate" of the object of kind "ca". */
enum kb_error kb_ca_get(struct kb_local *l, const char *name, struct kb_object *ret,
                        struct kb_problem *problem);

/* A certificate, as it goes to who asked. The pairs: certificate, private_key, ca_chain, ... */
struct kb_issued {
        struct kb_list_builder fields;
        char lease[128]; /* "pki/CA/SERIAL" */
        uint64_t ttl;    /* seconds from now */
};
void kb_issued_done(struct kb_issued *i); /* wipes */
#define _cleanup_issued_ _cleanup_(kb_issued_done)

/*
 * Issues a certificate for a role. The same request id, not empty and of at most 64 bytes, with the same
 * role and parameters gives the same certificate and key again for KB_REPLY_SEC seconds, over a crash too:
 * the answer lies sealed in the database, in the transaction that issued it.
 */
#define KB_REPLY_SEC 600
enum kb_error kb_pki_issue(struct kb_local *l, const char *role, struct kb_list parameters,
                           const char *request, uint64_t now, struct kb_issued *ret,
                           struct kb_problem *problem);

/* Wipes answers that are too old to be given again; nothing is written when there are none. */
int kb_pki_forget_answers(struct kb_local *l, uint64_t now) _must_check_;

/* As kb_x509_serial() makes it: anything else is none of ours, and would only spoil the list. */
bool kb_serial_valid(const char *serial);

/*
 * Revokes. One that is revoked already is no error, nor is one of a CA that is not there. One that is not
 * known, as after a restore, gets into the list of its CA all the same.
 */
enum kb_error kb_pki_revoke(struct kb_local *l, const char *ca, const char *serial, uint64_t now,
                            struct kb_problem *problem);

/* Whether it is still there: what renew asks. KB_E_NOT_FOUND, KB_E_EXPIRED. */
enum kb_error kb_pki_check(struct kb_local *l, const char *ca, const char *serial, uint64_t now,
                           uint64_t *ret_ttl, struct kb_problem *problem);

/* The newest list, made when something was revoked since, or half of its life is over. */
struct kb_crl {
        uint64_t number;
        uint64_t next_update; /* microseconds since the epoch */
        struct kb_writer pem;
};
void kb_crl_done(struct kb_crl *c);
#define _cleanup_crl_ _cleanup_(kb_crl_done)
enum kb_error kb_pki_crl(struct kb_local *l, const char *ca, uint64_t now, struct kb_crl *ret,
                         struct kb_problem *problem);
