/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor reads out of files of others: would a denial count, is the name service asked. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "cli/doctor.h"
#include "cli/facts.h"
#include "cli/root_key.h"
#include "directory/nss_file.h"
#include "directory/nss_publish.h"
#include "tests/unit/folder.h"

#define OURS "account\t[success=ok new_authtok_reqd=ok user_unknown=ignore default=bad]\tpam_keybearer.so\n"

static const struct {
        const char *text;
        const char *cause; /* NULL: all is well */
        unsigned jump;     /* the line that jumps over ours, 0: none does */
} accounts[] = {
        /* as Debian's pam-auth-update writes it */
        {"account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so\n"
         "account\trequisite\tpam_deny.so\naccount\trequired\tpam_permit.so\n" OURS,
         NULL},
        {OURS, NULL},
        {"account required pam_keybearer.so\n", NULL},
        {"account requisite pam_keybearer.so\n", NULL},
        {"# " OURS, "no line names pam_keybearer.so"},
        {"", "no line names pam_keybearer.so"},
        {"auth required pam_keybearer.so\n", "no line names pam_keybearer.so"},
        {"account sufficient pam_unix.so\n" OURS, NULL, 1},
        {"account [success=done default=ignore] pam_unix.so\n" OURS, NULL, 1},
        {"account [success=1 default=ignore] pam_unix.so\n" OURS, NULL, 1},
        {"account [success=2 default=ignore] pam_unix.so\naccount requisite pam_deny.so\n" OURS, NULL, 1},
        {"auth required pam_env.so\naccount [success=1 default=ignore] pam_unix.so\naccount requisite "
         "pam_deny.so\n" OURS,
         NULL},
        {"# one\naccount required pam_nologin.so\naccount [success=1 default=ignore] pam_unix.so\n" OURS,
         NULL, 3},
        {"account [success=3 default=ignore] pam_a.so\naccount [success=1 default=ignore] pam_b.so\n" OURS,
         NULL, 1},
        {"account optional pam_keybearer.so\n", "the line of pam_keybearer.so lets a denial pass"},
        {"account sufficient pam_keybearer.so\n", "the line of pam_keybearer.so lets a denial pass"},
        {"account [success=ok default=ignore] pam_keybearer.so\n",
         "the line of pam_keybearer.so lets a denial pass"},
        {"account [success=ok default=die] pam_keybearer.so\n", NULL},
};

static void same(size_t row, const char *got, const char *expected)
{
        if (!got != !expected || (got && strcmp(got, expected) != 0))
                fail_msg("row %zu: %s instead of %s", row, got ? got : "nothing",
                         expected ? expected : "nothing");
}

static void a_denial_counts_or_the_reason_is_named(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(accounts); i++) {
                _cleanup_free_ char *cause = doctor_judge_account(accounts[i].text);

                same(i, cause, accounts[i].cause);
        }
}

static void a_module_that_jumps_over_ours_is_found(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(accounts); i++) {
                unsigned line = 0;
                _cleanup_free_ char *cause = doctor_judge_jump(accounts[i].text, &line);

                assert_int_equal(line, accounts[i].jump);
                assert_int_equal(!cause, !accounts[i].jump);
        }
}

static const struct {
        const char *text;
        const char *cause;  /* NULL: all is well */
        const char *mended; /* NULL: as it is */
} switches[] = {
        {"passwd:         files keybearer systemd\n"},
        {"# passwd: files\npasswd: files [NOTFOUND=continue] keybearer\n"},
        {"passwd: compat keybearer\n"},
        {"  passwd: files keybearer [NOTFOUND=return] sss # ours\n"},
        {"passwd: files [!NOTFOUND=return] keybearer\n"},
        {"passwd: files systemd\n", "passwd: does not name keybearer", "passwd: files keybearer systemd"},
        {"passwd:\tfiles # keybearer\n", "passwd: does not name keybearer",
         "passwd:\tfiles keybearer # keybearer"},
        {"passwd: keybearer files\n", "passwd: keybearer stands before files", "passwd: files keybearer"},
        {"passwd: keybearer [NOTFOUND=return] sss files ldap\n", "passwd: keybearer stands before files",
         "passwd: sss files keybearer ldap"},
        {"passwd: sss\n", "passwd: does not name keybearer", "passwd: files keybearer sss"},
        {"passwd:\n", "passwd: does not name keybearer", "passwd: files keybearer"},
        {"passwd: files [NOTFOUND=return] sss\n", "passwd: does not name keybearer",
         "passwd: files keybearer [NOTFOUND=return] sss"},
        {"passwd: files [NOTFOUND=return] keybearer sss\n",
         "passwd: [NOTFOUND=return] ends the search before keybearer",
         "passwd: files keybearer [NOTFOUND=return] sss"},
        {"passwd: files sss [ !unavail=return ] keybearer\n",
         "passwd: [ !unavail=return ] ends the search before keybearer",
         "passwd: files keybearer sss [ !unavail=return ]"},
        {"passwd: files [SUCCESS=merge] systemd\n", "passwd: does not name keybearer",
         "passwd: files [SUCCESS=merge] keybearer [SUCCESS=merge] systemd"},
        {"passwd: files[NOTFOUND=continue]sss\n", "passwd: does not name keybearer",
         "passwd: files [NOTFOUND=continue] keybearer sss"},
        {"passwd: files [NOTFOUND\n", "passwd: does not name keybearer",
         "passwd: files keybearer [NOTFOUND"},
        {"group: files keybearer\n", "there is no line passwd:", "passwd: files keybearer"},
        {"", "there is no line passwd:", "passwd: files keybearer"},
};

static void the_switch_names_us_behind_files(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(switches); i++) {
                _cleanup_free_ char *cause = doctor_judge_nsswitch(switches[i].text, "passwd");

                same(i, cause, switches[i].cause);
        }
}

static void a_line_is_mended_without_moving_anybody_else(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(switches); i++) {
                _cleanup_free_ char *mended = doctor_mend_nsswitch(switches[i].text, "passwd"),
                                    *cause = doctor_judge_nsswitch(mended, "passwd"), *again = NULL;

                assert_null(cause);
                if (switches[i].mended)
                        same(i, mended, switches[i].mended);
                again = doctor_mend_nsswitch(mended, "passwd");
                same(i, again, mended);
        }
}

/* --- the file of names --- */

static void damage_names(void)
{
        _cleanup_close_ int fd = open(in_folder(KB_NSS_USERS_FILE), O_RDWR | O_CLOEXEC);

        assert_int_equal(pwrite(fd, "x", 1, KB_NSS_HEADER_SIZE - 1), 1);
}

static void a_file_of_names_that_is_missing_or_damaged_is_found(void **state)
{
        const struct doctor_check check = {.about = test_folder};
        const struct kb_id_range range = {70000, 71000};
        _cleanup_close_ int folder = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct doctor_cure cure = {};

        assert_ok(kb_nss_publish_empty(folder, range));
        assert_null(doctor_has_no_names(NULL, &check, &cure));
        for (unsigned i = 0; i < 3; i++) { /* what a full disk leaves is the first of them */
                _cleanup_free_ char *cause = NULL;

                if (i == 1)
                        damage_names();
                else
                        assert_ok(unlink(in_folder(i == 0 ? KB_NSS_USERS_FILE : KB_NSS_GENERATION_FILE)));
                cause = doctor_has_no_names(NULL, &check, &cure);
                assert_non_null(cause);
                assert_non_null(strstr(cause, i == 1 ? "users-1 is damaged" : "No such file"));
                assert_ok(kb_nss_publish_empty(folder, range));
                assert_null(doctor_has_no_names(NULL, &check, &cure));
        }
}

/* --- facts --- */

static void a_fact_about_a_store_names_it(void **state)
{
        static const struct {
                const char *fact, *store;
        } table[] = {
                {"store.local", "local"}, {"store.a.b", "a.b"}, {"store", NULL},
                {"stores.local", NULL},   {"version", NULL},    {"", NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                same(i, cli_fact_store(table[i].fact), table[i].store);
}

/* --- what opens the store --- */

static void add_slot(struct kb_list_builder *rows, const char *kind)
{
        _cleanup_list_ struct kb_list_builder row = kb_list_builder_init(256);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(256);

        kb_list_add_text(&row, "slot", "x");
        kb_list_add_text(&row, "kind", kind);
        kb_write_list(&w, kb_list_built(&row), UINT32_MAX - 1);
        assert_ok(kb_writer_end(&w));
        kb_list_add(rows, KB_SPAN(w.data, w.size));
}

static void a_store_that_people_open_misses_no_file(void **state)
{
        static const struct {
                const char *kinds[3];
                bool lost;
        } table[] = {
                {{"systemd", "recovery"}, true},
                {{"passphrase", "systemd"}, true},
                {{"systemd"}, true},
                {{NULL}, true},
                {{"passphrase"}, false},
                {{"recovery", "passphrase"}, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_list_ struct kb_list_builder rows = kb_list_builder_init(1024);

                for (size_t j = 0; table[i].kinds[j]; j++)
                        add_slot(&rows, table[i].kinds[j]);
                assert_int_equal(cli_root_key_is_lost(kb_list_built(&rows)), table[i].lost);
        }
}

static void a_store_that_people_open_is_not_restarted(void **state)
{
        struct doctor_cure cure = {.command = "the row's"};

        doctor_cure_directory(in_folder("root-key"), &cure);
        assert_string_equal(cure.command, "the row's");
        close(open(in_folder("root-key"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        doctor_cure_directory(in_folder("root-key"), &cure);
        assert_non_null(strstr(cure.command, "keybearer-store-local"));
}

static void what_a_cluster_gives_is_not_mended_by_a_restart(void **state)
{
        static const struct {
                const char *store, *problem;
                bool speaks;
        } table[] = {{"prod", "the signature", true}, {"prod", "", false}, {"local", "the disk", true}};
        const struct doctor_check check = {.about = "directory_problem"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_list_ struct kb_list_builder facts = kb_list_builder_init(1024);
                struct doctor_cure cure = {.command = "systemctl restart keybearerd"};
                _cleanup_free_ char *cause = NULL;
                struct doctor d = {.answers = true};

                kb_list_add_text(&facts, "directory_store", table[i].store);
                kb_list_add_text(&facts, "directory_problem", table[i].problem);
                d.facts = kb_list_built(&facts);
                cause = doctor_directory_speaks(&d, &check, &cure);
                assert_int_equal(cause != NULL, table[i].speaks);
                assert_int_equal(strstr(cure.command, "restart") == NULL,
                                 strcmp(table[i].store, "prod") == 0);
        }
}

static void another_key_is_blamed_only_when_it_is_known(void **state)
{
        for (int newer = 0; newer < 2; newer++) {
                struct doctor_cure cure = {.command = "the row's"};
                _cleanup_free_ char *cause = doctor_tell_kept("/keep/x", newer, &cure);

                assert_int_equal(strstr(cause, "another key") != NULL, newer);
                assert_int_equal(strstr(cause, "damaged") != NULL, !newer);
                assert_non_null(strstr(cure.then, "no longer be proven to be the newest"));
                assert_string_equal(cure.about, "/keep/x");
                free(cure.about);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_denial_counts_or_the_reason_is_named),
                cmocka_unit_test(a_module_that_jumps_over_ours_is_found),
                cmocka_unit_test(the_switch_names_us_behind_files),
                cmocka_unit_test(a_line_is_mended_without_moving_anybody_else),
                cmocka_unit_test(a_file_of_names_that_is_missing_or_damaged_is_found),
                cmocka_unit_test(a_fact_about_a_store_names_it),
                cmocka_unit_test(a_store_that_people_open_misses_no_file),
                cmocka_unit_test(a_store_that_people_open_is_not_restarted),
                cmocka_unit_test(what_a_cluster_gives_is_not_mended_by_a_restart),
                cmocka_unit_test(another_key_is_blamed_only_when_it_is_known),
        };

        return cmocka_run_group_tests_name("doctor", tests, test_folder_make, test_folder_remove);
}
