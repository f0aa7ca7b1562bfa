/* SPDX-License-Identifier: Apache-2.0 */
/* stores/NAME.conf: what it becomes, and what is said about each way to get one wrong. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "helper/config/address.h"
#include "helper/config/store_vault.h"
#include "tests/unit/problems.h"

#define SERVER "[Store]\nType=vault\n[Server]\nAddress=https://bao.example.org:8200\n" /* lines 1 to 4 */
#define APPROLE                                                                                             \
        SERVER "[Login]\nMethod=approle\nRoleIdFile=/etc/role\nSecretIdFile=/etc/secret\n" /* 5 to 8 */

static struct kb_config_trust trust;

static int set_up(void **state)
{
        trust = (struct kb_config_trust){
                .owner = getuid(), .reader = "keybearer-vault", .reader_gid = getgid()};
        return test_folder_make(state);
}

static const char *write_file(const char *name, const char *text)
{
        int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

        assert_true(fd >= 0);
        assert_ok(fchmod(fd, 0640));
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
        return in_folder(name);
}

static struct kb_vault_settings *load(const char *text)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_vault_settings *s = NULL;
        int r = kb_vault_settings_new(write_file("prod.conf", text), &trust, &problems, &s);

        problems_are(&problems, "");
        assert_ok(r);
        return s;
}

/* --- what it becomes --- */

static void the_least_has_defaults_for_the_rest(void **state)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *s = load(APPROLE);

        assert_string_equal(s->addresses[0], "https://bao.example.org:8200");
        assert_null(s->addresses[1]);
        assert_false(s->allow_plain);
        assert_int_equal(s->minimum_tls, KB_VAULT_TLS_1_3);
        assert_int_equal(s->login_method, KB_VAULT_LOGIN_approle);
        assert_string_equal(s->login_mount, "approle");
        assert_false(s->secret_id_wrapped || s->remove_secret_id_file);
        assert_int_equal(s->people_method, KB_VAULT_PEOPLE_none);
        assert_null(s->people_mount);
        assert_null(s->namespace);
        assert_null(s->ca_file);
        assert_int_equal(s->response_max, 4 << 20);
        assert_true(s->connect_usec < s->request_usec);
}

static void all_of_it_can_be_said(void **state)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *s =
                load("[Store]\nType=vault\n[Server]\nAddress=https://a:8200 https://[2001:db8::1]:8200\n"
                     "Address=https://c\n  "
                     "unix:/run/bao.sock\nAllowPlain=yes\nNamespace=team/a\nCaFile=/etc/ca.pem\n"
                     "ServerName=bao.example.org\nMinimumTls=1.2\nClientCertificate=/etc/c.pem\n"
                     "ClientKey=/etc/c.pem\nConnectTimeoutSec=500ms\nRequestTimeoutSec=3s\nResponseMax=64K\n"
                     "[Login]\nMethod=approle\nMount=hosts/approle\nRole=web\nRoleIdFile=/etc/r\n"
                     "SecretIdCredential=secret-id\nSecretIdWrapped=yes\nRenewAt=1/2\n"
                     "[People]\nMethod=ldap\nMfaMethod=totp\n");

        assert_string_equal(s->addresses[1], "https://[2001:db8::1]:8200");
        assert_string_equal(s->addresses[3], "unix:/run/bao.sock");
        assert_int_equal(s->minimum_tls, KB_VAULT_TLS_1_2);
        assert_string_equal(s->login_mount, "hosts/approle");
        assert_string_equal(s->login_role, "web");
        assert_string_equal(s->secret_id_credential, "secret-id");
        assert_true(s->secret_id_wrapped);
        assert_int_equal(s->people_method, KB_VAULT_PEOPLE_ldap);
        assert_string_equal(s->people_mount, "ldap");
}

static void each_method_has_what_it_needs(void **state)
{
        static const char *const good[] = {
                "[Login]\nMethod=jwt\nJwtFile=/run/jwt\n",
                "[Login]\nMethod=approle\nRoleIdFile=/r\n",
                "[Login]\nMethod=kubernetes\nRole=web\n",
                "[Login]\nMethod=token\nTokenFile=/run/token\n",
                "ClientCertificate=/etc/c.pem\nClientKey=/etc/k.pem\n[Login]\nMethod=cert\n",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(good); i++) {
                _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *s = NULL;
                char text[512];

                snprintf(text, sizeof(text), SERVER "%s", good[i]);
                s = load(text);
                assert_int_equal(s->login_mount != NULL, s->login_method != KB_VAULT_LOGIN_token);
                assert_int_equal(s->jwt_file != NULL, s->login_method == KB_VAULT_LOGIN_jwt ||
                                                              s->login_method == KB_VAULT_LOGIN_kubernetes);
        }
}

static void a_drop_in_changes_what_the_file_says(void **state)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *s = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};

        write_file("drop.conf", APPROLE);
        assert_ok(mkdir(in_folder("drop.conf.d"), 0750));
        write_file("drop.conf.d/more.conf", "[Server]\nAddress=https://second:8200\nMinimumTls=1.2\n");
        assert_ok(kb_vault_settings_new(in_folder("drop.conf"), &trust, &problems, &s));
        assert_string_equal(s->addresses[1], "https://second:8200");
        assert_int_equal(s->minimum_tls, KB_VAULT_TLS_1_2);
}

/* --- what is wrong with it --- */

#define NO_ADDRESS "is no address; write https://HOST:PORT"

/* Each text stands behind SERVER or APPROLE, and so begins in line 5 or 9; or is the whole of it. */
static const struct {
        const char *before;
        const char *text;
        const char *expected;
} bad[] = {
        {"", "",
         "bad.conf: Type= is missing in [Store]; add it\nbad.conf: Address= is missing in [Server]; add it\n"
         "bad.conf: Method= is missing in [Login]; add it"},
        {"",
         "[Store]\nType=valut\n"
         "[Server]\nAddress=https://bao\n[Login]\nMethod=token\nTokenFile=/t\n",
         "bad.conf:2: Type=valut is none of vault"},
        {APPROLE, "Metod=cert\n", "bad.conf:9: unknown key Metod= in [Login]; did you mean Method=?"},
        {APPROLE, "Colour=red\n", "bad.conf:9: unknown key Colour= in [Login]; see `man 5 stores.conf`"},
        {APPROLE, "CaFile=/a\n", "bad.conf:9: unknown key CaFile= in [Login]; it belongs into [Server]"},
        {APPROLE, "[Sevrer]\nCaFile=/a\n", "bad.conf:10: unknown section [Sevrer]; did you mean [Server]?"},
        {APPROLE, "Method=approle\n", "bad.conf:9: Method= is given twice, first in line 6; remove one"},
        {SERVER, "[Login]\nMethod=aprole\n", "bad.conf:6: Method=aprole is none of " KB_VAULT_LOGIN_WORDS},
        {APPROLE, "[People]\nMethod=radius\n", "bad.conf:10: Method=radius is none of none|userpass|ldap"},
        {APPROLE, "[Server]\nMinimumTls=1.1\n", "bad.conf:10: MinimumTls=1.1 is none of 1.2|1.3"},
        {APPROLE, "[Server]\nAllowPlain=maybe\n", "bad.conf:10: AllowPlain=maybe is neither yes nor no"},
        {APPROLE, "[Server]\nVerify=no\n",
         "bad.conf:10: unknown key Verify= in [Server]; see `man 5 stores.conf`"},
        {APPROLE, "[Server]\nConnectTimeoutSec=5parsecs\n",
         "bad.conf:10: ConnectTimeoutSec=5parsecs makes no sense as a time from \"parsecs\" on; use a "
         "number and "
         "ms, s, min, h, d or w"},
        {APPROLE, "[Server]\nConnectTimeoutSec=0\n",
         "bad.conf:10: ConnectTimeoutSec=0 is out of range; it goes from 100ms to 1min"},
        {APPROLE, "[Server]\nRequestTimeoutSec=infinity\n",
         "bad.conf:10: RequestTimeoutSec=infinity is out of range; it goes from 100ms to 5min"},
        {APPROLE, "[Server]\nConnectTimeoutSec=9s\n",
         "bad.conf:10: ConnectTimeoutSec= is longer than RequestTimeoutSec=, which holds it; shorten it"},
        {APPROLE, "[Server]\nResponseMax=1G\n",
         "bad.conf:10: ResponseMax=1G is out of range; it goes from 64K to 32M"},
        {APPROLE, "RenewAt=often\n", "bad.conf:9: RenewAt=often is no share; write 2/3, 0.66 or 66%"},
        {APPROLE, "[Server]\nCaFile=\n",
         "bad.conf:10: CaFile= has no value; write an absolute path of a file, or remove the line"},
        {APPROLE, "[Server]\nCaFile=ca.pem\n",
         "bad.conf:10: CaFile=ca.pem is no absolute path of a file, without \".\" and \"..\""},
        {APPROLE, "[Server]\nServerName=bao.example.org:8200\n",
         "bad.conf:10: ServerName=bao.example.org:8200 is no name of a host; use letters, digits, '-' and "
         "'.', without port"},
        {APPROLE, "[Server]\nNamespace=/team\n",
         "bad.conf:10: Namespace=/team is no path in a store; join letters, digits and _-.@: by '/', for "
         "example kv/orders/db"},
        {APPROLE, "[Server]\nAddress=bao:8200\n", "bad.conf:10: Address=bao:8200 \"bao:8200\" " NO_ADDRESS},
        {APPROLE, "[Server]\nAddress=https://bao.example.org:8200\n",
         "bad.conf:4: Address= names a server twice; remove one"},
        {APPROLE, "[Server]\nAddress=http://127.0.0.1:8200\n",
         "bad.conf:4: Address= is without TLS; write https://, or set AllowPlain=yes if the server is on "
         "this host"},
        {APPROLE, "[Server]\nAllowPlain=yes\nAddress=http://bao:8200\n",
         "bad.conf:11: Address=http://bao:8200 \"http://bao:8200\" is plain http to another host than "
         "127.0.0.1 and "
         "[::1]; write https://"},
        {APPROLE, "[Server]\nClientKey=/k\n",
         "bad.conf:10: ClientKey= is of no use without ClientCertificate=; add it"},
        {APPROLE, "[Server]\nClientCertificate=/c\n",
         "bad.conf:10: ClientCertificate= is of no use without ClientKey=; add it"},
        {APPROLE, "JwtFile=/j\n", "bad.conf:9: JwtFile= does not belong to Method=approle; remove the line"},
        {APPROLE, "TokenFile=/t\n",
         "bad.conf:9: TokenFile= does not belong to Method=approle; remove the line"},
        {APPROLE, "SecretIdCredential=c\n",
         "bad.conf:9: SecretIdFile= and SecretIdCredential= are both given; remove one"},
        {APPROLE, "SecretIdWrapped=yes\n",
         "bad.conf:9: SecretIdWrapped=yes needs Role=, to know who the SecretID was made for; add it"},
        {APPROLE, "Role=a/b\n",
         "bad.conf:9: Role= is one name, without '/'; the path to its method goes into Mount="},
        {SERVER, "[Login]\nMethod=approle\n",
         "bad.conf:6: Method=approle needs RoleIdFile=; add it to [Login]"},
        {SERVER, "[Login]\nMethod=approle\nRoleIdFile=/r\nRole=web\nSecretIdWrapped=yes\n",
         "bad.conf:9: SecretIdWrapped=yes has nothing to unwrap; add SecretIdFile= or SecretIdCredential="},
        {SERVER, "[Login]\nMethod=approle\nRoleIdFile=/r\nSecretIdCredential=c\nRemoveSecretIdFile=yes\n",
         "bad.conf:9: RemoveSecretIdFile=yes has no file to remove; add SecretIdFile=, or remove the line"},
        {SERVER, "[Login]\nMethod=jwt\n", "bad.conf:6: Method=jwt needs JwtFile=; add it to [Login]"},
        {SERVER, "[Login]\nMethod=kubernetes\n",
         "bad.conf:6: Method=kubernetes needs Role=; add it to [Login]"},
        {SERVER, "[Login]\nMethod=cert\n",
         "bad.conf:6: Method=cert needs ClientCertificate= and ClientKey=; add them to [Server]"},
        {SERVER, "[Login]\nMethod=cert\nSecretIdFile=/s\n",
         "bad.conf:7: SecretIdFile= does not belong to Method=cert; remove the line\n"
         "bad.conf:6: Method=cert needs ClientCertificate= and ClientKey=; add them to [Server]"},
        {SERVER, "[Login]\nMethod=token\n", "bad.conf:6: Method=token needs TokenFile=; add it to [Login]"},
        {SERVER, "[Login]\nMethod=token\nTokenFile=/t\nMount=token\nRole=web\n",
         "bad.conf:8: Mount= does not belong to Method=token; remove the line\n"
         "bad.conf:9: Role= does not belong to Method=token; remove the line"},
        {APPROLE, "[People]\nMount=people\nMfaMethod=totp\n",
         "bad.conf:10: Mount= in [People] is of no use while Method=none; set Method=userpass or ldap\n"
         "bad.conf:11: MfaMethod= is of no use while Method=none; set Method=userpass or ldap"},
        {APPROLE, "Role=we", "bad.conf:9: the last line has no end; is somebody still writing the file?"},
};

static void every_mistake_is_named_with_its_line(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                _cleanup_problems_ struct kb_problems problems = {0};
                struct kb_vault_settings *s = NULL;
                char text[1024];
                int r;

                snprintf(text, sizeof(text), "%s%s", bad[i].before, bad[i].text);
                r = kb_vault_settings_new(write_file("bad.conf", text), &trust, &problems, &s);
                problems_are(&problems, bad[i].expected);
                assert_int_equal(r, -EBADMSG);
                assert_null(s);
        }
}

static void more_servers_than_are_asked_are_refused(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_vault_settings *s = NULL;
        char text[2048], *end = text;

        end += snprintf(end, sizeof(text), "%s[Server]\n", APPROLE); /* names one already */
        for (unsigned i = 0; i < KB_VAULT_ADDRESSES_MAX; i++)
                end += snprintf(end, 64, "Address=https://bao%u:8200\n", i);
        assert_int_equal(kb_vault_settings_new(write_file("bad.conf", text), &trust, &problems, &s),
                         -EBADMSG);
        assert_null(s);
        problems_are(&problems, "bad.conf:4: Address= names more than 16 servers; leave some out");
}

/* --- addresses --- */

static void an_address_is_a_server_and_nothing_else(void **state)
{
        static const struct {
                const char *text;
                const char *wrong; /* begins so; NULL: it is good */
        } rows[] = {
                {"https://bao.example.org:8200", NULL},
                {"https://bao", NULL},
                {"https://localhost:8200", NULL},
                {"https://10.0.0.1:1", NULL},
                {"https://[::1]:65535", NULL},
                {"https://[2001:db8::1]", NULL},
                {"http://127.0.0.1:8200", NULL},
                {"http://127.255.0.9", NULL},
                {"http://[::1]:8200", NULL},
                {"unix:/run/bao.sock", NULL},
                {"", "is no address"},
                {"bao.example.org", "is no address"},
                {"HTTPS://bao", "is no address"},
                {"ftp://bao", "is no address"},
                {"https:/bao", "is no address"},
                {"https://", "names no host"},
                {"https://:8200", "names no host"},
                {"https://-bao", "names no host"},
                {"https://bao-", "names no host"},
                {"https://bao-.example.org", "names no host"},
                {"https://bao..example.org", "names no host"},
                {"https://.example.org", "names no host"},
                {"https://bao_1", "names no host"},
                {"https://10.0.0", "names no host"},
                {"https://10.0.0.256", "names no host"},
                {"https://[::1", "names no host"},
                {"https://[bao]", "names no host"},
                {"https://[127.0.0.1]", "names no host"},
                {"https://2001:db8::1", "names no host"},
                {"https://bao:db8::1", "has no port"},
                {"https://bao:", "has no port"},
                {"https://bao:0", "has no port"},
                {"https://bao:65536", "has no port"},
                {"https://bao:82a", "has no port"},
                {"https://bao:000443", "has no port"},
                {"https://bao/", "goes on"},
                {"https://bao:8200/v1", "goes on"},
                {"https://bao?x", "goes on"},
                {"https://bao:8200#x", "goes on"},
                {"https://[::1]x", "goes on"},
                {"https://root:pw@bao:8200", "holds an '@'"},
                {"http://localhost:8200", "is plain http"},
                {"http://128.0.0.1", "is plain http"},
                {"http://127.0.0.1.example.org", "is plain http"},
                {"http://127.0.0.1@example.org", "holds an '@'"},
                {"http://[::2]", "is plain http"},
                {"http://[::ffff:127.0.0.1]", "is plain http"},
                {"unix:run/bao.sock", "has no absolute path"},
                {"unix:///run/bao.sock", "has no absolute path"},
                {"unix:/", "has no absolute path"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                const char *wrong = kb_address_judge(rows[i].text);

                if (!rows[i].wrong != !wrong ||
                    (wrong && strncmp(wrong, rows[i].wrong, strlen(rows[i].wrong)) != 0))
                        fail_msg("%s: %s", rows[i].text, wrong ? wrong : "good");
        }
        assert_true(kb_address_is_plain("unix:/run/a") && kb_address_is_plain("http://127.0.0.1"));
        assert_false(kb_address_is_plain("https://127.0.0.1"));
}

static void what_is_too_long_is_no_address(void **state)
{
        char text[KB_ADDRESS_MAX + 2] = "https://";

        memset(text + 8, 'a', sizeof(text) - 9);
        assert_non_null(kb_address_judge(text)); /* too long, and so is the label */
        memcpy(text, "unix:/aa", 8);
        text[5 + 107] = '\0';
        assert_null(kb_address_judge(text));
        text[5 + 107] = 'a';
        text[5 + 108] = '\0';
        assert_non_null(kb_address_judge(text)); /* sun_path is full */
}

/* --- the file --- */

static void refuses(const char *expected)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_vault_settings *s = NULL;

        assert_int_equal(kb_vault_settings_new(in_folder("mode.conf"), &trust, &problems, &s), -EBADMSG);
        assert_null(s);
        problems_are(&problems, expected);
}

static void only_the_stores_own_program_may_read_it(void **state)
{
        char expected[512];
        const char *path = write_file("mode.conf", APPROLE);
        static const mode_t modes[] = {0644, 0600, 0641};

        for (size_t i = 0; i < KB_ARRAY_SIZE(modes); i++) {
                assert_ok(chmod(path, modes[i]));
                snprintf(expected, sizeof(expected),
                         "mode.conf: has to be for root and the group keybearer-vault alone (gid %u, mode "
                         "%04o); "
                         "chgrp keybearer-vault mode.conf && chmod g=rX,o= mode.conf",
                         (unsigned)getgid(), (unsigned)modes[i]);
                refuses(expected);
        }
        assert_ok(chmod(path, 0660));
        refuses("mode.conf: is writable for more than its owner (mode 0660); chmod go-w mode.conf");
        assert_ok(chmod(path, 0640));
        trust.reader_gid++;
        snprintf(expected, sizeof(expected),
                 "mode.conf: has to be for root and the group keybearer-vault alone (gid %u, mode 0640); "
                 "chgrp keybearer-vault mode.conf && chmod g=rX,o= mode.conf",
                 (unsigned)getgid());
        refuses(expected);
        trust.reader_gid--;
}

static void one_that_may_not_be_opened_says_what_helps(void **state)
{
        if (getuid() == 0) /* who may open anything */
                skip();
        assert_ok(chmod(write_file("mode.conf", APPROLE), 0));
        refuses("mode.conf: cannot be opened: Permission denied; chgrp keybearer-vault mode.conf && chmod "
                "g=rX,o= "
                "mode.conf");
}

static void no_file_is_no_store(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_vault_settings *s = NULL;

        assert_int_equal(kb_vault_settings_new(in_folder("absent.conf"), &trust, &problems, &s), -ENOENT);
        assert_null(s);
}

static void a_store_is_called_as_its_file_is(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0}, none = {0};
        _cleanup_strv_ char **names = NULL, **nothing = NULL;

        assert_ok(mkdir(in_folder("stores"), 0755));
        write_file("stores/test.conf", "");
        write_file("stores/prod.conf", "");
        write_file("stores/.hidden.conf", "");
        write_file("stores/prod.conf~", "");
        write_file("stores/local.conf", "");
        write_file("stores/two words.conf", "");
        assert_ok(kb_store_names(in_folder("stores"), &trust, &problems, &names));
        assert_string_equal(names[0], "prod");
        assert_string_equal(names[1], "test");
        assert_null(names[2]);
        problems_are(&problems,
                     "stores/local.conf: the local store has no settings; name the file otherwise\n"
                     "stores/two words.conf: \"two words\" is no name for a store; name the file with "
                     "letters, digits, '_' and '-', and .conf");
        assert_ok(kb_store_names(in_folder("absent"), &trust, &none, &nothing));
        assert_null(nothing[0]);
        assert_ok(chmod(in_folder("stores"), 0777));
        assert_int_equal(kb_store_names(in_folder("stores"), &trust, &none, &nothing), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_least_has_defaults_for_the_rest),
                cmocka_unit_test(all_of_it_can_be_said),
                cmocka_unit_test(each_method_has_what_it_needs),
                cmocka_unit_test(a_drop_in_changes_what_the_file_says),
                cmocka_unit_test(every_mistake_is_named_with_its_line),
                cmocka_unit_test(more_servers_than_are_asked_are_refused),
                cmocka_unit_test(an_address_is_a_server_and_nothing_else),
                cmocka_unit_test(what_is_too_long_is_no_address),
                cmocka_unit_test(only_the_stores_own_program_may_read_it),
                cmocka_unit_test(one_that_may_not_be_opened_says_what_helps),
                cmocka_unit_test(no_file_is_no_store),
                cmocka_unit_test(a_store_is_called_as_its_file_is),
        };

        return cmocka_run_group_tests(tests, set_up, test_folder_remove);
}
