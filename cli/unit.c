/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer unit: which units start with which credentials. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/allow.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/dropin.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/spawn.h"

#define UNITS_FOLDER "/etc/systemd/system"

static char *dropin_path(const struct cli *cli, const char *unit)
{
        _cleanup_free_ char *folder = cli_path(cli, UNITS_FOLDER);

        return cli_format("%s/%s.d/" CLI_DROPIN_FILE, folder, unit);
}

static int check_unit(const struct cli *cli, const char *unit)
{
        if (kb_name_unit_valid(unit))
                return 0;
        return cli_fail(
                cli, KB_E_BAD_REQUEST,
                "\"%s\" is no unit that can have credentials; write the whole name, such as orders.service",
                unit);
}

/* --- the list of ids --- */

static size_t count_of(char *const *ids)
{
        size_t n = 0;

        while (ids && ids[n])
                n++;
        return n;
}

static bool holds(char *const *ids, const char *id)
{
        for (size_t i = 0; ids && ids[i]; i++)
                if (strcmp(ids[i], id) == 0)
                        return true;
        return false;
}

/* Adds "NAME" or "NAME.FIELD", once. */
static int add_id(const struct cli *cli, struct cli_dropin *d, const char *name, const char *field)
{
        _cleanup_free_ char *id = cli_format("%s%s%s", name, field ? "." : "", field ? field : "");
        size_t n = count_of(d->ids), length = strlen(d->unit) + strlen(id);
        char **grown;

        if (length > CLI_DROPIN_NAMES_MAX)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "%s and %s are %zu characters together, and systemd cannot ask for more "
                                "than %d; shorten "
                                "one of the names",
                                d->unit, id, length, CLI_DROPIN_NAMES_MAX);
        if (holds(d->ids, id))
                return 0;
        grown = reallocarray(d->ids, n + 2, sizeof(*grown));
        if (!grown)
                return cli_fail(cli, KB_E_INTERNAL, "memory is out");
        d->ids = grown;
        grown[n] = take_ptr(id);
        grown[n + 1] = NULL;
        return 0;
}

/* The broker reads credentials' files anew. */
static void reload_broker(const struct cli *cli)
{
        if (!cli->given[CLI_OPTION_root])
                cli_systemctl("reload", "keybearerd.service");
}

/* The store knows the fields: fetch it once, revoked at once. The broker may not have read its file yet. */
static int add_fields_of_store(struct cli *cli, struct cli_dropin *d, const struct kb_credential *c)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_credential_fetch);
        struct kb_credential_fetch_reply reply;
        struct kb_span value;
        const char *field;
        int r;

        reload_broker(cli);
        kb_credential_fetch_request_put(&call.request,
                                        &(struct kb_credential_fetch_request){.name = c->name});
        r = cli_ask(cli, &call, CLI_ASK_USEC);
        if (r != 0) {
                cli_note(cli,
                         "so the fields of %s are not known; name them: keybearer unit add %s %s.FIELD...",
                         c->name, d->unit, c->name);
                return r;
        }
        r = kb_credential_fetch_reply_get(call.reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        while (r == 0 && kb_list_next_pair(&reply.fields, &field, &value))
                r = add_id(cli, d, c->name, field);
        return r;
}

/* What a bare NAME means: its Field.* keys; the whole, when Format= or Template= says how; else what the
 * store has. */
static int add_whole(struct cli *cli, struct cli_dropin *d, const struct kb_credential *c)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->fields.count; i++)
                r = add_id(cli, d, c->name, c->fields.pairs[i].name);
        if (r != 0 || c->fields.count > 0)
                return r;
        if (c->template || kb_config_where(&kb_credential_table, c, "Format").file)
                return add_id(cli, d, c->name, NULL);
        return add_fields_of_store(cli, d, c);
}

/* Adds the name of a credential that --allow let this unit have now: it is taken back when we fail. */
static int allow(struct cli *cli, const struct kb_credential *c, const char *unit, char ***allowed)
{
        size_t n = count_of(*allowed);
        char **grown;
        int r;

        if (cli_allows(c, unit))
                return 0;
        if (!cli->given[CLI_OPTION_allow])
                return cli_fail(cli, KB_E_DENIED,
                                "%s may not have %s: no Unit= in its file names it; add it there, or run "
                                "this again with "
                                "--allow",
                                unit, c->name);
        r = cli_allow(cli, c->name, unit);
        if (r <= 0)
                return -r;
        grown = reallocarray(*allowed, n + 2, sizeof(*grown));
        if (!grown)
                return cli_fail(cli, KB_E_INTERNAL, "memory is out");
        *allowed = grown;
        grown[n] = cli_format("%s", c->name);
        grown[n + 1] = NULL;
        return 0;
}

static int add_argument(struct cli *cli, struct cli_dropin *d, const char *argument, char ***allowed)
{
        _cleanup_free_ char *name = cli_format("%.*s", (int)strcspn(argument, "."), argument);
        const char *field = argument[strlen(name)] ? argument + strlen(name) + 1 : NULL;
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;
        int r;

        if (field && !kb_name_word_valid(field))
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is no name of a field", field);
        r = cli_load_credential(cli, name, &c);
        if (r == 0)
                r = allow(cli, c, d->unit, allowed);
        if (r != 0)
                return r;
        return field ? add_id(cli, d, c->name, field) : add_whole(cli, d, c);
}

/* What was allowed for a unit that does not get it after all. */
static void disallow_all(const struct cli *cli, char *const *allowed, const char *unit)
{
        if (count_of(allowed) == 0)
                return;
        for (size_t i = 0; allowed[i]; i++)
                cli_disallow(cli, allowed[i], unit);
        reload_broker(cli);
}

/* --- the file --- */

/*
 * Whether the drop-in has to say Restart=: when the unit leaves it at systemd's "no". What our own file said
 * before is not the unit's, so that a second run finds the same.
 */
static bool wants_restart(const struct cli *cli, const struct cli_dropin *before, const char *unit)
{
        _cleanup_free_ char *example = cli_unit_example(unit); /* systemctl knows no template by its name */
        char *argv[] = {(char[]){"systemctl"},
                        (char[]){"show"},
                        (char[]){"--property=Restart"},
                        (char[]){"--value"},
                        (char[]){"--"},
                        example,
                        NULL};
        char value[32] = "";

        if (before->restart || cli->given[CLI_OPTION_root])
                return true;
        if (cli_spawn(argv, KB_SPAN(NULL, 0), value, sizeof(value)) != 0)
                return true;
        return value[0] == '\0' || strncmp(value, "no\n", 3) == 0;
}

static int load_dropin(const struct cli *cli, const char *path, struct cli_dropin *d)
{
        _cleanup_free_ char *text = cli_file_read(path);

        if (!text)
                return cli_fail(cli, KB_E_INTERNAL, "%s: %s", path, strerror(errno));
        return cli_dropin_parse(text, d) < 0 ? cli_fail(cli, KB_E_INTERNAL, "memory is out") : 0;
}

/* Makes the file hold this text; "": it goes. 1 when that changed anything, or a negative errno. */
static int put_text(const char *path, const char *text)
{
        _cleanup_free_ char *folder = cli_format("%.*s", (int)(strrchr(path, '/') - path), path);
        int r;

        if (*text)
                return cli_file_write(path, text, strlen(text), 0644);
        r = cli_file_remove(path);
        rmdir(folder); /* only when nothing else is in it */
        return r;
}

/* systemd did not read what was written: nothing has happened then, so nothing is left of it. */
static int take_back(const struct cli *cli, const char *path, const char *before)
{
        int r = put_text(path, before);

        if (r < 0)
                return cli_fail(
                        cli, KB_E_INTERNAL,
                        "systemd does not read its units, and %s could not be put back as it was: %s", path,
                        strerror(-r));
        cli_systemctl("daemon-reload", NULL); /* it may have read half of them */
        return cli_fail(cli, KB_E_INTERNAL,
                        "nothing is changed: systemd does not read its units; try: systemctl daemon-reload");
}

/* Writes the drop-in, or removes it when nothing is left in it. 1 when that changed anything, minus an exit
 * status. */
static int store_dropin(const struct cli *cli, const char *path, const struct cli_dropin *d)
{
        _cleanup_free_ char *before = cli_file_read(path), *text = NULL;
        int r;

        if (!before)
                return -cli_fail(cli, KB_E_INTERNAL, "%s: %s", path, strerror(errno));
        text = count_of(d->ids) > 0 ? cli_dropin_text(d) : cli_format("%s", "");
        r = text ? put_text(path, text) : -ENOMEM;
        if (r < 0)
                return -cli_fail(cli, KB_E_INTERNAL, "%s: %s", path, strerror(-r));
        if (r > 0 && !cli->given[CLI_OPTION_root] && cli_systemctl("daemon-reload", NULL) != 0)
                return -take_back(cli, path, before);
        return r;
}

/* How the change comes to what runs. */
static char *restart_command(const char *unit)
{
        return cli_unit_is_template(unit) ? cli_format("systemctl restart '%.*s@*%s'",
                                                       (int)strcspn(unit, "@"), unit, strrchr(unit, '.'))
                                          : cli_format("systemctl restart %s", unit);
}

static int finish(const struct cli *cli, const struct cli_dropin *d, const char *path, bool changed)
{
        _cleanup_free_ char *restart = restart_command(d->unit);

        if (!changed)
                return cli_done(cli, "nothing to do: %s says that already", path);
        return cli_done(cli, "%s is written; %s", path, restart);
}

/* The drop-in with its ids, put in its place. Minus an exit status, or whether that changed anything. */
static int write_dropin(const struct cli *cli, const char *path, struct cli_dropin *d, bool was_plain)
{
        d->plain = cli->given[CLI_OPTION_plain];
        d->restart = wants_restart(cli, d, d->unit);
        if (d->plain)
                cli_note(cli, "warning: without encryption, a broker that is killed in the middle "
                              "of an answer leaves "
                              "the unit an empty or cut secret");
        else if (was_plain)
                cli_note(cli, "%s used --plain until now; its credentials are encrypted from now on",
                         d->unit);
        return store_dropin(cli, path, d);
}

int cli_run_unit_add(struct cli *cli)
{
        struct cli_dropin d = {.unit = cli->arguments[0]};
        _cleanup_free_ char *path = NULL;
        char **allowed = NULL;
        int r = check_unit(cli, d.unit);

        if (r != 0)
                return r;
        path = dropin_path(cli, d.unit);
        r = load_dropin(cli, path, &d);
        for (int i = 1; r == 0 && i < cli->n_arguments; i++)
                r = add_argument(cli, &d, cli->arguments[i], &allowed);
        if (r == 0) {
                r = write_dropin(cli, path, &d, d.plain);
                if (allowed || r > 0)
                        reload_broker(cli);
                r = r < 0 ? -r : finish(cli, &d, path, allowed || r > 0);
        }
        if (r != 0)
                disallow_all(cli, allowed, d.unit);
        kb_strv_free(d.ids);
        kb_strv_free(allowed);
        return r;
}

/* --- remove --- */

/* "NAME" takes all of its fields with it, "NAME.FIELD" only itself. */
static bool is_named(const char *id, const char *argument)
{
        size_t n = strlen(argument);

        return strncmp(id, argument, n) == 0 && (id[n] == '\0' || (id[n] == '.' && !strchr(argument, '.')));
}

static void remove_ids(struct cli_dropin *d, const char *argument, size_t *removed)
{
        size_t kept = 0;

        for (size_t i = 0; d->ids && d->ids[i]; i++) {
                if (argument && !is_named(d->ids[i], argument)) {
                        d->ids[kept++] = d->ids[i];
                        continue;
                }
                free(d->ids[i]);
                (*removed)++;
        }
        if (d->ids)
                d->ids[kept] = NULL;
}

/* Something else than --allow lets it have the credential still: that stays as it is, and is said. */
static void say_what_is_left(struct cli *cli, const char *name, const char *unit)
{
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;
        _cleanup_free_ char *folder = cli_path(cli, KB_CREDENTIALS_FOLDER);
        _cleanup_free_ char *path = cli_format("%s/%s.conf", folder, name);

        if (access(path, F_OK) < 0)
                return; /* nobody has it any more */
        if (cli_load_credential(cli, name, &c) == 0 && cli_allows(c, unit))
                cli_note(cli, "a Unit= in the files of %s lets %s have it still", name, unit);
}

/* Whatever `--allow` wrote for this unit, for credentials of which no id is left. */
static void remove_allowances(struct cli *cli, const struct cli_dropin *before, const struct cli_dropin *d)
{
        bool changed = false;

        for (size_t i = 0; before->ids && before->ids[i]; i++) {
                _cleanup_free_ char *name =
                        cli_format("%.*s", (int)strcspn(before->ids[i], "."), before->ids[i]);
                bool left = false;

                for (size_t k = 0; d->ids && d->ids[k]; k++)
                        left |= is_named(d->ids[k], name);
                for (size_t k = 0; k < i; k++)
                        left |= is_named(before->ids[k], name); /* it was looked at already */
                if (left)
                        continue;
                changed |= cli_disallow(cli, name, d->unit) > 0;
                say_what_is_left(cli, name, d->unit);
        }
        if (changed)
                reload_broker(cli);
}

/* Takes away what was named, all when nothing was. */
static int remove_from(struct cli *cli, const char *path, struct cli_dropin *d,
                       const struct cli_dropin *before)
{
        _cleanup_free_ char *restart = restart_command(d->unit);
        size_t removed = 0;
        int r;

        if (cli->n_arguments == 1)
                remove_ids(d, NULL, &removed);
        for (int i = 1; i < cli->n_arguments; i++)
                remove_ids(d, cli->arguments[i], &removed);
        if (removed == 0)
                return cli_done(cli, "nothing to do: %s has no such credential", d->unit);
        r = store_dropin(cli, path, d);
        if (r < 0)
                return -r;
        remove_allowances(cli, before, d);
        return cli_done(cli, "%zu taken away, %zu left; what runs keeps what it has until: %s", removed,
                        count_of(d->ids), restart);
}

int cli_run_unit_remove(struct cli *cli)
{
        struct cli_dropin d = {.unit = cli->arguments[0]}, before = {.unit = cli->arguments[0]};
        _cleanup_free_ char *path = NULL;
        int r = check_unit(cli, d.unit);

        if (r != 0)
                return r;
        path = dropin_path(cli, d.unit);
        r = load_dropin(cli, path, &d);
        if (r == 0)
                r = load_dropin(cli, path, &before);
        if (r == 0)
                r = remove_from(cli, path, &d, &before);
        kb_strv_free(d.ids);
        kb_strv_free(before.ids);
        return r;
}

/* --- list --- */

static const struct cli_column columns[] = {
        {"unit", "UNIT", CLI_TEXT}, {"credential", "CREDENTIAL", CLI_TEXT}, {"how", "HOW", CLI_TEXT}};

static int list_one(const struct cli *cli, struct cli_table *t, const char *unit)
{
        struct cli_dropin d = {.unit = unit};
        _cleanup_free_ char *path = dropin_path(cli, unit);
        int r = load_dropin(cli, path, &d);

        for (size_t i = 0; r == 0 && d.ids && d.ids[i]; i++) {
                json_object *row = cli_table_row(t);

                cli_row_text(row, "unit", unit);
                cli_row_text(row, "credential", d.ids[i]);
                cli_row_text(row, "how", d.plain ? "plain" : "encrypted");
        }
        kb_strv_free(d.ids);
        return r;
}

int cli_run_unit_list(struct cli *cli)
{
        _cleanup_table_ struct cli_table t = cli_table_init(columns, KB_ARRAY_SIZE(columns));
        _cleanup_free_ char *folder = cli_path(cli, UNITS_FOLDER);
        struct dirent **entries = NULL;
        int n, r = 0;

        if (cli->n_arguments > 0) {
                r = check_unit(cli, cli->arguments[0]);
                if (r == 0)
                        r = list_one(cli, &t, cli->arguments[0]);
                return r != 0 ? r : cli_table_print(cli, &t, "it starts without any");
        }
        n = scandir(folder, &entries, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ struct dirent *entry = entries[i];
                size_t length = strlen(entry->d_name);

                if (r == 0 && length > 2 && strcmp(entry->d_name + length - 2, ".d") == 0) {
                        entry->d_name[length - 2] = '\0';
                        if (kb_name_unit_valid(entry->d_name))
                                r = list_one(cli, &t, entry->d_name);
                }
        }
        free(entries);
        return r != 0 ? r : cli_table_print(cli, &t, "no unit starts with credentials");
}
