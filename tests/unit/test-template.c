/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: a table of what is written, and what is refused. */
#include "tests/unit/test.h"

#include <errno.h>

#include "helper/config/template.h"
#include "helper/grant/template.h"
#include "tests/unit/fields.h"

static const struct {
        const char *template;
        const char *expected; /* NULL: refused */
        int error;            /* when it is written */
        const char *cause;
} table[] = {
        {"", ""},
        {"plain } text {", "plain } text {"},
        {"{{user}}", "orders"},
        {"a{{ user }}b{{\tpass\t}}c", "aordersbp@s {{user}} \"c"},
        {"{{pass|url}}", "p%40s%20%7B%7Buser%7D%7D%20%22"},
        {"{{pass|json}}", "\"p@s {{user}} \\\"\""},
        {"{{ user | base64 }}", "b3JkZXJz"},
        {"{{{{user}}", "{{user}}"},
        {"{{{{{{user}}}}", "{{orders}}"},
        {"{{user}}}}", "orders}}"},
        {"line\n{{user", NULL, -EINVAL, "line 2 of the template: {{ without }}"},
        {"{{}}", NULL, -EINVAL, "line 1 of the template: {{ }} without the name"},
        {"{{|url}}", NULL, -EINVAL, "without the name"},
        {"{{us er}}", NULL, -EINVAL, "without the name"},
        {"{{user|rot13}}", NULL, -EINVAL, "the filter of user is not one of"},
        {"{{user|}}", NULL, -EINVAL, "the filter of user"},
        {"{{user|url|json}}", NULL, -EINVAL, "the filter of user"},
        {"{{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}", NULL, -EINVAL,
         "without the name"},
        {"{{nothing}}", NULL, -ENOENT, "wants the field nothing"},
        {"{{binary|json}}", NULL, -EILSEQ, "the field binary is not text in UTF-8"},
        {"{{binary|url}}", "%FF"},
        {"{{binary}}", "\xff"},
};

static void the_table_holds(void **state)
{
        _cleanup_fields_ struct kb_fields *fields =
                FIELDS_OF("user", "orders", "pass", "p@s {{user}} \"", "binary", "\xff");

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
                struct kb_fields_problem problem = {""};
                int r = kb_template_write(table[i].template, fields, &w, &problem);

                if (r != table[i].error || (table[i].cause && !strstr(problem.text, table[i].cause)))
                        fail_msg("%s: %d, %s", table[i].template, r, problem.text);
                if (table[i].expected &&
                    !kb_secret_equal(KB_SPAN(w.data, w.size), KB_SPAN_STRING(table[i].expected)))
                        fail_msg("%s gives %.*s", table[i].template, (int)w.size, (const char *)w.data);
        }
}

static void a_check_finds_what_needs_no_secret_to_be_found(void **state)
{
        static char user[] = "user", username[] = "username";
        struct kb_pair pair = {user, username};
        const kb_value_pairs any = {0}, named = {.pairs = &pair, .count = 1};
        struct kb_template_problem problem;

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                assert_int_equal(kb_template_check(table[i].template, &any, NULL),
                                 table[i].error == -EINVAL ? -EINVAL : 0);
        assert_ok(kb_template_check("{{user}}", &named, &problem));
        assert_int_equal(kb_template_check("\n\n{{ username }}", &named, &problem), -EINVAL);
        assert_string_equal(problem.text, "line 3 of the template: no Field.username= is given");
}

static void a_template_that_grows_too_long_is_refused(void **state)
{
        _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("user", "orders");
        _cleanup_writer_ struct kb_writer w = kb_writer_init(8);

        assert_int_equal(kb_template_write("{{user}}{{user}}", fields, &w, NULL), -EMSGSIZE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_table_holds),
                cmocka_unit_test(a_check_finds_what_needs_no_secret_to_be_found),
                cmocka_unit_test(a_template_that_grows_too_long_is_refused),
        };

        return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
