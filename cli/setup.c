/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer setup: makes this host work. A table of steps; each looks first, does what is missing, and can
 * be run again at any time. What must be kept off this host is shown as soon as it is made, once. With
 * --json each thing that was done and each secret is an object on a line of its own, for the same reason: a
 * crash takes nothing with it that was made before.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/facts.h"
#include "cli/once.h"
#include "cli/output.h"
#include "cli/recovery.h"
#include "cli/root_key.h"
#include "cli/setup.h"
#include "cli/spawn.h"
#include "common/clock.h"
#include "common/names.h"
#include "helper/config/store.h"
#include "helper/log/log.h"

#define HOST_SECRET "/var/lib/systemd/credential.secret"
#define LOG_FOLDER  KB_STATEDIR "/log"

/*
 * Each returns 0, or an exit status after it was said what is wrong. One that shows a secret is not
 * interrupted between making and showing it: a second run would find everything there, and nobody would have
 * the secret.
 */
struct step {
        int (*run)(struct setup *s);
        bool shows;
};

void setup_note_done(struct setup *s, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        cli_vdone(s->cli, format, arguments);
        va_end(arguments);
        s->any_done = true;
}

static int print_secret(const char *name, json_object *value)
{
        json_object *line = json_object_new_object();

        json_object_object_add(line, "secret", json_object_new_string(name));
        json_object_object_add(line, "value", json_object_get(value));
        cli_print_line(line);
        return cli_flush_once();
}

/* Takes over the value. */
static int show(struct setup *s, const char *name, json_object *value, const char *cure)
{
        bool json = s->cli->given[CLI_OPTION_json];
        int r;

        if (!json && !s->any_shown)
                puts("\nWhat is set in from the margin: keep it away from this host. It is shown once, and "
                     "nothing keeps it here.\n");
        s->any_shown = true;
        r = json ? print_secret(name, value) : cli_show_once(name, value);
        json_object_put(value);
        return r < 0 ? cli_fail_to_show(s->cli, r, name, cure) : 0;
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
                setup_note_done(s, "made this host's key for systemd credentials");
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
                setup_note_done(s, "made the folders of keybearerd");
        return r;
}

/* The log is as new as its key: nothing stands in it. Without the broker, which may be writing already. */
static void unmake_log(void)
{
        if (cli_systemctl("is-active", "keybearerd.service") != 0)
                (void)kb_log_unmake(LOG_FOLDER); /* what stays is a log whose first key nobody has */
}

static int make_log(struct setup *s)
{
        char first_key[KB_FIRST_KEY_MAX];
        int r = kb_log_create(LOG_FOLDER, kb_now_realtime(), first_key);

        if (r == -EEXIST)
                return 0;
        if (r == -ENODATA)
                return cli_fail(s->cli, KB_E_NO_RECORD,
                                "there are records in " LOG_FOLDER ", but its file `identity` is missing: "
                                "put it back, or move the folder away and run `keybearer setup` again");
        if (r < 0)
                return cli_fail(s->cli, KB_E_NO_RECORD, "no log can be made in " LOG_FOLDER ": %s",
                                strerror(-r));
        setup_note_done(s, "made the log");
        r = show(s, "first key of the log", json_object_new_string(first_key),
                 "run `keybearer setup` again where its output can be read");
        kb_wipe(first_key, sizeof(first_key));
        if (r != 0)
                unmake_log();
        return r;
}

int setup_start_unit(struct setup *s, const char *unit, const char *service)
{
        char *argv[] = {(char[]){"systemctl"}, (char[]){"enable"},      (char[]){"--quiet"},
                        (char[]){"--now"},     (char *)(uintptr_t)unit, NULL};
        bool active = cli_systemctl("is-active", unit) == 0;
        int r;

        if (active && cli_systemctl("is-enabled", unit) == 0)
                return 0;
        if (!active && service) /* systemd starts no socket whose service runs already */
                cli_systemctl("stop", service);
        r = must_run(s, argv, KB_SPAN(NULL, 0));
        if (r != 0)
                return r;
        setup_note_done(s, "started %s", unit);
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
                r = setup_start_unit(s, units[i].unit, units[i].service);
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

/* The same, asked quietly: that it fails is no error. */
static bool try_store(const char *object, const char *action, const char *name, struct kb_call *call,
                      struct kb_list *ret_rows)
{
        struct kb_admin_reply reply;

        *call = kb_call_init(KB_VERB_admin);
        kb_admin_request_put(&call->request,
                             &(struct kb_admin_request){
                                     .store = "local", .object = object, .action = action, .name = name});
        if (kb_call_run(call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), CLI_WORK_USEC)) < 0 ||
            call->status != KB_E_OK || kb_admin_reply_get(call->reply.body, &reply) < 0)
                return false;
        *ret_rows = reply.rows;
        return true;
}

/* A code that nobody saw opens nothing: its slot goes, and the next run makes another. */
static int show_code(struct setup *s, const char *slot, const char *code)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;
        int r = show(s, "recovery code of the store", json_object_new_string(code),
                     "run `keybearer setup` again where its output can be read");

        if (r != 0)
                try_store("seal", "remove", slot, &call, &rows);
        return r;
}

static void note_holder(struct setup *s, const char *holder)
{
        setup_note_done(s, "the local store opens with %s", holder);
}

static int keep_root_key(struct setup *s, struct kb_span credential)
{
        const char *holder;
        int r = cli_keep_root_key(s->cli, credential, &holder);

        if (r == 0)
                note_holder(s, holder);
        return r;
}

/* Keeps what slots come with: one opens with this host, one with a code on paper. */
static int take_slots(struct setup *s, struct kb_list rows)
{
        int status = 0;

        for (struct kb_list slot;
             cli_admin_next_row(&rows, &slot);) { /* all of them, also after a failure */
                struct kb_span credential;
                const char *name, *code;
                int r = 0;

                if (kb_list_find(slot, "credential", &credential))
                        r = keep_root_key(s, credential);
                if (kb_list_find_string(slot, "slot", &name) && kb_list_find_string(slot, "code", &code))
                        r = show_code(s, name, code);
                status = r != 0 ? r : status;
        }
        return status;
}

/* A code on paper, for when this host's key does not open the store any more. */
static int add_recovery_slot(struct setup *s)
{
        _cleanup_free_ char *name =
                cli_format("recovery-%llu", (unsigned long long)(kb_now_realtime() / KB_USEC_PER_SEC));
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;
        int r = ask_store(s, &call, "seal", "add", name, "recovery", &rows);

        if (r != 0)
                return r;
        setup_note_done(s, "gave the local store a new recovery code");
        return take_slots(s, rows);
}

static int made_store(struct setup *s, struct kb_list rows)
{
        setup_note_done(s, "made the local store");
        return take_slots(s, rows);
}

/*
 * The store was made, and its answer was lost on the way (a crash, a disk that is full): nobody has its
 * secrets. One that nobody can open any more is made again, if it holds nothing. One that still runs knows
 * its root key and gives new slots; what was lost opens nothing that somebody else could find.
 */
static int mend_store(struct setup *s)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;
        const char *holder;
        int r;

        if (try_store("store", "init", "", &call, &rows))
                return made_store(s, rows);
        r = cli_make_root_key(s->cli, &holder);
        if (r != 0)
                return r;
        note_holder(s, holder);
        return add_recovery_slot(s);
}

static int make_store(struct setup *s)
{
        _cleanup_call_ struct kb_call call = {0}, init = {0};
        struct kb_list rows;
        int r;

        if (try_store("seal", "list", "", &call, &rows)) {
                if (access(CLI_ROOT_KEY_FILE, F_OK) < 0 && cli_root_key_is_lost(rows))
                        return mend_store(s);
                return cli_opens_by_hand(rows) ? 0 : add_recovery_slot(s);
        }
        r = ask_store(s, &init, "store", "init", "", NULL, &rows);
        return r != 0 ? r : made_store(s, rows);
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
        setup_note_done(s, "made one-time codes for logins");
        return show(s, "one-time codes to log in while the store is away", codes,
                    "`keybearer recovery` makes others");
}

/* --- what it comes to --- */

static const struct step steps[] = {
        {make_host_secret, false}, {make_folders, false}, {make_log, true},
        {start_units, false},      {make_store, true},    {make_recovery_codes, true},
};

static void hold_signals(int how)
{
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGTERM);
        sigprocmask(how, &signals, NULL);
}

static int run_step(struct setup *s, const struct step *step)
{
        int r;

        if (!step->shows)
                return step->run(s);
        if (cli_output_is_gone())
                return cli_fail(
                        s->cli, KB_E_INTERNAL,
                        "nobody reads the output any more, so nothing was made that is shown only once; "
                        "run `keybearer setup` again");
        hold_signals(SIG_BLOCK);
        r = step->run(s);
        hold_signals(SIG_UNBLOCK);
        return r;
}

/* The options that say something about a store beside the local one need its name. */
static int check_options(struct cli *cli)
{
        static const enum cli_option of_store[] = {CLI_OPTION_address,   CLI_OPTION_ca,
                                                   CLI_OPTION_namespace, CLI_OPTION_role,
                                                   CLI_OPTION_role_id,   CLI_OPTION_token_file};
        const char *store = cli->value[CLI_OPTION_store];

        if (store && !kb_name_word_valid(store))
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "\"%s\" is no name of a store: letters, digits, '_' and '-'", store);
        for (size_t i = 0; i < KB_ARRAY_SIZE(of_store); i++)
                if (cli->given[of_store[i]] && (!store || strcmp(store, KB_STORE_LOCAL) == 0))
                        return cli_fail(cli, KB_E_BAD_REQUEST,
                                        "the local store has no servers; name the one that is meant, as in "
                                        "--store=vault");
        if (cli->given[CLI_OPTION_root])
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "setup works on the running system only; leave out --root");
        return 0;
}

int cli_run_setup(struct cli *cli)
{
        const char *store = cli->value[CLI_OPTION_store];
        struct setup s = {.cli = cli};
        int status = check_options(cli);

        for (size_t i = 0; status == 0 && i < KB_ARRAY_SIZE(steps); i++)
                status = run_step(&s, &steps[i]);
        if (status == 0 && store && strcmp(store, KB_STORE_LOCAL) != 0)
                status = setup_store(&s);
        if (status == 0 && !s.any_done)
                cli_done(cli, "nothing to do: this host is set up");
        return status;
}
