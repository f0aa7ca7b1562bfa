/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/store_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "helper/server/incoming.h"

struct kb_store_call {
        struct kb_store_request is;
        char store[KB_CREDENTIAL_NAME_MAX + 1];

        int fd;
        sd_event_source *io;
        sd_event_source *timer;
        int errno_at_start; /* the timer tells `done` of it, from the loop and not from inside start */
        char text[256];

        struct kb_writer out;
        size_t sent;
        struct kb_incoming in;
};

/* So that kb_store_answer_take() finds the call: the answer is its first member. */
struct answering {
        struct kb_store_answer answer;
        struct kb_store_call *call;
};

static void call_free(struct kb_store_call *c)
{
        if (!c)
                return;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        if (c->fd >= 0)
                close(c->fd);
        kb_writer_done(&c->out);
        kb_incoming_done(&c->in);
        sd_event_unref(c->is.event);
        free(c);
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        call_free(c);
}

void kb_store_call_hold(struct kb_store_call *c)
{
        sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
}

void kb_store_call_resume(struct kb_store_call *c)
{
        sd_event_source_set_enabled(c->io, SD_EVENT_ON);
}

void *kb_store_answer_take(const struct kb_store_answer *answer)
{
        struct kb_store_call *c = ((const struct answering *)answer)->call;

        return take_ptr(c->in.frame);
}

static void finish(struct kb_store_call *c, enum kb_error error, const char *text, struct kb_span fields)
{
        struct answering answering = {{.error = error, .text = text, .fields = fields}, c};

        sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
        sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->is.done(&answering.answer, c->is.userdata);
        call_free(c);
}

static void fail(struct kb_store_call *c, int r)
{
        snprintf(c->text, sizeof(c->text), "store %s: %s", c->store,
                 r == -ETIMEDOUT    ? "no answer in time"
                 : r == -ECONNRESET ? "it hung up in the middle"
                 : r == -EBADMSG    ? "its answer makes no sense"
                                    : strerror(-r));
        finish(c, r == -EBADMSG || r == -EMSGSIZE ? KB_E_INTERNAL : KB_E_UNREACHABLE, c->text,
               KB_SPAN("", 0));
}

static int on_timeout(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_store_call *c = userdata;

        fail(c, c->errno_at_start < 0 ? c->errno_at_start : -ETIMEDOUT);
        return 0;
}

/* A whole frame is there. 1 when it was the answer (and c is gone), 0 when more follows. */
static int take_frame(struct kb_store_call *c)
{
        struct kb_frame frame;
        struct kb_progress_record progress;
        int r = kb_frame_get_reply(KB_SPAN(c->in.frame, c->in.size), &frame);

        if (r < 0 || frame.verb != c->is.verb)
                return -EBADMSG;
        if (frame.status == KB_STATUS_PROGRESS) {
                if (!c->is.progress) /* nobody asked for anything that takes long */
                        return -EBADMSG;
                r = kb_progress_record_get(frame.body, &progress);
                if (r >= 0)
                        c->is.progress(&progress, c->is.userdata);
                kb_incoming_done(&c->in);
                return r;
        }
        if (frame.status == KB_E_OK)
                finish(c, KB_E_OK, "", frame.body);
        else
                finish(c, frame.status, kb_frame_error_text(&frame), KB_SPAN("", 0));
        return 1;
}

/* Reads one frame of what is there; the loop comes back for more. 1 when c is gone, 0 to go on, negative
 * when the store cannot be talked to. */
static int receive(struct kb_store_call *c)
{
        int r = kb_incoming_receive(&c->in, c->fd, KB_FRAME_MAX);
        return r > 0 ? take_frame(c) : r;
}

static int send_rest(struct kb_store_call *c)
{
        while (c->sent < c->out.size) {
                ssize_t n = send(c->fd, c->out.data + c->sent, c->out.size - c->sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                c->sent += (size_t)n;
        }
        return sd_event_source_set_io_events(c->io, EPOLLIN);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct kb_store_call *c = userdata;
        int r = 0;

        if (c->sent < c->out.size)
                r = send_rest(c);
        if (r >= 0 || r == -EPIPE) /* it may have refused before it hung up */
                r = receive(c);
        if (r < 0)
                fail(c, r);
        return 0;
}

int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request)
{
        struct kb_store_call *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->is = *request;
        c->is.event = sd_event_ref(request->event);
        c->fd = -1;
        /* Here, where it may fail: whatever goes wrong later needs no memory to be told. */
        r = sd_event_add_time_relative(c->is.event, &c->timer, CLOCK_MONOTONIC, c->is.usec, 0, on_timeout,
                                       c);
        if (r < 0) {
                call_free(c);
                return r;
        }
        c->out = kb_writer_init(KB_FRAME_MAX);
        snprintf(c->store, sizeof(c->store), "%s", request->store);
        kb_frame_begin_request(&c->out, request->verb);
        *ret = c;
        return 0;
}

struct kb_writer *kb_store_call_writer(struct kb_store_call *c)
{
        return &c->out;
}

static int connect_store(struct kb_store_call *c)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int n;

        n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", c->is.dir, c->store);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                return -errno;
        return connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* Connects and sends at once what fits: the usual request needs no turn of the loop for that. */
static int start(struct kb_store_call *c)
{
        int r = kb_frame_end(&c->out);

        if (r >= 0)
                r = connect_store(c);
        if (r >= 0)
                r = sd_event_add_io(c->is.event, &c->io, c->fd, EPOLLIN | EPOLLOUT, on_io, c);
        if (r >= 0)
                r = sd_event_source_set_priority(c->io, c->is.priority);
        if (r >= 0)
                r = send_rest(c);
        return r == -EPIPE ? 0 : r;
}

void kb_store_call_start(struct kb_store_call *c)
{
        int r = start(c);

        if (r >= 0)
                return;
        c->errno_at_start = r;
        sd_event_source_set_enabled(c->io, SD_EVENT_OFF); /* else it would be told twice */
        sd_event_source_set_time(c->timer, 0);
}
