/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer grant: what is handed out now, and taking it back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/output.h"

static const struct cli_column columns[] = {
        {"id", "ID", CLI_NUMBER},
        {"consumer", "CONSUMER", CLI_TEXT},
        {"credential", "CREDENTIAL", CLI_TEXT},
        {"store", "STORE", CLI_TEXT},
        {"state", "STATE", CLI_TEXT},
        {"issued", "ISSUED", CLI_TIME},
        {"expires", "EXPIRES", CLI_TIME},
        {"renews", "NEXT", CLI_TIME},
        {"renewals", "RENEWED", CLI_NUMBER},
        {"problem", "PROBLEM", CLI_TEXT},
        {"note", "NOTE", CLI_TEXT},
        {"instance", NULL, CLI_TEXT},
        {"lease", NULL, CLI_TEXT},
};

static void add_grant(struct cli_table *t, const struct kb_grant_record *g)
{
        json_object *row = cli_table_row(t);

        cli_row_number(row, "id", g->id);
        cli_row_text(row, "consumer", g->consumer);
        cli_row_text(row, "instance", g->instance);
        cli_row_text(row, "credential", g->credential);
        cli_row_text(row, "store", g->store);
        cli_row_text(row, "state", g->state);
        cli_row_text(row, "lease", g->lease);
        cli_row_time(row, "issued", g->issued);
        cli_row_time(row, "expires", g->expires);
        cli_row_time(row, "renews", g->renews);
        cli_row_number(row, "renewals", g->renewals);
        cli_row_text(row, "problem", g->problem);
        cli_row_text(row, "note", g->note);
}

/* One portion. *after moves on; *ret_more says whether to ask again. */
static int list_some(struct cli *cli, struct cli_table *t, uint64_t *after, bool *ret_more)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_grant_list);
        struct kb_grant_list_reply reply;
        struct kb_grant_record grant;
        struct kb_span element;
        int r;

        kb_grant_list_request_put(&call.request, &(struct kb_grant_list_request){.after = *after});
        r = cli_ask(cli, &call, CLI_ASK_USEC);
        if (r != 0)
                return r;
        r = kb_grant_list_reply_get(call.reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        while (kb_list_next(&reply.grants, &element)) {
                r = kb_grant_record_get(element, &grant);
                if (r < 0)
                        return cli_fail_reply(cli, r);
                add_grant(t, &grant);
                *after = grant.id;
        }
        *ret_more = reply.more;
        return 0;
}

int cli_run_grant_list(struct cli *cli)
{
        _cleanup_table_ struct cli_table t = cli_table_init(columns, KB_ARRAY_SIZE(columns));
        uint64_t after = 0, before;
        bool more = true;

        do {
                int r;

                before = after;
                r = list_some(cli, &t, &after, &more);
                if (r != 0)
                        return r;
        } while (more && after > before);
        return cli_table_print(cli, &t, "nothing is handed out");
}

static int revoke_one(struct cli *cli, const char *text)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_grant_revoke);
        char *end;
        uint64_t id;

        errno = 0;
        id = strtoull(text, &end, 10);
        if (errno != 0 || *end || *text < '0' || *text > '9')
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "\"%s\" is no number of a grant; see keybearer grant list", text);
        kb_grant_revoke_request_put(&call.request, &(struct kb_grant_revoke_request){.id = id});
        return cli_ask(cli, &call, CLI_ASK_USEC);
}

int cli_run_grant_revoke(struct cli *cli)
{
        int status = 0;

        for (int i = 0; i < cli->n_arguments; i++) {
                int r = revoke_one(cli, cli->arguments[i]);

                status = r != 0 ? r : status;
        }
        return status != 0 ? status : cli_done(cli, "revoked");
}
