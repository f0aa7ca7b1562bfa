/* SPDX-License-Identifier: Apache-2.0 */
/* Grants at work: what they ask store, log and PID 1 for, in which order, and what a crash leaves of it. */
#include "tests/unit/world.h"

#include <errno.h>
#include <sys/stat.h>

#define TLS                                                                                                 \
        "[Credential]\nPath=pki/issue/web\n[Allow]\nUnit=orders.service\n"                                  \
        "[Rotation]\nOnRotate=reload\nOverlap=10s\n"

static int begin(void **state)
{
        world_begin();
        world_define("web-tls", TLS);
        return 0;
}

static int end(void **state)
{
        world_end();
        return 0;
}

static void a_value_is_let_out_once_its_record_is_on_disk(void **state)
{
        struct asked first, second;

        world_ask(&first, "web-tls");
        world_ask(&second, "web-tls");
        FETCHED("L1", 3600, "password", "one");
        assert_string_equal(world_trace(), "fetch pki/issue/web");
        assert_int_equal(first.answers, 0);
        world_commit();
        assert_int_equal(first.answers, 0); /* nor before its folder is there */
        world_facts(0, false);
        assert_int_equal(first.answers, 1);
        assert_string_equal(first.values, "password=one");
        assert_string_equal(second.values, "password=one");
        assert_string_equal(world_file("web-tls.password"), "one");
        assert_string_equal(world_trace(), "grant-issued L1");
}

/* The store hears of a revocation once the log has it. */
static void a_lease_is_revoked_after_that_was_written_down(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        kb_grants_end(world_held("web-tls"));
        assert_string_equal(world_trace(), "");
        world_commit();
        assert_string_equal(world_trace(), "grant-revoking L1; revoke L1");
        world_revoked();
        world_commit();
        assert_string_equal(world_trace(), "grant-revoked L1");
        assert_null(world_held("web-tls"));
}

static void a_lease_that_was_being_revoked_is_revoked_by_the_next_process(void **state)
{
        struct asked asked;

        world_issue("web-tls", "L1", 3600, "one");
        kb_grants_end(world_held("web-tls")); /* as an administrator does, while the unit runs */
        world_commit();
        world_revoked(); /* and the record of that is lost */
        world_die_and_start();
        assert_string_equal(world_trace(), "revoke L1");
        world_ask(&asked, "web-tls");
        assert_int_equal(asked.error, KB_E_EXPIRED);
        world_fail(KB_E_NOT_FOUND, "no such lease");
        world_commit();
        assert_null(world_held("web-tls"));
        assert_int_equal(world_calls(), 0);
}

static void all_leases_of_a_grant_are_written_down_at_once(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_trace();
        kb_grants_end(world_held("web-tls"));
        kb_broker_note(&broker, (struct kb_event){.id = KB_EVENT_ADMIN_DONE});
        world_commit();
        assert_string_equal(world_trace(),
                            "grant-revoking L2; revoke L2; grant-revoking L1; revoke L1; admin-done");
}

/* To revoke is the safe side: a full disk does not keep a lease alive. */
static void a_lease_is_revoked_although_the_log_cannot_be_written(void **state)
{
        static const struct world_faults faults[] = {{.log = -ENOBUFS}, {.commit = -ENOSPC}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(faults); i++) {
                world_issue("web-tls", "L1", 3600, "one");
                world_faults = faults[i];
                kb_grants_end(world_held("web-tls"));
                world_commit();
                world_pass(0);
                assert_string_equal(world_trace(), "revoke L1");
                world_revoked();
                world_faults = (struct world_faults){0};
                assert_null(world_held("web-tls"));
                world_commit();
                world_trace();
        }
}

/* The consumer was not told, but may have looked: both live until a third one is adopted. */
static void a_crash_between_issue_and_tell_revokes_nothing_that_may_be_in_use(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, true);
        assert_string_equal(world_file("web-tls.password"), "two");
        assert_string_equal(world_trace(), "fetch pki/issue/web; grant-issued L2; reload orders.service");
        world_die_and_start();
        assert_string_equal(world_file("web-tls.password"), "two");
        assert_string_equal(world_trace(), "fetch pki/issue/web");
        FETCHED("L3", 3600, "password", "three");
        world_commit();
        world_facts(0, true);
        assert_string_equal(world_trace(), "grant-issued L3; reload orders.service");
        world_job(0);
        world_commit();
        assert_string_equal(world_trace(), "grant-offered L3; grant-adopted L3; "
                                           "grant-revoking L2; revoke L2; grant-revoking L1; revoke L1");
        assert_string_equal(world_file("web-tls.password"), "three");
}

/* It was told: that is waited for as before. */
static void a_crash_after_the_tell_goes_on_waiting_for_adoption(void **state)
{
        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, false);
        world_job(0);
        world_commit();
        world_die_and_start();
        assert_int_equal(kb_grant_state(&world_held("web-tls")->grant), KB_GRANT_OFFERED);
        world_pass(11 * SEC);
        world_commit();
        assert_string_equal(world_trace(), "grant-adopted L2; grant-revoking L1; revoke L1");
        world_revoked();
        world_commit();
        assert_int_equal(kb_grant_state(&world_held("web-tls")->grant), KB_GRANT_ADOPTED);
        world_die_and_start();
        assert_int_equal(kb_grant_state(&world_held("web-tls")->grant), KB_GRANT_ADOPTED);
}

/* --- two credentials of one unit --- */

#define DB                                                                                                  \
        "[Credential]\nPath=pki/issue/db\n[Allow]\nUnit=orders.service\n"                                   \
        "[Rotation]\nOnRotate=reload\nOverlap=10s\nMaxParallel=9\n"

static void assert_files(const char *web, const char *db)
{
        assert_string_equal(world_file("web-tls.password"), web);
        assert_string_equal(world_file("db-tls.password"), db);
}

/* Both are handed out; web-tls is being told of its second lease, and the second one of db-tls is there. */
static void two_rotate(void)
{
        world_define("db-tls", DB);
        world_issue("web-tls", "W1", 3600, "web one");
        world_issue("db-tls", "D1", 3600, "db one");
        assert_files("web one", "db one");
        world_pass(2400 * SEC);
        world_turn_to("fetch pki/issue/web");
        FETCHED("W2", 3600, "password", "web two");
        FETCHED("D2", 3600, "password", "db two");
        world_commit();
        world_facts(0, false);
        assert_files("web two", "db one");
        world_trace();
}

static void a_unit_hears_of_one_credential_at_a_time(void **state)
{
        two_rotate();
        world_pass(5 * SEC);
        assert_int_equal(world_jobs(), 1);
        world_job(0);
        world_pass(2 * SEC);
        world_facts(0, false);
        assert_files("web two", "db two");
        world_commit();
        assert_string_equal(world_trace(), "reload orders.service; grant-offered W2");
}

/* What failed goes back, and what the unit uses already stays: whichever of the two fails. */
static void a_failed_tell_takes_back_its_own_credential_only(void **state)
{
        two_rotate();
        world_job(-EIO);
        assert_files("web one", "db one");
        world_pass(2 * SEC);
        world_facts(0, false);
        assert_files("web one", "db two");
        world_job(0);
        world_pass(5 * SEC); /* web-tls tries again, while db-tls is offered */
        FETCHED("W3", 3600, "password", "web three");
        world_commit();
        world_facts(0, false);
        assert_files("web three", "db two");
        world_pass(10 * SEC); /* db-tls is adopted, and its old files go, in mid-offer of the other */
        world_job(-EIO);
        assert_files("web one", "db two");
        world_commit();
        assert_non_null(strstr(world_trace(), "grant-adopted D2"));
}

/* The values of the old lease are not at hand after a restart: its files are. */
static void a_failed_tell_after_a_restart_takes_back_the_files(void **state)
{
        world_define("db-tls", DB);
        world_issue("web-tls", "W1", 3600, "web one");
        world_issue("db-tls", "D1", 3600, "db one");
        world_die_and_start();
        assert_files("web one", "db one");
        world_pass(2400 * SEC);
        world_turn_to("fetch pki/issue/web");
        FETCHED("W2", 3600, "password", "web two");
        FETCHED("D2", 3600, "password", "db two");
        world_commit();
        world_facts(0, false);
        assert_files("web two", "db one");
        world_job(-EIO);
        assert_files("web one", "db one");
        world_pass(2 * SEC);
        world_facts(0, false);
        world_job(0);
        world_pass(11 * SEC);
        assert_files("web one", "db two");
}

/* As PID 1 does with RefreshOnReload=credentials (systemd 260), and waits with the reload for the answer. */
static void who_asks_during_the_reload_gets_the_new_values(void **state)
{
        struct asked asked;

        world_issue("web-tls", "L1", 3600, "one");
        world_pass(2400 * SEC);
        FETCHED("L2", 3600, "password", "two");
        world_commit();
        world_facts(0, true);
        assert_int_equal(world_jobs(), 1);
        world_ask(&asked, "web-tls");
        assert_int_equal(asked.answers, 1);
        assert_string_equal(asked.values, "password=two");
        world_job(0);
        world_commit();
        assert_string_equal(world_file("web-tls.password"), "two");
}

/* --- many units --- */

#define MANY_UNITS                                                                                          \
        "[Credential]\nPath=pki/issue/"                                                                     \
        "web\n[Allow]\nUnit=*.service\n[Rotation]\nOnRotate=reload\nOverlap=10s\n"

/* Two units, both with their second lease there; one of them is being told: as it stands in the trace. */
static const char *two_units_rotate(void)
{
        const char *told, *trace;

        world_define("web-tls", MANY_UNITS);
        world_issue("web-tls", "A1", 3600, "a one");
        world_unit = "other.service";
        world_issue("web-tls", "B1", 3600, "b one");
        world_pass(2400 * SEC);
        FETCHED("2", 3600, "password", "two");
        FETCHED("3", 3600, "password", "three");
        world_commit();
        world_facts(0, false);
        assert_int_equal(world_jobs(), 1);
        world_pass(5 * SEC);
        assert_int_equal(world_jobs(), 1); /* MaxParallel=1 */
        trace = world_trace();
        told = strstr(trace, "reload " UNIT) ? "reload " UNIT : "reload other.service";
        assert_non_null(strstr(trace, told));
        return told;
}

/* Ten minutes in which one unit cannot be told, again and again. Returns how often the other one was. */
static unsigned stay_deaf(const char *told)
{
        unsigned others = 0;

        for (unsigned i = 0; i < 60; i++) {
                const char *trace;
                bool is_deaf;

                world_pass(10 * SEC);
                while (world_calls() > 0)
                        world_answer_any();
                world_commit();
                while (world_waits_for_facts())
                        world_facts(0, false);
                trace = world_trace();
                is_deaf = strstr(trace, told) != NULL;
                others += !is_deaf && strstr(trace, "reload ");
                if (world_jobs() > 0)
                        world_job(is_deaf ? -EIO : 0);
        }
        return others;
}

static void the_first_failure_stops_the_rest_until_it_is_urgent(void **state)
{
        const char *told = two_units_rotate();

        world_job(-EIO);
        assert_int_equal(stay_deaf(told), 0);
        world_unit = UNIT;
        assert_string_equal(world_file("web-tls.password"), "a one");
        world_unit = "other.service";
        assert_string_equal(world_file("web-tls.password"), "b one");
        assert_true(stay_deaf(told) > 0);
}

/* The grant ends with the old invocation, before it is known that there is no new one. */
static void restart_that_fails(unsigned memory)
{
        const char *first;

        world_define("web-tls", "[Credential]\nPath=pki/issue/web\n[Allow]\nUnit=*.service\n"
                                "[Rotation]\nOnRotate=restart\n");
        world_issue("web-tls", "A1", 36000, "a one");
        world_unit = "other.service";
        world_issue("web-tls", "B1", 36000, "b one");
        world_pass(24000 * SEC);
        assert_int_equal(world_jobs(), 1);
        first = strstr(world_trace(), "restart " UNIT) ? UNIT : "other.service";
        kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, first, NULL);
        world_commit();
        world_revoked();
        world_faults.memory = memory;
        world_job(-EIO);
        world_commit();
        world_unit = first;
        world_pass(600 * SEC);
}

static void a_restart_that_failed_stops_the_rest(void **state)
{
        restart_that_fails(0);
        assert_int_equal(world_jobs(), 0);
        /* its next start, and whether that one stays */
        world_issue("web-tls", "A2", 36000, "a two");
        world_pass(30 * SEC);
        assert_int_equal(world_jobs(), 0);
}

static void a_unit_that_runs_again_stops_nobody(void **state)
{
        a_restart_that_failed_stops_the_rest(state);
        world_pass(40 * SEC);
        assert_int_equal(world_jobs(), 1);
}

static void a_failure_that_cannot_be_kept_stops_nobody(void **state)
{
        for (unsigned memory = 1; memory <= 3; memory++) {
                restart_that_fails(memory);
                assert_int_equal(world_faults.memory, 0);
                assert_int_equal(world_jobs(), 1);
                end(state);
                begin(state);
        }
}

static void nobody_is_stopped_for_ever(void **state)
{
        a_restart_that_failed_stops_the_rest(state);
        kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, world_unit, NULL);
        world_commit();
        world_revoked();
        world_commit();
        world_pass(2900 * SEC);
        assert_int_equal(world_jobs(), 0);
        world_pass(200 * SEC);
        assert_int_equal(world_jobs(), 1);
}

/* With MaxParallel=2 both were told at once. */
static void two_that_failed_do_not_wait_for_each_other(void **state)
{
        world_define("web-tls", MANY_UNITS "MaxParallel=2\n");
        world_issue("web-tls", "A1", 3600, "a one");
        world_unit = "other.service";
        world_issue("web-tls", "B1", 3600, "b one");
        world_pass(2400 * SEC);
        world_answer_any();
        world_answer_any();
        world_commit();
        world_facts(0, true);
        world_facts(0, true);
        world_job(-EIO);
        world_job(-EIO);
        for (unsigned i = 0; i < 60; i++) {
                world_pass(10 * SEC);
                while (world_calls() > 0)
                        world_answer_any();
                world_commit();
                while (world_waits_for_facts())
                        world_facts(0, true);
                while (world_jobs() > 0)
                        world_job(0);
        }
        world_commit();
        assert_string_equal(world_file("web-tls.password"), "x");
        world_unit = UNIT;
        assert_string_equal(world_file("web-tls.password"), "x");
}

static void when_the_first_one_could_be_told_the_rest_go_on(void **state)
{
        two_units_rotate();
        world_job(0);
        world_pass(2 * SEC);
        world_facts(0, false);
        world_job(0);
        world_commit();
        assert_int_equal(world_file("web-tls.password")[0], 't');
        assert_non_null(strstr(world_trace(), "reload "));
}

/* Both leases stay good when the folder cannot be written back. */
static void what_cannot_be_taken_back_is_not_revoked(void **state)
{
        int fd;

        world_issue("web-tls", "W1", 3600, "web one");
        world_pass(2400 * SEC);
        FETCHED("W2", 3600, "password", "web two");
        world_commit();
        world_facts(0, false);
        fd = broker.units_fd;
        broker.units_fd = -1;
        world_trace();
        world_job(-EIO);
        world_commit();
        broker.units_fd = fd;
        assert_string_equal(world_file("web-tls.password"), "web two");
        assert_string_equal(world_trace(), "renew-failed W2");
        world_pass(3 * SEC);
        FETCHED("W3", 3600, "password", "web three");
        world_commit();
        world_facts(0, true);
        world_job(0);
        world_commit();
        assert_non_null(strstr(world_trace(),
                               "adopted W3; grant-revoking W2; revoke W2; grant-revoking W1; revoke W1"));
        assert_string_equal(world_file("web-tls.password"), "web three");
        assert_int_equal(world_folders(), 1);
}

/* Who owns a file can write to it, but what a group may read, all its members may. */
static void only_a_group_that_has_no_members_stands_in_for_the_owner(void **state)
{
        static const struct {
                uid_t uid;
                gid_t gid;
                uid_t owner;
                mode_t mode;
        } table[] = {
                {61184, 61184, 0, 0440},                                  /* DynamicUser= */
                {65519, 65519, 0, 0440},     {61184, 61185, 61184, 0400}, /* with a Group= */
                {33, 33, 33, 0400}, /* www-data, in which people may be */
                {65520, 65520, 65520, 0400},
        };

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct stat st;

                end(NULL);
                begin(NULL);
                world_uid = table[i].uid;
                world_gid = table[i].gid;
                world_issue("web-tls", "L1", 3600, "one");
                assert_ok(fstatat(broker.units_fd, UNIT "/current/web-tls.password", &st, 0));
                assert_int_equal(st.st_uid, table[i].owner);
                assert_int_equal(st.st_gid, table[i].gid);
                assert_int_equal(st.st_mode & 07777, table[i].mode);
        }
}

/* --- units that end at the wrong moment --- */

static void a_unit_that_ends_while_pid_1_is_asked_leaves_nothing(void **state)
{
        struct asked asked;

        world_ask(&asked, "web-tls");
        FETCHED("L1", 3600, "password", "one");
        world_commit();
        kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, UNIT, "");
        kb_unit_folder_check(&broker, UNIT);
        assert_int_equal(asked.answers, 1);
        assert_int_equal(asked.error, KB_E_EXPIRED);
        world_facts(0, false);
        assert_int_equal(world_folders(), 0);
        world_commit();
        world_revoked();
        world_commit();
        assert_string_equal(world_trace(),
                            "fetch pki/issue/web; grant-issued L1; grant-revoking L1; revoke L1; "
                            "grant-revoked L1");
        assert_int_equal(kb_grants_count(broker.grants), 0);
}

static void a_unit_that_ends_during_a_reload_leaves_nothing(void **state)
{
        static const int ends[] = {0, -EIO, -ENOENT};

        for (size_t i = 0; i < KB_ARRAY_SIZE(ends); i++) {
                world_issue("web-tls", "W1", 3600, "web one");
                world_pass(2400 * SEC);
                FETCHED("W2", 3600, "password", "web two");
                world_commit();
                world_facts(0, false);
                kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, UNIT, "");
                assert_int_equal(world_folders(), 0);
                world_job(ends[i]);
                assert_int_equal(world_folders(), 0);
                world_commit();
                world_revoked();
                world_revoked();
                world_commit();
                assert_int_equal(kb_grants_count(broker.grants), 0);
        }
}

/* The unit was restarted so fast that nobody saw it inactive. */
static void what_the_invocation_before_had_is_gone_with_it(void **state)
{
        struct asked asked;

        world_issue("web-tls", "L1", 3600, "one");
        world_invocation(NEXT);
        kb_grants_end_consumer(broker.grants, KB_CONSUMER_UNIT, UNIT, NEXT);
        assert_int_equal(world_folders(), 0);
        world_ask(&asked, "web-tls");
        world_commit();
        assert_int_equal(world_calls(), 2);
        kb_issue_cancel(asked.issue);
}

/* Nobody is shown an empty secret: neither by systemd nor in the folder. */
static void a_secret_that_is_empty_as_a_whole_is_refused(void **state)
{
        struct asked asked;

        world_define("web-tls", TLS "[Credential]\nFormat=raw\n");
        world_ask(&asked, "web-tls");
        FETCHED("L1", 3600, "password", "");
        world_commit();
        world_facts(0, false);
        assert_int_equal(asked.error, KB_E_INTERNAL);
        assert_int_equal(world_folders(), 0);
        world_commit();
        assert_non_null(strstr(world_trace(), "revoke L1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_value_is_let_out_once_its_record_is_on_disk),
                TEST(a_lease_is_revoked_after_that_was_written_down),
                TEST(a_lease_that_was_being_revoked_is_revoked_by_the_next_process),
                TEST(all_leases_of_a_grant_are_written_down_at_once),
                TEST(a_lease_is_revoked_although_the_log_cannot_be_written),
                TEST(a_crash_between_issue_and_tell_revokes_nothing_that_may_be_in_use),
                TEST(a_crash_after_the_tell_goes_on_waiting_for_adoption),
                TEST(a_unit_hears_of_one_credential_at_a_time),
                TEST(a_failed_tell_takes_back_its_own_credential_only),
                TEST(a_failed_tell_after_a_restart_takes_back_the_files),
                TEST(who_asks_during_the_reload_gets_the_new_values),
                TEST(the_first_failure_stops_the_rest_until_it_is_urgent),
                TEST(a_unit_that_runs_again_stops_nobody),
                TEST(nobody_is_stopped_for_ever),
                TEST(a_failure_that_cannot_be_kept_stops_nobody),
                TEST(two_that_failed_do_not_wait_for_each_other),
                TEST(when_the_first_one_could_be_told_the_rest_go_on),
                TEST(what_cannot_be_taken_back_is_not_revoked),
                TEST(only_a_group_that_has_no_members_stands_in_for_the_owner),
                TEST(a_unit_that_ends_while_pid_1_is_asked_leaves_nothing),
                TEST(a_unit_that_ends_during_a_reload_leaves_nothing),
                TEST(what_the_invocation_before_had_is_gone_with_it),
                TEST(a_secret_that_is_empty_as_a_whole_is_refused),
        };

        return cmocka_run_group_tests(tests, world_make, world_remove);
}
