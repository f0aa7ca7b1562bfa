/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A login's second factor (login MFA of OpenBao): with what a code that somebody types is sent. Plain work
 * on the server's answer.
 *
 * A right password without a code is answered with what would be enough (mfa_requirement): each of its
 * constraints names methods, one of which has to be shown. A login that has the header X-Vault-MFA:
 * METHOD:CODE from the start is complete at once. That is the way in here: OpenBao 2.4 forgets at once the
 * token that the other one, sys/mfa/validate, gives.
 */

#include "helper/store/problem.h"
#include "helper/store/vault/json.h"

#define KB_MFA_METHOD_MAX 64 /* an id is a UUID */
#define KB_MFA_CODE_MAX   32

/*
 * The id of the first method that takes a code and is enough for all constraints. wanted: its name or id, of
 * MfaMethod=; NULL: whichever. KB_E_OK; KB_E_UNSUPPORTED with a sentence when there is none.
 */
enum kb_error kb_mfa_choose(const struct kb_json_value *requirement, const char *wanted,
                            char ret[KB_MFA_METHOD_MAX + 1], struct kb_problem *problem) _must_check_;

/* METHOD:CODE into w, without the blanks that people type into a code. False when it can be no code. */
bool kb_mfa_write(const char *method, struct kb_span code, struct kb_writer *w) _must_check_;
