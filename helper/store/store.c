/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/store.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "helper/server/process.h"

/* The broker asks on behalf of many: a thousand logins at once are a thousand connections. */
#define MAX_PEERS 1100
#define READ_USEC (5 * KB_USEC_PER_SEC)

struct program {
        const struct kb_store_backend *backend;
        struct kb_server *server;
        void *context;
};

static void on_stop(void *userdata)
{
        struct program *p = userdata;

        kb_server_stop_accepting(p->server);
}

static bool on_idle(void *userdata)
{
        struct program *p = userdata;

        return kb_server_pending(p->server) == 0 && p->backend->idle(p->context);
}

static void on_reload(void *userdata)
{
        struct program *p = userdata;

        if (p->backend->reload)
                p->backend->reload(p->context);
}

static int listen_and_run(struct program *p, sd_event *event)
{
        const struct kb_process_hooks hooks = {
                .stop = on_stop, .idle = on_idle, .reload = on_reload, .userdata = p};
        struct kb_listener listener = {
                .caller = KB_CALLER_STORE,
                .max_peers = MAX_PEERS,
                .max_request = KB_FRAME_MAX,
                .read_usec = READ_USEC,
        };
        char status[256];
        int r;

        listener.fd = kb_process_take_fd("store");
        if (listener.fd < 0) {
                kb_process_log(LOG_ERR,
                               "no socket named \"store\" was passed: start the socket unit instead");
                return listener.fd;
        }
        r = kb_server_new(&p->server, event, p->backend->table, p->backend->n_table, p->context);
        if (r >= 0)
                r = kb_server_listen(p->server, &listener);
        if (r < 0)
                return r;
        p->backend->describe(p->context, status, sizeof(status));
        sd_notifyf(0, "STATUS=%s", status);
        return kb_process_run(event, &hooks);
}

int kb_store_main(const struct kb_store_backend *backend)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct program p = {.backend = backend};
        int r;

        kb_process_harden();
        r = sd_event_default(&event);
        if (r >= 0)
                r = backend->start(event, backend->userdata, &p.context);
        if (r >= 0)
                r = listen_and_run(&p, event);
        if (p.context)
                backend->end(p.context); /* answers what it still owes, so the server goes after it */
        kb_server_free(p.server);
        if (r < 0)
                kb_process_log(LOG_ERR, "the %s store stops: %s", backend->kind, strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
