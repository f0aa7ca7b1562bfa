/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Names and ids that the host's own files know: /etc/passwd and /etc/group, read by ourselves, because
 * getpwnam() would ask every other source too, us among them. They come first in nsswitch.conf, so whatever
 * they know is not ours, whatever a store says.
 *
 * Users and groups are one set: a person of ours takes a user's name and uid and a group's name and gid, so
 * anything known on either side is taken.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/macro.h"

struct kb_files_db;

/*
 * 0; -ENOENT and other errors of open(2) (only for passwd: without a group file there are no groups); -EFBIG
 * for a file of more than 64 MiB; -ENOMEM. Lines that make no sense to us count as far as they go: a name is
 * taken even where the rest of its line is broken.
 */
int kb_files_db_load(struct kb_files_db **ret, const char *passwd_path, const char *group_path) _must_check_;
void kb_files_db_free(struct kb_files_db *db);
KB_DEFINE_CLEANUP(struct kb_files_db, kb_files_db_free);

bool kb_files_db_has_name(const struct kb_files_db *db, const char *name);
bool kb_files_db_has_id(const struct kb_files_db *db, uint32_t id);
