/* SPDX-License-Identifier: Apache-2.0 */
/* People, groups and rules of the local store: ids, attributes, passwords, and the document made of them. */
#include "tests/unit/store.h"

#include <crypt.h>
#include <errno.h>

#include "common/clock.h"
#include "directory/document.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/document.h"
#include "helper/store/local/password.h"
#include "helper/store/local/people.h"

static const struct kb_id_range range = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT};

/* Adds a person with one attribute (NULL: none); the error. */
static enum kb_error add(struct kb_local *l, const char *name, uint32_t uid, const char *attribute,
                         const char *value, uint32_t *ret)
{
        _cleanup_list_ struct kb_list_builder b = {};
        struct kb_new_person person = {.name = name, .hash = "", .range = range, .uid = uid};

        person.attributes = pairs_of(&b, attribute, value, NULL);
        return kb_person_add(l, &person, TEST_NOW, ret, &test_problem);
}

static uint32_t must_add(struct kb_local *l, const char *name)
{
        uint32_t uid = 0;

        assert_fine(add(l, name, 0, NULL, NULL, &uid));
        return uid;
}

static uint32_t add_group(struct kb_local *l, const char *name, const char *members)
{
        _cleanup_list_ struct kb_list_builder b = {};
        uint32_t gid = 0;

        assert_fine(kb_group_add(l, name, pairs_of(&b, "members", members, NULL), range, 0, TEST_NOW, &gid,
                                 &test_problem));
        return gid;
}

static void must_remove(struct kb_local *l, const char *name)
{
        _cleanup_list_ struct kb_list_builder rules = kb_list_builder_init(65536);

        assert_fine(kb_person_remove(l, name, TEST_NOW, &rules, &test_problem));
}

/* The document as the broker would take it. Sizes of portions are put together again. */
static struct kb_directory *load(struct kb_local *l, uint32_t expected_parts)
{
        _cleanup_writer_ struct kb_writer whole = kb_writer_init(64 * 1024 * 1024);
        _cleanup_(kb_document_freep) struct kb_document *d = NULL;
        struct kb_directory *directory;
        struct kb_refused refused;
        char text[256];

        assert_ok(kb_document_make(l, &d));
        if (expected_parts)
                assert_int_equal(kb_document_parts(d), expected_parts);
        for (uint32_t i = 0; i < kb_document_parts(d); i++) {
                assert_true(kb_document_part(d, i).size <= KB_DOCUMENT_PORTION);
                kb_write_raw(&whole, kb_document_part(d, i));
        }
        if (kb_directory_load(&directory, KB_SPAN(whole.data, whole.size),
                              &(struct kb_directory_options){.range = range}, &refused) < 0) {
                kb_refused_format(&refused, text, sizeof(text));
                fail_msg("%s", text);
        }
        return directory;
}

/* --- ids --- */

static void ids_are_never_used_again(void **state)
{
        _cleanup_list_ struct kb_list_builder rules = kb_list_builder_init(65536);
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        uint32_t uid;

        assert_int_equal(must_add(l, "ana"), 65536);
        assert_int_equal(must_add(l, "ben"), 65537);
        must_remove(l, "ben");
        assert_error(kb_person_remove(l, "ben", TEST_NOW, &rules, &test_problem), KB_E_NOT_FOUND);
        assert_int_equal(add_group(l, "dba", ""), 65538);
        assert_fine(kb_group_remove(l, "dba", TEST_NOW, &rules, &test_problem));
        assert_int_equal(must_add(l, "ben"), 65539); /* the name may come again, with another id */
        assert_error(add(l, "cay", 65537, NULL, NULL, &uid), KB_E_CONFLICT);
        assert_error(add(l, "cay", 65536, NULL, NULL, &uid), KB_E_CONFLICT);
        assert_fine(add(l, "cay", 65541, NULL, NULL, &uid));
        assert_int_equal(must_add(l, "dan"), 65540);
        assert_int_equal(must_add(l, "eve"), 65542);
}

static void what_the_host_knows_is_refused(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        uint32_t uid;

        assert_error(add(l, "root", 0, NULL, NULL, &uid), KB_E_CONFLICT);
        assert_error(add(l, "Root", 0, NULL, NULL, &uid), KB_E_BAD_REQUEST);
        assert_error(add(l, "ana", 12, NULL, NULL, &uid), KB_E_BAD_REQUEST);
        assert_error(add(l, "ana", 0, "shell", "bash", &uid), KB_E_BAD_REQUEST);
        must_add(l, "ana");
        assert_error(add(l, "ana", 0, NULL, NULL, &uid), KB_E_CONFLICT);
}

static void a_full_range_says_so(void **state)
{
        const struct kb_id_range narrow = {70000, 70001};
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        struct kb_new_person person = {.hash = "", .range = narrow};
        static const char *const names[] = {"a", "b", "c"};
        uint32_t uid;

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++) {
                person.name = names[i];
                assert_error(kb_person_add(l, &person, TEST_NOW, &uid, &test_problem),
                             i < 2 ? KB_E_OK : KB_E_CONFLICT);
        }
        assert_int_equal(uid, 70001);
}

static void ranges_are_read_strictly(void **state)
{
        static const struct {
                const char *text;
                bool valid;
        } rows[] = {{"", true},
                    {"70000-70010", true},
                    {"70000", false},
                    {"0-10", false},
                    {"9-8", false},
                    {"70000-", false},
                    {"70000-99999999999", false},
                    {"x-y", false},
                    {"70000-70010 ", false}};
        struct kb_id_range got;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                if (kb_ids_parse_range(rows[i].text, &got) != rows[i].valid)
                        fail_msg("row %zu", i);
}

/* --- attributes --- */

static void attributes_are_what_the_directory_takes(void **state)
{
        static const struct {
                const struct kb_attributes *table;
                const char *name, *value;
                enum kb_error expected;
        } rows[] = {
                {&kb_person_attributes, "full-name", "Ana B", KB_E_OK},
                {&kb_person_attributes, "full-name", "Ana:0:0", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "full-name", "Ana\nroot", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "home", "/home/ana", KB_E_OK},
                {&kb_person_attributes, "home", "home/ana", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "home", "/home/../etc", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "home", "/home/..", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "auth", "vault/userpass", KB_E_OK},
                {&kb_person_attributes, "expires", "2027-01-31", KB_E_OK},
                {&kb_person_attributes, "expires", "never", KB_E_OK},
                {&kb_person_attributes, "expires", "2027-02-31", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "expires", "2027-1-31", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "expires", "1960-01-01", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "uid", "0", KB_E_BAD_REQUEST},
                {&kb_person_attributes, "hash", "x", KB_E_BAD_REQUEST},
                {&kb_group_attributes, "members", "ana ben", KB_E_OK},
                {&kb_group_attributes, "members", "ana @ben", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "who", "ana @dba", KB_E_OK},
                {&kb_rule_attributes, "who", "@", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "host", "db* web[1-3]", KB_E_OK},
                {&kb_rule_attributes, "host", "a/b", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "factor", "key password", KB_E_OK},
                {&kb_rule_attributes, "factor", "smell", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "for", "8h", KB_E_OK},
                {&kb_rule_attributes, "who", ",", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "host", " ", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "service", ", ,", KB_E_BAD_REQUEST},
                {&kb_rule_attributes, "factor", ",", KB_E_BAD_REQUEST},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_list_ struct kb_list_builder b = {};

                if (kb_attributes_check(rows[i].table->rows, rows[i].table->n,
                                        pairs_of(&b, rows[i].name, rows[i].value, NULL),
                                        &test_problem) != rows[i].expected)
                        fail_msg("row %zu: %s", i, test_problem.text);
        }
}

/* --- groups and rules --- */

static const char *members_of(struct kb_local *l, const char *group)
{
        static char text[256];
        _cleanup_object_ struct kb_object o = {};

        assert_int_equal(kb_object_get(&l->shelf, "group", group, &o), 1);
        snprintf(text, sizeof(text), "%s", kb_object_text(&o, "members", ""));
        return text;
}

static void members_come_and_go_and_leave_with_the_person(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        must_add(l, "ana");
        must_add(l, "ben");
        add_group(l, "dba", "ben");
        add_group(l, "ops", "ana ben");
        assert_fine(kb_group_member(l, "dba", "ana", true, TEST_NOW, &test_problem));
        assert_fine(kb_group_member(l, "dba", "ana", true, TEST_NOW, &test_problem));
        assert_string_equal(members_of(l, "dba"), "ben ana");
        assert_error(kb_group_member(l, "dba", "nobody", true, TEST_NOW, &test_problem), KB_E_NOT_FOUND);
        assert_error(kb_group_member(l, "nope", "ana", true, TEST_NOW, &test_problem), KB_E_NOT_FOUND);
        assert_fine(kb_group_member(l, "dba", "ben", false, TEST_NOW, &test_problem));
        assert_fine(kb_group_member(l, "dba", "ben", false, TEST_NOW, &test_problem));
        assert_string_equal(members_of(l, "dba"), "ana");
        must_remove(l, "ana");
        assert_string_equal(members_of(l, "dba"), "");
        assert_string_equal(members_of(l, "ops"), "ben");
}

static void rules_are_made_once_and_end_after_they_begin(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_list_ struct kb_list_builder b = {}, c = {};
        struct kb_list rule = pairs_of(&b, "who", "@dba", "from", "2026-01-01", NULL);
        struct kb_list ends = pairs_of(&c, "until", "2025-12-31", NULL);

        assert_error(kb_rule_set(l, "r", rule, false, TEST_NOW, &test_problem), KB_E_NOT_FOUND);
        assert_fine(kb_rule_set(l, "r", rule, true, TEST_NOW, &test_problem));
        assert_error(kb_rule_set(l, "r", rule, true, TEST_NOW, &test_problem), KB_E_CONFLICT);
        assert_error(kb_rule_set(l, "r", ends, false, TEST_NOW, &test_problem), KB_E_BAD_REQUEST);
        assert_error(kb_rule_set(l, "no good", rule, true, TEST_NOW, &test_problem), KB_E_BAD_REQUEST);
        assert_fine(kb_rule_remove(l, "r", TEST_NOW, &test_problem));
        assert_error(kb_rule_remove(l, "r", TEST_NOW, &test_problem), KB_E_NOT_FOUND);
}

static void a_rule_takes_no_empty_limit_for_none(void **state)
{
        static const char *const limits[] = {"who", "host", "service", "factor", "from", "until", "for"};
        static const char *const empty[] = {"", " ", ","};
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_list_ struct kb_list_builder b = {};

        assert_fine(kb_rule_set(l, "old", pairs_of(&b, "who", "@dba", "host", "db*", NULL), true, TEST_NOW,
                                &test_problem));
        for (size_t i = 0; i < KB_ARRAY_SIZE(limits); i++)
                for (size_t k = 0; k < KB_ARRAY_SIZE(empty); k++) {
                        struct kb_list rule = pairs_of(&b, limits[i], empty[k], NULL);

                        assert_error(kb_rule_set(l, "old", rule, false, TEST_NOW, &test_problem),
                                     KB_E_BAD_REQUEST);
                        assert_error(kb_rule_set(l, "new", rule, true, TEST_NOW, &test_problem),
                                     KB_E_BAD_REQUEST);
                }
        assert_fine(kb_rule_set(
                l, "old",
                pairs_of(&b, "host", "*", "service", "*", "factor", "none", "until", "never", NULL), false,
                TEST_NOW, &test_problem));
}

static void add_rule(struct kb_local *l, const char *name, const char *who)
{
        _cleanup_list_ struct kb_list_builder b = {};

        assert_fine(kb_rule_set(l, name, pairs_of(&b, "who", who, NULL), true, TEST_NOW, &test_problem));
}

/* NULL: there is no such rule. Valid until the next call. */
static const char *who_of(struct kb_local *l, const char *rule)
{
        static char text[256];
        _cleanup_object_ struct kb_object o = {};
        int r = kb_object_get(&l->shelf, "rule", rule, &o);

        assert_ok(r);
        snprintf(text, sizeof(text), "%s", kb_object_text(&o, "who", ""));
        return r > 0 ? text : NULL;
}

/* Somebody who gets the name later must not find the way in that was another's. */
static void no_rule_outlives_whom_it_names(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_list_ struct kb_list_builder changed = kb_list_builder_init(65536),
                                              none = kb_list_builder_init(65536);
        struct kb_list rules;

        must_add(l, "ana");
        must_add(l, "ben");
        add_group(l, "dba", "ana ben");
        add_rule(l, "alone", "ana");
        add_rule(l, "both", "ben ana, @dba");
        add_rule(l, "as-group", "@ana ben");
        add_rule(l, "other", "anabel @dba");
        add_rule(l, "dba-only", "@dba");
        assert_fine(kb_person_remove(l, "ana", TEST_NOW, &changed, &test_problem));
        assert_null(who_of(l, "alone"));
        assert_string_equal(who_of(l, "both"), "ben @dba");
        assert_string_equal(who_of(l, "as-group"), "ben");
        assert_string_equal(who_of(l, "other"), "anabel @dba");
        assert_string_equal(members_of(l, "dba"), "ben");
        rules = kb_list_built(&changed);
        assert_int_equal(rules.count, 6);
        assert_string_equal(value_in(rules, "alone"), "");
        assert_string_equal(value_in(rules, "both"), "ben @dba");

        assert_fine(kb_group_remove(l, "dba", TEST_NOW, &none, &test_problem));
        assert_null(who_of(l, "dba-only"));
        assert_string_equal(who_of(l, "both"), "ben");
        assert_string_equal(who_of(l, "other"), "anabel");
}

/* What stands in the way of a new document can be taken away by its name, without being read. */
static void a_damaged_record_is_named_and_can_be_taken_away(void **state)
{
        static const struct {
                const char *kind, *name, *cure;
        } rows[] = {
                {"rule", "r", "keybearer rule remove r"},
                {"group", "dba", "keybearer group remove dba"},
                {"person", "ana", "keybearer user remove ana"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_store_ struct kb_local *l = store_make(store_folder());
                _cleanup_(kb_document_freep) struct kb_document *d = NULL;
                _cleanup_list_ struct kb_list_builder changed = kb_list_builder_init(65536);
                uint64_t n;
                int r;

                must_add(l, "ana");
                add_group(l, "dba", "ana");
                add_rule(l, "r", "@dba");
                assert_int_equal(kb_db_run(l->db, "UPDATE objects SET data = zeroblob(60) WHERE kind = ?",
                                           "s", rows[i].kind),
                                 1);
                r = kb_document_make(l, &d);
                assert_int_equal(r, -EBADMSG);
                assert_error(kb_damage_problem(l, &test_problem, r, "reading"), KB_E_STORAGE);
                assert_non_null(strstr(test_problem.text, rows[i].cure));
                if (i == 0)
                        assert_fine(kb_rule_remove(l, rows[i].name, TEST_NOW, &test_problem));
                else
                        assert_fine((i == 1 ? kb_group_remove : kb_person_remove)(l, rows[i].name, TEST_NOW,
                                                                                  &changed, &test_problem));
                assert_ok(kb_document_make(l, &d));
                assert_ok(kb_db_number(l->db, &n, "SELECT count(*) FROM ids WHERE gone > 0", ""));
                assert_int_equal(n, i > 0);
        }
}

/* --- the document --- */

static void the_broker_takes_the_document_as_it_is(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        _cleanup_list_ struct kb_list_builder b = {}, c = {};
        const struct kb_rule_record *rules;
        const struct kb_person *ana;
        uint64_t version;

        must_add(l, "gone");
        must_add(l, "ben");
        must_add(l, "ana");
        add_group(l, "dba", "ben,ana ben");
        must_remove(l, "gone");
        assert_fine(kb_person_set(
                l, "ana",
                pairs_of(&b, "full-name", "Ana B", "disabled", "yes", "expires", "2027-01-31", NULL),
                TEST_NOW, &test_problem));
        assert_fine(kb_rule_set(l, "dbas",
                                pairs_of(&c, "who", "@dba", "host", "db*", "service", "sshd sudo", "factor",
                                         "key password", "for", "8h", NULL),
                                true, TEST_NOW, &test_problem));
        assert_ok(kb_local_directory_version(l, &version));
        assert_int_equal(version, 8);

        d = load(l, 1);
        ana = kb_directory_person(d, "ana");
        assert_non_null(ana);
        assert_string_equal(ana->record.full_name, "Ana B");
        assert_string_equal(ana->record.home, "/home/ana");
        assert_string_equal(ana->record.shell, "/bin/bash");
        assert_true(ana->record.disabled && !ana->record.has_password);
        assert_int_equal(ana->record.expires, 1801353600ull * KB_USEC_PER_SEC);
        assert_true(kb_directory_is_member(d, ana, kb_directory_group(d, "dba")));
        assert_null(kb_directory_person(d, "gone"));
        assert_int_equal(kb_directory_rules(d, &rules), 1);
        assert_int_equal(rules[0].factors, KB_FACTOR_KEY | KB_FACTOR_PASSWORD);
        assert_int_equal(rules[0].seconds, 8 * 3600);
        assert_int_equal(rules[0].hosts.count, 1);
}

static void an_empty_directory_is_a_document_too(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_(kb_directory_freep) struct kb_directory *d = load(l, 1);
        const struct kb_person *people;
        uint64_t version;

        assert_int_equal(kb_directory_people(d, &people), 0);
        assert_ok(kb_local_directory_version(l, &version));
        assert_int_equal(version, 1);
}

/* Written straight, in one transaction: 12,000 commits would take minutes. */
static void a_large_directory_comes_in_portions(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        _cleanup_transaction_ struct kb_transaction t = {};
        const struct kb_person *people;

        assert_ok(kb_db_begin(l->db, &t));
        for (unsigned i = 0; i < 12000; i++) {
                _cleanup_list_ struct kb_list_builder b = {};
                char name[16], uid[16];

                snprintf(name, sizeof(name), "p%05u", i);
                snprintf(uid, sizeof(uid), "%u", 65536 + i);
                assert_ok(kb_object_put(&l->shelf, "person", name, 0,
                                        pairs_of(&b, "uid", uid, "full-name",
                                                 "somebody with a name that is not short", NULL),
                                        TEST_NOW));
        }
        assert_ok(kb_local_touch_directory(l));
        assert_ok(kb_db_commit(&t));
        d = load(l, 2);
        assert_int_equal(kb_directory_people(d, &people), 12000);
}

/* --- passwords --- */

static void a_password_matches_its_own_hash_alone(void **state)
{
        char one[KB_HASH_MAX], two[KB_HASH_MAX];

        assert_ok(kb_password_hash(KB_SPAN_STRING("correct horse"), one));
        assert_ok(kb_password_hash(KB_SPAN_STRING("correct horse"), two));
        assert_memory_equal(one, "$y$", 3);
        assert_string_not_equal(one, two);
        assert_true(kb_password_matches(KB_SPAN_STRING("correct horse"), one));
        assert_false(kb_password_matches(KB_SPAN_STRING("wrong horse"), one));
        assert_false(kb_password_matches(KB_SPAN_STRING("correct horse"), "$y$nonsense"));
        assert_false(kb_password_matches(KB_SPAN_STRING(""), one));
        assert_false(kb_password_matches(KB_SPAN("correct horse\0x", 15), one));
        assert_false(kb_password_matches(KB_SPAN_STRING("x"), NULL));
        assert_false(kb_password_matches(KB_SPAN_STRING("x"), ""));
        assert_int_equal(kb_password_hash(KB_SPAN_STRING(""), one), -EINVAL);
        assert_int_equal(kb_password_hash(KB_SPAN("a\0b", 3), one), -EINVAL);
}

/* How often the hash was computed, and with which method and costs: that is where all of the time goes. */
static unsigned n_hashed;
static char costs_hashed[16];

char *__real_crypt_r(const char *phrase, const char *setting, struct crypt_data *data);
char *__wrap_crypt_r(const char *phrase, const char *setting, struct crypt_data *data);
char *__wrap_crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
        const char *salt = strchr(setting + 3, '$');

        n_hashed++;
        snprintf(costs_hashed, sizeof(costs_hashed), "%.*s", salt ? (int)(salt - setting) : 0, setting);
        return __real_crypt_r(phrase, setting, data);
}

/* What a person who is there costs, so does one without a password, one who is not there, an answer that
 * cannot be a password. */
static void an_unknown_name_costs_the_same_hash_as_a_known_one(void **state)
{
        char hash[KB_HASH_MAX];
        const struct {
                struct kb_span answer;
                const char *hash;
        } rows[] = {
                {KB_SPAN_STRING("correct horse"), hash},
                {KB_SPAN_STRING("wrong horse"), hash},
                {KB_SPAN_STRING("wrong horse"), NULL},
                {KB_SPAN_STRING("wrong horse"), ""},
                {KB_SPAN("", 0), hash},
                {KB_SPAN("a\0b", 3), hash},
                {KB_SPAN("", 0), NULL},
        };
        char costs[sizeof(costs_hashed)];

        assert_ok(kb_password_hash(KB_SPAN_STRING("correct horse"), hash));
        snprintf(costs, sizeof(costs), "%.*s", (int)(strchr(hash + 3, '$') - hash), hash);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                n_hashed = 0;
                assert_int_equal(kb_password_matches(rows[i].answer, rows[i].hash), i == 0);
                assert_int_equal(n_hashed, 1);
                assert_string_equal(costs_hashed, costs);
        }
}

static void weak_passwords_are_told_from_good_ones(void **state)
{
        static const struct {
                const char *password, *old;
                enum kb_error expected;
        } rows[] = {
                {"Xq7-mallard-Tuba", "", KB_E_OK},
                {"short", "", KB_E_WEAK},
                {"aaaaaaaaaaaa", "", KB_E_WEAK},
                {"xanastasia9Q", "", KB_E_WEAK},
                {"Xq7-mallard-Tuba", "Xq7-mallard-Tuba", KB_E_WEAK},
                {"", "", KB_E_WEAK},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                test_problem.text[0] = '\0';
                if (kb_password_quality(KB_SPAN_STRING(rows[i].password), KB_SPAN_STRING(rows[i].old),
                                        "anastasia", &test_problem) != rows[i].expected)
                        fail_msg("row %zu: %s", i, test_problem.text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ids_are_never_used_again),
                cmocka_unit_test(what_the_host_knows_is_refused),
                cmocka_unit_test(a_full_range_says_so),
                cmocka_unit_test(ranges_are_read_strictly),
                cmocka_unit_test(attributes_are_what_the_directory_takes),
                cmocka_unit_test(members_come_and_go_and_leave_with_the_person),
                cmocka_unit_test(rules_are_made_once_and_end_after_they_begin),
                cmocka_unit_test(a_rule_takes_no_empty_limit_for_none),
                cmocka_unit_test(no_rule_outlives_whom_it_names),
                cmocka_unit_test(a_damaged_record_is_named_and_can_be_taken_away),
                cmocka_unit_test(the_broker_takes_the_document_as_it_is),
                cmocka_unit_test(an_empty_directory_is_a_document_too),
                cmocka_unit_test(a_large_directory_comes_in_portions),
                cmocka_unit_test(a_password_matches_its_own_hash_alone),
                cmocka_unit_test(an_unknown_name_costs_the_same_hash_as_a_known_one),
                cmocka_unit_test(weak_passwords_are_told_from_good_ones),
        };

        return cmocka_run_group_tests_name("store-people", tests, test_folder_make, test_folder_remove);
}
