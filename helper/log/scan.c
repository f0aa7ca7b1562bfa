/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/scan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE (8 * KB_RECORD_MAX)

int kb_scan_init(struct kb_scan *ret, int fd, uint64_t offset)
{
        struct kb_scan scan = {.fd = fd, .offset = offset};

        scan.buffer = malloc(BUFFER_SIZE);
        if (!scan.buffer)
                return -ENOMEM;
        *ret = scan;
        return 0;
}

void kb_scan_done(struct kb_scan *scan)
{
        free(scan->buffer);
        *scan = (struct kb_scan){.fd = -1};
}

void kb_scan_seek(struct kb_scan *scan, uint64_t offset)
{
        scan->offset = offset;
        scan->at = scan->have = 0;
}

/* Has at least n bytes from the current place on, if the file does. */
static int fill(struct kb_scan *scan, size_t n)
{
        if (scan->have - scan->at >= n)
                return 0;
        memmove(scan->buffer, scan->buffer + scan->at, scan->have - scan->at);
        scan->have -= scan->at;
        scan->at = 0;
        while (scan->have < n) {
                size_t room = (scan->sparing ? n : BUFFER_SIZE) - scan->have;
                ssize_t got =
                        pread(scan->fd, scan->buffer + scan->have, room, (off_t)(scan->offset + scan->have));

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                scan->have += (size_t)got;
        }
        return 0;
}

/* The record at the current place, without moving on. As kb_scan_next(). */
static int peek(struct kb_scan *scan, struct kb_record *ret, struct kb_span *ret_whole)
{
        struct kb_span have;
        ssize_t size;
        int r;

        r = fill(scan, KB_RECORD_HEADER);
        if (r < 0)
                return r;
        have = KB_SPAN(scan->buffer + scan->at, scan->have - scan->at);
        if (have.size == 0)
                return 0;
        size = kb_record_size(have);
        if (size <= 0)
                return size < 0 ? (int)size : -ENODATA;
        r = fill(scan, (size_t)size);
        if (r < 0)
                return r;
        if (scan->have - scan->at < (size_t)size)
                return -ENODATA;
        have = KB_SPAN(scan->buffer + scan->at, (size_t)size);
        r = kb_record_get(have, ret);
        if (r < 0)
                return r;
        *ret_whole = have;
        return 1;
}

int kb_scan_next(struct kb_scan *scan, struct kb_record *ret, struct kb_span *ret_whole)
{
        int r;

        r = peek(scan, ret, ret_whole);
        if (r == 1) {
                scan->at += ret_whole->size;
                scan->offset += ret_whole->size;
        }
        return r;
}

int kb_scan_skip(struct kb_scan *scan)
{
        struct kb_record record;
        struct kb_span whole;
        int r;

        do {
                if (scan->at < scan->have) /* else the buffer is empty and the file at its end */
                        scan->at++;
                scan->offset++;
                r = peek(scan, &record, &whole);
        } while (r == -EBADMSG || r == -ENODATA);
        return r;
}
