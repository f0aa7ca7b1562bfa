/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A backup of a running store: its pages are copied beside it some at a time, and the copy is then sealed
 * and sent piece by piece (backup_stream.h). What is written meanwhile is in it or not, but never half.
 */

#include "helper/store/local/backup_stream.h"
#include "helper/store/local/local.h"

struct kb_backup;

/* -EBUSY while a rotation of the root key is unfinished: a backup is under one key. */
int kb_backup_new(struct kb_backup **ret, struct kb_local *l, uint64_t now) _must_check_;
void kb_backup_free(struct kb_backup *b); /* removes the copy */
KB_DEFINE_CLEANUP(struct kb_backup, kb_backup_free);

/*
 * One step: 1 when there are more, 0 after the last. Appends what there is of the backup by now to `out`, up
 * to about 2 * KB_BACKUP_PIECE bytes. *ret_done of *ret_total bytes are through.
 */
int kb_backup_step(struct kb_backup *b, struct kb_writer *out, uint64_t *ret_done, uint64_t *ret_total)
        _must_check_;
