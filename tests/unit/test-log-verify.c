/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verify against root with the log, the disk and the source code: every attack is found, up to the last
 * anchor that left the host or that the first key can check, and the bound that is told is exactly that.
 */
#include "tests/unit/log.h"

#include "common/hex.h"
#include "helper/log/scan.h"
#include "helper/log/verify.h"

/*
 * The log under attack: checkpoint 1, then twice four records and an anchor, then two records more.
 *
 *   1 checkpoint   2 3 4 5 records   6 anchor 1   7 8 9 10 records   11 anchor 2   12 13 records
 */
#define LAST 13
#define SIZE 65536

static uint8_t original[SIZE], altered[SIZE];
static size_t size, offset[LAST + 2]; /* of each record; offset[LAST + 1] is the end */
static struct kb_anchor anchors[2];
static struct kb_anchor_key key_then[3]; /* the key file before anchor 1, 2, and now */

/* No two are alike: their number stands in them. */
static void write_n(struct kb_commit *c, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                struct kb_event event = {.id = KB_EVENT_GRANT_REFUSED,
                                         .time = T0,
                                         .unit = "a.service",
                                         .pid = c->tail.next,
                                         .credential = "db"};

                assert_ok(commit_one(c, &event));
        }
}

static int make_victim(void **state)
{
        _cleanup_scan_ struct kb_scan scan = {};
        _cleanup_close_ int fd = -1;
        struct kb_record record;
        struct kb_span whole;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        for (unsigned i = 0; i < 2; i++) {
                key_then[i] = c.key;
                write_n(&c, 4);
                assert_ok(kb_commit_anchor(&c, T0, &anchors[i]));
        }
        key_then[2] = c.key;
        write_n(&c, 2);
        kb_commit_done(&c);
        size = slurp(log_file(1), original, sizeof(original));
        memcpy(altered, original, size);
        fd = open(log_file(1), O_RDONLY | O_CLOEXEC);
        assert_ok(kb_scan_init(&scan, fd, 0));
        for (unsigned i = 1; i <= LAST; i++) {
                offset[i] = scan.offset;
                assert_int_equal(kb_scan_next(&scan, &record, &whole), 1);
        }
        offset[LAST + 1] = scan.offset;
        assert_int_equal(scan.offset, size);
        return 0;
}

/* --- the attacker's tools --- */

/* Writes all records of `altered` anew: sequence numbers, chain and checksums are right afterwards. */
static void recompute(unsigned from)
{
        static uint8_t made[SIZE];
        uint8_t hash[KB_HASH_SIZE];
        size_t out = offset[from], in = out;
        uint64_t sequence = from;

        memcpy(made, altered, out);
        assert_ok(kb_record_hash(KB_SPAN(altered + offset[from - 1], out - offset[from - 1]), hash));
        while (in < size) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
                ssize_t n = kb_record_size(KB_SPAN(altered + in, size - in));
                struct kb_record record = {.sequence = sequence++};
                struct kb_reader r;

                assert_true(n > 0);
                r = kb_reader_init(KB_SPAN(altered + in + 16, (size_t)n - 16));
                record.time = kb_read_u64(&r);
                record.flags = kb_read_u32(&r);
                record.event = kb_read_u32(&r);
                record.fields = KB_SPAN(r.at + KB_HASH_SIZE, r.left - KB_HASH_SIZE);
                memcpy(record.previous, hash, KB_HASH_SIZE);
                kb_record_put(&w, &record);
                assert_ok(kb_record_hash(KB_SPAN(w.data, w.size), hash));
                memcpy(made + out, w.data, w.size);
                out += w.size;
                in += (size_t)n;
        }
        memcpy(altered, made, out);
        size = out;
}

/* Only the checksum of one record is made right again. */
static void fix_checksum(unsigned i)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
        struct kb_reader r = kb_reader_init(KB_SPAN(altered + offset[i] + 8, offset[i + 1] - offset[i] - 8));
        struct kb_record record = {};

        record.sequence = kb_read_u64(&r);
        record.time = kb_read_u64(&r);
        record.flags = kb_read_u32(&r);
        record.event = kb_read_u32(&r);
        memcpy(record.previous, r.at, KB_HASH_SIZE);
        record.fields = KB_SPAN(r.at + KB_HASH_SIZE, r.left - KB_HASH_SIZE);
        kb_record_put(&w, &record);
        memcpy(altered + offset[i], w.data, w.size);
}

static void change(unsigned i)
{
        altered[offset[i + 1] - 3] ^= 1; /* the last letter of the last field */
}

static void cut(unsigned i)
{
        memmove(altered + offset[i], altered + offset[i + 1], size - offset[i + 1]);
        size -= offset[i + 1] - offset[i];
}

static void swap(unsigned i)
{
        size_t a = offset[i + 1] - offset[i], b = offset[i + 2] - offset[i + 1];

        memcpy(altered + offset[i], original + offset[i + 1], b);
        memcpy(altered + offset[i] + b, original + offset[i], a);
}

static void store_key(const struct kb_anchor_key *key)
{
        _cleanup_close_ int dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_ok(kb_anchor_key_store(dir_fd, key));
}

/* Makes all anchors anew with the key that is on the disk now: all that he has. */
static void forge_anchors(void)
{
        for (unsigned i = 0; i < 2; i++) {
                unsigned at = i == 0 ? 6 : 11;
                struct kb_anchor forged = anchors[i];
                struct kb_anchor_key key = key_then[2];
                char mac[2 * KB_HASH_SIZE + 1];

                key.number = forged.number;
                memcpy(forged.previous, altered + offset[at] + 32, KB_HASH_SIZE);
                assert_ok(kb_anchor_sign(&forged, &key));
                kb_hex(KB_SPAN(forged.mac, KB_HASH_SIZE), mac);
                for (size_t k = offset[at]; k < offset[at + 1] - 64; k++) /* the MAC is the last field */
                        if (k + 65 == offset[at + 1])
                                memcpy(altered + k, mac, 64);
                recompute(at);
        }
}

/* --- what he does --- */

static void attack_nothing(void)
{
}
static void attack_flip_byte(void)
{
        change(4);
}
static void attack_change_and_fix_checksum(void)
{
        change(4);
        fix_checksum(4);
}
static void attack_change_and_recompute(void)
{
        change(4);
        recompute(4);
}
static void attack_change_late_and_recompute(void)
{
        change(9);
        recompute(9);
}
static void attack_change_after_the_last_anchor(void)
{
        change(12);
        recompute(12);
}
static void attack_remove(void)
{
        cut(8);
}
static void attack_remove_and_recompute(void)
{
        cut(8);
        recompute(8);
}
static void attack_swap(void)
{
        swap(3);
}
static void attack_swap_and_recompute(void)
{
        swap(3);
        recompute(3);
}
static void attack_cut_tail_after_the_last_anchor(void)
{
        size = offset[13];
}
static void attack_cut_tail_with_an_anchor(void)
{
        size = offset[9];
}
static void attack_cut_tail_and_put_an_old_key_back(void)
{
        size = offset[9];
        store_key(&key_then[1]);
}
static void attack_recompute_all_and_forge_anchors(void)
{
        change(4);
        recompute(4);
        forge_anchors();
}
static void attack_remove_an_anchor_and_recompute(void)
{
        cut(6);
        recompute(6);
}
static void attack_remove_the_key(void)
{
        _cleanup_close_ int dir_fd = open(log_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_ok(unlinkat(dir_fd, "key", 0));
}
static void attack_put_a_key_of_his_own(void)
{
        struct kb_anchor_key key = {.number = 3, .key = {7}};

        store_key(&key);
}

/*
 * What is proven after each attack {with nothing but the log, with the first key, with anchor 1 kept, with
 * both kept}, and whether anything was found {the same}.
 */
static const struct attack {
        const char *name;
        void (*run)(void);
        uint64_t proven[4];
        bool found[4];
} attacks[] = {
#define A(name, ...)                                                                                        \
        {                                                                                                   \
#name, attack_##name, __VA_ARGS__                                                           \
        }
        A(nothing, {0, 10, 5, 10}, {false, false, false, false}),
        A(flip_byte, {0, 3, 3, 3}, {true, true, true, true}),
        A(change_and_fix_checksum, {0, 3, 3, 3}, {true, true, true, true}),
        A(change_and_recompute, {0, 0, 0, 0}, {false, true, true, true}),
        A(change_late_and_recompute, {0, 5, 5, 5}, {false, true, false, true}),
        A(change_after_the_last_anchor, {0, 10, 5, 10}, {false, false, false, false}),
        A(remove, {0, 7, 5, 7}, {true, true, true, true}),
        A(remove_and_recompute, {0, 5, 5, 5}, {false, true, false, true}),
        A(swap, {0, 2, 2, 2}, {true, true, true, true}),
        A(swap_and_recompute, {0, 0, 0, 0}, {false, true, true, true}),
        A(cut_tail_after_the_last_anchor, {0, 10, 5, 10}, {false, false, false, false}),
        A(cut_tail_with_an_anchor, {0, 5, 5, 5}, {true, true, true, true}),
        A(cut_tail_and_put_an_old_key_back, {0, 5, 5, 5}, {false, false, false, true}),
        A(recompute_all_and_forge_anchors, {0, 0, 0, 0}, {false, true, true, true}),
        A(remove_an_anchor_and_recompute, {0, 0, 0, 0}, {true, true, true, true}),
        A(remove_the_key, {0, 10, 5, 10}, {true, true, true, true}),
        A(put_a_key_of_his_own, {0, 10, 5, 10}, {false, true, false, false}),
};

static void every_attack_is_found_up_to_the_bound_that_is_told(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(attacks); i++) {
                const struct attack *a = &attacks[i];

                make_victim(NULL);
                a->run();
                spit(log_file(1), altered, size);
                for (unsigned means = 0; means < 4; means++) {
                        struct kb_verify_options options = {
                                .first_key = means == 1 ? log_first_key : NULL,
                                .kept = anchors,
                                .n_kept = means < 2 ? 0 : means - 1,
                        };
                        struct kb_verify_result result;

                        assert_ok(kb_verify(log_folder, &options, &result));
                        if (result.proven != a->proven[means] || (result.n_findings > 0) != a->found[means])
                                fail_msg("%s, means %u: proven %u, %zu findings, first: %s", a->name, means,
                                         (unsigned)result.proven, result.n_findings,
                                         kb_verify_problem_text(result.findings[0].problem));
                }
        }
}

static bool has(const struct kb_verify_result *result, enum kb_verify_problem problem)
{
        for (size_t i = 0; i < result->n_findings; i++)
                if (result->findings[i].problem == problem)
                        return true;
        return false;
}

static void the_proof_goes_over_files_that_were_removed_as_told(void **state)
{
        struct kb_log_options options = {.keep_files = 2};
        struct kb_verify_result result;
        struct kb_anchor anchor;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &options));
        for (unsigned i = 0; i < 4; i++) {
                write_n(&c, 3);
                assert_ok(kb_commit_anchor(&c, T0, &anchor));
                assert_ok(kb_commit_rotate(&c, T0));
        }
        write_n(&c, 3);
        assert_ok(kb_commit_anchor(&c, T0, &anchor));
        kb_commit_done(&c);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){.first_key = log_first_key}, &result));
        assert_int_equal(result.n_findings, 0);
        assert_true(result.first > 1);
        assert_int_equal(result.trimmed, result.first - 1);
        assert_int_equal(result.proven, anchor.sequence - 1);
        assert_int_equal(result.files, 2);

        assert_ok(unlink(log_file(result.first))); /* and one more, by somebody else */
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){.first_key = log_first_key}, &result));
        assert_true(has(&result, KB_VERIFY_BEGINNING));
        assert_int_equal(result.proven, anchor.sequence - 1);
}

static void a_file_removed_from_the_middle_is_a_gap(void **state)
{
        struct kb_verify_result result;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        for (unsigned i = 0; i < 2; i++) {
                write_n(&c, 3);
                assert_ok(kb_commit_rotate(&c, T0));
        }
        kb_commit_done(&c);
        assert_ok(unlink(log_file(5)));
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){}, &result));
        assert_true(has(&result, KB_VERIFY_GAP));
        assert_int_equal(result.findings[0].sequence, 5);
        assert_int_equal(result.findings[0].file, 9);
}

static void what_belongs_to_another_log_is_told_apart(void **state)
{
        struct kb_verify_result result;
        char other_key[KB_FIRST_KEY_MAX];

        make_victim(NULL);
        memcpy(other_key, log_first_key, sizeof(other_key));
        make_victim(NULL);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){.first_key = other_key}, &result));
        assert_true(has(&result, KB_VERIFY_OTHER_LOG));
        assert_int_equal(result.proven, 0);
        anchors[0].log[0] ^= 1;
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){.kept = anchors, .n_kept = 2}, &result));
        assert_true(has(&result, KB_VERIFY_OTHER_LOG));
        assert_int_equal(result.proven, 10); /* the other one still speaks */
        assert_int_equal(
                kb_verify(log_folder, &(struct kb_verify_options){.first_key = "nonsense"}, &result),
                -EINVAL);
        assert_int_equal(kb_verify(test_folder, &(struct kb_verify_options){}, &result), -ENOENT);
        assert_int_equal(kb_verify("/nonexistent", &(struct kb_verify_options){}, &result), -ENOENT);
}

/* The file of another log under our name, with everything else in place. */
static void a_file_of_another_log_does_not_pass(void **state)
{
        static uint8_t foreign[SIZE];
        struct kb_verify_result result;
        size_t n;

        make_victim(NULL);
        n = slurp(log_file(1), foreign, sizeof(foreign));
        make_victim(NULL);
        spit(log_file(1), foreign, n);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){.first_key = log_first_key}, &result));
        assert_true(has(&result, KB_VERIFY_OTHER_LOG));
        assert_true(has(&result, KB_VERIFY_ANCHOR_MAC));
}

static void a_writer_that_died_is_no_attacker(void **state)
{
        struct kb_verify_result result;

        make_victim(NULL);
        spit(log_file(1), original, size - 5);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){.first_key = log_first_key}, &result));
        assert_int_equal(result.n_findings, 0);
        assert_int_equal(result.torn, offset[14] - offset[13] - 5);
        assert_int_equal(result.last, 12);
}

static void more_findings_than_fit_are_counted(void **state)
{
        struct kb_verify_result result;
        struct kb_commit c;
        size_t n;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        write_n(&c, 2);
        offset[1] = c.tail.end;
        write_n(&c, 100);
        offset[2] = (c.tail.end - offset[1]) / 100;
        kb_commit_done(&c);
        n = slurp(log_file(1), altered, sizeof(altered));
        for (unsigned i = 0; i < 98; i += 2)
                altered[offset[1] + i * offset[2] + 70] ^= 1;
        spit(log_file(1), altered, n);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){}, &result));
        assert_int_equal(result.n_findings, 49);
}

/* --- in words --- */

static const char *print(const struct kb_verify_options *options)
{
        static char text[8192];
        _cleanup_fclose_ FILE *f = fmemopen(text, sizeof(text), "w");
        struct kb_verify_result result;

        assert_ok(kb_verify(log_folder, options, &result));
        kb_verify_print(&result, f);
        return text;
}

static void the_bound_is_told_in_words(void **state)
{
        make_victim(NULL);
        assert_non_null(
                strstr(print(&(struct kb_verify_options){}), "Proven: nothing against somebody with root"));
        assert_non_null(strstr(print(&(struct kb_verify_options){.first_key = log_first_key}),
                               "records 1 to 10 are complete and unaltered, by the first key"));
        assert_non_null(strstr(print(&(struct kb_verify_options){.kept = anchors, .n_kept = 1}),
                               "records 1 to 5 are complete and unaltered, by an anchor that was kept"));
        change(4);
        recompute(4);
        spit(log_file(1), altered, size);
        assert_non_null(strstr(print(&(struct kb_verify_options){.first_key = log_first_key}),
                               "00000000000000000001.kblog, byte "));
        assert_non_null(strstr(print(&(struct kb_verify_options){.first_key = log_first_key}),
                               "Proven: nothing. No anchor fits the first key"));
        assert_non_null(strstr(print(&(struct kb_verify_options){.kept = anchors, .n_kept = 2}),
                               "Proven: nothing. No anchor fits one that was kept"));
        for (unsigned i = 0; i <= KB_VERIFY_PROBLEMS; i++) {
                assert_non_null(kb_verify_problem_word(i));
                assert_non_null(kb_verify_problem_text(i));
        }
}

/* Checksums and chain are right, but what it says is not in the form of fields. */
static void a_record_of_nonsense_is_damage(void **state)
{
        struct kb_log_entry entry = {.event = KB_EVENT_GRANT_REFUSED, .fields = KB_SPAN("nonsense", 8)};
        struct kb_verify_result result;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &(struct kb_log_options){}));
        assert_ok(kb_commit_write(&c, (struct kb_log_entry *[]){&entry}, 1));
        kb_commit_done(&c);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){}, &result));
        assert_true(has(&result, KB_VERIFY_DAMAGED));
        assert_int_equal(result.findings[0].sequence, 2);
}

static void nothing_stands_before_the_first_record(void **state)
{
        struct kb_verify_result result;

        make_victim(NULL);
        altered[32] ^= 1; /* what it says about its predecessor */
        fix_checksum(1);
        recompute(2);
        spit(log_file(1), altered, size);
        assert_ok(kb_verify(log_folder, &(struct kb_verify_options){}, &result));
        assert_true(has(&result, KB_VERIFY_CHAIN));
}

static void everything_that_was_found_is_printed(void **state)
{
        static char text[16384];
        _cleanup_fclose_ FILE *f = fmemopen(text, sizeof(text), "w");
        struct kb_verify_result result = {.records = 5,
                                          .files = 1,
                                          .first = 8,
                                          .last = 12,
                                          .trimmed = 7,
                                          .torn = 31,
                                          .n_findings = 40};

        kb_verify_print(&result, f);
        fflush(f);
        assert_non_null(strstr(text, "5 records in 1 file, 8 to 12, with 0 anchors.\n"));
        assert_non_null(strstr(text, "Records 1 to 7 were removed"));
        assert_non_null(strstr(text, "An unfinished record is at the end: 31 bytes of it."));
        assert_non_null(strstr(text, "and 8 more like these"));
}

static void an_anchor_survives_the_way_over_paper(void **state)
{
        static const char *const broken[] = {
                "",
                "kb-anchor",
                "kb-anchor:1",
                "kb-anchor:2:00:1:2:00:00",
                "kb-anchor:1:x:1:2:3:4",
                "kb-anchor:1:00112233445566778899aabbccddeeff:1:2:00:00",
        };
        char line[KB_ANCHOR_LINE_MAX], more[KB_ANCHOR_LINE_MAX + 8];
        struct kb_anchor anchor;

        make_victim(NULL);
        kb_anchor_format(&anchors[1], line);
        snprintf(more, sizeof(more), "  %s \n", line);
        assert_ok(kb_anchor_parse(more, &anchor));
        assert_memory_equal(&anchor, &anchors[1], sizeof(anchor));
        for (size_t n = 0; n < strlen(line); n++) {
                memcpy(more, line, n);
                more[n] = '\0';
                assert_int_equal(kb_anchor_parse(more, &anchor), -EINVAL);
        }
        snprintf(more, sizeof(more), "%s:", line);
        assert_int_equal(kb_anchor_parse(more, &anchor), -EINVAL);
        for (size_t i = 0; i < KB_ARRAY_SIZE(broken); i++)
                assert_int_equal(kb_anchor_parse(broken[i], &anchor), -EINVAL);
}

static void a_mac_covers_all_that_an_anchor_says(void **state)
{
        const struct kb_anchor_key key = {.number = 3, .key = {1}};
        const struct kb_anchor base = {.log = "00", .number = 3, .sequence = 9, .previous = {5}};
        struct kb_anchor signed_one = base, others[3] = {base, base, base};

        assert_ok(kb_anchor_sign(&signed_one, &key));
        others[0].log[0] = '1';
        others[1].sequence = 8;
        others[2].previous[31] = 1;
        for (size_t i = 0; i < KB_ARRAY_SIZE(others); i++) {
                assert_ok(kb_anchor_sign(&others[i], &key));
                assert_memory_not_equal(others[i].mac, signed_one.mac, KB_HASH_SIZE);
        }
}

static void a_key_signs_the_anchor_of_its_number_only(void **state)
{
        struct kb_anchor_key key = {.number = 3};
        struct kb_anchor anchor = {.number = 4};

        assert_int_equal(kb_anchor_sign(&anchor, &key), -EINVAL);
        assert_ok(kb_anchor_key_next(&key));
        assert_ok(kb_anchor_sign(&anchor, &key));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_attack_is_found_up_to_the_bound_that_is_told),
                cmocka_unit_test(the_proof_goes_over_files_that_were_removed_as_told),
                cmocka_unit_test(a_file_removed_from_the_middle_is_a_gap),
                cmocka_unit_test(what_belongs_to_another_log_is_told_apart),
                cmocka_unit_test(a_file_of_another_log_does_not_pass),
                cmocka_unit_test(a_writer_that_died_is_no_attacker),
                cmocka_unit_test(more_findings_than_fit_are_counted),
                cmocka_unit_test(the_bound_is_told_in_words),
                cmocka_unit_test(a_record_of_nonsense_is_damage),
                cmocka_unit_test(nothing_stands_before_the_first_record),
                cmocka_unit_test(everything_that_was_found_is_printed),
                cmocka_unit_test(an_anchor_survives_the_way_over_paper),
                cmocka_unit_test(a_mac_covers_all_that_an_anchor_says),
                cmocka_unit_test(a_key_signs_the_anchor_of_its_number_only),
        };

        return cmocka_run_group_tests_name("log-verify", tests, test_folder_make, test_folder_remove);
}
