/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Credentials for a login: what a person may have, from the first session to the linger after the last.
 *
 * A grant is held by those sessions that came through one of the credential's Services=: sudo or a job of
 * cron keeps nothing alive that it would not be given. When none of them is left, the grant waits for
 * Linger=, so that a login soon after takes it up again, and is revoked then. It is revoked at once when the
 * person may not have it any more: the credential's file names neither them nor a group of theirs, or the
 * directory has them no longer, or has them disabled or expired.
 */

#include "directory/document.h"
#include "helper/broker/grants.h"

struct kb_user_grants;

/*
 * Takes up the grants of people that were restored, once sessions and directory are there: ends those whose
 * values are in no folder (after a reboot, or when we died before they were written), and clears folders
 * that nobody owns. 0 or a negative errno.
 */
int kb_user_grants_new(struct kb_user_grants **ret, struct kb_broker *broker) _must_check_;
void kb_user_grants_free(struct kb_user_grants *grants);
KB_DEFINE_CLEANUP(struct kb_user_grants, kb_user_grants_free);

/* folder: for $KEYBEARER_CREDENTIALS; "" when there is nothing for this session. Called exactly once. */
typedef void (*kb_user_grants_done)(const char *folder, void *userdata);

/*
 * A session of this person has begun through this service: asks for what it may have and is not there yet.
 * A credential that cannot be had does not hold up the login: it is written down, and not in the folder.
 * One that the store may still give (OnUnavailable=wait) appears there later; the login waits for
 * KB_USER_GRANTS_WAIT_USEC at most. request: its id, for the log.
 */
#define KB_USER_GRANTS_WAIT_USEC (3 * KB_USEC_PER_SEC) /* of the 5 s that a PAM module waits */
void kb_user_grants_ask(struct kb_user_grants *grants, const struct kb_person *person, const char *service,
                        const char *request, kb_user_grants_done done, void *userdata);

/*
 * Looks again who holds what and may: after a session of this person has changed; user NULL: after the
 * directory or a file has. grants NULL: nothing to do.
 */
void kb_user_grants_check(struct kb_user_grants *grants, const char *user);

/* What no session of this person holds is revoked without linger. */
void kb_user_grants_drop(struct kb_user_grants *grants, const char *user);
