/* SPDX-License-Identifier: Apache-2.0 */
/* Every command and every verb of keybearer-store-local over its wire: what is answered, and what is
 * refused. */
#include "tests/unit/program.h"

#include <sqlite3.h>

static struct program p;

static int start(void **state)
{
        program_make(&p);
        return 0;
}

static int stop(void **state)
{
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        return 0;
}

/* Leaves the host slot's secret where systemd would. */
static void init_store(void)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_list row;
        char path[256];
        FILE *f;

        assert_int_equal(admin_ask(&p, &call, &row, "store", "init", "", NULL), KB_E_OK);
        snprintf(path, sizeof(path), "%s/root-key", p.credentials);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(pair_of(row, "credential"), f);
        fclose(f);
}

static char long_name[511]; /* with "kv/" before it it is too long for a path */

/* One after the other, on one store. The first row of the answer holds name=value, when that is given. */
static const struct {
        enum kb_error expected;
        const char *object, *action, *name;
        const char *fields[6];
        const char *row_name, *row_value;
} steps[] = {
        {KB_E_OK, "secret", "put", "a", {"field.x", "1"}, "version", "1"},
        {KB_E_OK, "secret", "put", "kv/a", {"field.x", "2", "cas", "1"}, "version", "2"},
        {KB_E_CONFLICT, "secret", "put", "a", {"field.x", "3", "cas", "1"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "put", "a", {"field.x", "3", "cas", "one"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "put", long_name, {"field.x", "3"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "get", long_name, {}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "list", long_name, {}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "versions", long_name, {}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "remove", long_name, {}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "destroy", long_name, {"version", "1"}, NULL, NULL},
        {KB_E_OK, "secret", "get", "a", {"version", "1"}, "x", "1"},
        {KB_E_BAD_REQUEST, "secret", "get", "a", {"version", "0"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "secret", "get", "a", {"version", "newest"}, NULL, NULL},
        {KB_E_OK, "secret", "list", "", {}, "path", "kv/a"},
        {KB_E_OK, "secret", "list", "", {"after", "kv/a"}, NULL, NULL},
        {KB_E_OK, "secret", "remove", "a", {"version", "1"}, NULL, NULL},
        {KB_E_OK, "secret", "versions", "a", {}, "state", "deleted"},
        {KB_E_NOT_FOUND, "secret", "versions", "b", {}, NULL, NULL},
        {KB_E_OK, "secret", "undelete", "a", {"version", "1"}, NULL, NULL},
        {KB_E_OK, "secret", "destroy", "a", {"version", "1"}, NULL, NULL},
        {KB_E_NOT_FOUND, "secret", "undelete", "a", {"version", "1"}, NULL, NULL},

        {KB_E_BAD_REQUEST, "ca", "create", "a b", {}, NULL, NULL},
        {KB_E_BAD_REQUEST, "ca", "create", "web", {"ttl", "soon"}, NULL, NULL},
        {KB_E_OK, "ca", "create", "default", {}, NULL, NULL},
        {KB_E_CONFLICT, "ca", "create", "default", {}, NULL, NULL},
        {KB_E_OK, "ca", "show", "default", {}, "name", "default"},
        {KB_E_OK, "ca", "list", "", {}, "common-name", "default"},
        {KB_E_OK, "ca", "certificates", "default", {}, NULL, NULL},
        {KB_E_BAD_REQUEST, "ca", "revoke", "default", {"serial", "00"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "ca", "role-set", "a b", {}, NULL, NULL},
        {KB_E_OK, "ca", "role-set", "web", {"common-name", "web"}, NULL, NULL},
        {KB_E_OK, "ca", "role-show", "web", {}, "server", "yes"},
        {KB_E_OK, "ca", "role-list", "", {}, "name", "web"},
        {KB_E_OK, "ca", "role-remove", "web", {}, NULL, NULL},
        {KB_E_OK, "ca", "role-list", "", {}, NULL, NULL},

        {KB_E_BAD_REQUEST, "user", "add", "ana", {"range", "0-9"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "user", "add", "ana", {"id", "me"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "user", "add", "ana", {"id", "99999999999"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "user", "add", "ana", {"password", "x", "weak", "perhaps"}, NULL, NULL},
        {KB_E_WEAK, "user", "add", "ana", {"password", ""}, NULL, NULL},
        {KB_E_WEAK, "user", "add", "ana", {"password", "short"}, NULL, NULL},
        {KB_E_OK, "user", "add", "ana", {"password", "short", "weak", "yes"}, "name", "ana"},
        {KB_E_CONFLICT, "user", "add", "ana", {}, NULL, NULL},
        {KB_E_OK, "user", "list", "", {}, "password", "set"},
        {KB_E_OK, "user", "show", "ana", {}, "shell", "/bin/bash"},
        {KB_E_NOT_FOUND, "user", "show", "ben", {}, NULL, NULL},
        {KB_E_OK, "user", "set", "ana", {"shell", "/bin/sh"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "user", "set", "ana", {"shell", "sh"}, NULL, NULL},
        {KB_E_OK, "user", "disable", "ana", {}, NULL, NULL},
        {KB_E_OK, "user", "show", "ana", {}, "disabled", "yes"},
        {KB_E_OK, "user", "enable", "ana", {}, NULL, NULL},
        {KB_E_OK, "user", "show", "ana", {}, "disabled", "no"},
        {KB_E_BAD_REQUEST,
         "user",
         "passwd",
         "ana",
         {"password", "x", "weak", "yes", "change-password", "x"},
         NULL,
         NULL},
        {KB_E_NOT_FOUND, "user", "passwd", "ben", {"password", "x", "weak", "yes"}, NULL, NULL},
        {KB_E_OK,
         "user",
         "passwd",
         "ana",
         {"password", "x", "weak", "yes", "change-password", "yes"},
         NULL,
         NULL},
        {KB_E_OK, "user", "show", "ana", {}, "change-password", "yes"},
        {KB_E_BAD_REQUEST, "group", "add", "dba", {"range", "x"}, NULL, NULL},
        {KB_E_NOT_FOUND, "group", "add", "dba", {"members", "ben"}, NULL, NULL},
        {KB_E_OK, "group", "add", "dba", {"members", "ana"}, "name", "dba"},
        {KB_E_OK, "group", "list", "", {}, "members", "ana"},
        {KB_E_OK, "group", "member-remove", "dba", {"member", "ana"}, NULL, NULL},
        {KB_E_OK, "group", "show", "dba", {}, "members", ""},
        {KB_E_OK, "group", "member-add", "dba", {"member", "ana"}, NULL, NULL},
        {KB_E_OK, "rule", "add", "r", {"who", "@dba"}, NULL, NULL},
        {KB_E_OK, "rule", "set", "r", {"service", "sshd"}, NULL, NULL},
        {KB_E_OK, "rule", "list", "", {}, "service", "sshd"},
        {KB_E_OK, "rule", "show", "r", {}, "who", "@dba"},
        {KB_E_OK, "group", "remove", "dba", {}, "rule", "r"},
        {KB_E_NOT_FOUND, "rule", "remove", "r", {}, NULL, NULL},
        {KB_E_OK, "user", "remove", "ana", {}, NULL, NULL},
        {KB_E_NOT_FOUND, "user", "remove", "ana", {}, NULL, NULL},

        {KB_E_BAD_REQUEST, "seal", "add", "a b", {"kind", "recovery"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "seal", "add", "a", {"kind", "recovery", "secret", "mine"}, NULL, NULL},
        {KB_E_OK, "seal", "add", "a", {"kind", "recovery"}, "kind", "recovery"},
        {KB_E_CONFLICT, "seal", "add", "a", {"kind", "recovery"}, NULL, NULL},
        {KB_E_OK, "seal", "remove", "a", {}, NULL, NULL},
        {KB_E_NOT_FOUND, "seal", "remove", "a", {}, NULL, NULL},
        {KB_E_OK, "seal", "remove", "recovery", {}, NULL, NULL},
        {KB_E_CONFLICT, "seal", "remove", "host", {}, NULL, NULL},
        {KB_E_CONFLICT, "seal", "unseal", "", {"secret", "x"}, NULL, NULL},
        {KB_E_BAD_REQUEST, "store", "restore-part", "", {"offset", "here", "data", "x"}, NULL, NULL},
        {KB_E_NOT_FOUND, "store", "restore", "", {}, NULL, NULL},
        {KB_E_OK, "store", "rotate-key", "", {}, "left-behind", "0"},
};

static void every_command_is_answered_or_refused_with_its_reason(void **state)
{
        memset(long_name, 'a', sizeof(long_name) - 1);
        init_store();
        for (size_t i = 0; i < KB_ARRAY_SIZE(steps); i++) {
                const char *const *f = steps[i].fields;
                _cleanup_call_ struct kb_call call = {};
                struct kb_list row = {};
                const char *value;
                uint32_t s = admin_ask(&p, &call, &row, steps[i].object, steps[i].action, steps[i].name,
                                       f[0], f[1], f[0] ? f[2] : NULL, f[3], f[2] ? f[4] : NULL, f[5], NULL);

                if (s != steps[i].expected)
                        fail_msg("row %zu: %s: %s", i, kb_error_word((enum kb_error)s), call.text);
                if (s != KB_E_OK)
                        assert_true(call.text[0]);
                value = steps[i].row_name ? pair_of(row, steps[i].row_name) : NULL;
                if (steps[i].row_name && (!value || strcmp(value, steps[i].row_value) != 0))
                        fail_msg("row %zu: %s is %s", i, steps[i].row_name, value ? value : "missing");
        }
}

/* --- verbs --- */

static void a_body_that_is_none_of_the_verb_is_refused(void **state)
{
        static const enum kb_verb verbs[] = {
                KB_VERB_hello,         KB_VERB_store_authenticate,
                KB_VERB_change_secret, KB_VERB_directory,
                KB_VERB_fetch,         KB_VERB_renew,
                KB_VERB_revoke,        KB_VERB_crl,
                KB_VERB_store_admin,
        };

        init_store();
        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++) {
                _cleanup_call_ struct kb_call call = kb_call_init(verbs[i]);

                kb_write_u32(&call.request, 0xffffffff);
                assert_int_equal(program_ask(&p, &call), KB_E_BAD_REQUEST);
        }
}

static uint32_t fetch(const struct kb_fetch_request *q, struct kb_call *call, struct kb_fetch_reply *ret)
{
        *call = kb_call_init(KB_VERB_fetch);
        kb_fetch_request_put(&call->request, q);
        if (program_ask(&p, call) == KB_E_OK)
                assert_ok(kb_fetch_reply_get(call->reply.body, ret));
        return call->status;
}

static void what_cannot_be_fetched_is_refused_by_name(void **state)
{
        _cleanup_list_ struct kb_list_builder parameters = kb_list_builder_init(256);
        struct kb_fetch_request rows[] = {
                {.path = "a b"},
                {.path = "kv/a", .method = "dance"},
                {.path = "aws/creds"},
                {.path = "kv/a", .version = "0"},
                {.path = "kv/a", .version = "new"},
                {.path = "pki/issue/web", .version = "1"},
                {.path = "pki/issue/web"},
                {.path = "kv/a"},
        };
        const enum kb_error expected[] = {KB_E_BAD_REQUEST, KB_E_UNSUPPORTED, KB_E_NOT_FOUND,
                                          KB_E_BAD_REQUEST, KB_E_BAD_REQUEST, KB_E_BAD_REQUEST,
                                          KB_E_NOT_FOUND,   KB_E_BAD_REQUEST};

        init_store();
        kb_list_add_text(&parameters, "ttl", "1h");
        rows[7].parameters = kb_list_built(&parameters);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_call_ struct kb_call call = {};
                struct kb_fetch_reply reply;

                if (fetch(&rows[i], &call, &reply) != expected[i])
                        fail_msg("row %zu: %s: %s", i, kb_error_word((enum kb_error)call.status), call.text);
        }
}

static uint32_t renew_lease(const char *lease, struct kb_renew_reply *ret)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_renew);

        kb_renew_request_put(&call.request, &(struct kb_renew_request){.lease = lease});
        if (program_ask(&p, &call) == KB_E_OK)
                assert_ok(kb_renew_reply_get(call.reply.body, ret));
        return call.status;
}

static uint32_t revoke_lease(const char *lease)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_revoke);

        kb_revoke_request_put(&call.request, &(struct kb_revoke_request){.lease = lease});
        return program_ask(&p, &call);
}

static void a_lease_is_asked_for_its_end_and_ended(void **state)
{
        static const char *const nonsense[] = {
                "",
                "pki",
                "pki/default",
                "pki/default/00",
                "kv/a",
                "kv/a@x",
                "kv/a@1.",
                "kv/a@1.x",
                "kv/a@.5f3a",
                "pki/a-name-that-is-longer-than-any-authority-can-have-and-even-longer-by-these/x"};
        _cleanup_call_ struct kb_call call = {};
        struct kb_fetch_reply issued;
        struct kb_renew_reply reply;

        init_store();
        assert_admin(&p, KB_E_OK, "ca", "create", "default");
        assert_admin(&p, KB_E_OK, "ca", "role-set", "web", "common-name", "web");
        assert_int_equal(fetch(&(struct kb_fetch_request){.path = "pki/issue/web"}, &call, &issued),
                         KB_E_OK);
        assert_admin(&p, KB_E_OK, "ca", "certificates", "default");
        assert_int_equal(renew_lease(issued.lease, &reply), KB_E_OK);
        assert_true(reply.ttl > 0 && reply.ttl <= issued.ttl && !reply.renewable);
        assert_int_equal(renew_lease("kv/a@1", &reply), KB_E_OK);
        assert_true(reply.ttl == 0 && !reply.renewable);
        assert_int_equal(renew_lease("kv/a@1.5f3a", &reply), KB_E_OK);
        for (size_t i = 0; i < KB_ARRAY_SIZE(nonsense); i++) {
                assert_int_equal(renew_lease(nonsense[i], &reply), KB_E_NOT_FOUND);
                assert_int_equal(revoke_lease(nonsense[i]), KB_E_OK);
        }
        assert_admin(&p, KB_E_OK, "ca", "revoke", "default", "serial", strrchr(issued.lease, '/') + 1);
        assert_admin(&p, KB_E_EXPIRED, "ca", "revoke", "default", "serial", strrchr(issued.lease, '/') + 1);
        assert_int_equal(renew_lease(issued.lease, &reply), KB_E_EXPIRED);
}

static const char *status_of(struct kb_call *call, const char *fact)
{
        struct kb_store_status_reply reply;

        *call = kb_call_init(KB_VERB_store_status);
        assert_int_equal(program_ask(&p, call), KB_E_OK);
        assert_ok(kb_store_status_reply_get(call->reply.body, &reply));
        return pair_of(reply.facts, fact);
}

static void status_counts_what_is_there_in_every_state(void **state)
{
        _cleanup_call_ struct kb_call a = {}, b = {}, c = {}, d = {};

        assert_string_equal(status_of(&a, "state"), "new");
        init_store();
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "1");
        assert_string_equal(status_of(&b, "secrets"), "1");
        assert_admin(&p, KB_E_OK, "seal", "seal", "");
        assert_string_equal(status_of(&c, "state"), "sealed");
        assert_non_null(strstr(status_of(&d, "problem"), "keybearer seal unseal"));
}

/* --- damage --- */

static void damage(const char *sql)
{
        char path[256];
        sqlite3 *db;

        assert_int_equal(program_stop(&p, SIGTERM), 0);
        snprintf(path, sizeof(path), "%s/store.db", p.state);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        program_start(&p);
}

/* Asserts that a call fails with the store's own word for it and says this. */
#define assert_says(words, ...)                                                                             \
        do {                                                                                                \
                _cleanup_call_ struct kb_call c_ = {};                                                      \
                assert_int_equal(admin_ask(&p, &c_, NULL, __VA_ARGS__, NULL), KB_E_STORAGE);                \
                if (!strstr(c_.text, words))                                                                \
                        fail_msg("%s", c_.text);                                                            \
        } while (0)

static void each_answer_names_the_record_that_is_damaged(void **state)
{
        _cleanup_call_ struct kb_call directory = kb_call_init(KB_VERB_directory), login = {}, backup = {};

        init_store();
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "1");
        assert_admin(&p, KB_E_OK, "ca", "role-set", "web", "common-name", "web");
        assert_admin(&p, KB_E_OK, "user", "add", "ana");
        damage("UPDATE versions SET data = zeroblob(60);"
               "UPDATE objects SET data = zeroblob(60) WHERE kind IN ('role', 'person')");
        assert_says("secret kv/a version 1", "secret", "get", "a");
        assert_says("keybearer user remove ana", "user", "list", "");
        assert_says("keybearer user remove ana", "user", "set", "ana", "shell", "/bin/sh");
        assert_says("keybearer ca role-remove web", "ca", "role-show", "web");
        assert_says("keybearer ca role-remove web", "ca", "role-set", "web", "server", "no");
        assert_says("damaged=skip", "store", "rotate-key", "");
        assert_int_equal(admin_ask(&p, &backup, NULL, "store", "backup", "", NULL), KB_E_CONFLICT);
        assert_non_null(strstr(backup.text, "keybearer store rotate-key"));

        kb_directory_request_put(&directory.request, &(struct kb_directory_request){});
        assert_int_equal(program_ask(&p, &directory), KB_E_STORAGE);
        assert_non_null(strstr(directory.text, "keybearer user remove ana"));
        login = kb_call_init(KB_VERB_store_authenticate);
        kb_store_authenticate_request_put(
                &login.request,
                &(struct kb_store_authenticate_request){.user = "ana", .answer = KB_SPAN_STRING("x")});
        assert_int_equal(program_ask(&p, &login), KB_E_STORAGE);

        assert_admin(&p, KB_E_OK, "store", "rotate-key", "", "damaged", "skip");
        assert_admin(&p, KB_E_OK, "store", "backup", "");
        damage("UPDATE slots SET public = randomblob(32) WHERE name = 'recovery'");
        assert_says("keybearer seal remove recovery", "store", "rotate-key", "");
}

static void a_damaged_authority_is_named_too(void **state)
{
        _cleanup_call_ struct kb_call hello = kb_call_init(KB_VERB_hello);

        init_store();
        assert_admin(&p, KB_E_OK, "ca", "create", "default");
        damage("UPDATE objects SET data = zeroblob(60) WHERE kind = 'ca'");
        assert_says("authority default does not match its key; restore a backup", "ca", "list", "");
        kb_hello_request_put(&hello.request, &(struct kb_hello_request){});
        assert_int_equal(program_ask(&p, &hello), KB_E_STORAGE);
}

/* --- one long work at a time --- */

static void stop_reading(void *userdata, const struct kb_progress_record *progress)
{
        int fd = *(int *)userdata;

        if (progress->chunk.size == 0)
                return;
        assert_int_equal(write(fd, "x", 1), 1);
        for (;;)
                pause();
}

/* Somebody who asks for a backup, and stops in the middle of it. */
static pid_t begin_backup(void)
{
        int fds[2];
        pid_t child;
        char x;

        assert_int_equal(pipe(fds), 0);
        child = fork();
        if (child == 0) {
                _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_admin);

                call.on_progress = stop_reading;
                call.userdata = &fds[1];
                kb_store_admin_request_put(
                        &call.request,
                        &(struct kb_store_admin_request){.object = "store", .action = "backup", .name = ""});
                program_ask(&p, &call);
                _exit(1);
        }
        close(fds[1]);
        assert_int_equal(read(fds[0], &x, 1), 1);
        close(fds[0]);
        return child;
}

static void long_works_wait_for_one_another_and_end_with_who_asked(void **state)
{
        char *big = calloc(1, 100001), path[16];
        uint32_t s = KB_E_BUSY;
        int status;
        pid_t child;

        memset(big, 'x', 100000);
        init_store();
        for (unsigned i = 0; i < 20; i++) {
                snprintf(path, sizeof(path), "big/%u", i);
                assert_admin(&p, KB_E_OK, "secret", "put", path, "field.x", big);
        }
        child = begin_backup();
        assert_admin(&p, KB_E_BUSY, "store", "backup", "");
        assert_admin(&p, KB_E_BUSY, "store", "rotate-key", "");
        assert_admin(&p, KB_E_BUSY, "store", "restore-part", "", "offset", "0", "data", "x");
        assert_admin(&p, KB_E_OK, "secret", "put", "small", "field.x", "y"); /* nobody else waits */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        for (unsigned i = 0; s == KB_E_BUSY && i < 1000; i++) {
                _cleanup_call_ struct kb_call call = {};

                s = admin_ask(&p, &call, NULL, "store", "rotate-key", "", NULL);
                usleep(10000);
        }
        assert_int_equal(s, KB_E_OK);
        free(big);
}

static void a_way_to_log_in_that_is_unknown_is_unsupported(void **state)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_authenticate);

        init_store();
        kb_store_authenticate_request_put(
                &call.request, &(struct kb_store_authenticate_request){
                                       .user = "ana", .method = "magic", .answer = KB_SPAN_STRING("x")});
        assert_int_equal(program_ask(&p, &call), KB_E_UNSUPPORTED);
}

static void a_credential_that_is_nonsense_leaves_it_sealed(void **state)
{
        char line[512];

        init_store();
        snprintf(line, sizeof(line), "echo nonsense >'%s/root-key'", p.credentials);
        assert_int_equal(system(line), 0);
        program_restart(&p);
        assert_admin(&p, KB_E_SEALED, "secret", "list", "");
        snprintf(line, sizeof(line), ": >'%s/root-key'", p.credentials);
        assert_int_equal(system(line), 0);
        program_restart(&p);
        assert_admin(&p, KB_E_SEALED, "secret", "list", "");
        assert_admin(&p, KB_E_BAD_REQUEST, "store", "restore", "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(every_command_is_answered_or_refused_with_its_reason, start,
                                                stop),
                cmocka_unit_test_setup_teardown(a_body_that_is_none_of_the_verb_is_refused, start, stop),
                cmocka_unit_test_setup_teardown(what_cannot_be_fetched_is_refused_by_name, start, stop),
                cmocka_unit_test_setup_teardown(a_lease_is_asked_for_its_end_and_ended, start, stop),
                cmocka_unit_test_setup_teardown(status_counts_what_is_there_in_every_state, start, stop),
                cmocka_unit_test_setup_teardown(each_answer_names_the_record_that_is_damaged, start, stop),
                cmocka_unit_test_setup_teardown(a_damaged_authority_is_named_too, start, stop),
                cmocka_unit_test_setup_teardown(a_credential_that_is_nonsense_leaves_it_sealed, start, stop),
                cmocka_unit_test_setup_teardown(long_works_wait_for_one_another_and_end_with_who_asked,
                                                start, stop),
                cmocka_unit_test_setup_teardown(a_way_to_log_in_that_is_unknown_is_unsupported, start, stop),
        };

        return cmocka_run_group_tests_name("store-answers", tests, test_folder_make, test_folder_remove);
}
