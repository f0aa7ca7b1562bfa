/* SPDX-License-Identifier: Apache-2.0 */
/* Grants when what they ask for goes wrong: each answer that store, log, PID 1 and memory may give. */
#include "tests/unit/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CERT                                                                                                \
        "[Credential]\nPath=pki/issue/web\nOnUnavailable=fail\n[Allow]\nUnit=orders.service\n"              \
        "[Rotation]\nOverlap=10s\n"
#define TELL CERT "OnRotate=reload\n"

static int begin(void **state)
{
        world_begin();
        world_define("web-tls", TELL);
        return 0;
}

static int end(void **state)
{
        world_end();
        return 0;
}

/* Everything that was issued is revoked once its consumer has gone. */
static void end_everything(void)
{
        world_faults = (struct world_faults){0};
        kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, UNIT, "");
        for (unsigned n = 0; n < 100 && kb_grants_count(broker.grants) > 0; n++) {
                world_commit();
                while (world_waits_for_facts())
                        world_facts(-ENOENT, false);
                while (world_jobs() > 0)
                        world_job(-ENOENT);
                while (world_calls() > 0)
                        world_answer_any();
                world_pass(2 * SEC);
        }
        assert_int_equal(kb_grants_count(broker.grants), 0);
        assert_int_equal(world_live_leases(), 0);
        assert_int_equal(world_folders(), 0);
}

/* --- the first answer --- */

static void a_first_answer_that_is_of_no_use_refuses_and_goes_back(void **state)
{
        struct asked asked;

        world_define("web-tls", TELL "[Credential]\nField.other=nothing\n"); /* which there is not */
        world_ask(&asked, "web-tls");
        FETCHED("L1", 3600, "password", "one");
        world_commit();
        assert_int_equal(asked.error, KB_E_BAD_REQUEST);
        assert_non_null(strstr(asked.reason, "nothing"));
        assert_string_equal(world_trace(),
                            "fetch pki/issue/web; grant-issued L1; grant-revoking L1; revoke L1");
        world_revoked();
        end_everything();
}

static void an_answer_without_sense_is_an_error_of_the_store(void **state)
{
        struct asked asked;

        world_ask(&asked, "web-tls");
        world_reply(NULL);
        assert_int_equal(asked.error, KB_E_INTERNAL);
        assert_string_equal(asked.reason, "the store's answer makes no sense");
        world_ask(&asked, "web-tls");
        world_fail(KB_E_UNREACHABLE, "a bell: \a");
        assert_int_equal(asked.error, KB_E_UNREACHABLE);
        assert_string_equal(asked.reason, "the store's message cannot be printed");
        end_everything();
}

/* What it was greeted with before, it may have lost: it has been started anew. */
static void a_store_that_cannot_answer_is_greeted_again(void **state)
{
        static const struct {
                enum kb_error error;
                unsigned greetings;
        } rows[] = {{KB_E_UNREACHABLE, 1}, {KB_E_SEALED, 0}, {KB_E_THROTTLED, 0}, {KB_E_DENIED, 0}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct asked asked;

                world_greetings = 0;
                world_ask(&asked, "web-tls");
                world_fail(rows[i].error, "no");
                assert_int_equal(world_greetings, rows[i].greetings);
                end_everything();
        }
}

static void without_a_record_there_is_no_access(void **state)
{
        static const struct world_faults faults[] = {{.log = -ENOBUFS}, {.commit = -ENOSPC}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(faults); i++) {
                struct asked asked;

                world_faults = faults[i];
                world_ask(&asked, "web-tls");
                FETCHED("L1", 3600, "password", "one");
                world_commit();
                assert_int_equal(asked.error, KB_E_NO_RECORD);
                assert_string_equal(asked.values, "");
                assert_int_equal(world_folders(), 0);
                end_everything();
        }
}

static void where_no_record_is_required_it_is_let_out_all_the_same(void **state)
{
        struct asked asked;

        broker.config->log_required = false;
        world_faults.commit = -ENOSPC;
        world_ask(&asked, "web-tls");
        FETCHED("L1", 3600, "password", "one");
        world_commit();
        world_facts(0, false);
        assert_string_equal(asked.values, "password=one");
        end_everything();
        assert_non_null(strstr(world_trace(), "revoke L1")); /* also what has no record */
}

static void whose_folder_cannot_be_written_does_not_start(void **state)
{
        struct asked asked;

        world_faults.systemd = -EHOSTDOWN;
        world_ask(&asked, "web-tls");
        FETCHED("L1", 3600, "password", "one");
        world_commit();
        assert_int_equal(asked.error, KB_E_INTERNAL);
        world_faults.systemd = 0;
        world_commit();
        world_revoked();
        world_ask(&asked, "web-tls");
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(-ENOENT, false);
        assert_int_equal(asked.error, KB_E_INTERNAL);
        end_everything();
}

static void a_secret_of_too_many_fields_is_refused(void **state)
{
        static char names[30][8];
        const char *pairs[61] = {NULL};

        for (unsigned i = 0; i < 30; i++) {
                snprintf(names[i], sizeof(names[i]), "f%u", i);
                pairs[2 * i] = names[i];
                pairs[2 * i + 1] = "x";
        }
        for (unsigned i = 0; i < 9; i++) {
                char name[16];
                struct asked asked;

                snprintf(name, sizeof(name), "many-%u", i);
                world_define(name, TELL "[Credential]\nFormat=raw\n"); /* as a whole it cannot be written */
                world_ask(&asked, name);
                world_fetched(name, 3600, pairs);
                world_commit();
                world_facts(0, false);
                assert_int_equal(asked.error, i < 8 ? KB_E_OK : KB_E_INTERNAL);
        }
        assert_null(world_file("many-0"));
        assert_string_equal(world_file("many-0.f1"), "x");
        end_everything();
}

static void who_hung_up_is_not_called_and_the_grant_is_its_units(void **state)
{
        struct asked first, second;

        world_ask(&first, "web-tls");
        world_ask(&second, "web-tls");
        kb_issue_cancel(second.issue);
        kb_issue_cancel(NULL);
        FETCHED("L1", 3600, "password", "one");
        kb_issue_cancel(first.issue);
        world_commit();
        world_facts(0, false);
        assert_int_equal(first.answers + second.answers, 0);
        assert_non_null(world_held("web-tls"));
        end_everything();
}

static void a_broker_that_stops_fetches_nothing_more(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        assert_false(kb_grants_fetching(broker.grants));
        broker.stopping = true;
        world_pass(2400 * SEC);
        assert_int_equal(world_calls(), 0);
        broker.stopping = false;
        world_pass(2 * SEC);
        assert_true(kb_grants_fetching(broker.grants));
        assert_ptr_equal(kb_grants_find_id(broker.grants, world_held("web-tls")->grant.id),
                         world_held("web-tls"));
        assert_null(kb_grants_find_id(broker.grants, 99));
        end_everything();
}

/* --- later --- */

static void a_renewal_that_fails_is_written_down_and_tried_again(void **state)
{
        struct kb_grants_state is;

        world_renewable = true;
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        assert_string_equal(world_trace(), "renew L1");
        world_fail(KB_E_UNREACHABLE, "away");
        world_commit();
        assert_string_equal(world_trace(), "renew-failed L1");
        assert_string_equal(world_held("web-tls")->problem, "away");
        kb_grants_get_state(broker.grants, &is);
        assert_int_equal(is.live, 1);
        assert_int_equal(is.failing, 1);
        assert_int_equal(is.revoking, 0);
        world_pass(3 * SEC);
        world_reply(NULL);
        world_faults.no_calls = true;
        world_pass(10 * SEC);
        assert_int_equal(world_calls(), 0);
        world_faults.no_calls = false;
        world_pass(600 * SEC);
        kb_grants_get_state(broker.grants, &is);
        assert_true(is.overdue > 0);
        world_renewed(3600);
        world_commit();
        assert_non_null(strstr(world_trace(), "grant-renewed L1"));
        assert_string_equal(world_held("web-tls")->problem, "");
        end_everything();
}

static void a_lease_that_ends_while_its_store_is_away_is_over(void **state)
{
        struct asked asked;

        world_issue("web-tls", "L1", 60, "one");
        for (unsigned i = 0; i < 61; i++) {
                world_pass(SEC);
                while (world_calls() > 0)
                        world_fail(KB_E_UNREACHABLE, "away");
        }
        world_commit();
        assert_non_null(strstr(world_trace(), "grant-expired L1"));
        world_ask(&asked, "web-tls");
        assert_int_equal(asked.error, KB_E_EXPIRED);
        assert_string_equal(asked.reason, "it has ended, and there is no new one yet");
        end_everything();
}

static void a_revocation_that_fails_is_written_down_and_tried_again(void **state)
{
        struct kb_grants_state is;

        world_issue("web-tls", "L1", 3600, "one");
        kb_grants_end(world_held("web-tls"));
        world_faults.no_calls = true;
        world_commit();
        assert_int_equal(world_calls(), 0);
        world_faults.no_calls = false;
        world_pass(3 * SEC);
        world_fail(KB_E_SEALED, "sealed");
        world_commit();
        assert_string_equal(world_trace(), "grant-revoking L1; revoke L1; revoke-failed L1");
        kb_grants_get_state(broker.grants, &is);
        assert_int_equal(is.revoking, 1);
        world_pass(10 * SEC);
        world_revoked();
        world_commit();
        assert_string_equal(world_trace(), "revoke L1; grant-revoked L1");
        assert_int_equal(kb_grants_count(broker.grants), 0);
}

static void a_rotation_that_is_of_no_use_keeps_the_old_values(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        world_fail(KB_E_UNREACHABLE, "away");
        world_pass(3 * SEC);
        world_reply(NULL);
        world_faults.no_calls = true;
        world_pass(10 * SEC);
        world_faults.no_calls = false;
        world_pass(60 * SEC);
        world_define("web-tls", TELL "[Credential]\nField.other=nothing\n");
        FETCHED("L2", 3600, "password", "two"); /* asked for before the file was changed */
        world_commit();
        world_faults.log = -ENOBUFS;
        world_facts(-ENOENT, false); /* the folder cannot be written */
        world_faults.log = 0;
        assert_string_equal(world_file("web-tls.password"), "one");
        world_pass(5 * SEC);
        world_commit();
        world_revoked();
        world_pass(310 * SEC);
        world_facts(0, false);                    /* PID 1 is there */
        FETCHED("L3", 3600, "password", "three"); /* and by the changed one it has not what it should */
        world_commit();
        assert_string_equal(world_file("web-tls.password"), "one");
        assert_string_equal(kb_grant_newest(&world_held("web-tls")->grant)->id, "L1");
        end_everything();
}

static void a_unit_that_cannot_be_asked_to_reload_keeps_the_old_values(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_faults.systemd = -EHOSTDOWN;
        world_facts(0, false);
        assert_string_equal(world_file("web-tls.password"), "one");
        assert_string_equal(kb_grant_newest(&world_held("web-tls")->grant)->id, "L1");
        end_everything();
}

/* Each would be one that nobody takes, and that has to be revoked. */
static void while_pid_1_is_away_no_more_than_one_lease_is_made(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(-EHOSTDOWN, false);
        world_commit();
        world_revoked();
        world_commit();
        assert_string_equal(world_trace(), "fetch pki/issue/web; grant-issued L2; renew-failed L2; "
                                           "grant-revoking L2; revoke L2; grant-revoked L2");
        for (unsigned i = 0; i < 10; i++) {
                world_faults.systemd = i < 5 ? -EHOSTDOWN : 0;
                world_pass(20 * SEC);
                if (world_waits_for_facts())
                        world_facts(-ETIMEDOUT, false);
                assert_int_equal(world_calls(), 0);
                world_commit();
        }
        assert_non_null(strstr(world_trace(), "renew-failed L1"));
        world_pass(310 * SEC);
        world_facts(0, false);
        FETCHED("L3", 3600, "password", "three");
        world_commit();
        world_facts(0, false);
        world_job(0);
        assert_string_equal(world_file("web-tls.password"), "three");
        world_pass(3600 * SEC / 2); /* and the next one is asked for at once again */
        world_commit();
        assert_false(world_waits_for_facts());
        end_everything();
}

static void a_unit_that_was_not_restarted_is_asked_again(void **state)
{
        world_define("web-tls", CERT "OnRotate=restart\n");
        world_issue("web-tls", "L1", 3600, "one");
        world_faults.systemd = -EHOSTDOWN;
        world_pass(2400 * SEC);
        world_faults.systemd = 0;
        world_commit();
        assert_non_null(strstr(world_trace(), "renew-failed L1"));
        world_pass(60 * SEC);
        world_job(-EIO);
        world_pass(60 * SEC);
        world_commit();
        assert_string_equal(world_trace(),
                            "restart orders.service; restart orders.service; renew-failed L1");
        world_job(0);
        end_everything();
}

static void a_probe_says_when_the_unit_has_changed_over(void **state)
{
        world_define("web-tls", TELL "Probe=/bin/true\n");
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, false);
        world_job(0);
        world_commit();
        world_trace();
        world_faults.systemd = -EHOSTDOWN;
        world_pass(5 * SEC);
        world_faults.systemd = 0;
        world_pass(5 * SEC);
        world_job(-EIO);
        world_pass(5 * SEC);
        world_job(0);
        world_commit();
        assert_string_equal(world_trace(), "probe orders.service; probe orders.service; "
                                           "grant-adopted L2; grant-revoking L1; revoke L1");
        world_pass(2400 * SEC);
        end_everything();
}

/* OnRotate=none: the values change in the folder, and the unit looks when it likes. */
static void a_unit_that_is_not_told_finds_the_new_values(void **state)
{
        world_define("web-tls", CERT);
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, true);
        assert_string_equal(world_file("web-tls.password"), "two");
        assert_int_equal(world_jobs(), 0);
        world_pass(11 * SEC);
        world_commit();
        assert_non_null(strstr(world_trace(), "grant-adopted L2; grant-revoking L1"));
        end_everything();
}

/* The log gives back what it was lent when the grant is gone already. */
static void a_broker_that_goes_before_a_new_lease_is_recorded_keeps_the_old_values(void **state)
{
        world_define("web-tls", CERT);
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_die_and_start();
        assert_string_equal(world_file("web-tls.password"), "one");
        assert_string_equal(kb_grant_newest(&world_held("web-tls")->grant)->id, "L1");
}

/* --- memory --- */

/* Two starts, a rotation and an end, with whatever comes of each. */
static void live_a_life(void)
{
        struct asked asked[2];

        world_ask(&asked[0], "web-tls");
        world_ask(&asked[1], "web-tls");
        for (unsigned i = 0; i < 8; i++) {
                while (world_calls() > 0)
                        world_answer_any();
                world_commit();
                while (world_waits_for_facts())
                        world_facts(0, false);
                while (world_jobs() > 0)
                        world_job(0);
                world_pass(i < 2 ? SEC : 600 * SEC);
        }
        assert_int_equal(asked[0].answers, 1);
        assert_int_equal(asked[1].answers, 1);
        for (unsigned i = 0; i < 2; i++)
                if (asked[i].error == KB_E_OK)
                        assert_string_equal(asked[i].values, "password=x");
}

static void whatever_allocation_fails_no_lease_is_lost(void **state)
{
        unsigned nth = 0;
        bool met;

        do {
                world_faults = (struct world_faults){.memory = ++nth};
                live_a_life();
                met = world_faults.memory == 0;
                end_everything();
        } while (met && nth < 500);
        assert_in_range(nth, 20, 400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_first_answer_that_is_of_no_use_refuses_and_goes_back),
                TEST(an_answer_without_sense_is_an_error_of_the_store),
                TEST(a_store_that_cannot_answer_is_greeted_again),
                TEST(without_a_record_there_is_no_access),
                TEST(where_no_record_is_required_it_is_let_out_all_the_same),
                TEST(whose_folder_cannot_be_written_does_not_start),
                TEST(a_secret_of_too_many_fields_is_refused),
                TEST(who_hung_up_is_not_called_and_the_grant_is_its_units),
                TEST(a_broker_that_stops_fetches_nothing_more),
                TEST(a_renewal_that_fails_is_written_down_and_tried_again),
                TEST(a_lease_that_ends_while_its_store_is_away_is_over),
                TEST(a_revocation_that_fails_is_written_down_and_tried_again),
                TEST(a_rotation_that_is_of_no_use_keeps_the_old_values),
                TEST(a_unit_that_cannot_be_asked_to_reload_keeps_the_old_values),
                TEST(while_pid_1_is_away_no_more_than_one_lease_is_made),
                TEST(a_unit_that_was_not_restarted_is_asked_again),
                TEST(a_probe_says_when_the_unit_has_changed_over),
                TEST(a_unit_that_is_not_told_finds_the_new_values),
                TEST(a_broker_that_goes_before_a_new_lease_is_recorded_keeps_the_old_values),
                TEST(whatever_allocation_fails_no_lease_is_lost),
        };

        return cmocka_run_group_tests_name("grant-errors", tests, world_make, world_remove);
}
