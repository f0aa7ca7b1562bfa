/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /run/keybearer/users/UID/current: where people find their credentials while they are logged in, and the
 * programs they run find them through $KEYBEARER_CREDENTIALS. It is replaced as a whole, so that a user name
 * and a password in it always belong together. Others see that it is there, and nothing that is in it.
 */

#include "helper/broker/grants.h"

#define KB_USERS_DIR KB_RUNDIR "/users"

/* The folder of whoever has this uid, as a session is told of it. */
#define KB_USER_FOLDER_MAX 256
void kb_user_folder_path(const char *uid, char ret[static KB_USER_FOLDER_MAX]);

/*
 * Makes the folder what this person's grants are now: the newest values of each. When none is left, it is
 * that of another name with this uid; without one, no folder at all. 0 or a negative errno, which was said
 * on stderr.
 */
int kb_user_folder_update(struct kb_broker *broker, const char *user, const char *uid);

/* What was before the newest values goes. */
void kb_user_folder_settle(struct kb_broker *broker, const char *uid);

/* Whether there is anything of this credential in the person's folder. */
bool kb_user_folder_has(const struct kb_broker *broker, const char *uid, const char *credential);

/* After our start: removes what belongs to people who hold nothing any more. */
void kb_user_folder_clean(struct kb_broker *broker);
