/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a secret: what a store may answer, and what the consumer then has. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/fields.h"

/* A list of count elements, as a store that does what it likes would send it. */
struct answer {
        struct kb_list_builder builder;
        struct kb_list list;
};

static struct answer answer_of(const char *const elements[])
{
        struct answer a = {.builder = kb_list_builder_init(4096)};

        for (size_t i = 0; elements[i]; i++)
                kb_list_add_string(&a.builder, elements[i]);
        a.list = kb_list_built(&a.builder);
        return a;
}

static void an_answer_that_makes_no_sense_is_refused_with_its_cause(void **state)
{
        static const struct {
                const char *elements[6];
                const char *cause;
        } table[] = {
                {{NULL}, "no fields"},
                {{"a"}, "no fields"},
                {{"a", "1", "b"}, "no fields"},
                {{"a", "1", "a", "2"}, "the field a comes twice"},
                {{"../a", "1"}, "name that is not allowed"},
                {{"", "1"}, "name that is not allowed"},
                {{"a.b", "1"}, "name that is not allowed"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct answer a = answer_of(table[i].elements);
                struct kb_fields *fields = NULL;
                struct kb_fields_problem problem = {""};

                assert_int_equal(kb_fields_new(a.list, NULL, 0, &fields, &problem), -EBADMSG);
                assert_null(fields);
                if (!strstr(problem.text, table[i].cause))
                        fail_msg("row %zu says: %s", i, problem.text);
                kb_list_builder_done(&a.builder);
        }
}

static void a_name_with_a_nul_inside_is_no_name(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1024);
        struct kb_fields *fields = NULL;

        kb_list_add(&b, KB_SPAN("a\0b", 3));
        kb_list_add(&b, KB_SPAN("value", 5));
        assert_int_equal(kb_fields_new(kb_list_built(&b), NULL, 0, &fields, NULL), -EBADMSG);
        assert_null(fields);
}

static void too_many_and_too_long_are_refused(void **state)
{
        _cleanup_list_ struct kb_list_builder many = kb_list_builder_init(65536);
        _cleanup_list_ struct kb_list_builder large = kb_list_builder_init(3 * KB_FIELD_SIZE_MAX);
        _cleanup_secret_ uint8_t *value = kb_secret_alloc(KB_FIELD_SIZE_MAX + 1);
        _cleanup_fields_ struct kb_fields *fields = NULL;
        char name[16];

        for (unsigned i = 0; i < KB_FIELDS_MAX; i++) {
                snprintf(name, sizeof(name), "f%u", i);
                kb_list_add_text(&many, name, "x");
        }
        assert_ok(kb_fields_new(kb_list_built(&many), NULL, 0, &fields, NULL));
        assert_int_equal(fields->count, KB_FIELDS_MAX);
        kb_list_add_text(&many, "one-more", "x");
        assert_int_equal(kb_fields_new(kb_list_built(&many), NULL, 0, &fields, NULL), -EBADMSG);
        kb_list_add_pair(&large, "a", KB_SPAN(value, KB_FIELD_SIZE_MAX + 1));
        assert_int_equal(kb_fields_new(kb_list_built(&large), NULL, 0, &fields, NULL), -EMSGSIZE);
}

static void a_map_names_what_the_unit_gets_and_nothing_else(void **state)
{
        static const struct kb_field_map map[] = {
                {"user", "username"}, {"again", "username"}, {"pass", "password"}};
        static const struct kb_field_map invalid[] = {{"a.b", "username"}};
        static const struct kb_field_map wrong[] = {{"user", "username"}, {"x", "missing"}};
        struct answer a =
                answer_of((const char *const[]){"password", "p", "username", "u", "spare", "s", NULL});
        _cleanup_fields_ struct kb_fields *fields = NULL;
        struct kb_fields_problem problem;
        struct kb_fields *none = NULL;
        char names[64], cut[8];

        assert_ok(kb_fields_new(a.list, map, KB_ARRAY_SIZE(map), &fields, NULL));
        kb_fields_names(fields, names, sizeof(names));
        assert_string_equal(names, "again, pass, user");
        kb_fields_names(fields, cut, sizeof(cut));
        assert_string_equal(cut, "again, ");
        assert_string_equal((const char *)kb_fields_find(fields, "user")->value.data, "u");
        assert_null(kb_fields_find(fields, "spare"));
        assert_int_equal(kb_fields_new(a.list, wrong, KB_ARRAY_SIZE(wrong), &none, &problem), -ENOENT);
        assert_string_equal(problem.text, "the secret has no field missing, which Field.x= asks for");
        assert_int_equal(kb_fields_new(a.list, invalid, KB_ARRAY_SIZE(invalid), &none, &problem), -EBADMSG);
        assert_null(none);
        kb_list_builder_done(&a.builder);
}

static void any_bytes_can_be_a_value(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1024);
        _cleanup_fields_ struct kb_fields *fields = NULL;

        kb_list_add_pair(&b, "empty", KB_SPAN("", 0));
        kb_list_add_pair(&b, "binary", KB_SPAN("\0\xff\n", 3));
        assert_ok(kb_fields_new(kb_list_built(&b), NULL, 0, &fields, NULL));
        assert_int_equal(kb_fields_find(fields, "empty")->value.size, 0);
        assert_true(kb_secret_equal(kb_fields_find(fields, "binary")->value, KB_SPAN("\0\xff\n", 3)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_that_makes_no_sense_is_refused_with_its_cause),
                cmocka_unit_test(a_name_with_a_nul_inside_is_no_name),
                cmocka_unit_test(too_many_and_too_long_are_refused),
                cmocka_unit_test(a_map_names_what_the_unit_gets_and_nothing_else),
                cmocka_unit_test(any_bytes_can_be_a_value),
        };

        return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
