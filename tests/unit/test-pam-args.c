/* SPDX-License-Identifier: Apache-2.0 */
/* The words behind the module's name in a PAM file. */
#include "tests/unit/test.h"

#include "common/macro.h"
#include "pam_module/args.h"

static struct kb_args parse(const char *word)
{
        const char *argv[] = {"debug", word};

        return kb_args_parse(2, argv);
}

static void our_words_set_their_flag(void **state)
{
        static const struct {
                const char *word;
                bool quiet, nodelay;
        } table[] = {
                {"quiet", true, false},           {"no_warn", true, false},
                {"nodelay", false, true},         {"use_first_pass", false, false},
                {"try_first_pass", false, false}, {"use_authtok", false, false},
                {"authtok_type=", false, false},  {"authtok_type=site", false, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_args args = parse(table[i].word);

                assert_true(args.debug);
                assert_int_equal(args.quiet, table[i].quiet);
                assert_int_equal(args.nodelay, table[i].nodelay);
                assert_null(args.unknown);
        }
}

static void any_other_word_is_reported(void **state)
{
        static const char *const table[] = {
                "",          "quie",          "quiett",  "Quiet", "debug=1", "authtok_type",
                "deny_root", "socket=/tmp/x", "quiet\n",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_args args = parse(table[i]);

                assert_ptr_equal(args.unknown, table[i]);
                assert_false(args.quiet);
        }
}

static void the_first_unknown_word_is_the_one_reported(void **state)
{
        const char *argv[] = {"one", "quiet", "two"};
        struct kb_args args = kb_args_parse(3, argv);

        assert_string_equal(args.unknown, "one");
        assert_true(args.quiet);
}

static void no_words_are_no_flags(void **state)
{
        struct kb_args args = kb_args_parse(0, NULL);

        assert_false(args.debug || args.quiet || args.nodelay);
        assert_null(args.unknown);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(our_words_set_their_flag),
                cmocka_unit_test(any_other_word_is_reported),
                cmocka_unit_test(the_first_unknown_word_is_the_one_reported),
                cmocka_unit_test(no_words_are_no_flags),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
