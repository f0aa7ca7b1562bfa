/* SPDX-License-Identifier: Apache-2.0 */
/* The client: whatever the other side does, the call ends in time and says what happened. */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/client.h"
#include "common/clock.h"

/* What the peer does after it has read the request. */
enum behaviour {
        ANSWER,
        REFUSE,
        REFUSE_UNREAD,
        ANSWER_SLOWLY,
        PROGRESS_FIRST,
        HANG_UP,
        CUT,
        SILENCE,
        WRONG_VERB,
        LIE,
        GARBAGE
};

struct peer {
        int fd;
        enum behaviour behaviour;
};

static void answer(struct kb_writer *w, uint32_t verb)
{
        kb_frame_begin_reply(w, 1, verb, KB_E_OK);
        kb_account_reply_put(w, &(struct kb_account_reply){.rule = "admins", .message = ""});
        assert_ok(kb_frame_end(w));
}

static void write_progress(int fd)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);

        kb_frame_begin_reply(&w, 1, KB_VERB_account, KB_STATUS_PROGRESS);
        kb_progress_record_put(&w, &(struct kb_progress_record){.done = 1, .total = 2});
        assert_ok(kb_frame_end(&w));
        assert_int_equal(write(fd, w.data, w.size), w.size);
}

static void *serve(void *p)
{
        struct peer *peer = p;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);
        char request[4096];

        if (read(peer->fd, request, sizeof(request)) <= 0)
                return NULL;
        switch (peer->behaviour) {
        case REFUSE:
                assert_ok(kb_frame_write_error(&w, 1, KB_VERB_account, KB_E_DENIED, "no rule permits it"));
                break;
        case REFUSE_UNREAD:
                assert_ok(kb_frame_write_error(&w, 1, 0, KB_E_UNSUPPORTED, "too new"));
                break;
        case PROGRESS_FIRST:
                write_progress(peer->fd);
                answer(&w, KB_VERB_account);
                break;
        case WRONG_VERB:
                answer(&w, KB_VERB_status);
                break;
        case LIE:
                assert_int_equal(write(peer->fd, "\xff\xff\xff\x7f", 4), 4);
                return NULL;
        case GARBAGE:
                assert_int_equal(write(peer->fd, "\x0c\0\0\0abcdefghijkl", 16), 16);
                return NULL;
        default:
                answer(&w, KB_VERB_account);
        }
        switch (peer->behaviour) {
        case HANG_UP:
                shutdown(peer->fd, SHUT_RDWR);
                break;
        case CUT:
                assert_int_equal(write(peer->fd, w.data, w.size - 1), w.size - 1);
                shutdown(peer->fd, SHUT_RDWR);
                break;
        case ANSWER_SLOWLY:
                for (size_t i = 0; i < w.size; i++)
                        assert_int_equal(write(peer->fd, w.data + i, 1), 1);
                break;
        case SILENCE:
                break;
        default:
                assert_int_equal(write(peer->fd, w.data, w.size), w.size);
        }
        return NULL;
}

static int run(struct kb_call *call, enum behaviour behaviour)
{
        struct peer peer = {.behaviour = behaviour};
        pthread_t thread;
        int fds[2], r;

        assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        peer.fd = fds[1];
        *call = kb_call_init(KB_VERB_account);
        kb_account_request_put(&call->request,
                               &(struct kb_account_request){.user = "ana", .service = "sshd"});
        assert_int_equal(pthread_create(&thread, NULL, serve, &peer), 0);
        r = kb_call_run_fd(call, fds[0],
                           kb_now_monotonic() +
                                   (behaviour == SILENCE ? 20 * KB_USEC_PER_MSEC : 30 * KB_USEC_PER_SEC));
        pthread_join(thread, NULL);
        close(fds[0]);
        close(fds[1]);
        return r;
}

static void an_answer_arrives_however_slowly(void **state)
{
        static const enum behaviour good[] = {ANSWER, ANSWER_SLOWLY, PROGRESS_FIRST};

        for (size_t i = 0; i < KB_ARRAY_SIZE(good); i++) {
                _cleanup_call_ struct kb_call call;
                struct kb_account_reply reply;

                assert_ok(run(&call, good[i]));
                assert_int_equal(call.status, KB_E_OK);
                assert_ok(kb_account_reply_get(call.reply.body, &reply));
                assert_string_equal(reply.rule, "admins");
        }
}

static void a_refusal_is_a_reply(void **state)
{
        _cleanup_call_ struct kb_call call;

        assert_ok(run(&call, REFUSE));
        assert_int_equal(call.status, KB_E_DENIED);
        assert_string_equal(call.text, "no rule permits it");
}

static void a_refusal_need_not_know_the_verb(void **state)
{
        _cleanup_call_ struct kb_call call;

        assert_ok(run(&call, REFUSE_UNREAD));
        assert_int_equal(call.status, KB_E_UNSUPPORTED);
        assert_string_equal(call.text, "too new");
}

static void everything_else_is_an_error(void **state)
{
        static const struct {
                enum behaviour behaviour;
                int expected;
        } table[] = {
                {HANG_UP, -ECONNRESET}, {CUT, -ECONNRESET}, {SILENCE, -ETIMEDOUT},
                {WRONG_VERB, -EBADMSG}, {LIE, -EMSGSIZE},   {GARBAGE, -EPROTONOSUPPORT},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_call_ struct kb_call call;

                assert_int_equal(run(&call, table[i].behaviour), table[i].expected);
        }
}

static void nobody_there(void **state)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_status);

        assert_int_equal(kb_call_run(&call, "/nonexistent/socket", kb_now_monotonic() + KB_USEC_PER_SEC),
                         -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_arrives_however_slowly),
                cmocka_unit_test(a_refusal_is_a_reply),
                cmocka_unit_test(a_refusal_need_not_know_the_verb),
                cmocka_unit_test(everything_else_is_an_error),
                cmocka_unit_test(nobody_there),
        };

        return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
