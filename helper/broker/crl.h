/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Certificate revocation lists (RFC 5280 section 5) where everybody on this host can read them:
 * /var/lib/keybearer/pki/STORE.CA.crl, 0644, PEM, replaced as a whole. No store can touch the list of
 * another's CA; neither name has a dot in it.
 */

#include "helper/broker/broker.h"

struct kb_crls;

/* Of one store; more are not published, and that is said. As many as a hello of a good store names. */
#define KB_CRLS_MAX 64

int kb_crls_new(struct kb_crls **ret, struct kb_broker *broker);
void kb_crls_free(struct kb_crls *c);
KB_DEFINE_CLEANUP(struct kb_crls, kb_crls_free);

/* Asks the store for a newer list of this CA, and writes it. What goes wrong is said on stderr, and tried
 * again. */
void kb_crl_refresh(struct kb_crls *c, const char *store, const char *ca);
