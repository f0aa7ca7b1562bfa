/* SPDX-License-Identifier: Apache-2.0 */
/* From a question to an answer: whose, from which lease, by which definition, and while the store is away.
 */
#include "tests/unit/world.h"

#include <errno.h>

#define KV    "[Credential]\nPath=kv/orders\n[Allow]\nUnit=orders.service\n"
#define WAIT  "[Credential]\nOnUnavailable=wait\nWaitSec=20s\n"
#define STALE "[Credential]\nOnUnavailable=stale\nStaleSec=1h\n"
#define FAIL  "[Credential]\nOnUnavailable=fail\n"
#define CERT  "[Credential]\nPath=pki/issue/web\n[Allow]\nUnit=orders.service\n[Rotation]\nOverlap=10s\n"
#define TELL  "[Rotation]\nOnRotate=reload\nCheckSec=10s\nOverlap=5s\n"

static int begin(void **state)
{
        world_begin();
        return 0;
}

static int end(void **state)
{
        world_end();
        return 0;
}

/* --- the same lease again --- */

static void a_lease_that_is_fetched_again_keeps_its_record(void **state)
{
        uint64_t id;

        world_define("web-tls", CERT);
        world_issue("web-tls", "L1", 3600, "one");
        id = world_held("web-tls")->grant.id;
        world_pass(2400 * SEC);
        FETCHED("L1", 3600, "password", "one");
        world_commit();
        assert_string_equal(world_trace(), "fetch pki/issue/web; grant-renewed L1");
        assert_int_equal(kb_grant_newest(&world_held("web-tls")->grant)->record, id);
        world_die_and_start();
        assert_null(world_held("web-tls")->grant.leases->next);
        world_pass(3000 * SEC);
        FETCHED("L1", 3600, "surname", "not what it was", "password", "one");
        kb_grants_end(world_held("web-tls"));
        world_commit();
        assert_non_null(strstr(world_trace(), "grant-renewed L1; grant-revoking L1; revoke L1"));
        world_revoked();
        world_commit();
        world_die_and_start();
        assert_int_equal(kb_grants_count(broker.grants), 0);
}

/* --- OnUnavailable=stale --- */

static void ask_stale(const char *credential, const char *more, const char *expected)
{
        struct asked asked;
        char text[512];

        snprintf(text, sizeof(text), KV STALE "%s", more);
        world_define(credential, text);
        world_ask(&asked, credential);
        if (asked.answers == 0)
                world_fail(KB_E_UNREACHABLE, "away");
        world_commit();
        assert_int_equal(asked.answers, 1);
        assert_string_equal(asked.values, expected);
        if (world_held(credential))
                kb_grants_end(world_held(credential));
        world_commit();
        while (world_calls() > 0)
                world_revoked();
        world_commit();
}

static void a_stale_answer_is_never_another_definitions(void **state)
{
        struct asked asked;

        world_define("a", KV STALE "[Credential]\nMethod=get\nParam.x=1\n");
        world_ask(&asked, "a");
        FETCHED("kv/orders@1", 0, "password", "of get");
        world_commit();
        assert_string_equal(asked.values, "password=of get");
        kb_grants_end(world_held("a"));
        world_commit();
        world_revoked();
        ask_stale("b", "Method=get\nParam.x=1\n", "password=of get");
        ask_stale("b", "Method=list\nParam.x=1\n", "");
        ask_stale("b", "Method=get\nParam.x=2\n", "");
        ask_stale("b", "Method=get\nParam.x=1\nParam.y=2\n", "");
        ask_stale("b", "Method=get\nParam.x=1\nVersion=1\n", "");
        ask_stale("b", "Param.Method=get\nParam.x=1\n", "");
}

/* Asks, is answered, and ends. */
static void ask_and_end(const char *credential, const char *trace, const char *password, const char *key)
{
        struct asked asked;

        world_ask(&asked, credential);
        assert_string_equal(world_trace(), trace);
        FETCHED("kv/orders@1", 0, "password", password, key, key ? "deep" : NULL);
        world_commit();
        kb_grants_end(world_held(credential));
        world_commit();
        world_revoked();
        world_trace();
}

static void a_part_of_a_value_is_asked_for_by_its_pointer_and_kept_with_it(void **state)
{
        world_define("plain", KV STALE);
        world_define("part", KV STALE "[Credential]\nField.key=/tls/0/key\nField.word=password\n");
        ask_and_end("part", "fetch kv/orders /tls/0/key", "x", "/tls/0/key");
        ask_and_end("plain", "fetch kv/orders", "x", NULL); /* does not take its place */
        ask_stale("part", "[Credential]\nField.key=/tls/0/key\nField.word=password\n", "key=deep word=x");
        ask_stale("plain", "", "password=x");
}

static void a_store_that_says_no_ends_what_it_said_before(void **state)
{
        struct asked asked;

        world_define("a", KV STALE);
        world_ask(&asked, "a");
        FETCHED("kv/orders@1", 0, "password", "x");
        world_commit();
        kb_grants_end(world_held("a"));
        world_commit();
        world_revoked();
        world_ask(&asked, "a");
        world_fail(KB_E_DENIED, "no more");
        assert_int_equal(asked.error, KB_E_DENIED);
        assert_string_equal(asked.reason, "no more");
        ask_stale("a", "", "");
}

/* --- values that were handed out before a restart of ours --- */

static void a_start_that_asks_on_after_a_restart_waits_for_the_store(void **state)
{
        struct asked asked, second;

        world_define("db", KV WAIT);
        world_issue("db", "kv/orders@3", 0, "three");
        world_die_and_start();
        world_ask(&asked, "db");
        world_ask(&second, "db");
        assert_string_equal(world_trace(), "fetch kv/orders@3");
        world_fail(KB_E_UNREACHABLE, "away");
        world_pass(5 * SEC);
        world_fail(KB_E_SEALED, "sealed");
        assert_int_equal(asked.answers, 0);
        world_pass(5 * SEC);
        FETCHED("kv/orders@3", 0, "password", "three");
        assert_string_equal(asked.values, "password=three");
        assert_string_equal(second.values, "password=three");
        assert_int_equal(kb_grants_count(broker.grants), 1);
}

static void a_version_of_a_store_that_was_put_back_is_asked_for_by_its_number(void **state)
{
        struct asked asked;

        world_define("db", KV WAIT);
        world_issue("db", "kv/orders@3.5f3a", 0, "three");
        world_die_and_start();
        world_ask(&asked, "db");
        assert_string_equal(world_trace(), "fetch kv/orders@3");
        FETCHED("kv/orders@3.5f3a", 0, "password", "three");
        assert_string_equal(asked.values, "password=three");
}

static void a_store_that_stays_away_refuses_this_start_and_not_the_next_question(void **state)
{
        static const char *const definitions[] = {KV WAIT, KV FAIL};

        for (size_t i = 0; i < KB_ARRAY_SIZE(definitions); i++) {
                struct asked asked;

                world_define("db", definitions[i]);
                if (i == 0)
                        world_issue("db", "kv/orders@3", 0, "three");
                world_die_and_start();
                world_ask(&asked, "db");
                for (unsigned n = 0; n < 100 && asked.answers == 0; n++) {
                        if (world_calls() > 0)
                                world_fail(KB_E_UNREACHABLE, "away");
                        world_pass(SEC);
                }
                assert_int_equal(asked.error, KB_E_UNREACHABLE);
                assert_string_equal(asked.reason, "away");
                world_ask(&asked, "db");
                FETCHED("kv/orders@3", 0, "password", "three");
                assert_string_equal(asked.values, "password=three");
        }
}

static void a_version_that_is_gone_or_another_refuses_for_good(void **state)
{
        static const struct {
                enum kb_error error;
                const char *lease;
        } table[] = {{KB_E_NOT_FOUND, NULL},
                     {KB_E_OK, "kv/orders@4"},
                     {KB_E_OK, "kv/orders@3.5f"},
                     {KB_E_OK, NULL}};

        world_define("db", KV WAIT);
        world_issue("db", "kv/orders@3", 0, "three");
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct asked asked;

                world_die_and_start();
                world_ask(&asked, "db");
                if (table[i].error != KB_E_OK)
                        world_fail(table[i].error, "gone");
                else if (table[i].lease)
                        FETCHED(table[i].lease, 0, "password", "four");
                else
                        world_reply(NULL);
                assert_int_equal(asked.error, KB_E_EXPIRED);
                world_ask(&asked, "db");
                assert_int_equal(asked.error, KB_E_EXPIRED);
                assert_int_equal(world_calls(), 0);
        }
        world_die_and_start();
        world_faults.no_calls = true;
        {
                struct asked asked;

                world_ask(&asked, "db");
                assert_int_equal(asked.error, KB_E_BUSY);
        }
}

/* --- a secret that gets a new version --- */

static void a_new_version_reaches_a_unit_that_can_be_told(void **state)
{
        world_define("db", KV TELL);
        world_issue("db", "kv/orders@1", 0, "one");
        assert_string_equal(world_file("db.password"), "one");
        world_pass(10 * SEC);
        FETCHED("kv/orders@1", 0, "password", "one");
        world_commit();
        assert_string_equal(world_trace(), "fetch kv/orders"); /* no news are no record */
        world_pass(10 * SEC);
        FETCHED("kv/orders@2", 0, "password", "two");
        world_commit();
        world_facts(0, false);
        assert_string_equal(world_file("db.password"), "two");
        world_job(0);
        world_pass(6 * SEC);
        world_commit();
        assert_string_equal(world_trace(),
                            "fetch kv/orders; grant-issued kv/orders@2; reload orders.service; "
                            "grant-offered kv/orders@2; grant-adopted kv/orders@2; "
                            "grant-revoking kv/orders@1; revoke kv/orders@1");
}

static void nobody_asks_for_news_that_nobody_hears(void **state)
{
        static const char *const quiet[] = {
                KV,
                KV "[Rotation]\nOnRotate=reload\nCheckSec=0\n",
                KV TELL "[Credential]\nStrategy=lazy\n",
                KV TELL "[Credential]\nVersion=1\n",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(quiet); i++) {
                char name[8];

                snprintf(name, sizeof(name), "db-%zu", i);
                world_define(name, quiet[i]);
                world_issue(name, "kv/orders@1", 0, "one");
        }
        world_pass(1000 * SEC);
        assert_int_equal(world_calls(), 0);
        assert_int_equal(world_folders(), 0);
}

static void a_new_version_restarts_a_unit_that_wants_to_be(void **state)
{
        struct asked asked;

        world_define("db", KV "[Rotation]\nOnRotate=restart\nCheckSec=10s\n");
        world_issue("db", "kv/orders@1", 0, "one");
        world_pass(10 * SEC);
        FETCHED("kv/orders@2", 0, "password", "two");
        world_commit();
        world_trace();
        assert_int_equal(world_jobs(), 1);
        assert_string_equal(world_file("db.password"), "one");
        world_job(0);
        world_invocation(NEXT);
        kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, UNIT, NEXT);
        world_revoked();
        world_ask(&asked, "db");
        FETCHED("kv/orders@2", 0, "password", "two");
        world_commit();
        world_facts(0, false);
        assert_string_equal(asked.values, "password=two");
        assert_string_equal(world_file("db.password"), "two");
}

/* --- a definition that changes --- */

static void a_grant_keeps_its_definition_until_it_rotates(void **state)
{
        struct asked asked;

        world_define("web-tls", CERT "[Credential]\nTemplate=old {{password}}\n");
        world_issue("web-tls", "L1", 3600, "one");
        assert_string_equal(world_file("web-tls"), "old one");
        world_define("web-tls", CERT "[Credential]\nTemplate=new {{pass}}\nField.pass=password\n");
        kb_grants_check(broker.grants);
        world_pass(60 * SEC);
        assert_int_equal(world_calls(), 0); /* nobody could tell the unit */
        world_ask(&asked, "web-tls");
        assert_string_equal(asked.values, "password=one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, false);
        assert_string_equal(world_file("web-tls"), "new two");
        assert_string_equal(world_file("web-tls.pass"), "two");
        world_ask(&asked, "web-tls");
        assert_string_equal(asked.values, "pass=two");
        world_pass(11 * SEC);
        world_ask(&asked, "web-tls");
        assert_string_equal(asked.values, "pass=two");
}

static void a_changed_definition_rotates_a_unit_that_can_be_told(void **state)
{
        world_define("db", KV TELL);
        world_issue("db", "kv/orders@1", 0, "one");
        world_define("db", KV TELL); /* a reload without a change */
        kb_grants_check(broker.grants);
        world_define("db", KV TELL "[Credential]\nFormat=raw\n");
        kb_grants_check(broker.grants);
        world_pass(5 * SEC);
        assert_int_equal(world_calls(), 0); /* it may still be starting */
        world_pass(6 * SEC);
        FETCHED("kv/orders@1", 0, "password", "one"); /* the same version, written in another way */
        world_commit();
        world_facts(0, false);
        assert_string_equal(world_file("db"), "one");
        world_job(-EIO); /* and back, as it was written then */
        assert_string_equal(world_file("db"), "{\"password\":\"one\"}");
        world_pass(3 * SEC);
        FETCHED("kv/orders@1", 0, "password", "one");
        world_commit();
        world_facts(0, true);
        world_job(0);
        assert_string_equal(world_file("db"), "one");
        world_commit();
        while (world_calls() > 0)
                world_revoked();
        world_pass(10 * SEC);
        FETCHED("kv/orders@1", 0, "password", "one");
        world_commit();
        assert_int_equal(world_jobs(), 0); /* it is what it should be */
}

static void a_definition_that_changes_in_mid_rotation_is_not_forgotten(void **state)
{
        world_define("web-tls", CERT "OnRotate=reload\n");
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_define("web-tls", CERT "OnRotate=reload\n[Credential]\nFormat=raw\n");
        kb_grants_check(broker.grants);
        world_facts(0, true);
        assert_string_equal(world_file("web-tls"), "{\"password\":\"two\"}");
        world_job(0);
        world_pass(2 * SEC);
        FETCHED("L3", 3600, "password", "three");
        world_commit();
        world_facts(0, true);
        assert_string_equal(world_file("web-tls"), "three");
}

static void a_grant_of_another_store_stays_what_it_is(void **state)
{
        world_define("db", CERT "OnRotate=reload\n");
        world_issue("db", "L1", 3600, "one");
        world_define("db", CERT "OnRotate=reload\n[Credential]\nStore=vault\n");
        kb_grants_check(broker.grants);
        world_pass(60 * SEC);
        assert_int_equal(world_calls(), 0);
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, false);
        assert_string_equal(world_file("db.password"), "two");
        assert_string_equal(world_held("db")->grant.store, "local");
}

static void a_file_that_is_gone_takes_its_grants_back(void **state)
{
        struct asked asked;

        world_define("web-tls", CERT);
        world_issue("web-tls", "L1", 3600, "one");
        world_define("other", CERT);
        world_ask(&asked, "other");
        world_define("web-tls", NULL);
        world_define("other", "[Credential]\nPath=pki/issue/web\n"); /* allows nobody */
        kb_grants_check(broker.grants);
        assert_int_equal(asked.answers, 1);
        assert_int_equal(asked.error, KB_E_EXPIRED);
        FETCHED("L2", 3600, "password", "late");
        world_commit();
        assert_string_equal(world_trace(),
                            "fetch pki/issue/web; grant-revoking L1; revoke L1; grant-issued L2; "
                            "grant-revoking L2; revoke L2");
        assert_int_equal(world_folders(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_lease_that_is_fetched_again_keeps_its_record),
                TEST(a_stale_answer_is_never_another_definitions),
                TEST(a_part_of_a_value_is_asked_for_by_its_pointer_and_kept_with_it),
                TEST(a_store_that_says_no_ends_what_it_said_before),
                TEST(a_start_that_asks_on_after_a_restart_waits_for_the_store),
                TEST(a_version_of_a_store_that_was_put_back_is_asked_for_by_its_number),
                TEST(a_store_that_stays_away_refuses_this_start_and_not_the_next_question),
                TEST(a_version_that_is_gone_or_another_refuses_for_good),
                TEST(a_new_version_reaches_a_unit_that_can_be_told),
                TEST(nobody_asks_for_news_that_nobody_hears),
                TEST(a_new_version_restarts_a_unit_that_wants_to_be),
                TEST(a_grant_keeps_its_definition_until_it_rotates),
                TEST(a_changed_definition_rotates_a_unit_that_can_be_told),
                TEST(a_definition_that_changes_in_mid_rotation_is_not_forgotten),
                TEST(a_grant_of_another_store_stays_what_it_is),
                TEST(a_file_that_is_gone_takes_its_grants_back),
        };

        return cmocka_run_group_tests(tests, world_make, world_remove);
}
