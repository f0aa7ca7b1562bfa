/* SPDX-License-Identifier: Apache-2.0 */
/* The serving side of the wire with honest peers: answers at once and later, who asks, and how it stops. */
#include "tests/unit/site.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

static void a_request_is_answered(void **state)
{
        site_assert_serves(*state, SITE_CROWD);
}

static void a_handler_may_answer_later(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);

        site_send_frame(fd, site_change_password());
        assert_int_equal(site_answer(site, fd, NULL), -EAGAIN);
        site_assert_serves(site, SITE_CROWD); /* others do not wait */
        site_run_for(site, 2 * SITE_READ_USEC);
        assert_false(kb_request_abandoned(site->owed[0]));
        kb_request_reply(site->owed[0], change_password, .message = "done");
        assert_int_equal(site_answer(site, fd, NULL), KB_E_OK);
}

static void progress_comes_before_the_answer(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        struct kb_progress_record progress;
        uint8_t data[1024];
        struct kb_frame frame;
        ssize_t n;

        site_send_frame(fd, site_change_password());
        site_run(site);
        kb_request_progress(site->owed[0], &(struct kb_progress_record){.done = 1, .total = 2});
        n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        assert_ok(n);
        assert_ok(kb_frame_get_reply(KB_SPAN(data, (size_t)n), &frame));
        assert_int_equal(frame.status, KB_STATUS_PROGRESS);
        assert_ok(kb_progress_record_get(frame.body, &progress));
        assert_int_equal(progress.total, 2);
        kb_request_fail(site->owed[0], KB_E_SEALED, NULL);
        assert_int_equal(site_answer(site, fd, NULL), KB_E_SEALED);
}

static void half_a_close_is_no_hang_up(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);

        site_send_frame(fd, site_change_password());
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        site_run(site);
        assert_false(kb_request_abandoned(site->owed[0]));
        kb_request_reply(site->owed[0], change_password, );
        assert_int_equal(site_answer(site, fd, NULL), KB_E_OK);
}

static void a_refusal_brings_its_reason(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        struct kb_span body;
        struct kb_reader r;

        site_send_frame(fd, site_change_password());
        site_run(site);
        kb_request_fail(site->owed[0], KB_E_LOCKED, "until %s", "noon");
        assert_int_equal(site_answer(site, fd, &body), KB_E_LOCKED);
        r = kb_reader_init(body);
        assert_string_equal(kb_read_string(&r, 64), "until noon");
}

static void the_kernel_says_who_asks(void **state)
{
        struct site *site = *state;

        site_assert_serves(site, SITE_CROWD);
        assert_int_equal(site->peer.pid, getpid());
        assert_int_equal(site->peer.uid, geteuid());
        assert_int_equal(site->peer.gid, getegid());
}

/* A child that is not root connects, and returns what came of it: 0 when the server hung up without a word.
 */
static int ask_root_as_nobody(struct site *site, int parent)
{
        int fd = site_connect(site, SITE_ROOT);
        char byte = 0;
        ssize_t n;

        if (write(parent, &byte, 1) != 1 || read(parent, &byte, 1) != 1)
                return 2;
        n = recv(fd, &byte, 1, 0);
        return n == 0 || (n < 0 && errno == ECONNRESET) ? 0 : 1;
}

static void root_is_asked_by_root_alone(void **state)
{
        struct site *site = *state;
        int pair[2], status;
        char byte = 0;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        pid = fork();
        assert_ok(pid);
        if (pid == 0)
                _exit(geteuid() != 0 || setuid(65534) == 0 ? ask_root_as_nobody(site, pair[1]) : 3);
        assert_int_equal(read(pair[0], &byte, 1), 1);
        site_run(site);
        assert_int_equal(write(pair[0], &byte, 1), 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        if (geteuid() == 0)
                site_assert_serves(site, SITE_ROOT);
        close(pair[0]);
        close(pair[1]);
}

static void who_came_before_the_stop_is_served(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int owed = site_connect(site, SITE_CROWD);
        _cleanup_close_ int late = site_connect(site, SITE_CROWD);
        _cleanup_close_ int after = -1;

        site_send_frame(owed, site_change_password());
        site_run(site);
        kb_server_stop_accepting(site->server);
        assert_int_equal(kb_server_pending(site->server), 2);
        site_send_frame(late, site_account("sshd"));
        assert_int_equal(site_answer(site, late, NULL), KB_E_OK);
        after = site_connect(site, SITE_CROWD);
        site_send_frame(after, site_account("sshd"));
        assert_int_equal(site_answer(site, after, NULL), -EAGAIN); /* waits for the next process */
        assert_int_equal(kb_server_pending(site->server), 1);
        kb_request_reply(site->owed[0], change_password, );
        assert_int_equal(site_answer(site, owed, NULL), KB_E_OK);
        assert_int_equal(kb_server_pending(site->server), 0);
}

static void the_silent_do_not_hold_up_the_stop(void **state)
{
        struct site *site = *state;
        int silent = site_connect(site, SITE_CROWD);

        site_run(site);
        kb_server_stop_accepting(site->server);
        site_run_for(site, KB_USEC_PER_SEC + SITE_READ_USEC);
        assert_int_equal(kb_server_pending(site->server), 0);
        close(silent);
}

static struct kb_writer ask_status(void)
{
        struct kb_writer w = kb_writer_init(SITE_REQUEST);

        kb_frame_begin_request(&w, KB_VERB_status);
        assert_ok(kb_frame_end(&w));
        return w;
}

static void an_answer_too_large_is_an_error_of_ours(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_ROOT);

        if (geteuid() != 0)
                skip(); /* status is for root alone */
        site_send_frame(fd, ask_status());
        assert_int_equal(site_answer(site, fd, NULL), KB_E_INTERNAL);
}

static void who_is_slow_to_begin_keeps_a_place_at_roots_socket(void **state)
{
        struct site *site = *state;
        int fds[SITE_PEERS + 4];

        if (geteuid() != 0)
                skip();
        for (unsigned i = 0; i < KB_ARRAY_SIZE(fds); i++) {
                fds[i] = site_connect(site, SITE_ROOT);
                site_run(site);
        }
        for (unsigned i = 0; i < KB_ARRAY_SIZE(fds); i++) {
                site_send_frame(fds[i], site_account("sshd"));
                assert_int_equal(site_answer(site, fds[i], NULL), KB_E_OK);
                close(fds[i]);
        }
}

static void what_comes_in_crowds_is_served_last(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int first = site_connect(site, SITE_ROOT);
        _cleanup_close_ int second = site_connect(site, SITE_CROWD);

        if (geteuid() != 0)
                skip();
        site_send_frame(first, ask_status());
        site_send_frame(second, site_account("sshd"));
        site_run(site);
        assert_int_equal(site->n_handled, 2);
        assert_memory_equal(site->handled, "cr", 2);
        assert_int_equal(site_answer(site, first, NULL), KB_E_INTERNAL);
        assert_int_equal(site_answer(site, second, NULL), KB_E_OK);
}

/* Two turns of the loop: it is accepted, and read. */
static void wait_for_its_turn(struct site *site, int fd)
{
        site_send_frame(fd, ask_status());
        for (unsigned i = 0; i < 2; i++)
                assert_true(sd_event_run(site->event, 0) > 0);
        assert_int_equal(kb_server_pending(site->server), 1);
        assert_int_equal(site->n_handled, 0);
}

static void who_goes_before_their_turn_is_served_all_the_same(void **state)
{
        struct site *site = *state;
        int fd = site_connect(site, SITE_ROOT);

        if (geteuid() == 0)
                wait_for_its_turn(site, fd);
        close(fd);
        site_run(site);
        assert_int_equal(site->n_handled, geteuid() == 0);
        assert_int_equal(kb_server_pending(site->server), 0);
        site_assert_serves(site, SITE_CROWD);
}

static void a_server_may_end_before_everybody_had_their_turn(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_ROOT);

        if (geteuid() == 0)
                wait_for_its_turn(site, fd);
}

static void a_server_without_room_for_a_listener_says_so(void **state)
{
        struct site *site = *state;
        struct kb_listener listener = {.fd = -1, .caller = KB_CALLER_SELF, .max_peers = 0};

        assert_int_equal(kb_server_listen(site->server, &listener), -EINVAL);
        listener.max_peers = 1;
        assert_true(kb_server_listen(site->server, &listener) < 0); /* no such descriptor */
        site_assert_serves(site, SITE_CROWD);
}

#define TEST(f)    cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
#define PATIENT(f) cmocka_unit_test_setup_teardown(f, site_setup_patient, site_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_request_is_answered),
                TEST(a_handler_may_answer_later),
                TEST(progress_comes_before_the_answer),
                TEST(half_a_close_is_no_hang_up),
                TEST(a_refusal_brings_its_reason),
                TEST(the_kernel_says_who_asks),
                TEST(root_is_asked_by_root_alone),
                PATIENT(who_came_before_the_stop_is_served),
                PATIENT(the_silent_do_not_hold_up_the_stop),
                TEST(an_answer_too_large_is_an_error_of_ours),
                PATIENT(who_is_slow_to_begin_keeps_a_place_at_roots_socket),
                TEST(what_comes_in_crowds_is_served_last),
                TEST(who_goes_before_their_turn_is_served_all_the_same),
                TEST(a_server_may_end_before_everybody_had_their_turn),
                TEST(a_server_without_room_for_a_listener_says_so),
        };

        return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
