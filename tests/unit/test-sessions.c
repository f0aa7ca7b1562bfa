/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: counted in, counted out, and found when whoever opened them dies. */
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "helper/broker/sessions.h"

struct fixture {
        sd_event *event;
        struct kb_sessions *sessions;
        unsigned ended;
        char why[64];
};

static void on_ended(const struct kb_session *session, const char *why, void *userdata)
{
        struct fixture *f = userdata;

        f->ended++;
        snprintf(f->why, sizeof(f->why), "%s %s", session->user, why);
}

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){0};
        assert_ok(sd_event_new(&f.event));
        assert_ok(kb_sessions_new(&f.sessions, f.event, in_folder("sessions"), on_ended, &f));
        *state = &f;
        return 0;
}

static void begin_anew(struct fixture *f)
{
        kb_sessions_free(f->sessions);
        assert_ok(kb_sessions_new(&f->sessions, f->event, in_folder("sessions"), on_ended, f));
        assert_ok(kb_sessions_restore(f->sessions));
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        kb_sessions_free(f->sessions);
        sd_event_unref(f->event);
        return nftw(in_folder("sessions"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct tally {
        const char *user;
        unsigned n;
};

static void count_one(const struct kb_session *session, void *userdata)
{
        struct tally *t = userdata;

        t->n += strcmp(session->user, t->user) == 0;
}

static unsigned count(const struct fixture *f, const char *user)
{
        struct tally t = {.user = user};

        kb_sessions_each(f->sessions, count_one, &t);
        return t.n;
}

static unsigned count_files(void)
{
        _cleanup_(kb_closedirp) DIR *d = opendir(in_folder("sessions"));
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        return n - 2;
}

static pid_t start_leader(void)
{
        pid_t leader = fork();

        assert_true(leader >= 0);
        if (leader == 0) {
                pause();
                _exit(0);
        }
        return leader;
}

static void kill_leader(pid_t leader)
{
        assert_int_equal(kill(leader, SIGKILL), 0);
        assert_int_equal(waitpid(leader, NULL, 0), leader);
}

static const struct kb_session *open_one(struct fixture *f, const char *user, pid_t leader)
{
        struct kb_session is = {.leader = leader, .opened = 1};
        const struct kb_session *session;

        snprintf(is.user, sizeof(is.user), "%s", user);
        assert_ok(kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session));
        return session;
}

static void each_session_is_counted_by_itself(void **state)
{
        struct fixture *f = *state;
        const struct kb_session *first = open_one(f, "ana", getpid()),
                                *second = open_one(f, "ana", getpid());

        open_one(f, "bea", getpid());
        assert_string_not_equal(first->handle, second->handle);
        assert_true(kb_name_word_valid(first->handle));
        assert_int_equal(count(f, "ana"), 2);
        kb_session_end(kb_session_find(f->sessions, first->handle), "closed");
        assert_string_equal(f->why, "ana closed");
        assert_int_equal(count(f, "ana"), 1);
        kb_session_end(kb_session_find(f->sessions, second->handle), "closed");
        assert_null(kb_session_of(f->sessions, "ana"));
        assert_int_equal(count(f, "bea"), 1);
        assert_null(kb_session_find(f->sessions, ""));
        assert_int_equal(count_files(), 1);
}

static void a_leader_that_is_killed_is_counted_out(void **state)
{
        struct fixture *f = *state;
        pid_t leader = start_leader();

        open_one(f, "ana", leader);
        assert_ok(sd_event_run(f->event, 0));
        assert_int_equal(f->ended, 0);
        kill_leader(leader);
        assert_ok(sd_event_run(f->event, 10 * KB_USEC_PER_SEC));
        assert_int_equal(f->ended, 1);
        assert_string_equal(f->why, "ana its leader is gone");
        assert_int_equal(count_files(), 0);
}

static void sessions_outlive_a_restart(void **state)
{
        struct fixture *f = *state;
        struct kb_session is = {.leader = start_leader(),
                                .user = "ana",
                                .service = "sshd",
                                .remote_host = "client.example",
                                .opened = 42};
        const struct kb_session *session;
        char handle[KB_HANDLE_SIZE];

        assert_ok(kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session));
        memcpy(handle, session->handle, sizeof(handle));
        begin_anew(f);
        assert_int_equal(f->ended, 0);
        session = kb_session_find(f->sessions, handle);
        assert_non_null(session);
        assert_string_equal(session->user, "ana");
        assert_string_equal(session->service, "sshd");
        assert_string_equal(session->remote_host, "client.example");
        assert_int_equal(session->leader, is.leader);
        assert_int_equal(session->opened, 42);
        kill_leader(is.leader); /* and its end is still seen */
        assert_ok(sd_event_run(f->event, 10 * KB_USEC_PER_SEC));
        assert_string_equal(f->why, "ana its leader is gone");
}

static void what_ended_meanwhile_is_counted_out_at_the_start(void **state)
{
        struct fixture *f = *state;
        pid_t leader = start_leader();

        open_one(f, "ana", leader);
        open_one(f, "bea", getpid());
        kb_sessions_free(f->sessions);
        kill_leader(leader);
        assert_ok(kb_sessions_new(&f->sessions, f->event, in_folder("sessions"), on_ended, f));
        assert_ok(kb_sessions_restore(f->sessions));
        assert_int_equal(f->ended, 1);
        assert_string_equal(f->why, "ana its leader ended while the broker was away");
        assert_int_equal(count(f, "ana"), 0);
        assert_int_equal(count(f, "bea"), 1);
        assert_int_equal(count_files(), 1);
}

/* The pid lives, but it is somebody else's by now. */
static void a_pid_that_was_used_again_is_no_leader(void **state)
{
        struct fixture *f = *state;
        const struct kb_session *session = open_one(f, "ana", getpid());
        const char *path = in_folder("sessions");
        char name[512];
        FILE *file;

        snprintf(name, sizeof(name), "%s/%s", path, session->handle);
        file = fopen(name, "r+e");
        assert_non_null(file);
        assert_int_equal(fputc((int)((session->leader_began & 0xff) ^ 1), file),
                         (int)((session->leader_began & 0xff) ^ 1)); /* it began a tick apart */
        assert_int_equal(fclose(file), 0);
        begin_anew(f);
        assert_int_equal(f->ended, 1);
        assert_int_equal(count(f, "ana"), 0);
}

static void a_file_without_sense_is_no_session(void **state)
{
        static const char *const contents[] = {"", "x", "0123456789abcdef0123456789abcdef0123456789abcdef"};
        struct fixture *f = *state;
        char name[512];

        for (size_t i = 0; i < KB_ARRAY_SIZE(contents); i++) {
                FILE *file;

                snprintf(name, sizeof(name), "%s/%zu", in_folder("sessions"), i);
                file = fopen(name, "we");
                assert_non_null(file);
                assert_true(fputs(contents[i], file) >= 0);
                assert_int_equal(fclose(file), 0);
        }
        open_one(f, "bea", getpid());
        begin_anew(f);
        assert_int_equal(f->ended, 0);
        assert_int_equal(count_files(), 1);
        assert_int_equal(count(f, "bea"), 1);
}

static void what_cannot_be_taken_up_for_now_is_kept_for_the_next_start(void **state)
{
        struct fixture *f = *state;
        struct rlimit was, limit;
        int free_fd;

        open_one(f, "ana", getpid());
        kb_sessions_free(f->sessions);
        assert_ok(kb_sessions_new(&f->sessions, f->event, in_folder("sessions"), on_ended, f));
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        free_fd = dup(0);
        assert_true(free_fd >= 0);
        close(free_fd);
        limit = (struct rlimit){.rlim_cur = (rlim_t)free_fd + 1, .rlim_max = was.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0); /* enough for the folder */
        assert_ok(kb_sessions_restore(f->sessions));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        assert_int_equal(count(f, "ana"), 0);
        assert_int_equal(count_files(), 1);
        begin_anew(f);
        assert_int_equal(count(f, "ana"), 1);
        assert_int_equal(f->ended, 0);
}

/* Whom we could not find again after a restart is not counted in. */
static void a_session_that_cannot_be_written_is_refused(void **state)
{
        struct fixture *f = *state;
        struct kb_session is = {.user = "ana", .leader = getpid()};
        const struct kb_session *session;

        assert_ok(nftw(in_folder("sessions"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS));
        assert_int_equal(kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session), -ENOENT);
        assert_int_equal(count(f, "ana"), 0);
        assert_ok(mkdir(in_folder("sessions"), 0700));
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
        assert_int_equal(kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session), -ESRCH);
        assert_int_equal(count(f, "ana"), 0);
}

/* The kernel says so of the peer itself, whoever has its pid by now. */
static void a_leader_that_the_kernel_says_is_gone_opens_nothing(void **state)
{
        static const int pidfds[] = {-ESRCH, -EINVAL, -ENODATA};
        struct fixture *f = *state;
        struct kb_session is = {.user = "ana", .leader = getpid()};
        const struct kb_session *session;

        for (size_t i = 0; i < KB_ARRAY_SIZE(pidfds); i++)
                assert_int_equal(kb_session_open(f->sessions, &is, pidfds[i], &session), -ESRCH);
        assert_int_equal(count(f, "ana"), 0);
        assert_int_equal(count_files(), 0);
}

static void too_many_sessions_are_refused(void **state)
{
        struct fixture *f = *state;
        struct kb_session is = {.leader = getpid()};
        const struct kb_session *session;
        unsigned n = 0;
        int r;

        do
                snprintf(is.user, sizeof(is.user), "u%u", n / KB_SESSIONS_PER_PERSON);
        while ((r = kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session)) == 0 && ++n);
        assert_true(r == -EBUSY || r == -EMFILE); /* whatever comes first */
        assert_true(n <= KB_SESSIONS_MAX);
        assert_int_equal(count_files(), n);
}

static void one_person_leaves_places_to_others(void **state)
{
        struct fixture *f = *state;
        struct kb_session is = {.user = "ana", .leader = getpid()};
        const struct kb_session *session;
        unsigned n = 0;
        int r;

        while ((r = kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session)) == 0)
                n++;
        assert_int_equal(r, -EUSERS);
        assert_int_equal(n, KB_SESSIONS_PER_PERSON);
        open_one(f, "bea", getpid());
        begin_anew(f); /* the share is the same then */
        assert_int_equal(count(f, "ana"), KB_SESSIONS_PER_PERSON);
        assert_int_equal(kb_session_open(f->sessions, &is, -ENOPROTOOPT, &session), -EUSERS);
        kb_session_end(kb_session_find(f->sessions, kb_session_of(f->sessions, "ana")->handle), "closed");
        open_one(f, "ana", getpid());
        assert_int_equal(count(f, "ana"), KB_SESSIONS_PER_PERSON);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(each_session_is_counted_by_itself),
                TEST(a_leader_that_is_killed_is_counted_out),
                TEST(a_leader_that_is_gone_already_opens_nothing),
                TEST(a_leader_that_the_kernel_says_is_gone_opens_nothing),
                TEST(sessions_outlive_a_restart),
                TEST(what_ended_meanwhile_is_counted_out_at_the_start),
                TEST(a_pid_that_was_used_again_is_no_leader),
                TEST(a_file_without_sense_is_no_session),
                TEST(what_cannot_be_taken_up_for_now_is_kept_for_the_next_start),
                TEST(a_session_that_cannot_be_written_is_refused),
                TEST(too_many_sessions_are_refused),
                TEST(one_person_leaves_places_to_others),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
