/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One record as it lies in a file of the log; keybearer-log(5) has it for others. Integers are
 * little-endian.
 *
 *   u32  size       of the whole record, these four bytes included
 *   u32  crc        CRC-32C of everything behind it
 *   u64  sequence   from 1, without a gap, over all files
 *   u64  time       CLOCK_REALTIME, microseconds
 *   u32  flags
 *   u32  event      events.def
 *   32   previous   SHA-256 of the whole record before this one; zeros before the first
 *        fields     see kb_event_put()
 */

#include "helper/log/event.h"

#define KB_RECORD_MAX    16384
#define KB_RECORD_HEADER 64
#define KB_HASH_SIZE     32

/*
 * Everything before this record was on disk when it was written: it begins a group commit, or a file. It
 * tells a torn tail (nothing behind the damage is settled: nobody can have been told about it) from damage.
 */
#define KB_RECORD_SETTLED (1u << 0)

struct kb_record {
        uint64_t sequence;
        uint64_t time;
        uint32_t flags;
        uint32_t event;
        uint8_t previous[KB_HASH_SIZE];
        struct kb_span fields; /* encoded */
};

/* Appends a whole record. Errors stick to the writer. */
void kb_record_put(struct kb_writer *w, const struct kb_record *record);

/*
 * How long the record that begins here is: 0 when more bytes are needed to tell, -EBADMSG when it is longer
 * or shorter than a record can be.
 */
ssize_t kb_record_size(struct kb_span have);

/* Takes a whole record apart. Fields point into it. 0 or -EBADMSG. */
int kb_record_get(struct kb_span whole, struct kb_record *ret) _must_check_;

/* The event of a record, with id and time. 0 or -EBADMSG. */
int kb_record_event(const struct kb_record *record, struct kb_event *ret) _must_check_;

/* What the next record has as `previous`. 0 or -ENOMEM. */
int kb_record_hash(struct kb_span whole, uint8_t ret[KB_HASH_SIZE]) _must_check_;
