/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The last good answers of key-value secrets, for OnUnavailable=stale: what a consumer gets while the store
 * is away. Only for what may be old: a lease is never handed out from here. Each answer is wiped when its
 * StaleSec= is over, and the oldest when there is no room.
 */

#include "common/clock.h"
#include "common/wire.h"

struct kb_cache;

/* Keeps at most so many answers, and so many bytes of them. 0 or -ENOMEM. */
int kb_cache_new(struct kb_cache **ret, size_t max_entries, size_t max_bytes) _must_check_;
void kb_cache_free(struct kb_cache *cache); /* wipes */
KB_DEFINE_CLEANUP(struct kb_cache, kb_cache_free);

/*
 * Keeps an answer under a key that says everything it depends on: store, path, version, parameters. Replaces
 * what was there. stale_usec: for how long it may be used. 0; -EMSGSIZE: longer than all there is; -ENOMEM:
 * then nothing is kept under this key.
 */
int kb_cache_put(struct kb_cache *cache, const char *key, struct kb_span answer, uint64_t now,
                 uint64_t stale_usec) _must_check_;

/*
 * The answer, which lives until the cache is next changed, and its age. False when there is none that may
 * still be used. stale_usec: as the credential's file says by now; the shorter of this and what
 * kb_cache_put() was told counts.
 */
bool kb_cache_get(struct kb_cache *cache, const char *key, uint64_t now, uint64_t stale_usec,
                  struct kb_span *ret, uint64_t *ret_age);

/* The store said no: what it said before does not count any more. */
void kb_cache_drop(struct kb_cache *cache, const char *key);

/* Wipes what is over. Returns when to call it next, KB_TIME_NEVER when nothing is kept. */
uint64_t kb_cache_expire(struct kb_cache *cache, uint64_t now);
