/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where writing goes on after the last process ended, however it ended. A tail that nobody can have relied
 * on is cut; damage before that is somebody else's doing (a disk, a person), and is not papered over.
 */

#include "helper/log/record.h"

/* The end of the log. */
struct kb_log_tail {
        uint64_t next;              /* sequence number of the record to come */
        uint8_t hash[KB_HASH_SIZE]; /* of the last one */
        uint64_t end;               /* bytes of whole records in its file */
};

struct kb_log_damage {
        uint64_t file;   /* first sequence number of the file, as in its name */
        uint64_t offset; /* of the first byte that is no good */
};

struct kb_log_recovered {
        struct kb_log_tail tail;
        uint64_t torn;        /* bytes behind tail.end that are to be cut */
        uint64_t began;       /* time of the file's first record */
        uint64_t last_anchor; /* number of the last anchor in this file, 0: none */
        uint64_t last_anchor_time;
        uint64_t since_anchor;    /* records behind it */
        uint64_t missing_anchors; /* that the key knows of, and the file does not: set by kb_commit_open() */
};

/*
 * Reads the newest file. 0; -EBADMSG with *ret_damage set, and then *ret is where a new file can begin
 * beside the damaged one: behind the last whole record in it; another negative errno.
 */
int kb_log_recover(int fd, uint64_t first, struct kb_log_recovered *ret, struct kb_log_damage *ret_damage);
