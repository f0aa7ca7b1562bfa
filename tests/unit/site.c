/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/site.h"

#include <errno.h>
#include <unistd.h>

#include "common/clock.h"

/* --- what is served --- */

static void seen(struct site *site, const struct kb_request *q)
{
        assert_true(site->n_handled < sizeof(site->handled));
        site->handled[site->n_handled++] = kb_request_caller(q) == KB_CALLER_ROOT ? 'r' : 'c';
        site->peer = *kb_request_peer(q);
}

static void on_account(struct kb_request *q, void *context)
{
        struct kb_account_request request;

        assert_ok(kb_account_request_get(kb_request_body(q), &request));
        seen(context, q);
        kb_request_reply(q, account, .rule = request.service);
}

static void on_change_password(struct kb_request *q, void *context)
{
        struct site *site = context;

        seen(site, q);
        assert_true(site->n_owed < SITE_PEERS);
        site->owed[site->n_owed++] = q;
}

static void on_status(struct kb_request *q, void *context)
{
        seen(context, q);
        kb_request_reply(q, status, .facts = {.count = UINT32_MAX});
}

static void on_fetch(struct kb_request *q, void *context)
{
        fail_msg("fetch came to its handler");
}

static const struct kb_dispatch table[] = {
        {KB_VERB_account, on_account},
        {KB_VERB_change_password, on_change_password},
        {KB_VERB_status, on_status, .crowds = true},
        {KB_VERB_fetch, on_fetch},
};

/* --- life --- */

/* The kernel finds a name that nobody has (unix(7), autobind). */
static int listening(struct site *site, enum site_socket which)
{
        struct sockaddr_un nameless = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        site->address_size[which] = sizeof(site->address[which]);
        if (fd < 0 || bind(fd, (struct sockaddr *)&nameless, sizeof(sa_family_t)) < 0 ||
            listen(fd, 4096) < 0 ||
            getsockname(fd, (struct sockaddr *)&site->address[which], &site->address_size[which]) < 0)
                return -1;
        return fd;
}

static int setup(void **state, uint64_t read_usec)
{
        static const enum kb_caller callers[] = {
                [SITE_CROWD] = KB_CALLER_SELF, [SITE_ROOT] = KB_CALLER_ROOT};
        struct site *site = calloc(1, sizeof(*site));

        assert_non_null(site);
        assert_ok(sd_event_new(&site->event));
        assert_ok(kb_server_new(&site->server, site->event, table, KB_ARRAY_SIZE(table), site));
        for (unsigned i = 0; i < SITE_SOCKETS; i++) {
                struct kb_listener listener = {
                        .fd = listening(site, i),
                        .caller = callers[i],
                        .max_peers = SITE_PEERS,
                        .max_request = SITE_REQUEST,
                        .read_usec = read_usec,
                };

                assert_ok(listener.fd);
                assert_ok(kb_server_listen(site->server, &listener));
        }
        *state = site;
        return 0;
}

int site_setup(void **state)
{
        return setup(state, SITE_READ_USEC);
}

int site_setup_patient(void **state)
{
        return setup(state, 60 * KB_USEC_PER_SEC);
}

int site_teardown(void **state)
{
        struct site *site = *state;

        kb_server_free(site->server);
        sd_event_unref(site->event);
        free(site);
        return 0;
}

void site_run(struct site *site)
{
        int r;

        while ((r = sd_event_run(site->event, 0)) > 0)
                ;
        assert_ok(r);
}

void site_run_for(struct site *site, uint64_t usec)
{
        uint64_t end = kb_now_monotonic() + usec;

        for (uint64_t now; (now = kb_now_monotonic()) < end;)
                assert_ok(sd_event_run(site->event, end - now));
        site_run(site);
}

/* --- clients --- */

int site_connect(struct site *site, enum site_socket to)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(fd);
        assert_int_equal(connect(fd, (struct sockaddr *)&site->address[to], site->address_size[to]), 0);
        return fd;
}

struct kb_writer site_account(const char *service)
{
        struct kb_writer w = kb_writer_init(SITE_REQUEST);

        kb_frame_begin_request(&w, KB_VERB_account);
        kb_account_request_put(&w, &(struct kb_account_request){.user = "ana", .service = service});
        assert_ok(kb_frame_end(&w));
        return w;
}

struct kb_writer site_change_password(void)
{
        struct kb_writer w = kb_writer_init(SITE_REQUEST);

        kb_frame_begin_request(&w, KB_VERB_change_password);
        kb_change_password_request_put(&w, &(struct kb_change_password_request){.user = "ana"});
        assert_ok(kb_frame_end(&w));
        return w;
}

void site_send(int fd, const void *data, size_t size)
{
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

void site_send_frame(int fd, struct kb_writer w)
{
        site_send(fd, w.data, w.size);
        kb_writer_done(&w);
}

long site_answer(struct site *site, int fd, struct kb_span *ret_body)
{
        static uint8_t data[65536];
        struct kb_frame frame;
        size_t size = 0;
        ssize_t n;

        site_run(site);
        while ((n = recv(fd, data + size, sizeof(data) - size, MSG_DONTWAIT)) > 0)
                size += (size_t)n;
        if (size == 0)
                return n < 0 ? -errno : -ECONNRESET;
        assert_true(n == 0 || errno == ECONNRESET);
        assert_ok(kb_frame_get_reply(KB_SPAN(data, size), &frame));
        if (ret_body)
                *ret_body = frame.body;
        return frame.status;
}

void site_assert_serves(struct site *site, enum site_socket socket)
{
        int fd = site_connect(site, socket);
        struct kb_account_reply reply;
        struct kb_span body;

        site_send_frame(fd, site_account("sshd"));
        assert_int_equal(site_answer(site, fd, &body), KB_E_OK);
        assert_ok(kb_account_reply_get(body, &reply));
        assert_string_equal(reply.rule, "sshd");
        close(fd);
}
