/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records onto the disk, without a thread and without waiting for anybody: what log.c's writer thread calls.
 *
 * A commit is one write and one fdatasync for all entries it is given. Either all of them are on disk, or
 * none is in the log: after an error the file is cut back to its last good end, and when the kernel could
 * not say what reached the disk (a failed fdatasync), to a new file. So the next commit needs no help from
 * anybody when the disk has room again, or can be written again.
 */

#include <stdbool.h>

#include "helper/log/anchor.h"
#include "helper/log/log.h"
#include "helper/log/recover.h"

/* One record to be. */
struct kb_log_entry {
        uint32_t event;
        uint64_t time;
        struct kb_span fields; /* encoded */
        uint64_t sequence;     /* set by a commit that succeeded */
};

struct kb_commit {
        struct kb_log_options options; /* with the defaults filled in */
        struct kb_log_identity identity;
        int dir_fd;
        int lock_fd;
        int fd;           /* the newest file */
        uint64_t reading; /* on a disk that was read-only, fd is for reading; the file's name. 0: for both */
        struct kb_log_tail tail;
        uint64_t began;             /* when that file began */
        uint64_t rotate_not_before; /* after a rotation that failed */
        bool cut;                   /* there may be something behind tail.end */
        bool spent;                 /* fdatasync failed: nothing more into this file */
        struct kb_anchor_key key;
        bool key_moved; /* in memory, but not on disk yet: nothing is written before it is */
        uint64_t since_anchor;
        uint64_t last_anchor_time;
};

/*
 * Opens the folder, locks it, recovers the newest file. *ret_recovered says what was found. A disk that is
 * read-only is no error: each commit is one, with -EROFS, until the disk can be written. 0; -ENOENT:
 * there is no log; -EBUSY: another process has it; -EBADMSG: damaged, and *ret_damage says where (with
 * options->start_over a new file is begun beside it, and it is no error); -ENOKEY: the key file is missing,
 * or is older than the log; another negative errno.
 */
int kb_commit_open(struct kb_commit *ret, const char *dir, const struct kb_log_options *options,
                   uint64_t now, struct kb_log_recovered *ret_recovered, struct kb_log_damage *ret_damage);
void kb_commit_done(struct kb_commit *c);

/* At most this many in one go. */
#define KB_COMMIT_MAX 512

/* 0, with entries[i]->sequence set, or a negative errno and nothing has happened. n > 0. */
int kb_commit_write(struct kb_commit *c, struct kb_log_entry *const *entries, size_t n);

/* What is due now, by count, size or age; both are harmless to call at any time. */
bool kb_commit_anchor_due(const struct kb_commit *c, uint64_t now);
bool kb_commit_rotate_due(const struct kb_commit *c, uint64_t now);

/* Writes an anchor and moves the key on. */
int kb_commit_anchor(struct kb_commit *c, uint64_t now, struct kb_anchor *ret);

/*
 * Begins a new file with a checkpoint, and removes old ones as the options say. After an error the old file
 * is still in use (unless it is spent), and it is not due again for a while.
 */
int kb_commit_rotate(struct kb_commit *c, uint64_t now);
