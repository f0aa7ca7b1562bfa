/* SPDX-License-Identifier: Apache-2.0 */
/* The real program on a real disk that is full, or read-only. Needs root for a mount of its own; else
 * skipped. */
#include "tests/unit/program.h"

#include <sched.h>
#include <sys/mount.h>

static struct program p;

/* A store whose state folder is a disk of this many KiB. */
static void start_on_disk(unsigned kib)
{
        char options[64];

        program_folders(&p);
        snprintf(options, sizeof(options), "size=%uk,mode=0700", kib);
        assert_int_equal(mount("tmpfs", p.state, "tmpfs", 0, options), 0);
        program_start(&p);
        assert_admin(&p, KB_E_OK, "store", "init", "");
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "acknowledged");
}

static int stop(void **state)
{
        program_stop(&p, SIGTERM);
        umount2(p.state, MNT_DETACH);
        return 0;
}

/* Fills the disk to its last byte. */
static void fill(void)
{
        static const char block[4096];
        char path[256];
        int fd;

        snprintf(path, sizeof(path), "%s/filler", p.state);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0);
        while (write(fd, block, sizeof(block)) > 0)
                ;
        close(fd);
}

static void make_room(void)
{
        char path[256];

        snprintf(path, sizeof(path), "%s/filler", p.state);
        assert_int_equal(unlink(path), 0);
}

/* Secrets of some size, until one is refused; the error. */
static uint32_t write_until_refused(void)
{
        static char value[30000];

        memset(value, 'v', sizeof(value) - 1);
        for (unsigned i = 0; i < 100; i++) {
                _cleanup_call_ struct kb_call call = {};
                char path[16];

                snprintf(path, sizeof(path), "big%u", i);
                if (admin_ask(&p, &call, NULL, "secret", "put", path, "field.x", value, NULL) != KB_E_OK) {
                        assert_non_null(strstr(call.text, "full"));
                        return call.status;
                }
        }
        return KB_E_OK;
}

static void a_full_disk_is_named_and_nothing_is_lost(void **state)
{
        start_on_disk(2048);
        fill();
        assert_int_equal(write_until_refused(), KB_E_STORAGE);
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
        make_room();
        assert_admin(&p, KB_E_OK, "secret", "put", "b", "field.x", "y");
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
}

static void a_read_only_disk_is_named_and_cured_without_a_restart(void **state)
{
        _cleanup_call_ struct kb_call call = {};

        start_on_disk(4096);
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        assert_int_equal(mount("", p.state, "", MS_REMOUNT | MS_RDONLY, ""), 0);
        program_start(&p);
        assert_int_equal(admin_ask(&p, &call, NULL, "secret", "get", "a", NULL), KB_E_STORAGE);
        assert_non_null(strstr(call.text, "read-only"));
        assert_int_equal(mount("", p.state, "", MS_REMOUNT, ""), 0);
        usleep(1100 * 1000); /* it is tried again once a second */
        assert_admin(&p, KB_E_SEALED, "secret", "get", "a");
}

static int own_mounts(void **state)
{
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("", "/", "", MS_REC | MS_PRIVATE, "") < 0)
                exit(77);
        return test_folder_make(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(a_full_disk_is_named_and_nothing_is_lost, stop),
                cmocka_unit_test_teardown(a_read_only_disk_is_named_and_cured_without_a_restart, stop),
        };

        return cmocka_run_group_tests_name("store-disk", tests, own_mounts, test_folder_remove);
}
