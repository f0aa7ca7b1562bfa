/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One request, one connection, one deadline: connect, send, receive, close. Nothing is cached between calls,
 * so there is nothing to go stale in a program that forks, closes all descriptors or lives for months. libc
 * only.
 *
 *   struct kb_call call = kb_call_init(KB_VERB_account);
 *   kb_account_request_put(&call.request, &(struct kb_account_request){ .user = "ana", ... });
 *   r = kb_call_run(&call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), 5 * KB_USEC_PER_SEC));
 *   if (r >= 0 && call.status == KB_E_OK)
 *           r = kb_account_reply_get(call.reply.body, &reply);      // points into call
 *   kb_call_done(&call);                                            // wipes
 */

#include "common/protocol.h"

#define KB_ROOT_SOCKET KB_RUNDIR "/root.sock"
#define KB_AUTH_SOCKET KB_RUNDIR "/auth.sock"

struct kb_call {
        struct kb_writer request;
        uint32_t verb;

        uint32_t status;       /* enum kb_error, once kb_call_run() returned 0 */
        const char *text;      /* what went wrong when status is not KB_E_OK; points into this call */
        struct kb_frame reply; /* the fields when status is KB_E_OK; point into this call */

        /* Called for each progress record, when set. */
        void (*on_progress)(void *userdata, const struct kb_progress_record *progress);
        void *userdata;

        uint8_t *received;
};

struct kb_call kb_call_init(uint32_t verb);
void kb_call_done(struct kb_call *call);
#define _cleanup_call_ _cleanup_(kb_call_done)

/*
 * Sends call->request to the socket at path and waits for the reply, until deadline (CLOCK_MONOTONIC) at
 * most. 0 when there is a reply: look at call->status. Else what stopped us: -ENOENT or -ECONNREFUSED
 * (nobody listens), -ETIMEDOUT, -ECONNRESET (hung up without an answer), -EBADMSG (an answer that makes no
 * sense), -EPROTONOSUPPORT, -EMSGSIZE, -ENOMEM, -EMFILE. Never blocks longer, never raises SIGPIPE.
 */
int kb_call_run(struct kb_call *call, const char *path, uint64_t deadline) _must_check_;

/* The same over a stream that is connected already; closes nothing. */
int kb_call_run_fd(struct kb_call *call, int fd, uint64_t deadline) _must_check_;
