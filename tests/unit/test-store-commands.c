/* SPDX-License-Identifier: Apache-2.0 */
/* What keybearer offers to have a store do, and what the local store can do, are the same. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "cli/cli.h"
#include "helper/store/local/admin.h"

static const struct cli_command *find_command(const char *object, const char *action)
{
        for (size_t i = 0; i < cli_n_commands; i++)
                if (strcmp(cli_commands[i].object, object) == 0 &&
                    strcmp(cli_commands[i].action, action) == 0)
                        return &cli_commands[i];
        return NULL;
}

static const struct kb_admin_row *find_row(const char *object, const char *action)
{
        for (size_t i = 0; i < kb_admin_rows_size; i++)
                if (strcmp(kb_admin_rows[i].object, object) == 0 &&
                    strcmp(kb_admin_rows[i].action, action) == 0)
                        return &kb_admin_rows[i];
        return NULL;
}

/* Whether a list of words has this one, whatever mark it bears: "!secret:kind=passphrase", "kind!". */
static bool has_word(const char *words, const char *word, size_t n)
{
        for (const char *at = words; *at;) {
                size_t m, whole = strcspn(at, " ");

                const char *bare = at + (*at == '!' || *at == '=');

                m = strcspn(bare, " !:");
                if (m == n && memcmp(bare, word, n) == 0)
                        return true;
                at += whole;
                at += strspn(at, " ");
        }
        return false;
}

static void all_words_are_in(const char *what, const char *words, const char *in)
{
        for (const char *at = words; *at;) {
                size_t whole = strcspn(at, " ");
                const char *word = at + (*at == '!' || *at == '=');
                size_t n = strcspn(word, " !:");

                if (!has_word(in, word, n))
                        fail_msg("%s: %.*s is known on one side only", what, (int)n, word);
                at += whole;
                at += strspn(at, " ");
        }
}

/* "NAME ...", "[NAME]"; not "[KEY=VALUE]" alone. */
static bool takes_name(const char *arguments)
{
        return arguments[0] && arguments[strcspn(arguments, " =")] != '=';
}

static void what_is_offered_can_be_done_with_the_same_fields(void **state)
{
        for (size_t i = 0; i < cli_n_commands; i++) {
                const struct cli_command *c = &cli_commands[i];
                const struct kb_admin_row *row = find_row(c->object, c->action);
                char what[128];

                if (c->run != cli_run_admin)
                        continue;
                snprintf(what, sizeof(what), "%s %s", c->object, c->action);
                if (!row)
                        fail_msg("the local store has no %s", what);
                all_words_are_in(what, c->fields, row->fields);
                all_words_are_in(what, row->fields, c->fields);
                assert_int_equal(*row->name != '\0', takes_name(c->arguments));
        }
}

static void what_can_be_done_is_offered(void **state)
{
        for (size_t i = 0; i < kb_admin_rows_size; i++) {
                const struct kb_admin_row *row = &kb_admin_rows[i];

                if (strcmp(row->object, "store") == 0 &&
                    (strcmp(row->action, "init") == 0 || strcmp(row->action, "restore-part") == 0))
                        continue; /* `keybearer setup` does the one, `store restore` the other */
                if (!find_command(row->object, row->action))
                        fail_msg("keybearer has no %s %s", row->object, row->action);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_offered_can_be_done_with_the_same_fields),
                cmocka_unit_test(what_can_be_done_is_offered),
        };

        return cmocka_run_group_tests_name("store-commands", tests, NULL, NULL);
}
