/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The wire on an event loop: the serving side that broker and stores share. It accepts, reads one frame per
 * connection, checks who asks, hands it to the verb's handler, and writes the reply. A handler may answer at
 * once or later; it answers every request exactly once. A peer that is slow, silent or talks nonsense loses
 * its connection and nothing else.
 */

#include <stdarg.h>
#include <systemd/sd-event.h>

#include "common/protocol.h"
#include "helper/server/peer.h"

struct kb_server;
struct kb_request;

/*
 * What goes first on the loop: units and the stores' answers to them (SD_EVENT_PRIORITY_NORMAL), since
 * systemd has begun a start already and counts; then root's programs, which bring the people; then
 * everybody; last, what the verbs that come in crowds do.
 */
#define KB_PRIORITY_ROOT  5
#define KB_PRIORITY_CROWD 10
#define KB_PRIORITY_LAST  15

typedef void (*kb_handler)(struct kb_request *request, void *context);

struct kb_dispatch {
        uint32_t verb;
        kb_handler handler;
        bool crowds; /* comes by the thousand at times: is served when nothing else is there to be served */
};

struct kb_listener {
        int fd;                /* a listening socket; the server owns it from now on */
        enum kb_caller caller; /* what a connection to it makes of the peer */
        unsigned max_peers;    /* connections at once; one more waits in the kernel's queue */
        size_t max_request;    /* bytes of a frame */
        uint64_t read_usec; /* how long a peer may take to send its request, and then to read its answer */
};

/*
 * table must outlive the server. context is passed to the handlers. KB_CALLER_ROOT additionally needs a peer
 * of uid 0. 0 or -ENOMEM. When kb_server_listen() fails, the socket stays the caller's.
 */
int kb_server_new(struct kb_server **ret, sd_event *event, const struct kb_dispatch *table, size_t n_table,
                  void *context);
int kb_server_listen(struct kb_server *s, const struct kb_listener *listener);

/*
 * Accepts nothing more: who comes now waits in the kernel's queue for the next process. What was accepted is
 * still served; a peer that has not sent all of its request has a second to do so.
 */
void kb_server_stop_accepting(struct kb_server *s);

/* How many that were accepted have no answer yet, those included whose request is not complete. */
unsigned kb_server_pending(const struct kb_server *s);
void kb_server_free(struct kb_server *s);
KB_DEFINE_CLEANUP(struct kb_server, kb_server_free);

/* --- what a handler has --- */

uint32_t kb_request_verb(const struct kb_request *request);

/* The fields, which were checked to be those of the verb: kb_VERB_request_get() works. Lives until the
 * answer. */
struct kb_span kb_request_body(const struct kb_request *request);
const struct kb_peer *kb_request_peer(const struct kb_request *request); /* its pidfd is the request's */
enum kb_caller kb_request_caller(const struct kb_request *request);
const char *kb_request_id(const struct kb_request *request); /* 16 hex digits, for log and journal */

/*
 * Takes the fields of a verb out of the body: kb_request_decode(request, fetch, &q). False: the request has
 * been failed.
 */
#define kb_request_decode(request, verb, ret)                                                               \
        (kb_##verb##_request_get(kb_request_body(request), (ret)) >= 0 ||                                   \
         (kb_request_fail((request), KB_E_BAD_REQUEST, "the fields of " #verb " make no sense"), false))

/* The peer has hung up. The answer is still owed (and thrown away). */
bool kb_request_abandoned(const struct kb_request *request);

/*
 * The answer. Each ends the request: it must not be touched afterwards.
 *
 *   kb_request_reply(request, account, .rule = "admins");
 *   kb_request_fail(request, KB_E_DENIED, "no rule permits %s", user);
 *
 * A reply that does not fit its maxima turns into KB_E_INTERNAL.
 */
#define kb_request_reply(request, verb, ...)                                                                \
        do {                                                                                                \
                kb_##verb##_reply_put(kb_request_reply_begin(request),                                      \
                                      &(struct kb_##verb##_reply){__VA_ARGS__});                            \
                kb_request_reply_end(request);                                                              \
        } while (0)
struct kb_writer *kb_request_reply_begin(struct kb_request *request);
void kb_request_reply_end(struct kb_request *request);
void kb_request_fail(struct kb_request *request, enum kb_error error, const char *format, ...)
        _printf_(3, 4);

/*
 * How far long work has come. May be called any number of times before the answer. 4 MiB wait for the peer
 * at most, then the request is given up; who has more to send does it in steps, each from the one before:
 * kb_request_when_sent() calls back once, from the loop, when all progress is with the peer or the peer is
 * gone.
 */
void kb_request_progress(struct kb_request *request, const struct kb_progress_record *progress);
void kb_request_when_sent(struct kb_request *request, kb_handler then, void *context);
