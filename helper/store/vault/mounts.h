/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the server's mounts are, as it said lately: a mount may be named anything, and only its type says
 * what its paths mean. An administrator may put another one in its place, so what is known is forgotten
 * after a while, and when it led to nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "helper/store/problem.h"
#include "helper/store/vault/api.h"

#define KB_MOUNTS_MAX     64
#define KB_MOUNT_PATH_MAX 256
#define KB_MOUNT_USEC     (300 * KB_USEC_PER_SEC)

struct kb_mount {
        char path[KB_MOUNT_PATH_MAX + 1]; /* "team/kv/" */
        char type[65];                    /* "kv", "database", ... */
        bool versioned;                   /* KV 2 */
        uint64_t until;                   /* CLOCK_BOOTTIME */
};

struct kb_mounts {
        struct kb_mount at[KB_MOUNTS_MAX]; /* a ring; an empty path: nothing */
        unsigned next;
};

/* The mount that a path lies in, or NULL: not known (any more). */
const struct kb_mount *kb_mounts_find(const struct kb_mounts *m, const char *path, uint64_t now);

/* One that is the same on every server, and is not asked for; or NULL. */
const struct kb_mount *kb_mount_built_in(const char *path);

void kb_mounts_put(struct kb_mounts *m, const struct kb_mount *mount);
void kb_mounts_forget(struct kb_mounts *m, const char *path); /* of the mount */

/* What sys/internal/ui/mounts/PATH says; `until` stays 0. KB_E_INTERNAL when that makes no sense. */
enum kb_error kb_mount_read(const struct kb_json_value *data, const char *path, struct kb_mount *ret,
                            struct kb_problem *problem) _must_check_;
