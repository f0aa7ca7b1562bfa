/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading the log, also while another process writes it: forwards, backwards, and along with it.
 *
 *   for (kb_log_reader_seek(reader, 1); (r = kb_log_reader_next(reader, &entry)) > 0;)
 *           show(&entry);
 */

#include "common/cleanup.h"
#include "helper/log/record.h"

struct kb_log_reader;

struct kb_log_read {
        uint64_t sequence;
        struct kb_event event; /* its texts live until the next call */
};

/* 0; -ENOENT when there is no log; another negative errno. Stands before the first record. */
int kb_log_reader_open(struct kb_log_reader **ret, const char *dir);
void kb_log_reader_free(struct kb_log_reader *reader);
KB_DEFINE_CLEANUP(struct kb_log_reader, kb_log_reader_free);

/* Stands before this record, or before the first after it that is there. 0 or a negative errno. */
int kb_log_reader_seek(struct kb_log_reader *reader, uint64_t sequence);

/* Stands behind the last record there is now. 0 or a negative errno. */
int kb_log_reader_seek_end(struct kb_log_reader *reader);

/*
 * The record behind, or before, where it stands. 1; 0 when there is none (yet); -EBADMSG for a damaged
 * place, which is stepped over, so that the next call goes on behind it; another negative errno.
 */
int kb_log_reader_next(struct kb_log_reader *reader, struct kb_log_read *ret);
int kb_log_reader_previous(struct kb_log_reader *reader, struct kb_log_read *ret);

/*
 * Waits until something was written, or so many milliseconds (-1: for ever). 1; 0 after the time; -EINTR, or
 * another negative errno. Something can be written before the first call: read up to the end, then wait. The
 * descriptor is for whoever waits for other things too; it is readable when the call would return 1 at once.
 */
int kb_log_reader_wait(struct kb_log_reader *reader, int msec);
int kb_log_reader_fd(const struct kb_log_reader *reader);
