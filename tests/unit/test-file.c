/* SPDX-License-Identifier: Apache-2.0 */
/* Small files: replaced as a whole or not at all, and read only when they are what they should be. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/file.h"

static char folder[64];
static int folder_fd;

static int set_up(void **state)
{
        strcpy(folder, "/tmp/kb-file-XXXXXX");
        assert_non_null(mkdtemp(folder));
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return folder_fd < 0;
}

static int tear_down(void **state)
{
        static const char *const names[] = {"f", "f.new", "link", "fifo"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++)
                unlinkat(folder_fd, names[i], 0);
        close(folder_fd);
        return rmdir(folder);
}

static void put(const char *content)
{
        assert_ok(kb_file_write_at(folder_fd, "f", KB_SPAN_STRING(content), 0640));
}

static void assert_content(const char *expected)
{
        _cleanup_secret_ uint8_t *data = NULL;
        size_t size;

        assert_ok(kb_file_read_at(folder_fd, "f", 100, &data, &size));
        assert_int_equal(size, strlen(expected));
        assert_string_equal((char *)data, expected);
}

static void what_is_written_is_read_and_replaced(void **state)
{
        struct stat st;

        put("old");
        assert_content("old");
        put("newer");
        assert_content("newer");
        put("");
        assert_content("");
        assert_int_equal(fstatat(folder_fd, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
}

static void what_a_crash_left_behind_is_replaced(void **state)
{
        int fd = openat(folder_fd, "f.new", O_WRONLY | O_CREAT, 0600);

        assert_ok(fd);
        close(fd);
        put("whole");
        assert_content("whole");
        assert_int_equal(faccessat(folder_fd, "f.new", F_OK, 0), -1);
}

static void a_failure_leaves_the_old_one(void **state)
{
        put("old");
        assert_int_equal(mkdirat(folder_fd, "f.new", 0700), 0);
        assert_true(kb_file_write_at(folder_fd, "f", KB_SPAN_STRING("new"), 0600) < 0);
        assert_content("old");
        assert_int_equal(unlinkat(folder_fd, "f.new", AT_REMOVEDIR), 0);
}

static void what_is_no_file_is_not_read(void **state)
{
        static const struct {
                const char *name;
                int expected;
        } table[] = {{"nothing", -ENOENT}, {"link", -ELOOP}, {"fifo", -EINVAL}, {"f", -EFBIG}};
        uint8_t *data = NULL;
        size_t size;

        put("four");
        assert_int_equal(symlinkat("f", folder_fd, "link"), 0);
        assert_int_equal(mkfifoat(folder_fd, "fifo", 0600), 0);
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                assert_int_equal(kb_file_read_at(folder_fd, table[i].name, 3, &data, &size),
                                 table[i].expected);
        assert_null(data);
}

static void a_file_of_another_size_is_not_what_was_wanted(void **state)
{
        char four[4] = "....";

        put("four");
        assert_ok(kb_file_read_exactly_at(folder_fd, "f", four, 4));
        assert_memory_equal(four, "four", 4);
        memcpy(four, "....", 4);
        put("five!");
        assert_int_equal(kb_file_read_exactly_at(folder_fd, "f", four, 4), -EBADMSG);
        put("one");
        assert_int_equal(kb_file_read_exactly_at(folder_fd, "f", four, 4), -EBADMSG);
        put("");
        assert_int_equal(kb_file_read_exactly_at(folder_fd, "f", four, 4), -EBADMSG);
        assert_int_equal(kb_file_read_exactly_at(folder_fd, "nothing", four, 4), -ENOENT);
        assert_memory_equal(four, "....", 4);
}

/* A pipe takes 64 KiB at once: the rest goes as it is read. */
static void all_of_it_is_written(void **state)
{
        static uint8_t out[300000], in[sizeof(out)];
        size_t n = 0;
        int fds[2];
        pid_t child;

        memset(out, 'x', sizeof(out));
        assert_int_equal(pipe(fds), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                _exit(kb_file_write_all(fds[1], KB_SPAN(out, sizeof(out))) < 0);
        close(fds[1]);
        for (ssize_t k; (k = read(fds[0], in + n, sizeof(in) - n)) > 0;)
                n += (size_t)k;
        assert_int_equal(n, sizeof(out));
        assert_memory_equal(in, out, n);
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(fds[0]);
}

static void a_full_disk_is_an_error(void **state)
{
        _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

        if (full < 0)
                skip();
        assert_int_equal(kb_file_write_all(full, KB_SPAN_STRING("x")), -ENOSPC);
        assert_int_equal(kb_file_pwrite_all(full, KB_SPAN_STRING("x"), 5), -ENOSPC);
        assert_int_equal(kb_file_write_all(full, KB_SPAN("", 0)), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(what_is_written_is_read_and_replaced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_a_crash_left_behind_is_replaced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_failure_leaves_the_old_one, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_is_no_file_is_not_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_file_of_another_size_is_not_what_was_wanted, set_up,
                                                tear_down),
                cmocka_unit_test(all_of_it_is_written),
                cmocka_unit_test(a_full_disk_is_an_error),
        };

        return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
