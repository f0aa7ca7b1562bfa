/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The published names inside a process: mapped once, mapped anew when there are others, and otherwise read
 * without any system call. For modules in foreign programs: libc only; no lock, no descriptor kept, no
 * thread data, no handler, no allocation. Any number of threads may look up at once, and any of them may
 * fork.
 *
 *   static struct kb_nss nss = KB_NSS_INIT(KB_NSS_FOLDER);
 *
 *   r = kb_nss_open(&nss, &view);        // negative: cannot tell
 *   if (r >= 0) {
 *           r = kb_nss_user_by_name(view, name, &user);        // 1, 0 for certain, or cannot tell
 *           ... user points into the view ...
 *           kb_nss_close(view);
 *   }
 */

#include <stdatomic.h>

#include "directory/nss_view.h"

/* More than one is needed only while threads are still inside an older one. */
#define KB_NSS_SLOTS 8

struct kb_nss_slot {
        struct kb_nss_view view; /* first: kb_nss_close() goes back from it */
        uint64_t number;         /* in generation before the file was opened */
        atomic_int pins;
};

struct kb_nss {
        const char *folder;
        _Atomic(const _Atomic uint64_t *) generation;
        _Atomic(struct kb_nss_slot *) current;
        struct kb_nss_slot slots[KB_NSS_SLOTS];
};

#define KB_NSS_INIT(folder_)                                                                                \
        {                                                                                                   \
                .folder = (folder_)                                                                         \
        }

/*
 * The names as they are now. 0, or why it cannot be told: -ENOENT (nothing is published, or out of reach
 * behind a chroot), -EBADMSG (damaged, or of another format), -EMFILE, -ENFILE, -ENOMEM, -EAGAIN (for the
 * moment, and only when there is no older mapping to fall back on), and other errors of open(2) and mmap(2).
 * Keeps errno. Every view has to be closed, soon, by the thread that opened it.
 */
int kb_nss_open(struct kb_nss *nss, const struct kb_nss_view **ret) _must_check_;
void kb_nss_close(const struct kb_nss_view *view);

/*
 * Is this name ours? 1 and the uid; 0: certainly not; negative: cannot tell, which a module for login has to
 * treat as "maybe".
 */
int kb_nss_find_user(struct kb_nss *nss, const char *name, uint32_t *ret_uid) _must_check_;

/* The range that every id of ours is in. 0 or as kb_nss_open(). */
int kb_nss_id_range(struct kb_nss *nss, struct kb_id_range *ret) _must_check_;
