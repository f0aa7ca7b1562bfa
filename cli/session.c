/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer session: who is logged in. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/output.h"

static const struct cli_column columns[] = {
        {"handle", "HANDLE", CLI_TEXT},    {"user", "USER", CLI_TEXT},    {"service", "SERVICE", CLI_TEXT},
        {"remote_host", "FROM", CLI_TEXT}, {"leader", "PID", CLI_NUMBER}, {"opened", "OPENED", CLI_TIME},
};

static void add_session(struct cli_table *t, const struct kb_session_record *s)
{
        json_object *row = cli_table_row(t);

        cli_row_text(row, "handle", s->handle);
        cli_row_text(row, "user", s->user);
        cli_row_text(row, "service", s->service);
        cli_row_text(row, "remote_host", s->remote_host);
        cli_row_number(row, "leader", s->leader);
        cli_row_time(row, "opened", s->opened);
}

int cli_run_session_list(struct cli *cli)
{
        _cleanup_table_ struct cli_table t = cli_table_init(columns, KB_ARRAY_SIZE(columns));
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_session_list);
        struct kb_session_list_reply reply;
        struct kb_session_record session;
        struct kb_span element;
        int r = cli_ask(cli, &call, CLI_ASK_USEC);

        if (r != 0)
                return r;
        r = kb_session_list_reply_get(call.reply.body, &reply);
        while (r == 0 && kb_list_next(&reply.sessions, &element)) {
                r = kb_session_record_get(element, &session);
                if (r == 0)
                        add_session(&t, &session);
        }
        return r < 0 ? cli_fail_reply(cli, r) : cli_table_print(cli, &t, "no session of our people");
}

int cli_run_session_end(struct cli *cli)
{
        int status = 0;

        for (int i = 0; i < cli->n_arguments; i++) {
                _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_session_end);
                int r;

                kb_session_end_request_put(&call.request,
                                           &(struct kb_session_end_request){.handle = cli->arguments[i]});
                r = cli_ask(cli, &call, CLI_ASK_USEC);
                status = r != 0 ? r : status;
        }
        return status != 0 ? status : cli_done(cli, "ended");
}
