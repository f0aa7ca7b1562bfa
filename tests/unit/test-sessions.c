/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: counted in, counted out, and found when whoever opened them dies. */
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/broker/sessions.h"

struct fixture {
        sd_event *event;
        struct kb_sessions *sessions;
        unsigned ended;
        bool last;
        char why[64];
};

static void on_ended(const struct kb_session *session, const char *why, bool last, void *userdata)
{
        struct fixture *f = userdata;

        f->ended++;
        f->last = last;
        snprintf(f->why, sizeof(f->why), "%s %s", session->user, why);
}

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){0};
        assert_ok(sd_event_new(&f.event));
        assert_ok(kb_sessions_new(&f.sessions, f.event, on_ended, &f));
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        kb_sessions_free(f->sessions);
        sd_event_unref(f->event);
        return 0;
}

static const struct kb_session *open_one(struct fixture *f, const char *user, pid_t leader)
{
        struct kb_session is = {.leader = leader, .opened = 1};
        const struct kb_session *session;

        snprintf(is.user, sizeof(is.user), "%s", user);
        assert_ok(kb_session_open(f->sessions, &is, -1, &session));
        return session;
}

static void the_last_one_out_is_told_apart(void **state)
{
        struct fixture *f = *state;
        const struct kb_session *first = open_one(f, "ana", getpid()),
                                *second = open_one(f, "ana", getpid());

        open_one(f, "bea", getpid());
        assert_string_not_equal(first->handle, second->handle);
        assert_true(kb_name_word_valid(first->handle));
        assert_int_equal(kb_sessions_of(f->sessions, "ana"), 2);
        kb_session_end(kb_session_find(f->sessions, first->handle), "closed");
        assert_string_equal(f->why, "ana closed");
        assert_false(f->last);
        kb_session_end(kb_session_find(f->sessions, second->handle), "closed");
        assert_true(f->last);
        assert_int_equal(kb_sessions_of(f->sessions, "ana"), 0);
        assert_int_equal(kb_sessions_of(f->sessions, "bea"), 1);
        assert_null(kb_session_find(f->sessions, ""));
}

static void a_leader_that_is_killed_is_counted_out(void **state)
{
        struct fixture *f = *state;
        pid_t leader = fork();

        assert_true(leader >= 0);
        if (leader == 0) {
                pause();
                _exit(0);
        }
        open_one(f, "ana", leader);
        assert_ok(sd_event_run(f->event, 0));
        assert_int_equal(f->ended, 0);
        assert_int_equal(kill(leader, SIGKILL), 0);
        assert_ok(sd_event_run(f->event, 10 * KB_USEC_PER_SEC));
        assert_int_equal(f->ended, 1);
        assert_true(f->last);
        assert_string_equal(f->why, "ana its leader is gone");
        assert_int_equal(waitpid(leader, NULL, 0), leader);
}

static void a_leader_that_is_gone_already_opens_nothing(void **state)
{
        struct fixture *f = *state;
        struct kb_session is = {.user = "ana"};
        const struct kb_session *session;

        is.leader = fork();
        if (is.leader == 0)
                _exit(0);
        assert_int_equal(waitpid(is.leader, NULL, 0), is.leader);
        assert_int_equal(kb_session_open(f->sessions, &is, -1, &session), -ESRCH);
        assert_int_equal(kb_sessions_of(f->sessions, "ana"), 0);
}

static void too_many_sessions_are_refused(void **state)
{
        struct fixture *f = *state;
        struct kb_session is = {.user = "ana", .leader = getpid()};
        const struct kb_session *session;
        unsigned n = 0;
        int r;

        while ((r = kb_session_open(f->sessions, &is, -1, &session)) == 0)
                n++;
        assert_true(r == -EBUSY || r == -EMFILE); /* whatever comes first */
        assert_true(n <= KB_SESSIONS_MAX);
        assert_int_equal(kb_sessions_of(f->sessions, "ana"), n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_last_one_out_is_told_apart, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_leader_that_is_killed_is_counted_out, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_leader_that_is_gone_already_opens_nothing, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(too_many_sessions_are_refused, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
