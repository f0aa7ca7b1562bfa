/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>

#include "helper/log/files.h"
#include "helper/log/scan.h"

struct kb_log_reader {
        int dir_fd;
        int inotify_fd;
        int fd;         /* of the file it stands in */
        uint64_t first; /* which that is */
        struct kb_scan scan;
        uint64_t *offsets; /* of the records in that file, as far as it was indexed; for going backwards */
        size_t n_offsets;
        uint64_t indexed; /* up to this byte */
};

static int open_file(struct kb_log_reader *reader, uint64_t first)
{
        struct kb_scan scan;
        int fd, r;

        fd = kb_log_file_open(reader->dir_fd, first, O_RDONLY);
        if (fd < 0)
                return fd;
        r = kb_scan_init(&scan, fd, 0);
        if (r < 0) {
                close(fd);
                return r;
        }
        kb_closep(&reader->fd);
        kb_scan_done(&reader->scan);
        free(take_ptr(reader->offsets));
        reader->fd = fd;
        reader->scan = scan;
        reader->first = first;
        reader->n_offsets = 0;
        reader->indexed = 0;
        return 0;
}

/* The file after (way 1) or before (way -1) the one it stands in. 1, 0 when there is none. */
static int neighbour(struct kb_log_reader *reader, int way, uint64_t *ret)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        size_t i;
        int r;

        r = kb_log_files_list(reader->dir_fd, &files);
        if (r < 0)
                return r;
        if (way < 0) {
                for (i = files.n; i > 0 && files.first[i - 1] >= reader->first;)
                        i--;
                if (i == 0)
                        return 0;
                *ret = files.first[i - 1];
                return 1;
        }
        for (i = 0; i < files.n && files.first[i] <= reader->first;)
                i++;
        if (i == files.n)
                return 0;
        *ret = files.first[i];
        return 1;
}

int kb_log_reader_seek(struct kb_log_reader *reader, uint64_t sequence)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        struct kb_record record;
        struct kb_span whole;
        int r;

        r = kb_log_files_list(reader->dir_fd, &files);
        if (r < 0)
                return r;
        if (files.n == 0)
                return -ENOENT;
        r = open_file(reader, files.first[kb_log_files_find(&files, sequence)]);
        if (r < 0)
                return r;
        for (;;) {
                uint64_t before = reader->scan.offset;

                r = kb_scan_next(&reader->scan, &record, &whole);
                if (r > 0 && record.sequence >= sequence) {
                        kb_scan_seek(&reader->scan, before);
                        return 0;
                }
                if (r == -EBADMSG || r == -ENODATA)
                        r = kb_scan_skip(&reader->scan);
                if (r <= 0)
                        return r;
        }
}

int kb_log_reader_seek_end(struct kb_log_reader *reader)
{
        return kb_log_reader_seek(reader, UINT64_MAX);
}

static int decode(const struct kb_record *record, struct kb_log_read *ret)
{
        struct kb_log_read entry = {.sequence = record->sequence};
        int r;

        r = kb_record_event(record, &entry.event);
        if (r < 0)
                return r;
        *ret = entry;
        return 1;
}

/* A damaged place. At the very end it may be a record that is just being written: then there is nothing yet.
 */
static int step_over(struct kb_log_reader *reader, bool newest)
{
        uint64_t here = reader->scan.offset;
        int r;

        r = kb_scan_skip(&reader->scan);
        if (r == 0 && newest) {
                kb_scan_seek(&reader->scan, here);
                return 0;
        }
        return r < 0 ? r : -EBADMSG;
}

int kb_log_reader_next(struct kb_log_reader *reader, struct kb_log_read *ret)
{
        struct kb_record record;
        struct kb_span whole;
        uint64_t newer = 0;
        int r, more;

        for (;;) {
                r = kb_scan_next(&reader->scan, &record, &whole);
                if (r > 0)
                        return decode(&record, ret);
                more = neighbour(reader, 1, &newer);
                if (more < 0)
                        return more;
                /* Once there is a newer file this one is complete; but perhaps it was not when we looked. */
                kb_scan_seek(&reader->scan, reader->scan.offset);
                r = kb_scan_next(&reader->scan, &record, &whole);
                if (r > 0)
                        return decode(&record, ret);
                if (r == -EBADMSG || r == -ENODATA)
                        return step_over(reader, more == 0);
                if (r < 0 || more == 0)
                        return r;
                r = open_file(reader, newer);
                if (r < 0)
                        return r;
        }
}

/* --- backwards --- */

static int add_offset(struct kb_log_reader *reader, uint64_t offset)
{
        uint64_t *more;

        if ((reader->n_offsets & (reader->n_offsets - 1)) == 0) { /* full: grows at powers of two */
                more = reallocarray(reader->offsets, reader->n_offsets > 0 ? 2 * reader->n_offsets : 1,
                                    sizeof(*more));
                if (!more)
                        return -ENOMEM;
                reader->offsets = more;
        }
        reader->offsets[reader->n_offsets++] = offset;
        return 0;
}

/* Knows all records that begin before the place where the reader stands. */
static int index_file(struct kb_log_reader *reader)
{
        uint64_t here = reader->scan.offset;
        struct kb_record record;
        struct kb_span whole;
        int r = 0;

        if (reader->indexed >= here)
                return 0;
        kb_scan_seek(&reader->scan, reader->indexed);
        while (reader->scan.offset < here) {
                uint64_t before = reader->scan.offset;

                r = kb_scan_next(&reader->scan, &record, &whole);
                if (r == -EBADMSG || r == -ENODATA)
                        r = kb_scan_skip(&reader->scan);
                else if (r > 0)
                        r = add_offset(reader, before) < 0 ? -ENOMEM : 1;
                if (r <= 0)
                        break;
        }
        reader->indexed = reader->scan.offset;
        kb_scan_seek(&reader->scan, here);
        return r < 0 ? r : 0;
}

/* The last record that begins before this byte. */
static bool find_before(const struct kb_log_reader *reader, uint64_t offset, uint64_t *ret)
{
        size_t low = 0, high = reader->n_offsets;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (reader->offsets[middle] < offset)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low == 0)
                return false;
        *ret = reader->offsets[low - 1];
        return true;
}

static int to_end_of(struct kb_log_reader *reader, uint64_t first)
{
        off_t end;
        int r;

        r = open_file(reader, first);
        if (r < 0)
                return r;
        end = lseek(reader->fd, 0, SEEK_END);
        if (end < 0)
                return -errno;
        kb_scan_seek(&reader->scan, (uint64_t)end);
        return 0;
}

int kb_log_reader_previous(struct kb_log_reader *reader, struct kb_log_read *ret)
{
        struct kb_record record;
        struct kb_span whole;
        uint64_t offset, older;
        int r;

        for (;;) {
                r = index_file(reader);
                if (r < 0)
                        return r;
                if (find_before(reader, reader->scan.offset, &offset))
                        break;
                r = neighbour(reader, -1, &older);
                if (r <= 0)
                        return r;
                r = to_end_of(reader, older);
                if (r < 0)
                        return r;
        }
        kb_scan_seek(&reader->scan, offset);
        reader->scan.sparing = true;
        r = kb_scan_next(&reader->scan, &record, &whole);
        reader->scan.sparing = false;
        kb_scan_seek(&reader->scan, offset); /* before it again; the bytes stay where they are */
        return r > 0 ? decode(&record, ret) : r;
}

/* --- along with it --- */

int kb_log_reader_fd(const struct kb_log_reader *reader)
{
        return reader->inotify_fd;
}

int kb_log_reader_wait(struct kb_log_reader *reader, int msec)
{
        struct pollfd p = {.fd = reader->inotify_fd, .events = POLLIN};
        char buffer[4096];
        int r;

        r = poll(&p, 1, msec);
        if (r <= 0)
                return r < 0 ? -errno : 0;
        while (read(reader->inotify_fd, buffer, sizeof(buffer)) > 0)
                ; /* what it was does not matter */
        return 1;
}

int kb_log_reader_open(struct kb_log_reader **ret, const char *dir)
{
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = calloc(1, sizeof(*reader));
        int r;

        if (!reader)
                return -ENOMEM;
        reader->fd = reader->inotify_fd = -1;
        reader->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (reader->dir_fd < 0)
                return -errno;
        reader->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (reader->inotify_fd < 0 ||
            inotify_add_watch(reader->inotify_fd, dir, IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR) < 0)
                return -errno;
        r = kb_log_reader_seek(reader, 0);
        if (r < 0)
                return r;
        *ret = take_ptr(reader);
        return 0;
}

void kb_log_reader_free(struct kb_log_reader *reader)
{
        if (!reader)
                return;
        kb_scan_done(&reader->scan);
        kb_closep(&reader->fd);
        kb_closep(&reader->inotify_fd);
        kb_closep(&reader->dir_fd);
        free(reader->offsets);
        free(reader);
}
