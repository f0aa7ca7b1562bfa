/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The folder of the log, 0700:
 *
 *   00000000000000000001.kblog   records; named by the sequence number of the first, so that names sort
 *   identity                     id of the log and the key of fingerprints
 *   key                          the key of the next anchor (anchor.h)
 *   journal                      how far journald has everything (forward.h)
 *   lock                         held by the one writer
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

#define KB_LOG_NAME_MAX 32

void kb_log_file_name(uint64_t first, char ret[KB_LOG_NAME_MAX]);

/* First sequence numbers of all files, rising. */
struct kb_log_files {
        uint64_t *first;
        size_t n;
};

/* 0 or a negative errno. */
int kb_log_files_list(int dir_fd, struct kb_log_files *ret);
void kb_log_files_done(struct kb_log_files *files);
#define _cleanup_log_files_ _cleanup_(kb_log_files_done)

/* The index of the file that has this sequence number, or would have it: the last one that begins at or
 * before. */
size_t kb_log_files_find(const struct kb_log_files *files, uint64_t sequence);

/* Opens one of them: a descriptor or a negative errno. */
int kb_log_file_open(int dir_fd, uint64_t first, int flags);
