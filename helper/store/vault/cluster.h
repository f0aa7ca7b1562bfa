/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A cluster of OpenBao or Vault servers as one: give it a call, and it answers once, before the call's
 * deadline, with what the server said or with a typed error. Everything that speaks to a server goes through
 * here.
 *
 *   struct kb_cluster_request request = {
 *           .method = KB_HTTP_POST,
 *           .path = "auth/approle/login",
 *           .namespace = settings->namespace,
 *           .body = KB_SPAN(body.writer.data, body.writer.size),
 *           .deadline = kb_time_add(kb_now_monotonic(), 5 * KB_USEC_PER_SEC),
 *           .done = on_login,
 *           .userdata = login,
 *   };
 *   r = kb_cluster_start(cluster, &request, &login->call);
 *
 * What it does by itself
 *
 *   which address   the one that answered last; when that fails, the next one. A standby that names its
 *                   leader (307) is believed when that is one of our addresses, as a hint and no more.
 *                   Nothing is sent to an address that is not in the settings, and nothing that was to be
 *                   encrypted goes out in clear.
 *   try again       when no server was reached, it is sealed, standing by, in an election, overloaded (429,
 *                   with its Retry-After) or broken (5xx), or talks nonsense. Every address once, then a
 *                   wait (helper/store/backoff.h), until the deadline leaves no time for another try.
 *   once            such a call is sent again only when it was certainly not executed: it never left this
 *                   host, or the server refused it before it looked at it (307, 429, sealed, standing by).
 *                   Else the call ends, with `doubt` set. A standby is told not to pass it on, since it
 *                   could not say what became of it; only when no address is the leader it may.
 *   breaker         for each address (helper/store/breaker.h). Only a failure of the connection or of
 *                   the server counts; a 500 in OpenBao's own words is about the request, and does not.
 *                   The probe is a request of our own, sys/health without a token. When no address is
 *                   closed, a call fails at once, unless it is `patient`.
 *   one flight      GET and LIST calls that ask the same (namespace, token, path) at the same time are
 *                   one request. Each has its own deadline and may be cancelled on its own.
 *   time            a try gets its share of what is left, so that a server that hangs leaves time for
 *                   the others. A call that is `once` gets all of it: there is no other try.
 *
 * Not here: what a refusal means for a token or a lease, renewing, and caching.
 */

#include "helper/store/vault/api.h"
#include "helper/store/vault/http.h"
#include "helper/store/vault/route.h"

struct kb_cluster;
struct kb_cluster_call;

/* Everything is copied. */
struct kb_cluster_settings {
        const struct kb_address *addresses;
        size_t n_addresses;    /* 1 to KB_CLUSTER_ADDRESSES */
        uint64_t connect_usec; /* for name, connection and TLS of one try; 0: 3 s */
        struct kb_http_settings http;

        /* Even 64 bits for spreading; NULL: the kernel's. A test brings its own. */
        uint64_t (*random)(void *userdata);
        void *userdata;
};

/* As kb_http_new(). The first address that is asked is any of them, so that hosts spread. */
enum kb_error kb_cluster_new(struct kb_cluster **ret, sd_event *event,
                             const struct kb_cluster_settings *settings, struct kb_problem *problem)
        _must_check_;

/* Calls that are still open end here, without being called back. Not from inside `done`. */
void kb_cluster_free(struct kb_cluster *cluster);
KB_DEFINE_CLEANUP(struct kb_cluster, kb_cluster_free);

struct kb_cluster_answer {
        enum kb_error error; /* KB_E_OK: the server did it (2xx) */
        int status;          /* of HTTP, of the last answer; 0 when no server answered */
        bool doubt;          /* it failed, and nobody knows whether it was done: `once`, or without memory */
        const char *address; /* which server answered or failed last, as it was written; "" when none was
                                asked */
        const char *text; /* what went wrong, for a person: without a secret, one line, < 512 bytes. "" when
                             nothing did */

        /*
         * What the server said: also with an error, when it said something (a deleted version in KV 2 is a
         * 404 with data). All NULL and 0 when it said nothing (204). Wiped when the callback returns, unless
         * taken.
         */
        const struct kb_json_value *json; /* all of it */
        struct kb_api_envelope envelope;
};

/*
 * How statuses become errors. What a login's 400 means knows whoever logs in: status and envelope are there.
 *
 *   400 413       KB_E_BAD_REQUEST     404  KB_E_NOT_FOUND       503 sealed, 501         KB_E_SEALED
 *   401 403       KB_E_DENIED          405  KB_E_UNSUPPORTED     412                     KB_E_BUSY
 *   409           KB_E_CONFLICT        429  KB_E_THROTTLED       an answer too large     KB_E_UNSUPPORTED
 *   other 4xx     KB_E_BAD_REQUEST     everything else, and no answer in time: KB_E_UNREACHABLE
 */

/* Called exactly once, never from inside kb_cluster_start(), and not after kb_cluster_cancel(). */
typedef void (*kb_cluster_done)(const struct kb_cluster_answer *answer, void *userdata);

/* Strings and bytes are copied, into memory that is wiped. */
struct kb_cluster_request {
        enum kb_http_method method;
        const char *path;      /* behind /v1/, with its query: kb_path (api.h) */
        const char *namespace; /* NULL or "": none */
        struct kb_span token;  /* empty: none */
        struct kb_span mfa;    /* as in kb_http_request; empty: none */
        struct kb_span body;   /* JSON: kb_body (body.h); empty: none */
        uint64_t wrap_seconds; /* the answer comes wrapped, to be opened within so long; 0: as it is */
        bool once;    /* never executed twice: unwrap, database/creds, pki/issue, a login with a limited
                         SecretID */
        bool patient; /* wait until the deadline for a cluster that is away, instead of failing at once */
        uint64_t deadline; /* CLOCK_MONOTONIC */
        kb_cluster_done done;
        void *userdata;
};

/*
 * 0, and *ret may be cancelled until `done` is called. -EINVAL when a header may not hold the token, mfa or
 * the namespace; -ENOMEM.
 */
int kb_cluster_start(struct kb_cluster *cluster, const struct kb_cluster_request *request,
                     struct kb_cluster_call **ret) _must_check_;

/* The answer is not wanted any more: `done` will not be called. What was sent was sent. NULL is allowed. */
void kb_cluster_cancel(struct kb_cluster_call *call);

/* Inside `done`: the document becomes the caller's, who frees it with kb_json_free(). NULL when there is
 * none. */
struct kb_json *kb_cluster_take(const struct kb_cluster_answer *answer);

/* How it is now, for status and doctor. */
struct kb_cluster_state {
        const char *address;
        bool current;     /* asked first */
        bool open;        /* its breaker is not closed: it is not asked */
        const char *text; /* the last failure; "" when there was none since the last success */
};
void kb_cluster_state(const struct kb_cluster *cluster, size_t index, struct kb_cluster_state *ret);
size_t kb_cluster_size(const struct kb_cluster *cluster);
const char *kb_cluster_trouble(const struct kb_cluster *cluster); /* kb_http_trouble() */
