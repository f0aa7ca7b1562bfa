/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery codes: each opens once, however it is typed. */
#include "tests/unit/test.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "helper/broker/recovery.h"

static struct kb_recovery recovery;
static char codes[KB_RECOVERY_MAX][KB_RECOVERY_CODE_SIZE];

static bool use(const char *typed)
{
        return kb_recovery_use(&recovery, KB_SPAN_STRING(typed));
}

static void each_code_opens_once(void **state)
{
        assert_ok(kb_recovery_make(&recovery, KB_RECOVERY_MAX, codes));
        for (unsigned i = 0; i < KB_RECOVERY_MAX; i++) {
                assert_int_equal(strlen(codes[i]), KB_RECOVERY_CODE_SIZE - 1);
                assert_true(use(codes[i]));
                assert_false(use(codes[i]));
                assert_int_equal(recovery.n, KB_RECOVERY_MAX - 1 - i);
        }
}

static void new_codes_make_the_old_ones_void(void **state)
{
        char old[KB_RECOVERY_CODE_SIZE];

        assert_ok(kb_recovery_make(&recovery, 2, codes));
        memcpy(old, codes[0], sizeof(old));
        assert_ok(kb_recovery_make(&recovery, 1, codes));
        assert_false(use(old));
        assert_true(use(codes[0]));
}

static void a_code_may_be_typed_as_people_type(void **state)
{
        char typed[3 * KB_RECOVERY_CODE_SIZE];

        for (unsigned way = 0; way < 4; way++) {
                size_t n = 0;

                assert_ok(kb_recovery_make(&recovery, 1, codes));
                for (const char *p = codes[0]; *p; p++) {
                        char c = *p;

                        if (way == 0 && c == '-')
                                continue;
                        if (way == 1)
                                typed[n++] = ' ';
                        if (way == 2)
                                c = (char)tolower(c);
                        if (way == 3 && (c == '0' || c == '1'))
                                c = c == '0' ? 'o' : 'l';
                        typed[n++] = c;
                }
                typed[n] = '\0';
                assert_true(use(typed));
        }
}

static void what_is_no_code_opens_nothing(void **state)
{
        static const char *const table[] = {
                "", "-", "password", "00000-00000-00000-00000-00000", "00000-00000-00000-00000-0000U",
        };
        char longer[KB_RECOVERY_CODE_SIZE + 1];

        assert_ok(kb_recovery_make(&recovery, 3, codes));
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                assert_false(use(table[i]));
        snprintf(longer, sizeof(longer), "%s0", codes[0]);
        assert_false(use(longer));
        assert_false(kb_recovery_use(&recovery, KB_SPAN(codes[0], KB_RECOVERY_CODE_SIZE - 2)));
        assert_false(
                kb_recovery_use(&recovery, KB_SPAN(codes[0], KB_RECOVERY_CODE_SIZE))); /* with its NUL */
        assert_int_equal(recovery.n, 3);
        assert_true(use(codes[2]));
}

static void a_number_out_of_range_changes_nothing(void **state)
{
        assert_ok(kb_recovery_make(&recovery, 1, codes));
        assert_int_equal(kb_recovery_make(&recovery, 0, codes), -EINVAL);
        assert_int_equal(kb_recovery_make(&recovery, KB_RECOVERY_MAX + 1, codes), -EINVAL);
        assert_true(use(codes[0]));
}

static void only_hashes_are_kept_and_they_come_back(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);
        struct kb_recovery read = {.n = 7};

        assert_ok(kb_recovery_make(&recovery, 3, codes));
        kb_recovery_put(&recovery, &w);
        assert_ok(kb_writer_end(&w));
        assert_null(memmem(w.data, w.size, codes[0], 5));
        for (size_t cut = 0; cut < w.size; cut++)
                assert_int_equal(kb_recovery_get(KB_SPAN(w.data, cut), &read), -EBADMSG);
        assert_int_equal(read.n, 7);
        assert_ok(kb_recovery_get(KB_SPAN(w.data, w.size), &read));
        assert_true(kb_recovery_use(&read, KB_SPAN_STRING(codes[1])));
        assert_int_equal(read.used, 1);
        w.data[0] ^= 0xff; /* the format */
        assert_int_equal(kb_recovery_get(KB_SPAN(w.data, w.size), &read), -EBADMSG);
}

static void a_use_is_remembered_until_there_are_new_codes(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);
        struct kb_recovery read;

        assert_ok(kb_recovery_make(&recovery, 3, codes));
        assert_false(use("no code"));
        assert_int_equal(recovery.used, 0);
        assert_true(use(codes[0]) && use(codes[2]));
        kb_recovery_put(&recovery, &w);
        assert_ok(kb_writer_end(&w));
        assert_ok(kb_recovery_get(KB_SPAN(w.data, w.size), &read));
        assert_int_equal(read.used, 2);
        assert_ok(kb_recovery_make(&recovery, 3, codes));
        assert_int_equal(recovery.used, 0);
}

/* What the first format had: no uses. */
static void codes_of_an_older_broker_hold(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);
        struct kb_recovery read;

        assert_ok(kb_recovery_make(&recovery, 1, codes));
        kb_write_u32(&w, 1);
        kb_write_u32(&w, 1);
        kb_write_bytes(&w, KB_SPAN(recovery.hashes[0], 32), 32);
        assert_ok(kb_writer_end(&w));
        assert_ok(kb_recovery_get(KB_SPAN(w.data, w.size), &read));
        assert_int_equal(read.used, 0);
        assert_true(kb_recovery_use(&read, KB_SPAN_STRING(codes[0])));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_code_opens_once),
                cmocka_unit_test(new_codes_make_the_old_ones_void),
                cmocka_unit_test(a_code_may_be_typed_as_people_type),
                cmocka_unit_test(what_is_no_code_opens_nothing),
                cmocka_unit_test(a_number_out_of_range_changes_nothing),
                cmocka_unit_test(a_use_is_remembered_until_there_are_new_codes),
                cmocka_unit_test(codes_of_an_older_broker_hold),
                cmocka_unit_test(only_hashes_are_kept_and_they_come_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
