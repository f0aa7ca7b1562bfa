/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a call to the module came to, and the PAM code for it: one table, one row per verdict, one column per
 * phase. A number that has no row is a refusal. PAM_IGNORE is in no row: whoever is ours is never let past
 * us by an error, and whoever is not is PAM_USER_UNKNOWN, which the profile may ignore.
 */

#include <stdint.h>

#include "common/error.h"

enum kb_phase {
        KB_PHASE_AUTHENTICATE,
        KB_PHASE_ACCOUNT,
        KB_PHASE_OPEN_SESSION,
        KB_PHASE_CLOSE_SESSION,
        KB_PHASE_PRELIMINARY, /* pam_sm_chauthtok() with PAM_PRELIM_CHECK */
        KB_PHASE_CHANGE,      /* pam_sm_chauthtok() with PAM_UPDATE_AUTHTOK */
        KB_PHASE_MAX,
};

/* A verdict is an enum kb_error as the broker sends it, or one of these, which only a module can come to. */
enum kb_verdict {
        KB_V_FOREIGN = 0x10000, /* not ours to judge */
        KB_V_CANNOT_TELL,       /* whether they are ours */
        KB_V_NO_NAME,           /* the program named nobody */
        KB_V_BAD_ARGUMENT,      /* of the module */
        KB_V_NO_ANSWER,         /* from the person: the conversation failed */
        KB_V_NO_MEMORY,
        KB_V_CHANGE_PASSWORD, /* allowed, when the password was changed */
};

/* A PAM code. */
int kb_result_pam(enum kb_phase phase, uint32_t verdict);

/* What goes to the journal: a syslog level, a word. */
int kb_result_level(uint32_t verdict);
const char *kb_result_word(uint32_t verdict);

/* "authenticate", "account" ... */
const char *kb_phase_name(enum kb_phase phase);
