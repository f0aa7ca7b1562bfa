/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer setup: makes this host work. A table of steps; each looks first, does what is missing, and can
 * be run again at any time. What must be kept off this host is shown once, at the end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/facts.h"
#include "cli/output.h"
#include "cli/recovery.h"
#include "cli/spawn.h"
#include "common/clock.h"
#include "helper/log/log.h"

#define HOST_SECRET "/var/lib/systemd/credential.secret"
#define LOG_FOLDER  KB_STATEDIR "/log"
#define ROOT_KEY    "root-key"

/* Where systemd looks for the encrypted credential that keybearer-store-local.service names. */
#define ROOT_KEY_FOLDER "/etc/credstore.encrypted"
#define ROOT_KEY_FILE   ROOT_KEY_FOLDER "/keybearer-store-local.root-key"

struct setup {
        struct cli *cli;
        json_object *done;    /* what was done, in sentences */
        json_object *secrets; /* name -> what is shown once */
};

/* Each returns 0, or an exit status after it was said what is wrong. */
struct step {
        const char *name;
        int (*run)(struct setup *s);
};

static void note_done(struct setup *s, const char *text)
{
        json_object_array_add(s->done, json_object_new_string(text));
}

/* Runs a program that must succeed; what it says is of interest only when it does not. */
static int must_run(struct setup *s, char *const argv[], struct kb_span input)
{
        char said[1024];
        int r = cli_spawn(argv, input, said, sizeof(said));

        if (r == 0)
                return 0;
        return cli_fail(s->cli, KB_E_INTERNAL, "`%s %s` failed: %s", argv[0], argv[1],
                        r < 0 ? strerror(-r) : said);
}

/* --- the host --- */

static int make_host_secret(struct setup *s)
{
        char *argv[] = {(char[]){"systemd-creds"}, (char[]){"setup"}, NULL};
        int r;

        if (access(HOST_SECRET, F_OK) == 0)
                return 0;
        r = must_run(s, argv, KB_SPAN(NULL, 0));
        if (r == 0)
                note_done(s, "made this host's key for systemd credentials");
        return r;
}

static int make_folders(struct setup *s)
{
        char *argv[] = {(char[]){"systemd-tmpfiles"}, (char[]){"--create"}, (char[]){"keybearer.conf"},
                        NULL};
        int r;

        if (access(LOG_FOLDER, F_OK) == 0)
                return 0;
        r = must_run(s, argv, KB_SPAN(NULL, 0));
        if (r == 0)
                note_done(s, "made the folders of keybearerd");
        return r;
}

static int make_log(struct setup *s)
{
        char first_key[KB_FIRST_KEY_MAX];
        int r = kb_log_create(LOG_FOLDER, kb_now_realtime(), first_key);

        if (r == -EEXIST)
                return 0;
        if (r < 0)
                return cli_fail(s->cli, KB_E_NO_RECORD, "no log can be made in " LOG_FOLDER ": %s",
                                strerror(-r));
        note_done(s, "made the log");
        cli_row_text(s->secrets, "first key of the log", first_key);
        kb_wipe(first_key, sizeof(first_key));
        return 0;
}

static int start_unit(struct setup *s, const char *unit, const char *service)
{
        char *argv[] = {(char[]){"systemctl"}, (char[]){"enable"},      (char[]){"--quiet"},
                        (char[]){"--now"},     (char *)(uintptr_t)unit, NULL};
        _cleanup_free_ char *text = NULL;
        bool active = cli_systemctl("is-active", unit) == 0;
        int r;

        if (active && cli_systemctl("is-enabled", unit) == 0)
                return 0;
        if (!active && service) /* systemd starts no socket whose service runs already */
                cli_systemctl("stop", service);
        r = must_run(s, argv, KB_SPAN(NULL, 0));
        if (r != 0)
                return r;
        text = cli_format("started %s", unit);
        note_done(s, text);
        return 0;
}

static int start_units(struct setup *s)
{
        static const struct {
                const char *unit, *service;
        } units[] = {
                {"run-keybearer.mount", NULL},
                {"keybearer-store-local.socket", "keybearer-store-local.service"},
                {"keybearer-root.socket", "keybearerd.service"},
                {"keybearer-auth.socket", "keybearerd.service"},
                {"keybearer-encrypted.socket", "keybearerd.service"},
                {"keybearer-plain.socket", "keybearerd.service"},
                {"keybearerd.service", NULL},
        };
        int r = 0;

        for (size_t i = 0; r == 0 && i < KB_ARRAY_SIZE(units); i++)
                r = start_unit(s, units[i].unit, units[i].service);
        return r;
}

/* --- the local store --- */

/* Asks the local store. With a kind, the request is for a slot of it. */
static int ask_store(struct setup *s, struct kb_call *call, const char *object, const char *action,
                     const char *name, const char *kind, struct kb_list *ret_rows)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init(object, action, name);

        a.store = "local";
        if (kind)
                kb_list_add_text(&a.fields, "kind", kind);
        return cli_admin_ask(s->cli, &a, call, ret_rows);
}

/* Whether it exists, open or sealed: then it can list its slots. Asked quietly: that it does not is no
 * error. */
static bool store_exists(void)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_admin);

        kb_admin_request_put(&call.request,
                             &(struct kb_admin_request){
                                     .store = "local", .object = "seal", .action = "list", .name = ""});
        return kb_call_run(&call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), CLI_ASK_USEC)) == 0 &&
               call.status == KB_E_OK;
}

/* So that systemd opens the store at each start: encrypted to this host, with its TPM where there is one. */
static int keep_root_key(struct setup *s, struct kb_span credential)
{
        char *argv[] = {(char[]){"systemd-creds"},    (char[]){"encrypt"},
                        (char[]){"--name=" ROOT_KEY}, (char[]){"-"},
                        (char[]){ROOT_KEY_FILE},      NULL};
        mode_t mask = umask(0077);
        int r = mkdir(ROOT_KEY_FOLDER, 0700) < 0 && errno != EEXIST ? -errno : 0;

        r = r < 0 ? cli_fail(s->cli, KB_E_INTERNAL, ROOT_KEY_FOLDER ": %s", strerror(-r))
                  : must_run(s, argv, credential);
        umask(mask);
        return r;
}

/* Keeps what slots come with: one opens with this host, one with a code on paper. */
static int take_slots(struct setup *s, struct kb_list rows)
{
        int status = 0;

        for (struct kb_list slot;
             cli_admin_next_row(&rows, &slot);) { /* all of them, also after a failure */
                struct kb_span credential;
                const char *code;
                int r = 0;

                if (kb_list_find(slot, "credential", &credential))
                        r = keep_root_key(s, credential);
                if (kb_list_find_string(slot, "code", &code))
                        cli_row_text(s->secrets, "recovery code of the store", code);
                status = r != 0 ? r : status;
        }
        return status;
}

static int add_slot(struct setup *s, const char *name, const char *kind)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;
        int r = ask_store(s, &call, "seal", "add", name, kind, &rows);

        return r != 0 ? r : take_slots(s, rows);
}

/*
 * The store was made, and its answer was lost on the way (a crash, a disk that is full): nobody has its
 * recovery code, and at its next start it would stay sealed. It still knows its root key, so it gives new
 * slots, under names of this moment; what was lost opens nothing that somebody else could find.
 */
static int mend_store(struct setup *s)
{
        unsigned long long now = kb_now_realtime() / KB_USEC_PER_SEC;
        _cleanup_free_ char *host = cli_format("host-%llu", now),
                            *recovery = cli_format("recovery-%llu", now);
        int r = add_slot(s, host, "systemd");

        if (r == 0)
                r = add_slot(s, recovery, "recovery");
        if (r == 0)
                note_done(s, "made the local store open with this host's key, and with a new recovery code");
        return r;
}

static int make_store(struct setup *s)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;
        int r;

        if (store_exists())
                return access(ROOT_KEY_FILE, F_OK) == 0 ? 0 : mend_store(s);
        r = ask_store(s, &call, "store", "init", "", NULL, &rows);
        if (r != 0)
                return r;
        note_done(s, "made the local store, which opens with this host's key");
        return take_slots(s, rows);
}

/* --- codes for people --- */

/* When the broker has none left; one that cannot have any says nothing about them. */
static int make_recovery_codes(struct setup *s)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list facts;
        json_object *codes;
        const char *left;
        int r = cli_get_facts(s->cli, &call, &facts);

        if (r != 0 || !kb_list_find_string(facts, "recovery_codes", &left) || strcmp(left, "0") != 0)
                return r;
        r = cli_make_recovery_codes(s->cli, CLI_RECOVERY_CODES, &codes);
        if (r != 0)
                return r;
        json_object_object_add(s->secrets, "one-time codes to log in while the store is away", codes);
        note_done(s, "made one-time codes for logins");
        return 0;
}

/* --- what it comes to --- */

static const struct step steps[] = {
        {"host key", make_host_secret}, {"folders", make_folders}, {"log", make_log},
        {"units", start_units},         {"store", make_store},     {"recovery codes", make_recovery_codes},
};

static void print_secret(const char *name, json_object *value)
{
        if (!json_object_is_type(value, json_type_array)) {
                printf("  %s:\n      %s\n", name, json_object_get_string(value));
                return;
        }
        printf("  %s:\n", name);
        for (size_t i = 0; i < json_object_array_length(value); i++)
                printf("      %s\n", json_object_get_string(json_object_array_get_idx(value, i)));
}

static void print_result(const struct setup *s)
{
        size_t n = json_object_array_length(s->done);

        for (size_t i = 0; i < n; i++)
                puts(json_object_get_string(json_object_array_get_idx(s->done, i)));
        if (n == 0)
                puts("nothing to do: this host is set up");
        if (json_object_object_length(s->secrets) == 0)
                return;
        puts("\nKeep these away from this host. They are shown once, and nothing keeps them here:\n");
        json_object_object_foreach(s->secrets, name, value) print_secret(name, value);
}

/*
 * What setup makes is shown once, at its end: nobody's Ctrl-C or lost connection may come between. A second
 * run would find everything there, and nobody would have the codes.
 */
static void hold_signals(int how)
{
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGTERM);
        sigprocmask(how, &signals, NULL);
}

int cli_run_setup(struct cli *cli)
{
        struct setup s = {.cli = cli, .done = json_object_new_array(), .secrets = json_object_new_object()};
        json_object *result = json_object_new_object();
        int status = 0;

        hold_signals(SIG_BLOCK);
        if (cli->given[CLI_OPTION_root])
                status = cli_fail(cli, KB_E_BAD_REQUEST,
                                  "setup works on the running system only; leave out --root");
        for (size_t i = 0; status == 0 && i < KB_ARRAY_SIZE(steps); i++)
                status = steps[i].run(&s);
        /* Also after a failure: what was made then is shown now or never. */
        json_object_object_add(result, "done", s.done);
        json_object_object_add(result, "secrets", s.secrets);
        if (!cli->given[CLI_OPTION_json] && (status == 0 || json_object_array_length(s.done) > 0))
                print_result(&s);
        else if (cli->given[CLI_OPTION_json])
                cli_object_print(cli, json_object_get(result));
        json_object_put(result);
        hold_signals(SIG_UNBLOCK);
        return status;
}
