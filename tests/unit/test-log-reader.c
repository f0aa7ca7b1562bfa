/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: forwards, backwards, along with a writer, over files and around damage. */
#include "tests/unit/log.h"

#include "helper/log/reader.h"

/* A log of 3 files: records 1-4, 5-8, 9-12; each begins with its checkpoint. */
static void three_files(struct kb_commit *c)
{
        fresh_log();
        assert_ok(commit_open(c, &(struct kb_log_options){}));
        for (unsigned file = 0; file < 3; file++) {
                if (file > 0)
                        assert_ok(kb_commit_rotate(c, T0));
                for (unsigned i = 0; i < 3; i++)
                        assert_ok(commit_one(c, &(struct kb_event){.id = KB_EVENT_GRANT_REFUSED,
                                                                   .time = T0,
                                                                   .unit = "a.service"}));
        }
        assert_int_equal(c->tail.next, 13);
}

static struct kb_log_reader *open_reader(void)
{
        struct kb_log_reader *reader;

        assert_ok(kb_log_reader_open(&reader, log_folder));
        return reader;
}

static void expect(struct kb_log_reader *reader, bool forwards, uint64_t sequence)
{
        struct kb_log_read entry = {};
        int r = forwards ? kb_log_reader_next(reader, &entry) : kb_log_reader_previous(reader, &entry);

        assert_int_equal(r, sequence > 0 ? 1 : 0);
        assert_int_equal(entry.sequence, sequence);
}

static void records_come_in_order_over_all_files_and_back_again(void **state)
{
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_log_read entry;
        struct kb_commit c;

        three_files(&c);
        kb_commit_done(&c);
        reader = open_reader();
        for (uint64_t i = 1; i <= 12; i++)
                expect(reader, true, i);
        expect(reader, true, 0);
        for (uint64_t i = 12; i >= 1; i--)
                expect(reader, false, i);
        expect(reader, false, 0);
        expect(reader, true, 1);
        expect(reader, true, 2);
        expect(reader, false, 2);
        expect(reader, true, 2);
        assert_int_equal(kb_log_reader_next(reader, &entry), 1);
        assert_string_equal(entry.event.subject, "a.service");
        assert_int_equal(entry.event.id, KB_EVENT_GRANT_REFUSED);
        assert_true(entry.event.time == T0);
}

static void one_can_begin_anywhere(void **state)
{
        static const struct {
                uint64_t seek, next, previous;
        } table[] = {{0, 1, 0},    {1, 1, 0},   {4, 4, 3},          {5, 5, 4},
                     {12, 12, 11}, {13, 0, 12}, {UINT64_MAX, 0, 12}};
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_commit c;

        three_files(&c);
        kb_commit_done(&c);
        reader = open_reader();
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                assert_ok(kb_log_reader_seek(reader, table[i].seek));
                expect(reader, true, table[i].next);
                assert_ok(kb_log_reader_seek(reader, table[i].seek));
                expect(reader, false, table[i].previous);
        }
        assert_ok(kb_log_reader_seek_end(reader));
        expect(reader, false, 12);
}

static void a_reader_follows_the_writer_into_new_files(void **state)
{
        struct kb_event event = {.id = KB_EVENT_GRANT_REFUSED, .time = T0};
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        _cleanup_(kb_commit_done) struct kb_commit c;

        three_files(&c);
        reader = open_reader();
        assert_ok(kb_log_reader_seek_end(reader));
        expect(reader, true, 0);
        assert_int_equal(kb_log_reader_wait(reader, 0), 0);
        assert_ok(commit_one(&c, &event));
        assert_int_equal(kb_log_reader_wait(reader, 20000), 1);
        expect(reader, true, 13);
        expect(reader, true, 0);
        assert_ok(kb_commit_rotate(&c, T0));
        assert_int_equal(kb_log_reader_wait(reader, 20000), 1);
        assert_ok(commit_one(&c, &event));
        expect(reader, true, 14);
        expect(reader, true, 15);
        expect(reader, true, 0);
}

static void a_record_half_written_is_not_there_yet(void **state)
{
        static uint8_t bytes[65536];
        struct kb_commit c;
        size_t size;

        three_files(&c);
        kb_commit_done(&c);
        size = slurp(log_file(9), bytes, sizeof(bytes));
        for (size_t cut = 1; cut < 100; cut++) {
                struct kb_log_reader *r;

                spit(log_file(9), bytes, size - cut);
                r = open_reader();
                assert_ok(kb_log_reader_seek(r, 11));
                expect(r, true, 11);
                expect(r, true, 0);
                spit(log_file(9), bytes, size);
                expect(r, true, 12);
                kb_log_reader_free(r);
        }
}

static void damage_is_told_and_stepped_over_both_ways(void **state)
{
        static const uint64_t forwards[] = {1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 12};
        static uint8_t bytes[65536];
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_log_read entry;
        struct kb_commit c;
        size_t size;

        three_files(&c);
        kb_commit_done(&c);
        size = slurp(log_file(5), bytes, sizeof(bytes));
        bytes[bytes[0] + 65] ^= 1; /* in the second record */
        spit(log_file(5), bytes, size);
        reader = open_reader();
        for (size_t i = 0; i < KB_ARRAY_SIZE(forwards); i++)
                if (forwards[i] > 0)
                        expect(reader, true, forwards[i]);
                else
                        assert_int_equal(kb_log_reader_next(reader, &entry), -EBADMSG);
        for (size_t i = KB_ARRAY_SIZE(forwards); i-- > 0;)
                if (forwards[i] > 0)
                        expect(reader, false, forwards[i]);
}

static void a_file_cut_short_is_damage_once_there_is_a_newer_one(void **state)
{
        static uint8_t bytes[65536];
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_log_read entry;
        struct kb_commit c;
        size_t size;

        three_files(&c);
        kb_commit_done(&c);
        size = slurp(log_file(5), bytes, sizeof(bytes));
        spit(log_file(5), bytes, size - 1);
        reader = open_reader();
        assert_ok(kb_log_reader_seek(reader, 7));
        expect(reader, true, 7);
        assert_int_equal(kb_log_reader_next(reader, &entry), -EBADMSG);
        expect(reader, true, 9);
}

static void there_has_to_be_a_log(void **state)
{
        struct kb_log_reader *reader = NULL;

        assert_int_equal(kb_log_reader_open(&reader, "/nonexistent"), -ENOENT);
        assert_int_equal(kb_log_reader_open(&reader, test_folder), -ENOENT);
        assert_null(reader);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(records_come_in_order_over_all_files_and_back_again),
                cmocka_unit_test(one_can_begin_anywhere),
                cmocka_unit_test(a_reader_follows_the_writer_into_new_files),
                cmocka_unit_test(a_record_half_written_is_not_there_yet),
                cmocka_unit_test(damage_is_told_and_stepped_over_both_ways),
                cmocka_unit_test(a_file_cut_short_is_damage_once_there_is_a_newer_one),
                cmocka_unit_test(there_has_to_be_a_log),
        };

        return cmocka_run_group_tests_name("log-reader", tests, test_folder_make, test_folder_remove);
}
