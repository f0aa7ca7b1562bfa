/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files of one consumer's folder, put together from its grants: for each credential NAME, where it can
 * be written as a whole, and NAME.FIELD. All of a grant's files come from its newest lease.
 */

#include "helper/broker/grants.h"
#include "helper/grant/publish.h"

struct kb_folder;

/* NULL when memory is out. */
struct kb_folder *kb_folder_new(void);
void kb_folder_free(struct kb_folder *folder); /* wipes */
KB_DEFINE_CLEANUP(struct kb_folder, kb_folder_free);

/*
 * Adds what kb_grants_shown() of a grant is about; the grant must stay until the folder is published. A
 * lease whose values we do not have any more, after a restart of ours, stands for what the folder has of it.
 */
void kb_folder_add(struct kb_folder *folder, const struct kb_held *held);

/*
 * kb_publish() of all that; uid may be KB_PUBLISH_FOR_GROUP. -E2BIG: more files than a folder may have;
 * -ENODATA: a secret that would be empty as a whole, which no consumer shall find.
 */
int kb_folder_publish(const struct kb_folder *folder, int base_fd, const char *name, uid_t uid, gid_t gid)
        _must_check_;

/* kb_publish_beside(), the same way. */
int kb_folder_publish_beside(const struct kb_folder *folder, int base_fd, const char *name, uid_t uid,
                             gid_t gid, struct kb_publish_keep keep) _must_check_;
