/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/module/stand-in.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/macro.h"
#include "tests/unit/test.h"

/* cmocka's assertions jump back to the test, which must not be done from this thread. */
#define must(expression)                                                                                    \
        do {                                                                                                \
                if ((expression) < 0) {                                                                     \
                        fprintf(stderr, "stand-in: %s\n", #expression);                                     \
                        abort();                                                                            \
                }                                                                                           \
        } while (0)

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

static void copy_secret(char to[static 64], struct kb_span from)
{
        snprintf(to, 64, "%.*s", (int)from.size, (const char *)from.data);
}

static const char *handle_of(const struct script *script)
{
        return script->handle ? script->handle : STAND_IN_HANDLE;
}

/* The question at hand, or that there is none left. */
static void write_step(struct stand_in *s, uint32_t verb, struct kb_writer *w)
{
        const struct question *q = &s->script.questions[s->script.endless ? 0 : s->answered];
        bool granted = q->ask == 0;

        kb_frame_begin_reply(w, 1, verb, KB_E_OK);
        kb_proceed_reply_put(w, &(struct kb_proceed_reply){
                                        .granted = granted,
                                        .session = handle_of(&s->script),
                                        .ask = q->ask,
                                        .prompt = q->prompt,
                                        .message = granted ? s->script.farewell : q->message,
                                });
}

static void on_authenticate(struct stand_in *s, struct kb_span body, struct kb_writer *w)
{
        struct kb_authenticate_request m;

        must(kb_authenticate_request_get(body, &m));
        COPY(s->seen.user, m.user);
        COPY(s->seen.service, m.service);
        COPY(s->seen.remote_host, m.remote_host);
        COPY(s->seen.remote_user, m.remote_user);
        COPY(s->seen.tty, m.tty);
        s->answered = 0;
        write_step(s, KB_VERB_authenticate, w);
}

static void on_proceed(struct stand_in *s, struct kb_span body, struct kb_writer *w)
{
        const struct question *q = &s->script.questions[s->script.endless ? 0 : s->answered];
        struct kb_proceed_request m;

        must(kb_proceed_request_get(body, &m));
        COPY(s->seen.session, m.session);
        if (!kb_secret_equal(m.answer, KB_SPAN_STRING(q->expected))) {
                must(kb_frame_write_error(w, 1, KB_VERB_proceed, KB_E_BAD_SECRET, NULL));
                return;
        }
        s->answered++;
        write_step(s, KB_VERB_proceed, w);
}

static void on_account(struct stand_in *s, struct kb_span body, struct kb_writer *w)
{
        struct kb_account_request m;

        must(kb_account_request_get(body, &m));
        COPY(s->seen.user, m.user);
        COPY(s->seen.service, m.service);
        COPY(s->seen.remote_host, m.remote_host);
        COPY(s->seen.remote_user, m.remote_user);
        COPY(s->seen.tty, m.tty);
        COPY(s->seen.session, m.session);
        kb_frame_begin_reply(w, 1, KB_VERB_account, KB_E_OK);
        kb_account_reply_put(w, &(struct kb_account_reply){
                                        .change_password = s->script.change_password,
                                        .rule = "everybody",
                                        .message = s->script.farewell,
                                });
}

static void on_open_session(struct stand_in *s, struct kb_span body, struct kb_writer *w)
{
        struct kb_open_session_request m;

        must(kb_open_session_request_get(body, &m));
        COPY(s->seen.user, m.user);
        COPY(s->seen.session, m.session);
        kb_frame_begin_reply(w, 1, KB_VERB_open_session, KB_E_OK);
        kb_open_session_reply_put(w, &(struct kb_open_session_reply){
                                             .handle = handle_of(&s->script),
                                             .credentials = s->script.credentials,
                                     });
}

static void on_close_session(struct stand_in *s, struct kb_span body, struct kb_writer *w)
{
        struct kb_close_session_request m;

        must(kb_close_session_request_get(body, &m));
        COPY(s->seen.user, m.user);
        COPY(s->seen.session, m.handle);
        kb_frame_begin_reply(w, 1, KB_VERB_close_session, KB_E_OK);
}

static void on_change_password(struct stand_in *s, struct kb_span body, struct kb_writer *w)
{
        struct kb_change_password_request m;

        must(kb_change_password_request_get(body, &m));
        COPY(s->seen.user, m.user);
        s->seen.preliminary = m.preliminary;
        s->seen.privileged = m.privileged;
        copy_secret(s->seen.old_password, m.old);
        copy_secret(s->seen.new_password, m.new);
        kb_frame_begin_reply(w, 1, KB_VERB_change_password, KB_E_OK);
        kb_change_password_reply_put(w, &(struct kb_change_password_reply){.message = s->script.farewell});
}

static const struct {
        uint32_t verb;
        void (*answer)(struct stand_in *s, struct kb_span body, struct kb_writer *w);
} verbs[] = {
        {KB_VERB_authenticate, on_authenticate},
        {KB_VERB_proceed, on_proceed},
        {KB_VERB_account, on_account},
        {KB_VERB_open_session, on_open_session},
        {KB_VERB_close_session, on_close_session},
        {KB_VERB_change_password, on_change_password},
};

static void write_reply(struct stand_in *s, const struct kb_frame *request, struct kb_writer *w)
{
        static const uint8_t nonsense[] = {12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

        s->seen.requests++;
        s->seen.verb = request->verb;
        s->delivery = s->seen.requests > s->script.good_requests ? s->script.delivery : WHOLE;
        if (s->delivery == OTHER_VERB) {
                kb_frame_begin_reply(w, 1, KB_VERB_status, KB_E_OK);
                must(kb_frame_end(w));
        } else if (s->delivery == NONSENSE) {
                kb_frame_begin_reply(w, 1, request->verb, KB_E_OK);
                kb_write_raw(w, KB_SPAN(nonsense, sizeof(nonsense)));
                must(kb_frame_end(w));
        } else if (s->script.status != KB_E_OK && s->seen.requests > s->script.good_requests) {
                must(kb_frame_write_error(w, 1, request->verb, s->script.status, s->script.text));
        } else {
                for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++)
                        if (verbs[i].verb == request->verb)
                                verbs[i].answer(s, request->body, w);
                must(kb_frame_end(w));
        }
}

static void push(int fd, const void *data, size_t size)
{
        (void)!send(fd, data, size, MSG_NOSIGNAL);
}

/* Until the module hangs up, or the test ends. */
static void wait_for_end(struct stand_in *s, int fd, const struct kb_writer *w)
{
        for (size_t i = 0; !atomic_load(&s->stopping); i++) {
                struct pollfd p = {.fd = fd, .events = POLLIN};

                if (poll(&p, 1, 20) != 0)
                        return;
                if (s->delivery == TRICKLE)
                        push(fd, i < 4 ? w->data + i : (const void *)"", 1);
        }
}

static void deliver(struct stand_in *s, int fd, struct kb_writer *w)
{
        size_t cut = s->script.cut < w->size ? s->script.cut : w->size;

        s->seen.reply_size = w->size;
        poll(NULL, 0, s->script.pause_ms);
        switch (s->delivery) {
        case SILENT:
                wait_for_end(s, fd, w);
                break;
        case TRICKLE:
                w->data[2] = 1; /* 64 KiB are to come */
                wait_for_end(s, fd, w);
                break;
        case OVERSIZED:
                push(fd, "\xff\xff\xff\x7f", 4);
                break;
        case CUT:
                push(fd, w->data, cut);
                break;
        case IN_TWO:
                push(fd, w->data, cut);
                poll(NULL, 0, 1);
                push(fd, w->data + cut, w->size - cut);
                break;
        default:
                push(fd, w->data, w->size);
        }
}

static void serve_one(struct stand_in *s, int fd)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);
        uint8_t buffer[16384];
        struct kb_frame request;
        size_t have = 0;

        for (;;) {
                ssize_t size = kb_frame_size(KB_SPAN(buffer, have), sizeof(buffer) - 4), n;

                must(size);
                if (size > 0 && have >= (size_t)size)
                        break;
                n = recv(fd, buffer + have, sizeof(buffer) - have, 0);
                if (n <= 0)
                        return;
                have += (size_t)n;
        }
        must(kb_frame_get_request(KB_SPAN(buffer, have), &request));
        write_reply(s, &request, &w);
        deliver(s, fd, &w);
}

static void *serve(void *p)
{
        struct stand_in *s = p;

        for (;;) {
                _cleanup_close_ int fd = accept(s->fd, NULL, NULL);

                if (fd < 0 || atomic_load(&s->stopping))
                        return NULL;
                serve_one(s, fd);
        }
}

void stand_in_start(struct stand_in *s, const char *path, const struct script *script)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        *s = (struct stand_in){.script = *script, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        assert_true(s->fd >= 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        unlink(path);
        assert_int_equal(bind(s->fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(s->fd, 16), 0);
        assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void stand_in_stop(struct stand_in *s)
{
        atomic_store(&s->stopping, true);
        shutdown(s->fd, SHUT_RDWR); /* wakes accept(2) */
        pthread_join(s->thread, NULL);
        close(s->fd);
}
