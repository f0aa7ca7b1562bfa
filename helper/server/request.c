/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/crashpoint.h"
#include "helper/server/incoming.h"

#define HURRY_USEC (1 * KB_USEC_PER_SEC) /* for the rest of a request, once the server stops */

struct kb_request {
        struct kb_request_host host;
        enum kb_request_state state;
        enum kb_caller caller;
        struct kb_peer peer;
        char id[17];

        int fd;
        sd_event_source *io;
        sd_event_source *timer;
        sd_event_source *turn; /* of one of a crowd, to be served */
        uint64_t usec;  /* how long the peer may take to send its request, and then to read its answer */
        bool unread;    /* the peer lets its answer lie; the timer runs */
        bool abandoned; /* the peer hung up while a handler owes the answer */

        struct kb_incoming in;
        size_t in_max;
        struct kb_frame frame;

        struct kb_writer reply; /* the frame being made */
        struct kb_writer out;   /* finished frames, progress first */
        size_t out_sent;
        kb_handler then; /* to be called once all of it is sent */
        void *then_context;
};

/* --- life --- */

void kb_request_free(struct kb_request *q)
{
        if (!q)
                return;
        q->host.ended(q, q->host.owner);
        sd_event_source_disable_unref(q->io);
        sd_event_source_disable_unref(q->timer);
        sd_event_source_disable_unref(q->turn);
        if (q->fd >= 0)
                close(q->fd);
        if (q->peer.pidfd >= 0)
                close(q->peer.pidfd);
        kb_incoming_done(&q->in);
        kb_writer_done(&q->reply);
        kb_writer_done(&q->out);
        free(q);
}

/* Whoever waits to send more is told once; may free q. */
static void call_then(struct kb_request *q)
{
        kb_handler then = q->then;

        q->then = NULL;
        if (then)
                then(q, q->then_context);
}

/* The peer can not be served any more. While a handler owes the answer, only remember it. May free q. */
static void hang_up(struct kb_request *q)
{
        if (q->state != KB_REQUEST_SERVING) {
                kb_request_free(q);
                return;
        }
        q->abandoned = true;
        sd_event_source_set_enabled(q->io, SD_EVENT_OFF);
        call_then(q);
}

void kb_request_hurry(struct kb_request *q)
{
        uint64_t limit = kb_time_add(kb_now_monotonic(), HURRY_USEC), due;

        if (q->state == KB_REQUEST_READING && sd_event_source_get_time(q->timer, &due) >= 0 && due > limit)
                sd_event_source_set_time(q->timer, limit);
}

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata)
{
        hang_up(userdata);
        return 0;
}

/* (Re)starts the one timer; 0 stops it. */
static void set_timer(struct kb_request *q, uint64_t usec)
{
        if (usec > 0)
                sd_event_source_set_time(q->timer, kb_time_add(kb_now_monotonic(), usec));
        sd_event_source_set_enabled(q->timer, usec > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* --- reading --- */

static const struct kb_dispatch *find_handler(const struct kb_request *q)
{
        for (size_t i = 0; i < q->host.n_table; i++)
                if (q->host.table[i].verb == q->frame.verb)
                        return &q->host.table[i];
        return NULL;
}

/* Fields and caller have been checked. */
static int on_turn(sd_event_source *source, void *userdata)
{
        struct kb_request *q = userdata;

        find_handler(q)->handler(q, q->host.context); /* may have freed q */
        return 0;
}

/* Without memory for it there is no turn: served at once is better than never. */
static bool wait_for_turn(struct kb_request *q)
{
        if (sd_event_add_defer(q->host.event, &q->turn, on_turn, q) >= 0 &&
            sd_event_source_set_priority(q->turn, KB_PRIORITY_LAST) >= 0)
                return true;
        q->turn = sd_event_source_disable_unref(q->turn);
        return false;
}

static void serve(struct kb_request *q)
{
        const struct kb_dispatch *row;
        int r;

        q->state = KB_REQUEST_SERVING;
        set_timer(q, 0);
        sd_event_source_set_io_events(q->io, 0); /* EPOLLHUP still comes */
        q->frame = (struct kb_frame){.version = KB_PROTOCOL_VERSION_MIN};
        r = kb_frame_get_request(KB_SPAN(q->in.frame, q->in.size), &q->frame);
        if (r == -EPROTONOSUPPORT) {
                kb_request_fail(q, KB_E_UNSUPPORTED, "this side speaks versions %d to %d of the protocol",
                                KB_PROTOCOL_VERSION_MIN, KB_PROTOCOL_VERSION);
                return;
        }
        if (r < 0) {
                kb_request_fail(q, KB_E_BAD_REQUEST, "the frame makes no sense");
                return;
        }
        row = find_handler(q);
        if (!row) {
                kb_request_fail(q, KB_E_UNSUPPORTED, "verb %#x is not known here", q->frame.verb);
                return;
        }
        if (!(kb_verb_callers(q->frame.verb) & q->caller)) {
                kb_request_fail(q, KB_E_DENIED, "%s is not for this socket", kb_verb_name(q->frame.verb));
                return;
        }
        if (kb_verb_check_request(q->frame.verb, q->frame.body) < 0) {
                kb_request_fail(q, KB_E_BAD_REQUEST, "the fields of %s make no sense",
                                kb_verb_name(q->frame.verb));
                return;
        }
        kb_crashpoint_of(kb_verb_name(q->frame.verb), "asked");
        if (row->crowds && wait_for_turn(q))
                return;
        row->handler(q, q->host.context); /* may have freed q */
}

/* --- writing --- */

/*
 * The peer has to read before we can send on. Its time for the answer runs once, however small its sips;
 * while progress comes, each sip of it counts.
 */
static void await_reader(struct kb_request *q)
{
        sd_event_source_set_io_events(q->io, EPOLLOUT);
        if (!q->unread || q->state == KB_REQUEST_SERVING)
                set_timer(q, q->usec);
        q->unread = true;
}

#ifdef KB_ENABLE_CRASHPOINTS
/* The point in the middle of an answer: sends half of it before. */
static void answer_half(struct kb_request *q)
{
        ssize_t n;

        if (q->state != KB_REQUEST_WRITING || q->out_sent > 0)
                return;
        n = send(q->fd, q->out.data, q->out.size / 2, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
                q->out_sent = (size_t)n;
        kb_crashpoint_of(kb_verb_name(q->frame.verb), "answering");
}
#else
#define answer_half(q) ((void)0)
#endif

/* Sends what there is. May free q: when the last byte of its answer is out, or by what waits for that. */
static void flush(struct kb_request *q)
{
        answer_half(q);
        while (q->out_sent < q->out.size) {
                ssize_t n = send(q->fd, q->out.data + q->out_sent, q->out.size - q->out_sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        await_reader(q);
                        return;
                }
                if (n < 0) {
                        hang_up(q);
                        return;
                }
                q->out_sent += (size_t)n;
        }
        if (q->state == KB_REQUEST_WRITING) {
                kb_crashpoint_of(kb_verb_name(q->frame.verb), "answered");
                kb_request_free(q);
                return;
        }
        kb_writer_done(&q->out);
        q->out = kb_writer_init(KB_FRAME_MAX * 2);
        q->out_sent = 0;
        q->unread = false;
        sd_event_source_set_io_events(q->io, 0);
        set_timer(q, 0);
        call_then(q);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct kb_request *q = userdata;
        int r;

        switch (q->state) {
        case KB_REQUEST_READING:
                r = kb_incoming_receive(&q->in, q->fd, q->in_max);
                if (r > 0)
                        serve(q);
                else if (r == -EMSGSIZE || r == -EBADMSG) {
                        q->state = KB_REQUEST_SERVING;
                        q->frame.version = KB_PROTOCOL_VERSION_MIN;
                        kb_request_fail(q, KB_E_BAD_REQUEST, "a frame of that size is not taken here");
                } else if (r < 0)
                        hang_up(q);
                break;
        case KB_REQUEST_SERVING:
                if (events & (EPOLLHUP | EPOLLERR))
                        hang_up(q);
                else
                        flush(q);
                break;
        case KB_REQUEST_WRITING:
                flush(q);
                break;
        }
        return 0;
}

void kb_request_press(struct kb_request *q)
{
        if (kb_incoming_receive(&q->in, q->fd, q->in_max) > 0)
                serve(q);
        else
                hang_up(q);
}

/* --- a new connection --- */

static int identify(struct kb_request *q)
{
        uint64_t random;
        int r = kb_peer_get(q->fd, &q->peer);

        if (r < 0)
                return r;
        if (q->caller == KB_CALLER_ROOT && q->peer.uid != 0)
                return -EACCES;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                return -errno;
        snprintf(q->id, sizeof(q->id), "%016llx", (unsigned long long)random);
        return 0;
}

static void not_owned_yet(struct kb_request *q, void *owner)
{
}

int kb_request_new(struct kb_request **ret, const struct kb_request_host *host, int fd,
                   enum kb_caller caller, size_t max, uint64_t usec)
{
        struct kb_request *q = calloc(1, sizeof(*q));
        int r;

        if (!q) {
                close(fd);
                return -ENOMEM;
        }
        q->host = *host;
        q->host.ended = not_owned_yet;
        q->fd = fd;
        q->peer.pidfd = -1;
        q->caller = caller;
        q->in_max = max;
        q->usec = usec;
        q->out = kb_writer_init(KB_FRAME_MAX * 2);
        r = identify(q);
        if (r >= 0)
                r = sd_event_add_io(host->event, &q->io, fd, EPOLLIN, on_io, q);
        if (r >= 0)
                r = sd_event_source_set_priority(q->io, host->priority);
        if (r >= 0)
                r = sd_event_add_time(host->event, &q->timer, CLOCK_MONOTONIC, 0, 0, on_timeout, q);
        if (r < 0) {
                kb_request_free(q);
                return r;
        }
        set_timer(q, usec);
        q->host.ended = host->ended;
        *ret = q;
        return 0;
}

/* --- what a handler sees --- */

enum kb_request_state kb_request_state(const struct kb_request *q)
{
        return q->state;
}

uint32_t kb_request_verb(const struct kb_request *q)
{
        return q->frame.verb;
}

struct kb_span kb_request_body(const struct kb_request *q)
{
        return q->frame.body;
}

const struct kb_peer *kb_request_peer(const struct kb_request *q)
{
        return &q->peer;
}

enum kb_caller kb_request_caller(const struct kb_request *q)
{
        return q->caller;
}

const char *kb_request_id(const struct kb_request *q)
{
        return q->id;
}

bool kb_request_abandoned(const struct kb_request *q)
{
        return q->abandoned;
}

/* --- the answer --- */

/* Moves the finished frame behind those that wait. */
static int queue_frame(struct kb_request *q)
{
        int r = kb_frame_end(&q->reply);

        if (r >= 0) {
                kb_write_raw(&q->out, KB_SPAN(q->reply.data, q->reply.size));
                r = kb_writer_end(&q->out);
        }
        kb_writer_done(&q->reply);
        return r;
}

static void send_answer(struct kb_request *q)
{
        q->state = KB_REQUEST_WRITING;
        if (q->abandoned)
                kb_request_free(q);
        else
                flush(q);
}

struct kb_writer *kb_request_reply_begin(struct kb_request *q)
{
        q->reply = kb_writer_init(KB_FRAME_MAX);
        kb_frame_begin_reply(&q->reply, q->frame.version, q->frame.verb, KB_E_OK);
        return &q->reply;
}

void kb_request_reply_end(struct kb_request *q)
{
        if (queue_frame(q) < 0)
                kb_request_fail(q, KB_E_INTERNAL, "the answer is too large");
        else
                send_answer(q);
}

void kb_request_fail(struct kb_request *q, enum kb_error error, const char *format, ...)
{
        char text[512] = "";
        va_list args;

        if (format) {
                va_start(args, format);
                vsnprintf(text, sizeof(text), format, args);
                va_end(args);
        }
        kb_writer_done(&q->reply);
        q->reply = kb_writer_init(KB_FRAME_MAX);
        if (kb_frame_write_error(&q->reply, q->frame.version, q->frame.verb, error, text) < 0 ||
            queue_frame(q) < 0)
                q->abandoned = true; /* no memory for a line: all that is left is to hang up */
        send_answer(q);
}

void kb_request_progress(struct kb_request *q, const struct kb_progress_record *progress)
{
        if (q->abandoned)
                return;
        q->reply = kb_writer_init(KB_FRAME_MAX);
        kb_frame_begin_reply(&q->reply, q->frame.version, q->frame.verb, KB_STATUS_PROGRESS);
        kb_progress_record_put(&q->reply, progress);
        if (queue_frame(q) >= 0)
                flush(q);
}

void kb_request_when_sent(struct kb_request *q, kb_handler then, void *context)
{
        q->then = then;
        q->then_context = context;
        if (q->abandoned) {
                /* the timer's end hangs up once more, and tells; one that is long over comes at once */
                sd_event_source_set_time(q->timer, 0);
                sd_event_source_set_enabled(q->timer, SD_EVENT_ONESHOT);
        } else
                sd_event_source_set_io_events(q->io, EPOLLOUT);
}
