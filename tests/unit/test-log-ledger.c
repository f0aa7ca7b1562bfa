/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: after a crash and any number of files, the live grants are known with all that is needed. */
#include "tests/unit/log.h"

#include "helper/log/ledger.h"

static void fold(struct kb_ledger *ledger, uint64_t sequence, struct kb_event event)
{
        assert_ok(kb_ledger_fold(ledger, sequence, &event));
}

static void a_grant_lives_from_issue_to_revocation_or_expiry(void **state)
{
        _cleanup_ledger_ struct kb_ledger ledger = {};

        fold(&ledger, 5, (struct kb_event){.id = KB_EVENT_GRANT_ISSUED, .unit = "a.service", .lease = "L5"});
        fold(&ledger, 6, (struct kb_event){.id = KB_EVENT_GRANT_ISSUED, .user = "ana", .lease = "L6"});
        fold(&ledger, 7, (struct kb_event){.id = KB_EVENT_GRANT_REFUSED, .unit = "b.service"});
        fold(&ledger, 8, (struct kb_event){.id = KB_EVENT_GRANT_ISSUED, .unit = "c.service", .lease = "L8"});
        assert_int_equal(ledger.n, 3);
        assert_string_equal(kb_ledger_find(&ledger, 6)->event.lease, "L6");
        fold(&ledger, 9, (struct kb_event){.id = KB_EVENT_GRANT_REVOKED, .grant = 6});
        fold(&ledger, 10, (struct kb_event){.id = KB_EVENT_GRANT_EXPIRED, .grant = 5});
        fold(&ledger, 11, (struct kb_event){.id = KB_EVENT_GRANT_EXPIRED, .grant = 5});
        assert_int_equal(ledger.n, 1);
        assert_null(kb_ledger_find(&ledger, 6));
        assert_string_equal(kb_ledger_find(&ledger, 8)->event.unit, "c.service");
}

/* {events about one grant} -> what is known of it afterwards */
static void events_change_what_is_known_of_a_grant(void **state)
{
        static const struct {
                struct kb_event event;
                const char *state, *lease, *reason;
                uint64_t expires, renewals;
        } steps[] = {
                {{.id = KB_EVENT_GRANT_ISSUED, .lease = "L", .expires = 100}, "issued", "L", "", 100, 0},
                {{.id = KB_EVENT_GRANT_RENEWED, .grant = 5, .expires = 200}, "issued", "L", "", 200, 1},
                {{.id = KB_EVENT_RENEW_FAILED, .grant = 5, .reason = "sealed"},
                 "issued",
                 "L",
                 "sealed",
                 200,
                 1},
                {{.id = KB_EVENT_GRANT_RENEWED, .grant = 5, .expires = 300}, "issued", "L", "", 300, 2},
                {{.id = KB_EVENT_GRANT_OFFERED, .grant = 5}, "offered", "L", "", 300, 2},
                {{.id = KB_EVENT_GRANT_ADOPTED, .grant = 5}, "adopted", "L", "", 300, 2},
                {{.id = KB_EVENT_GRANT_RENEWED, .grant = 5, .lease = "M", .renewals = 9},
                 "adopted",
                 "M",
                 "",
                 300,
                 9},
                {{.id = KB_EVENT_GRANT_REVOKING, .grant = 5}, "revoking", "M", "", 300, 9},
                {{.id = KB_EVENT_REVOKE_FAILED, .grant = 5, .reason = "busy"},
                 "revoking",
                 "M",
                 "busy",
                 300,
                 9},
                {{.id = KB_EVENT_GRANT_RENEWED, .grant = 4, .expires = 1}, "revoking", "M", "busy", 300, 9},
                {{.id = KB_EVENT_SESSION_OPENED, .grant = 5, .expires = 1}, "revoking", "M", "busy", 300, 9},
        };
        _cleanup_ledger_ struct kb_ledger ledger = {};

        for (size_t i = 0; i < KB_ARRAY_SIZE(steps); i++) {
                const struct kb_live_grant *grant;

                fold(&ledger, 5 + i, steps[i].event);
                grant = kb_ledger_find(&ledger, 5);
                assert_non_null(grant);
                assert_string_equal(grant->event.state, steps[i].state);
                assert_string_equal(grant->event.lease, steps[i].lease);
                assert_string_equal(grant->event.reason ? grant->event.reason : "", steps[i].reason);
                assert_int_equal(grant->event.expires, steps[i].expires);
                assert_int_equal(grant->event.renewals, steps[i].renewals);
        }
}

static void a_rotated_secret_keeps_its_grant_and_changes_what_it_says(void **state)
{
        _cleanup_ledger_ struct kb_ledger ledger = {};
        const struct kb_live_grant *grant;

        fold(&ledger, 5,
             (struct kb_event){
                     .id = KB_EVENT_GRANT_ISSUED, .version = "1", .issued = 10, .unit = "a.service"});
        fold(&ledger, 6,
             (struct kb_event){.id = KB_EVENT_GRANT_RENEWED, .grant = 5, .version = "2", .issued = 20});
        grant = kb_ledger_find(&ledger, 5);
        assert_string_equal(grant->event.version, "2");
        assert_string_equal(grant->event.unit, "a.service");
        assert_int_equal(grant->event.issued, 20);
        fold(&ledger, 7, (struct kb_event){.id = KB_EVENT_GRANT_LIVE, .grant = 5, .version = "3"});
        assert_int_equal(ledger.n, 1);
        assert_string_equal(kb_ledger_find(&ledger, 5)->event.version, "3");
        fold(&ledger, 8, (struct kb_event){.id = KB_EVENT_CHECKPOINT});
        assert_int_equal(ledger.n, 0);
}

static void live_grants_are_found_again_over_files_and_crashes(void **state)
{
        struct kb_log_options options = {.keep_files = 1};
        _cleanup_ledger_ struct kb_ledger ledger = {};
        uint64_t first, second;
        struct kb_commit c;

        fresh_log();
        assert_ok(commit_open(&c, &options));
        first = c.tail.next;
        assert_ok(commit_one(&c, &(struct kb_event){.id = KB_EVENT_GRANT_ISSUED,
                                                    .unit = "a.service",
                                                    .invocation = "i1",
                                                    .credential = "db",
                                                    .store = "local",
                                                    .lease = "pki/1",
                                                    .expires = 77}));
        second = c.tail.next;
        assert_ok(commit_one(
                &c, &(struct kb_event){.id = KB_EVENT_GRANT_ISSUED, .user = "ana", .lease = "pki/2"}));
        for (unsigned i = 0; i < 3; i++)
                assert_ok(kb_commit_rotate(&c, T0 + i));
        assert_ok(commit_one(&c, &(struct kb_event){.id = KB_EVENT_GRANT_REVOKED, .grant = second}));
        assert_ok(commit_one(
                &c, &(struct kb_event){.id = KB_EVENT_GRANT_RENEWED, .grant = first, .expires = 99}));
        kb_commit_done(&c);
        assert_ok(kb_ledger_load(&ledger, log_folder));
        assert_int_equal(ledger.n, 1);
        assert_int_equal(ledger.grants[0]->id, first);
        assert_string_equal(ledger.grants[0]->event.lease, "pki/1");
        assert_string_equal(ledger.grants[0]->event.invocation, "i1");
        assert_string_equal(ledger.grants[0]->event.store, "local");
        assert_int_equal(ledger.grants[0]->event.expires, 99);
}

static void a_folder_without_a_log_says_so(void **state)
{
        struct kb_ledger ledger = {.n = 7};

        assert_int_equal(kb_ledger_load(&ledger, test_folder), -ENOENT);
        assert_int_equal(kb_ledger_load(&ledger, "/nonexistent"), -ENOENT);
        assert_int_equal(ledger.n, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_grant_lives_from_issue_to_revocation_or_expiry),
                cmocka_unit_test(events_change_what_is_known_of_a_grant),
                cmocka_unit_test(a_rotated_secret_keeps_its_grant_and_changes_what_it_says),
                cmocka_unit_test(live_grants_are_found_again_over_files_and_crashes),
                cmocka_unit_test(a_folder_without_a_log_says_so),
        };

        return cmocka_run_group_tests_name("log-ledger", tests, test_folder_make, test_folder_remove);
}
