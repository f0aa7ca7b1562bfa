/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside helper/server only: one connection, from its first byte to the last one of its answer. */

#include "helper/server/server.h"

/* What the server lends to each request. */
struct kb_request_host {
        sd_event *event;
        int64_t priority; /* of its events on the loop */
        const struct kb_dispatch *table;
        size_t n_table;
        void *context;

        void (*ended)(struct kb_request *request, void *owner); /* it is about to be freed */
        void *owner;
};

enum kb_request_state { KB_REQUEST_READING, KB_REQUEST_SERVING, KB_REQUEST_WRITING };

/* Takes over fd (also on failure). max and usec as max_request and read_usec in struct kb_listener. */
int kb_request_new(struct kb_request **ret, const struct kb_request_host *host, int fd,
                   enum kb_caller caller, size_t max, uint64_t usec);

enum kb_request_state kb_request_state(const struct kb_request *request);

/*
 * Its place is wanted: takes what the peer has sent by now, and serves it if that is all, else hangs up.
 * Either way it does not read any more, and may be gone.
 */
void kb_request_press(struct kb_request *request);

/* The server stops: a peer whose request is not complete has a second left to complete it. */
void kb_request_hurry(struct kb_request *request);

/* At the end of the process: frees whatever its state. */
void kb_request_free(struct kb_request *request);
