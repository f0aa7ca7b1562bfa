/* SPDX-License-Identifier: Apache-2.0 */
/* The document: what is taken, what is refused as a whole, what is left out, and what is said about it. */
#include "tests/unit/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NAME_32 "abcdefghijklmnopqrstuvwxyz012345"

static int load(struct kb_directory **ret, const struct item *items, const struct kb_files_db *files,
                struct kb_refused *ret_refused)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        struct kb_directory_options options = {.range = TEST_RANGE, .files = files};

        add_items(&w, items);
        return kb_directory_load(ret, KB_SPAN(w.data, w.size), &options, ret_refused);
}

/* --- refused as a whole --- */

#define PERSON KB_RECORD_person
#define GROUP  KB_RECORD_group
#define RULE   KB_RECORD_rule
#define DEAD   KB_RECORD_tombstone
#define ANA                                                                                                 \
        {                                                                                                   \
                PERSON, "ana", 70001                                                                        \
        }
#define BEN                                                                                                 \
        {                                                                                                   \
                PERSON, "ben", 70002                                                                        \
        }

static const struct {
        enum kb_refusal expected;
        uint32_t record;
        struct item items[5];
} bad[] = {
        {KB_REFUSAL_ORDER, 2, {BEN, ANA}},
        {KB_REFUSAL_ORDER, 2, {ANA, {PERSON, "ana", 70002}}},
        {KB_REFUSAL_ORDER, 2, {{GROUP, "dba", 70001}, BEN}},
        {KB_REFUSAL_ORDER, 2, {{DEAD, "x", 70009}, {DEAD, "y", 70008}}},
        {KB_REFUSAL_ORDER, 2, {{DEAD, "x", 70009}, {DEAD, "x", 70009}}},
        {KB_REFUSAL_NAME, 1, {{PERSON, "", 70001}}},
        {KB_REFUSAL_NAME, 1, {{PERSON, "Ana", 70001}}},
        {KB_REFUSAL_NAME, 1, {{PERSON, "../ana", 70001}}},
        {KB_REFUSAL_NAME, 1, {{PERSON, "a\nb", 70001}}},
        {KB_REFUSAL_NAME, 1, {{GROUP, "d:b", 70001}}},
        {KB_REFUSAL_NAME, 1, {{RULE, "a b", .list = "ana"}}},
        {KB_REFUSAL_NAME, 1, {{DEAD, "", 70001}}},
        {KB_REFUSAL_NAME_TAKEN, 2, {ANA, {GROUP, "ana", 70002}}},
        {KB_REFUSAL_ID_OUTSIDE, 1, {{PERSON, "ana", 0}}},
        {KB_REFUSAL_ID_OUTSIDE, 1, {{PERSON, "ana", 1000}}},
        {KB_REFUSAL_ID_OUTSIDE, 1, {{PERSON, "ana", KB_ID_MIN_DEFAULT - 1}}},
        {KB_REFUSAL_ID_OUTSIDE, 1, {{PERSON, "ana", KB_ID_MAX_DEFAULT + 1}}},
        {KB_REFUSAL_ID_OUTSIDE, 1, {{PERSON, "ana", UINT32_MAX}}},
        {KB_REFUSAL_ID_OUTSIDE, 1, {{GROUP, "sudo", 27}}},
        {KB_REFUSAL_ID_TAKEN, 2, {ANA, {PERSON, "ben", 70001}}},
        {KB_REFUSAL_ID_TAKEN, 3, {ANA, BEN, {GROUP, "dba", 70002}}},
        {KB_REFUSAL_ID_DEAD, 1, {ANA, {DEAD, "old", 70001}}},
        {KB_REFUSAL_TEXT, 1, {{PERSON, "ana", 70001, .full_name = "A:0:0"}}},
        {KB_REFUSAL_TEXT, 1, {{PERSON, "ana", 70001, .full_name = "A\nroot"}}},
        {KB_REFUSAL_TEXT, 1, {{PERSON, "ana", 70001, .full_name = "\xff"}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .home = "home"}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .home = ""}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .home = "/home/../root"}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .home = "/home/.."}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .home = "/a:b"}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .shell = "sh"}}},
        {KB_REFUSAL_PATH, 1, {{PERSON, "ana", 70001, .shell = "/bin/sh\n"}}},
        {KB_REFUSAL_AUTH, 1, {{PERSON, "ana", 70001, .auth = "../x"}}},
        {KB_REFUSAL_MEMBER_ORDER, 3, {ANA, BEN, {GROUP, "dba", 70003, .list = "ben ana"}}},
        {KB_REFUSAL_MEMBER_ORDER, 3, {ANA, BEN, {GROUP, "dba", 70003, .list = "ana ana"}}},
        {KB_REFUSAL_MEMBER, 2, {ANA, {GROUP, "dba", 70003, .list = "ana root"}}},
        {KB_REFUSAL_MEMBER, 2, {ANA, {GROUP, "sudo", 70003, .list = "local"}}},
        {KB_REFUSAL_WHO, 1, {{RULE, "r", .list = "@"}}},
        {KB_REFUSAL_WHO, 1, {{RULE, "r", .list = "*"}}},
        {KB_REFUSAL_PATTERN, 1, {{RULE, "r", .hosts = "@web"}}},
        {KB_REFUSAL_PATTERN, 1, {{RULE, "r", .services = "a/b"}}},
        {KB_REFUSAL_FACTOR, 1, {{RULE, "r", .factors = 8}}},
        {KB_REFUSAL_PERIOD, 1, {{RULE, "r", .from = 10, .until = 10}}},
};

static void a_document_that_is_wrong_in_itself_is_refused_whole(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
                struct kb_refused refused = {};
                int r = load(&d, bad[i].items, NULL, &refused);
                if (r != -EBADMSG || refused.reason != bad[i].expected || refused.record != bad[i].record ||
                    d)
                        fail_msg("row %zu: %d, record %u: %s", i, r, refused.record,
                                 kb_refusal_word(refused.reason));
        }
}

static void every_reason_to_refuse_is_in_the_table_or_has_its_own_test(void **state)
{
        static const enum kb_refusal own[] = {
                KB_REFUSAL_NONE,      KB_REFUSAL_RANGE, KB_REFUSAL_TOO_BIG,    KB_REFUSAL_TOO_MANY,
                KB_REFUSAL_MALFORMED, KB_REFUSAL_KIND,  KB_REFUSAL_FILES_NAME, KB_REFUSAL_FILES_ID};

        for (enum kb_refusal reason = 0; strcmp(kb_refusal_word(reason), "unknown") != 0; reason++) {
                bool found = false;

                for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++)
                        found |= bad[i].expected == reason;
                for (size_t i = 0; i < KB_ARRAY_SIZE(own); i++)
                        found |= own[i] == reason;
                if (!found)
                        fail_msg("nothing tests \"%s\"", kb_refusal_word(reason));
        }
}

/* --- framing --- */

static enum kb_refusal load_bytes(const void *bytes, size_t size)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_refused refused = {};
        int r = kb_directory_load(&d, KB_SPAN(bytes, size), &options, &refused);

        if (r != 0 && r != -EBADMSG)
                fail_msg("%d", r);
        return r == 0 ? KB_REFUSAL_NONE : refused.reason;
}

static const struct item small[] = {
        ANA,
        BEN,
        {GROUP, "dba", 80001, .list = "ana ben"},
        {RULE, "dbas", .list = "ana @dba", .hosts = "db*", .services = "sshd"},
        {DEAD, "old", 70000},
        {},
};

static void a_cut_document_is_taken_only_between_records(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        unsigned taken = 0;

        add_items(&w, small);
        for (size_t size = 0; size <= w.size; size++) {
                _cleanup_free_ void *exact = malloc(size + (size == 0));

                assert_non_null(exact);
                memcpy(exact, w.data, size);
                taken += load_bytes(exact, size) == KB_REFUSAL_NONE;
        }
        assert_int_equal(taken, KB_ARRAY_SIZE(small)); /* before the first, and behind each */
}

static void a_changed_byte_never_crashes_the_loader(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        unsigned refused = 0;

        add_items(&w, small);
        for (size_t i = 0; i < w.size; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        w.data[i] ^= (uint8_t)(1 << bit);
                        refused += load_bytes(w.data, w.size) != KB_REFUSAL_NONE;
                        w.data[i] ^= (uint8_t)(1 << bit);
                }
        assert_true(refused > w.size); /* what is left are other names and times, which are as good */
}

static void an_unknown_kind_is_refused(void **state)
{
        static const uint8_t kind_9[] = {4, 0, 0, 0, 9, 0, 0, 0, 0}, kind_0[] = {4, 0, 0, 0, 0, 0, 0, 0, 0};

        assert_int_equal(load_bytes(kind_9, sizeof(kind_9)), KB_REFUSAL_KIND);
        assert_int_equal(load_bytes(kind_0, sizeof(kind_0)), KB_REFUSAL_KIND);
}

static void garbage_is_malformed_whatever_its_kind_says(void **state)
{
        for (uint8_t kind = 1; kind <= 4; kind++) {
                uint8_t record[] = {5, 0, 0, 0, kind, 0, 0, 0, 0xff, 0};

                assert_int_equal(load_bytes(record, sizeof(record)), KB_REFUSAL_MALFORMED);
        }
        assert_int_equal(load_bytes("\1\0\0\0\1", 6), KB_REFUSAL_MALFORMED); /* no room for a kind */
}

/* --- bounds --- */

static void more_people_than_the_bound_are_refused(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        char name[16];

        for (unsigned i = 0; i <= KB_DIRECTORY_PEOPLE_MAX; i++) {
                snprintf(name, sizeof(name), "u%06u", i);
                add_person(&w, &(struct item){.name = name, .id = i});
        }
        assert_ok(kb_writer_end(&w));
        assert_int_equal(load_bytes(w.data, w.size), KB_REFUSAL_TOO_MANY);
}

/* Each group lists somebody often enough to be out of order, but the sum is looked at first. */
static void more_memberships_than_the_bound_are_refused(void **state)
{
        const unsigned each = 250000;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_list_ struct kb_list_builder names = kb_list_builder_init(1 << 24);
        char name[16];

        for (unsigned i = 0; i < each; i++) {
                snprintf(name, sizeof(name), "u%06u", i);
                kb_list_add_string(&names, name);
        }
        for (unsigned i = 0; i <= KB_DIRECTORY_MEMBERSHIPS_MAX / each; i++) {
                snprintf(name, sizeof(name), "g%06u", i);
                kb_directory_add_group(
                        &w, &(struct kb_group_record){name, KB_ID_MIN_DEFAULT + i, kb_list_built(&names)});
        }
        assert_ok(kb_writer_end(&w));
        assert_int_equal(load_bytes(w.data, w.size), KB_REFUSAL_TOO_MANY);
}

static void a_document_larger_than_the_bound_is_not_even_looked_at(void **state)
{
        assert_int_equal(load_bytes("", KB_DIRECTORY_SIZE_MAX + 1), KB_REFUSAL_TOO_BIG);
}

static void a_range_that_touches_the_systems_ids_is_refused(void **state)
{
        static const struct {
                struct kb_id_range range;
                bool valid;
        } table[] = {
                {{KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT}, true},
                {{1879048192, 2147483646}, true},
                {{1000, 60000}, true},
                {{70000, 70000}, true},
                {{70001, 70000}, false},
                {{0, 70000}, false},
                {{999, 2000}, false},
                {{1000, 60001}, false},
                {{60577, 61000}, false},
                {{60100, 60200}, false},
                {{60000, 99999}, false},
                {{65519, 65530}, false},
                {{65535, 99999}, false},
                {{1879048192, 2147483647}, false},
                {{3000000000, UINT32_MAX}, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
                int r = kb_directory_new_empty(&d, table[i].range);

                if (r != (table[i].valid ? 0 : -EINVAL))
                        fail_msg("row %zu: %d", i, r);
        }
}

/* --- what a good one says --- */

static void people_groups_and_rules_are_found_again(void **state)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        const struct kb_rule_record *rules;
        const struct kb_person *people;
        const struct kb_group *dba, *groups;
        struct kb_refused refused;

        assert_ok(load(&d, small, NULL, &refused));
        assert_int_equal(kb_directory_people(d, &people), 2);
        assert_int_equal(kb_directory_groups(d, &groups), 1);
        assert_int_equal(kb_directory_rules(d, &rules), 1);
        assert_string_equal(rules[0].name, "dbas");
        assert_null(kb_directory_person(d, "carl"));
        assert_null(kb_directory_person(d, "old"));
        assert_null(kb_directory_group(d, "ana"));
        dba = kb_directory_group(d, "dba");
        assert_int_equal(dba->members.count, 2);
        assert_string_equal(people[dba->members.at[1]].record.name, "ben");
        assert_true(kb_directory_is_member(d, kb_directory_person(d, "ben"), dba));
        assert_int_equal(kb_directory_range(d).max, KB_ID_MAX_DEFAULT);
}

static void the_groups_of_each_person_are_those_that_list_him(void **state)
{
        static const struct item items[] = {
                ANA,
                BEN,
                {PERSON, "carl", 70003},
                {GROUP, "g1", 80001, .list = "ana carl"},
                {GROUP, "g2", 80002},
                {GROUP, "g3", 80003, .list = "ben carl"},
                {},
        };
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        const struct kb_person *carl, *ana;
        struct kb_refused refused;

        assert_ok(load(&d, items, NULL, &refused));
        ana = kb_directory_person(d, "ana");
        carl = kb_directory_person(d, "carl");
        assert_int_equal(ana->groups.count, 1);
        assert_int_equal(ana->groups.at[0], 0);
        assert_int_equal(carl->groups.count, 2);
        assert_int_equal(carl->groups.at[1], 2);
        assert_false(kb_directory_is_member(d, ana, kb_directory_group(d, "g3")));
}

/* --- this host's own files --- */

static void write_file(char *path, const void *text, size_t size)
{
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, size), size);
        close(fd);
}

static struct kb_files_db *files_of(const void *passwd, size_t passwd_size, const char *group)
{
        char passwd_path[] = "/tmp/kb-passwd-XXXXXX", group_path[] = "/tmp/kb-group-XXXXXX";
        struct kb_files_db *db = NULL;

        write_file(passwd_path, passwd, passwd_size);
        write_file(group_path, group, strlen(group));
        assert_ok(kb_files_db_load(&db, passwd_path, group_path));
        unlink(passwd_path);
        unlink(group_path);
        return db;
}

static void files_are_read_as_far_as_they_go(void **state)
{
        static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                                     "# comment:x:1:1\n"
                                     "  indented:x:1001:1002::/:\n"
                                     "broken\n"
                                     "\n"
                                     "huge:x:4294967296:7:\n"
                                     "nul\0hidden:x:1005:1005::/:\n"
                                     "last:x:1003:1004";
        _cleanup_(kb_files_db_freep) struct kb_files_db *db =
                files_of(passwd, sizeof(passwd) - 1, "wheel:x:10:ana,70001\n");

        assert_true(kb_files_db_has_name(db, "root"));
        assert_true(kb_files_db_has_id(db, 0));
        assert_true(kb_files_db_has_name(db, "indented"));
        assert_true(kb_files_db_has_id(db, 1001));
        assert_true(kb_files_db_has_id(db, 1002));
        assert_true(kb_files_db_has_name(db, "broken"));
        assert_true(kb_files_db_has_name(db, "hidden"));
        assert_true(kb_files_db_has_id(db, 1005));
        assert_true(kb_files_db_has_id(db, 1004));
        assert_true(kb_files_db_has_name(db, "wheel"));
        assert_true(kb_files_db_has_id(db, 10));
        assert_false(kb_files_db_has_name(db, "ana"));
        assert_false(kb_files_db_has_name(db, ""));
        assert_false(kb_files_db_has_name(db, "# comment"));
        assert_false(kb_files_db_has_id(db, 70001));
        assert_false(kb_files_db_has_id(db, 1));
}

static void files_that_cannot_be_read_are_an_error(void **state)
{
        char path[] = "/tmp/kb-files-XXXXXX", big[] = "/tmp/kb-files-XXXXXX";
        struct kb_files_db *db = NULL;

        write_file(path, "a:x:1:1\n", 8);
        write_file(big, "a:x:1:1\n", 8);
        assert_int_equal(truncate(big, (off_t)65 * 1024 * 1024), 0);
        assert_int_equal(kb_files_db_load(&db, "/nonexistent/passwd", path), -ENOENT);
        assert_int_equal(kb_files_db_load(&db, "/tmp", path), -EINVAL);
        assert_int_equal(kb_files_db_load(&db, path, "/tmp"), -EINVAL);
        assert_int_equal(kb_files_db_load(&db, big, path), -EFBIG);
        assert_null(db);
        assert_ok(kb_files_db_load(&db, path, "/nonexistent/group"));
        assert_true(kb_files_db_has_name(db, "a"));
        kb_files_db_free(db);
        unlink(path);
        unlink(big);
}

static void what_the_hosts_files_know_is_left_out_and_the_rest_is_taken(void **state)
{
        static const char passwd[] = "ana:x:1000:1000::/home/ana:/bin/sh\n"
                                     "somebody:x:70002:1001::/:/bin/sh\n";
        static const struct item items[] = {
                ANA,
                BEN,
                {PERSON, "carl", 70003},
                {GROUP, "dba", 80001, .list = "ana ben carl"},
                {GROUP, "sudo", 80002, .list = "carl"},
                {},
        };
        _cleanup_(kb_files_db_freep) struct kb_files_db *files =
                files_of(passwd, sizeof(passwd) - 1, "sudo:x:27:\n");
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        const struct kb_refused *out;
        const struct kb_person *people;
        struct kb_refused refused;
        char text[160];

        assert_ok(load(&d, items, files, &refused));
        assert_int_equal(kb_directory_people(d, &people), 1);
        assert_non_null(kb_directory_person(d, "carl"));
        assert_int_equal(kb_directory_group(d, "dba")->members.count, 1);
        assert_null(kb_directory_group(d, "sudo"));
        assert_int_equal(people[0].groups.count, 1);
        assert_int_equal(kb_directory_left_out(d, &out), 3);
        assert_int_equal(out[0].reason, KB_REFUSAL_FILES_NAME);
        assert_int_equal(out[1].reason, KB_REFUSAL_FILES_ID);
        kb_refused_format(&out[2], text, sizeof(text));
        assert_string_equal(text,
                            "record 5 (group sudo): /etc/passwd or /etc/group of this host has the name");
}

static void a_group_cannot_take_the_name_of_somebody_left_out(void **state)
{
        static const struct item items[] = {ANA, {GROUP, "ana", 80001}, {}};
        _cleanup_(kb_files_db_freep) struct kb_files_db *files = files_of("ana:x:1:1", 9, "");
        struct kb_directory *d = NULL;
        struct kb_refused refused;

        assert_int_equal(load(&d, items, files, &refused), -EBADMSG);
        assert_int_equal(refused.reason, KB_REFUSAL_NAME_TAKEN);
}

/* --- what is said --- */

static void a_refusal_names_record_and_subject_but_prints_no_control_characters(void **state)
{
        static const struct item items[] = {{PERSON, "a\nb", 70001}, {}};
        struct kb_directory *d = NULL;
        struct kb_refused refused;
        char text[160];

        assert_int_equal(load(&d, items, NULL, &refused), -EBADMSG);
        kb_refused_format(&refused, text, sizeof(text));
        assert_string_equal(text,
                            "record 1 (person): the name is not one that a person, group or rule can have");
        kb_refused_format(&(struct kb_refused){.reason = KB_REFUSAL_TOO_BIG}, text, sizeof(text));
        assert_string_equal(text, "directory: the document is larger than a directory may be");
        kb_refused_format(&(struct kb_refused){.reason = 999, .record = 1, .kind = 999}, text, sizeof(text));
        assert_string_equal(text, "record 1 (record): unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_document_that_is_wrong_in_itself_is_refused_whole),
                cmocka_unit_test(every_reason_to_refuse_is_in_the_table_or_has_its_own_test),
                cmocka_unit_test(a_cut_document_is_taken_only_between_records),
                cmocka_unit_test(a_changed_byte_never_crashes_the_loader),
                cmocka_unit_test(an_unknown_kind_is_refused),
                cmocka_unit_test(garbage_is_malformed_whatever_its_kind_says),
                cmocka_unit_test(more_people_than_the_bound_are_refused),
                cmocka_unit_test(more_memberships_than_the_bound_are_refused),
                cmocka_unit_test(a_document_larger_than_the_bound_is_not_even_looked_at),
                cmocka_unit_test(a_range_that_touches_the_systems_ids_is_refused),
                cmocka_unit_test(people_groups_and_rules_are_found_again),
                cmocka_unit_test(the_groups_of_each_person_are_those_that_list_him),
                cmocka_unit_test(files_are_read_as_far_as_they_go),
                cmocka_unit_test(files_that_cannot_be_read_are_an_error),
                cmocka_unit_test(what_the_hosts_files_know_is_left_out_and_the_rest_is_taken),
                cmocka_unit_test(a_group_cannot_take_the_name_of_somebody_left_out),
                cmocka_unit_test(a_refusal_names_record_and_subject_but_prints_no_control_characters),
        };

        return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
