/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's disk: a slow one holds nobody up, the newest content is what it gets, and failures heal. */
#include "tests/unit/folder.h"
#include "tests/unit/memory.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/file.h"
#include "helper/broker/disk.h"
#include "helper/server/pool.h"

/* --- a pool that takes nothing more --- */

static bool pool_is_full;

int __real_kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline);
int __wrap_kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline);
int __wrap_kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline)
{
        return pool_is_full ? -EAGAIN : __real_kb_pool_submit(p, job, now, deadline);
}

static sd_event *event;
static struct kb_disk *disk;

static int set_up(void **state)
{
        assert_ok(sd_event_new(&event));
        assert_ok(kb_disk_new(&disk, event));
        assert_int_equal(mkdir(in_folder("d"), 0700), 0);
        return 0;
}

static int tear_down(void **state)
{
        kb_disk_free(disk);
        sd_event_unref(event);
        return nftw(in_folder("d"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- a disk that takes its time: a job that sits in the thread until it is let go --- */

static int gate[2];

static int sit(void *userdata)
{
        char c;

        return (int)read(gate[0], &c, 1);
}

static void on_end(int r, void *userdata)
{
        *(int *)userdata = r;
}

static void slow_down(int *ret_ended)
{
        *ret_ended = 0;
        assert_int_equal(pipe(gate), 0);
        assert_ok(kb_disk_run(disk, sit, on_end, ret_ended));
}

static void let_go(void)
{
        assert_int_equal(write(gate[1], "x", 1), 1);
        kb_disk_drain(disk);
        close(gate[0]);
        close(gate[1]);
}

/* --- files --- */

static int results[8];
static unsigned n_results;

static void on_written(int r, void *userdata)
{
        results[n_results++ % KB_ARRAY_SIZE(results)] = r;
}

static void put(const char *name, const char *content, bool once)
{
        kb_disk_write(disk,
                      &(struct kb_disk_file){.folder = in_folder("d"),
                                             .name = name,
                                             .mode = 0640,
                                             .content = KB_SPAN_STRING(content),
                                             .once = once},
                      on_written, NULL);
}

static void assert_has(const char *name, const char *expected)
{
        _cleanup_close_ int folder = open(in_folder("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_secret_ uint8_t *data = NULL;
        size_t size;

        assert_ok(kb_file_read_at(folder, name, 100, &data, &size));
        assert_string_equal((char *)data, expected);
}

static ino_t inode_of(const char *name)
{
        char path[64];
        struct stat st;

        snprintf(path, sizeof(path), "d/%s", name);
        assert_int_equal(stat(in_folder(path), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        return st.st_ino;
}

static void a_slow_disk_does_not_hold_up_the_loop(void **state)
{
        int ended;

        n_results = 0;
        slow_down(&ended);
        put("f", "content", false); /* would not return if it were written here */
        assert_ok(sd_event_run(event, 0));
        assert_int_equal(n_results, 0);
        assert_int_equal(access(in_folder("d/f"), F_OK), -1);
        assert_false(kb_disk_idle(disk));
        let_go();
        assert_int_equal(ended, 1);
        assert_int_equal(n_results, 1);
        assert_int_equal(results[0], 0);
        assert_has("f", "content");
        assert_true(kb_disk_idle(disk));
}

static void those_who_wait_together_share_one_write_of_the_newest(void **state)
{
        ino_t first;
        int ended;

        n_results = 0;
        slow_down(&ended);
        put("f", "one", false); /* begun, as far as the loop can tell */
        put("f", "two", false);
        put("f", "three", false);
        put("g", "other", false);
        let_go();
        assert_int_equal(n_results, 4);
        assert_has("f", "three");
        assert_has("g", "other");
        first = inode_of("f");
        put("f", "three", false); /* there already */
        assert_int_equal(n_results, 5);
        assert_int_equal(inode_of("f"), first);
        put("f", "four", false);
        kb_disk_drain(disk);
        assert_has("f", "four");
        for (unsigned i = 0; i < n_results; i++)
                assert_int_equal(results[i], 0);
}

/* The name is a folder that is not empty: rename(2) fails. */
static void break_file(void)
{
        assert_int_equal(mkdir(in_folder("d/f"), 0700), 0);
        assert_int_equal(mkdir(in_folder("d/f/x"), 0700), 0);
}

static void mend_file(void)
{
        assert_int_equal(rmdir(in_folder("d/f/x")), 0);
        assert_int_equal(rmdir(in_folder("d/f")), 0);
}

static void run_until(unsigned n)
{
        uint64_t end = kb_now_monotonic() + 60 * KB_USEC_PER_SEC;

        while (n_results < n && kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        assert_true(n_results >= n);
}

static void what_failed_is_written_on_the_way_out_at_the_latest(void **state)
{
        n_results = 0;
        break_file();
        put("f", "precious", false);
        run_until(1);
        assert_true(results[0] < 0);
        mend_file();
        kb_disk_drain(disk);
        assert_has("f", "precious");
}

static void what_failed_is_tried_again_by_itself(void **state)
{
        uint64_t end = kb_now_monotonic() + 60 * KB_USEC_PER_SEC;

        n_results = 0;
        break_file();
        put("f", "precious", false);
        run_until(1);
        mend_file();
        while (access(in_folder("d/f"), F_OK) < 0 && kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        assert_has("f", "precious");
}

static void something_newer_replaces_what_failed(void **state)
{
        n_results = 0;
        break_file();
        put("f", "old", false);
        run_until(1);
        mend_file();
        put("f", "new", false);
        run_until(2);
        assert_int_equal(results[1], 0);
        assert_has("f", "new");
        kb_disk_drain(disk);
        assert_has("f", "new");
}

static void what_is_taken_back_is_not_tried_again(void **state)
{
        n_results = 0;
        break_file();
        put("f", "taken back", true);
        run_until(1);
        assert_true(results[0] < 0);
        mend_file();
        kb_disk_drain(disk);
        assert_int_equal(access(in_folder("d/f"), F_OK), -1);
        assert_int_equal(n_results, 1);
}

static void a_folder_that_is_missing_is_an_error_and_no_end(void **state)
{
        n_results = 0;
        kb_disk_write(disk,
                      &(struct kb_disk_file){
                              .folder = in_folder("none"), .name = "f", .content = KB_SPAN_STRING("x")},
                      on_written, NULL);
        kb_disk_write(disk,
                      &(struct kb_disk_file){
                              .folder = in_folder("none"), .name = "g", .content = KB_SPAN_STRING("x")},
                      NULL, NULL);
        run_until(1);
        assert_int_equal(results[0], -ENOENT);
}

static void what_the_thread_cannot_take_is_tried_again(void **state)
{
        n_results = 0;
        pool_is_full = true;
        put("f", "content", false);
        assert_int_equal(n_results, 1);
        assert_int_equal(results[0], -EAGAIN);
        assert_int_equal(kb_disk_run(disk, sit, on_end, NULL), -EAGAIN);
        pool_is_full = false;
        kb_disk_drain(disk);
        assert_has("f", "content");
}

/* Each allocation fails once: whoever waits hears of it, once, and the disk goes on. */
static void without_memory_whoever_waits_is_told(void **state)
{
        bool failed = true;

        for (int i = 1; failed; i++) {
                char name[16];

                snprintf(name, sizeof(name), "f%d", i);
                n_results = 0;
                memory_left = i;
                put(name, "content", false);
                failed = memory_left == 0;
                memory_left = 0;
                kb_disk_drain(disk);
                assert_int_equal(n_results, 1);
                assert_true(results[0] == 0 || (failed && results[0] < 0));
                put(name, "content", false);
                kb_disk_drain(disk);
                assert_has(name, "content");
                assert_true(i < 100);
        }
        memory_left = 1;
        kb_disk_write(disk,
                      &(struct kb_disk_file){
                              .folder = in_folder("d"), .name = "unheard", .content = KB_SPAN_STRING("x")},
                      NULL, NULL);
        memory_left = 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_slow_disk_does_not_hold_up_the_loop),
                TEST(those_who_wait_together_share_one_write_of_the_newest),
                TEST(what_failed_is_written_on_the_way_out_at_the_latest),
                TEST(what_failed_is_tried_again_by_itself),
                TEST(something_newer_replaces_what_failed),
                TEST(what_is_taken_back_is_not_tried_again),
                TEST(a_folder_that_is_missing_is_an_error_and_no_end),
                TEST(what_the_thread_cannot_take_is_tried_again),
                TEST(without_memory_whoever_waits_is_told),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
