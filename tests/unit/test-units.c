/* SPDX-License-Identifier: Apache-2.0 */
/* Invocations of units: a folder of symlinks, as systemd keeps it, tells when one begins, changes and ends.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "helper/broker/units.h"

#define FIRST  "0123456789abcdef0123456789abcdef"
#define SECOND "fedcba9876543210fedcba9876543210"

struct seen {
        unsigned changes;
        unsigned rescans;
        char unit[256];
        char invocation[33];
};

static void on_changed(const char *unit, const char *invocation, void *userdata)
{
        struct seen *seen = userdata;

        seen->changes++;
        snprintf(seen->unit, sizeof(seen->unit), "%s", unit);
        snprintf(seen->invocation, sizeof(seen->invocation), "%s", invocation);
}

static void on_rescan(void *userdata)
{
        struct seen *seen = userdata;

        seen->rescans++;
}

static void point(const char *dir, const char *unit, const char *to)
{
        char path[128];

        snprintf(path, sizeof(path), "%s/invocation:%s", dir, unit);
        unlink(path);
        if (to)
                assert_int_equal(symlink(to, path), 0);
}

static void run_until(sd_event *event, const struct seen *seen, const char *invocation)
{
        for (unsigned i = 0; i < 100 && strcmp(seen->invocation, invocation) != 0; i++)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        assert_string_equal(seen->invocation, invocation);
}

static void begin_change_and_end_are_seen(void **state)
{
        char dir[] = "/tmp/kb-units-XXXXXX";
        _cleanup_(kb_units_freep) struct kb_units *units = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct seen seen = {0};

        assert_non_null(mkdtemp(dir));
        assert_ok(sd_event_new(&event));
        assert_ok(kb_units_new(&units, event, dir, on_changed, on_rescan, &seen));
        point(dir, "orders.service", FIRST);
        run_until(event, &seen, FIRST);
        assert_string_equal(seen.unit, "orders.service");
        point(dir, "orders.service", SECOND);
        run_until(event, &seen, SECOND);
        point(dir, "orders.service", NULL);
        run_until(event, &seen, "");
        rmdir(dir);
}

static void only_a_whole_id_counts(void **state)
{
        static const struct {
                const char *target;
                int expected;
        } table[] = {
                {FIRST, 0},
                {"0123", -EBADMSG},
                {FIRST "0", -EBADMSG},
                {"0123456789ABCDEF0123456789abcdef", -EBADMSG},
                {NULL, -ENOENT},
        };
        char dir[] = "/tmp/kb-units-XXXXXX", id[33];

        assert_non_null(mkdtemp(dir));
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                point(dir, "orders.service", table[i].target);
                assert_int_equal(kb_unit_invocation(dir, "orders.service", id), table[i].expected);
        }
        assert_int_equal(kb_unit_invocation(dir, "../../etc/passwd", id), -EINVAL);
        rmdir(dir);
}

static void run_until_rescan(sd_event *event, const struct seen *seen)
{
        unsigned before = seen->rescans;

        for (unsigned i = 0; i < 1000000 && seen->rescans == before; i++)
                assert_ok(sd_event_run(event, KB_USEC_PER_SEC));
        assert_true(seen->rescans > before);
}

/* Moved away, and another one in its place; and removed, with nothing in its place for a while. */
static void a_folder_that_is_replaced_is_looked_at_and_watched_again(void **state)
{
        char dir[] = "/tmp/kb-units-XXXXXX", aside[64];
        _cleanup_(kb_units_freep) struct kb_units *units = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct seen seen = {0};

        assert_non_null(mkdtemp(dir));
        snprintf(aside, sizeof(aside), "%s.aside", dir);
        assert_ok(sd_event_new(&event));
        assert_ok(kb_units_new(&units, event, dir, on_changed, on_rescan, &seen));
        assert_ok(rename(dir, aside));
        assert_ok(mkdir(dir, 0700));
        run_until_rescan(event, &seen);
        point(dir, "orders.service", FIRST);
        run_until(event, &seen, FIRST);
        point(dir, "orders.service", NULL);
        run_until(event, &seen, "");
        assert_ok(rmdir(dir));
        run_until_rescan(event, &seen);
        run_until_rescan(event, &seen); /* it is not there: tried again */
        assert_ok(mkdir(dir, 0700));
        run_until_rescan(event, &seen);
        point(dir, "orders.service", SECOND);
        run_until(event, &seen, SECOND);
        point(dir, "orders.service", NULL);
        rmdir(dir);
        rmdir(aside);
}

static void events_that_were_lost_are_looked_for(void **state)
{
        char dir[] = "/tmp/kb-units-XXXXXX";
        _cleanup_(kb_units_freep) struct kb_units *units = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_fclose_ FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        struct seen seen = {0};
        unsigned limit;

        if (!f || fscanf(f, "%u", &limit) != 1 || limit > 100000)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_ok(sd_event_new(&event));
        assert_ok(kb_units_new(&units, event, dir, on_changed, on_rescan, &seen));
        for (unsigned i = 0; i < limit; i++) {
                point(dir, "orders.service", FIRST);
                point(dir, "orders.service", NULL);
        }
        run_until_rescan(event, &seen);
        rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(begin_change_and_end_are_seen),
                cmocka_unit_test(only_a_whole_id_counts),
                cmocka_unit_test(a_folder_that_is_replaced_is_looked_at_and_watched_again),
                cmocka_unit_test(events_that_were_lost_are_looked_for),
        };

        return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
