/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A server on an event loop and its clients in one thread: nothing moves until the test lets the loop run.
 * It listens as auth.sock (SITE_CROWD) and as root.sock (SITE_ROOT) do, and serves
 *
 *   account           at once: the rule is the service of the request
 *   change_password   when the test answers site.owed[]
 *   status            when nothing else is to be served: an answer that is larger than it may be
 *   fetch             never: it is not for these sockets
 */

#include <sys/socket.h>
#include <sys/un.h>

#include "helper/server/server.h"
#include "tests/unit/test.h"

#define SITE_PEERS     8
#define SITE_READ_USEC (100 * KB_USEC_PER_MSEC)
#define SITE_REQUEST   4096 /* greatest size of a request */

enum site_socket { SITE_CROWD, SITE_ROOT, SITE_SOCKETS };

struct site {
        sd_event *event;
        struct kb_server *server;
        struct sockaddr_un address[SITE_SOCKETS];
        socklen_t address_size[SITE_SOCKETS];

        char handled[4096]; /* one letter for each request that came to a handler: 'c'rowd or 'r'oot */
        unsigned n_handled;
        struct kb_request *owed[SITE_PEERS];
        unsigned n_owed;
        struct kb_peer peer; /* of the last request */
};

int site_setup(void **state);
int site_setup_patient(void **state); /* peers may take a minute to send and to read */
int site_teardown(void **state);

/* Runs the loop until nothing is left to do, or for so long. */
void site_run(struct site *site);
void site_run_for(struct site *site, uint64_t usec);

/* A new connection, not blocking. */
int site_connect(struct site *site, enum site_socket to);

/* Requests. The writer is the caller's to release. */
struct kb_writer site_account(const char *service);
struct kb_writer site_change_password(void);

void site_send(int fd, const void *data, size_t size);
void site_send_frame(int fd, struct kb_writer w); /* releases w */

/*
 * Runs the loop, and reads what came: the status of the one frame there is, with its fields in *ret_body
 * when that is not NULL (valid until the next call); -EAGAIN when nothing came; -ECONNRESET when the server
 * hung up without an answer. After an answer the connection must be closed.
 */
long site_answer(struct site *site, int fd, struct kb_span *ret_body);

/* That an honest request is answered: whatever happened before, the site is whole. */
void site_assert_serves(struct site *site, enum site_socket socket);
