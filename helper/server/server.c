/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/server.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/server/accept.h"
#include "helper/server/request.h"

#define MAX_LISTENERS 8

struct listener {
        struct kb_server *server;
        struct kb_listener is;
        struct kb_accept *accept;
        struct kb_request **peers; /* in the order they came; is.max_peers of room */
        unsigned n_peers;
};

struct kb_server {
        struct kb_request_host host;
        struct listener listeners[MAX_LISTENERS];
        unsigned n_listeners;
        bool stopped;
};

/* A listener with room listens; a full one leaves the rest in the kernel's queue. */
static void update(struct listener *l)
{
        kb_accept_set(l->accept, !l->server->stopped && l->n_peers < l->is.max_peers);
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
 * has sent its request keeps its place. Only where everybody may come: root's programs and the broker are
 * not silent on purpose, but a thousand of them at once are slow to begin, and the next ones can wait in the
 * queue until they have.
 */
static void make_room(struct listener *l)
{
        struct kb_request *q;

        if (l->is.caller != KB_CALLER_SELF)
                return;

        while (l->n_peers + 1 >= l->is.max_peers && (q = oldest_reading(l)))
                kb_request_press(q);
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

static void on_connection(int fd, void *userdata)
{
        struct listener *l = userdata;
        struct kb_request_host host = l->server->host;
        struct kb_request *q;

        host.owner = l;
        host.priority = priority(l);
        if (kb_request_new(&q, &host, fd, l->is.caller, l->is.max_request, l->is.read_usec) < 0)
                return;
        make_room(l);
        l->peers[l->n_peers++] = q;
        update(l);
}

int kb_server_new(struct kb_server **ret, sd_event *event, const struct kb_dispatch *table, size_t n_table,
                  void *context)
{
        struct kb_server *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->host = (struct kb_request_host){
                .event = sd_event_ref(event),
                .table = table,
                .n_table = n_table,
                .context = context,
                .ended = on_ended,
        };
        *ret = s;
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
        r = kb_accept_new(&l->accept, s->host.event, listener->fd, priority(l), on_connection, l);
        if (r < 0) {
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
                kb_accept_free(l->accept);
                free(l->peers);
        }
        sd_event_unref(s->host.event);
        free(s);
}
