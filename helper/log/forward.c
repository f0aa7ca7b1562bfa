/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/file.h"
#include "helper/log/files.h"
#include "helper/log/journal.h"
#include "helper/log/reader.h"
#include "helper/log/window.h"

#define PROGRESS_FILE  "journal"
#define ROUND          (2 * KB_USEC_PER_SEC) /* between two looks into the journal while something is open */
#define ROUND_FULL     (200 * KB_USEC_PER_MSEC) /* the same when nothing more can be sent before */
#define RETRY_FIRST    KB_USEC_PER_MSEC         /* when journald does not take it; doubles up to the next */
#define RETRY_LAST     (500 * KB_USEC_PER_MSEC)
#define RESEND_MAX     1000 /* in one round: a limit of rates must not be met with a storm */
#define REOPEN_AFTER   1000 /* records read back: what was read stays mapped, and locked in memory */
#define BLIND_NEVER    (60 * KB_USEC_PER_SEC)  /* nothing seen for so long: it cannot be read back */
#define BLIND_ANY_MORE (600 * KB_USEC_PER_SEC) /* the same when it could be before */

/* On disk, always the same size. */
struct progress {
        uint64_t base;
        char cursor[KB_FORWARD_CURSOR_MAX];
};

struct kb_forward {
        struct kb_log *log;
        struct kb_log_identity identity;
        struct kb_forward_options options;
        const char *dir;
        int dir_fd;
        int wake_fd;
        atomic_bool stop;
        pthread_t thread;

        pthread_mutex_t mutex;
        struct kb_forward_state state; /* for others to read */

        /* all that follows is the thread's own */
        struct kb_log_reader *reader; /* stands before `next` */
        struct kb_window window;
        uint64_t next;          /* sequence number to be sent for the first time */
        struct kb_writer entry; /* it, encoded, when it could not be sent yet; else empty */
        int socket_fd;
        int error;
        uint64_t retry; /* how long to wait after it */
        void *confirmer;
        unsigned read; /* records, since it was opened */
        char cursor[KB_FORWARD_CURSOR_MAX];
        struct progress saved; /* what the file says */
        uint64_t round_at;     /* when the journal is looked into next */
        uint64_t quiet_since;  /* something is open, and nothing was seen since then; 0: nothing is open */
        uint64_t resent;
        bool blind;
        struct {
                uint64_t count, first, last;
        } filled; /* since the last journal-gap-filled */
};

/* --- progress --- */

static bool all_done(const struct kb_forward *f)
{
        return f->window.base + 1 == f->next;
}

/* Without the file, from the newest file of the log on: what is older may have left the journal long ago. */
static int load_progress(struct kb_forward *f)
{
        _cleanup_log_files_ struct kb_log_files files = {};
        int r;

        r = kb_file_read_exactly_at(f->dir_fd, PROGRESS_FILE, &f->saved, sizeof(f->saved));
        if (r < 0) {
                f->saved = (struct progress){};
                r = kb_log_files_list(f->dir_fd, &files);
                if (r < 0 || files.n == 0)
                        return r < 0 ? r : -ENOENT;
                f->saved.base = files.first[files.n - 1] - 1;
        }
        f->saved.cursor[sizeof(f->saved.cursor) - 1] = '\0';
        memcpy(f->cursor, f->saved.cursor, sizeof(f->cursor));
        f->window.base = f->saved.base;
        f->next = f->saved.base + 1;
        return 0;
}

/* The cursor may only be behind what is open: it is where the next process starts to look for it. */
static void save_progress(struct kb_forward *f)
{
        struct progress now = f->saved;

        now.base = f->window.base;
        if (all_done(f))
                memcpy(now.cursor, f->cursor, sizeof(now.cursor));
        if (memcmp(&now, &f->saved, sizeof(now)) == 0)
                return;
        if (kb_file_write_at(f->dir_fd, PROGRESS_FILE, KB_SPAN(&now, sizeof(now)), 0600) == 0)
                f->saved = now;
}

/* --- sending --- */

/* Records between `next` and this one are not there (any more): nothing to send. */
static void skip_to(struct kb_forward *f, uint64_t sequence)
{
        for (; f->next < sequence; f->next++) {
                if (!kb_window_has_room(&f->window, f->next))
                        kb_window_give_up(&f->window);
                (void)kb_window_seen(&f->window, f->next);
                (void)kb_window_advance(&f->window);
        }
}

/* Encodes the next record that wants to be sent. 1, 0 when there is none. */
static int fetch_next(struct kb_forward *f, uint64_t written)
{
        struct kb_log_read read;
        int r;

        while (f->entry.size == 0) {
                if (f->next > written || !kb_window_has_room(&f->window, f->next))
                        return 0;
                r = kb_log_reader_next(f->reader, &read);
                if (r == -EBADMSG)
                        continue;
                if (r <= 0)
                        return r;
                skip_to(f, read.sequence);
                if (read.sequence == f->next && kb_window_wants(&f->window, f->next))
                        kb_journal_encode(&f->entry, &f->identity, read.sequence, &read.event);
                else if (read.sequence == f->next)
                        f->next++;
        }
        return 1;
}

static int send_entry(struct kb_forward *f, uint64_t sequence, struct kb_span entry)
{
        const char *path = f->options.socket ? f->options.socket : KB_JOURNAL_SOCKET;
        int r;

        r = kb_journal_send(f->socket_fd, path, entry);
        if (r < 0)
                return r;
        kb_window_sent(&f->window, sequence, kb_now_monotonic());
        if (!f->options.confirmer)
                (void)kb_window_seen(&f->window, sequence);
        return 0;
}

static int send_new(struct kb_forward *f)
{
        struct kb_log_state log;
        int r;

        kb_log_get_state(f->log, &log);
        while ((r = fetch_next(f, log.written)) > 0) {
                r = kb_writer_end(&f->entry);
                if (r == 0)
                        r = send_entry(f, f->next, KB_SPAN(f->entry.data, f->entry.size));
                if (r < 0)
                        return r;
                kb_writer_done(&f->entry);
                f->entry = kb_writer_init(KB_JOURNAL_MAX);
                f->next++;
                if (!f->options.confirmer)
                        (void)kb_window_advance(&f->window);
        }
        return r;
}

/* --- reading back, and sending again --- */

static void note_seen(uint64_t sequence, void *userdata)
{
        struct kb_forward *f = userdata;
        bool wanted = kb_window_wants(&f->window, sequence);

        f->read++;
        if (kb_window_seen(&f->window, sequence)) {
                f->filled.first =
                        f->filled.count == 0 || sequence < f->filled.first ? sequence : f->filled.first;
                f->filled.last = sequence > f->filled.last ? sequence : f->filled.last;
                f->filled.count++;
        }
        if (wanted) {
                f->quiet_since = 0;
                f->blind = false;
        }
}

static void read_back(struct kb_forward *f)
{
        const struct kb_confirmer *c = f->options.confirmer;

        if (!c)
                return;
        if (!f->confirmer) {
                f->read = 0;
                if (c->open(&f->confirmer, f->identity.id, f->cursor) < 0)
                        return;
        }
        if (c->read(f->confirmer, note_seen, f, f->cursor) < 0 || f->read >= REOPEN_AFTER) {
                c->close(f->confirmer); /* and from where it was, the next time */
                f->confirmer = NULL;
        }
}

static int resend(struct kb_forward *f, struct kb_log_reader *reader, uint64_t now)
{
        uint64_t missing = kb_window_missing(&f->window, 0, f->next - 1, now);
        struct kb_log_read read;
        int r = 0;

        for (unsigned n = 0; missing > 0 && n < RESEND_MAX; n++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_JOURNAL_MAX);

                r = n == 0 ? kb_log_reader_seek(reader, missing) : 0;
                do
                        r = r < 0 ? r : kb_log_reader_next(reader, &read);
                while ((r > 0 && read.sequence < missing) || r == -EBADMSG);
                if (r <= 0)
                        return r;
                if (read.sequence == missing) {
                        kb_journal_encode(&w, &f->identity, missing, &read.event);
                        r = send_entry(f, missing, KB_SPAN(w.data, w.size));
                        if (r < 0)
                                return r;
                        f->resent++;
                } else {
                        (void)kb_window_seen(&f->window, missing); /* its file is gone */
                }
                missing = kb_window_missing(&f->window, missing, f->next - 1, now);
        }
        return 0;
}

static int send_missing(struct kb_forward *f, uint64_t now)
{
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        int r;

        if (kb_window_missing(&f->window, 0, f->next - 1, now) == 0)
                return 0;
        r = kb_log_reader_open(&reader, f->dir);
        return r < 0 ? r : resend(f, reader, now);
}

/* When nothing was seen for too long, waiting for it is pointless. */
static void judge_blindness(struct kb_forward *f, uint64_t now)
{
        uint64_t patience = f->window.seen > 0 ? BLIND_ANY_MORE : BLIND_NEVER;

        if (all_done(f) || f->error < 0)
                f->quiet_since = 0;
        else if (f->quiet_since == 0)
                f->quiet_since = now;
        else if (now - f->quiet_since >= patience)
                f->blind = true;
        while (f->blind && !all_done(f))
                kb_window_give_up(&f->window);
}

static void report_filled(struct kb_forward *f)
{
        struct kb_event event = {
                .id = KB_EVENT_JOURNAL_GAP_FILLED,
                .count = f->filled.count,
                .first = f->filled.first,
                .last = f->filled.last,
        };

        if (f->filled.count == 0 || !all_done(f))
                return;
        if (kb_log_append(f->log, &event, false, NULL, NULL) == 0)
                f->filled.count = f->filled.first = f->filled.last = 0;
}

static void round_of(struct kb_forward *f, uint64_t now)
{
        int r;

        read_back(f);
        (void)kb_window_advance(&f->window);
        r = send_missing(f, now);
        if (r < 0)
                f->error = r;
        judge_blindness(f, now);
        report_filled(f);
        save_progress(f);
}

/* --- the thread --- */

static void publish_state(struct kb_forward *f)
{
        struct kb_log_state log;

        kb_log_get_state(f->log, &log);
        pthread_mutex_lock(&f->mutex);
        f->state = (struct kb_forward_state){
                .sent = f->next - 1,
                .confirmed = f->window.base,
                .lag = log.written > f->window.base ? log.written - f->window.base : 0,
                .resent = f->resent,
                .given_up = f->window.given_up,
                .error = f->error,
                .blind = f->blind,
        };
        pthread_mutex_unlock(&f->mutex);
}

static bool more_to_send(struct kb_forward *f)
{
        struct kb_log_state log;

        kb_log_get_state(f->log, &log);
        return f->error == 0 && f->next <= log.written && kb_window_has_room(&f->window, f->next);
}

/* How long there is nothing to do, if nobody wakes us; KB_TIME_NEVER: for ever. */
static uint64_t work(struct kb_forward *f)
{
        uint64_t now = kb_now_monotonic(), wait = KB_TIME_NEVER, first = f->next;
        bool full = false;

        f->error = send_new(f);
        if (now >= f->round_at) {
                full = !kb_window_has_room(&f->window, f->next);
                round_of(f, now);
                f->round_at = now + (full ? ROUND_FULL : ROUND);
        }
        if (!all_done(f))
                wait = f->round_at - now;
        if (full && more_to_send(f))
                wait = 0; /* the round has made room */
        if (f->error == 0 || f->next > first || f->retry == 0)
                f->retry = RETRY_FIRST;
        else if (f->retry < RETRY_LAST)
                f->retry *= 2;
        if (f->error < 0 && wait > f->retry)
                wait = f->retry;
        publish_state(f);
        return wait;
}

static void *forwarder(void *userdata)
{
        struct kb_forward *f = userdata;

        while (!f->stop) {
                struct pollfd p = {.fd = f->wake_fd, .events = POLLIN};
                uint64_t wait = work(f);
                eventfd_t n;

                (void)poll(&p, 1, wait == KB_TIME_NEVER ? -1 : kb_time_poll_ms(0, wait));
                (void)eventfd_read(f->wake_fd, &n);
        }
        f->round_at = 0;
        (void)work(f); /* what came last */
        return NULL;
}

static void release(struct kb_forward *f)
{
        if (!f)
                return;
        if (f->confirmer)
                f->options.confirmer->close(f->confirmer);
        kb_writer_done(&f->entry);
        kb_log_reader_free(f->reader);
        kb_closep(&f->socket_fd);
        kb_closep(&f->wake_fd);
        kb_closep(&f->dir_fd);
        pthread_mutex_destroy(&f->mutex);
        free(f);
}
KB_DEFINE_CLEANUP(struct kb_forward, release);

static int prepare(struct kb_forward *f)
{
        int r;

        f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (f->dir_fd < 0)
                return -errno;
        f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (f->wake_fd < 0)
                return -errno;
        f->socket_fd = kb_journal_open();
        if (f->socket_fd < 0)
                return f->socket_fd;
        r = load_progress(f);
        if (r == 0)
                r = kb_log_reader_open(&f->reader, f->dir);
        if (r == 0)
                r = kb_log_reader_seek(f->reader, f->next);
        if (r == 0)
                read_back(f); /* what a process before us sent: not to be repeated */
        return r;
}

static int start_thread(struct kb_forward *f)
{
        sigset_t all, before;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&f->thread, NULL, forwarder, f);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

int kb_forward_new(struct kb_forward **ret, struct kb_log *log, const char *dir,
                   const struct kb_forward_options *options)
{
        _cleanup_(releasep) struct kb_forward *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        pthread_mutex_init(&f->mutex, NULL);
        f->dir_fd = f->wake_fd = f->socket_fd = -1;
        f->log = log;
        f->dir = dir;
        f->identity = *kb_log_identity(log);
        f->options = *options;
        f->entry = kb_writer_init(KB_JOURNAL_MAX);
        r = prepare(f);
        if (r < 0)
                return r;
        kb_log_set_watch(log, f->wake_fd);
        r = start_thread(f);
        if (r < 0) {
                kb_log_set_watch(log, -1);
                return r;
        }
        *ret = take_ptr(f);
        return 0;
}

void kb_forward_free(struct kb_forward *f)
{
        if (!f)
                return;
        f->stop = true;
        (void)eventfd_write(f->wake_fd, 1);
        pthread_join(f->thread, NULL);
        kb_log_set_watch(f->log, -1);
        release(f);
}

void kb_forward_get_state(struct kb_forward *f, struct kb_forward_state *ret)
{
        pthread_mutex_lock(&f->mutex);
        *ret = f->state;
        pthread_mutex_unlock(&f->mutex);
}
