/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Finding people and groups in the bytes of a users-1 file (nss_file.h). Nothing here trusts the bytes: each
 * access is checked against the section it belongs to, each id against the range, each string for its end.
 * libc only, no allocation, no system call; any bytes may be given, and all that can happen is -EBADMSG.
 */

#include <stdbool.h>

#include "common/macro.h"
#include "common/secret.h"
#include "common/ids.h"
#include "directory/nss_file.h"

struct kb_nss_view {
        struct kb_span file;
        struct kb_id_range range;
        uint64_t number;
        struct {
                const uint8_t *at;
                uint32_t count;
        } section[KB_NSS_SECTIONS];
};

/* A user where he lies. Strings point into text, which is one piece that may be copied as it is. */
struct kb_nss_user {
        uint32_t uid;
        const char *text;
        size_t text_size;
        const char *name, *password, *full_name, *home, *shell;
        const uint8_t *gids; /* for kb_nss_user_gid() */
        uint32_t n_gids;
};

struct kb_nss_group {
        uint32_t gid;
        const char *text;
        size_t text_size; /* the last byte is a NUL */
        const char *name, *password;
        const uint8_t *members; /* for kb_nss_group_member() */
        uint32_t n_members;
};

/* 0, or -EBADMSG for anything that is not a users-1 file, whole and of this format. */
int kb_nss_view_init(struct kb_nss_view *ret, struct kb_span file) _must_check_;

/* Whether the checksum is right. Reads every byte: for the writer and for `doctor`, not for look-ups. */
bool kb_nss_view_intact(const struct kb_nss_view *view);

/*
 * 1 when found, 0 when the file, which is complete, has no such user or group; -EBADMSG when it is damaged
 * where we looked. A name may be any string, however long.
 */
int kb_nss_user_by_name(const struct kb_nss_view *view, const char *name, struct kb_nss_user *ret)
        _must_check_;
int kb_nss_user_by_id(const struct kb_nss_view *view, uint32_t uid, struct kb_nss_user *ret) _must_check_;
int kb_nss_group_by_name(const struct kb_nss_view *view, const char *name, struct kb_nss_group *ret)
        _must_check_;
int kb_nss_group_by_id(const struct kb_nss_view *view, uint32_t gid, struct kb_nss_group *ret) _must_check_;

/* The same by index, in the order of names; 0 behind the last. */
int kb_nss_user_at(const struct kb_nss_view *view, uint32_t index, struct kb_nss_user *ret) _must_check_;
int kb_nss_group_at(const struct kb_nss_view *view, uint32_t index, struct kb_nss_group *ret) _must_check_;

/* The i-th supplementary group of a user, i < n_gids. 0 (which is never ours) when the file is damaged
 * there. */
uint32_t kb_nss_user_gid(const struct kb_nss_view *view, const struct kb_nss_user *user, uint32_t i);

/* The i-th member of a group, i < n_members: its offset in text, text_size or more when the file is damaged.
 */
uint32_t kb_nss_group_member(const struct kb_nss_group *group, uint32_t i);
