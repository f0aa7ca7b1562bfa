/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What every store program is: a backend, that is a table of handlers for the store verbs of
 * common/protocol.def, and this main loop around it. The socket comes from systemd
 * (FileDescriptorName=store).
 *
 *   int main(void)
 *   {
 *           return kb_store_main(&backend);
 *   }
 */

#include "helper/server/server.h"

struct kb_store_backend {
        const char *kind; /* "local", "vault" */
        const struct kb_dispatch *table;
        size_t n_table;

        /* Called once, before the first request. Comes up also when the store cannot serve: its verbs then
         * say why. */
        int (*start)(sd_event *event, void *userdata, void **ret_context);
        void *userdata; /* for start: what this program was called with */

        /* Nothing is accepted any more: true when nothing is left to do either. */
        bool (*idle)(void *context);

        /* SIGHUP: the settings may have changed. NULL: there are none. */
        void (*reload)(void *context);

        /* One line for `systemctl status`. */
        void (*describe)(void *context, char *ret, size_t size);

        void (*end)(void *context);
};

/* The exit status of the program. */
int kb_store_main(const struct kb_store_backend *backend);
