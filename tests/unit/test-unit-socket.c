/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credential sockets: whatever becomes of a request, who asks gets the whole answer, or a refusal that
 * fails the start; on plain never an end without either.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/broker/broker.h"
#include "helper/broker/issue.h"
#include "helper/broker/unit_peer.h"
#include "helper/broker/unit_socket.h"
#include "helper/broker/units.h"
#include "helper/grant/format.h"

#define REFUSAL_SIZE ((size_t)1024 * 1024)

static struct {
        struct kb_broker broker;
        struct kb_unit_socket *socket;
        struct sockaddr_un address;
        socklen_t address_size;

        enum { AT_ONCE, LATER, AT_ONCE_BEHIND_OTHERS, REFUSED } how;
        size_t size; /* of the secret */
        kb_issue_done done;
        void *userdata;
        unsigned cancelled, refusals;
        char reason[256];

        bool no_memory; /* for the request itself */
        int no_io;      /* the loop takes no more of these */
        int no_time;
        unsigned watched; /* sources that were added */
        sd_event_time_handler_t timer;
        void *timer_of;
} is;

/* --- what stands around the socket --- */

int kb_unit_peer_get(int fd, struct kb_unit_peer *ret, const char **ret_reason)
{
        *ret = (struct kb_unit_peer){.pid = 1, .unit = "orders.service", .credential = "db"};
        return 0;
}

int kb_unit_invocation(const char *dir, const char *unit, char ret[static 33])
{
        snprintf(ret, 33, "0123456789abcdef0123456789abcdef");
        return 0;
}

const struct kb_credential *kb_broker_credential(const struct kb_broker *broker, const char *name)
{
        return (const struct kb_credential *)&is;
}

void kb_broker_request_id(char ret[static 17])
{
        snprintf(ret, 17, "0123456789abcdef");
}

void kb_broker_note(struct kb_broker *broker, struct kb_event event)
{
        assert_int_equal(event.id, KB_EVENT_GRANT_REFUSED);
        assert_string_equal(event.unit, "orders.service");
        snprintf(is.reason, sizeof(is.reason), "%s", event.detail);
        is.refusals++;
}

bool __wrap_kb_credential_allows_unit(const struct kb_credential *credential, const char *unit);
bool __wrap_kb_credential_allows_unit(const struct kb_credential *credential, const char *unit)
{
        return true;
}

static char letter(size_t i)
{
        return (char)('a' + i % 23);
}

int __wrap_kb_format_write(const struct kb_credential *credential, const struct kb_fields *fields,
                           const char *field, struct kb_writer *out, struct kb_fields_problem *problem);
int __wrap_kb_format_write(const struct kb_credential *credential, const struct kb_fields *fields,
                           const char *field, struct kb_writer *out, struct kb_fields_problem *problem)
{
        for (size_t i = 0; i < is.size; i++)
                kb_write_raw(out, KB_SPAN(&(char){letter(i)}, 1));
        return kb_writer_end(out);
}

static void issued(void)
{
        is.done(&(struct kb_issued){.reason = ""}, is.userdata);
}

static void not_issued(void)
{
        is.done(&(struct kb_issued){.error = KB_E_DENIED, .reason = "it is not to be"}, is.userdata);
}

void kb_issue_start(struct kb_broker *broker, const struct kb_issue_request *request, kb_issue_done done,
                    void *userdata, struct kb_issue **ret)
{
        *ret = NULL;
        is.done = done;
        is.userdata = userdata;
        if (is.how == AT_ONCE)
                issued();
        else if (is.how == REFUSED)
                not_issued();
        else
                *ret = (struct kb_issue *)&is;
        if (is.how == AT_ONCE_BEHIND_OTHERS)
                issued();
}

void kb_issue_cancel(struct kb_issue *issue)
{
        is.cancelled += issue != NULL;
}

int __real_sd_event_add_io(sd_event *e, sd_event_source **ret, int fd, uint32_t events,
                           sd_event_io_handler_t handler, void *data);
int __wrap_sd_event_add_io(sd_event *e, sd_event_source **ret, int fd, uint32_t events,
                           sd_event_io_handler_t handler, void *data);
int __wrap_sd_event_add_io(sd_event *e, sd_event_source **ret, int fd, uint32_t events,
                           sd_event_io_handler_t handler, void *data)
{
        is.watched++;
        return is.no_io < 0 ? is.no_io : __real_sd_event_add_io(e, ret, fd, events, handler, data);
}

int __real_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t handler, void *data);
int __wrap_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t handler, void *data);
int __wrap_sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                             uint64_t accuracy, sd_event_time_handler_t handler, void *data)
{
        is.watched++;
        is.timer = handler;
        is.timer_of = data;
        return is.no_time < 0 ? is.no_time
                              : __real_sd_event_add_time(e, ret, clock, usec, accuracy, handler, data);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
        return is.no_memory ? NULL : __real_calloc(n, size);
}

/* --- systemd, who reads to the end --- */

struct reader {
        pthread_t thread;
        int fd;
        size_t size;
        bool secret; /* all of it is the secret's bytes */
};

static void take(struct reader *r, const char *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                r->secret = r->secret && bytes[i] == letter(r->size + i);
        r->size += n;
}

static void *read_to_the_end(void *userdata)
{
        struct reader *r = userdata;
        static __thread char buffer[65536];
        ssize_t n;

        while ((n = read(r->fd, buffer, sizeof(buffer))) > 0)
                take(r, buffer, (size_t)n);
        return NULL;
}

static struct reader *reader_new(void)
{
        struct reader *r = test_calloc(1, sizeof(*r));

        *r = (struct reader){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .secret = true};
        assert_ok(connect(r->fd, (struct sockaddr *)&is.address, is.address_size));
        return r;
}

static void step(void)
{
        assert_ok(sd_event_run(is.broker.event, 0));
}

/* A thread of its own reads from now on. */
static struct reader *reader_start(void)
{
        struct reader *r = reader_new();

        assert_int_equal(pthread_create(&r->thread, NULL, read_to_the_end, r), 0);
        return r;
}

static void reader_expect(struct reader *r, size_t size, bool secret)
{
        pthread_join(r->thread, NULL);
        assert_int_equal(r->size, size);
        assert_int_equal(r->secret, secret);
        close(r->fd);
        test_free(r);
}

static void run_until_over(void)
{
        while (kb_unit_socket_pending(is.socket) > 0)
                assert_ok(sd_event_run(is.broker.event, KB_USEC_PER_SEC));
}

static void begin(enum kb_unit_socket_kind kind)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        memset(&is, 0, sizeof(is));
        is.size = 13;
        is.address = (struct sockaddr_un){.sun_family = AF_UNIX};
        is.address_size = sizeof(is.address);
        assert_ok(sd_event_new(&is.broker.event));
        assert_ok(bind(fd, (struct sockaddr *)&is.address, sizeof(sa_family_t))); /* a name that is free */
        assert_ok(getsockname(fd, (struct sockaddr *)&is.address, &is.address_size));
        assert_ok(listen(fd, 8));
        assert_ok(kb_unit_socket_new(&is.socket, &is.broker, fd, kind));
        is.watched = 0;
}

static void end(void)
{
        kb_unit_socket_free(is.socket);
        sd_event_unref(is.broker.event);
}

/* --- tests --- */

static void an_answer_that_is_there_goes_out_without_the_loop(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        r = reader_start();
        step();
        assert_int_equal(kb_unit_socket_pending(is.socket), 0);
        assert_int_equal(is.watched, 0);
        reader_expect(r, is.size, true);
        end();
}

static void an_encrypted_answer_is_the_secret_for_this_name(void **state)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(1024);
        static char text[4096];
        struct reader *r;
        size_t size = 0;
        ssize_t n;

        begin(KB_UNIT_SOCKET_ENCRYPTED);
        r = reader_new();
        step();
        while ((n = read(r->fd, text + size, sizeof(text) - size)) > 0)
                size += (size_t)n;
        assert_ok(kb_sdcred_decrypt(&is.broker.host_key, "db", kb_now_realtime(), KB_SPAN(text, size),
                                    &plain));
        assert_int_equal(plain.size, is.size);
        close(r->fd);
        test_free(r);
        end();
}

static void who_has_to_wait_is_watched_and_answered(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        is.how = LATER;
        r = reader_start();
        step();
        assert_int_equal(kb_unit_socket_pending(is.socket), 1);
        assert_int_equal(is.watched, 2);
        issued();
        assert_int_equal(kb_unit_socket_pending(is.socket), 0);
        reader_expect(r, is.size, true);
        assert_int_equal(is.cancelled, 0);
        end();
}

static void an_answer_may_come_while_the_question_is_asked(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        is.how = AT_ONCE_BEHIND_OTHERS;
        r = reader_start();
        step();
        assert_int_equal(kb_unit_socket_pending(is.socket), 0);
        reader_expect(r, is.size, true);
        assert_int_equal(is.cancelled, 0);
        end();
}

static void who_hangs_up_is_forgotten(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        is.how = LATER;
        r = reader_new();
        step();
        close(r->fd);
        test_free(r);
        run_until_over();
        assert_int_equal(is.cancelled, 1);
        assert_int_equal(is.refusals, 0);
        end();
}

static void a_refusal_rests_is_recorded_and_fails_the_start(void **state)
{
        for (enum kb_unit_socket_kind kind = KB_UNIT_SOCKET_ENCRYPTED; kind <= KB_UNIT_SOCKET_PLAIN;
             kind++) {
                struct reader *r;

                begin(kind);
                is.how = REFUSED;
                r = reader_start();
                step();
                assert_int_equal(is.refusals, 0);
                run_until_over();
                assert_int_equal(is.refusals, 1);
                assert_string_equal(is.reason, "it is not to be");
                reader_expect(r, kind == KB_UNIT_SOCKET_PLAIN ? REFUSAL_SIZE : 0,
                              kind != KB_UNIT_SOCKET_PLAIN);
                end();
        }
}

static void who_hangs_up_while_it_rests_is_written_down_all_the_same(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        is.how = REFUSED;
        r = reader_new();
        step();
        close(r->fd);
        test_free(r);
        run_until_over();
        assert_int_equal(is.refusals, 1);
        end();
}

static void a_large_answer_goes_out_as_it_is_read(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        is.size = KB_SDCRED_PLAIN_MAX - 1;
        r = reader_new();
        step();
        assert_int_equal(kb_unit_socket_pending(is.socket), 1);
        assert_int_equal(pthread_create(&r->thread, NULL, read_to_the_end, r), 0);
        run_until_over();
        reader_expect(r, is.size, true);
        end();
}

static void an_encrypted_answer_that_nobody_takes_is_given_up(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_ENCRYPTED);
        is.size = KB_SDCRED_PLAIN_MAX - 1;
        r = reader_new();
        step();
        assert_int_equal(kb_unit_socket_pending(is.socket), 1);
        is.timer(NULL, 0, is.timer_of);
        assert_int_equal(kb_unit_socket_pending(is.socket), 0);
        close(r->fd);
        test_free(r);
        end();
}

static void a_loop_without_memory_for_it_is_done_without(void **state)
{
        static const struct {
                int how;
                size_t size;
                size_t comes;
                unsigned refusals, cancelled;
        } rows[] = {
                {LATER, 13, REFUSAL_SIZE, 0, 1},
                {REFUSED, 13, REFUSAL_SIZE, 1, 0},
                {AT_ONCE, 900000, 900000, 0, 0}, /* what was begun is brought to its end */
        };

        for (unsigned i = 0; i < 2 * KB_ARRAY_SIZE(rows); i++) {
                struct reader *r;

                begin(KB_UNIT_SOCKET_PLAIN);
                *(i % 2 ? &is.no_io : &is.no_time) = -ENOMEM;
                is.how = rows[i / 2].how;
                is.size = rows[i / 2].size;
                r = reader_start();
                step();
                run_until_over();
                reader_expect(r, rows[i / 2].comes, rows[i / 2].comes != REFUSAL_SIZE);
                assert_int_equal(is.refusals, rows[i / 2].refusals);
                assert_int_equal(is.cancelled, rows[i / 2].cancelled);
                end();
        }
}

static void a_request_that_memory_is_too_short_for_is_refused(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        r = reader_start();
        is.no_memory = true;
        step();
        is.no_memory = false;
        reader_expect(r, REFUSAL_SIZE, false);
        end();
}

static void who_still_waits_at_the_end_is_refused(void **state)
{
        struct reader *r;

        begin(KB_UNIT_SOCKET_PLAIN);
        is.how = LATER;
        r = reader_start();
        step();
        kb_unit_socket_stop_accepting(is.socket);
        end();
        reader_expect(r, REFUSAL_SIZE, false);
        assert_int_equal(is.cancelled, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_that_is_there_goes_out_without_the_loop),
                cmocka_unit_test(an_encrypted_answer_is_the_secret_for_this_name),
                cmocka_unit_test(who_has_to_wait_is_watched_and_answered),
                cmocka_unit_test(an_answer_may_come_while_the_question_is_asked),
                cmocka_unit_test(who_hangs_up_is_forgotten),
                cmocka_unit_test(a_refusal_rests_is_recorded_and_fails_the_start),
                cmocka_unit_test(who_hangs_up_while_it_rests_is_written_down_all_the_same),
                cmocka_unit_test(a_large_answer_goes_out_as_it_is_read),
                cmocka_unit_test(an_encrypted_answer_that_nobody_takes_is_given_up),
                cmocka_unit_test(a_loop_without_memory_for_it_is_done_without),
                cmocka_unit_test(a_request_that_memory_is_too_short_for_is_refused),
                cmocka_unit_test(who_still_waits_at_the_end_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
