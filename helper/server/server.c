/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "helper/server/request.h"

#define MAX_LISTENERS 8
#define PAUSE_USEC    (100 * KB_USEC_PER_MSEC) /* when descriptors are out, before we try again */

struct listener {
        struct kb_server *server;
        struct kb_listener is;
        sd_event_source *io;
        struct kb_request **peers; /* in the order they came; is.max_peers of room */
        unsigned n_peers;
};

struct kb_server {
        struct kb_request_host host;
        struct listener listeners[MAX_LISTENERS];
        unsigned n_listeners;
        sd_event_source *pause;
        bool stopped;
};

/* A listener with room listens; a full one leaves the rest in the kernel's queue. */
static void update(struct listener *l)
{
        bool listens = !l->server->stopped && l->n_peers < l->is.max_peers;

        sd_event_source_set_enabled(l->io, listens ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void on_ended(struct kb_request *q, void *owner)
{
        struct listener *l = owner;

        for (unsigned i = 0; i < l->n_peers; i++) {
                if (l->peers[i] != q)
                        continue;
                for (unsigned k = i + 1; k < l->n_peers; k++)
                        l->peers[k - 1] = l->peers[k];
                l->n_peers--;
                break;
        }
        update(l);
}

static struct kb_request *oldest_reading(const struct listener *l)
{
        for (unsigned i = 0; i < l->n_peers; i++)
                if (kb_request_state(l->peers[i]) == KB_REQUEST_READING)
                        return l->peers[i];
        return NULL;
}

/*
 * Full: whoever has been silent longest makes room for somebody who may have something to say. A peer that
 * has sent its request keeps its place.
 */
static void make_room(struct listener *l)
{
        struct kb_request *q;

        while (l->n_peers + 1 >= l->is.max_peers && (q = oldest_reading(l)))
                kb_request_press(q);
}

static int on_resume(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_server *s = userdata;

        for (unsigned i = 0; i < s->n_listeners; i++)
                update(&s->listeners[i]);
        return 0;
}

/* Out of descriptors or memory: the connection stays in the queue, and would wake us without end. */
static void pause_accepting(struct listener *l)
{
        struct kb_server *s = l->server;

        sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
        sd_event_source_set_time(s->pause, kb_now_monotonic() + PAUSE_USEC);
        sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT);
}

static int64_t priority(const struct listener *l)
{
        switch (l->is.caller) {
        case KB_CALLER_SELF:
                return KB_PRIORITY_CROWD;
        case KB_CALLER_ROOT:
                return KB_PRIORITY_ROOT;
        default:
                return SD_EVENT_PRIORITY_NORMAL;
        }
}

static int on_connection(sd_event_source *source, int listening, uint32_t events, void *userdata)
{
        struct listener *l = userdata;
        struct kb_request_host host = l->server->host;
        struct kb_request *q;
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                        pause_accepting(l);
                return 0; /* the others are the peer's: it went away again */
        }
        host.owner = l;
        host.priority = priority(l);
        if (kb_request_new(&q, &host, fd, l->is.caller, l->is.max_request, l->is.read_usec) < 0)
                return 0;
        make_room(l);
        l->peers[l->n_peers++] = q;
        update(l);
        return 0;
}

int kb_server_new(struct kb_server **ret, sd_event *event, const struct kb_dispatch *table, size_t n_table,
                  void *context)
{
        _cleanup_(kb_server_freep) struct kb_server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->host = (struct kb_request_host){
                .event = sd_event_ref(event),
                .table = table,
                .n_table = n_table,
                .context = context,
                .ended = on_ended,
        };
        r = sd_event_add_time(event, &s->pause, CLOCK_MONOTONIC, 0, 0, on_resume, s);
        if (r < 0)
                return r;
        sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
        *ret = take_ptr(s);
        return 0;
}

int kb_server_listen(struct kb_server *s, const struct kb_listener *listener)
{
        struct listener *l = &s->listeners[s->n_listeners];
        int r;

        if (s->n_listeners == MAX_LISTENERS || listener->max_peers == 0)
                return -EINVAL;
        *l = (struct listener){.server = s, .is = *listener};
        l->peers = calloc(listener->max_peers, sizeof(*l->peers));
        if (!l->peers)
                return -ENOMEM;
        r = sd_event_add_io(s->host.event, &l->io, listener->fd, EPOLLIN, on_connection, l);
        if (r >= 0)
                r = sd_event_source_set_priority(l->io, priority(l));
        if (r < 0) {
                sd_event_source_disable_unref(l->io);
                free(l->peers);
                return r;
        }
        s->n_listeners++;
        return 0;
}

void kb_server_stop_accepting(struct kb_server *s)
{
        s->stopped = true;
        for (unsigned i = 0; i < s->n_listeners; i++) {
                struct listener *l = &s->listeners[i];

                update(l);
                for (unsigned k = 0; k < l->n_peers; k++)
                        kb_request_hurry(l->peers[k]);
        }
}

unsigned kb_server_pending(const struct kb_server *s)
{
        unsigned pending = 0;

        for (unsigned i = 0; i < s->n_listeners; i++)
                pending += s->listeners[i].n_peers;
        return pending;
}

void kb_server_free(struct kb_server *s)
{
        if (!s)
                return;
        s->stopped = true;
        for (unsigned i = 0; i < s->n_listeners; i++) {
                struct listener *l = &s->listeners[i];

                while (l->n_peers > 0)
                        kb_request_free(l->peers[0]);
                sd_event_source_disable_unref(l->io);
                close(l->is.fd);
                free(l->peers);
        }
        sd_event_source_disable_unref(s->pause);
        sd_event_unref(s->host.event);
        free(s);
}
