/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer means, and who is asked next: as tables. */
#include "tests/unit/test.h"

#include "helper/store/vault/route.h"

#define NOT_ACTIVE "local node not active but active cluster node not found"

static void a_status_without_words_has_ours(void **state)
{
        assert_non_null(strstr(kb_route_status_text(307), "Address="));
        assert_non_null(strstr(kb_route_status_text(473), "replicates"));
        assert_non_null(strstr(kb_route_status_text(503), "sealed"));
        assert_string_equal(kb_route_status_text(200), "");
        assert_string_equal(kb_route_status_text(502), "");
}

static void each_status_means_one_thing(void **state)
{
        static const struct {
                int status;
                const char *errors;
                bool readable, here;
                enum kb_verdict verdict;
                enum kb_error error;
                bool executed;
        } rows[] = {
                {200, "", true, false, KB_VERDICT_ANSWER, KB_E_OK, true},
                {204, "", true, false, KB_VERDICT_ANSWER, KB_E_OK, true},
                {200, "", false, false, KB_VERDICT_OTHERS, KB_E_UNSUPPORTED, true},
                {307, "", true, true, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {307, "", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, true},
                {302, "", false, true, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {400, "bad", true, false, KB_VERDICT_ANSWER, KB_E_BAD_REQUEST, false},
                {401, "", true, false, KB_VERDICT_ANSWER, KB_E_DENIED, false},
                {403, "permission denied", true, false, KB_VERDICT_ANSWER, KB_E_DENIED, false},
                {403, "sealed", true, false, KB_VERDICT_ANSWER, KB_E_DENIED, false},
                {404, "", true, false, KB_VERDICT_ANSWER, KB_E_NOT_FOUND, false},
                {404, "", false, false, KB_VERDICT_ANSWER, KB_E_NOT_FOUND, false},
                {405, "", true, false, KB_VERDICT_ANSWER, KB_E_UNSUPPORTED, false},
                {409, "", true, false, KB_VERDICT_ANSWER, KB_E_CONFLICT, false},
                {412, "", true, false, KB_VERDICT_WAIT, KB_E_BUSY, false},
                {413, "", true, false, KB_VERDICT_ANSWER, KB_E_BAD_REQUEST, false},
                {418, "", true, false, KB_VERDICT_ANSWER, KB_E_BAD_REQUEST, false},
                {429, "", true, false, KB_VERDICT_WAIT, KB_E_THROTTLED, false},
                {472, "", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {473, "", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {474, "", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {475, "", true, false, KB_VERDICT_ANSWER, KB_E_BAD_REQUEST, false},
                {500, "", false, false, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
                {500, "failed to connect to the database", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE,
                 true},
                {500, NOT_ACTIVE, true, true, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {500, NOT_ACTIVE, true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, true},
                {501, "", true, false, KB_VERDICT_NEXT, KB_E_SEALED, false},
                {502, "anything", true, false, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
                {503, "Vault is sealed", true, false, KB_VERDICT_NEXT, KB_E_SEALED, false},
                {503, "node is not active", true, true, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {503, "node is not active", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, true},
                {503, "", false, true, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
                {504, "", true, false, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
                {530, "", true, false, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
                {599, "", true, false, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
                {100, "", true, false, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
                {999, "", true, false, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                const struct kb_http_answer answer = {
                        .result = KB_HTTP_ANSWERED, .sent = true, .status = rows[i].status};
                struct kb_judgement j =
                        kb_route_judge(&answer, rows[i].errors, rows[i].readable, rows[i].here);

                if (j.verdict != rows[i].verdict || j.error != rows[i].error ||
                    j.executed != rows[i].executed)
                        fail_msg("row %zu: HTTP %d %s: verdict %d, %s, executed %d", i, rows[i].status,
                                 rows[i].errors, (int)j.verdict, kb_error_word(j.error), j.executed);
        }
}

static void what_never_left_this_host_was_not_executed(void **state)
{
        static const struct {
                enum kb_http_result result;
                enum kb_verdict verdict;
        } rows[] = {
                {KB_HTTP_NAME, KB_VERDICT_BROKEN},   {KB_HTTP_CONNECT, KB_VERDICT_BROKEN},
                {KB_HTTP_TLS, KB_VERDICT_BROKEN},    {KB_HTTP_TIMEOUT, KB_VERDICT_BROKEN},
                {KB_HTTP_LOST, KB_VERDICT_BROKEN},   {KB_HTTP_GARBAGE, KB_VERDICT_BROKEN},
                {KB_HTTP_INTERNAL, KB_VERDICT_OURS}, {KB_HTTP_TOO_LARGE, KB_VERDICT_OTHERS},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                for (int sent = 0; sent < 2; sent++) {
                        const struct kb_http_answer answer = {.result = rows[i].result, .sent = sent};
                        struct kb_judgement j = kb_route_judge(&answer, "", true, true);

                        assert_int_equal(j.verdict, rows[i].verdict);
                        assert_true(j.error != KB_E_OK);
                        assert_int_equal(j.executed, sent || rows[i].result == KB_HTTP_TOO_LARGE);
                }
}

static void every_address_comes_once_beginning_with_the_current_one(void **state)
{
        struct kb_route route = kb_route_init();

        assert_int_equal(kb_route_left(&route, 4, 0xf), 4);
        assert_int_equal(kb_route_next(&route, 4, 2, 0xf), 2);
        assert_int_equal(kb_route_left(&route, 4, 0xf), 3);
        assert_int_equal(kb_route_next(&route, 4, 2, 0xf), 3);
        assert_int_equal(kb_route_next(&route, 4, 2, 0xf), 0);
        assert_int_equal(kb_route_next(&route, 4, 2, 0xf), 1);
        assert_int_equal(kb_route_left(&route, 4, 0xf), 0);
        assert_int_equal(kb_route_next(&route, 4, 2, 0xf), -1);
}

static void an_open_one_is_passed_over(void **state)
{
        struct kb_route route = kb_route_init();

        assert_int_equal(kb_route_next(&route, 3, 0, 0x4), 2);
        assert_int_equal(kb_route_next(&route, 3, 0, 0x4), -1);
        assert_int_equal(kb_route_next(&route, 3, 0, 0x5), 0); /* it has closed meanwhile */
        route = kb_route_init();
        assert_int_equal(kb_route_next(&route, 3, 0, 0), -1);
}

static void a_hint_comes_first_unless_it_was_asked_or_is_open(void **state)
{
        struct kb_route route = kb_route_init();

        assert_int_equal(kb_route_next(&route, 3, 0, 0x7), 0);
        route.hint = 2;
        assert_int_equal(kb_route_next(&route, 3, 0, 0x7), 2);
        route.hint = 0; /* which is where we come from */
        assert_int_equal(kb_route_next(&route, 3, 0, 0x7), 1);
        route = kb_route_init();
        route.hint = 2;
        assert_int_equal(kb_route_next(&route, 3, 0, 0x3), 0);
        assert_int_equal(route.hint, -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_status_without_words_has_ours),
                cmocka_unit_test(each_status_means_one_thing),
                cmocka_unit_test(what_never_left_this_host_was_not_executed),
                cmocka_unit_test(every_address_comes_once_beginning_with_the_current_one),
                cmocka_unit_test(an_open_one_is_passed_over),
                cmocka_unit_test(a_hint_comes_first_unless_it_was_asked_or_is_open),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
