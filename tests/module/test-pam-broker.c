/* SPDX-License-Identifier: Apache-2.0 */
/* A broker that is away, frozen, dying or mad: the module refuses, and in time. */
#include "tests/module/pam-fixture.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/macro.h"
#include "common/cleanup.h"

#define PATIENCE (700 * KB_USEC_PER_MSEC) /* tests/module/pam-settings.c */
#define BOUND    (20 * KB_USEC_PER_SEC)   /* of a machine that has other things to do */
#define TRIES    5

/* Who is not root is asked for the old password before anything is changed. */
#define OLD                                                                                                 \
        {                                                                                                   \
                TYPES, "old", 0                                                                             \
        }

static const struct {
        int (*call)(pam_handle_t *, int);
        int unreachable, garbled;
} phases[] = {
        {pam_authenticate, PAM_AUTHINFO_UNAVAIL, PAM_SYSTEM_ERR},
        {pam_acct_mgmt, PAM_AUTHINFO_UNAVAIL, PAM_SYSTEM_ERR},
        {pam_open_session, PAM_SESSION_ERR, PAM_SESSION_ERR},
        {pam_chauthtok, PAM_TRY_AGAIN, PAM_SYSTEM_ERR},
};

/* Whoever waited would wait each time; a machine under load is only now and then so slow. */
static void nobody_listens_is_refused_at_once(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(phases); i++) {
                uint64_t shortest = KB_TIME_NEVER;

                for (unsigned k = 0; k < TRIES && shortest >= PATIENCE; k++) {
                        struct visit v = {.user = "ana", .no_broker = true};
                        uint64_t begin, lasted;

                        unlink(pam_world_path("root.sock"));
                        unlink(pam_world_path("auth.sock"));
                        begin = kb_now_monotonic();
                        assert_int_equal(visit_once(&v, phases[i].call, 0), phases[i].unreachable);
                        lasted = kb_now_monotonic() - begin;
                        shortest = lasted < shortest ? lasted : shortest;
                }
                assert_true(shortest < PATIENCE);
        }
}

static void a_broker_that_is_slow_or_silent_is_given_up_in_time(void **state)
{
        static const enum delivery deliveries[] = {SILENT, TRICKLE};

        for (size_t i = 0; i < KB_ARRAY_SIZE(phases); i++)
                for (size_t k = 0; k < KB_ARRAY_SIZE(deliveries); k++) {
                        struct visit v = {
                                .user = "ana",
                                .person = {.replies = {OLD}},
                                .broker = {.delivery = deliveries[k]},
                        };
                        uint64_t begin = kb_now_monotonic(), lasted;

                        assert_int_equal(visit_once(&v, phases[i].call, 0), phases[i].unreachable);
                        lasted = kb_now_monotonic() - begin;
                        assert_in_range(lasted, PATIENCE, BOUND);
                }
}

/* A stopped process still has a listening socket, until its queue is full. */
static void a_full_queue_is_given_up_in_time(void **state)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting = -1;
        struct visit v = {.user = "ana", .no_broker = true};
        uint64_t begin, lasted;

        snprintf(address.sun_path, sizeof(address.sun_path), "%s",
                 pam_world_path(geteuid() == 0 ? "root.sock" : "auth.sock"));
        unlink(address.sun_path);
        assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listening, 0), 0);
        waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(waiting, (struct sockaddr *)&address, sizeof(address)), 0);
        begin = kb_now_monotonic();
        assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), PAM_AUTHINFO_UNAVAIL);
        lasted = kb_now_monotonic() - begin;
        assert_in_range(lasted, PATIENCE, BOUND);
}

static void a_reply_cut_anywhere_is_no_reply(void **state)
{
        struct visit v = {.user = "ana"};

        assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), PAM_SUCCESS);
        assert_true(v.stand_in.seen.reply_size > 16);
        for (size_t cut = 0; cut < v.stand_in.seen.reply_size; cut++) {
                struct visit w = {.user = "ana", .broker = {.delivery = CUT, .cut = cut}};

                assert_int_equal(visit_once(&w, pam_acct_mgmt, 0), PAM_AUTHINFO_UNAVAIL);
        }
}

static void a_reply_in_two_pieces_is_a_reply(void **state)
{
        struct visit v = {.user = "ana"};

        assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), PAM_SUCCESS);
        for (size_t cut = 0; cut <= v.stand_in.seen.reply_size; cut++) {
                struct visit w = {.user = "ana", .broker = {.delivery = IN_TWO, .cut = cut}};

                assert_int_equal(visit_once(&w, pam_acct_mgmt, 0), PAM_SUCCESS);
        }
}

static void a_reply_without_sense_is_a_refusal(void **state)
{
        static const enum delivery deliveries[] = {NONSENSE, OTHER_VERB};

        for (size_t i = 0; i < KB_ARRAY_SIZE(phases); i++)
                for (size_t k = 0; k < KB_ARRAY_SIZE(deliveries); k++) {
                        struct visit v = {
                                .user = "ana",
                                .person = {.replies = {OLD}},
                                .broker = {.delivery = deliveries[k]},
                        };

                        assert_int_equal(visit_once(&v, phases[i].call, 0), phases[i].garbled);
                }
}

static void the_second_reply_may_make_no_sense_either(void **state)
{
        struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, "sesame", 0}}},
                .broker = {.delivery = NONSENSE,
                           .good_requests = 1,
                           .questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SYSTEM_ERR);
        assert_int_equal(v.stand_in.seen.requests, 2);
}

static int open_then_close(pam_handle_t *pamh, int flags)
{
        assert_int_equal(pam_open_session(pamh, flags), PAM_SUCCESS);
        return pam_close_session(pamh, flags);
}

/* A session has ended, whatever the broker makes of it. */
static void closing_goes_on_over_nonsense(void **state)
{
        struct visit v = {.user = "ana", .broker = {.delivery = NONSENSE, .good_requests = 1}};

        assert_int_equal(visit_once(&v, open_then_close, 0), PAM_SUCCESS);
}

/* 2 GiB are announced: nothing is allocated for them. */
static void an_oversized_reply_is_a_refusal(void **state)
{
        struct visit v = {.user = "ana", .broker = {.delivery = OVERSIZED}};

        assert_int_equal(visit_once(&v, pam_acct_mgmt, 0), PAM_SYSTEM_ERR);
}

static void a_broker_that_asks_for_ever_is_not_answered_for_ever(void **state)
{
        struct visit v = {.user = "ana",
                          .broker = {.endless = true, .questions = {{KB_ASK_CODE, "Code: ", "", "1"}}}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(v.person.replies); i++)
                v.person.replies[i] = (struct reply){TYPES, "1", 0};
        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SYSTEM_ERR);
        assert_int_equal(v.person.n_prompts, 10);
}

static void a_broker_that_asks_for_something_unknown_is_refused(void **state)
{
        struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, "sesame", 0}}},
                .broker = {.questions = {{KB_ASK_ENTER + 1, "Dance: ", "", "sesame"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SYSTEM_ERR);
        assert_int_equal(v.person.n_prompts, 0);
        v.broker.questions[0].ask = UINT32_MAX;
        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SYSTEM_ERR);
}

static void a_handle_that_is_none_is_refused(void **state)
{
        static const char *const handles[] = {"", "a=b", "two words", "line\n", "../x"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(handles); i++) {
                struct visit v = {.user = "ana", .broker = {.handle = handles[i]}};

                assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SYSTEM_ERR);
                if (handles[i][0]) /* a session that need not be closed has none */
                        assert_int_equal(visit_once(&v, pam_open_session, 0), PAM_SESSION_ERR);
        }
}

/* It is the broker whose time is short. Two people think longer here than it may take in all. */
static void a_person_may_take_time(void **state)
{
        struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, "sesame", 500}, {TYPES, "123456", 500}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"},
                                         {KB_ASK_CODE, "Code: ", "", "123456"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SUCCESS);
}

/* Each reply is in time; all of them together are not. */
static void many_slow_replies_share_one_deadline(void **state)
{
        struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, "1", 0}, {TYPES, "1", 0}, {TYPES, "1", 0}, {TYPES, "1", 0}}},
                .broker = {.pause_ms = 300,
                           .endless = true,
                           .questions = {{KB_ASK_CODE, "Code: ", "", "1"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_AUTHINFO_UNAVAIL);
        assert_true(v.person.n_prompts <= 2);
}

static void what_is_too_long_to_send_is_refused(void **state)
{
        char host[400];
        struct visit v = {.user = "ana"};

        memset(host, 'h', sizeof(host));
        host[sizeof(host) - 1] = '\0';
        visit_begin(&v);
        assert_int_equal(pam_set_item(v.pamh, PAM_RHOST, host), PAM_SUCCESS);
        assert_int_equal(pam_acct_mgmt(v.pamh, 0), PAM_SYSTEM_ERR);
        visit_end(&v);
        assert_int_equal(v.stand_in.seen.requests, 0);
}

/* In a child, since there is no way back. The module is loaded already and needs no file any more. */
static void who_is_not_root_asks_on_the_other_socket(void **state)
{
        pid_t pid;
        int status;

        if (geteuid() != 0)
                skip(); /* every other test here has shown it */
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct visit v = {.user = "ana"};

                if (chmod(pam_world_path(".."), 0711) < 0 || chmod(pam_world_path("."), 0777) < 0 ||
                    setresuid(65534, 65534, 65534) < 0)
                        _exit(1);
                _exit(visit_once(&v, pam_acct_mgmt, 0) == PAM_SUCCESS &&
                                      access(pam_world_path("auth.sock"), F_OK) == 0
                              ? 0
                              : 2);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nobody_listens_is_refused_at_once),
                cmocka_unit_test(a_broker_that_is_slow_or_silent_is_given_up_in_time),
                cmocka_unit_test(a_full_queue_is_given_up_in_time),
                cmocka_unit_test(a_reply_cut_anywhere_is_no_reply),
                cmocka_unit_test(a_reply_in_two_pieces_is_a_reply),
                cmocka_unit_test(a_reply_without_sense_is_a_refusal),
                cmocka_unit_test(the_second_reply_may_make_no_sense_either),
                cmocka_unit_test(closing_goes_on_over_nonsense),
                cmocka_unit_test(an_oversized_reply_is_a_refusal),
                cmocka_unit_test(a_broker_that_asks_for_ever_is_not_answered_for_ever),
                cmocka_unit_test(a_broker_that_asks_for_something_unknown_is_refused),
                cmocka_unit_test(a_handle_that_is_none_is_refused),
                cmocka_unit_test(a_person_may_take_time),
                cmocka_unit_test(many_slow_replies_share_one_deadline),
                cmocka_unit_test(what_is_too_long_to_send_is_refused),
                cmocka_unit_test(who_is_not_root_asks_on_the_other_socket),
        };

        return cmocka_run_group_tests(tests, pam_world_make, pam_world_remove);
}
