/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The signed directory in KV 2 (directory/head.h), for the verb `directory`. The first portion is the head
 * with its signature, each further one a shard. Who has the newest one costs the server one request: for the
 * head. What has changed is fetched, shard by shard, as the portions are asked for; shards that an earlier
 * head named already are at hand. Whether it is well signed is not judged here: who asks does not trust us.
 *
 *   MOUNT/data/PATH/head             {"head": base64}
 *   MOUNT/data/PATH/shards/SHA256    {"shard": base64}
 */

#include "helper/server/server.h"
#include "helper/store/vault/engines.h"

struct kb_vault_directory;

/* mount and path as in the file of settings, and have to outlive it. 0 or -ENOMEM. */
int kb_vault_directory_new(struct kb_vault_directory **ret, const struct kb_engines_settings *settings,
                           const char *mount, const char *path) _must_check_;

/* As kb_engines_free(): what is under way is not answered. */
void kb_vault_directory_free(struct kb_vault_directory *d);
KB_DEFINE_CLEANUP(struct kb_vault_directory, kb_vault_directory_free);

/* The verb. Answers its request, now or later. */
void kb_vault_directory_get(struct kb_vault_directory *d, struct kb_request *request);

/*
 * store_admin `directory put NAME`: writes an entry, "head" or "shards/SHA256", whose bytes are the field
 * `value`. A head takes the place of the one that was read last, or of none: when there is another one by
 * now, that is KB_E_CONFLICT, and nothing was written. With a token that may write.
 */
void kb_vault_directory_put(struct kb_vault_directory *d, struct kb_request *request,
                            const struct kb_store_admin_request *what);

/* Nothing is under way. */
bool kb_vault_directory_idle(const struct kb_vault_directory *d);
