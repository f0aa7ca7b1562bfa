/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every verb the broker answers: verbs.c has the table, one file per group has the handlers. Who may call is
 * in common/protocol.def and was checked before a handler runs, and so was the shape of the fields.
 *
 * A handler gets the request and the struct kb_broker. It answers exactly once, now or later from the event
 * loop, with kb_request_reply() or kb_request_fail() (helper/server/server.h), also when the peer has hung
 * up. What permits is answered once its record is on disk.
 */

#include "helper/server/server.h"

extern const struct kb_dispatch kb_verbs[];
extern const size_t kb_verbs_count;

/* verbs_admin.c: the administrator */
void kb_verb_status(struct kb_request *request, void *broker);
void kb_verb_admin(struct kb_request *request, void *broker);
void kb_verb_anchor(struct kb_request *request, void *broker);

/* verbs_grant.c: what is handed out */
void kb_verb_grant_list(struct kb_request *request, void *broker);
void kb_verb_grant_revoke(struct kb_request *request, void *broker);
void kb_verb_credential_fetch(struct kb_request *request, void *broker);

/* login_*.c: people at the door */
void kb_verb_authenticate(struct kb_request *request, void *broker);
void kb_verb_proceed(struct kb_request *request, void *broker);
void kb_verb_account(struct kb_request *request, void *broker);
void kb_verb_open_session(struct kb_request *request, void *broker);
void kb_verb_close_session(struct kb_request *request, void *broker);
void kb_verb_change_password(struct kb_request *request, void *broker);
void kb_verb_session_list(struct kb_request *request, void *broker);
void kb_verb_session_end(struct kb_request *request, void *broker);
void kb_verb_recovery(struct kb_request *request, void *broker);
