/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What one phase leaves for the next. What a login has shown lies in the broker; here is only its handle.
 *
 * From auth to account and session it travels in the PAM environment as KEYBEARER_SESSION, because sshd
 * authenticates in a child of its own and nothing else comes back from there. open_session takes it out, so
 * that it does not end up in the person's environment. The handle that close_session needs stays in the PAM
 * handle: who opens a session closes it.
 *
 * Setters return 0, -EBADMSG for a value that cannot be one, -ENOMEM.
 */

#include "pam_module/login.h"

/* "" when there is none. */
const char *kb_state_login(const struct kb_login *login);
int kb_state_set_login(struct kb_login *login, const char *handle) _must_check_;
void kb_state_forget_login(struct kb_login *login);

/* $KEYBEARER_CREDENTIALS of the session; "" takes it away. */
int kb_state_set_credentials(struct kb_login *login, const char *path) _must_check_;

/* The open session's handle, by user: sudo opens sessions for several with one PAM handle. "" when there is
 * none. */
const char *kb_state_session(const struct kb_login *login);
int kb_state_set_session(struct kb_login *login, const char *handle) _must_check_;
