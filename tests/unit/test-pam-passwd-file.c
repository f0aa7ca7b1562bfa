/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in /etc/passwd, read without the name service. */
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "pam_module/passwd_file.h"

static const char *with(const char *content)
{
        const char *path = in_folder("passwd");
        _cleanup_fclose_ FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fputs(content, f) >= 0);
        return path;
}

static void a_name_is_found_where_glibc_would_find_it(void **state)
{
        static const struct {
                const char *content, *name;
                int expected;
        } table[] = {
                {"", "root", 0},
                {"root:x:0:0::/root:/bin/sh\n", "root", 1},
                {"root:x:0:0::/root:/bin/sh\n", "roo", 0},
                {"root:x:0:0::/root:/bin/sh\n", "root:x", -EINVAL},
                {"root:x:0:0::/root:/bin/sh\n", "oot", 0},
                {"root:x:0:0::/root:/bin/sh\n", "x", 0},
                {"root:x:0:0::/root:/bin/sh\n", "", -EINVAL},
                {"daemon:x:1:1:root:root:root\nroot:x:0:0:::", "root", 1},
                {"daemon:x:1:1:root:root:root\nroo:x:0:0:::", "root", 0},
                {"\n\n  \troot:x:0:0:::\n", "root", 1},
                {"r oot:x:0:0:::\n", "root", 0},
                {"#root:x:0:0:::\n", "root", 0},
                {"roott:x:0:0:::\n", "root", 0},
                {"root", "root", 0},
                {"root\n:x\n", "root", 0},
                {"rootroot:x:0:0:::\n", "root", 0},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                assert_int_equal(kb_passwd_file_has(with(table[i].content), table[i].name),
                                 table[i].expected);
}

/* The reader's buffer is 4096 bytes: a name may lie across its end. */
static void a_name_is_found_at_any_place(void **state)
{
        for (size_t before = 4080; before < 4110; before++) {
                char content[8192] = "";

                memset(content, 'x', before);
                strcat(content, "\nroot:x:0:0:::\n");
                assert_int_equal(kb_passwd_file_has(with(content), "root"), 1);
                assert_int_equal(kb_passwd_file_has(with(content), "rootx"), 0);
        }
}

static void what_is_no_file_is_an_error(void **state)
{
        const char *fifo = in_folder("fifo"), *huge = in_folder("huge");

        assert_int_equal(kb_passwd_file_has(in_folder("missing"), "root"), -ENOENT);
        assert_int_equal(kb_passwd_file_has(test_folder, "root"), -EBADF);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        assert_int_equal(kb_passwd_file_has(fifo, "root"), -EBADF);
        assert_int_equal(kb_passwd_file_has("/dev/zero", "root"), -EBADF);
        with("");
        assert_int_equal(rename(in_folder("passwd"), huge), 0);
        assert_int_equal(truncate(huge, (64 << 20) + 1), 0);
        assert_int_equal(kb_passwd_file_has(huge, "root"), -EFBIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_name_is_found_where_glibc_would_find_it),
                cmocka_unit_test(a_name_is_found_at_any_place),
                cmocka_unit_test(what_is_no_file_is_an_error),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
