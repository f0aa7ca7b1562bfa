/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The fields of a secret -> the bytes that a consumer reads. NAME.FIELD is one field, as it is. NAME is the
 * whole secret, in the credential's Template= or else Format=:
 *
 *   raw   the one field there is
 *   json  {"password":"...","username":"..."}, sorted by name
 *   env   NAME_FIELD="...", in capitals, '-' as '_': for EnvironmentFile= of systemd.exec(5) and for sh(1).
 * The credential's name stands in front, so that no store can set PATH or LD_PRELOAD ini   [NAME], then
 * FIELD = ... pem   private_key, certificate, ca_chain in this order, each as far as it is there: what
 * servers take as one file
 *
 * A value that a format cannot carry so that every reader reads the same is refused and never bent: json,
 * env and ini want UTF-8; env no control character but newline and tab; ini none at all, no blank and no
 * quote at an end, and no ';' or '#' that could begin a comment. base64 in a template carries anything.
 */

#include "helper/config/credential.h"
#include "helper/grant/fields.h"

/*
 * Appends to `out`, all or nothing. field: empty for the whole secret.
 *
 * 0; -ENOENT: no such field; -EINVAL: the format does not fit these fields, or the template is none;
 * -EILSEQ: a value that the format cannot carry; -EMSGSIZE, -ENOMEM. *problem says it in words, with names
 * and no values.
 */
int kb_format_write(const struct kb_credential *credential, const struct kb_fields *fields,
                    const char *field, struct kb_writer *out, struct kb_fields_problem *problem)
        _must_check_;
