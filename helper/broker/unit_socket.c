/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/unit_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>

#include "common/clock.h"
#include "common/crashpoint.h"
#include "helper/broker/broker.h"
#include "helper/broker/issue.h"
#include "helper/broker/unit_peer.h"
#include "helper/broker/units.h"
#include "helper/grant/format.h"
#include "helper/grant/sdcred.h"
#include "helper/server/accept.h"
#include "helper/server/process.h"

#define MAX_PEERS 4096                   /* starts at once; more wait in the kernel's queue */
#define SEND_USEC (20 * KB_USEC_PER_SEC) /* the reader is systemd: it is never slow */

/*
 * How long a refusal rests before it is recorded and sent. PID 1 notes when a start began only after it
 * forked the process that asks us, and `systemctl status` shows nothing older than that: a reason that is
 * too early would be missing there.
 */
#define REST_USEC (100 * KB_USEC_PER_MSEC)

/* systemd decrypts within a second; clocks may jump a little */
#define ANSWER_LIFE (300 * KB_USEC_PER_SEC)

#define REFUSAL_SIZE ((size_t)1024 * 1024) /* what systemd refuses to take in plain */

struct asking {
        struct asking *next;
        struct kb_unit_socket *socket;
        int fd;
        sd_event_source *io; /* both only once it has to wait: most are answered at once */
        sd_event_source *timer;
        struct kb_unit_peer peer;
        char id[17]; /* of the request */
        struct kb_issue *issue;

        bool refused; /* and not recorded yet */
        enum kb_error error;
        char reason[256];

        struct kb_writer answer;
        struct kb_span rest; /* what is still to be sent, of answer or of the refusal */
        uint64_t wake;       /* when its timer is due */
        bool serving; /* its question is being looked at: what comes back at once does not settle it */
        bool over;
};

struct kb_unit_socket {
        struct kb_broker *broker;
        enum kb_unit_socket_kind kind;
        struct kb_accept *accept;
        struct asking *asking;
        unsigned n_asking;
        bool stopped;
};

static const uint8_t refusal[REFUSAL_SIZE];

static void update(struct kb_unit_socket *s)
{
        kb_accept_set(s->accept, !s->stopped && s->n_asking < MAX_PEERS);
}

static void asking_free(struct asking *a)
{
        struct kb_unit_socket *s = a->socket;
        struct asking **p = &s->asking;

        while (*p != a)
                p = &(*p)->next;
        *p = a->next;
        s->n_asking--;
        kb_issue_cancel(a->issue);
        sd_event_source_disable_unref(a->io);
        sd_event_source_disable_unref(a->timer);
        close(a->fd);
        kb_writer_done(&a->answer);
        free(a);
        update(s);
}

/* --- the answer --- */

/* Sends what is left; it is over when nothing is, or nobody listens. */
static void send_rest(struct asking *a)
{
        while (a->rest.size > 0) {
                ssize_t n;

#ifdef KB_ENABLE_CRASHPOINTS
                if (a->rest.size > 1) { /* half, and then the point "in mid-send" */
                        n = send(a->fd, a->rest.data, a->rest.size / 2, MSG_NOSIGNAL);
                        if (n > 0)
                                a->rest = KB_SPAN(a->rest.data + n, a->rest.size - (size_t)n);
                        kb_crashpoint("sending");
                }
#endif
                n = send(a->fd, a->rest.data, a->rest.size, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) /* systemd stops reading a refusal once it is too long */
                        break;
                a->rest = KB_SPAN(a->rest.data + n, a->rest.size - (size_t)n);
        }
        kb_crashpoint("sent");
        a->over = true;
}

static void wake_in(struct asking *a, uint64_t usec)
{
        a->wake = kb_time_add(kb_now_monotonic(), usec);
}

/*
 * To hang up on a plain socket in the middle leaves a cut secret, or one of zeros from the refusal: there we
 * wait for as long as systemd is there to read.
 */
static void answer(struct asking *a, struct kb_span bytes)
{
        a->rest = bytes;
        a->wake = KB_TIME_NEVER;
        if (a->socket->kind == KB_UNIT_SOCKET_ENCRYPTED)
                wake_in(a, SEND_USEC);
        send_rest(a);
}

static struct kb_span refusal_on(const struct kb_unit_socket *s)
{
        return s->kind == KB_UNIT_SOCKET_PLAIN ? KB_SPAN(refusal, sizeof(refusal)) : KB_SPAN("", 0);
}

/* Without the loop, when there is no time or memory for it: an end without a refusal is an empty secret on
 * plain. */
static void send_at_once(int fd, struct kb_span rest)
{
        struct timeval patience = {.tv_sec = 1};

        fcntl(fd, F_SETFL, 0);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        while (rest.size > 0) {
                ssize_t n = send(fd, rest.data, rest.size, MSG_NOSIGNAL);

                if (n < 0 && errno != EINTR)
                        return;
                if (n > 0)
                        rest = KB_SPAN(rest.data + n, rest.size - (size_t)n);
        }
}

static void record_refusal(struct asking *a)
{
        a->refused = false;
        kb_broker_note(a->socket->broker, (struct kb_event){
                                                  .id = KB_EVENT_GRANT_REFUSED,
                                                  .unit = a->peer.unit,
                                                  .credential = a->peer.credential,
                                                  .request = a->id,
                                                  .pid = (uint64_t)a->peer.pid,
                                                  .reason = kb_error_word(a->error),
                                                  .detail = a->reason,
                                          });
}

/* What is owed when it cannot wait for it. */
static void give_up(struct asking *a)
{
        if (a->refused)
                record_refusal(a);
        send_at_once(a->fd, a->rest.size > 0 ? a->rest : refusal_on(a->socket));
        a->over = true;
}

static void refuse(struct asking *a, enum kb_error error, const char *reason)
{
        a->refused = true;
        a->error = error;
        snprintf(a->reason, sizeof(a->reason), "%s", reason);
        wake_in(a, REST_USEC);
}

/* --- waiting --- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);
static int on_timer(sd_event_source *source, uint64_t now, void *userdata);

static int watch(struct asking *a)
{
        sd_event *event = a->socket->broker->event;
        uint32_t events = a->rest.size > 0 ? EPOLLOUT : 0;
        int r = a->io ? sd_event_source_set_io_events(a->io, events)
                      : sd_event_add_io(event, &a->io, a->fd, events, on_io, a);

        if (r >= 0 && !a->timer)
                r = sd_event_add_time(event, &a->timer, CLOCK_MONOTONIC, KB_TIME_NEVER, 0, on_timer, a);
        if (r >= 0)
                r = sd_event_source_set_time(a->timer, a->wake);
        return r < 0 ? r : sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
}

/* Ends each step: what is over goes, and what waits is watched. */
static void settle(struct asking *a)
{
        if (!a->over && watch(a) < 0) {
                kb_process_log(LOG_ERR, "a unit's request cannot wait: out of memory");
                give_up(a);
        }
        if (a->over)
                asking_free(a);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct asking *a = userdata;

        if (events & (EPOLLHUP | EPOLLERR)) { /* systemd gave up on this start */
                if (a->refused)
                        record_refusal(a);
                a->over = true;
        } else if (events & EPOLLOUT)
                send_rest(a);
        settle(a);
        return 0;
}

/* A refusal has rested, or an answer is not taken. */
static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct asking *a = userdata;

        if (a->refused) {
                record_refusal(a);
                answer(a, refusal_on(a->socket));
        } else
                a->over = true;
        settle(a);
        return 0;
}

/* --- the grant --- */

/* The name before the colon of LoadCredential=, which the encrypted form is bound to. */
static void credential_id(const struct asking *a, char ret[static 2 * KB_CREDENTIAL_NAME_MAX + 2])
{
        snprintf(ret, 2 * KB_CREDENTIAL_NAME_MAX + 2, "%s%s%s", a->peer.credential,
                 a->peer.field[0] ? "." : "", a->peer.field);
}

/* Values -> the bytes this consumer wants -> the form this socket speaks, into a->answer. */
static int make_answer(struct asking *a, const struct kb_credential *credential,
                       const struct kb_fields *fields, struct kb_fields_problem *problem)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(KB_SDCRED_PLAIN_MAX);
        char id[2 * KB_CREDENTIAL_NAME_MAX + 2];
        uint64_t now = kb_now_realtime();
        int r;

        r = kb_format_write(credential, fields, a->peer.field, &plain, problem);
        if (r < 0)
                return r;
        if (plain.size == 0) {
                snprintf(problem->text, sizeof(problem->text), "its value is empty");
                return -ENODATA;
        }
        if (a->socket->kind == KB_UNIT_SOCKET_PLAIN) {
                a->answer = plain;
                plain = (struct kb_writer){0};
                return 0;
        }
        credential_id(a, id);
        a->answer = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        r = kb_sdcred_encrypt(&a->socket->broker->host_key, id, now, kb_time_add(now, ANSWER_LIFE),
                              KB_SPAN(plain.data, plain.size), &a->answer);
        if (r < 0)
                snprintf(problem->text, sizeof(problem->text), "it could not be encrypted to this host: %s",
                         strerror(-r));
        return r;
}

static void take(struct asking *a, const struct kb_issued *issued)
{
        const struct kb_credential *credential;
        struct kb_fields_problem problem = {""};

        if (issued->error != KB_E_OK) {
                refuse(a, issued->error, issued->reason);
                return;
        }
        kb_crashpoint("recorded");
        credential = kb_broker_credential(a->socket->broker, a->peer.credential);
        if (!credential || !kb_credential_allows_unit(credential, a->peer.unit)) {
                refuse(a, KB_E_DENIED,
                       "its file has changed while it was fetched, and does not allow this unit");
                return;
        }
        if (make_answer(a, issued->definition, issued->fields, &problem) < 0) {
                refuse(a, KB_E_BAD_REQUEST, problem.text);
                return;
        }
        answer(a, KB_SPAN(a->answer.data, a->answer.size));
}

static void on_issued(const struct kb_issued *issued, void *userdata)
{
        struct asking *a = userdata;

        a->issue = NULL;
        take(a, issued);
        if (!a->serving)
                settle(a);
}

/* --- the question --- */

static void serve(struct asking *a)
{
        struct kb_broker *broker = a->socket->broker;
        const struct kb_credential *credential;
        const char *reason = "the kernel does not tell who asks";
        char invocation[33];
        int r = kb_unit_peer_get(a->fd, &a->peer, &reason);

        if (r < 0) {
                refuse(a, KB_E_DENIED, reason);
                return;
        }
        credential = kb_broker_credential(broker, a->peer.credential);
        if (!credential) {
                refuse(a, KB_E_NOT_FOUND, "there is no such credential in credentials.d");
                return;
        }
        if (!kb_credential_allows_unit(credential, a->peer.unit)) {
                refuse(a, KB_E_DENIED, "no Unit= in the credential's [Allow] names this unit");
                return;
        }
        if (kb_unit_invocation(KB_UNITS_RUNTIME_DIR, a->peer.unit, invocation) < 0) {
                refuse(a, KB_E_DENIED, "systemd knows no invocation of this unit");
                return;
        }
        kb_issue_start(broker,
                       &(struct kb_issue_request){
                               .consumer = KB_CONSUMER_UNIT,
                               .name = a->peer.unit,
                               .instance = invocation,
                               .credential = credential,
                               .request = a->id,
                       },
                       on_issued, a, &a->issue);
}

static struct asking *asking_new(struct kb_unit_socket *s, int fd)
{
        struct asking *a = calloc(1, sizeof(*a));

        if (!a)
                return NULL;
        a->socket = s;
        a->fd = fd;
        a->wake = KB_TIME_NEVER;
        a->next = s->asking;
        s->asking = a;
        s->n_asking++;
        kb_broker_request_id(a->id);
        return a;
}

static void on_connection(int fd, void *userdata)
{
        struct kb_unit_socket *s = userdata;
        struct asking *a;

        kb_crashpoint("accepted");
        a = asking_new(s, fd);
        if (!a) {
                kb_process_log(LOG_ERR, "a unit's request is dropped: out of memory");
                send_at_once(fd, refusal_on(s));
                close(fd);
                return;
        }
        update(s);
        a->serving = true;
        serve(a);
        a->serving = false;
        settle(a);
}

int kb_unit_socket_new(struct kb_unit_socket **ret, struct kb_broker *broker, int fd,
                       enum kb_unit_socket_kind kind)
{
        _cleanup_(kb_unit_socket_freep) struct kb_unit_socket *s = calloc(1, sizeof(*s));
        int r;

        if (!s) {
                close(fd);
                return -ENOMEM;
        }
        s->broker = broker;
        s->kind = kind;
        r = kb_accept_new(&s->accept, broker->event, fd, SD_EVENT_PRIORITY_NORMAL, on_connection, s);
        if (r < 0) {
                close(fd);
                return r;
        }
        *ret = take_ptr(s);
        return 0;
}

void kb_unit_socket_stop_accepting(struct kb_unit_socket *s)
{
        s->stopped = true;
        update(s);
}

unsigned kb_unit_socket_pending(const struct kb_unit_socket *s)
{
        return s->n_asking;
}

void kb_unit_socket_free(struct kb_unit_socket *s)
{
        if (!s)
                return;
        s->stopped = true;
        while (s->asking) {
                if (s->asking->rest.size == 0) /* it still waits for its answer */
                        send_at_once(s->asking->fd, refusal_on(s));
                asking_free(s->asking);
        }
        kb_accept_free(s->accept);
        free(s);
}
