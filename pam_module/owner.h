/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who is ours. Decided here, before anybody is asked, so that root logs in with every process of ours dead:
 *
 *   in /etc/passwd                                KB_V_FOREIGN
 *   in our name service file                      ours; but KB_V_CANNOT_TELL when getpwnam(3) gives another
 *                                                 id than it: the person would come in as somebody else
 *   our file is missing or bad                    KB_V_CANNOT_TELL: nobody is let in by a lost file
 *   getpwnam(3) gives an id in our range          ours, and the broker will refuse: some other source has
 *                                                 taken an id of ours
 *   everybody else                                KB_V_FOREIGN
 *
 * A password file that cannot be read counts as one without the name. That can make nobody foreign who is
 * ours.
 */

#include "pam_module/login.h"

/* KB_E_OK when login->user is ours, else one of the above, with the reason said. */
uint32_t kb_owner_check(struct kb_login *login);
