/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records of one file, one after the other. What reader, recovery, ledger and verify all walk with. */

#include "helper/log/record.h"

struct kb_scan {
        int fd;          /* not owned */
        uint64_t offset; /* of the record that comes next */
        uint8_t *buffer;
        size_t at, have; /* what of the buffer is still to be read */
        bool sparing;    /* read no more than is asked for: whoever jumps about has no use for the rest */
};

/* 0 or -ENOMEM. */
int kb_scan_init(struct kb_scan *ret, int fd, uint64_t offset);
void kb_scan_done(struct kb_scan *scan);
#define _cleanup_scan_ _cleanup_(kb_scan_done)

void kb_scan_seek(struct kb_scan *scan, uint64_t offset);

/*
 * The next record. 1, and both outputs point into the buffer until the next call; 0 at the end of the file.
 * -ENODATA when the file ends inside the record, -EBADMSG when what is here is no record: both leave the
 * place where it is. Another negative errno from read(2).
 */
int kb_scan_next(struct kb_scan *scan, struct kb_record *ret, struct kb_span *ret_whole);

/* After -EBADMSG or -ENODATA: moves to the next place where a whole record lies. 1, 0 when there is none. */
int kb_scan_skip(struct kb_scan *scan);
