/* SPDX-License-Identifier: Apache-2.0 */
/* Names: a table of what is let through, and what is not. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "common/error.h"
#include "common/macro.h"
#include "common/names.h"

#define LONG_32 "abcdefghijklmnopqrstuvwxyz012345"

static const struct {
        const char *kind;
        bool (*valid)(const char *);
        const char *name;
        bool expected;
} table[] = {
        {"user", kb_name_user_valid, "ana", true},
        {"user", kb_name_user_valid, "_svc-1.x", true},
        {"user", kb_name_user_valid, LONG_32, true},
        {"user", kb_name_user_valid, LONG_32 "6", false},
        {"user", kb_name_user_valid, NULL, false},
        {"user", kb_name_user_valid, "", false},
        {"user", kb_name_user_valid, "Ana", false},
        {"user", kb_name_user_valid, "1ana", false},
        {"user", kb_name_user_valid, "-rf", false},
        {"user", kb_name_user_valid, ".hidden", false},
        {"user", kb_name_user_valid, "a/b", false},
        {"user", kb_name_user_valid, "a:b", false},
        {"user", kb_name_user_valid, "a\nb", false},
        {"user", kb_name_user_valid, "a\x7f", false},
        {"credential", kb_name_credential_valid, "orders-db", true},
        {"credential", kb_name_credential_valid, "orders.db", false},
        {"credential", kb_name_credential_valid, "../x", false},
        {"unit", kb_name_unit_valid, "orders.service", true},
        {"unit", kb_name_unit_valid, "orders@eu-1.service", true},
        {"unit", kb_name_unit_valid, "dev-disk\\x2d1.swap", true},
        {"unit", kb_name_unit_valid, "orders", false},
        {"unit", kb_name_unit_valid, ".service", false},
        {"unit", kb_name_unit_valid, "orders.timer", false},
        {"unit", kb_name_unit_valid, "../orders.service", false},
        {"path", kb_name_path_valid, "kv/orders/db", true},
        {"path", kb_name_path_valid, "kv", true},
        {"path", kb_name_path_valid, "kv//db", false},
        {"path", kb_name_path_valid, "/kv", false},
        {"path", kb_name_path_valid, "kv/", false},
        {"path", kb_name_path_valid, "kv/../db", false},
        {"path", kb_name_path_valid, "kv/..db", true},
        {"text", kb_text_valid, "Grüße", true},
        {"text", kb_text_valid, "a\nb", false},
        {"text", kb_text_valid, "a\x1b[2J", false},
        {"text", kb_text_valid, "\xc0\xaf", false},     /* overlong */
        {"text", kb_text_valid, "\xed\xa0\x80", false}, /* surrogate */
        {"text", kb_text_valid, "\xc2\x85", false},     /* U+0085 is a control character */
        {"text", kb_text_valid, "\xe2\x82", false},     /* cut */
};

static void the_table_holds(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                if (table[i].valid(table[i].name) != table[i].expected)
                        fail_msg("row %zu: %s \"%s\"", i, table[i].kind, table[i].name);
}

static void globs_match_whole_names(void **state)
{
        assert_true(kb_name_matches("orders*.service", "orders-eu.service"));
        assert_true(kb_name_matches("*", ".hidden"));
        assert_false(kb_name_matches("orders", "orders.service"));
        assert_false(kb_name_matches(NULL, "x"));
}

static void errors_have_words_and_unknown_ones_refuse(void **state)
{
        assert_string_equal(kb_error_word(KB_E_DENIED), "denied");
        assert_string_equal(kb_error_word((enum kb_error)999), "unknown");
        assert_int_equal(kb_error_exit_status(KB_E_OK), 0);
        assert_int_equal(kb_error_exit_status((enum kb_error)999), 1);
        assert_int_equal(kb_error_from_errno(-12345), KB_E_INTERNAL);
        assert_int_equal(kb_error_from_errno(0), KB_E_OK);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_table_holds),
                cmocka_unit_test(globs_match_whole_names),
                cmocka_unit_test(errors_have_words_and_unknown_ones_refuse),
        };

        return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
