/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/hex.h"
#include "helper/log/files.h"
#include "helper/log/ledger.h"
#include "helper/log/scan.h"

#define DEFAULT_SIZE           (64 * 1024 * 1024)
#define DEFAULT_ANCHOR_RECORDS 1000
#define DEFAULT_ANCHOR_AGE     (600 * KB_USEC_PER_SEC)
#define ROTATE_RETRY           (60 * KB_USEC_PER_SEC)
#define LOCK_FILE              "lock"

/* --- records --- */

/* Encodes entries as they follow `tail`, and moves it behind them. */
static int encode(struct kb_writer *w, struct kb_log_tail *tail, struct kb_log_entry *const *entries,
                  size_t n)
{
        int r;

        for (size_t i = 0; i < n; i++) {
                size_t start = w->size;
                struct kb_record record = {
                        .sequence = tail->next,
                        .time = entries[i]->time,
                        .flags = i == 0 ? KB_RECORD_SETTLED : 0,
                        .event = entries[i]->event,
                        .fields = entries[i]->fields,
                };

                memcpy(record.previous, tail->hash, KB_HASH_SIZE);
                kb_record_put(w, &record);
                r = kb_writer_end(w);
                if (r < 0)
                        return r;
                r = kb_record_hash(KB_SPAN(w->data + start, w->size - start), tail->hash);
                if (r < 0)
                        return r;
                tail->next++;
                tail->end += w->size - start;
        }
        return 0;
}

/* The file that could only be read when it was opened. */
static int make_writable(struct kb_commit *c)
{
        int fd;

        if (c->reading == 0)
                return 0;
        fd = kb_log_file_open(c->dir_fd, c->reading, O_RDWR);
        if (fd < 0)
                return fd;
        close(c->fd);
        c->fd = fd;
        c->reading = 0;
        return 0;
}

/* What has to be in order before a byte is written. */
static int make_ready(struct kb_commit *c)
{
        int r;

        if (c->spent)
                return -EIO;
        r = make_writable(c);
        if (r < 0)
                return r;
        if (c->key_moved) {
                r = kb_anchor_key_store(c->dir_fd, &c->key);
                if (r < 0)
                        return r;
                c->key_moved = false;
        }
        if (c->cut) {
                if (ftruncate(c->fd, (off_t)c->tail.end) < 0)
                        return -errno;
                c->cut = false;
        }
        return 0;
}

int kb_commit_write(struct kb_commit *c, struct kb_log_entry *const *entries, size_t n)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(n * KB_RECORD_MAX);
        struct kb_log_tail tail = c->tail;
        uint64_t first = tail.next;
        int r;

        r = make_ready(c);
        if (r < 0)
                return r;
        r = encode(&w, &tail, entries, n);
        if (r < 0)
                return r;
        r = kb_file_pwrite_all(c->fd, KB_SPAN(w.data, w.size), c->tail.end);
        if (r == 0 && fdatasync(c->fd) < 0) {
                /* The kernel may have dropped the pages, and would call them clean from now on. */
                r = -errno;
                c->spent = true;
        }
        if (r < 0) {
                c->cut = ftruncate(c->fd, (off_t)c->tail.end) < 0;
                return r;
        }
        c->tail = tail;
        c->since_anchor += n;
        for (size_t i = 0; i < n; i++)
                entries[i]->sequence = first + i;
        return 0;
}

/* One event that the log itself has to say. */
static int write_event(struct kb_commit *c, const struct kb_event *event)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
        struct kb_log_entry entry = {.event = event->id, .time = event->time};
        int r;

        kb_event_put(&w, event);
        r = kb_writer_end(&w);
        if (r < 0)
                return r;
        entry.fields = KB_SPAN(w.data, w.size);
        return kb_commit_write(c, (struct kb_log_entry *[]){&entry}, 1);
}

/* --- anchors --- */

bool kb_commit_anchor_due(const struct kb_commit *c, uint64_t now)
{
        uint64_t age =
                now - c->last_anchor_time; /* a clock that went back makes it due: rather one too many */

        return c->since_anchor > 0 &&
               (c->since_anchor >= c->options.anchor_records || age >= c->options.anchor_age);
}

int kb_commit_anchor(struct kb_commit *c, uint64_t now, struct kb_anchor *ret)
{
        struct kb_anchor anchor = {.number = c->key.number, .sequence = c->tail.next};
        struct kb_anchor_key next = c->key;
        char mac[2 * KB_HASH_SIZE + 1];
        int r;

        memcpy(anchor.log, c->identity.id, sizeof(anchor.log));
        memcpy(anchor.previous, c->tail.hash, KB_HASH_SIZE);
        r = kb_anchor_sign(&anchor, &c->key);
        if (r == 0)
                r = kb_anchor_key_next(&next);
        if (r < 0)
                return r;
        kb_hex(KB_SPAN(anchor.mac, KB_HASH_SIZE), mac);
        r = write_event(c, &(struct kb_event){
                                   .id = KB_EVENT_ANCHOR, .time = now, .anchor = anchor.number, .mac = mac});
        if (r < 0)
                return r;
        c->key = next;
        c->key_moved = true;
        c->since_anchor = 0;
        c->last_anchor_time = now;
        kb_wipe(&next, sizeof(next));
        r = kb_anchor_key_store(c->dir_fd, &c->key);
        c->key_moved = r < 0; /* make_ready() tries again; the anchor stands */
        *ret = anchor;
        return 0;
}

/* The key has to be the one behind the last anchor. A process that died between the two left it one behind.
 */
static int check_key(struct kb_commit *c, uint64_t last_anchor)
{
        int r;

        if (last_anchor > c->key.number)
                return -ENOKEY;
        if (last_anchor < c->key.number)
                return 0;
        r = kb_anchor_key_next(&c->key);
        if (r < 0)
                return r;
        c->key_moved = true;
        return 0;
}

/* --- files --- */

bool kb_commit_rotate_due(const struct kb_commit *c, uint64_t now)
{
        if (c->spent)
                return true;
        if (now < c->rotate_not_before)
                return false;
        return c->tail.end >= c->options.max_size ||
               (c->options.max_age > 0 && now > c->began && now - c->began >= c->options.max_age);
}

/* The records a file begins with, encoded as they follow `tail`. */
static int encode_checkpoint(const struct kb_log_identity *identity, const struct kb_ledger *ledger,
                             uint64_t now, struct kb_log_tail *tail, struct kb_writer *w)
{
        _cleanup_writer_ struct kb_writer head = kb_writer_init(KB_RECORD_MAX);
        struct kb_log_entry entry = {.event = KB_EVENT_CHECKPOINT, .time = now};
        int r;

        kb_event_put(&head, &(struct kb_event){
                                    .log = identity->id, .release = PACKAGE_VERSION, .count = ledger->n});
        r = kb_writer_end(&head);
        if (r < 0)
                return r;
        entry.fields = KB_SPAN(head.data, head.size);
        tail->end = 0;
        r = encode(w, tail, (struct kb_log_entry *[]){&entry}, 1);
        for (size_t i = 0; i < ledger->n && r == 0; i++) {
                const struct kb_live_grant *grant = ledger->grants[i];

                entry.event = KB_EVENT_GRANT_LIVE;
                entry.fields = KB_SPAN(grant->memory.data, grant->memory.size);
                r = encode(w, tail, (struct kb_log_entry *[]){&entry}, 1);
        }
        return r;
}

/* Makes the file that begins at tail->next: all of it, or none. */
static int begin_file(int dir_fd, const struct kb_log_identity *identity, const struct kb_ledger *ledger,
                      uint64_t now, struct kb_log_tail *tail)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init((ledger->n + 1) * KB_RECORD_MAX);
        char name[KB_LOG_NAME_MAX];
        int r;

        kb_log_file_name(tail->next, name);
        r = encode_checkpoint(identity, ledger, now, tail, &w);
        if (r < 0)
                return r;
        return kb_file_write_at(dir_fd, name, KB_SPAN(w.data, w.size), 0600);
}

/* Time of the first record of a file, 0 when that cannot be told. */
static uint64_t file_began(int dir_fd, uint64_t first)
{
        _cleanup_close_ int fd = kb_log_file_open(dir_fd, first, O_RDONLY);
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_record record;
        struct kb_span whole;

        if (fd < 0 || kb_scan_init(&scan, fd, 0) < 0 || kb_scan_next(&scan, &record, &whole) <= 0)
                return 0;
        return record.time;
}

/* Removes files that the options want gone. It is written down first: a file missing without that is a loss.
 */
static int trim(struct kb_commit *c, uint64_t now)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        char name[KB_LOG_NAME_MAX];
        size_t gone = 0;
        int r;

        r = kb_log_files_list(c->dir_fd, &files);
        if (r < 0)
                return r;
        if (c->options.keep_files > 0 && files.n > c->options.keep_files)
                gone = files.n - c->options.keep_files;
        /* A file ended when the next one began. */
        while (c->options.keep_age > 0 && gone + 1 < files.n) {
                uint64_t ended = file_began(c->dir_fd, files.first[gone + 1]);

                if (ended == 0 || now < ended || now - ended < c->options.keep_age)
                        break;
                gone++;
        }
        if (gone == 0)
                return 0;
        r = write_event(c, &(struct kb_event){.id = KB_EVENT_LOG_TRIMMED,
                                              .time = now,
                                              .count = gone,
                                              .first = files.first[0],
                                              .last = files.first[gone] - 1});
        for (size_t i = 0; i < gone && r == 0; i++) {
                kb_log_file_name(files.first[i], name);
                if (unlinkat(c->dir_fd, name, 0) < 0)
                        r = -errno;
        }
        return r;
}

/* Opens the file that was just begun, and goes on in it. */
static int move_to(struct kb_commit *c, const struct kb_log_tail *tail, uint64_t first, uint64_t now)
{
        int fd;

        fd = kb_log_file_open(c->dir_fd, first, O_RDWR);
        if (fd < 0)
                return fd;
        if (c->fd >= 0)
                close(c->fd);
        c->fd = fd;
        c->since_anchor += tail->next - first;
        c->tail = *tail;
        c->began = now;
        c->cut = c->spent = false;
        return 0;
}

static int rotate(struct kb_commit *c, uint64_t now)
{
        _cleanup_ledger_ struct kb_ledger ledger = {};
        struct kb_log_tail tail = c->tail;
        uint64_t first = tail.next;
        int r = make_writable(c);

        if (r < 0)
                return r;
        if (c->cut && ftruncate(c->fd, (off_t)c->tail.end) < 0)
                return -errno; /* or what was never acknowledged would count as written */
        r = kb_ledger_read(&ledger, c->fd);
        if (r == 0)
                r = begin_file(c->dir_fd, &c->identity, &ledger, now, &tail);
        if (r == 0)
                r = move_to(c, &tail, first, now);
        return r;
}

int kb_commit_rotate(struct kb_commit *c, uint64_t now)
{
        int r;

        r = rotate(c, now);
        if (r < 0) {
                c->rotate_not_before = kb_time_add(now, ROTATE_RETRY);
                return r;
        }
        (void)trim(
                c,
                now); /* old files that stay for now are no reason to stop; the next rotation tries again */
        return 0;
}

/* --- open and create --- */

static void fill_defaults(struct kb_log_options *o)
{
        if (o->max_size == 0)
                o->max_size = DEFAULT_SIZE;
        if (o->anchor_records == 0)
                o->anchor_records = DEFAULT_ANCHOR_RECORDS;
        if (o->anchor_age == 0)
                o->anchor_age = DEFAULT_ANCHOR_AGE;
        if (!o->now)
                o->now = kb_now_realtime;
}

static int lock(struct kb_commit *c)
{
        c->lock_fd = openat(c->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (c->lock_fd < 0 && errno == EROFS) {
                c->lock_fd = openat(c->dir_fd, LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                errno = EROFS; /* also where there is none yet: nobody has ever written this log */
        }
        if (c->lock_fd < 0)
                return -errno;
        if (flock(c->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return 0;
}

/* Beside a damaged file: what it still says about grants goes into the new one's checkpoint. */
static int start_over(struct kb_commit *c, struct kb_log_recovered *state, uint64_t damaged, uint64_t now)
{
        if (state->tail.next == damaged)
                state->tail.next++; /* nothing in it can be read, and its name is taken */
        c->tail = state->tail;
        return rotate(c, now);
}

static int resume(struct kb_commit *c, uint64_t now, struct kb_log_recovered *ret_recovered,
                  struct kb_log_damage *ret_damage)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        struct kb_log_recovered state;
        uint64_t first;
        int r, damaged;

        r = kb_log_files_list(c->dir_fd, &files);
        if (r < 0)
                return r;
        if (files.n == 0)
                return -ENOENT;
        first = files.first[files.n - 1];
        c->fd = kb_log_file_open(c->dir_fd, first, O_RDWR);
        if (c->fd == -EROFS) {
                c->fd = kb_log_file_open(c->dir_fd, first, O_RDONLY);
                c->reading = first;
        }
        if (c->fd < 0)
                return c->fd;
        damaged = kb_log_recover(c->fd, first, &state, ret_damage);
        if (damaged < 0 && !(damaged == -EBADMSG && c->options.start_over))
                return damaged;
        r = check_key(c, state.last_anchor);
        if (r < 0)
                return r;
        if (state.last_anchor > 0)
                state.missing_anchors = c->key.number - 1 - state.last_anchor;
        c->tail = state.tail;
        c->began = state.began;
        c->since_anchor = state.since_anchor;
        c->last_anchor_time = state.last_anchor_time > 0 ? state.last_anchor_time : now;
        c->cut = state.torn > 0;
        if (damaged < 0)
                r = start_over(c, &state, first, now);
        *ret_recovered = state;
        return r;
}

/* Whether the file holds one whole record and nothing else: what a log begins with. */
static int holds_one_record(int dir_fd, uint64_t first)
{
        _cleanup_close_ int fd = kb_log_file_open(dir_fd, first, O_RDONLY);
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_record record;
        struct kb_span whole;
        struct stat st;
        int r;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = kb_scan_init(&scan, fd, 0);
        if (r == 0)
                r = kb_scan_next(&scan, &record, &whole);
        if (r < 0)
                return r == -ENODATA || r == -EBADMSG ? 0 : r;
        return r > 0 && whole.size == (uint64_t)st.st_size;
}

/* 1 when there are more records than kb_log_create() makes, whoever wrote them; else 0, or a negative errno.
 */
static int holds_records(int dir_fd)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        int r = kb_log_files_list(dir_fd, &files);

        if (r < 0 || files.n == 0)
                return r;
        if (files.n > 1 || files.first[0] != 1)
                return 1;
        r = holds_one_record(dir_fd, 1);
        return r < 0 ? r : r == 0;
}

/* The same error for all who find no identity: whether a log can be made there. */
static int load_identity(int dir_fd, struct kb_log_identity *ret)
{
        int r = kb_log_identity_load(dir_fd, ret);

        if (r == -ENOENT) {
                r = holds_records(dir_fd);
                r = r < 0 ? r : r > 0 ? -ENODATA : -ENOENT;
        }
        return r;
}

int kb_commit_open(struct kb_commit *ret, const char *dir, const struct kb_log_options *options,
                   uint64_t now, struct kb_log_recovered *ret_recovered, struct kb_log_damage *ret_damage)
{
        _cleanup_(kb_commit_done) struct kb_commit c = {
                .options = *options, .dir_fd = -1, .lock_fd = -1, .fd = -1};
        int r;

        fill_defaults(&c.options);
        c.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c.dir_fd < 0)
                return -errno;
        r = load_identity(c.dir_fd, &c.identity);
        if (r == 0)
                r = lock(&c);
        if (r < 0)
                return r;
        r = kb_anchor_key_load(c.dir_fd, &c.key);
        if (r < 0)
                return r == -ENOENT || r == -EBADMSG ? -ENOKEY : r;
        r = resume(&c, now, ret_recovered, ret_damage);
        if (r < 0)
                return r;
        *ret = c;
        c = (struct kb_commit){.dir_fd = -1, .lock_fd = -1, .fd = -1};
        return 0;
}

void kb_commit_done(struct kb_commit *c)
{
        kb_closep(&c->fd);
        kb_closep(&c->lock_fd);
        kb_closep(&c->dir_fd);
        kb_wipe(&c->key, sizeof(c->key));
}

int kb_log_create(const char *dir, uint64_t now, char ret_first_key[KB_FIRST_KEY_MAX])
{
        struct kb_log_tail tail = {.next = 1};
        struct kb_log_identity identity;
        _cleanup_close_ int dir_fd = -1;
        struct kb_anchor_key key;
        int r;

        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        r = load_identity(dir_fd, &identity);
        if (r != -ENOENT)
                return r < 0 ? r : -EEXIST;
        r = kb_log_identity_make(&identity);
        if (r == 0)
                r = kb_anchor_key_make(&key);
        if (r < 0)
                return r;
        r = kb_anchor_key_store(dir_fd, &key);
        if (r == 0)
                r = begin_file(dir_fd, &identity, &(struct kb_ledger){}, now, &tail);
        if (r == 0)
                r = kb_log_identity_store(dir_fd, &identity); /* last: with it the log is there */
        if (r == 0)
                kb_first_key_format(identity.id, &key, ret_first_key);
        kb_wipe(&key, sizeof(key));
        return r;
}

int kb_log_unmake(const char *dir)
{
        _cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char first[KB_LOG_NAME_MAX];
        int r;

        if (dir_fd < 0)
                return -errno;
        r = holds_records(dir_fd);
        if (r != 0)
                return r < 0 ? r : -EEXIST;
        kb_log_file_name(1, first);
        for (size_t i = 0; i < 3; i++) { /* identity first: without it the rest counts as not yet made */
                const char *name = (const char *[]){"identity", first, "key"}[i];

                if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                        return -errno;
        }
        return 0;
}
