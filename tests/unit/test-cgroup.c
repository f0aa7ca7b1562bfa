/* SPDX-License-Identifier: Apache-2.0 */
/* Which unit a process is in: the kernel's texts, and what is read from them. */
#include <limits.h>

#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>

#include "helper/broker/cgroup.h"

#define N255                                                                                                \
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"             \
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"             \
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.service"

static const struct {
        const char *text;
        const char *unit; /* NULL: cannot be told */
} table[] = {
        {"0::/system.slice/orders.service\n", "orders.service"},
        {"0::/system.slice/orders.service/.control\n", "orders.service"},
        {"0::/system.slice/system-a.slice/a@b.service/c/d\n", "a@b.service"},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", "user@1000.service"},
        {"0::/user.slice/user-1000.slice/session-2.scope\n", ""}, /* none that may ask */
        {"0::/init.scope\n", ""},
        {"0::/orders.service\n", "orders.service"},
        {"0::/system.slice/_cpu.service\n", "cpu.service"}, /* else it would be a file of the kernel's */
        {"0::/system.slice/__x.service\n", "_x.service"},
        {"0::/system.slice/orders.service/orders2.service\n", "orders.service"},
        {"9:name=systemd:/other.service\n8:pids:/x.service\n0::/a.service\n", "a.service"},
        {"0::/\n", ""},
        {"0::/system.slice\n", ""},
        {"0::/system.slice/\n", ""},
        {"0::/system.slice//orders.service\n", ""},
        {"0::/../orders.service\n", ""}, /* outside of what we see */
        {"0::/folder/orders.service\n", ""},
        {"0::/system.slice/orders\n", ""},
        {"0::/system.slice/orders.service (deleted)\n", ""},
        {"0::/.slice/orders.service\n", ""},
        {"0::/system.slice/" N255 "\n", ""},
        {"0::/system.slice/orders.service", NULL}, /* cut */
        {"0:x:/orders.service\n", NULL},
        {"10::/orders.service\n", NULL},
        {"9:name=systemd:/orders.service\n", NULL},
        {"\n", NULL},
        {"", NULL},
};

static void the_table_holds(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                char unit[KB_UNIT_NAME_MAX + 1] = "untouched";
                int r = kb_cgroup_parse(KB_SPAN(table[i].text, strlen(table[i].text)), unit);

                if (!table[i].unit) {
                        assert_int_equal(r, -ENODATA);
                        assert_string_equal(unit, "untouched");
                } else if (r != 0 || strcmp(unit, table[i].unit) != 0)
                        fail_msg("%s: %d \"%s\"", table[i].text, r, unit);
        }
}

static void a_nul_is_no_end_of_a_name(void **state)
{
        static const char text[] = "0::/system.slice/orders.service\0x\n";
        char unit[KB_UNIT_NAME_MAX + 1];

        assert_ok(kb_cgroup_parse(KB_SPAN(text, sizeof(text) - 1), unit));
        assert_string_equal(unit, "");
}

/* Wherever this runs, with whatever cgroups: both say the same of every process that stays. */
static void libsystemd_says_the_same(void **state)
{
        const pid_t pids[] = {1, getpid(), getppid()};

        for (size_t i = 0; i < KB_ARRAY_SIZE(pids); i++) {
                char ours[KB_UNIT_NAME_MAX + 1] = "";
                char *theirs = NULL;
                int r = sd_pid_get_unit(pids[i], &theirs);
                int s = kb_cgroup_unit(pids[i], ours);

                if (r >= 0 && s >= 0)
                        assert_string_equal(ours, kb_name_unit_valid(theirs) ? theirs : "");
                free(theirs);
        }
}

static void a_process_that_is_gone_is_in_no_unit(void **state)
{
        char unit[KB_UNIT_NAME_MAX + 1];
        pid_t child = fork();

        if (child == 0)
                _exit(0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(kb_cgroup_unit(child, unit) < 0); /* how libsystemd says it is its own */
}

static void pid_1_is_where_it_is(void **state)
{
        assert_true(kb_cgroup_is_of_init(1));
        assert_false(kb_cgroup_is_of_init(INT_MAX)); /* nobody: /proc/sys/kernel/pid_max is far below */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pid_1_is_where_it_is),
                cmocka_unit_test(the_table_holds),
                cmocka_unit_test(a_nul_is_no_end_of_a_name),
                cmocka_unit_test(libsystemd_says_the_same),
                cmocka_unit_test(a_process_that_is_gone_is_in_no_unit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
