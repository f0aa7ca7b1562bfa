/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/names.h"
#include "common/wire.h"
#include "helper/store/vault/tls_files.h"

#define CONNECTIONS_DEFAULT 16
#define HEADERS_MAX         ((size_t)64 * 1024)
#define IDLE_SEC            60L /* a server closes what is idle after minutes: none is used again near that */
#define LIFE_SEC            600L /* so that a name that means another host by now is looked up again */
#define NAMES_SEC           5L
#define AUTHORITIES_SEC     60L /* libcurl keeps the system's for so long */
#define SILENCE_MS          10000
#define KEEPALIVE_SEC       15L
#define RETRY_AFTER_MAX     3600

struct kb_http {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        struct kb_tls_files *files;
        char *server_name;
        bool tls_1_2;
        size_t max_answer;
};

struct kb_http_exchange {
        struct kb_http *http;
        struct kb_http_request is;
        CURL *easy;
        struct curl_slist *headers;
        struct curl_slist *connect_to;
        struct kb_writer body;
        size_t header_bytes;
        unsigned sent; /* how often it was about to be put on the wire */
        char problem[CURL_ERROR_SIZE];
};

/* --- memory: what passes through libcurl may be a token --- */

static void wiping_free(void *p)
{
        if (p)
                kb_wipe(p, malloc_usable_size(p));
        free(p);
}

static void *wiping_realloc(void *p, size_t size)
{
        size_t old = p ? malloc_usable_size(p) : 0;
        void *moved = malloc(size);

        if (!moved)
                return NULL;
        if (p)
                memcpy(moved, p, old < size ? old : size);
        wiping_free(p);
        return moved;
}

/* Once in a process. libcurl has to be the one on OpenSSL: a callback gets a context of it. */
static CURLcode global_init(void)
{
        static bool done;
        CURLcode code = CURLE_OK;

        if (!done)
                code = curl_global_init_mem(CURL_GLOBAL_ALL, malloc, wiping_free, wiping_realloc, strdup,
                                            calloc);
        done = code == CURLE_OK;
        if (done && strncmp(curl_version_info(CURLVERSION_NOW)->ssl_version, "OpenSSL/", 8) != 0)
                return CURLE_NOT_BUILT_IN;
        return code;
}

/* --- what it came to --- */

static const struct {
        CURLcode code;
        enum kb_http_result result;
} results[] = {
        {CURLE_OK, KB_HTTP_ANSWERED},
        {CURLE_COULDNT_RESOLVE_HOST, KB_HTTP_NAME},
        {CURLE_COULDNT_CONNECT, KB_HTTP_CONNECT},
        {CURLE_OPERATION_TIMEDOUT, KB_HTTP_TIMEOUT},
        {CURLE_PEER_FAILED_VERIFICATION, KB_HTTP_TLS},
        {CURLE_SSL_CONNECT_ERROR, KB_HTTP_TLS},
        {CURLE_SSL_CERTPROBLEM, KB_HTTP_TLS},
        {CURLE_SSL_CACERT_BADFILE, KB_HTTP_TLS},
        {CURLE_SSL_CIPHER, KB_HTTP_TLS},
        {CURLE_SEND_ERROR, KB_HTTP_LOST},
        {CURLE_RECV_ERROR, KB_HTTP_LOST},
        {CURLE_GOT_NOTHING, KB_HTTP_LOST},
        {CURLE_PARTIAL_FILE, KB_HTTP_LOST},
        {CURLE_FILESIZE_EXCEEDED, KB_HTTP_TOO_LARGE}, /* as it told beforehand; else body.failed */
        {CURLE_ABORTED_BY_CALLBACK, KB_HTTP_LOST},    /* on_request() */
        {CURLE_UNSUPPORTED_PROTOCOL, KB_HTTP_GARBAGE},
        {CURLE_WEIRD_SERVER_REPLY, KB_HTTP_GARBAGE},
        {CURLE_BAD_CONTENT_ENCODING, KB_HTTP_GARBAGE},
#if LIBCURL_VERSION_NUM >= 0x080600
        {CURLE_TOO_LARGE, KB_HTTP_GARBAGE}, /* one line of its headers */
#else
        {CURLE_OUT_OF_MEMORY, KB_HTTP_GARBAGE}, /* the same, so far */
#endif
};

static enum kb_http_result result_of(const struct kb_http_exchange *x, CURLcode code)
{
        if (x->header_bytes > HEADERS_MAX)
                return KB_HTTP_GARBAGE;
        if (x->body.failed)
                return KB_HTTP_TOO_LARGE;
        for (size_t i = 0; i < KB_ARRAY_SIZE(results); i++)
                if (results[i].code == code)
                        return results[i].result;
        return KB_HTTP_INTERNAL;
}

/* libcurl's words, which may have a server's in them. */
static void describe(const struct kb_http_exchange *x, enum kb_http_result result, CURLcode code, char *ret,
                     size_t size)
{
        ret[0] = '\0';
        if (result == KB_HTTP_ANSWERED)
                return;
        if (result == KB_HTTP_TOO_LARGE)
                snprintf(ret, size, "the answer is larger than %zu bytes", x->http->max_answer);
        else if (x->header_bytes > HEADERS_MAX)
                snprintf(ret, size, "its headers never end");
        else if (code == CURLE_ABORTED_BY_CALLBACK)
                snprintf(ret, size, "the connection broke before there was an answer");
        else
                snprintf(ret, size, "%s", x->problem[0] ? x->problem : curl_easy_strerror(code));
        if (!kb_text_valid(ret))
                snprintf(ret, size, "%s", curl_easy_strerror(code));
}

static const char *location_of(CURL *easy)
{
        struct curl_header *header;

        return curl_easy_header(easy, "Location", 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value
                                                                                             : "";
}

static void exchange_free(struct kb_http_exchange *x)
{
        if (x->easy) {
                curl_multi_remove_handle(x->http->multi, x->easy);
                curl_easy_cleanup(x->easy);
        }
        curl_slist_free_all(x->headers);
        curl_slist_free_all(x->connect_to);
        kb_writer_done(&x->body);
        free(x);
}

static void exchange_freep(struct kb_http_exchange **x)
{
        if (*x)
                exchange_free(*x);
}

bool kb_http_sent(const struct kb_http_exchange *x)
{
        return x->sent > 0;
}

void kb_http_cancel(struct kb_http_exchange *x)
{
        exchange_free(x);
}

static void finish(struct kb_http_exchange *x, CURLcode code)
{
        char text[CURL_ERROR_SIZE + 64];
        struct kb_http_answer answer = {
                .result = result_of(x, code), .sent = x->sent > 0, .location = "", .text = text};
        long status = 0;
        curl_off_t seconds = 0;

        describe(x, answer.result, code, text, sizeof(text));
        curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &seconds);
        if (answer.result == KB_HTTP_ANSWERED) {
                answer.status = (int)status;
                answer.body = KB_SPAN(x->body.data, x->body.size);
                answer.location = location_of(x->easy);
                answer.retry_after =
                        KB_USEC_PER_SEC * (uint64_t)(seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : seconds);
        }
        curl_multi_remove_handle(x->http->multi, x->easy); /* so that `done` may start what it likes */
        x->is.done(&answer, x->is.userdata);
        exchange_free(x);
}

/* Each `done` may start and cancel others, and so the queue is asked anew each time. */
static void finish_all(struct kb_http *http)
{
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(http->multi, &left))) {
                struct kb_http_exchange *x = NULL;

                if (message->msg == CURLMSG_DONE &&
                    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x) == CURLE_OK)
                        finish(x, message->data.result);
        }
}

/* --- libcurl on the event loop --- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct kb_http *http = userdata;
        int mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        int running;

        curl_multi_socket_action(http->multi, fd, mask, &running);
        finish_all(http);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_http *http = userdata;
        int running;

        curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        finish_all(http);
        return 0;
}

/* libcurl wants to know of a socket, of something else about it, or no more. -1 fails all that is under way.
 */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *of_socket)
{
        static const uint32_t events[] = {
                [CURL_POLL_NONE] = 0,
                [CURL_POLL_IN] = EPOLLIN,
                [CURL_POLL_OUT] = EPOLLOUT,
                [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
        };
        struct kb_http *http = userdata;
        sd_event_source *source = of_socket;

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                curl_multi_assign(http->multi, fd, NULL);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events[what]) < 0 ? -1 : 0;
        if (sd_event_add_io(http->event, &source, fd, events[what], on_io, http) < 0)
                return -1;
        return curl_multi_assign(http->multi, fd, source) == CURLM_OK ? 0 : -1;
}

static int on_timeout(CURLM *multi, long ms, void *userdata)
{
        struct kb_http *http = userdata;

        if (ms < 0)
                return sd_event_source_set_enabled(http->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(http->timer, (uint64_t)ms * KB_USEC_PER_MSEC) < 0 ||
            sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

/* --- what libcurl asks on the way --- */

static size_t on_body(char *data, size_t one, size_t size, void *userdata)
{
        struct kb_http_exchange *x = userdata;

        kb_write_raw(&x->body, KB_SPAN(data, size));
        return x->body.failed ? 0 : size;
}

static size_t on_header(char *data, size_t one, size_t size, void *userdata)
{
        struct kb_http_exchange *x = userdata;

        x->header_bytes += size;
        return x->header_bytes > HEADERS_MAX ? 0 : size;
}

/*
 * The connection is there and the request goes out now. libcurl comes here again when a connection that it
 * had kept turns out to be dead: what may happen only once ends then, since the server may have done it
 * before it died.
 */
static int on_request(void *userdata, char *peer, char *here, int peer_port, int here_port)
{
        struct kb_http_exchange *x = userdata;

        return ++x->sent > 1 && x->is.once ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* A peer that vanished without a word is noticed by what it does not acknowledge. */
static int on_connect(void *userdata, curl_socket_t fd, curlsocktype purpose)
{
        unsigned silence = SILENCE_MS;

        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence)); /* not on a unix socket */
        return CURL_SOCKOPT_OK;
}

/*
 * What a server has not acknowledged when nobody waits for it any more is not sent later: the kernel would
 * go on trying, and the server make a lease that nobody hears of.
 */
static int on_close(void *userdata, curl_socket_t fd)
{
        const struct linger at_once = {.l_onoff = 1};
        int unsent = 0;

        if (ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > 0)
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        return close(fd);
}

/* OpenSSL wipes what it decrypted, as we do. */
static CURLcode on_tls(CURL *easy, void *context, void *userdata)
{
        SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
        return CURLE_OK;
}

/* --- an exchange --- */

/* Options are set one after the other, and the first that cannot be set is remembered. */
#define SET(option, value)                                                                                  \
        do {                                                                                                \
                if (code == CURLE_OK)                                                                       \
                        code = curl_easy_setopt(x->easy, option, value);                                    \
        } while (0)

static CURLcode set_tls(struct kb_http_exchange *x)
{
        struct kb_span ca = kb_tls_files_ca(x->http->files), key = kb_tls_files_key(x->http->files);
        struct kb_span certificate = kb_tls_files_certificate(x->http->files);
        struct curl_blob ca_blob = {(void *)ca.data, ca.size, CURL_BLOB_COPY};
        struct curl_blob key_blob = {(void *)key.data, key.size, CURL_BLOB_COPY};
        struct curl_blob certificate_blob = {(void *)certificate.data, certificate.size, CURL_BLOB_COPY};
        CURLcode code = CURLE_OK;

        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_SSLVERSION,
            (long)(x->http->tls_1_2 ? CURL_SSLVERSION_TLSv1_2 : CURL_SSLVERSION_TLSv1_3));
        SET(CURLOPT_CA_CACHE_TIMEOUT, AUTHORITIES_SEC);
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); /* a session that goes on shows who we were when it began */
        SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
        if (ca.size > 0) { /* these and no others: libcurl adds a folder of the system's otherwise */
                SET(CURLOPT_CAPATH, NULL);
                SET(CURLOPT_CAINFO, NULL);
                SET(CURLOPT_CAINFO_BLOB, &ca_blob);
        }
        if (certificate.size > 0) {
                SET(CURLOPT_SSLCERT_BLOB, &certificate_blob);
                SET(CURLOPT_SSLKEY_BLOB, &key_blob);
        }
        return code;
}

static CURLcode set_place(struct kb_http_exchange *x)
{
        const struct kb_address *address = x->is.address;
        const char *name = x->http->server_name;
        char url[KB_ADDRESS_HOST_MAX + 32], place[3 * KB_ADDRESS_HOST_MAX];
        _cleanup_free_ char *whole = NULL;
        CURLcode code = CURLE_OK;

        if (name && address->scheme == KB_SCHEME_HTTPS) { /* asked for by this name, but at that address */
                snprintf(url, sizeof(url), "https://%s:%u", name, address->port);
                snprintf(place, sizeof(place), "%s:%u:%s:%u", name, address->port, address->host,
                         address->port);
                x->connect_to = curl_slist_append(NULL, place);
                if (!x->connect_to)
                        return CURLE_OUT_OF_MEMORY;
                SET(CURLOPT_CONNECT_TO, x->connect_to);
        } else {
                kb_address_url(address, url, sizeof(url));
        }
        if (address->scheme == KB_SCHEME_UNIX)
                SET(CURLOPT_UNIX_SOCKET_PATH, address->host);
        if (asprintf(&whole, "%s/v1/%s", url, x->is.path) < 0)
                return CURLE_OUT_OF_MEMORY;
        SET(CURLOPT_URL, whole);
        SET(CURLOPT_PATH_AS_IS, 1L);
        SET(CURLOPT_PROTOCOLS_STR, address->scheme == KB_SCHEME_HTTPS ? "https" : "http");
        SET(CURLOPT_PROXY, "");
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* a slow answer holds up nobody else's */
        return code;
}

static CURLcode add_header(struct kb_http_exchange *x, const char *name, struct kb_span value)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(16 * 1024);
        struct curl_slist *longer;

        kb_write_raw(&w, KB_SPAN_STRING(name));
        kb_write_raw(&w, KB_SPAN(": ", 2));
        kb_write_raw(&w, value);
        kb_write_raw(&w, KB_SPAN("", 1));
        longer = kb_writer_end(&w) < 0 ? NULL : curl_slist_append(x->headers, (const char *)w.data);
        if (!longer)
                return CURLE_OUT_OF_MEMORY;
        x->headers = longer;
        return CURLE_OK;
}

static CURLcode set_headers(struct kb_http_exchange *x)
{
        const char *type =
                x->is.method == KB_HTTP_PATCH ? "application/merge-patch+json" : "application/json";
        char wrap[24];
        const struct {
                const char *name;
                struct kb_span value;
                bool wanted;
        } rows[] = {
                {"X-Vault-Request", KB_SPAN_STRING("true"), true},
                {"X-Vault-Token", x->is.token, x->is.token.size > 0},
                {"X-Vault-MFA", x->is.mfa, x->is.mfa.size > 0},
                {"X-Vault-Namespace", KB_SPAN_STRING(x->is.namespace), x->is.namespace[0]},
                {"X-Vault-Wrap-TTL",
                 KB_SPAN(wrap, (size_t)snprintf(wrap, sizeof(wrap), "%llu",
                                                (unsigned long long)x->is.wrap_seconds)),
                 x->is.wrap_seconds > 0},
                {"X-Vault-No-Request-Forwarding", KB_SPAN_STRING("true"), x->is.here},
                /* An empty one leaves out what libcurl would say by itself. */
                {"Content-Type", x->is.body.size > 0 ? KB_SPAN_STRING(type) : KB_SPAN("", 0), true},
                {"Expect", KB_SPAN("", 0), true},
        };
        CURLcode code = CURLE_OK;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows) && code == CURLE_OK; i++)
                if (rows[i].wanted)
                        code = add_header(x, rows[i].name, rows[i].value);
        SET(CURLOPT_HTTPHEADER, x->headers);
        SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
        return code;
}

static CURLcode set_method(struct kb_http_exchange *x)
{
        static const struct {
                const char *name;
                bool body;
        } methods[] = {
                [KB_HTTP_GET] = {"GET", false},    [KB_HTTP_LIST] = {"LIST", false},
                [KB_HTTP_POST] = {"POST", true},   [KB_HTTP_PUT] = {"PUT", true},
                [KB_HTTP_PATCH] = {"PATCH", true}, [KB_HTTP_DELETE] = {"DELETE", false},
        };
        CURLcode code = CURLE_OK;

        if (methods[x->is.method].body || x->is.body.size > 0) {
                SET(CURLOPT_POSTFIELDS, x->is.body.size > 0 ? (const char *)x->is.body.data : "");
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->is.body.size);
        }
        SET(CURLOPT_CUSTOMREQUEST, methods[x->is.method].name);
        return code;
}

static long in_ms(uint64_t usec)
{
        uint64_t ms = usec / KB_USEC_PER_MSEC;

        return ms < 1 ? 1 : ms > 1000000000 ? 1000000000 : (long)ms; /* 0 would be for ever */
}

static CURLcode set_limits(struct kb_http_exchange *x)
{
        CURLcode code = CURLE_OK;

        SET(CURLOPT_CONNECTTIMEOUT_MS, in_ms(x->is.connect_usec));
        SET(CURLOPT_TIMEOUT_MS, in_ms(x->is.total_usec));
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_QUICK_EXIT, 1L); /* nobody waits for a thread that looks up a name and is given up */
        SET(CURLOPT_DNS_CACHE_TIMEOUT, NAMES_SEC);
        SET(CURLOPT_MAXAGE_CONN, IDLE_SEC);
        SET(CURLOPT_MAXLIFETIME_CONN, LIFE_SEC);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SEC);
        SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SEC);
        SET(CURLOPT_SOCKOPTFUNCTION, on_connect);
        SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
        return code;
}

static CURLcode set_callbacks(struct kb_http_exchange *x)
{
        CURLcode code = CURLE_OK;

        SET(CURLOPT_PRIVATE, x);
        SET(CURLOPT_ERRORBUFFER, x->problem);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, x);
        SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)x->http->max_answer);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, x);
        SET(CURLOPT_PREREQFUNCTION, on_request);
        SET(CURLOPT_PREREQDATA, x);
        return code;
}

/* What would end a header and begin another one must not be in it. */
bool kb_http_header_valid(struct kb_span value)
{
        for (size_t i = 0; i < value.size; i++)
                if (value.data[i] <= 0x20 || value.data[i] >= 0x7f)
                        return false;
        return true;
}

int kb_http_start(struct kb_http *http, const struct kb_http_request *request, struct kb_http_exchange **ret)
{
        CURLcode (*const steps[])(struct kb_http_exchange *) = {set_callbacks, set_place,  set_tls,
                                                                set_headers,   set_method, set_limits};
        _cleanup_(exchange_freep) struct kb_http_exchange *x = calloc(1, sizeof(*x));

        if (!x)
                return -ENOMEM;
        x->http = http;
        x->is = *request;
        x->is.namespace = request->namespace ? request->namespace : "";
        x->body = kb_writer_init(http->max_answer);
        if (!kb_http_header_valid(request->token) || !kb_http_header_valid(request->mfa) ||
            !kb_http_header_valid(KB_SPAN_STRING(x->is.namespace)))
                return -EINVAL;
        kb_tls_files_refresh(http->files);
        x->easy = curl_easy_init();
        if (!x->easy)
                return -ENOMEM;
        for (size_t i = 0; i < KB_ARRAY_SIZE(steps); i++)
                if (steps[i](x) != CURLE_OK)
                        return -ENOMEM;
        if (curl_multi_add_handle(http->multi, x->easy) != CURLM_OK)
                return -ENOMEM;
        *ret = take_ptr(x);
        return 0;
}

/* --- all of them --- */

static int make_multi(struct kb_http *http, unsigned max_connections)
{
        const struct {
                CURLMoption option;
                long value;
        } rows[] = {
                {CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max_connections},
                {CURLMOPT_MAXCONNECTS, (long)max_connections},
                {CURLMOPT_PIPELINING, CURLPIPE_NOTHING},
        };

        http->multi = curl_multi_init();
        if (!http->multi)
                return -ENOMEM;
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                if (curl_multi_setopt(http->multi, rows[i].option, rows[i].value) != CURLM_OK)
                        return -ENOMEM;
        if (curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
            curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
            curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timeout) != CURLM_OK ||
            curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK)
                return -ENOMEM;
        return 0;
}

static int make(struct kb_http *http, sd_event *event, const struct kb_http_settings *settings)
{
        int r;

        http->event = sd_event_ref(event);
        http->tls_1_2 = settings->tls_1_2;
        http->max_answer = settings->max_answer > 0 ? settings->max_answer : KB_HTTP_ANSWER_MAX;
        if (settings->server_name) {
                http->server_name = strdup(settings->server_name);
                if (!http->server_name)
                        return -ENOMEM;
        }
        r = sd_event_add_time(event, &http->timer, CLOCK_MONOTONIC, 0, 1, on_timer, http);
        if (r >= 0)
                r = sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = make_multi(http, settings->max_connections > 0 ? settings->max_connections
                                                                   : CONNECTIONS_DEFAULT);
        return r;
}

enum kb_error kb_http_new(struct kb_http **ret, sd_event *event, const struct kb_http_settings *settings,
                          struct kb_problem *problem)
{
        _cleanup_(kb_http_freep) struct kb_http *http = NULL;
        CURLcode code = global_init();
        enum kb_error error;
        int r;

        if (code != CURLE_OK)
                return kb_problem(problem, KB_E_INTERNAL, "libcurl: %s", curl_easy_strerror(code));
        http = calloc(1, sizeof(*http));
        if (!http)
                return kb_problem_errno(problem, -ENOMEM, "connections");
        error = kb_tls_files_new(&http->files, settings->ca_file, settings->certificate_file,
                                 settings->key_file, problem);
        if (error != KB_E_OK)
                return error;
        r = make(http, event, settings);
        if (r < 0)
                return kb_problem_errno(problem, r, "connections");
        *ret = take_ptr(http);
        return kb_problem(problem, KB_E_OK, "%s", "");
}

void kb_http_free(struct kb_http *http)
{
        if (!http)
                return;
        curl_multi_cleanup(http->multi); /* tells on_socket() of each connection that it closes */
        sd_event_source_disable_unref(http->timer);
        kb_tls_files_free(http->files);
        sd_event_unref(http->event);
        free(http->server_name);
        free(http);
}

const char *kb_http_trouble(const struct kb_http *http)
{
        return kb_tls_files_trouble(http->files);
}
