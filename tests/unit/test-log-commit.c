/* SPDX-License-Identifier: Apache-2.0 */
/* Commits, files and recovery: whatever the disk does and wherever a process dies, the chain stays whole. */
#define LOG_FAULTS
#include "tests/unit/log.h"

#include "helper/log/scan.h"

#define ENOUGH 65536

static struct kb_event refusal(unsigned i)
{
        static char names[8][32];
        char *name = names[i % KB_ARRAY_SIZE(names)];

        snprintf(name, sizeof(names[0]), "unit%u.service", i);
        return (struct kb_event){
                .id = KB_EVENT_GRANT_REFUSED, .time = T0 + i, .unit = name, .credential = "db"};
}

static void write_some(struct kb_commit *c, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                struct kb_event event = refusal(i);

                assert_ok(commit_one(c, &event));
        }
}

/* Walks all files and asserts that the chain is whole. Returns the sequence number of the last record. */
static uint64_t check_chain(void)
{
        _cleanup_close_ int dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_log_files_ struct kb_log_files files = {};
        uint8_t hash[KB_HASH_SIZE] = {};
        uint64_t next = 1;

        assert_ok(kb_log_files_list(dir_fd, &files));
        next = files.first[0];
        for (size_t i = 0; i < files.n; i++) {
                _cleanup_close_ int fd = kb_log_file_open(dir_fd, files.first[i], O_RDONLY);
                _cleanup_scan_ struct kb_scan scan = {};
                struct kb_record record;
                struct kb_span whole;
                int r;

                assert_int_equal(files.first[i], next);
                assert_ok(kb_scan_init(&scan, fd, 0));
                while ((r = kb_scan_next(&scan, &record, &whole)) > 0) {
                        assert_int_equal(record.sequence, next++);
                        if (record.sequence > files.first[0])
                                assert_memory_equal(record.previous, hash, KB_HASH_SIZE);
                        assert_ok(kb_record_hash(whole, hash));
                }
                assert_ok(r);
        }
        return next - 1;
}

static void a_log_is_made_once_and_its_first_key_is_told_once(void **state)
{
        struct kb_anchor_key first, stored;
        _cleanup_close_ int dir_fd = -1;
        char id[KB_LOG_ID_MAX], again[KB_FIRST_KEY_MAX];

        fresh_log();
        assert_ok(kb_first_key_parse(log_first_key, id, &first));
        dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(kb_anchor_key_load(dir_fd, &stored));
        assert_memory_equal(&first, &stored, sizeof(first));
        assert_int_equal(kb_log_create(log_folder, T0, again), -EEXIST);
        assert_int_equal(kb_log_create("/nonexistent", T0, again), -ENOENT);
        assert_int_equal(check_chain(), 1);
}

static void remove_file(const char *name)
{
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", log_folder, name);
        assert_ok(unlink(path));
}

static void records_without_identity_are_not_replaced(void **state)
{
        static uint8_t before[ENOUGH], after[ENOUGH];
        char again[KB_FIRST_KEY_MAX];
        struct kb_commit c;
        size_t size;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_some(&c, 3);
        kb_commit_done(&c);
        remove_file("identity");
        size = slurp(log_file(1), before, sizeof(before));
        assert_int_equal(kb_log_create(log_folder, T0, again), -ENODATA);
        assert_int_equal(commit_open(&c, &(struct kb_log_options){}), -ENODATA);
        assert_int_equal(kb_log_unmake(log_folder), -EEXIST);
        assert_int_equal(slurp(log_file(1), after, sizeof(after)), size);
        assert_memory_equal(before, after, size);
        spit(log_file(1), (const uint8_t *)"garbage", 7);
        assert_int_equal(kb_log_create(log_folder, T0, again), -ENODATA);
        assert_ok(rename(log_file(1), in_folder("away")));
        spit(log_file(7), before, size); /* older ones were removed */
        assert_int_equal(kb_log_create(log_folder, T0, again), -ENODATA);
}

static void what_a_killed_create_leaves_is_replaced(void **state)
{
        char again[KB_FIRST_KEY_MAX];
        struct kb_commit c;

        fresh_log();
        remove_file("identity");
        assert_int_equal(commit_open(&c, &(struct kb_log_options){}), -ENOENT);
        assert_ok(kb_log_create(log_folder, T0, again));
        assert_string_not_equal(again, log_first_key);
        assert_int_equal(check_chain(), 1);
}

static void a_log_is_unmade_and_files_of_others_stay(void **state)
{
        char note[512];

        fresh_log();
        snprintf(note, sizeof(note), "%s/note", log_folder);
        spit(note, (const uint8_t *)"x", 1);
        assert_ok(kb_log_unmake(log_folder));
        assert_int_equal(access(log_file(1), F_OK), -1);
        assert_ok(access(note, F_OK));
        assert_ok(kb_log_create(log_folder, T0, log_first_key));
        assert_int_equal(kb_log_unmake("/nonexistent"), -ENOENT);
}

static void one_commit_is_one_sync_for_all_in_it(void **state)
{
        struct kb_log_entry entries[20] = {}, *pointers[20];
        _cleanup_(kb_commit_done) struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        for (size_t i = 0; i < 20; i++) {
                entries[i] = (struct kb_log_entry){.event = KB_EVENT_GRANT_REFUSED, .time = T0};
                pointers[i] = &entries[i];
        }
        no_faults();
        assert_ok(kb_commit_write(&c, pointers, 20));
        assert_int_equal(fail_fdatasync.calls, 1);
        assert_int_equal(entries[0].sequence, 2);
        assert_int_equal(entries[19].sequence, 21);
        assert_int_equal(check_chain(), 21);
}

static void only_one_process_writes(void **state)
{
        _cleanup_(kb_commit_done) struct kb_commit c;
        struct kb_commit other;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        assert_int_equal(commit_open(&other, &(struct kb_log_options){}), -EBUSY);
}

static void a_tail_torn_at_any_byte_is_cut_and_nothing_more(void **state)
{
        static uint8_t bytes[ENOUGH];
        size_t size, whole[4], n = 0;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        whole[n++] = c.tail.end;
        for (unsigned i = 0; i < 3; i++) {
                write_some(&c, 1);
                whole[n++] = c.tail.end;
        }
        kb_commit_done(&c);
        size = slurp(log_file(1), bytes, sizeof(bytes));
        assert_int_equal(size, whole[3]);
        for (size_t cut = whole[0]; cut <= size; cut++) {
                size_t expected = 0;
                struct kb_log_recovered found;
                struct kb_log_damage damage;

                for (size_t i = 0; i < n; i++)
                        expected = whole[i] <= cut ? i : expected;
                spit(log_file(1), bytes, cut);
                assert_ok(kb_commit_open(&c, log_folder, &(struct kb_log_options){}, T0, &found, &damage));
                assert_int_equal(found.torn, cut - whole[expected]);
                assert_int_equal(found.tail.next, expected + 2);
                write_some(&c, 1);
                assert_int_equal(check_chain(), expected + 2);
                kb_commit_done(&c);
        }
}

/* After a loss of power the blocks of one unfinished write can be there in any order. */
static void a_hole_in_the_last_unfinished_commit_is_a_torn_tail(void **state)
{
        struct kb_log_entry entries[9] = {}, *pointers[9];
        static uint8_t bytes[ENOUGH];
        struct kb_commit c;
        size_t start, size;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_some(&c, 2);
        start = c.tail.end;
        for (size_t i = 0; i < 9; i++)
                pointers[i] = &entries[i];
        assert_ok(kb_commit_write(&c, pointers, 9));
        kb_commit_done(&c);
        size = slurp(log_file(1), bytes, sizeof(bytes));
        memset(bytes + start + 10, 0, 100);
        spit(log_file(1), bytes, size);
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_some(&c, 1);
        assert_int_equal(check_chain(), 4);
        kb_commit_done(&c);
}

static void damage_before_that_is_refused_with_its_place(void **state)
{
        static const enum { FLIP, REMOVE, SWAP } ways[] = {FLIP, REMOVE, SWAP};

        for (size_t i = 0; i < KB_ARRAY_SIZE(ways); i++) {
                static uint8_t bytes[ENOUGH], other[ENOUGH];
                size_t ends[6], size, length;
                struct kb_log_recovered found;
                struct kb_log_damage damage = {};
                struct kb_commit c;

                fresh_log();
                assert_ok(commit_open(&c, &(struct kb_log_options){}));
                for (unsigned k = 0; k < 6; k++) {
                        ends[k] = c.tail.end;
                        write_some(&c, 1);
                }
                kb_commit_done(&c);
                size = slurp(log_file(1), bytes, sizeof(bytes));
                length = ends[2] - ends[1];
                memcpy(other, bytes, size);
                if (ways[i] == FLIP) {
                        other[ends[1] + 70] ^= 1;
                } else if (ways[i] == REMOVE) {
                        memmove(other + ends[1], other + ends[2], size - ends[2]);
                        size -= length;
                } else {
                        memcpy(other + ends[1], bytes + ends[2], length);
                        memcpy(other + ends[2], bytes + ends[1], length);
                }
                spit(log_file(1), other, size);
                assert_int_equal(
                        kb_commit_open(&c, log_folder, &(struct kb_log_options){}, T0, &found, &damage),
                        -EBADMSG);
                assert_int_equal(damage.file, 1);
                assert_int_equal(damage.offset, ends[1]);
                size = slurp(log_file(1), bytes, sizeof(bytes));
                assert_memory_equal(bytes, other, size); /* evidence stays as it is */
        }
}

static void a_file_under_a_wrong_name_is_damage(void **state)
{
        char name[512];
        struct kb_commit c;

        fresh_log();
        snprintf(name, sizeof(name), "%s", log_file(1));
        assert_ok(rename(name, log_file(5)));
        assert_int_equal(commit_open(&c, &(struct kb_log_options){}), -EBADMSG);
}

static void beside_a_damaged_file_a_new_one_can_begin(void **state)
{
        struct kb_log_options over = {.start_over = true};
        static uint8_t bytes[ENOUGH], again[ENOUGH];
        struct kb_log_recovered found;
        struct kb_log_damage damage = {};
        struct kb_commit c;
        size_t size;

        fresh_log();
        assert_ok(commit_open(&c, &over));
        assert_ok(commit_one(&c, &(struct kb_event){.id = KB_EVENT_GRANT_ISSUED, .unit = "a.service"}));
        write_some(&c, 5);
        kb_commit_done(&c);
        size = slurp(log_file(1), bytes, sizeof(bytes));
        bytes[3 * size / 4] ^= 1;
        spit(log_file(1), bytes, size);
        assert_ok(kb_commit_open(&c, log_folder, &over, T0, &found, &damage));
        assert_int_equal(damage.file, 1);
        assert_int_equal(c.tail.next, 10); /* 1..7, then a checkpoint with the grant */
        write_some(&c, 1);
        kb_commit_done(&c);
        assert_int_equal(slurp(log_file(1), again, sizeof(again)), size);
        assert_memory_equal(bytes, again, size);
        assert_true(slurp(log_file(8), again, sizeof(again)) > 0);
}

/* Nothing of it can be read: even its name is taken. */
static void a_file_of_garbage_is_left_beside_too(void **state)
{
        struct kb_log_options over = {.start_over = true};
        struct kb_commit c;

        fresh_log();
        spit(log_file(1), (const uint8_t *)"garbage", 7);
        assert_int_equal(commit_open(&c, &(struct kb_log_options){}), -EBADMSG);
        assert_ok(commit_open(&c, &over));
        assert_int_equal(c.tail.next, 3);
        kb_commit_done(&c);
}

/* {what fails, how} -> the commit fails with that, and the next one works, in an unbroken chain. */
static void after_any_error_of_the_disk_the_chain_goes_on(void **state)
{
        static const struct {
                const char *what;
                struct fault *fault;
                int error, short_write;
        } table[] = {
                {"no room", &fail_pwrite, ENOSPC, 0},
                {"no room in the middle of a record", &fail_pwrite, ENOSPC, 100},
                {"read-only", &fail_pwrite, EROFS, 0},
                {"quota", &fail_pwrite, EDQUOT, 30},
                {"sync fails", &fail_fdatasync, EIO, 0},
                {"sync finds no room", &fail_fdatasync, ENOSPC, 0},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_event event = refusal(7);
                struct kb_commit c;
                uint64_t before;

                fresh_log();
                no_faults();
                assert_ok(commit_open(&c, &(struct kb_log_options){}));
                write_some(&c, 3);
                before = c.tail.next;
                table[i].fault->error = table[i].error;
                table[i].fault->times = 1;
                short_write = table[i].short_write;
                assert_int_equal(commit_one(&c, &event), -table[i].error);
                assert_int_equal(c.tail.next, before);
                assert_int_equal(check_chain(), before - 1);
                no_faults();
                if (kb_commit_rotate_due(&c, T0)) /* only a sync that failed makes that necessary */
                        assert_ok(kb_commit_rotate(&c, T0));
                assert_int_equal(c.tail.next, table[i].fault == &fail_fdatasync ? before + 1 : before);
                write_some(&c, 2);
                assert_int_equal(check_chain(), c.tail.next - 1);
                kb_commit_done(&c);
                assert_ok(commit_open(&c, &(struct kb_log_options){}));
                kb_commit_done(&c);
        }
}

/* One that was torn as well: nothing is cut, begun or anchored before the disk can be written. */
static void on_a_disk_that_is_read_only_from_the_start_the_chain_goes_on_later(void **state)
{
        static uint8_t bytes[ENOUGH], again[ENOUGH];
        struct kb_log_options small = {.max_size = 1}, options[] = {{}, small};

        for (size_t i = 0; i < KB_ARRAY_SIZE(options); i++) {
                struct kb_event event = refusal(7);
                struct kb_anchor anchor;
                struct kb_commit c, other;
                size_t size;

                fresh_log();
                no_faults();
                assert_ok(commit_open(&c, &(struct kb_log_options){}));
                write_some(&c, 3);
                kb_commit_done(&c);
                size = slurp(log_file(1), bytes, sizeof(bytes)) - 9;
                spit(log_file(1), bytes, size);
                read_only = true;
                assert_ok(commit_open(&c, &options[i]));
                assert_int_equal(c.tail.next, 4);
                assert_int_equal(commit_open(&other, &options[i]), -EBUSY);
                assert_int_equal(commit_one(&c, &event), -EROFS);
                assert_int_equal(kb_commit_rotate(&c, T0), -EROFS);
                assert_int_equal(kb_commit_anchor(&c, T0, &anchor), -EROFS);
                assert_int_equal(slurp(log_file(1), again, sizeof(again)), size);
                assert_memory_equal(bytes, again, size);
                read_only = false;
                if (options[i].max_size > 0)
                        assert_ok(kb_commit_rotate(&c, T0));
                write_some(&c, 2);
                assert_int_equal(check_chain(), options[i].max_size > 0 ? 6 : 5);
                kb_commit_done(&c);
        }
}

static void what_could_not_be_cut_back_is_cut_before_the_next_byte(void **state)
{
        struct kb_event event = refusal(7);
        struct kb_commit c;

        fresh_log();
        no_faults();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_some(&c, 1);
        fail_pwrite.error = ENOSPC;
        fail_pwrite.times = 1;
        fail_ftruncate.error = EIO;
        fail_ftruncate.times = 2;
        short_write = 90;
        assert_int_equal(commit_one(&c, &event), -ENOSPC);
        assert_int_equal(commit_one(&c, &event), -EIO);
        assert_ok(commit_one(&c, &event));
        assert_int_equal(check_chain(), 3);
        kb_commit_done(&c);
        no_faults();
}

static void nothing_is_written_into_a_file_whose_sync_failed(void **state)
{
        struct kb_event event = refusal(7);
        struct kb_commit c;

        fresh_log();
        no_faults();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        fail_fdatasync.error = EIO;
        fail_fdatasync.times = 1;
        assert_int_equal(commit_one(&c, &event), -EIO);
        assert_int_equal(commit_one(&c, &event), -EIO);
        assert_int_equal(fail_fdatasync.calls, 1);
        assert_ok(kb_commit_rotate(&c, T0));
        assert_ok(commit_one(&c, &event));
        kb_commit_done(&c);
        no_faults();
}

static void a_rotation_that_fails_leaves_the_old_file_in_use(void **state)
{
        static struct fault *const faults[] = {&fail_pwrite, &fail_fsync, &fail_renameat};
        struct kb_log_options small = {.max_size = 1};

        for (size_t i = 0; i < KB_ARRAY_SIZE(faults); i++) {
                struct kb_commit c;

                fresh_log();
                no_faults();
                assert_ok(commit_open(&c, &small));
                write_some(&c, 3);
                assert_true(kb_commit_rotate_due(&c, T0));
                faults[i]->error = ENOSPC;
                faults[i]->times = 1;
                assert_int_equal(kb_commit_rotate(&c, T0), -ENOSPC);
                assert_false(kb_commit_rotate_due(&c, T0)); /* not again at once */
                assert_true(kb_commit_rotate_due(&c, T0 + 3600 * KB_USEC_PER_SEC));
                write_some(&c, 3);
                assert_int_equal(check_chain(), 7);
                assert_int_equal(access(log_file(5), F_OK), -1);
                assert_ok(kb_commit_rotate(&c, T0));
                write_some(&c, 1);
                assert_int_equal(check_chain(), 9);
                assert_int_equal(access(log_file(8), F_OK), 0);
                kb_commit_done(&c);
        }
        no_faults();
}

static void files_begin_by_age_too(void **state)
{
        struct kb_log_options daily = {.max_age = 1000};
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &daily));
        assert_false(kb_commit_rotate_due(&c, T0 + 999));
        assert_false(kb_commit_rotate_due(&c, T0 - 5000)); /* a clock that went back */
        assert_true(kb_commit_rotate_due(&c, T0 + 1000));
        kb_commit_done(&c);
}

static size_t count_files(void)
{
        _cleanup_close_ int dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_log_files_ struct kb_log_files files = {};

        assert_ok(kb_log_files_list(dir_fd, &files));
        return files.n;
}

static void old_files_go_by_count_and_by_age_and_leave_a_record(void **state)
{
        static const struct {
                struct kb_log_options options;
                size_t left;
        } table[] = {{{}, 6},
                     {{.keep_files = 3}, 3},
                     {{.keep_age = 250}, 4},
                     {{.keep_age = 250, .keep_files = 2}, 2}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_commit c;

                fresh_log();
                assert_ok(commit_open(&c, &table[i].options));
                for (unsigned k = 1; k <= 5; k++) {
                        write_some(&c, 2);
                        assert_ok(kb_commit_rotate(&c, T0 + 100 * k));
                }
                assert_int_equal(count_files(), table[i].left);
                assert_int_equal(check_chain(), c.tail.next - 1);
                kb_commit_done(&c);
        }
}

static void the_key_is_on_disk_before_the_first_record_it_is_for(void **state)
{
        _cleanup_close_ int dir_fd = -1;
        struct kb_event event = refusal(1);
        struct kb_anchor_key stored;
        struct kb_anchor anchor;
        struct kb_commit c;

        fresh_log();
        no_faults();
        dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_some(&c, 1);
        fail_renameat.error = EIO;
        fail_renameat.times = 2;
        assert_ok(kb_commit_anchor(&c, T0, &anchor)); /* it stands; the key behind it is not stored yet */
        assert_ok(kb_anchor_key_load(dir_fd, &stored));
        assert_int_equal(stored.number, 1);
        assert_int_equal(commit_one(&c, &event), -EIO);
        assert_ok(commit_one(&c, &event));
        assert_ok(kb_anchor_key_load(dir_fd, &stored));
        assert_int_equal(stored.number, 2);
        assert_int_equal(check_chain(), 4);
        kb_commit_done(&c);
        no_faults();
}

static void a_kill_between_anchor_and_key_is_made_good_at_the_next_start(void **state)
{
        _cleanup_close_ int dir_fd = -1;
        struct kb_anchor_key before, after;
        struct kb_anchor anchor;
        struct kb_commit c;

        fresh_log();
        dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(kb_anchor_key_load(dir_fd, &before));
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        kb_commit_done(&c);
        assert_ok(kb_anchor_key_store(dir_fd, &before)); /* as if the process had died before storing it */
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_some(&c, 1);
        kb_commit_done(&c);
        assert_ok(kb_anchor_key_load(dir_fd, &after));
        assert_ok(kb_anchor_key_next(&before));
        assert_memory_equal(&before, &after, sizeof(after));
}

static void a_key_that_is_missing_or_older_than_the_log_is_refused(void **state)
{
        _cleanup_close_ int dir_fd = -1;
        struct kb_anchor_key first;
        struct kb_anchor anchor;
        struct kb_commit c;

        fresh_log();
        dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(kb_anchor_key_load(dir_fd, &first));
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        write_some(&c, 1);
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        kb_commit_done(&c);
        assert_ok(kb_anchor_key_store(dir_fd, &first));
        assert_int_equal(commit_open(&c, &(struct kb_log_options){}), -ENOKEY);
        assert_ok(unlinkat(dir_fd, "key", 0));
        assert_int_equal(commit_open(&c, &(struct kb_log_options){}), -ENOKEY);
}

static void a_tail_cut_with_its_anchors_is_noticed_at_start(void **state)
{
        static uint8_t bytes[ENOUGH];
        struct kb_log_recovered found;
        struct kb_log_damage damage;
        struct kb_anchor anchor;
        struct kb_commit c;
        size_t size;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        write_some(&c, 1);
        size = c.tail.end;
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        write_some(&c, 1);
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        kb_commit_done(&c);
        slurp(log_file(1), bytes, sizeof(bytes));
        spit(log_file(1), bytes, size);
        assert_ok(kb_commit_open(&c, log_folder, &(struct kb_log_options){}, T0, &found, &damage));
        assert_int_equal(found.missing_anchors, 2);
        kb_commit_done(&c);
}

static void anchors_are_due_by_count_and_by_age(void **state)
{
        struct kb_log_options options = {.anchor_records = 3, .anchor_age = 1000};
        struct kb_anchor anchor;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &options));
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        assert_false(kb_commit_anchor_due(&c, T0 + 5000)); /* nothing to speak for */
        write_some(&c, 1);
        assert_false(kb_commit_anchor_due(&c, T0 + 999));
        assert_true(kb_commit_anchor_due(&c, T0 + 1000));
        assert_true(kb_commit_anchor_due(&c, T0 - 1)); /* a clock that went back */
        write_some(&c, 2);
        assert_true(kb_commit_anchor_due(&c, T0));
        kb_commit_done(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_log_is_made_once_and_its_first_key_is_told_once),
                cmocka_unit_test(records_without_identity_are_not_replaced),
                cmocka_unit_test(what_a_killed_create_leaves_is_replaced),
                cmocka_unit_test(a_log_is_unmade_and_files_of_others_stay),
                cmocka_unit_test(one_commit_is_one_sync_for_all_in_it),
                cmocka_unit_test(only_one_process_writes),
                cmocka_unit_test(a_tail_torn_at_any_byte_is_cut_and_nothing_more),
                cmocka_unit_test(a_hole_in_the_last_unfinished_commit_is_a_torn_tail),
                cmocka_unit_test(damage_before_that_is_refused_with_its_place),
                cmocka_unit_test(a_file_under_a_wrong_name_is_damage),
                cmocka_unit_test(beside_a_damaged_file_a_new_one_can_begin),
                cmocka_unit_test(a_file_of_garbage_is_left_beside_too),
                cmocka_unit_test(after_any_error_of_the_disk_the_chain_goes_on),
                cmocka_unit_test(on_a_disk_that_is_read_only_from_the_start_the_chain_goes_on_later),
                cmocka_unit_test(what_could_not_be_cut_back_is_cut_before_the_next_byte),
                cmocka_unit_test(nothing_is_written_into_a_file_whose_sync_failed),
                cmocka_unit_test(a_rotation_that_fails_leaves_the_old_file_in_use),
                cmocka_unit_test(files_begin_by_age_too),
                cmocka_unit_test(old_files_go_by_count_and_by_age_and_leave_a_record),
                cmocka_unit_test(the_key_is_on_disk_before_the_first_record_it_is_for),
                cmocka_unit_test(a_kill_between_anchor_and_key_is_made_good_at_the_next_start),
                cmocka_unit_test(a_key_that_is_missing_or_older_than_the_log_is_refused),
                cmocka_unit_test(a_tail_cut_with_its_anchors_is_noticed_at_start),
                cmocka_unit_test(anchors_are_due_by_count_and_by_age),
        };

        return cmocka_run_group_tests_name("log-commit", tests, test_folder_make, test_folder_remove);
}
