/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What each phase asks of the broker. All are called for people who are ours, and return a verdict
 * (result.h) with the reason said in login->reason. See common/protocol.def for what the broker makes of it.
 */

#include "pam_module/login.h"

/* Asks the person for what the broker wants to know, until it says yes or no; leaves the handle (state.h).
 */
uint32_t kb_phase_authenticate(struct kb_login *login);
/* Whether the rules permit it now; KB_V_CHANGE_PASSWORD when a new password is needed first. No prompt. */
uint32_t kb_phase_account(struct kb_login *login);
/* A session begins and ends. That one could not be closed is for the journal: PAM is told PAM_SUCCESS. */
uint32_t kb_phase_open_session(struct kb_login *login);
uint32_t kb_phase_close_session(struct kb_login *login);
/* The two halves of pam_sm_chauthtok(3): whether the password can be changed, and changing it. */
uint32_t kb_phase_preliminary(struct kb_login *login);
uint32_t kb_phase_change(struct kb_login *login);
