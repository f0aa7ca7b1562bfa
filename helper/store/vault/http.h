/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One exchange with one address over libcurl, on the event loop: no thread of ours, no call that blocks. Who
 * wants the cluster and not one server uses cluster.h.
 *
 * TLS is always verified, against the system's authorities or those of a file; there is no switch for that.
 * Connections are kept and used again. Redirects are not followed, no proxy is used, and nothing comes from
 * the environment. libcurl's own memory is wiped when it is freed, and so is the answer.
 *
 * The files of authorities and of the client certificate are looked at before each exchange and read again
 * when they changed; new connections are made with what is new. While what they hold cannot be used, what
 * was read before stays in use, and kb_http_trouble() says why.
 */

#include <systemd/sd-event.h>

#include "common/secret.h"
#include "helper/store/problem.h"
#include "helper/store/vault/address.h"

#define KB_HTTP_ANSWER_MAX ((size_t)4 * 1024 * 1024)

enum kb_http_method {
        KB_HTTP_GET,
        KB_HTTP_LIST,
        KB_HTTP_POST,
        KB_HTTP_PUT,
        KB_HTTP_PATCH, /* the body is a merge patch (RFC 7396) */
        KB_HTTP_DELETE,
};

/* Strings are copied; NULL and 0 mean the default. */
struct kb_http_settings {
        const char *ca_file;     /* PEM; NULL: the system's authorities */
        const char *server_name; /* to ask for (SNI) and to expect in the certificate; NULL: the address's */
        const char *certificate_file; /* of this host, PEM, with its chain; NULL: none */
        const char *key_file;         /* its key; NULL: it stands in certificate_file */
        bool tls_1_2;                 /* 1.2 will do as well; else nothing below 1.3 */
        size_t max_answer;            /* bytes; KB_HTTP_ANSWER_MAX */
        unsigned max_connections;     /* at once, to all addresses; 16. More exchanges wait their turn */
};

struct kb_http;

/*
 * KB_E_OK; KB_E_BAD_REQUEST when a file of the settings cannot be used, with a sentence in problem;
 * KB_E_INTERNAL or KB_E_BUSY when libcurl or memory fails. max_answer and the like are never changed later:
 * a reload makes a new one.
 */
enum kb_error kb_http_new(struct kb_http **ret, sd_event *event, const struct kb_http_settings *settings,
                          struct kb_problem *problem) _must_check_;
void kb_http_free(struct kb_http *http); /* no exchange may be under way */
KB_DEFINE_CLEANUP(struct kb_http, kb_http_free);

/* Why a changed file is not in use, for `doctor` and the log; "" when all are. */
const char *kb_http_trouble(const struct kb_http *http);

/* What an exchange came to, before anybody looks at what the answer says. */
enum kb_http_result {
        KB_HTTP_ANSWERED, /* the whole of it is there */
        KB_HTTP_NAME,     /* the address's name cannot be found */
        KB_HTTP_CONNECT,  /* nobody there */
        KB_HTTP_TLS,      /* the other side cannot show who it is, or does not accept us */
        KB_HTTP_TIMEOUT,
        KB_HTTP_LOST,    /* the connection broke */
        KB_HTTP_GARBAGE, /* not HTTP */
        KB_HTTP_TOO_LARGE,
        KB_HTTP_INTERNAL, /* libcurl or memory */
};

struct kb_http_answer {
        enum kb_http_result result;
        bool sent;            /* the server may have acted on it; false: certainly not */
        int status;           /* of HTTP, 0 when none came */
        struct kb_span body;  /* wiped when the callback returns */
        const char *location; /* of a redirect; "" when there is none */
        uint64_t retry_after; /* microseconds, an hour at most; 0 when the server did not say */
        const char *text;     /* what went wrong, without the address and a secret; "" when nothing did */
};

/* Called exactly once, never from inside kb_http_start(), and not after kb_http_cancel(). */
typedef void (*kb_http_done)(const struct kb_http_answer *answer, void *userdata);

/* All that it points to must live until `done` was called or the exchange was cancelled. */
struct kb_http_request {
        const struct kb_address *address;
        enum kb_http_method method;
        const char *path;      /* behind /v1/, with its query, as kb_path makes it */
        const char *namespace; /* NULL or "": none */
        struct kb_span token;  /* empty: none */
        struct kb_span mfa;    /* METHOD:CODE of a login's second factor; empty: none */
        struct kb_span body;   /* JSON; empty: none */
        uint64_t wrap_seconds; /* ask for the answer to be wrapped for so long; 0: no */
        bool once; /* never put on the wire twice, not even when a kept connection turns out to be dead */
        bool here; /* a standby says where the leader is, instead of passing it on */
        uint64_t connect_usec; /* name, connection and TLS */
        uint64_t total_usec;   /* all of it */
        kb_http_done done;
        void *userdata;
};

struct kb_http_exchange;

/* Whether a header may hold these bytes: printable ASCII without a space. */
bool kb_http_header_valid(struct kb_span value);

/* 0, and the exchange belongs to the loop; -EINVAL when token, mfa or namespace have what no header may
 * have; -ENOMEM. */
int kb_http_start(struct kb_http *http, const struct kb_http_request *request, struct kb_http_exchange **ret)
        _must_check_;

/* Whether the server may act on it already. */
bool kb_http_sent(const struct kb_http_exchange *exchange);

/* The answer is not wanted any more. What was sent was sent. */
void kb_http_cancel(struct kb_http_exchange *exchange);
