/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The broker's side of a store's socket: one connection per request, on the event loop, never blocking. A
 * store is untrusted: what it says is bounded by the protocol table and judged by whoever asked.
 */

#include <systemd/sd-event.h>

#include "common/protocol.h"

#define KB_STORES_DIR KB_RUNDIR "/stores"

struct kb_store_call;

struct kb_store_answer {
        enum kb_error error;   /* KB_E_UNREACHABLE when there was no answer */
        const char *text;      /* what went wrong, for the journal; "" when nothing did */
        struct kb_span fields; /* of the reply; lives until the callback returns, unless taken */
};

/*
 * Called exactly once per call, never from inside kb_store_call_start(). To keep what the answer points to,
 * take its memory with kb_store_answer_take(): kb_secret_free() it when done.
 */
typedef void (*kb_store_done)(const struct kb_store_answer *answer, void *userdata);
typedef void (*kb_store_progress)(const struct kb_progress_record *progress, void *userdata);

struct kb_store_request {
        sd_event *event;
        const char *dir;   /* KB_STORES_DIR; tests have their own */
        const char *store; /* its name */
        uint32_t verb;
        uint64_t usec;    /* how long it may take in all */
        int64_t priority; /* of its events on the loop: see helper/server/server.h */
        kb_store_done done;
        kb_store_progress progress; /* may be NULL */
        void *userdata;
};

/*
 * Starts a call: the caller puts the request's fields into the writer it gets, then sends.
 *
 *   kb_store_call_new(&call, &request);
 *   kb_fetch_request_put(kb_store_call_writer(call), &fields);
 *   kb_store_call_start(call);          // call belongs to the loop from now on
 *
 * new: 0 or -ENOMEM. start never fails: what goes wrong is told to `done`.
 */
int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request);
struct kb_writer *kb_store_call_writer(struct kb_store_call *call);
void kb_store_call_start(struct kb_store_call *call);

/*
 * Back-pressure for whoever passes progress on: after hold no more of it is read, so that the store waits
 * instead of our memory; resume goes on. Time runs meanwhile.
 */
void kb_store_call_hold(struct kb_store_call *call);
void kb_store_call_resume(struct kb_store_call *call);

/* The result is not wanted any more: done will not be called. The store may still do what it was asked. */
void kb_store_call_cancel(struct kb_store_call *call);

/* Inside done: the frame the answer points into becomes the caller's. */
void *kb_store_answer_take(const struct kb_store_answer *answer);
