/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A signed document: what a store that others write gives for the directory. It is a head and the shards
 * that the head vouches for, one behind the other:
 *
 *   bytes body        what follows, encoded
 *   bytes signature   64 bytes: Ed25519 (RFC 8032) over KB_HEAD_SIGNED, then body (directory/signature.h)
 *   the shards        as they are, in the order of the head: together the records of records.h
 *
 *   body: u32     format, 1
 *         string  cluster: whose directory it is, so that the one of a test cluster is nobody's elsewhere
 *         u64     version: greater than that of every one before
 *         u64     made, microseconds since the epoch
 *         u64     not_after: nobody is let in by it from then on; KB_TIME_NEVER: no end
 *         list    shards: of each, u32 size and the 32 bytes of its SHA-256
 *
 * Integers, bytes, string and list are those of common/wire.h. In a key-value store the head lies as entry
 * `head`, each shard as entry `shards/` and its SHA-256 in small hexadecimal digits: a shard never changes,
 * and two heads share those that are alike.
 *
 * This file knows the shape only, so that a store can look for what has changed. Nothing is to be believed
 * before kb_signature_check().
 */

#include <sys/types.h>

#include "common/wire.h"

#define KB_HEAD_FORMAT      1
#define KB_HEAD_SIGNED      "Keybearer directory head\n"
#define KB_HEAD_BODY_MAX    65536
#define KB_HEAD_MAX         (KB_HEAD_BODY_MAX + 256) /* with its signature */
#define KB_SIGNATURE_SIZE   64
#define KB_CLUSTER_NAME_MAX 64
#define KB_SHARDS_MAX       1000
#define KB_SHARD_MAX        (512 * 1024) /* in base64 it fits an entry of OpenBao, which may have 1 MiB */
#define KB_SHARD_HASH_SIZE  32
#define KB_SHARD_NAME_SIZE  (2 * KB_SHARD_HASH_SIZE + 1)

struct kb_shard {
        uint32_t size;
        uint8_t hash[KB_SHARD_HASH_SIZE];
};

struct kb_head {
        const char *cluster;
        uint64_t version;
        uint64_t made;
        uint64_t not_after;
        struct kb_list shards;
};

/* Where the three parts lie. */
struct kb_signed {
        struct kb_span body, signature, shards;
};

void kb_head_put(struct kb_writer *w, const struct kb_head *head);
void kb_head_add_shard(struct kb_list_builder *shards, const struct kb_shard *shard);

/* Takes a body apart; points into it. 0 or -EBADMSG: also for another format, no name of a cluster, version
 * 0, and shards that are empty, too large or too many. */
int kb_head_get(struct kb_span body, struct kb_head *ret) _must_check_;

/* The next shard of a list that kb_head_get() gave; false at its end. */
bool kb_head_next_shard(struct kb_list *shards, struct kb_shard *ret);

/* `shards/` is not part of it. */
void kb_shard_name(const struct kb_shard *shard, char ret[KB_SHARD_NAME_SIZE]);

/* The beginning of a document: a head and its signature; then the rest of it. */
void kb_signed_put(struct kb_writer *w, struct kb_span body, struct kb_span signature);
int kb_signed_get(struct kb_span document, struct kb_signed *ret) _must_check_; /* 0 or -EBADMSG */

/*
 * Where the records of a document are cut into shards, so that a change of one record changes one shard or
 * two: behind a record whose bytes say so, in 512 one, once the shard has KB_SHARD_LEAST bytes. Returns the
 * size of the first shard of what is left, 0 when nothing is; -EMSGSIZE for a record larger than a shard;
 * -EBADMSG for what is no sequence of records.
 */
#define KB_SHARD_LEAST (64 * 1024)
ssize_t kb_shard_cut(struct kb_span records) _must_check_;
