/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer credential: what is defined in credentials.d, and whether it works. */
#include <errno.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "cli/settings.h"
#include "common/clock.h"
#include "helper/config/duration.h"

static const struct cli_column columns[] = {
        {"name", "CREDENTIAL", CLI_TEXT}, {"store", "STORE", CLI_TEXT},
        {"path", "PATH", CLI_TEXT},       {"units", "UNITS", CLI_TEXT},
        {"people", "PEOPLE", CLI_TEXT},   {"on_rotate", "ON ROTATE", CLI_TEXT},
};

/* The members of a list, joined; `mark` before each. */
static char *join(char *text, const char *mark, char *const *words)
{
        for (size_t i = 0; words && words[i]; i++) {
                char *longer = cli_format("%s%s%s%s", text, *text ? " " : "", mark, words[i]);

                free(text);
                text = longer;
        }
        return text;
}

static void add_credential(struct cli_table *t, const struct kb_credential *c)
{
        _cleanup_free_ char *units = join(cli_format("%s", ""), "", c->allow_units);
        _cleanup_free_ char *people =
                join(join(cli_format("%s", ""), "", c->allow_users), "@", c->allow_groups);
        _cleanup_free_ char *on_rotate =
                kb_value_format(KB_VALUE_on_rotate, &(struct kb_value_limits){0}, &c->on_rotate);
        json_object *row = cli_table_row(t);

        cli_row_text(row, "name", c->name);
        cli_row_text(row, "store", c->store);
        cli_row_text(row, "path", c->path);
        cli_row_text(row, "units", units);
        cli_row_text(row, "people", people);
        cli_row_text(row, "on_rotate", on_rotate);
}

int cli_run_credential_list(struct cli *cli)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *folder = cli_path(cli, KB_CREDENTIALS_FOLDER);
        _cleanup_table_ struct cli_table t = cli_table_init(columns, KB_ARRAY_SIZE(columns));
        const struct kb_config_trust trust = cli_trust(cli);
        int r = cli_load_config(cli, &config);

        if (r != 0)
                return r;
        r = kb_credentials_new(folder, &trust, config, true, &problems, &all);
        if (r < 0 && r != -EBADMSG)
                return cli_fail(cli, KB_E_INTERNAL, "%s: %s", folder, strerror(-r));
        for (size_t i = 0; all && i < all->count; i++)
                add_credential(&t, all->sorted[i]);
        if (!kb_problems_any(&problems))
                return cli_table_print(cli, &t,
                                       "no credential is defined; see `man 5 keybearer-credentials`");
        cli_table_print(cli, &t, "no credential could be read");
        return cli_fail_problems(cli, &problems);
}

/* A kept or leased secret that units are told of is asked for again and again: to try it does no harm. */
static bool has_overlap(const struct kb_credential *c)
{
        return (c->on_rotate.action == KB_ON_ROTATE_reload || c->on_rotate.action == KB_ON_ROTATE_signal) &&
               c->strategy == KB_STRATEGY_eager && !(c->method && *c->method) && !c->probe;
}

static void note_short_overlap(const struct cli *cli, const struct kb_credential *c, uint64_t seconds)
{
        char wanted[KB_DURATION_TEXT_MAX], given[KB_DURATION_TEXT_MAX] = "no time";

        kb_duration_format(c->overlap_usec, 2, wanted);
        if (seconds > 0)
                kb_duration_format(seconds * KB_USEC_PER_SEC, 2, given);
        cli_note(cli,
                 "%s: Overlap=%s is more than its lease has room for: an old one may end %s after there is "
                 "a new "
                 "one; shorten Overlap=, or let the store give it a longer life (default_ttl and max_ttl of "
                 "its "
                 "role), unless each unit is of Type=notify-reload",
                 c->name, wanted, given);
}

/* Tries it, where root may: does an old lease live on for Overlap= when there is a new one? */
static void check_overlap(const struct cli *cli, const struct kb_credential *c)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_credential_fetch);
        _cleanup_free_ char *path = cli_path(cli, KB_ROOT_SOCKET);
        struct kb_credential_fetch_reply reply;

        if (!has_overlap(c))
                return;
        kb_credential_fetch_request_put(&call.request,
                                        &(struct kb_credential_fetch_request){.name = c->name});
        if (kb_call_run(&call, path, kb_time_add(kb_now_monotonic(), CLI_ASK_USEC)) < 0)
                return; /* nobody is there, or not for whoever asks */
        if (call.status != KB_E_OK)
                cli_note(cli, "%s: it could not be tried: %s", c->name, call.text);
        else if (kb_credential_fetch_reply_get(call.reply.body, &reply) >= 0 &&
                 reply.overlap < c->overlap_usec / KB_USEC_PER_SEC)
                note_short_overlap(cli, c, reply.overlap);
}

static int check_one(struct cli *cli, const char *name)
{
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;
        int r = cli_load_credential(cli, name, &c);

        if (r == 0 && !c->allow_units && !c->allow_users && !c->allow_groups)
                cli_note(cli, "%s: nobody may have it yet; see [Allow]", name);
        if (r == 0)
                check_overlap(cli, c);
        return r;
}

int cli_run_credential_check(struct cli *cli)
{
        int status = 0;

        if (cli->n_arguments == 0)
                return cli_run_config_check(cli);
        for (int i = 0; i < cli->n_arguments; i++) {
                int r = check_one(cli, cli->arguments[i]);

                status = r != 0 ? r : status;
        }
        return status != 0 ? status : cli_done(cli, "well formed");
}

int cli_run_credential_show(struct cli *cli)
{
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = NULL;
        int r = cli_load_credential(cli, cli->arguments[0], &c);

        return r != 0 ? r : cli_print_settings(cli, &kb_credential_table, c);
}

int cli_run_credential_fetch(struct cli *cli)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_credential_fetch);
        struct kb_credential_fetch_reply reply;
        int r;

        if (!kb_name_credential_valid(cli->arguments[0]))
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is no name of a credential",
                                cli->arguments[0]);
        kb_credential_fetch_request_put(&call.request,
                                        &(struct kb_credential_fetch_request){.name = cli->arguments[0]});
        r = cli_ask(cli, &call, CLI_ASK_USEC);
        if (r != 0)
                return r;
        r = kb_credential_fetch_reply_get(call.reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        return cli_print_fields(cli, reply.fields, cli->arguments[1], reply.ttl);
}
