/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What each phase asks of the broker. All are called for people who are ours, and return a verdict. See
 * common/protocol.def for what the broker makes of it.
 */

#include "pam_module/login.h"

uint32_t kb_phase_authenticate(struct kb_login *login);
uint32_t kb_phase_account(struct kb_login *login);
uint32_t kb_phase_open_session(struct kb_login *login);
uint32_t kb_phase_close_session(struct kb_login *login);
uint32_t kb_phase_preliminary(struct kb_login *login);
uint32_t kb_phase_change(struct kb_login *login);
