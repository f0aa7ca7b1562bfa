/* SPDX-License-Identifier: Apache-2.0 */
/* The socket names that systemd binds: a table of what is read, and what is not. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "common/macro.h"
#include "helper/grant/peername.h"

#define RANDOM  "0123456789abcdef"
#define WORD_64 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz01"
#define AT(s)   "\0" s, sizeof("\0" s) - 1

static const struct {
        const char *name;
        size_t size;
        const char *unit, *credential, *field; /* unit NULL: refused */
} table[] = {
        {AT(RANDOM "/unit/orders.service/orders-db"), "orders.service", "orders-db", ""},
        {AT(RANDOM "/unit/orders.service/orders-db.username"), "orders.service", "orders-db", "username"},
        {AT("f/unit/a@b-1.service/x.y"), "a@b-1.service", "x", "y"},
        {AT(RANDOM "/unit/a.service/" WORD_64 "." WORD_64), "a.service", WORD_64, WORD_64},
        {AT(RANDOM "/unit/a.service/" WORD_64 "2"), NULL},
        {AT(RANDOM "/unit/a.service/a." WORD_64 "2"), NULL},
        {AT(RANDOM "0/unit/a.service/a"), NULL}, /* more than a u64 */
        {AT("/unit/a.service/a"), NULL},         /* no number */
        {AT("F/unit/a.service/a"), NULL},        /* systemd writes small letters */
        {AT("1/user/a.service/a"), NULL},
        {AT("1/unit/a.service"), NULL},
        {AT("1/unit/a.service/"), NULL},
        {AT("1/unit//a"), NULL},
        {AT("1/unit/a/b"), NULL}, /* no unit without a suffix */
        {AT("1/unit/../b"), NULL},
        {AT("1/unit/a.service/a.b.c"), NULL}, /* cut at the first dot: "b.c" is no field */
        {AT("1/unit/a.service/a."), NULL},
        {AT("1/unit/a.service/.b"), NULL},
        {AT("1/unit/a.service/a/b"), NULL},
        {AT("1/unit/a.service/a\0"), NULL},
        {AT("1/unit/a.service/a.b\0"), NULL},
        {AT("1/unit/a.service\0/a"), NULL},
        {AT("1/unit/a.service/a\n"), NULL},
        {"1/unit/a.service/a", 18, NULL}, /* not in the abstract name space */
        {"", 0, NULL},
        {"\0", 1, NULL},
};

static void the_table_holds(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_peername p = {.unit = "untouched"};
                int r = kb_peername_parse(KB_SPAN(table[i].name, table[i].size), &p);

                if ((r == 0) != (table[i].unit != NULL))
                        fail_msg("row %zu: %s", i, table[i].size ? table[i].name + 1 : "");
                if (!table[i].unit) {
                        assert_int_equal(r, -EBADMSG);
                        assert_string_equal(p.unit, "untouched");
                        continue;
                }
                assert_string_equal(p.unit, table[i].unit);
                assert_string_equal(p.credential, table[i].credential);
                assert_string_equal(p.field, table[i].field);
        }
}

static void every_cut_of_a_name_is_refused_or_asks_for_less(void **state)
{
        static const char whole[] = "\0" RANDOM "/unit/orders.service/orders-db.username";
        size_t first = sizeof(RANDOM "/unit/orders.service/") + 1; /* with one byte of the credential */
        struct kb_peername p;

        for (size_t n = 0; n < first; n++)
                assert_int_equal(kb_peername_parse(KB_SPAN(whole, n), &p), -EBADMSG);
        for (size_t n = first; n < sizeof(whole) - 1; n++)
                if (kb_peername_parse(KB_SPAN(whole, n), &p) == 0)
                        assert_string_equal(p.unit, "orders.service");
}

static void a_unit_name_longer_than_systemds_is_refused(void **state)
{
        char name[600] = "\0"
                         "1/unit/";
        struct kb_peername p;

        memset(name + 8, 'a', 300);
        memcpy(name + 308, ".service/x", 10);
        assert_int_equal(kb_peername_parse(KB_SPAN(name, 318), &p), -EBADMSG);
}

static void an_id_alone_is_read_too(void **state)
{
        struct kb_peername p = {.unit = "kept"};

        assert_ok(kb_peername_parse_id(KB_SPAN_STRING("web.certificate"), &p));
        assert_string_equal(p.unit, "kept");
        assert_string_equal(p.credential, "web");
        assert_string_equal(p.field, "certificate");
        assert_int_equal(kb_peername_parse_id(KB_SPAN_STRING(""), &p), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_table_holds),
                cmocka_unit_test(every_cut_of_a_name_is_refused_or_asks_for_less),
                cmocka_unit_test(a_unit_name_longer_than_systemds_is_refused),
                cmocka_unit_test(an_id_alone_is_read_too),
        };

        return cmocka_run_group_tests_name("peername", tests, NULL, NULL);
}
