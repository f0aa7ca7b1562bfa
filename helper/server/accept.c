/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/accept.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

#define PAUSE_USEC (100 * KB_USEC_PER_MSEC)

struct kb_accept {
        int fd;
        sd_event_source *io;
        sd_event_source *pause;
        bool wanted;
        kb_accepted accepted;
        void *userdata;
};

void kb_accept_set(struct kb_accept *a, bool wanted)
{
        a->wanted = wanted;
        sd_event_source_set_enabled(a->io, wanted ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_resume(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_accept *a = userdata;

        kb_accept_set(a, a->wanted);
        return 0;
}

static void pause_accepting(struct kb_accept *a)
{
        sd_event_source_set_enabled(a->io, SD_EVENT_OFF);
        sd_event_source_set_time(a->pause, kb_time_add(kb_now_monotonic(), PAUSE_USEC));
        sd_event_source_set_enabled(a->pause, SD_EVENT_ONESHOT);
}

static int on_connection(sd_event_source *source, int listening, uint32_t events, void *userdata)
{
        struct kb_accept *a = userdata;
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0)
                a->accepted(fd, a->userdata);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_accepting(a);
        return 0; /* the other errors are the peer's: it went away again */
}

int kb_accept_new(struct kb_accept **ret, sd_event *event, int listening, int64_t priority,
                  kb_accepted accepted, void *userdata)
{
        _cleanup_(kb_accept_freep) struct kb_accept *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        *a = (struct kb_accept){.fd = -1, .wanted = true, .accepted = accepted, .userdata = userdata};
        r = sd_event_add_io(event, &a->io, listening, EPOLLIN, on_connection, a);
        if (r >= 0)
                r = sd_event_source_set_priority(a->io, priority);
        if (r >= 0)
                r = sd_event_add_time(event, &a->pause, CLOCK_MONOTONIC, KB_TIME_NEVER, 0, on_resume, a);
        if (r < 0)
                return r;
        a->fd = listening;
        *ret = take_ptr(a);
        return 0;
}

void kb_accept_free(struct kb_accept *a)
{
        if (!a)
                return;
        sd_event_source_disable_unref(a->io);
        sd_event_source_disable_unref(a->pause);
        if (a->fd >= 0)
                close(a->fd);
        free(a);
}
