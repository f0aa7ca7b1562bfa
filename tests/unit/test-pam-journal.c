/* SPDX-License-Identifier: Apache-2.0 */
/* Text from outside cannot leave the place it has in a log line. */
#include "tests/unit/test.h"

#include "common/macro.h"
#include "pam_module/journal.h"

static void what_is_not_plain_is_escaped(void **state)
{
        static const struct {
                const char *text, *escaped;
        } table[] = {
                {NULL, ""},
                {"", ""},
                {"ana", "ana"},
                {"two words", "two words"},
                {"line\nNov 21 sshd: Accepted", "line\\x0aNov 21 sshd: Accepted"},
                {"\r\t\x1b[2J\x7f", "\\x0d\\x09\\x1b[2J\\x7f"},
                {"a\" rhost=\"b", "a\\x22 rhost=\\x22b"},
                {"back\\slash", "back\\x5cslash"},
                {"\xc3\xa4\xff", "\\xc3\\xa4\\xff"},
                {"%s%n", "%s%n"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                char buffer[KB_JOURNAL_TEXT];

                assert_string_equal(kb_journal_escape(table[i].text, buffer), table[i].escaped);
        }
}

static void what_is_too_long_is_cut_inside_the_buffer(void **state)
{
        for (size_t size = KB_JOURNAL_TEXT - 10; size < KB_JOURNAL_TEXT + 10; size++) {
                for (unsigned plain = 0; plain < 2; plain++) {
                        struct {
                                char buffer[KB_JOURNAL_TEXT];
                                char guard;
                        } out = {.guard = 'g'};
                        char text[2 * KB_JOURNAL_TEXT] = "";
                        size_t n;

                        memset(text, plain ? 'a' : '\n', size);
                        n = strlen(kb_journal_escape(text, out.buffer));
                        assert_in_range(n, KB_JOURNAL_TEXT - 10, KB_JOURNAL_TEXT - 1);
                        assert_int_equal(out.guard, 'g');
                        if (!plain || size >= KB_JOURNAL_TEXT)
                                assert_string_equal(out.buffer + n - 3, "...");
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_not_plain_is_escaped),
                cmocka_unit_test(what_is_too_long_is_cut_inside_the_buffer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
