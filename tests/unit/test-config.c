/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: what a file becomes, and what is said about each way to get one wrong. */
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "helper/config/config.h"
#include "helper/config/credential.h"
#include "helper/config/duration.h"
#include "helper/config/text.h"
#include "tests/unit/problems.h"

#define MINUTE (60 * KB_USEC_PER_SEC)

static struct kb_config_trust trust;

static int set_up(void **state)
{
        trust.owner = getuid();
        return test_folder_make(state);
}

/* The bytes, which may hold a NUL, as a file that is good to read. */
static const char *write_bytes(const char *name, const char *bytes, size_t size)
{
        int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, size), size);
        close(fd);
        return in_folder(name);
}

static const char *write_file(const char *name, const char *text)
{
        return write_bytes(name, text, strlen(text));
}

/* --- keybearer.conf --- */

static void no_file_means_defaults(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;

        assert_ok(kb_config_new(in_folder("absent.conf"), &trust, &problems, &config));
        assert_int_equal(config->login_mode, KB_LOGIN_enforce);
        assert_int_equal(config->id_range.min, 65536);
        assert_int_equal(config->id_range.max, 99999);
        assert_true(config->log_required);
        assert_int_equal(config->log_max_file_size, 64 << 20);
        assert_int_equal(config->default_renew_at, 666666);
        assert_true(config->directory_max_age_usec == KB_TIME_NEVER);
        assert_int_equal(config->linger_usec, MINUTE);
        assert_null(kb_config_where(&kb_config_table, config, "Mode").file);
}

static void a_file_says_otherwise(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        const char *path = write_file(
                "ok.conf", "# comment\n; another\n\n[Login]\nMode = observe\n"
                           "Linger=1h30min\n\n[Log]\nRequired=no\nMaxFileSize=128K\n[Credentials]\n"
                           "RenewAt=50%\n[Directory]\nMaxAge=2d\nIdRange=1879048192-2147483646\n");

        assert_ok(kb_config_new(path, &trust, &problems, &config));
        assert_int_equal(config->login_mode, KB_LOGIN_observe);
        assert_int_equal(config->linger_usec, 90 * MINUTE);
        assert_false(config->log_required);
        assert_int_equal(config->log_max_file_size, 128 << 10);
        assert_int_equal(config->default_renew_at, KB_SHARE_ONE / 2);
        assert_int_equal(config->directory_max_age_usec, 48 * 60 * MINUTE);
        assert_int_equal(config->id_range.max, 2147483646);
        assert_int_equal(kb_config_where(&kb_config_table, config, "Mode").line, 5);
        assert_string_equal(kb_config_where(&kb_config_table, config, "Mode").file, in_folder("ok.conf"));
}

static void drop_ins_come_in_the_order_of_their_names(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;

        write_file("drop.conf", "[Login]\nMode=observe\nLinger=1s\nLockoutAttempts=3\n");
        assert_ok(mkdir(in_folder("drop.conf.d"), 0700));
        write_file("drop.conf.d/50-b.conf", "[Login]\nLinger=3s\n");
        write_file("drop.conf.d/10-a.conf", "[Login]\nLinger=2s\nMode=enforce\n");
        write_file("drop.conf.d/60-c.conf~", "[Nonsense]\n");
        write_file("drop.conf.d/.60-c.conf", "[Nonsense]\n");
        assert_ok(kb_config_new(in_folder("drop.conf"), &trust, &problems, &config));
        assert_int_equal(config->linger_usec, 3 * KB_USEC_PER_SEC);
        assert_int_equal(config->login_mode, KB_LOGIN_enforce);
        assert_int_equal(config->lockout_attempts, 3);
}

static void what_is_printed_can_be_read_again(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;

        assert_ok(kb_config_new(in_folder("absent.conf"), &trust, &problems, &config));
        for (size_t i = 0; i < kb_config_table.n_keys; i++) {
                _cleanup_free_ char *value = kb_config_value(&kb_config_table, config, i);

                assert_string_equal(value, kb_config_table.keys[i].fallback);
        }
}

/* Every way to write one that the loader has to refuse, and every word that it says. */
static const struct {
        const char *text;
        const char *expected;
} bad[] = {
        {"[Logn]\nMode=observe\n", "bad.conf:2: unknown section [Logn]; did you mean [Login]?"},
        {"[Quux]\nMode=observe\n",
         "bad.conf:2: unknown section [Quux]; keybearer.conf has no such settings"},
        {"Mode=observe\n", "bad.conf:1: Mode= stands in no section; put [Broker] above it"},
        {"[Login]\nMdoe=observe\n", "bad.conf:2: unknown key Mdoe= in [Login]; did you mean Mode=?"},
        {"[Login]\nRequired=yes\n", "bad.conf:2: unknown key Required= in [Login]; it belongs into [Log]"},
        {"[Login]\nColour=red\n", "bad.conf:2: unknown key Colour= in [Login]; see `man 5 keybearer.conf`"},
        {"[Login]\nLinger=5parsecs\n", "bad.conf:2: Linger=5parsecs makes no sense as a time from "
                                       "\"parsecs\" on; use a number and ms, s, min, h, d "
                                       "or w"},
        {"[Login]\nLinger=1h 30\n",
         "bad.conf:2: Linger=1h 30 ends without a unit; use ms, s, min, h, d or w"},
        {"[Login]\nLinger=-1s\n", "bad.conf:2: Linger=-1s makes no sense as a time from \"-1s\" on; use a "
                                  "number and ms, s, min, h, d or w"},
        {"[Login]\nLinger=2d\n", "bad.conf:2: Linger=2d is out of range; it goes from 0 to 1d"},
        {"[Login]\nLinger=infinity\n", "bad.conf:2: Linger=infinity is out of range; it goes from 0 to 1d"},
        {"[Login]\nLinger=99999999999999999999s\n",
         "bad.conf:2: Linger=99999999999999999999s is out of range; it goes from 0 to 1d"},
        {"[Login]\nLinger=9999999999999999w\n",
         "bad.conf:2: Linger=9999999999999999w is out of range; it goes from 0 to 1d"},
        {"[Login]\nMode=maybe\n", "bad.conf:2: Mode=maybe is none of enforce|observe"},
        {"[Login]\nMode=enforc\n", "bad.conf:2: Mode=enforc is none of enforce|observe"},
        {"[Login]\nLockoutAttempts=ten\n", "bad.conf:2: LockoutAttempts=ten is no whole number"},
        {"[Login]\nLockoutAttempts=1001\n",
         "bad.conf:2: LockoutAttempts=1001 is out of range; it goes from 0 to 1000"},
        {"[Login]\nLockoutAttempts=18446744073709551617\n",
         "bad.conf:2: LockoutAttempts=18446744073709551617 is out of range; it goes from 0 to 1000"},
        {"[Log]\nRequired=perhaps\n", "bad.conf:2: Required=perhaps is neither yes nor no"},
        {"[Log]\nMaxFileSize=64MB\n",
         "bad.conf:2: MaxFileSize=64MB is no size; use a whole number, alone or with K, M or G"},
        {"[Log]\nMaxFileSize=1K\n", "bad.conf:2: MaxFileSize=1K is out of range; it goes from 64K to 16G"},
        {"[Log]\nMaxFileSize=99999999999999999G\n",
         "bad.conf:2: MaxFileSize=99999999999999999G is out of range; it goes from 64K to 16G"},
        {"[Credentials]\nRenewAt=often\n", "bad.conf:2: RenewAt=often is no share; write 2/3, 0.66 or 66%"},
        {"[Credentials]\nRenewAt=2/0\n", "bad.conf:2: RenewAt=2/0 is no share; write 2/3, 0.66 or 66%"},
        {"[Credentials]\nRenewAt=3/2\n",
         "bad.conf:2: RenewAt=3/2 is out of range; it goes from 1/10 to 19/20"},
        {"[Credentials]\nStore=a/b\n", "bad.conf:2: Store=a/b is no name; use letters, digits, '_' and '-'"},
        {"[Directory]\nIdRange=65536\n",
         "bad.conf:2: IdRange=65536 is no range of ids; write FIRST-LAST, for example 65536-99999"},
        {"[Directory]\nIdRange=0-99999\n",
         "bad.conf:2: IdRange=0-99999 leaves the ids that may be ours, 1000 to 2147483646"},
        {"[Directory]\nIdRange=60000-70000\n",
         "bad.conf:2: IdRange=60000-70000 holds ids that belong to the system, or to nobody"},
        {"[Directory]\nIdRange=70000-60000\n",
         "bad.conf:2: IdRange=70000-60000 ends before it begins; the smaller id comes first"},
        {"[Login]\nMode=observe\n\nMode=enforce\n",
         "bad.conf:4: Mode= is given twice, first in line 2; remove one"},
        {"[Login]\nMode=\n",
         "bad.conf:2: Mode= has no value; write one of enforce|observe, or remove the line"},
        {"[Login]\nMode\n", "bad.conf:2: the line is neither [Section] nor Key=value"},
        {"[Login]\nMode: observe\n", "bad.conf:2: the line has ':' where '=' belongs; write Key=value"},
        {"[Login]\n=observe\n", "bad.conf:2: the line is neither [Section] nor Key=value"},
        {"[Login\nMode=observe\n", "bad.conf:1: the line begins with '[' but is no [Section]\n"
                                   "bad.conf:2: Mode= stands in no section; put [Broker] above it"},
        {"[Login] # people\n", "bad.conf:1: the line begins with '[' but is no [Section]"},
        {"[Login]\nMode=observe ; for now\n", "bad.conf:2: the line has a ';' behind white space, which "
                                              "would begin a comment; comments need a line of "
                                              "their own"},
        {"[Login]\nMode=observe\n  # a comment\n  and more\n",
         "bad.conf:4: Mode=and more does not go on in an indented line; put the value on one line, or begin "
         "the next "
         "key at the left edge"},
        {"[Login]\nMode=obs\x1b[2Jerve\n",
         "bad.conf:2: the line holds control characters, or is not UTF-8; retype the line"},
        {"[Login]\n# caf\xe9\n",
         "bad.conf:2: the line holds control characters, or is not UTF-8; retype the line"},
        {"[Login]\r\nMode=observe\r\n",
         "bad.conf:1: holds a carriage return; save it with Unix line ends (sed -i 's/\\r$//' bad.conf)"},
        {"\xef\xbb\xbf[Login]\n", "bad.conf:1: begins with a byte order mark; save as UTF-8 without one"},
        {"[Login]\nMode=obs", "bad.conf:2: the last line has no end; is somebody still writing the file?"},
        {"[Login]\nMode=maybe\nLinger=x\n[Log]\nKepe=3\n",
         "bad.conf:2: Mode=maybe is none of enforce|observe\n"
         "bad.conf:3: Linger=x makes no sense as a time from \"x\" on; use a number and ms, s, min, h, d or "
         "w\n"
         "bad.conf:5: unknown key Kepe= in [Log]; did you mean Keep=?"},
};

static void every_mistake_is_named_with_its_line(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                _cleanup_problems_ struct kb_problems problems = {0};
                struct kb_config *config = NULL;
                const char *path = write_file("bad.conf", bad[i].text);

                assert_int_equal(kb_config_new(path, &trust, &problems, &config), -EBADMSG);
                assert_null(config);
                problems_are(&problems, bad[i].expected);
        }
}

static void refuses(const char *path, const char *expected)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_config *config = NULL;

        assert_int_equal(kb_config_new(path, &trust, &problems, &config), -EBADMSG);
        assert_null(config);
        problems_are(&problems, expected);
}

static void a_nul_is_found(void **state)
{
        refuses(write_bytes("nul.conf", "[Login]\nMode=observe\0\n", 22),
                "nul.conf:2: holds a NUL byte: this is no text file");
}

static void a_line_has_a_longest_length(void **state)
{
        char text[KB_CONFIG_LINE_MAX + 2] = "#";
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;

        memset(text + 1, 'x', KB_CONFIG_LINE_MAX - 1);
        text[KB_CONFIG_LINE_MAX] = '\n';
        assert_ok(
                kb_config_new(write_bytes("long.conf", text, sizeof(text) - 1), &trust, &problems, &config));
        text[KB_CONFIG_LINE_MAX] = 'x';
        text[KB_CONFIG_LINE_MAX + 1] = '\n';
        refuses(write_bytes("long.conf", text, sizeof(text)),
                "long.conf:1: the line is longer than 196 bytes; go on in an indented line");
}

static void a_huge_file_is_not_read(void **state)
{
        const char *path = write_file("huge.conf", "[Login]\n");

        assert_ok(truncate(path, 10 << 20));
        refuses(path, "huge.conf: is longer than 256 KiB, which no file of settings is");
}

static void a_crowd_of_problems_is_bounded(void **state)
{
        char text[2 * KB_PROBLEMS_MAX * 4 + 1] = "";
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_config *config = NULL;

        for (size_t i = 0; i < 2 * KB_PROBLEMS_MAX; i++)
                memcpy(text + 4 * i, "a=b\n", 5);
        assert_int_equal(kb_config_new(write_file("crowd.conf", text), &trust, &problems, &config),
                         -EBADMSG);
        assert_int_equal(problems.count, KB_PROBLEMS_MAX);
        assert_int_equal(problems.more, KB_PROBLEMS_MAX);
}

/* --- the file itself --- */

static void who_could_change_it_decides(void **state)
{
        const struct kb_config_trust stranger = {.owner = trust.owner + 1};
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_config *config = NULL;
        const char *path = write_file("mode.conf", "[Login]\n");
        char expected[256];

        assert_int_equal(kb_config_new(path, &stranger, &problems, &config), -EBADMSG);
        snprintf(expected, sizeof(expected),
                 "mode.conf: belongs to uid %u, who could change it; chown %u mode.conf", trust.owner,
                 trust.owner + 1);
        problems_are(&problems, expected);
        assert_ok(chmod(path, 0660));
        refuses(path, "mode.conf: is writable for more than its owner (mode 0660); chmod go-w mode.conf");
        assert_ok(chmod(path, 0602));
        refuses(path, "mode.conf: is writable for more than its owner (mode 0602); chmod go-w mode.conf");
}

static void only_a_regular_file_is_read(void **state)
{
        write_file("real.conf", "[Login]\n");
        assert_ok(symlink("real.conf", in_folder("link.conf")));
        refuses(in_folder("link.conf"), "link.conf: is a symbolic link; put the file itself there");
        assert_ok(mkdir(in_folder("folder.conf"), 0700));
        refuses(in_folder("folder.conf"), "folder.conf: is a folder, not a file");
        assert_ok(mkfifo(in_folder("pipe.conf"), 0600));
        refuses(in_folder("pipe.conf"), "pipe.conf: is a named pipe, not a file");
        refuses("real.conf", "real.conf: is not an absolute path\nreal.conf.d: is not an absolute path");
        write_file("over.conf", "[Login]\n");
        write_file("over.conf.d", "[Login]\n");
        refuses(in_folder("over.conf"), "over.conf.d: is no regular file, not a folder");
}

/* --- credentials --- */

static struct kb_config *defaults(void)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_config *config = NULL;

        assert_ok(kb_config_new(in_folder("absent.conf"), &trust, &problems, &config));
        return config;
}

static void a_credential_has_all_it_says(void **state)
{
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;

        write_file(
                "orders-db.conf",
                "[Credential]\nStore=vault\nPath=database/creds/orders\nParam.ttl=1h\nParam.cn=a=b\n"
                "Field.user=username\nField.pass=password\n"
                "Template=db:\n    user: {{user}}\n\n      pass: {{pass}}\n"
                "OnUnavailable=stale\n[Allow]\nUnit=orders.service orders@*.service\n  billing.service\n"
                "Unit=x.socket\nUser=a*\nGroup=dba\nServices=sshd\n[Rotation]\nOnRotate=signal:SIGUSR1\n");
        assert_ok(kb_credential_new(in_folder("orders-db.conf"), &trust, config, &problems, &c));
        assert_string_equal(c->name, "orders-db");
        assert_string_equal(c->store, "vault");
        assert_string_equal(c->path, "database/creds/orders");
        assert_int_equal(c->params.count, 2);
        assert_string_equal(c->params.pairs[1].name, "cn");
        assert_string_equal(c->params.pairs[1].value, "a=b");
        assert_string_equal(c->fields.pairs[1].name, "pass");
        assert_string_equal(c->template, "db:\nuser: {{user}}\n\n  pass: {{pass}}");
        assert_int_equal(c->on_unavailable, KB_ON_UNAVAILABLE_stale);
        assert_int_equal(c->on_rotate.action, KB_ON_ROTATE_signal);
        assert_int_equal(c->on_rotate.signal, SIGUSR1);
        assert_string_equal(c->allow_units[2], "billing.service");
        assert_string_equal(c->allow_units[3], "x.socket");
        assert_null(c->allow_units[4]);
        assert_null(c->method);
        assert_int_equal(c->max_parallel, 1);
}

static void lists_grow_in_drop_ins(void **state)
{
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;

        write_file("grow.conf", "[Credential]\nPath=kv/a\n[Allow]\nUnit=a.service\n");
        assert_ok(mkdir(in_folder("grow.conf.d"), 0700));
        write_file("grow.conf.d/b.conf", "[Credential]\nPath=kv/b\n[Allow]\nUnit=b.service\n");
        assert_ok(kb_credential_new(in_folder("grow.conf"), &trust, config, &problems, &c));
        assert_string_equal(c->path, "kv/b");
        assert_true(kb_credential_allows_unit(c, "a.service"));
        assert_true(kb_credential_allows_unit(c, "b.service"));
}

static void what_it_leaves_out_comes_from_keybearer_conf(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;

        write_file("base.conf", "[Credentials]\nStore=vault\nWaitSec=7s\nOnUnavailable=fail\nRenewAt=1/2\n");
        assert_ok(kb_config_new(in_folder("base.conf"), &trust, &problems, &config));
        write_file("small.conf", "[Credential]\nPath=kv/a\nWaitSec=9s\n");
        assert_ok(kb_credential_new(in_folder("small.conf"), &trust, config, &problems, &c));
        assert_string_equal(c->store, "vault");
        assert_int_equal(c->wait_usec, 9 * KB_USEC_PER_SEC);
        assert_int_equal(c->on_unavailable, KB_ON_UNAVAILABLE_fail);
        assert_int_equal(c->renew_at, KB_SHARE_ONE / 2);
        assert_int_equal(c->format, KB_FORMAT_json);
        assert_int_equal(c->stale_usec, 24 * 60 * MINUTE);
        kb_config_freep(&config); /* what was inherited does not depend on it */
        assert_string_equal(kb_config_where(&kb_credential_table, c, "Store").file, in_folder("base.conf"));
}

static const struct {
        const char *name;
        const char *text;
        const char *expected;
} bad_credentials[] = {
        {"c.conf", "[Credential]\nPathh=kv/a\n",
         "c.conf:2: unknown key Pathh= in [Credential]; did you mean Path=?"},
        {"c.conf", "[Credential]\nStore=local\n", "c.conf: Path= is missing in [Credential]; add it"},
        {"c.conf", "", "c.conf: Path= is missing in [Credential]; add it"},
        {"c.conf", "[Credential]\nPath=/kv\n",
         "c.conf:2: Path=/kv is no path in a store; join letters, digits and _-.@: by '/', for example "
         "kv/orders/db"},
        {"c.conf", "[Credential]\nPath=kv/a\nField.=x\n",
         "c.conf:3: Field.=x has no name behind the dot; use letters, digits, '_' and '-'"},
        {"c.conf", "[Credential]\nPath=kv/a\nField.u=x\nField.u=y\n",
         "c.conf:4: Field.u=y is given twice; remove one of the lines"},
        {"c.conf", "[Credential]\nPath=kv/a\nField.u=\n",
         "c.conf:3: Field.u= has no value; write one line per NAME, or remove the line"},
        {"c.conf", "[Credential]\nPath=kv/a\nFormat=env\nTemplate={{a}}\n",
         "c.conf:4: Template= and Format= are both given; remove one"},
        {"c.conf", "[Credential]\nPath=kv/a\nTemplate=a\n  b\n  {{c\n[Allow]\n",
         "c.conf:3: line 3 of the template: {{ without }}"},
        {"c.conf", "[Credential]\nPath=kv/a\nTemplate={{a|rot13}}\n",
         "c.conf:3: line 1 of the template: the filter of a is not one of base64, json, url"},
        {"c.conf", "[Credential]\nPath=kv/a\nField.b=a\nTemplate={{a}}\n",
         "c.conf:4: line 1 of the template: no Field.a= is given"},
        {"c.conf", "[Credential]\nPath=kv/a\nAs=person\n[Allow]\nUnit=a.service\n",
         "c.conf:3: As=person is for people, and Unit= names units; remove one"},
        {"c.conf", "[Credential]\nPath=kv/a\n[Rotation]\nProbe=/bin/true\n",
         "c.conf:4: Probe= has nothing to look for while OnRotate=none; set OnRotate="},
        {"c.conf", "[Credential]\nPath=kv/a\n[Rotation]\nProbe=true\nOnRotate=reload\n",
         "c.conf:4: Probe= is no absolute path"},
        {"c.conf", "[Credential]\nPath=kv/a\n[Rotation]\nOnRotate=kick\n",
         "c.conf:4: OnRotate=kick is none of none, reload, restart and signal:NAME"},
        {"c.conf", "[Credential]\nPath=kv/a\n[Rotation]\nOnRotate=signal:KILL\n",
         "c.conf:4: OnRotate=signal:KILL names no signal for this; use HUP, USR1, USR2, WINCH, INT, QUIT, "
         "TERM or CONT"},
        {"c.conf", "[Credential]\nPath=kv/a\n[Allow]\nUnit=orders\n",
         "c.conf:4: Unit= has a pattern that no unit can match; write the whole name, such as "
         "orders.service"},
        {"c.conf", "[Credential]\nPath=kv/a\n[Allow]\nServices=sshd,login\n",
         "c.conf:4: Services=sshd,login \"sshd,login\" is no name; use letters, digits, '_' and '-', and "
         "blanks between "
         "names"},
        {"a.b.conf", "[Credential]\nPath=kv/a\n",
         "a.b.conf: \"a.b\" is no name for a credential; name the file with letters, digits, '_' and '-', "
         "and .conf"},
};

static void every_mistake_in_a_credential_is_named_too(void **state)
{
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();

        for (size_t i = 0; i < KB_ARRAY_SIZE(bad_credentials); i++) {
                _cleanup_problems_ struct kb_problems problems = {0};
                struct kb_credential *c = NULL;
                const char *path = write_file(bad_credentials[i].name, bad_credentials[i].text);

                assert_int_equal(kb_credential_new(path, &trust, config, &problems, &c), -EBADMSG);
                assert_null(c);
                problems_are(&problems, bad_credentials[i].expected);
        }
}

static void nobody_may_have_what_names_nobody(void **state)
{
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;

        write_file("closed.conf", "[Credential]\nPath=kv/a\n");
        assert_ok(kb_credential_new(in_folder("closed.conf"), &trust, config, &problems, &c));
        assert_false(kb_credential_allows_unit(c, "orders.service"));
        assert_false(kb_credential_allows_person(c, "ana", (char *const[]){(char[]){"dba"}, NULL}, "sshd"));
}

static void only_whom_it_names(void **state)
{
        static const struct {
                const char *unit, *user, *service;
                bool expected;
        } table[] = {
                {.unit = "orders.service", .expected = true},
                {.unit = "orders@eu.service", .expected = true},
                {.unit = "orders.socket", .expected = false},
                {.unit = "xorders.service", .expected = false},
                {.unit = "orders@../../x", .expected = false},
                {.user = "ana", .service = "sshd", .expected = true},
                {.user = "ana", .service = "cron", .expected = false},
                {.user = "bob", .service = "sshd", .expected = true}, /* by group */
                {.user = "eve", .service = "sshd", .expected = false},
        };
        char *groups[] = {(char[]){"staff"}, (char[]){"dba"}, NULL};
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;

        write_file("open.conf",
                   "[Credential]\nPath=kv/a\n[Allow]\nUnit=orders.service orders@*.service\nUser=a*\n"
                   "Group=dba\n");
        assert_ok(kb_credential_new(in_folder("open.conf"), &trust, config, &problems, &c));
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                bool got = table[i].unit ? kb_credential_allows_unit(c, table[i].unit)
                                         : kb_credential_allows_person(
                                                   c, table[i].user,
                                                   strcmp(table[i].user, "bob") == 0 ? groups : NULL,
                                                   table[i].service);

                if (got != table[i].expected)
                        fail_msg("row %zu", i);
        }
}

static void a_reload_is_all_or_nothing_and_a_start_takes_what_is_good(void **state)
{
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = NULL;
        _cleanup_(kb_credential_unrefp) struct kb_credential *kept = NULL;

        assert_ok(mkdir(in_folder("set"), 0700));
        write_file("set/b.conf", "[Credential]\nPath=kv/b\n");
        write_file("set/a.conf", "[Credential]\nPath=kv/a\n");
        write_file("set/c.conf", "[Credential]\nPath=kv/c"); /* half-written */
        assert_int_equal(kb_credentials_new(in_folder("set"), &trust, config, false, &problems, &all),
                         -EBADMSG);
        assert_null(all);
        problems_are(&problems,
                     "set/c.conf:2: the last line has no end; is somebody still writing the file?");
        assert_ok(kb_credentials_new(in_folder("set"), &trust, config, true, &problems, &all));
        assert_int_equal(all->count, 2);
        assert_string_equal(kb_credentials_find(all, "a")->path, "kv/a");
        assert_null(kb_credentials_find(all, "c"));
        kept = kb_credential_ref(kb_credentials_find(all, "b"));
        kb_credentials_freep(&all);
        assert_string_equal(kept->path, "kv/b");
}

static void no_folder_is_no_credentials(void **state)
{
        _cleanup_(kb_config_freep) struct kb_config *config = defaults();
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = NULL;

        assert_ok(kb_credentials_new(in_folder("nowhere"), &trust, config, false, &problems, &all));
        assert_int_equal(all->count, 0);
        assert_null(kb_credentials_find(all, "a"));
}

static void durations_are_printed_as_people_write_them(void **state)
{
        static const struct {
                uint64_t usec;
                unsigned parts;
                const char *expected;
        } table[] = {
                {0, 9, "0"},
                {KB_TIME_NEVER, 9, "infinity"},
                {1, 9, "1us"},
                {90 * KB_USEC_PER_SEC, 9, "1min 30s"},
                {90 * KB_USEC_PER_SEC + 1, 2, "1min 30s"},
                {UINT64_C(604800000000), 9, "1w"},
                {UINT64_C(694861001002), 9, "1w 1d 1h 1min 1s 1ms 2us"},
                {KB_TIME_NEVER - 1, 9, "30500568w 6d 8h 1min 49s 551ms 614us"},
        };
        char text[KB_DURATION_TEXT_MAX];

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                kb_duration_format(table[i].usec, table[i].parts, text);
                assert_string_equal(text, table[i].expected);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_file_means_defaults),
                cmocka_unit_test(a_file_says_otherwise),
                cmocka_unit_test(drop_ins_come_in_the_order_of_their_names),
                cmocka_unit_test(what_is_printed_can_be_read_again),
                cmocka_unit_test(every_mistake_is_named_with_its_line),
                cmocka_unit_test(a_nul_is_found),
                cmocka_unit_test(a_line_has_a_longest_length),
                cmocka_unit_test(a_huge_file_is_not_read),
                cmocka_unit_test(a_crowd_of_problems_is_bounded),
                cmocka_unit_test(who_could_change_it_decides),
                cmocka_unit_test(only_a_regular_file_is_read),
                cmocka_unit_test(a_credential_has_all_it_says),
                cmocka_unit_test(lists_grow_in_drop_ins),
                cmocka_unit_test(what_it_leaves_out_comes_from_keybearer_conf),
                cmocka_unit_test(every_mistake_in_a_credential_is_named_too),
                cmocka_unit_test(nobody_may_have_what_names_nobody),
                cmocka_unit_test(only_whom_it_names),
                cmocka_unit_test(a_reload_is_all_or_nothing_and_a_start_takes_what_is_good),
                cmocka_unit_test(no_folder_is_no_credentials),
                cmocka_unit_test(durations_are_printed_as_people_write_them),
        };

        return cmocka_run_group_tests_name("config", tests, set_up, test_folder_remove);
}
