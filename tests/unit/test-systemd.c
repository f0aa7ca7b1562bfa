/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we ask of PID 1, with a PID 1 that is the test's own: at the other end of a private socket, in the
 * same loop. It answers, stays silent, hangs up, or is not there.
 */
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include "helper/broker/systemd.h"

static sd_event *event;
static struct kb_systemd *systemd;
static char address[600];

/* --- PID 1 --- */

static struct {
        int fd;
        sd_event_source *listening;
        sd_bus *peers[64];
        unsigned connections;
        unsigned calls;
        char last[256];
        /* what it does */
        bool mute;     /* takes connections, and says nothing at all */
        bool silent;   /* answers nothing */
        bool hangs_up; /* instead of an answer */
        bool no_such_unit;
        bool nonsense;
        bool refuses;       /* with an error of its own */
        const char *result; /* of a job; NULL: it never ends */
} pid1;

static int answer_properties(sd_bus_message *m)
{
        sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(m, &reply);

        if (r >= 0 && pid1.nonsense)
                r = sd_bus_message_append(reply, "s", "what?");
        else if (r >= 0)
                r = sd_bus_message_append(reply, "a{sv}", 4, "UID", "u", 70000, "GID", "u", UINT32_MAX,
                                          "Type", "s", "notify-reload", "Id", "s", "x.service");
        if (r >= 0)
                r = sd_bus_send(sd_bus_message_get_bus(m), reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int answer_job(sd_bus_message *m)
{
        sd_bus *bus = sd_bus_message_get_bus(m);
        char path[64];
        int r;

        if (pid1.nonsense)
                return sd_bus_reply_method_return(m, "s", "what?");
        snprintf(path, sizeof(path), "/org/freedesktop/systemd1/job/%u", pid1.calls);
        r = sd_bus_reply_method_return(m, "o", path);
        if (r >= 0 && pid1.result)
                r = sd_bus_emit_signal(bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                       "JobRemoved", "uoss", pid1.calls, path, "x.service", pid1.result);
        return r;
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *member = sd_bus_message_get_member(m), *first = "", *second = "";

        if (!sd_bus_message_is_method_call(m, NULL, NULL))
                return 0;
        pid1.calls++;
        if (sd_bus_message_has_signature(m, "ss"))
                assert_ok(sd_bus_message_read(m, "ss", &first, &second));
        else if (sd_bus_message_has_signature(m, "ssi"))
                assert_ok(sd_bus_message_read(m, "ss", &first, &second));
        snprintf(pid1.last, sizeof(pid1.last), "%s %s %s", member, first, second);
        if (pid1.silent)
                return 1;
        if (pid1.hangs_up) {
                sd_bus_close(sd_bus_message_get_bus(m));
                return 1;
        }
        if (pid1.no_such_unit)
                return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit", "none");
        if (pid1.refuses)
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
        if (strcmp(member, "GetAll") == 0)
                return answer_properties(m);
        if (strcmp(member, "KillUnit") == 0)
                return sd_bus_reply_method_return(m, "");
        return answer_job(m);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_id128_t id = SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f, 0);
        sd_bus *bus;

        assert_true(peer >= 0);
        assert_true(pid1.connections < KB_ARRAY_SIZE(pid1.peers));
        assert_ok(sd_bus_new(&bus));
        assert_ok(sd_bus_set_fd(bus, peer, peer));
        pid1.peers[pid1.connections++] = bus;
        if (pid1.mute)
                return 0;
        assert_ok(sd_bus_set_server(bus, 1, id));
        assert_ok(sd_bus_set_trusted(bus, 1));
        assert_ok(sd_bus_start(bus));
        assert_ok(sd_bus_attach_event(bus, event, 0));
        assert_ok(sd_bus_add_filter(bus, NULL, on_call, NULL));
        return 0;
}

static void pid1_start(void)
{
        struct sockaddr_un where = {.sun_family = AF_UNIX};

        memset(&pid1, 0, sizeof(pid1));
        pid1.result = "done";
        pid1.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        snprintf(where.sun_path, sizeof(where.sun_path), "%s", in_folder("private"));
        assert_int_equal(bind(pid1.fd, (struct sockaddr *)&where, sizeof(where)), 0);
        assert_int_equal(listen(pid1.fd, 16), 0);
        assert_ok(sd_event_add_io(event, &pid1.listening, pid1.fd, EPOLLIN, on_connection, NULL));
}

static void pid1_hang_up(void)
{
        for (unsigned i = 0; i < pid1.connections; i++)
                pid1.peers[i] = sd_bus_close_unref(pid1.peers[i]);
}

static void pid1_stop(void)
{
        pid1_hang_up();
        sd_event_source_disable_unref(pid1.listening);
        close(pid1.fd);
        unlink(in_folder("private"));
}

/* --- us --- */

static struct {
        unsigned n;
        int r[64];
        struct kb_unit_facts facts;
        bool had_facts;
        bool ask_again; /* once, from inside */
        int asked_again;
} ended;

static void on_end(int r, void *userdata);

static void on_end(int r, void *userdata)
{
        ended.r[ended.n++ % KB_ARRAY_SIZE(ended.r)] = r;
        if (ended.ask_again) {
                ended.ask_again = false;
                ended.asked_again =
                        kb_systemd_unit_do(systemd, "x.service", KB_UNIT_RELOAD, 0, on_end, NULL);
        }
}

static void on_facts(int r, const struct kb_unit_facts *facts, void *userdata)
{
        ended.had_facts = facts;
        if (facts)
                ended.facts = *facts;
        on_end(r, userdata);
}

static int set_up(void **state)
{
        snprintf(address, sizeof(address), "unix:path=%s", in_folder("private"));
        memset(&ended, 0, sizeof(ended));
        assert_ok(sd_event_new(&event));
        pid1_start();
        assert_ok(kb_systemd_new(&systemd, event,
                                 &(struct kb_systemd_options){.address = address,
                                                              .call_usec = 2 * KB_USEC_PER_SEC,
                                                              .answer_usec = 1 * KB_USEC_PER_SEC,
                                                              .job_usec = 1 * KB_USEC_PER_SEC}));
        return 0;
}

static int tear_down(void **state)
{
        kb_systemd_free(systemd);
        pid1_stop();
        sd_event_unref(event);
        return 0;
}

static void run_until(unsigned n)
{
        uint64_t end = kb_now_monotonic() + 60 * KB_USEC_PER_SEC;

        while (ended.n < n && kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        assert_int_equal(ended.n, n);
}

static void run_for(uint64_t usec)
{
        uint64_t end = kb_now_monotonic() + usec;

        while (kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, 10 * KB_USEC_PER_MSEC));
}

static int facts(void)
{
        return kb_systemd_unit_facts(systemd, "x.service", on_facts, NULL);
}

static int reload(void)
{
        return kb_systemd_unit_do(systemd, "x.service", KB_UNIT_RELOAD, 0, on_end, NULL);
}

/* --- what it says --- */

static void a_unit_is_what_pid1_says(void **state)
{
        assert_ok(facts());
        run_until(1);
        assert_int_equal(ended.r[0], 0);
        assert_int_equal(ended.facts.uid, 70000);
        assert_int_equal(ended.facts.gid, 0); /* "none" */
        assert_true(ended.facts.notifies_reload);
        pid1.no_such_unit = true;
        assert_ok(facts());
        run_until(2);
        assert_int_equal(ended.r[1], -ENOENT);
        assert_false(ended.had_facts);
        pid1.no_such_unit = false;
        pid1.nonsense = true;
        assert_ok(facts());
        assert_ok(reload());
        run_until(4);
        assert_true(ended.r[2] < 0 && ended.r[3] < 0);
        pid1.nonsense = false;
        pid1.refuses = true;
        assert_ok(reload());
        run_until(5);
        assert_int_equal(ended.r[4], -EACCES);
        assert_int_equal(pid1.connections, 1);
}

static void a_job_ends_as_pid1_says(void **state)
{
        static const struct {
                const char *result;
                int expected;
        } table[] = {{"done", 0},
                     {"skipped", 0},
                     {"canceled", -ECANCELED},
                     {"collected", -ECANCELED},
                     {"timeout", -ETIMEDOUT},
                     {"failed", -EIO},
                     {"dependency", -EIO}};
        static const char *const argv[3] = {"/bin/probe", "one", "two"};

        for (unsigned i = 0; i < KB_ARRAY_SIZE(table); i++) {
                pid1.result = table[i].result;
                assert_ok(reload());
                run_until(i + 1);
                assert_int_equal(ended.r[i], table[i].expected);
                assert_string_equal(pid1.last, "ReloadUnit x.service replace");
        }
        memset(&ended, 0, sizeof(ended));
        pid1.result = "done";
        assert_ok(kb_systemd_unit_do(systemd, "x.service", KB_UNIT_RESTART, 0, on_end, NULL));
        run_until(1);
        assert_string_equal(pid1.last, "TryRestartUnit x.service replace");
        assert_ok(kb_systemd_unit_do(systemd, "x.service", KB_UNIT_SIGNAL, 10, on_end, NULL));
        run_until(2);
        assert_string_equal(pid1.last, "KillUnit x.service main");
        assert_ok(kb_systemd_run(systemd, argv, on_end, NULL));
        run_until(3);
        assert_memory_equal(pid1.last, "StartTransientUnit", 18);
        assert_int_equal(ended.r[0] | ended.r[1] | ended.r[2], 0);
        assert_int_equal(kb_systemd_unit_do(systemd, "x.service", (enum kb_unit_action)99, 0, on_end, NULL),
                         -EINVAL);
}

/* --- when it does not --- */

static void whoever_waits_is_told_when_pid1_hangs_up(void **state)
{
        pid1.silent = true;
        assert_ok(facts());
        assert_ok(reload());
        assert_ok(facts());
        while (pid1.calls < 3)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        pid1_hang_up();
        run_until(3);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(ended.r[i], -EHOSTDOWN);
        assert_false(ended.had_facts);
}

/* Asked between the hang-up and its notice in the loop. */
static void a_question_on_a_connection_that_ends_is_not_forgotten(void **state)
{
        assert_ok(facts());
        run_until(1); /* PID 1 has answered on this connection: it is asked again at once */
        pid1.hangs_up = true;
        assert_ok(facts());
        assert_ok(reload());
        while (pid1.calls < 2)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        assert_int_equal(facts(), -EHOSTDOWN);
        run_until(3);
        assert_int_equal(ended.r[1], -EHOSTDOWN);
        assert_int_equal(ended.r[2], -EHOSTDOWN);
        pid1.hangs_up = false;
        assert_ok(facts());
        run_until(4);
        assert_int_equal(ended.r[3], 0);
}

static void who_is_told_may_ask_again_and_is_served(void **state)
{
        assert_ok(facts());
        run_until(1);
        pid1.silent = true;
        assert_ok(reload());
        while (pid1.calls < 2)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        pid1.silent = false;
        ended.ask_again = true;
        pid1_hang_up();
        run_until(3);
        assert_int_equal(ended.r[1], -EHOSTDOWN);
        assert_ok(ended.asked_again);
        assert_int_equal(ended.r[2], 0);
        assert_int_equal(pid1.connections, 2);
}

static void what_is_never_answered_comes_to_an_end(void **state)
{
        for (unsigned i = 0; i < 2; i++) {
                pid1.silent = i == 0;
                pid1.mute = i == 1;
                memset(&ended, 0, sizeof(ended));
                assert_ok(facts());
                assert_ok(reload());
                run_until(2);
                assert_int_equal(ended.r[0], -ETIMEDOUT);
                assert_int_equal(ended.r[1], -ETIMEDOUT);
                kb_systemd_free(systemd);
                assert_ok(kb_systemd_new(&systemd, event,
                                         &(struct kb_systemd_options){.address = address,
                                                                      .call_usec = KB_USEC_PER_SEC / 4,
                                                                      .answer_usec = KB_USEC_PER_SEC,
                                                                      .job_usec = KB_USEC_PER_SEC}));
        }
        pid1.silent = true;
        pid1.mute = false;
        memset(&ended, 0, sizeof(ended));
        assert_ok(facts()); /* the bus makes up an answer before we do */
        run_until(1);
        assert_int_equal(ended.r[0], -ETIMEDOUT);
}

static void a_job_that_never_ends_comes_to_an_end(void **state)
{
        pid1.result = NULL;
        assert_ok(reload());
        run_until(1);
        assert_int_equal(ended.r[0], -ETIMEDOUT);
}

static void a_pid1_that_is_not_there_is_not_knocked_at_all_the_time(void **state)
{
        unsigned tried = 0;

        pid1.hangs_up = true;
        for (unsigned i = 0; i < 40; i++) {
                tried += facts() >= 0;
                run_for(20 * KB_USEC_PER_MSEC); /* 0.8 s and more in all: at 0, 0.1, 0.3, 0.7 s ... */
        }
        assert_true(tried >= 2);
        assert_true(tried <= 20);
        assert_int_equal(pid1.connections, tried);
        assert_int_equal(ended.n, tried);
        pid1_stop();
        assert_int_equal(facts(), -EHOSTDOWN);
        pid1_start();
        for (unsigned i = 0; i < 600 && facts() < 0; i++)
                run_for(20 * KB_USEC_PER_MSEC);
        run_until(tried + 1);
        assert_int_equal(ended.r[tried], 0);
        assert_ok(facts()); /* and is asked as before once it answers */
        pid1_hang_up();
        run_until(tried + 2);
        assert_ok(facts());
        run_until(tried + 3);
        assert_int_equal(ended.r[tried + 2], 0);
}

static void an_address_that_is_none_is_a_pid1_that_is_not_there(void **state)
{
        struct kb_systemd_options options = {
                .call_usec = KB_USEC_PER_SEC, .answer_usec = KB_USEC_PER_SEC, .job_usec = KB_USEC_PER_SEC};
        static const char *const addresses[] = {"unix:path=/nowhere/at/all", "nonsense"};

        for (unsigned i = 0; i < KB_ARRAY_SIZE(addresses); i++) {
                kb_systemd_free(systemd);
                options.address = addresses[i];
                assert_ok(kb_systemd_new(&systemd, event, &options));
                assert_int_equal(facts(), -EHOSTDOWN);
                assert_int_equal(reload(), -EHOSTDOWN); /* not tried again at once */
        }
        assert_int_equal(ended.n, 0);
}

static void who_still_waits_at_the_end_is_told(void **state)
{
        pid1.silent = true;
        assert_ok(facts());
        assert_ok(reload());
        kb_systemd_free(systemd);
        systemd = NULL;
        assert_int_equal(ended.n, 2);
        assert_int_equal(ended.r[0], -ECANCELED);
        assert_int_equal(ended.r[1], -ECANCELED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_unit_is_what_pid1_says),
                TEST(a_job_ends_as_pid1_says),
                TEST(whoever_waits_is_told_when_pid1_hangs_up),
                TEST(a_question_on_a_connection_that_ends_is_not_forgotten),
                TEST(who_is_told_may_ask_again_and_is_served),
                TEST(what_is_never_answered_comes_to_an_end),
                TEST(a_job_that_never_ends_comes_to_an_end),
                TEST(a_pid1_that_is_not_there_is_not_knocked_at_all_the_time),
                TEST(an_address_that_is_none_is_a_pid1_that_is_not_there),
                TEST(who_still_waits_at_the_end_is_told),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
