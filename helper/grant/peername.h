/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The name of the socket that systemd connects from when it fetches a credential: which unit asks for what
 * (systemd.exec(5), LoadCredential=). It is a claim: whoever may bind a socket may choose it, so the broker
 * compares the unit with the cgroup of the peer.
 *
 *   NUL  1-16 hex digits  "/unit/"  UNIT  "/"  NAME or NAME.FIELD
 */

#include "common/names.h"
#include "common/secret.h"

struct kb_peername {
        char unit[KB_UNIT_NAME_MAX + 1];
        char credential[KB_CREDENTIAL_NAME_MAX + 1];
        char field[KB_CREDENTIAL_NAME_MAX + 1]; /* empty: the whole credential */
};

/*
 * name: sun_path as getpeername(2) gave it, with its leading NUL, exactly as long as the address length
 * says. 0, or -EBADMSG for anything that is not exactly this shape or names what common/names.h does not let
 * through.
 */
int kb_peername_parse(struct kb_span name, struct kb_peername *ret) _must_check_;

/* "NAME" or "NAME.FIELD" alone, as in LoadCredential=. Writes credential and field. 0 or -EBADMSG. */
int kb_peername_parse_id(struct kb_span id, struct kb_peername *ret) _must_check_;
