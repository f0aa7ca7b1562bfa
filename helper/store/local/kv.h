/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Key-value secrets with versions. A path ("kv/orders/db") has versions 1, 2, ...; a number is never given
 * twice, except by a store that was put back: who keeps a number keeps the store's epoch beside it. A
 * version is live, deleted (taken away, can be had back) or destroyed (its bytes are gone for good). Of each
 * path the newest KB_KV_KEEP versions keep their bytes.
 */

#include "helper/store/local/local.h"

#define KB_KV_KEEP       10
#define KB_KV_SIZE_MAX   (256 * 1024) /* all fields of a version together */
#define KB_KV_FIELDS_MAX 64

#define KB_KV_LATEST 0
#define KB_KV_ANY    UINT64_MAX /* no check-and-set */

/* A version that was read; `fields` are pairs and point into `plain`. */
struct kb_kv_secret {
        uint64_t version;
        uint64_t created;
        struct kb_writer plain;
        struct kb_list fields;
};
void kb_kv_secret_done(struct kb_kv_secret *s); /* wipes */
#define _cleanup_kv_secret_ _cleanup_(kb_kv_secret_done)

/*
 * Writes a new version. expected: the version it replaces, 0 when there must be none yet, KB_KV_ANY. After
 * the newest was deleted it counts as there: its number is what is expected.
 */
enum kb_error kb_kv_put(struct kb_local *l, const char *path, struct kb_list fields, uint64_t expected,
                        uint64_t now, uint64_t *ret_version, struct kb_problem *problem);

/* Reads a version. KB_E_NOT_FOUND says whether it never was, is deleted, or is destroyed. */
enum kb_error kb_kv_get(struct kb_local *l, const char *path, uint64_t version, struct kb_kv_secret *ret,
                        struct kb_problem *problem);

/* Takes a version away, gives it back, destroys it. KB_KV_LATEST is the newest one. */
enum kb_error kb_kv_delete(struct kb_local *l, const char *path, uint64_t version, uint64_t now,
                           struct kb_problem *problem);
enum kb_error kb_kv_undelete(struct kb_local *l, const char *path, uint64_t version,
                             struct kb_problem *problem);
enum kb_error kb_kv_destroy(struct kb_local *l, const char *path, uint64_t version,
                            struct kb_problem *problem);

struct kb_kv_entry {
        const char *path;
        uint64_t version;
        uint64_t created;
        const char *state; /* live, deleted, destroyed */
};

/* The newest version of each path that begins with prefix and comes after `after`; or all versions of one
 * path. */
int kb_kv_list(struct kb_local *l, const char *prefix, const char *after,
               int (*each)(const struct kb_kv_entry *entry, void *userdata), void *userdata) _must_check_;
int kb_kv_versions(struct kb_local *l, const char *path,
                   int (*each)(const struct kb_kv_entry *entry, void *userdata), void *userdata)
        _must_check_;
