/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what an administrator can have the local store do, and the manual about it. */
#include "tests/unit/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/names.h"
#include "helper/store/local/admin.h"

static char *read_page(void)
{
        static char page[65536];
        const char *srcdir = getenv("top_srcdir");
        char path[1024];
        FILE *f;

        snprintf(path, sizeof(path), "%s/man/keybearer-store-local.8", srcdir ? srcdir : ".");
        f = fopen(path, "r");
        assert_non_null(f);
        page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
        fclose(f);
        return page;
}

/* Where a word stands by itself; NULL: nowhere. */
static const char *find_word(const char *text, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = text; (at = strstr(at, word)); at++)
                if ((at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != '-')) &&
                    !isalnum((unsigned char)at[n]) && at[n] != '-')
                        return at;
        return NULL;
}

/* The section of the page about an object: from its .Ss to the next. */
static char *section_of(char *page, const char *object)
{
        static char section[16384];
        char heading[64];
        char *begin, *end;

        snprintf(heading, sizeof(heading), "\n.Ss %s\n", object);
        begin = strstr(page, heading);
        if (!begin)
                fail_msg("the manual has no section %s", object);
        end = strstr(begin + 1, "\n.Ss ");
        if (!end)
                end = strstr(begin + 1, "\n.Sh ");
        assert_non_null(end);
        snprintf(section, sizeof(section), "%.*s", (int)(end - begin), begin);
        return section;
}

static void the_manual_names_every_action_and_every_field(void **state)
{
        char *page = read_page();

        for (size_t i = 0; i < kb_admin_rows_size; i++) {
                const struct kb_admin_row *row = &kb_admin_rows[i];
                char *section = section_of(page, row->object);
                const char *word = row->fields;
                char field[64];

                if (!find_word(section, row->action))
                        fail_msg("%s %s is not in the manual", row->object, row->action);
                while (*word) {
                        size_t n = strcspn(word, " ");
                        size_t bare = strcspn(word, " !*");

                        snprintf(field, sizeof(field), "%.*s", (int)bare, word);
                        if (!strstr(strcmp(field, "after") == 0 ? page : section, field))
                                fail_msg("%s %s: %s is not in the manual", row->object, row->action, field);
                        word += n + strspn(word + n, " ");
                }
        }
}

static void every_row_is_whole_and_stands_once(void **state)
{
        for (size_t i = 0; i < kb_admin_rows_size; i++) {
                const struct kb_admin_row *row = &kb_admin_rows[i];

                assert_true(kb_name_word_valid(row->object) && kb_name_word_valid(row->action));
                assert_true(row->prose[0] && row->states != 0);
                assert_true(!row->finish != !row->long_work);
                assert_true(!row->work || row->begin);
                for (size_t k = 0; k < i; k++)
                        assert_false(strcmp(kb_admin_rows[k].object, row->object) == 0 &&
                                     strcmp(kb_admin_rows[k].action, row->action) == 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_manual_names_every_action_and_every_field),
                cmocka_unit_test(every_row_is_whole_and_stands_once),
        };

        return cmocka_run_group_tests_name("store-admin", tests, NULL, NULL);
}
