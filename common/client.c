/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/clock.h"

struct kb_call kb_call_init(uint32_t verb)
{
        struct kb_call call = {.request = kb_writer_init(KB_FRAME_MAX), .verb = verb};

        kb_frame_begin_request(&call.request, verb);
        return call;
}

void kb_call_done(struct kb_call *call)
{
        kb_writer_done(&call->request);
        kb_secret_free(call->received);
        call->received = NULL;
}

/* Waits until fd is ready for events. 0, or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline)
{
        for (;;) {
                struct pollfd p = {.fd = fd, .events = events};
                int r = poll(&p, 1, kb_time_poll_ms(kb_now_monotonic(), deadline));

                if (r > 0)
                        return 0;
                if (r == 0)
                        return -ETIMEDOUT;
                if (errno != EINTR)
                        return -errno;
        }
}

/*
 * connect(2) to a listening unix socket never waits on a non-blocking socket: when its queue is full it says
 * EAGAIN and there is nothing to poll for, so we try again, with pauses that grow.
 */
static int connect_to(const char *path, uint64_t deadline)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -1;
        int pause_ms = 1;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path); /* fits: seen above */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                int left = kb_time_poll_ms(kb_now_monotonic(), deadline);

                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return -errno;
                if (left == 0)
                        return -ETIMEDOUT;
                poll(NULL, 0, pause_ms < left ? pause_ms : left);
                if (pause_ms < 50)
                        pause_ms *= 2;
        }
        return take_fd(fd);
}

static int send_all(int fd, struct kb_span bytes, uint64_t deadline)
{
        while (bytes.size > 0) {
                ssize_t n = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0) {
                        bytes = KB_SPAN(bytes.data + n, bytes.size - (size_t)n);
                        continue;
                }
                if (errno == EAGAIN) {
                        int r = wait_for(fd, POLLOUT, deadline);

                        if (r < 0)
                                return r;
                } else if (errno != EINTR)
                        return errno == EPIPE ? -ECONNRESET : -errno;
        }
        return 0;
}

static int receive_all(int fd, uint8_t *to, size_t size, uint64_t deadline)
{
        while (size > 0) {
                ssize_t n = recv(fd, to, size, MSG_DONTWAIT);

                if (n > 0) {
                        to += n;
                        size -= (size_t)n;
                        continue;
                }
                if (n == 0)
                        return -ECONNRESET;
                if (errno == EAGAIN) {
                        int r = wait_for(fd, POLLIN, deadline);

                        if (r < 0)
                                return r;
                } else if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

/* A refusal of a frame that was not read as far as its verb has no verb to repeat. */
static bool answers(const struct kb_call *call)
{
        const struct kb_frame *reply = &call->reply;

        if (reply->verb == 0)
                return reply->status != KB_E_OK && reply->status != KB_STATUS_PROGRESS;
        return reply->verb == call->verb;
}

/* One whole frame into call->received. */
static int receive_frame(struct kb_call *call, int fd, uint64_t deadline)
{
        uint8_t head[4];
        ssize_t size;
        int r;

        kb_secret_free(call->received);
        call->received = NULL;
        r = receive_all(fd, head, sizeof(head), deadline);
        if (r < 0)
                return r;
        size = kb_frame_size(KB_SPAN(head, sizeof(head)), KB_FRAME_MAX);
        if (size < 0)
                return (int)size;
        call->received = kb_secret_alloc((size_t)size);
        if (!call->received)
                return -ENOMEM;
        memcpy(call->received, head, sizeof(head));
        r = receive_all(fd, call->received + sizeof(head), (size_t)size - sizeof(head), deadline);
        if (r < 0)
                return r;
        r = kb_frame_get_reply(KB_SPAN(call->received, (size_t)size), &call->reply);
        if (r < 0)
                return r;
        return answers(call) ? 0 : -EBADMSG;
}

static int report_progress(struct kb_call *call)
{
        struct kb_progress_record progress;
        int r = kb_progress_record_get(call->reply.body, &progress);

        if (r == 0 && call->on_progress)
                call->on_progress(call->userdata, &progress);
        return r;
}

int kb_call_run_fd(struct kb_call *call, int fd, uint64_t deadline)
{
        int r = kb_frame_end(&call->request);

        if (r < 0)
                return r;
        r = send_all(fd, KB_SPAN(call->request.data, call->request.size), deadline);
        if (r < 0 && r != -ECONNRESET) /* it may have answered before it hung up: a refusal, say */
                return r;
        for (;;) {
                r = receive_frame(call, fd, deadline);
                if (r < 0)
                        return r;
                if (call->reply.status != KB_STATUS_PROGRESS)
                        break;
                r = report_progress(call);
                if (r < 0)
                        return r;
        }
        call->status = call->reply.status;
        if (call->status != KB_E_OK)
                call->text = kb_frame_error_text(&call->reply);
        return 0;
}

int kb_call_run(struct kb_call *call, const char *path, uint64_t deadline)
{
        _cleanup_close_ int fd = connect_to(path, deadline);

        return fd < 0 ? fd : kb_call_run_fd(call, fd, deadline);
}
