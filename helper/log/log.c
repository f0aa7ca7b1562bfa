/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "common/clock.h"
#include "helper/log/commit.h"
#include "helper/log/files.h"
#include "helper/log/journal.h"

#define WAITING_MAX 16384
#define RETRY       KB_USEC_PER_SEC

/* An event on its way to the disk, or an anchor that was asked for; then the same on its way back. */
struct item {
        struct item *next;
        struct kb_log_entry entry;
        struct kb_writer fields; /* what entry.fields points to */
        bool waited;
        bool told; /* to journald, without a record */
        bool is_anchor;
        struct kb_anchor anchor;
        kb_log_done done;
        kb_log_anchor_done anchor_done;
        void *userdata;
        int r;
};

struct queue {
        struct item *first;
        struct item **last;
        unsigned n;
};

struct kb_log {
        struct kb_commit commit; /* the writer thread's own, once it runs */
        pthread_t thread;
        int done_fd;
        int journal_fd; /* -1: journald is told nothing */

        pthread_mutex_t mutex; /* for all that follows */
        pthread_cond_t wake;
        struct queue waiting;
        struct queue done;
        bool somebody_waits; /* something in `waiting` is not to wait for the next retry */
        bool stop;
        int watch_fd;
        uint64_t written;
        uint64_t lost, lost_reported;
        int error;         /* of the last commit; 0 when it worked */
        int failed_with;   /* of the first that failed since one worked */
        uint64_t retry_at; /* monotonic */
};

/* --- queues --- */

static void queue_init(struct queue *q)
{
        *q = (struct queue){.last = &q->first};
}

static void push(struct queue *q, struct item *item)
{
        item->next = NULL;
        *q->last = item;
        q->last = &item->next;
        q->n++;
}

static struct item *pop(struct queue *q)
{
        struct item *item = q->first;

        if (!item)
                return NULL;
        q->first = item->next;
        if (!q->first)
                q->last = &q->first;
        q->n--;
        return item;
}

/* Puts all of `front` before what is in q. */
static void push_front(struct queue *q, struct queue *front)
{
        if (!front->first)
                return;
        *front->last = q->first;
        if (!q->first)
                q->last = front->last;
        q->first = front->first;
        q->n += front->n;
        queue_init(front);
}

static void item_free(struct item *item)
{
        if (!item)
                return;
        kb_writer_done(&item->fields);
        free(item);
}
KB_DEFINE_CLEANUP(struct item, item_free);

/* --- what the disk does not take --- */

/*
 * Why a unit did not start must not wait until there is room. So journald is told past the log, and if it is
 * not there, the record makes up for it. That one says when it was: it would pass for another of the same.
 */
static void tell(const struct kb_log *log, struct item *item)
{
        _cleanup_writer_ struct kb_writer entry = kb_writer_init(KB_JOURNAL_MAX);
        _cleanup_writer_ struct kb_writer fields = kb_writer_init(KB_RECORD_MAX - KB_RECORD_HEADER);
        struct kb_event event;

        if (log->journal_fd < 0 || item->told || item->waited || item->is_anchor ||
            kb_event_get(item->entry.fields, &event) < 0)
                return;
        event.id = item->entry.event;
        event.time = item->entry.time;
        kb_journal_encode(&entry, &log->commit.identity, 0, &event);
        if (kb_writer_end(&entry) == 0)
                (void)kb_journal_send(log->journal_fd, log->commit.options.journal,
                                      KB_SPAN(entry.data, entry.size));
        item->told = true;
        event.late = event.time;
        kb_event_put(&fields, &event);
        if (kb_writer_end(&fields) < 0)
                return; /* then without */
        kb_writer_done(&item->fields);
        item->fields = fields;
        item->entry.fields = KB_SPAN(fields.data, fields.size);
        fields = (struct kb_writer){0};
}

static bool is_failing(struct kb_log *log)
{
        bool failing;

        pthread_mutex_lock(&log->mutex);
        failing = log->error < 0;
        pthread_mutex_unlock(&log->mutex);
        return failing;
}

/* --- what the loop calls --- */

static int item_new(struct item **ret, const struct kb_event *event)
{
        _cleanup_(item_freep) struct item *item = calloc(1, sizeof(*item));
        struct kb_event complete = *event;

        if (!item)
                return -ENOMEM;
        kb_event_complete(&complete);
        item->fields = kb_writer_init(KB_RECORD_MAX - KB_RECORD_HEADER);
        kb_event_put(&item->fields, &complete);
        if (kb_writer_end(&item->fields) < 0)
                return -EMSGSIZE;
        item->entry.event = event->id;
        item->entry.time = event->time;
        item->entry.fields = KB_SPAN(item->fields.data, item->fields.size);
        *ret = take_ptr(item);
        return 0;
}

/* Takes the item, or frees it. */
static int submit(struct kb_log *log, struct item *item)
{
        int r = 0;

        pthread_mutex_lock(&log->mutex);
        if (log->waiting.n >= WAITING_MAX) {
                r = -ENOBUFS;
                log->lost += !item->waited && !item->is_anchor;
        } else {
                log->somebody_waits = log->somebody_waits || item->waited || item->is_anchor;
                push(&log->waiting, take_ptr(item));
                pthread_cond_signal(&log->wake);
        }
        pthread_mutex_unlock(&log->mutex);
        item_free(item);
        return r;
}

int kb_log_append(struct kb_log *log, const struct kb_event *event, bool waited, kb_log_done done,
                  void *userdata)
{
        struct item *item;
        int r;

        r = item_new(&item, event);
        if (r < 0)
                return r;
        if (item->entry.time == 0)
                item->entry.time = log->commit.options.now();
        item->waited = waited;
        item->done = done;
        item->userdata = userdata;
        if (is_failing(log))
                tell(log, item);
        return submit(log, item);
}

int kb_log_anchor(struct kb_log *log, kb_log_anchor_done done, void *userdata)
{
        struct item *item = calloc(1, sizeof(*item));

        if (!item)
                return -ENOMEM;
        item->is_anchor = true;
        item->anchor_done = done;
        item->userdata = userdata;
        return submit(log, item);
}

int kb_log_fd(const struct kb_log *log)
{
        return log->done_fd;
}

static void deliver(struct item *item)
{
        char line[KB_ANCHOR_LINE_MAX];

        if (item->is_anchor) {
                kb_anchor_format(&item->anchor, line);
                if (item->anchor_done)
                        item->anchor_done(item->r, item->r == 0 ? line : NULL, item->userdata);
        } else if (item->done) {
                item->done(item->r, item->entry.sequence, item->userdata);
        }
}

void kb_log_dispatch(struct kb_log *log)
{
        struct queue done;
        struct item *item;
        eventfd_t n;

        (void)eventfd_read(log->done_fd, &n);
        queue_init(&done);
        pthread_mutex_lock(&log->mutex);
        push_front(&done, &log->done);
        pthread_mutex_unlock(&log->mutex);
        while ((item = pop(&done))) {
                deliver(item);
                item_free(item);
        }
}

void kb_log_get_state(struct kb_log *log, struct kb_log_state *ret)
{
        pthread_mutex_lock(&log->mutex);
        *ret = (struct kb_log_state){
                .written = log->written,
                .waiting = log->waiting.n,
                .error = log->error,
                .lost = log->lost,
        };
        pthread_mutex_unlock(&log->mutex);
}

const struct kb_log_identity *kb_log_identity(const struct kb_log *log)
{
        return &log->commit.identity;
}

void kb_log_set_watch(struct kb_log *log, int fd)
{
        pthread_mutex_lock(&log->mutex);
        log->watch_fd = fd;
        pthread_mutex_unlock(&log->mutex);
}

/* --- the writer thread; the mutex is held where a name ends in _locked --- */

static void finish_locked(struct kb_log *log, struct item *item, int r)
{
        item->r = r;
        push(&log->done, item);
        (void)eventfd_write(log->done_fd, 1);
}

/* Whoever looks at it hears of a change: on the same descriptor, though nothing is done. */
static void set_error_locked(struct kb_log *log, int r)
{
        if (log->error != r)
                (void)eventfd_write(log->done_fd, 1);
        log->error = r;
}

/* What a commit made of the batch: those who wait are told, the others are kept while it fails. */
static void settle_locked(struct kb_log *log, struct queue *batch, int r)
{
        struct queue kept;
        struct item *item;

        queue_init(&kept);
        while ((item = pop(batch)))
                if (r < 0 && !item->waited && !log->stop)
                        push(&kept, item);
                else
                        finish_locked(log, item, r);
        push_front(&log->waiting, &kept);
        set_error_locked(log, r);
        if (r < 0) {
                log->failed_with = log->failed_with < 0 ? log->failed_with : r;
                log->retry_at = kb_now_monotonic() + RETRY;
        }
}

/* After a failure, the first success says so in the log itself. */
static void report_recovery_locked(struct kb_log *log, uint64_t now)
{
        struct item *item;

        if (log->failed_with == 0)
                return;
        if (item_new(&item, &(struct kb_event){.id = KB_EVENT_LOG_RECOVERED,
                                               .time = now,
                                               .detail = strerror(-log->failed_with),
                                               .count = log->lost - log->lost_reported}) < 0)
                return;
        log->failed_with = 0;
        log->lost_reported = log->lost;
        push(&log->waiting, item);
}

static int commit_events(struct kb_log *log, struct queue *batch, uint64_t now)
{
        struct kb_log_entry *entries[KB_COMMIT_MAX];
        size_t n = 0;
        int r = 0;

        for (struct item *item = batch->first; item; item = item->next)
                entries[n++] = &item->entry;
        if (kb_commit_rotate_due(&log->commit, now))
                r = kb_commit_rotate(&log->commit, now);
        if (r == 0 || !log->commit.spent)
                r = kb_commit_write(&log->commit, entries, n);
        for (struct item *item = batch->first; item && r < 0; item = item->next)
                tell(log, item);
        return r;
}

static void commit_anchors(struct kb_log *log, struct queue *asked, uint64_t now)
{
        struct kb_anchor anchor = {};
        struct item *item;
        int r;

        /* where nothing waits to be written, an anchor shows whether anything can be */
        if (asked->n == 0 && log->error == 0 && !kb_commit_anchor_due(&log->commit, now))
                return;
        r = kb_commit_anchor(&log->commit, now, &anchor);
        pthread_mutex_lock(&log->mutex);
        log->written = log->commit.tail.next - 1;
        while ((item = pop(asked))) {
                item->anchor = anchor;
                finish_locked(log, item, r);
        }
        if (r < 0)
                log->retry_at = kb_now_monotonic() + RETRY;
        set_error_locked(log, r);
        pthread_mutex_unlock(&log->mutex);
}

/* Takes what one commit can have. Events go before the anchors that were asked for behind them. */
static void take_batch_locked(struct kb_log *log, struct queue *events, struct queue *anchors)
{
        while (log->waiting.first && events->n < KB_COMMIT_MAX) {
                struct item *item = pop(&log->waiting);

                push(item->is_anchor ? anchors : events, item);
        }
        log->somebody_waits = log->waiting.n > 0;
}

static void work(struct kb_log *log, struct queue *events, struct queue *anchors)
{
        uint64_t now = log->commit.options.now();
        int r;

        if (events->n > 0) {
                r = commit_events(log, events, now);
                pthread_mutex_lock(&log->mutex);
                log->written = log->commit.tail.next - 1; /* before anybody is told */
                settle_locked(log, events, r);
                if (r == 0)
                        report_recovery_locked(log, now);
                pthread_mutex_unlock(&log->mutex);
        }
        commit_anchors(log, anchors, now);
        pthread_mutex_lock(&log->mutex);
        if (log->watch_fd >= 0)
                (void)eventfd_write(log->watch_fd, 1);
        pthread_mutex_unlock(&log->mutex);
}

/* When there is something to do although nobody comes: an anchor, or another try. */
static uint64_t next_deadline_locked(const struct kb_log *log, uint64_t monotonic)
{
        const struct kb_commit *c = &log->commit;
        uint64_t now = c->options.now(), since = now - c->last_anchor_time, deadline = KB_TIME_NEVER;

        if (c->since_anchor > 0)
                deadline = kb_commit_anchor_due(c, now)
                                   ? monotonic
                                   : kb_time_add(monotonic, c->options.anchor_age - since);
        return log->error == 0 ? deadline : log->retry_at;
}

/* Returns false when it is time to go. */
static bool wait_locked(struct kb_log *log)
{
        for (;;) {
                uint64_t monotonic = kb_now_monotonic();
                uint64_t deadline = next_deadline_locked(log, monotonic);
                struct timespec ts = {
                        .tv_sec = (time_t)(deadline / KB_USEC_PER_SEC),
                        .tv_nsec = (long)(deadline % KB_USEC_PER_SEC) * 1000,
                };

                if (log->stop)
                        return log->waiting.n > 0;
                if (log->somebody_waits || (log->waiting.n > 0 && log->error == 0) || deadline <= monotonic)
                        return true;
                if (deadline == KB_TIME_NEVER)
                        pthread_cond_wait(&log->wake, &log->mutex);
                else
                        pthread_cond_timedwait(&log->wake, &log->mutex, &ts);
        }
}

static void *writer(void *userdata)
{
        struct kb_log *log = userdata;
        struct queue events, anchors;

        pthread_mutex_lock(&log->mutex);
        while (wait_locked(log)) {
                queue_init(&events);
                queue_init(&anchors);
                take_batch_locked(log, &events, &anchors);
                pthread_mutex_unlock(&log->mutex);
                work(log, &events, &anchors);
                pthread_mutex_lock(&log->mutex);
        }
        pthread_mutex_unlock(&log->mutex);
        return NULL;
}

/* --- open and close --- */

static int start_thread(struct kb_log *log)
{
        sigset_t all, before;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
        r = pthread_create(&log->thread, NULL, writer, log);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

static int append_started(struct kb_log *log, const struct kb_log_recovered *found)
{
        char detail[128] = "";

        if (found->missing_anchors > 0)
                snprintf(detail, sizeof(detail),
                         "%" PRIu64 " anchor%s missing at its end: it was cut or put back",
                         found->missing_anchors, KB_S(found->missing_anchors));
        return kb_log_append(log,
                             &(struct kb_event){.id = KB_EVENT_LOG_STARTED,
                                                .log = log->commit.identity.id,
                                                .release = PACKAGE_VERSION,
                                                .count = found->torn,
                                                .detail = detail},
                             false, NULL, NULL);
}

static int append_damaged(struct kb_log *log, const struct kb_log_damage *damage)
{
        char name[KB_LOG_NAME_MAX];

        if (damage->file == 0)
                return 0;
        kb_log_file_name(damage->file, name);
        return kb_log_append(
                log, &(struct kb_event){.id = KB_EVENT_LOG_DAMAGED, .file = name, .offset = damage->offset},
                false, NULL, NULL);
}

static void release(struct kb_log *log)
{
        struct item *item;

        while ((item = pop(&log->waiting)))
                item_free(item);
        kb_commit_done(&log->commit);
        kb_closep(&log->done_fd);
        kb_closep(&log->journal_fd);
        pthread_cond_destroy(&log->wake);
        pthread_mutex_destroy(&log->mutex);
        free(log);
}

static struct kb_log *allocate(void)
{
        struct kb_log *log = calloc(1, sizeof(*log));
        pthread_condattr_t attributes;

        if (!log)
                return NULL;
        log->commit.fd = log->commit.dir_fd = log->commit.lock_fd = -1;
        log->watch_fd = log->journal_fd = -1;
        queue_init(&log->waiting);
        queue_init(&log->done);
        pthread_mutex_init(&log->mutex, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&log->wake, &attributes);
        pthread_condattr_destroy(&attributes);
        log->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return log;
}

int kb_log_open(struct kb_log **ret, const char *dir, const struct kb_log_options *options,
                struct kb_log_damage *ret_damage)
{
        struct kb_log *log = allocate();
        struct kb_log_damage damage = {};
        struct kb_log_recovered found;
        uint64_t now;
        int r;

        if (!log)
                return -ENOMEM;
        now = options->now ? options->now() : kb_now_realtime();
        r = log->done_fd < 0 ? -EMFILE : kb_commit_open(&log->commit, dir, options, now, &found, &damage);
        if (r == -EBADMSG)
                *ret_damage = damage;
        if (r == 0) {
                log->written = log->commit.tail.next - 1;
                if (options->journal)
                        log->journal_fd = kb_journal_open(); /* without one, the records have to do */
                r = append_started(log, &found);
        }
        if (r == 0)
                r = append_damaged(log, &damage);
        if (r == 0)
                r = start_thread(log);
        if (r < 0) {
                release(log);
                return r;
        }
        *ret = log;
        return 0;
}

void kb_log_free(struct kb_log *log)
{
        if (!log)
                return;
        pthread_mutex_lock(&log->mutex);
        log->stop = true;
        pthread_cond_signal(&log->wake);
        pthread_mutex_unlock(&log->mutex);
        pthread_join(log->thread, NULL);
        kb_log_dispatch(log);
        release(log);
}
