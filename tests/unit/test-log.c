/* SPDX-License-Identifier: Apache-2.0 */
/* The writer as the broker sees it: appended on one thread, told on the same, whatever the disk does. */
#define LOG_FAULTS
#include "tests/unit/log.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "helper/log/scan.h"

#define PATIENCE 20000 /* msec */

static struct result {
        unsigned calls;
        int r;
        uint64_t sequence;
        char line[KB_ANCHOR_LINE_MAX];
} results[300];

static void note(int r, uint64_t sequence, void *userdata)
{
        struct result *result = userdata;

        result->calls++;
        result->r = r;
        result->sequence = sequence;
}

static void note_anchor(int r, const char *line, void *userdata)
{
        note(r, 0, userdata);
        snprintf(((struct result *)userdata)->line, KB_ANCHOR_LINE_MAX, "%s", line ? line : "");
}

static struct kb_log *open_log(struct kb_log_options options)
{
        struct kb_log_damage damage;
        struct kb_log *log;

        memset(results, 0, sizeof(results));
        assert_ok(kb_log_open(&log, log_folder, &options, &damage));
        return log;
}

/* Dispatches until n results have been called. */
static void wait_for(struct kb_log *log, unsigned n)
{
        for (;;) {
                struct pollfd p = {.fd = kb_log_fd(log), .events = POLLIN};
                unsigned called = 0;

                for (size_t i = 0; i < KB_ARRAY_SIZE(results); i++)
                        called += results[i].calls;
                assert_true(called <= n);
                if (called == n)
                        return;
                assert_int_equal(poll(&p, 1, PATIENCE), 1);
                kb_log_dispatch(log);
        }
}

static int append(struct kb_log *log, uint32_t id, bool waited, unsigned i)
{
        return kb_log_append(log, &(struct kb_event){.id = id, .unit = "a.service", .credential = "db"},
                             waited, note, &results[i]);
}

/* How often an event stands in the newest file, and its last record. */
static unsigned count_events(uint64_t file, uint32_t id, struct kb_event *ret_last)
{
        _cleanup_close_ int fd = open(log_file(file), O_RDONLY | O_CLOEXEC);
        static uint8_t memory[KB_RECORD_MAX];
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_record record;
        struct kb_span whole;
        unsigned n = 0;

        assert_ok(fd);
        assert_ok(kb_scan_init(&scan, fd, 0));
        while (kb_scan_next(&scan, &record, &whole) > 0) {
                if (record.event != id)
                        continue;
                n++;
                memcpy(memory, whole.data, whole.size);
                assert_ok(kb_record_get(KB_SPAN(memory, whole.size), &record));
                if (ret_last)
                        assert_ok(kb_record_event(&record, ret_last));
        }
        return n;
}

static void an_event_is_told_once_it_is_on_disk(void **state)
{
        struct kb_log_state now;
        struct kb_log *log;

        fresh_log();
        log = open_log((struct kb_log_options){});
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 0));
        wait_for(log, 1);
        assert_int_equal(results[0].r, 0);
        assert_int_equal(results[0].sequence, 3); /* checkpoint, log-started, this */
        assert_int_equal(count_events(1, KB_EVENT_GRANT_ISSUED, NULL), 1);
        kb_log_get_state(log, &now);
        assert_int_equal(now.written, 3);
        assert_int_equal(now.error, 0);
        kb_log_free(log);
}

/* A disk on which one sync takes long: whoever comes meanwhile shares the next. */
static atomic_int slow_sync;
static uint64_t slow_clock(void)
{
        if (slow_sync)
                usleep(100000);
        return kb_now_realtime();
}

static void those_who_wait_together_share_one_sync(void **state)
{
        struct kb_log *log;

        fresh_log();
        log = open_log((struct kb_log_options){.now = slow_clock});
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 0));
        wait_for(log, 1);
        no_faults();
        slow_sync = 1;
        /* The first wakes the writer; it is still held up when the other 199 are there. */
        for (unsigned i = 1; i <= 200; i++)
                assert_ok(kb_log_append(log, &(struct kb_event){.id = KB_EVENT_GRANT_ISSUED, .time = T0},
                                        true, note, &results[i]));
        slow_sync = 0;
        wait_for(log, 201);
        assert_true(fail_fdatasync.calls <= 2);
        kb_log_free(log);
}

static void what_waits_at_the_end_is_written_and_told(void **state)
{
        struct kb_log *log;

        fresh_log();
        log = open_log((struct kb_log_options){});
        for (unsigned i = 0; i < 100; i++)
                assert_ok(append(log, KB_EVENT_GRANT_REVOKED, false, i));
        kb_log_free(log);
        for (unsigned i = 0; i < 100; i++) {
                assert_int_equal(results[i].calls, 1);
                assert_int_equal(results[i].r, 0);
        }
        assert_int_equal(count_events(1, KB_EVENT_GRANT_REVOKED, NULL), 100);
}

static void a_full_disk_refuses_who_waits_and_keeps_what_ends(void **state)
{
        struct kb_log_state now;
        struct kb_event event;
        struct kb_log *log;

        fresh_log();
        no_faults();
        log = open_log((struct kb_log_options){});
        assert_ok(append(log, KB_EVENT_STORE_UP, true, 9));
        wait_for(log, 1);
        fail_pwrite.error = ENOSPC;
        fail_pwrite.times = 1000;
        assert_ok(append(log, KB_EVENT_GRANT_REVOKED, false, 0));
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 1));
        wait_for(log, 2);
        assert_int_equal(results[1].r, -ENOSPC);
        assert_int_equal(results[0].calls, 0);
        kb_log_get_state(log, &now);
        assert_int_equal(now.error, -ENOSPC);
        assert_int_equal(now.waiting, 1);
        no_faults();
        wait_for(log, 3); /* nobody asks: it tries again by itself */
        assert_int_equal(results[0].r, 0);
        kb_log_free(log);
        assert_int_equal(count_events(1, KB_EVENT_GRANT_ISSUED, NULL), 0);
        assert_int_equal(count_events(1, KB_EVENT_GRANT_REVOKED, NULL), 1);
        assert_int_equal(count_events(1, KB_EVENT_LOG_RECOVERED, &event), 1);
        assert_string_equal(event.detail, strerror(ENOSPC));
}

/* The loop hears of it, though nobody waits for a record: it has to be said. */
static void a_disk_that_is_read_only_from_the_start_is_said_and_mends_itself(void **state)
{
        struct pollfd p = {.events = POLLIN};
        struct kb_log_state now;
        struct kb_event event;
        struct kb_log *log;

        fresh_log();
        no_faults();
        kb_log_free(open_log((struct kb_log_options){}));
        read_only = true;
        log = open_log((struct kb_log_options){});
        p.fd = kb_log_fd(log);
        assert_int_equal(poll(&p, 1, PATIENCE), 1);
        kb_log_dispatch(log);
        kb_log_get_state(log, &now);
        assert_int_equal(now.error, -EROFS);
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 0));
        wait_for(log, 1);
        assert_int_equal(results[0].r, -EROFS);
        read_only = false;
        do {
                assert_int_equal(poll(&p, 1, PATIENCE), 1);
                kb_log_dispatch(log);
                kb_log_get_state(log, &now);
        } while (now.error < 0);
        kb_log_free(log);
        assert_int_equal(count_events(1, KB_EVENT_LOG_STARTED, NULL), 2);
        assert_int_equal(count_events(1, KB_EVENT_GRANT_ISSUED, NULL), 0);
        assert_int_equal(count_events(1, KB_EVENT_LOG_RECOVERED, &event), 1);
        assert_string_equal(event.detail, strerror(EROFS));
}

static int journald_start(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path));
        assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
        return fd;
}

/* The next entry, NULL: none within msec. */
static const char *journald_has(int fd, int msec)
{
        static char entry[4096];
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, msec) == 1 ? recv(fd, entry, sizeof(entry) - 1, 0) : -1;

        if (n < 0)
                return NULL;
        entry[n] = '\0';
        return entry;
}

static void assert_told_without_a_record(const char *entry)
{
        assert_non_null(entry);
        assert_non_null(strstr(entry, "\nKEYBEARER_EVENT=grant-refused\n"));
        assert_non_null(strstr(entry, "\nOBJECT_SYSTEMD_UNIT=a.service\n"));
        assert_null(strstr(entry, "KEYBEARER_SEQ="));
        assert_null(strstr(entry, "this was at"));
}

static void what_the_disk_does_not_take_is_told_to_journald_once(void **state)
{
        _cleanup_close_ int journald = -1;
        char path[300], sentence[512];
        struct kb_event event;
        struct kb_log *log;
        int calls;

        fresh_log();
        no_faults();
        snprintf(path, sizeof(path), "%s/journald", log_folder);
        journald = journald_start(path);
        log = open_log((struct kb_log_options){.journal = path});
        assert_ok(append(log, KB_EVENT_STORE_UP, true, 0));
        wait_for(log, 1);
        fail_pwrite.error = ENOSPC;
        fail_pwrite.times = 1000;
        assert_ok(append(log, KB_EVENT_GRANT_REFUSED, false, 1)); /* nobody knows yet: the writer tells */
        assert_told_without_a_record(journald_has(journald, PATIENCE));
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 2)); /* never happened */
        wait_for(log, 2);
        assert_ok(append(log, KB_EVENT_GRANT_REFUSED, false, 3)); /* told before append is back */
        assert_told_without_a_record(journald_has(journald, 0));
        unlink(path);
        assert_ok(append(log, KB_EVENT_GRANT_REFUSED, false, 4)); /* to nobody: the record has to do */
        for (calls = fail_pwrite.calls; fail_pwrite.calls < calls + 2;)
                usleep(10000);
        assert_null(journald_has(journald, 0)); /* not with each try */
        no_faults();
        wait_for(log, 5);
        kb_log_free(log);
        assert_null(journald_has(journald, 0));
        assert_int_equal(count_events(1, KB_EVENT_GRANT_REFUSED, &event), 3);
        assert_int_equal(event.late, event.time);
        kb_event_message(&event, sentence, sizeof(sentence));
        assert_non_null(strstr(sentence, "a.service was not given db; this was at 20"));
        assert_int_equal(count_events(1, KB_EVENT_STORE_UP, &event), 1);
        assert_int_equal(event.late, 0);
}

static void a_disk_that_never_comes_back_does_not_keep_us_from_leaving(void **state)
{
        struct kb_log *log;

        fresh_log();
        no_faults();
        log = open_log((struct kb_log_options){});
        fail_pwrite.error = EIO;
        fail_pwrite.times = 1000;
        assert_ok(append(log, KB_EVENT_GRANT_REVOKED, false, 0));
        kb_log_free(log);
        assert_int_equal(results[0].r, -EIO);
        no_faults();
}

static void a_failed_sync_goes_on_in_a_new_file(void **state)
{
        struct kb_log *log;

        fresh_log();
        no_faults();
        log = open_log((struct kb_log_options){});
        assert_ok(append(log, KB_EVENT_STORE_UP, true, 0));
        wait_for(log, 1);
        fail_fdatasync.error = EIO;
        fail_fdatasync.times = 1;
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 1));
        wait_for(log, 2);
        assert_int_equal(results[1].r, -EIO);
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 2));
        wait_for(log, 3);
        assert_int_equal(results[2].r, 0);
        assert_int_equal(results[2].sequence, 5); /* behind the checkpoint of the new file */
        kb_log_free(log);
        assert_int_equal(count_events(1, KB_EVENT_GRANT_ISSUED, NULL), 0);
        assert_int_equal(count_events(4, KB_EVENT_GRANT_ISSUED, NULL), 1);
}

static void too_much_at_once_is_refused_not_swallowed(void **state)
{
        struct kb_log_state now;
        struct kb_log *log;
        int r = 0;

        fresh_log();
        no_faults();
        log = open_log((struct kb_log_options){});
        fail_pwrite.error = ENOSPC;
        fail_pwrite.times = 1000000;
        for (unsigned i = 0; i < 100000 && r == 0; i++)
                r = kb_log_append(log, &(struct kb_event){.id = KB_EVENT_GRANT_REFUSED}, false, NULL, NULL);
        assert_int_equal(r, -ENOBUFS);
        kb_log_get_state(log, &now);
        assert_int_equal(now.lost, 1);
        no_faults();
        kb_log_free(log);
}

static void an_anchor_can_be_asked_for(void **state)
{
        struct kb_log_state now;
        struct kb_anchor anchor;
        struct kb_log *log;

        fresh_log();
        no_faults();
        log = open_log((struct kb_log_options){});
        assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, 0));
        assert_ok(kb_log_anchor(log, note_anchor, &results[1]));
        wait_for(log, 2);
        assert_int_equal(results[1].r, 0);
        assert_ok(kb_anchor_parse(results[1].line, &anchor));
        assert_int_equal(anchor.number, 1);
        assert_int_equal(anchor.sequence, 4);
        assert_string_equal(anchor.log, kb_log_identity(log)->id);
        fail_pwrite.error = ENOSPC;
        fail_pwrite.times = 1;
        assert_ok(kb_log_anchor(log, note_anchor, &results[2]));
        wait_for(log, 3);
        assert_int_equal(results[2].r, -ENOSPC);
        assert_string_equal(results[2].line, "");
        kb_log_get_state(log, &now);
        assert_int_equal(now.error, -ENOSPC);
        for (unsigned i = 0; i < PATIENCE && now.error != 0; i++) { /* nobody writes: it looks by itself */
                usleep(1000);
                kb_log_get_state(log, &now);
        }
        assert_int_equal(now.error, 0);
        kb_log_free(log);
        assert_int_equal(count_events(1, KB_EVENT_ANCHOR, NULL), 2);
}

static void anchors_come_by_themselves(void **state)
{
        struct kb_log *log;

        fresh_log();
        log = open_log((struct kb_log_options){.anchor_records = 10});
        for (unsigned i = 0; i < 40; i++) {
                assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, i));
                wait_for(log, i + 1);
        }
        kb_log_free(log);
        assert_int_equal(count_events(1, KB_EVENT_ANCHOR, NULL), 4);
}

static void an_anchor_comes_by_age_though_nothing_happens(void **state)
{
        struct kb_log_state s = {};
        struct kb_log *log;

        fresh_log();
        log = open_log((struct kb_log_options){.anchor_age = 50000});
        for (unsigned i = 0; i < PATIENCE && s.written < 3; i++) { /* checkpoint, log-started, and it */
                usleep(1000);
                kb_log_get_state(log, &s);
        }
        kb_log_free(log);
        assert_int_equal(count_events(1, KB_EVENT_ANCHOR, NULL), 1);
}

static void whoever_watches_is_woken(void **state)
{
        _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        struct kb_log *log;

        fresh_log();
        log = open_log((struct kb_log_options){});
        kb_log_set_watch(log, fd);
        assert_ok(append(log, KB_EVENT_GRANT_REFUSED, false, 0));
        assert_int_equal(poll(&p, 1, PATIENCE), 1);
        kb_log_free(log);
}

static void a_start_says_what_it_found(void **state)
{
        static uint8_t bytes[65536];
        struct kb_event event;
        size_t size;

        fresh_log();
        kb_log_free(open_log((struct kb_log_options){}));
        size = slurp(log_file(1), bytes, sizeof(bytes));
        spit(log_file(1), bytes, size - 3);
        kb_log_free(open_log((struct kb_log_options){}));
        assert_int_equal(count_events(1, KB_EVENT_LOG_STARTED, &event), 1);
        assert_true(event.count > 0); /* what was left of the first log-started */
}

static void anchors_cut_off_are_told_at_the_next_start(void **state)
{
        static uint8_t bytes[65536];
        struct kb_event event;
        struct kb_log *log;
        size_t whole = 0;

        fresh_log();
        log = open_log((struct kb_log_options){});
        for (unsigned i = 0; i < 3; i++) {
                assert_ok(kb_log_anchor(log, note_anchor, &results[i]));
                wait_for(log, i + 1);
                if (i == 0)
                        whole = slurp(log_file(1), bytes, sizeof(bytes));
        }
        kb_log_free(log);
        slurp(log_file(1), bytes, sizeof(bytes));
        spit(log_file(1), bytes, whole);
        kb_log_free(open_log((struct kb_log_options){}));
        assert_int_equal(count_events(1, KB_EVENT_LOG_STARTED, &event), 2);
        assert_non_null(strstr(event.detail, "2 anchors missing"));
}

static void damage_is_refused_or_gone_around_as_told(void **state)
{
        static uint8_t bytes[65536];
        struct kb_log_damage damage = {};
        struct kb_event event;
        struct kb_log *log;
        size_t size;

        fresh_log();
        log = open_log((struct kb_log_options){});
        for (unsigned i = 0; i < 5; i++) {
                assert_ok(append(log, KB_EVENT_GRANT_ISSUED, true, i));
                wait_for(log, i + 1);
        }
        kb_log_free(log);
        size = slurp(log_file(1), bytes, sizeof(bytes));
        bytes[size / 2] ^= 1;
        spit(log_file(1), bytes, size);
        assert_int_equal(kb_log_open(&log, log_folder, &(struct kb_log_options){}, &damage), -EBADMSG);
        assert_int_equal(damage.file, 1);
        kb_log_free(open_log((struct kb_log_options){.start_over = true}));
        assert_int_equal(count_events(8, KB_EVENT_LOG_STARTED, NULL), 1);
        assert_int_equal(count_events(8, KB_EVENT_LOG_DAMAGED, &event), 1);
        assert_string_equal(event.file, "00000000000000000001.kblog");
        assert_int_equal(event.offset, damage.offset);
}

static void there_is_no_log_where_none_was_made(void **state)
{
        struct kb_log_damage damage;
        struct kb_log *log = NULL;

        assert_int_equal(kb_log_open(&log, test_folder, &(struct kb_log_options){}, &damage), -ENOENT);
        assert_null(log);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_event_is_told_once_it_is_on_disk),
                cmocka_unit_test(those_who_wait_together_share_one_sync),
                cmocka_unit_test(what_waits_at_the_end_is_written_and_told),
                cmocka_unit_test(a_full_disk_refuses_who_waits_and_keeps_what_ends),
                cmocka_unit_test(a_disk_that_is_read_only_from_the_start_is_said_and_mends_itself),
                cmocka_unit_test(what_the_disk_does_not_take_is_told_to_journald_once),
                cmocka_unit_test(a_disk_that_never_comes_back_does_not_keep_us_from_leaving),
                cmocka_unit_test(a_failed_sync_goes_on_in_a_new_file),
                cmocka_unit_test(too_much_at_once_is_refused_not_swallowed),
                cmocka_unit_test(an_anchor_can_be_asked_for),
                cmocka_unit_test(anchors_come_by_themselves),
                cmocka_unit_test(an_anchor_comes_by_age_though_nothing_happens),
                cmocka_unit_test(whoever_watches_is_woken),
                cmocka_unit_test(a_start_says_what_it_found),
                cmocka_unit_test(anchors_cut_off_are_told_at_the_next_start),
                cmocka_unit_test(damage_is_refused_or_gone_around_as_told),
                cmocka_unit_test(there_is_no_log_where_none_was_made),
        };

        return cmocka_run_group_tests_name("log", tests, test_folder_make, test_folder_remove);
}
