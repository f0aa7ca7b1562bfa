/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to journald, with one of our own that is stopped, absent, forgetful or mute as the test wants, and
 * a clock that can be moved.
 */
#include "tests/unit/log.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "helper/log/forward.h"
#include "helper/log/journal.h"
#include "helper/log/window.h"

#define PATIENCE (120 * KB_USEC_PER_SEC)

static atomic_ullong leap; /* how far the clock is ahead */

uint64_t __real_kb_now_monotonic(void);
uint64_t __wrap_kb_now_monotonic(void);
uint64_t __wrap_kb_now_monotonic(void)
{
        return __real_kb_now_monotonic() + leap;
}

/* --- a journald --- */

#define ENTRIES_MAX 20000

static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static int socket_fd = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for the journal */
static uint64_t journal[ENTRIES_MAX];
static size_t n_journal;
static uint64_t loses;    /* this record does not reach the journal, once */
static bool never_stores; /* none does */
static unsigned opened, read_fails;
static char last_entry[KB_JOURNAL_MAX];

static void journald_start(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        memcpy(address.sun_path, socket_path, sizeof(socket_path));
        unlink(socket_path);
        socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_ok(bind(socket_fd, (struct sockaddr *)&address, sizeof(address)));
}

static void journald_stop(void)
{
        if (socket_fd >= 0)
                close(socket_fd);
        socket_fd = -1;
        unlink(socket_path);
}

/* Stores what has come. Returns how many entries that was. */
static unsigned journald_work(void)
{
        unsigned n = 0;
        ssize_t size;

        while ((size = recv(socket_fd, last_entry, sizeof(last_entry) - 1, 0)) > 0) {
                uint64_t sequence;

                last_entry[size] = '\0';
                sequence = strtoull(strstr(last_entry, "KEYBEARER_SEQ=") + 14, NULL, 10);
                n++;
                pthread_mutex_lock(&mutex);
                if (sequence == loses)
                        loses = 0;
                else if (!never_stores && n_journal < ENTRIES_MAX)
                        journal[n_journal++] = sequence;
                pthread_mutex_unlock(&mutex);
        }
        return n;
}

static unsigned times_in_journal(uint64_t sequence)
{
        unsigned n = 0;

        for (size_t i = 0; i < n_journal; i++)
                n += journal[i] == sequence;
        return n;
}

/* The cursor is the index of the next entry. */
static size_t at;

static int fake_open(void **ret, const char *log_id, const char *cursor)
{
        pthread_mutex_lock(&mutex);
        at = strtoull(cursor, NULL, 10);
        opened++;
        pthread_mutex_unlock(&mutex);
        *ret = &at;
        return 0;
}

static int fake_read(void *context, kb_forward_seen seen, void *userdata, char cursor[KB_FORWARD_CURSOR_MAX])
{
        int r = 0;

        pthread_mutex_lock(&mutex);
        if (read_fails > 0) {
                read_fails--;
                r = -EBADMSG;
        }
        while (r == 0 && at < n_journal)
                seen(journal[at++], userdata);
        if (r == 0)
                snprintf(cursor, KB_FORWARD_CURSOR_MAX, "%zu", at);
        pthread_mutex_unlock(&mutex);
        return r;
}

static void fake_close(void *context)
{
}

static const struct kb_confirmer confirmer = {fake_open, fake_read, fake_close};

/* --- fixture --- */

static struct kb_log *kb_log_;
static struct kb_forward *forward;

static void start_with(struct kb_log_options log_options, bool confirmed)
{
        struct kb_forward_options options = {.socket = socket_path,
                                             .confirmer = confirmed ? &confirmer : NULL};
        struct kb_log_damage damage;

        assert_ok(kb_log_open(&kb_log_, log_folder, &log_options, &damage));
        assert_ok(kb_forward_new(&forward, kb_log_, log_folder, &options));
}

static void start(bool confirmed)
{
        start_with((struct kb_log_options){}, confirmed);
}

static void stop(void)
{
        kb_forward_free(forward);
        kb_log_free(kb_log_);
}

static void begin(bool confirmed)
{
        fresh_log();
        assert_true(snprintf(socket_path, sizeof(socket_path), "%s/socket", log_folder) <
                    (int)sizeof(socket_path));
        leap = 0;
        n_journal = 0;
        loses = 0;
        never_stores = false;
        opened = read_fails = 0;
        journald_start();
        start(confirmed);
}

static void end(void)
{
        stop();
        journald_stop();
}

static void say(unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                assert_ok(kb_log_append(kb_log_,
                                        &(struct kb_event){.id = KB_EVENT_GRANT_REFUSED,
                                                           .unit = "orders.service",
                                                           .credential = "db",
                                                           .lease = "pki/7",
                                                           .reason = "denied"},
                                        false, NULL, NULL));
}

static struct kb_forward_state now(void)
{
        struct kb_forward_state state;

        kb_forward_get_state(forward, &state);
        return state;
}

/* A little of journald's work. False when the test has waited long enough. */
static bool go_on(uint64_t began)
{
        if (socket_fd >= 0)
                journald_work();
        usleep(2000);
        return __real_kb_now_monotonic() - began < PATIENCE;
}

static void too_late(const char *what)
{
        struct kb_forward_state state = now();

        fail_msg("not in time: %s (sent %u, confirmed %u, lag %u, error %d)", what, (unsigned)state.sent,
                 (unsigned)state.confirmed, (unsigned)state.lag, state.error);
}

/* Until a condition holds; journald works meanwhile if it is there. */
#define wait_until(condition)                                                                               \
        do {                                                                                                \
                uint64_t began_ = __real_kb_now_monotonic();                                                \
                while (!(condition))                                                                        \
                        if (!go_on(began_))                                                                 \
                                too_late(#condition);                                                       \
        } while (0)

/* Moves the clock and wakes the thread, which would otherwise sleep by the real one. */
static void pass(uint64_t usec)
{
        leap += usec;
        say(1);
}

/* --- */

static void every_record_arrives_once_and_in_order(void **state)
{
        begin(true);
        say(500);
        wait_until(n_journal >= 502);
        pass(3 * KB_USEC_PER_SEC);
        wait_until(now().confirmed >= 502);
        for (size_t i = 0; i < n_journal; i++)
                assert_int_equal(journal[i], i + 1);
        assert_int_equal(now().resent, 0);
        assert_int_equal(now().error, 0);
        end();
}

static void an_entry_says_all_but_the_secret(void **state)
{
        begin(true);
        say(1);
        wait_until(n_journal >= 3);
        assert_non_null(strstr(last_entry, "MESSAGE=orders.service was not given db: denied\n"));
        assert_non_null(strstr(last_entry, "MESSAGE_ID=af437f56958a4590b748b05343fddbee\n"));
        assert_non_null(strstr(last_entry, "PRIORITY=4\n"));
        assert_non_null(strstr(last_entry, "SYSLOG_IDENTIFIER=keybearer\n"));
        assert_non_null(strstr(last_entry, "OBJECT_SYSTEMD_UNIT=orders.service\n"));
        assert_non_null(strstr(last_entry, "KEYBEARER_OUTCOME=refused\n"));
        assert_non_null(strstr(last_entry, kb_log_identity(kb_log_)->id));
        assert_non_null(strstr(last_entry, "KEYBEARER_LEASE="));
        assert_null(strstr(last_entry, "pki/7"));
        end();
}

static void a_grant_is_published_with_its_own_id(void **state)
{
        struct kb_event event = {
                .id = KB_EVENT_GRANT_ISSUED, .lease = "pki/7", .accessor = "tok", .unit = "a.service"};
        struct kb_log_identity identity = {.id = "00", .key = {1}}, other = {.id = "00", .key = {2}};
        struct kb_published one, two;

        kb_event_publish(&one, &identity, 42, &event);
        assert_int_equal(one.event.grant, 42);
        assert_int_equal(strlen(one.event.lease), 32);
        assert_string_not_equal(one.event.lease, one.event.accessor);
        kb_event_publish(&two, &identity, 43, &event);
        assert_string_equal(one.event.lease, two.event.lease); /* so that events can be joined */
        kb_event_publish(&two, &other, 43, &event);
        assert_string_not_equal(one.event.lease, two.event.lease);
        kb_event_publish(&two, &identity, 44, &(struct kb_event){.id = KB_EVENT_GRANT_RENEWED, .grant = 42});
        assert_int_equal(two.event.grant, 42);
        assert_string_equal(two.event.lease, "");
}

static void an_absent_journald_blocks_nobody_and_misses_nothing(void **state)
{
        begin(true);
        wait_until(now().sent >= 2);
        wait_until(n_journal >= 2);
        journald_stop();
        say(100);
        wait_until(now().error == -ENOENT);
        wait_until(now().lag >= 100);
        journald_start();
        wait_until(n_journal >= 102);
        for (uint64_t i = 1; i <= 102; i++)
                assert_int_equal(times_in_journal(i), 1);
        end();
}

/* Nobody reads the socket: the kernel's queue fills, and then sending has to wait. */
static void a_frozen_journald_blocks_nobody_and_misses_nothing(void **state)
{
        uint64_t limit = __real_kb_now_monotonic() + PATIENCE;

        begin(true);
        say(2000);
        while (now().error != -EAGAIN && __real_kb_now_monotonic() < limit)
                usleep(1000);
        assert_int_equal(now().error, -EAGAIN);
        wait_until(n_journal >= 2002);
        pass(3 * KB_USEC_PER_SEC);
        wait_until(now().confirmed >= 2002);
        for (uint64_t i = 1; i <= 2002; i++)
                assert_int_equal(times_in_journal(i), 1);
        end();
}

static void a_record_that_was_lost_is_sent_again_and_that_is_told(void **state)
{
        begin(true);
        loses = 7;
        say(20);
        wait_until(n_journal >= 21);
        assert_int_equal(times_in_journal(7), 0);
        pass(3 * KB_USEC_PER_SEC);
        wait_until(times_in_journal(7) == 1);
        pass(3 * KB_USEC_PER_SEC);
        wait_until(strstr(last_entry, "KEYBEARER_EVENT=journal-gap-filled\n"));
        assert_non_null(strstr(
                last_entry, "MESSAGE=Records between 7 and 7 that the journal lacked were sent again: 1"));
        assert_int_equal(now().resent, 1);
        end();
}

static void the_last_record_can_be_lost_too(void **state)
{
        begin(true);
        loses = 12;
        say(10); /* 3 to 12 */
        wait_until(now().sent == 12);
        wait_until(n_journal >= 11);
        leap += 40 * KB_USEC_PER_SEC;
        wait_until(times_in_journal(12) == 1);
        end();
}

static void a_restart_neither_forgets_nor_repeats(void **state)
{
        begin(true);
        say(50);
        wait_until(n_journal >= 52);
        stop();
        start(true); /* one more log-started */
        say(10);
        wait_until(n_journal >= 63);
        stop();
        for (uint64_t i = 1; i <= 63; i++)
                assert_int_equal(times_in_journal(i), 1);
        journald_stop();
}

/* 7 is not there when the process ends, what came after it is: only 7 is sent by the next one. */
static void a_restart_over_a_gap_repeats_only_the_gap(void **state)
{
        begin(true);
        loses = 7;
        say(20); /* 3 to 22 */
        wait_until(n_journal >= 21);
        loses = 7; /* the next time too */
        pass(3 * KB_USEC_PER_SEC);
        wait_until(now().resent >= 1 && loses == 0);
        stop();
        start(true);
        wait_until(times_in_journal(24) == 1); /* the new log-started */
        leap += 40 * KB_USEC_PER_SEC;
        say(1);
        wait_until(times_in_journal(7) == 1);
        for (uint64_t i = 1; i <= 24; i++)
                assert_int_equal(times_in_journal(i), 1);
        end();
}

/* Removed as Keep= says, or damaged, before journald was there to take it: the rest goes on. */
static void what_is_no_longer_in_the_log_is_passed_over(void **state)
{
        static uint8_t bytes[1 << 20];
        size_t size;

        begin(true);
        wait_until(now().sent >= 2);
        wait_until(n_journal >= 2);
        journald_stop();
        say(10); /* 3 to 12 */
        wait_until(now().lag >= 10);
        say(1); /* one more commit, so that damage before it is no torn tail */
        wait_until(now().lag >= 11);
        stop();
        size = slurp(log_file(1), bytes, sizeof(bytes));
        bytes[3 * size / 4] ^= 1;
        spit(log_file(1), bytes, size);
        journald_start();
        start_with((struct kb_log_options){.start_over = true}, true);
        wait_until(n_journal >= 2 + 10 + 3); /* ten of eleven, checkpoint, log-started, log-damaged */
        assert_int_equal(times_in_journal(15), 1);
        pass(3 * KB_USEC_PER_SEC);
        wait_until(now().confirmed >= 15);
        end();
}

static void a_lost_record_whose_file_is_gone_is_passed_over(void **state)
{
        begin(true);
        stop();
        start_with((struct kb_log_options){.max_size = 2000, .keep_files = 1}, true);
        loses = 6;
        say(20);
        wait_until(n_journal >= 21);
        pass(0); /* begins a new file */
        wait_until(access(log_file(1), F_OK) < 0);
        leap += 3 * KB_USEC_PER_SEC;
        say(1);
        wait_until(now().confirmed >= 23);
        assert_int_equal(times_in_journal(6), 0);
        end();
}

/* It was sent by a process that died before it could write down how far it was. */
static void what_a_process_before_sent_is_found_in_the_journal(void **state)
{
        char path[300];

        begin(true);
        say(50);
        wait_until(n_journal >= 52);
        snprintf(path, sizeof(path), "%s/journal", log_folder);
        stop();
        unlink(path);
        start(true);
        wait_until(now().confirmed >= 52);
        assert_int_equal(times_in_journal(1), 1);
        assert_int_equal(times_in_journal(52), 1);
        end();
}

static void a_journal_that_fails_to_be_read_is_opened_again(void **state)
{
        begin(true);
        say(5);
        wait_until(n_journal >= 7);
        read_fails = 1;
        pass(3 * KB_USEC_PER_SEC);
        wait_until(opened >= 2 || n_journal >= 8);
        pass(3 * KB_USEC_PER_SEC);
        wait_until(now().confirmed >= 8);
        assert_int_equal(opened, 2);
        end();
}

/* sd-journal(3) keeps mapped what it has read, and our memory is locked. */
static void a_journal_is_opened_again_after_many_records(void **state)
{
        begin(true);
        for (unsigned round = 1; round <= 3; round++) {
                unsigned before = opened;

                say(1000);
                wait_until((pass(KB_USEC_PER_SEC), now().confirmed >= round * 1000));
                say(1);
                wait_until((pass(KB_USEC_PER_SEC), opened > before));
        }
        end();
}

/* pass(), but not before the thread has come to what passed last: else records pile up, and the socket is
 * full. */
static void pass_in_step(uint64_t usec, uint64_t *sent)
{
        struct kb_forward_state state = now();

        if (state.sent == *sent || state.error < 0)
                return;
        *sent = state.sent;
        pass(usec);
}

static void where_nothing_can_be_read_back_sending_goes_on(void **state)
{
        uint64_t sent = 0;

        begin(true);
        never_stores = true;
        say(5);
        wait_until(now().sent >= 7);
        /* when the thread looks at the clock is its own affair: time goes on until it has */
        wait_until((pass_in_step(20 * KB_USEC_PER_SEC, &sent), now().blind));
        say(2 * KB_WINDOW_SIZE);
        wait_until((pass(KB_USEC_PER_SEC), now().sent >= 2 * KB_WINDOW_SIZE));
        assert_true(now().given_up > 0);
        end();
}

static void without_a_confirmer_what_is_sent_counts(void **state)
{
        begin(false);
        say(3 * KB_WINDOW_SIZE / 2);
        wait_until(now().confirmed >= 3 * KB_WINDOW_SIZE / 2);
        end();
}

static void what_is_too_big_for_a_datagram_goes_as_a_sealed_file(void **state)
{
        static char big[1 << 20], got[1 << 20];
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec bytes = {got, sizeof(got)};
        struct msghdr message = {.msg_iov = &bytes,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        _cleanup_close_ int fd = -1, memory = -1;

        fresh_log();
        assert_true(snprintf(socket_path, sizeof(socket_path), "%s/socket", log_folder) <
                    (int)sizeof(socket_path));
        journald_start();
        memset(big, 'x', sizeof(big));
        fd = kb_journal_open();
        assert_ok(kb_journal_send(fd, socket_path, KB_SPAN(big, sizeof(big))));
        assert_int_equal(recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC), 0);
        memcpy(&memory, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
        assert_int_equal(fcntl(memory, F_GET_SEALS),
                         F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        assert_int_equal(pread(memory, got, sizeof(got), 0), sizeof(got));
        assert_memory_equal(big, got, sizeof(got));
        journald_stop();
        memset(got, 'x', sizeof(socket_path));
        got[sizeof(socket_path)] = '\0';
        assert_int_equal(kb_journal_send(fd, got, KB_SPAN("x", 1)), -ENAMETOOLONG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_record_arrives_once_and_in_order),
                cmocka_unit_test(an_entry_says_all_but_the_secret),
                cmocka_unit_test(a_grant_is_published_with_its_own_id),
                cmocka_unit_test(an_absent_journald_blocks_nobody_and_misses_nothing),
                cmocka_unit_test(a_frozen_journald_blocks_nobody_and_misses_nothing),
                cmocka_unit_test(a_record_that_was_lost_is_sent_again_and_that_is_told),
                cmocka_unit_test(the_last_record_can_be_lost_too),
                cmocka_unit_test(a_restart_neither_forgets_nor_repeats),
                cmocka_unit_test(a_restart_over_a_gap_repeats_only_the_gap),
                cmocka_unit_test(what_is_no_longer_in_the_log_is_passed_over),
                cmocka_unit_test(a_lost_record_whose_file_is_gone_is_passed_over),
                cmocka_unit_test(what_a_process_before_sent_is_found_in_the_journal),
                cmocka_unit_test(a_journal_that_fails_to_be_read_is_opened_again),
                cmocka_unit_test(a_journal_is_opened_again_after_many_records),
                cmocka_unit_test(where_nothing_can_be_read_back_sending_goes_on),
                cmocka_unit_test(without_a_confirmer_what_is_sent_counts),
                cmocka_unit_test(what_is_too_big_for_a_datagram_goes_as_a_sealed_file),
        };

        return cmocka_run_group_tests_name("log-forward", tests, test_folder_make, test_folder_remove);
}
