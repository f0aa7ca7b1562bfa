/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions: one directory, and a table of who asks for what, when, with which factors, and what comes out.
 */
#include "tests/unit/directory.h"

#include <stdio.h>

#include "directory/decide.h"

#define PERSON   KB_RECORD_person
#define GROUP    KB_RECORD_group
#define RULE     KB_RECORD_rule
#define KEY      KB_FACTOR_KEY
#define PASSWORD KB_FACTOR_PASSWORD
#define OTP      KB_FACTOR_OTP
#define NEVER    KB_TIME_NEVER
#define SEC      KB_USEC_PER_SEC

static const struct item directory[] = {
        {PERSON, "ana", 70001},
        {PERSON, "ben", 70002, .disabled = true},
        {PERSON, "carl", 70003, .expires = 2000},
        {PERSON, "dora", 70004},
        {PERSON, "emil", 70005},
        {PERSON, "fay", 70006},
        {PERSON, "gus", 70007},
        {GROUP, "dba", 80001, .list = "ana ben carl"},
        {RULE, "10-dba-db", .list = "@dba", .hosts = "db* backup1", .services = "sshd sudo"},
        {RULE, "20-ana-web", .list = "ana", .hosts = "web1", .factors = KEY | OTP},
        {RULE, "30-dora", .list = "dora", .from = 1000, .until = 5000},
        {RULE, "40-emil-long", .list = "emil", .until = 9000},
        {RULE, "40-emil-short", .list = "emil", .until = 8000},
        {RULE, "50-fay-cron", .list = "fay", .services = "cron*"},
        {RULE, "51-fay-later", .list = "fay", .services = "sshd", .from = 7000},
        {RULE, "52-fay-past", .list = "fay", .services = "sshd", .until = 1000},
        {RULE, "60-gus", .list = "gus", .seconds = 60},
        {RULE, "61-nobody", .list = "gone @gone", .hosts = "*"},
        {},
};

static const struct {
        const char *user, *host, *service;
        uint32_t factors;
        uint64_t now;
        enum kb_reason reason;
        const char *rule;
        uint64_t valid_until;
        uint32_t missing;
} table[] = {
        /* people */
        {"nobody", "db1", "sshd", 0, 1500, KB_REASON_UNKNOWN, ""},
        {"gone", "db1", "sshd", 0, 1500, KB_REASON_UNKNOWN, ""},
        {"dba", "db1", "sshd", 0, 1500, KB_REASON_UNKNOWN, ""},
        {"", "db1", "sshd", 0, 1500, KB_REASON_UNKNOWN, ""},
        {"ben", "db1", "sshd", 0, 1500, KB_REASON_DISABLED, ""},
        {"carl", "db1", "sshd", 0, 1999, KB_REASON_PERMITTED, "10-dba-db", 2000},
        {"carl", "db1", "sshd", 0, 2000, KB_REASON_EXPIRED, ""},
        /* host and service */
        {"ana", "db1", "sshd", 0, 1500, KB_REASON_PERMITTED, "10-dba-db", NEVER},
        {"ana", "db", "sudo", 0, 1500, KB_REASON_PERMITTED, "10-dba-db", NEVER},
        {"ana", "backup1", "sshd", 0, 1500, KB_REASON_PERMITTED, "10-dba-db", NEVER},
        {"ana", "backup12", "sshd", 0, 1500, KB_REASON_WRONG_HOST, "10-dba-db"},
        {"ana", "mail1", "sshd", 0, 1500, KB_REASON_WRONG_HOST, "10-dba-db"},
        {"ana", "db1", "login", 0, 1500, KB_REASON_WRONG_SERVICE, "10-dba-db"},
        {"ana", "db1", "sshd-x", 0, 1500, KB_REASON_WRONG_SERVICE, "10-dba-db"},
        {"dora", "db1", "sshd", 0, 1500, KB_REASON_PERMITTED, "30-dora", 5000},
        {"fay", "any", "cron", 0, 1500, KB_REASON_PERMITTED, "50-fay-cron", NEVER},
        /* factors: all of them */
        {"ana", "web1", "sshd", KEY | OTP, 1500, KB_REASON_PERMITTED, "20-ana-web", NEVER},
        {"ana", "web1", "sshd", KEY | OTP | PASSWORD, 1500, KB_REASON_PERMITTED, "20-ana-web", NEVER},
        {"ana", "web1", "sshd", KEY, 1500, KB_REASON_FACTOR_MISSING, "20-ana-web", 0, OTP},
        {"ana", "web1", "sshd", OTP | PASSWORD, 1500, KB_REASON_FACTOR_MISSING, "20-ana-web", 0, KEY},
        {"ana", "web1", "cron", 0, 1500, KB_REASON_FACTOR_MISSING, "20-ana-web", 0, KEY | OTP},
        /* time: from is inside, until is not */
        {"dora", "x", "sshd", 0, 999, KB_REASON_NOT_YET, "30-dora"},
        {"dora", "x", "sshd", 0, 1000, KB_REASON_PERMITTED, "30-dora", 5000},
        {"dora", "x", "sshd", 0, 4999, KB_REASON_PERMITTED, "30-dora", 5000},
        {"dora", "x", "sshd", 0, 5000, KB_REASON_OVER, "30-dora"},
        {"gus", "x", "sshd", 0, 1000, KB_REASON_PERMITTED, "60-gus", 1000 + 60 * SEC},
        {"gus", "x", "sshd", 0, NEVER - 1, KB_REASON_PERMITTED, "60-gus", NEVER},
        /* several rules: the one that lasts longest permits, the one that came furthest explains */
        {"emil", "x", "sshd", 0, 1500, KB_REASON_PERMITTED, "40-emil-long", 9000},
        {"emil", "x", "sshd", 0, 8500, KB_REASON_PERMITTED, "40-emil-long", 9000},
        {"emil", "x", "sshd", 0, 9500, KB_REASON_OVER, "40-emil-long"},
        {"fay", "x", "sshd", 0, 1500, KB_REASON_NOT_YET, "51-fay-later"},
        {"fay", "x", "login", 0, 1500, KB_REASON_WRONG_SERVICE, "50-fay-cron"},
};

static struct kb_directory *load(void)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_directory *d = NULL;
        struct kb_refused refused;

        add_items(&w, directory);
        assert_ok(kb_directory_load(&d, KB_SPAN(w.data, w.size), &options, &refused));
        return d;
}

static struct kb_access access_of(size_t row)
{
        return (struct kb_access){
                .user = table[row].user,
                .host = table[row].host,
                .service = table[row].service,
                .factors = table[row].factors,
                .now = table[row].now,
                .directory_until = KB_TIME_NEVER,
        };
}

static void the_truth_table_holds(void **state)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = load();

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_access access = access_of(i);
                struct kb_decision got;

                kb_decide(d, &access, &got);
                if (got.reason != table[i].reason || strcmp(got.rule, table[i].rule) != 0 ||
                    got.valid_until != table[i].valid_until || got.missing != table[i].missing ||
                    got.permit != (got.reason == KB_REASON_PERMITTED))
                        fail_msg("row %zu: %s by \"%s\"", i, kb_reason_word(got.reason), got.rule);
        }
}

static void observing_lets_pass_and_still_says_why_not(void **state)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = load();

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_access access = access_of(i);
                struct kb_decision got;

                access.observe = true;
                kb_decide(d, &access, &got);
                assert_true(got.permit);
                assert_int_equal(got.reason, table[i].reason);
        }
}

static void no_directory_and_an_old_one_permit_nobody(void **state)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = load();
        struct kb_access access = {
                .user = "ana", .host = "db1", .service = "sshd", .now = 1000, .directory_until = 1001};
        struct kb_decision got;

        kb_decide(d, &access, &got);
        assert_int_equal(got.reason, KB_REASON_PERMITTED);
        access.now = 1001;
        kb_decide(d, &access, &got);
        assert_int_equal(got.reason, KB_REASON_DIRECTORY_OLD);
        assert_false(got.permit);
        kb_decide(NULL, &access, &got);
        assert_int_equal(got.reason, KB_REASON_NO_DIRECTORY);
        assert_false(got.permit);
}

static void somebody_whom_no_rule_names_is_refused_for_that(void **state)
{
        static const struct item items[] = {{PERSON, "ana", 70001}, {}};
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_access access = {.user = "ana", .host = "x", .service = "sshd", .directory_until = NEVER};
        struct kb_refused refused;
        struct kb_decision got;

        add_items(&w, items);
        assert_ok(kb_directory_load(&d, KB_SPAN(w.data, w.size), &options, &refused));
        kb_decide(d, &access, &got);
        assert_int_equal(got.reason, KB_REASON_NO_RULE);
        assert_string_equal(got.rule, "");
}

static void every_reason_has_words(void **state)
{
        for (enum kb_reason reason = 0; reason <= KB_REASON_FACTOR_MISSING; reason++) {
                assert_string_not_equal(kb_reason_word(reason), "unknown");
                assert_string_not_equal(kb_reason_text(reason), "unknown");
        }
        assert_string_equal(kb_reason_word((enum kb_reason)999), "unknown");
        assert_string_equal(kb_reason_text((enum kb_reason)999), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_truth_table_holds),
                cmocka_unit_test(observing_lets_pass_and_still_says_why_not),
                cmocka_unit_test(no_directory_and_an_old_one_permit_nobody),
                cmocka_unit_test(somebody_whom_no_rule_names_is_refused_for_that),
                cmocka_unit_test(every_reason_has_words),
        };

        return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
