/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation function is foreign code: whatever it does, nobody gets in by it and nothing is lost. */
#include "tests/module/pam-fixture.h"
#include "tests/unit/test.h"

#include "common/macro.h"

static const struct {
        const char *what;
        struct reply reply;
        int expected;
} abuses[] = {
        {"types the right thing", {TYPES, "sesame", 0}, PAM_SUCCESS},
        {"types the wrong thing", {TYPES, "simsim", 0}, PAM_AUTH_ERR},
        {"types nothing", {TYPES, "", 0}, PAM_AUTH_ERR},
        {"returns NULL for text", {SAYS_NOTHING, NULL, 0}, PAM_CONV_ERR},
        {"returns no response", {NO_RESPONSE, NULL, 0}, PAM_CONV_ERR},
        {"fails", {FAILS, NULL, 0}, PAM_CONV_ERR},
        {"wants to be called again", {WANTS_TO_WAIT, NULL, 0}, PAM_CONV_ERR},
        {"answers, then fails", {FAILS_TYPING, "sesame", 0}, PAM_CONV_ERR},
        {"returns 1 MiB", {TYPES_TOO_MUCH, NULL, 0}, PAM_AUTH_ERR},
};

static void no_abuse_of_a_prompt_lets_in(void **state)
{
        static const uint32_t asks[] = {KB_ASK_PASSWORD, KB_ASK_CODE};

        for (size_t i = 0; i < KB_ARRAY_SIZE(abuses); i++)
                for (size_t k = 0; k < KB_ARRAY_SIZE(asks); k++) {
                        struct visit v = {
                                .user = "ana",
                                .person = {.replies = {abuses[i].reply}},
                                .broker = {.questions = {{asks[k], "Open: ", "", "sesame"}}},
                        };
                        int r;

                        if (abuses[i].reply.reaction == FAILS_TYPING && asks[k] == KB_ASK_PASSWORD)
                                continue; /* pam_get_authtok(3) loses the text, and LeakSanitizer says so */
                        r = visit_once(&v, pam_authenticate, 0);
                        if (r != abuses[i].expected)
                                fail_msg("%s: %d", abuses[i].what, r);
                }
}

static void a_person_who_changes_their_mind_is_out(void **state)
{
        for (size_t i = 1; i < KB_ARRAY_SIZE(abuses); i++) {
                struct visit v = {
                        .user = "ana",
                        .person = {.replies = {{TYPES, "sesame", 0}, abuses[i].reply}},
                        .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"},
                                                 {KB_ASK_CODE, "Code: ", "", "123456"}}},
                };

                assert_int_equal(visit_once(&v, pam_authenticate, 0), abuses[i].expected);
        }
}

static void nobody_to_talk_to_is_a_refusal(void **state)
{
        struct visit v = {
                .user = "ana",
                .person = {.absent = true},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_CONV_ERR);
        v.broker.questions[0].ask = KB_ASK_CODE;
        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_CONV_ERR);
        v.user = NULL;
        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_CONV_ERR);
}

static void the_longest_answer_gets_through_whole(void **state)
{
        char password[4098];
        struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, password, 0}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", password}}},
        };

        memset(password, 'p', sizeof(password));
        password[4096] = '\0';
        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SUCCESS);
        password[4096] = 'p';
        password[4097] = '\0';
        v.person.n_prompts = 0;
        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_AUTH_ERR);
        assert_int_equal(v.stand_in.seen.requests, 1);
}

static void a_name_that_the_program_did_not_give_is_asked_for(void **state)
{
        struct visit v = {
                .person = {.replies = {{TYPES, "ana", 0}, {TYPES, "sesame", 0}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SUCCESS);
        assert_string_equal(v.stand_in.seen.user, "ana");
}

static void without_a_name_nobody_gets_in(void **state)
{
        static int (*const calls[])(pam_handle_t *, int) = {pam_acct_mgmt, pam_chauthtok, pam_open_session};
        static const int expected[] = {PAM_SYSTEM_ERR, PAM_SYSTEM_ERR, PAM_SESSION_ERR};

        for (size_t i = 0; i < KB_ARRAY_SIZE(calls); i++) {
                struct visit v = {.person = {.replies = {{TYPES, "ana", 0}}}}, empty = v;

                empty.user = "";
                assert_int_equal(visit_once(&v, calls[i], 0), expected[i]);
                assert_int_equal(visit_once(&empty, calls[i], 0), expected[i]);
                assert_int_equal(v.person.n_prompts + empty.person.n_prompts, 0);
                assert_int_equal(v.stand_in.seen.requests, 0);
        }
}

static void each_thing_is_asked_for_in_its_style(void **state)
{
        static const struct {
                uint32_t ask;
                const char *prompt, *note, *typed, *sent, *shown;
                int style;
        } table[] = {
                {KB_ASK_PASSWORD, "Password: ", "", "a", "a", "Password: ", PAM_PROMPT_ECHO_OFF},
                {KB_ASK_CODE, "One-time code: ", "", "a", "a", "One-time code: ", PAM_PROMPT_ECHO_OFF},
                {KB_ASK_TEXT, "Ticket: ", "", "a", "a", "Ticket: ", PAM_PROMPT_ECHO_ON},
                {KB_ASK_TEXT, "Ticket: ", "", "", "", "Ticket: ", PAM_PROMPT_ECHO_ON},
                {KB_ASK_ENTER, "Press Enter. ", "", "secret", "", "Press Enter. ", PAM_PROMPT_ECHO_OFF},
                /* ssh shows no note but with a prompt */
                {KB_ASK_ENTER, "Press Enter. ", "Code 4711.", "", "", "Code 4711.\nPress Enter. ",
                 PAM_PROMPT_ECHO_OFF},
                {KB_ASK_PASSWORD, "Password: ", "Hello.", "a", "a",
                 "Hello.\nPassword: ", PAM_PROMPT_ECHO_OFF},
                /* a format is not one here */
                {KB_ASK_CODE, "%s%n: ", "%d", "a", "a", "%d\n%s%n: ", PAM_PROMPT_ECHO_OFF},
                /* what would steer a terminal is not shown */
                {KB_ASK_PASSWORD, "\033[2J", "", "a", "a", "Password: ", PAM_PROMPT_ECHO_OFF},
                {KB_ASK_CODE, "", "two\nlines", "a", "a", "Code: ", PAM_PROMPT_ECHO_OFF},
                {KB_ASK_TEXT, "\xff", "", "a", "a", "Answer: ", PAM_PROMPT_ECHO_ON},
                {KB_ASK_ENTER, "", "", "", "", "Press Enter to go on: ", PAM_PROMPT_ECHO_OFF},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                for (unsigned quiet = 0; quiet < 2; quiet++) {
                        struct visit v = {
                                .user = "ana",
                                .arguments = quiet ? "quiet" : "",
                                .person = {.replies = {{TYPES, table[i].typed, 0}}},
                                .broker = {.questions = {{table[i].ask, table[i].prompt, table[i].note,
                                                          table[i].sent}}},
                        };

                        assert_int_equal(visit_once(&v, pam_authenticate, quiet ? PAM_SILENT : 0),
                                         PAM_SUCCESS);
                        assert_string_equal(v.person.prompt, table[i].shown);
                        assert_int_equal(v.person.style, table[i].style);
                        assert_int_equal(v.person.n_notes, 0);
                }
}

/* The stack keeps one password; a second question must not be answered with the first password. */
static void a_second_password_is_asked_for(void **state)
{
        struct visit v = {
                .user = "ana",
                .person = {.replies = {{TYPES, "one", 0}, {TYPES, "two", 0}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "First: ", "", "one"},
                                         {KB_ASK_PASSWORD, "Second: ", "", "two"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_SUCCESS);
        assert_int_equal(v.person.n_prompts, 2);
}

static void use_first_pass_never_asks_for_the_password(void **state)
{
        struct visit v = {
                .user = "ana",
                .arguments = "use_first_pass",
                .person = {.replies = {{TYPES, "sesame", 0}}},
                .broker = {.questions = {{KB_ASK_PASSWORD, "Password: ", "", "sesame"}}},
        };

        assert_int_equal(visit_once(&v, pam_authenticate, 0), PAM_CONV_ERR);
        assert_int_equal(v.person.n_prompts, 0);
}

static void notes_are_shown_unless_silence_was_asked_for(void **state)
{
        static const struct {
                const char *arguments;
                int flags;
                const char *farewell, *notes;
        } table[] = {
                {"", 0, "Welcome.", "Welcome.\n"}, {"", 0, "", ""},
                {"", PAM_SILENT, "Welcome.", ""},  {"quiet", 0, "Welcome.", ""},
                {"no_warn", 0, "Welcome.", ""},    {"", 0, "bell\a", ""},
                {"", 0, "%s%n", "%s%n\n"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                static int (*const calls[])(pam_handle_t *, int) = {pam_authenticate, pam_acct_mgmt};

                for (size_t k = 0; k < KB_ARRAY_SIZE(calls); k++) {
                        struct visit v = {
                                .user = "ana",
                                .arguments = table[i].arguments,
                                .broker = {.farewell = table[i].farewell},
                        };

                        assert_int_equal(visit_once(&v, calls[k], table[i].flags), PAM_SUCCESS);
                        assert_string_equal(v.person.notes, table[i].notes);
                }
        }
}

static void reasons_are_told_to_who_is_known_only(void **state)
{
        static const struct {
                int (*call)(pam_handle_t *, int);
                const char *notes;
        } table[] = {
                {pam_authenticate, ""},
                {pam_acct_mgmt, "no rule permits it\n"},
                {pam_chauthtok, "no rule permits it\n"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct visit v = {
                        .user = "ana",
                        .person = {.replies = {{TYPES, "old", 0}}}, /* for who is not root */
                        .broker = {.status = KB_E_DENIED, .text = "no rule permits it"},
                };
                struct visit silent = v;

                assert_int_not_equal(visit_once(&v, table[i].call, 0), PAM_SUCCESS);
                assert_string_equal(v.person.notes, table[i].notes);
                assert_int_not_equal(visit_once(&silent, table[i].call, PAM_SILENT), PAM_SUCCESS);
                assert_string_equal(silent.person.notes, "");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_abuse_of_a_prompt_lets_in),
                cmocka_unit_test(a_person_who_changes_their_mind_is_out),
                cmocka_unit_test(nobody_to_talk_to_is_a_refusal),
                cmocka_unit_test(the_longest_answer_gets_through_whole),
                cmocka_unit_test(a_name_that_the_program_did_not_give_is_asked_for),
                cmocka_unit_test(without_a_name_nobody_gets_in),
                cmocka_unit_test(each_thing_is_asked_for_in_its_style),
                cmocka_unit_test(a_second_password_is_asked_for),
                cmocka_unit_test(use_first_pass_never_asks_for_the_password),
                cmocka_unit_test(notes_are_shown_unless_silence_was_asked_for),
                cmocka_unit_test(reasons_are_told_to_who_is_known_only),
        };

        return cmocka_run_group_tests(tests, pam_world_make, pam_world_remove);
}
