/* SPDX-License-Identifier: Apache-2.0 */
/* A store of type vault as a process, over its wire: what it says of itself while it gives nothing out. */
#include "tests/unit/program.h"

#include "helper/store/vault/vault.h"

/* Nobody listens there. */
#define SERVER "[Store]\nType=vault\n[Server]\nAddress=https://127.0.0.1:9\n"

static struct program p;
static const char *state_folder = test_folder;
static struct kb_vault_identity identity = {.name = "prod"};
static char good[512]; /* settings */
static char keep[4096];
static size_t keep_size;

static void write_settings(const char *text)
{
        const char *path = in_folder("prod.conf");
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
        assert_ok(chmod(path, 0640));
}

static void begin(void)
{
        int fd;

        identity.folder = test_folder;
        identity.state = state_folder;
        identity.trust =
                (struct kb_config_trust){.owner = getuid(), .reader = KB_VAULT_USER, .reader_gid = getgid()};
        program_folders(&p);
        program_listen(&p, &fd);
        p.pid = fork();
        if (p.pid > 0) {
                close(fd);
                return;
        }
        program_hand_over(fd);
        exit(kb_vault_main(&identity));
}

static int stop(void **state)
{
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        unlink(in_folder("prod.conf"));
        return 0;
}

/* Whether it refuses everything with that, as it tells the broker; which keeps what it is given. */
static bool refuses_with(const char *expected, char *ret_said, size_t size)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_hello);
        struct kb_hello_reply reply;

        kb_hello_request_put(&call.request,
                             &(struct kb_hello_request){.broker = "1", .keep = KB_SPAN(keep, keep_size)});
        assert_int_equal(program_ask(&p, &call), KB_E_OK);
        assert_ok(kb_hello_reply_get(call.reply.body, &reply));
        assert_string_equal(reply.kind, "vault");
        assert_string_equal(reply.version, PACKAGE_VERSION);
        assert_int_equal(reply.refusal, KB_E_UNREACHABLE);
        if (reply.keep.size > 0)
                memcpy(keep, reply.keep.data, keep_size = reply.keep.size);
        snprintf(ret_said, size, "%s", reply.problem);
        return strstr(reply.problem, expected);
}

/* Soon: a login takes its time to fail, and settings are read once a second at most. */
static void greeting_says(const char *expected)
{
        char said[512];

        for (unsigned i = 0; i < 200; i++) {
                if (refuses_with(expected, said, sizeof(said)))
                        return;
                usleep(100 * 1000);
        }
        fail_msg("\"%s\" is not in: %s", expected, said);
}

static void without_its_file_it_says_so_until_there_is_one(void **state)
{
        begin();
        greeting_says("prod.conf: is not there; write it, see stores.conf(5)");
        write_settings(good);
        greeting_says("https://127.0.0.1:9");
}

static void a_mistake_is_named_until_it_is_mended(void **state)
{
        char said[512];

        write_settings("[Store]\nType=vault\n[Server]\nAddress=http://bao\n");
        begin();
        greeting_says("prod.conf:4: Address=http://bao \"http://bao\" is plain http to another host");
        greeting_says("there is more: keybearer config check");
        write_settings("[Store]\nType=consul\n" SERVER);
        greeting_says("prod.conf:2: Type=consul is none of vault");
        write_settings(good);
        greeting_says("https://127.0.0.1:9");
        write_settings("nonsense\n"); /* nobody has said that it is to be read again */
        usleep(1100 * 1000);
        assert_true(refuses_with("https://127.0.0.1:9", said, sizeof(said)));
}

static void a_reload_takes_up_what_is_good_and_nothing_else(void **state)
{
        char said[512], text[1024], *port;

        keep_size = 0;
        snprintf(text, sizeof(text), "%s", good);
        port = strstr(text, ":9\n");
        assert_non_null(port);
        write_settings(good);
        begin();
        greeting_says("https://127.0.0.1:9");
        write_settings("nonsense\n");
        assert_ok(kill(p.pid, SIGHUP));
        usleep(300 * 1000);
        assert_true(refuses_with("https://127.0.0.1:9", said, sizeof(said)));
        port[1] = '1';
        write_settings(text);
        assert_ok(kill(p.pid, SIGHUP));
        greeting_says("https://127.0.0.1:1");
        snprintf(text, sizeof(text), "%s[Server]\nCaFile=%s\n", good, in_folder("ca.pem"));
        write_settings(text);
        assert_ok(kill(p.pid, SIGHUP)); /* well formed, and it cannot be used: there is no such file */
        usleep(300 * 1000);
        assert_true(refuses_with("https://127.0.0.1:1", said, sizeof(said)));
        write_settings(good);
        assert_ok(kill(p.pid, SIGHUP));
        assert_ok(kill(p.pid, SIGHUP));
        greeting_says("https://127.0.0.1:9");
}

/* The first answer already: who asks right behind a start hears how the login went, and not that there is
 * none. */
static void the_first_greeting_waits_for_the_first_login(void **state)
{
        char said[512];

        keep_size = 0;
        write_settings(good);
        begin();
        if (!refuses_with("https://127.0.0.1:9: Failed to connect", said, sizeof(said)))
                fail_msg("%s", said);
}

static void a_file_that_it_names_is_looked_for_again_too(void **state)
{
        char text[1024];

        snprintf(text, sizeof(text), "%s[Server]\nCaFile=%s\n", good, in_folder("ca.pem"));
        write_settings(text);
        begin();
        greeting_says(in_folder("ca.pem"));
        write_settings(good);
        greeting_says("https://127.0.0.1:9");
}

static void without_a_folder_of_its_own_it_says_so(void **state)
{
        state_folder = "/no/such/folder";
        write_settings(good);
        begin();
        state_folder = test_folder;
        greeting_says("reading the list of people's tokens in its folder: ");
}

static void its_status_has_the_state_the_problem_and_the_servers(void **state)
{
        _cleanup_call_ struct kb_call plain = kb_call_init(KB_VERB_store_status), call = {};
        struct kb_store_status_reply reply;
        struct kb_list row;
        char text[1024];

        snprintf(text, sizeof(text), "%s[Server]\nAddress=https://127.0.0.1:11\n", good);
        write_settings(text);
        begin();
        greeting_says("https://127.0.0.1:");
        assert_int_equal(admin_ask(&p, &call, &row, "store", "status", "", NULL), KB_E_OK);
        assert_string_equal(pair_of(row, "state"), "not logged in");
        assert_non_null(strstr(pair_of(row, "problem"), "https://127.0.0.1:"));
        assert_non_null(pair_of(row, "https://127.0.0.1:9"));
        assert_non_null(pair_of(row, "https://127.0.0.1:11"));
        assert_int_equal(program_ask(&p, &plain), KB_E_OK);
        assert_ok(kb_store_status_reply_get(plain.reply.body, &reply));
        assert_string_equal(pair_of(reply.facts, "version"), PACKAGE_VERSION);
}

static void what_needs_a_login_is_unreachable_and_what_is_not_there_unsupported(void **state)
{
        static const struct {
                uint32_t verb;
                enum kb_error expected;
        } rows[] = {
                {KB_VERB_fetch, KB_E_UNREACHABLE},         {KB_VERB_renew, KB_E_UNREACHABLE},
                {KB_VERB_revoke, KB_E_UNREACHABLE}, /* "unsupported" would be the end of it */
                {KB_VERB_directory, KB_E_UNREACHABLE},     {KB_VERB_store_authenticate, KB_E_UNSUPPORTED},
                {KB_VERB_change_secret, KB_E_UNSUPPORTED}, {KB_VERB_crl, KB_E_UNSUPPORTED},
        };

        write_settings(good);
        begin();
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_call_ struct kb_call call = kb_call_init(rows[i].verb);

                switch (rows[i].verb) {
                case KB_VERB_fetch:
                        kb_fetch_request_put(&call.request, &(struct kb_fetch_request){.path = "kv/a"});
                        break;
                case KB_VERB_renew:
                        kb_renew_request_put(&call.request, &(struct kb_renew_request){.lease = "a"});
                        break;
                case KB_VERB_revoke:
                        kb_revoke_request_put(&call.request, &(struct kb_revoke_request){.lease = "a"});
                        break;
                case KB_VERB_directory:
                        kb_directory_request_put(&call.request, &(struct kb_directory_request){.have = 0});
                        break;
                case KB_VERB_store_authenticate:
                        kb_store_authenticate_request_put(
                                &call.request, &(struct kb_store_authenticate_request){.user = "ana"});
                        break;
                case KB_VERB_change_secret:
                        kb_change_secret_request_put(&call.request,
                                                     &(struct kb_change_secret_request){.user = "ana"});
                        break;
                default:
                        kb_crl_request_put(&call.request, &(struct kb_crl_request){.name = "a"});
                }
                assert_int_equal(program_ask(&p, &call), rows[i].expected);
        }
        assert_admin(&p, KB_E_UNSUPPORTED, "secret", "list", "");
        assert_admin(&p, KB_E_UNSUPPORTED, "store", "accept", "");
}

/* A token that no server ever hears of. */
static int set_up(void **state)
{
        FILE *f;
        int r = test_folder_make(state);

        f = r == 0 ? fopen(in_folder("token"), "we") : NULL;
        if (!f || fchmod(fileno(f), 0600) < 0)
                return -1;
        fputs("hvs.none\n", f);
        fclose(f);
        snprintf(good, sizeof(good),
                 SERVER
                 "ConnectTimeoutSec=500ms\nRequestTimeoutSec=1s\n[Login]\nMethod=token\nTokenFile=%s\n",
                 in_folder("token"));
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(without_its_file_it_says_so_until_there_is_one, stop),
                cmocka_unit_test_teardown(a_mistake_is_named_until_it_is_mended, stop),
                cmocka_unit_test_teardown(a_reload_takes_up_what_is_good_and_nothing_else, stop),
                cmocka_unit_test_teardown(the_first_greeting_waits_for_the_first_login, stop),
                cmocka_unit_test_teardown(a_file_that_it_names_is_looked_for_again_too, stop),
                cmocka_unit_test_teardown(without_a_folder_of_its_own_it_says_so, stop),
                cmocka_unit_test_teardown(its_status_has_the_state_the_problem_and_the_servers, stop),
                cmocka_unit_test_teardown(
                        what_needs_a_login_is_unreachable_and_what_is_not_there_unsupported, stop),
        };

        return cmocka_run_group_tests(tests, set_up, test_folder_remove);
}
