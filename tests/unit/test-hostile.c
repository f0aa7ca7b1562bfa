/* SPDX-License-Identifier: Apache-2.0 */
/* The serving side of the wire with peers that are broken, slow, silent, too many or mean. */
#include "tests/unit/site.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"

#define CROWD 1000

static void put_u32(uint8_t *at, uint32_t value)
{
        for (unsigned i = 0; i < 4; i++)
                at[i] = (uint8_t)(value >> (8 * i));
}

static void a_request_cut_anywhere_harms_nobody(void **state)
{
        struct site *site = *state;
        _cleanup_writer_ struct kb_writer w = site_account("sshd");

        for (size_t n = 0; n < w.size; n++) {
                int fd = site_connect(site, SITE_CROWD);

                site_send(fd, w.data, n);
                assert_int_equal(site_answer(site, fd, NULL), -EAGAIN); /* the rest may come */
                close(fd);
                site_run(site);
                assert_int_equal(kb_server_pending(site->server), 0);
        }
        assert_int_equal(site->n_handled, 0);
        site_assert_serves(site, SITE_CROWD);
}

static void a_whole_frame_with_fields_missing_is_refused(void **state)
{
        struct site *site = *state;
        _cleanup_writer_ struct kb_writer w = site_account("sshd");

        for (size_t n = KB_FRAME_HEADER_SIZE; n < w.size; n++) {
                _cleanup_close_ int fd = site_connect(site, SITE_CROWD);

                put_u32(w.data, (uint32_t)(n - 4));
                site_send(fd, w.data, n);
                assert_int_equal(site_answer(site, fd, NULL), KB_E_BAD_REQUEST);
        }
        assert_int_equal(site->n_handled, 0);
        site_assert_serves(site, SITE_CROWD);
}

/* {place in the frame} = value -> status */
static void numbers_that_lie_are_refused(void **state)
{
        static const struct {
                size_t at;
                uint32_t value;
                long status;
        } table[] = {
                {0, 0, KB_E_BAD_REQUEST}, /* size: shorter than the head of a frame */
                {0, 7, KB_E_BAD_REQUEST},
                {0, 8, KB_E_BAD_REQUEST},                /* no fields */
                {0, SITE_REQUEST + 1, KB_E_BAD_REQUEST}, /* longer than is taken here */
                {0, 0x7fffffff, KB_E_BAD_REQUEST},
                {0, UINT32_MAX, KB_E_BAD_REQUEST},
                {0, SITE_REQUEST, -EAGAIN}, /* the rest may come */
                {4, 0, KB_E_UNSUPPORTED},   /* version */
                {4, KB_PROTOCOL_VERSION + 1, KB_E_UNSUPPORTED},
                {4, UINT32_MAX, KB_E_UNSUPPORTED},
                {8, 0, KB_E_UNSUPPORTED},                    /* verb: none */
                {8, KB_VERB_session_list, KB_E_UNSUPPORTED}, /* not served here */
                {8, UINT32_MAX, KB_E_UNSUPPORTED},
                {8, KB_VERB_fetch, KB_E_DENIED}, /* not for this socket */
                {8, KB_VERB_status, KB_E_DENIED},
                {12, 33, KB_E_BAD_REQUEST}, /* size of the first field: longer than it may be */
                {12, UINT32_MAX, KB_E_BAD_REQUEST},
                {12, 2, KB_E_BAD_REQUEST}, /* no NUL behind it */
        };
        struct site *site = *state;

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_writer_ struct kb_writer w = site_account("sshd");
                _cleanup_close_ int fd = site_connect(site, SITE_CROWD);

                put_u32(w.data + table[i].at, table[i].value);
                site_send(fd, w.data, w.size);
                assert_int_equal(site_answer(site, fd, NULL), table[i].status);
        }
        assert_int_equal(site->n_handled, 0);
        site_assert_serves(site, SITE_CROWD);
}

static void one_connection_carries_one_request(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);

        site_send_frame(fd, site_account("sshd"));
        site_send_frame(fd, site_account("sudo"));
        assert_int_equal(site_answer(site, fd, NULL), KB_E_OK); /* and closed */
        assert_int_equal(site->n_handled, 1);
}

/* As many bytes as there are would take six times as long as a peer has. */
static void a_byte_now_and_then_does_not_stretch_the_time(void **state)
{
        struct site *site = *state;
        _cleanup_writer_ struct kb_writer w = site_account("sshd");
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        long r = -EAGAIN;

        for (size_t i = 0; i < w.size - 1 && r == -EAGAIN; i++) {
                site_send(fd, w.data + i, 1);
                site_run_for(site, SITE_READ_USEC / 10);
                r = site_answer(site, fd, NULL);
        }
        assert_int_equal(r, -ECONNRESET);
}

/* So would the sips of this answer, which is larger than what a socket holds. */
static void nor_does_a_sip_of_the_answer_now_and_then(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        _cleanup_free_ uint8_t *large = calloc(1, 262144);
        size_t taken = 0;
        ssize_t n;

        site_send_frame(fd, site_change_password());
        site_run(site);
        for (unsigned i = 0; i < 8; i++)
                kb_request_progress(site->owed[0],
                                    &(struct kb_progress_record){.chunk = KB_SPAN(large, 262144)});
        assert_false(kb_request_abandoned(site->owed[0]));
        kb_request_reply(site->owed[0], change_password, );
        while (kb_server_pending(site->server) > 0) {
                n = recv(fd, large, 32768, 0);
                assert_true(n > 0);
                taken += (size_t)n;
                site_run_for(site, SITE_READ_USEC / 10);
        }
        while ((n = recv(fd, large, 262144, 0)) > 0)
                taken += (size_t)n;
        assert_true(taken < 8 * 262144);
}

static void who_does_not_read_progress_is_given_up(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        _cleanup_free_ uint8_t *large = calloc(1, 262144);

        site_send_frame(fd, site_change_password());
        site_run(site);
        for (unsigned i = 0; i < 100; i++) /* more than is kept for anybody */
                kb_request_progress(site->owed[0],
                                    &(struct kb_progress_record){.chunk = KB_SPAN(large, 262144)});
        site_run_for(site, 2 * SITE_READ_USEC);
        assert_true(kb_request_abandoned(site->owed[0]));
        kb_request_reply(site->owed[0], change_password, );
        assert_int_equal(kb_server_pending(site->server), 0);
}

/* Sends a piece each time the one before is with the peer. */
struct stream {
        unsigned left;
        const uint8_t *piece;
};

#define PIECE 262144

static void send_piece(struct kb_request *q, void *context)
{
        struct stream *stream = context;

        if (stream->left == 0 || kb_request_abandoned(q)) {
                kb_request_reply(q, change_password, );
                return;
        }
        stream->left--;
        kb_request_progress(q, &(struct kb_progress_record){.chunk = KB_SPAN(stream->piece, PIECE)});
        kb_request_when_sent(q, send_piece, stream);
}

static void any_length_goes_to_a_peer_that_reads(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        _cleanup_free_ uint8_t *piece = calloc(1, PIECE);
        struct stream stream = {.left = 40, .piece = piece};
        size_t size = 0;
        ssize_t n;

        site_send_frame(fd, site_change_password());
        site_run(site);
        send_piece(site->owed[0], &stream);
        while (kb_server_pending(site->server) > 0) {
                site_run(site);
                while ((n = recv(fd, piece, PIECE, 0)) > 0)
                        size += (size_t)n;
        }
        while ((n = recv(fd, piece, PIECE, 0)) > 0)
                size += (size_t)n;
        assert_int_equal(stream.left, 0);
        assert_in_range(size, 40 * PIECE, 41 * PIECE);
}

static void who_streams_learns_that_the_peer_is_gone(void **state)
{
        struct site *site = *state;
        int fd = site_connect(site, SITE_CROWD);
        _cleanup_free_ uint8_t *piece = calloc(1, PIECE);
        struct stream stream = {.left = 40, .piece = piece};

        site_send_frame(fd, site_change_password());
        site_run(site);
        send_piece(site->owed[0], &stream);
        close(fd);
        site_run(site);
        assert_int_equal(kb_server_pending(site->server), 0);
        assert_in_range(stream.left, 1, 39);

        fd = site_connect(site, SITE_CROWD); /* the same, when it is gone before the first piece */
        site_send_frame(fd, site_change_password());
        site_run(site);
        close(fd);
        site_run(site);
        assert_true(kb_request_abandoned(site->owed[1]));
        kb_request_when_sent(site->owed[1], send_piece, &stream);
        site_run_for(site, SITE_READ_USEC / 10);
        assert_int_equal(kb_server_pending(site->server), 0);
}

static void a_hang_up_before_the_answer_is_noticed(void **state)
{
        struct site *site = *state;
        int fd = site_connect(site, SITE_CROWD);

        site_send_frame(fd, site_change_password());
        site_run(site);
        close(fd);
        site_run(site);
        assert_true(kb_request_abandoned(site->owed[0]));
        kb_request_progress(site->owed[0], &(struct kb_progress_record){.done = 1});
        kb_request_reply(site->owed[0], change_password, );
        assert_int_equal(kb_server_pending(site->server), 0);
        site_assert_serves(site, SITE_CROWD);
}

static void a_server_may_go_while_answers_are_owed(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);

        site_send_frame(fd, site_change_password());
        site_run(site);
        assert_int_equal(site->n_owed, 1);
        kb_server_free(site->server);
        site->server = NULL;
        assert_int_equal(site_answer(site, fd, NULL), -ECONNRESET);
}

/* --- crowds --- */

static void need_descriptors(void)
{
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < CROWD + 100)
                skip();
}

static void a_thousand_silent_peers_keep_nobody_out(void **state)
{
        struct site *site = *state;
        static int silent[CROWD];

        need_descriptors();
        for (unsigned i = 0; i < CROWD; i++)
                silent[i] = site_connect(site, SITE_CROWD);
        site_assert_serves(site, SITE_CROWD);
        assert_true(kb_server_pending(site->server) < SITE_PEERS);
        for (unsigned i = 0; i < CROWD; i++)
                close(silent[i]);
}

static void who_has_sent_its_request_keeps_its_place(void **state)
{
        struct site *site = *state;
        int owed[SITE_PEERS - 1], silent[SITE_PEERS * 3];

        for (unsigned i = 0; i < SITE_PEERS - 1; i++) {
                owed[i] = site_connect(site, SITE_CROWD);
                site_send_frame(owed[i], site_change_password());
        }
        site_run(site);
        for (unsigned i = 0; i < KB_ARRAY_SIZE(silent); i++)
                silent[i] = site_connect(site, SITE_CROWD);
        site_run(site);
        assert_int_equal(site->n_owed, SITE_PEERS - 1);
        for (unsigned i = 0; i < SITE_PEERS - 1; i++) {
                kb_request_reply(site->owed[i], change_password, );
                assert_int_equal(site_answer(site, owed[i], NULL), KB_E_OK);
                close(owed[i]);
        }
        for (unsigned i = 0; i < KB_ARRAY_SIZE(silent); i++)
                close(silent[i]);
        site_assert_serves(site, SITE_CROWD);
}

static void one_more_than_there_are_places_waits(void **state)
{
        struct site *site = *state;
        int fds[SITE_PEERS + 1];

        for (unsigned i = 0; i < KB_ARRAY_SIZE(fds); i++) {
                fds[i] = site_connect(site, SITE_CROWD);
                site_send_frame(fds[i], site_change_password());
        }
        site_run(site);
        assert_int_equal(site->n_owed, SITE_PEERS);
        assert_int_equal(kb_server_pending(site->server), SITE_PEERS);
        site->n_owed = 0;
        kb_request_reply(site->owed[0], change_password, );
        site_run(site);
        assert_int_equal(site->n_owed, 1); /* its place was taken */
        kb_request_reply(site->owed[0], change_password, );
        for (unsigned i = 1; i < SITE_PEERS; i++)
                kb_request_reply(site->owed[i], change_password, );
        for (unsigned i = 0; i < KB_ARRAY_SIZE(fds); i++) {
                assert_int_equal(site_answer(site, fds[i], NULL), KB_E_OK);
                close(fds[i]);
        }
}

static void a_storm_of_the_crowd_does_not_delay_root(void **state)
{
        struct site *site = *state;
        static int crowd[CROWD];
        unsigned before;
        int root;

        if (geteuid() != 0)
                skip(); /* the socket of root is for root alone */
        need_descriptors();
        for (unsigned i = 0; i < CROWD; i++) {
                crowd[i] = site_connect(site, SITE_CROWD);
                site_send_frame(crowd[i], site_account("sshd"));
        }
        for (unsigned i = 0; i < 20; i++)
                assert_ok(sd_event_run(site->event, 0)); /* in the middle of it */
        root = site_connect(site, SITE_ROOT);
        site_send_frame(root, site_account("sudo"));
        before = site->n_handled;
        assert_in_range(before, 1, CROWD / 2);
        site_run(site);
        assert_int_equal(site->handled[before], 'r');
        assert_int_equal(site->n_handled, CROWD + 1);
        assert_int_equal(site_answer(site, root, NULL), KB_E_OK);
        close(root);
        for (unsigned i = 0; i < CROWD; i++) {
                assert_int_equal(site_answer(site, crowd[i], NULL), KB_E_OK);
                close(crowd[i]);
        }
}

static void without_descriptors_the_queue_waits_and_the_loop_rests(void **state)
{
        struct site *site = *state;
        _cleanup_close_ int fd = site_connect(site, SITE_CROWD);
        struct rlimit before, none;
        unsigned rounds = 0;

        site_send_frame(fd, site_account("sshd"));
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = 0;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        for (uint64_t end = kb_now_monotonic() + 250 * KB_USEC_PER_MSEC; kb_now_monotonic() < end; rounds++)
                assert_ok(sd_event_run(site->event, 50 * KB_USEC_PER_MSEC));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(rounds < 20);
        assert_int_equal(site->n_handled, 0);
        site_run_for(site, 150 * KB_USEC_PER_MSEC);
        assert_int_equal(site_answer(site, fd, NULL), KB_E_OK);
}

#define TEST(f)    cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
#define PATIENT(f) cmocka_unit_test_setup_teardown(f, site_setup_patient, site_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                PATIENT(a_request_cut_anywhere_harms_nobody),
                TEST(a_whole_frame_with_fields_missing_is_refused),
                PATIENT(numbers_that_lie_are_refused),
                TEST(one_connection_carries_one_request),
                TEST(a_byte_now_and_then_does_not_stretch_the_time),
                TEST(nor_does_a_sip_of_the_answer_now_and_then),
                TEST(who_does_not_read_progress_is_given_up),
                PATIENT(any_length_goes_to_a_peer_that_reads),
                TEST(who_streams_learns_that_the_peer_is_gone),
                TEST(a_hang_up_before_the_answer_is_noticed),
                TEST(a_server_may_go_while_answers_are_owed),
                PATIENT(a_thousand_silent_peers_keep_nobody_out),
                PATIENT(who_has_sent_its_request_keeps_its_place),
                PATIENT(one_more_than_there_are_places_waits),
                PATIENT(a_storm_of_the_crowd_does_not_delay_root),
                TEST(without_descriptors_the_queue_waits_and_the_loop_rests),
        };

        return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
