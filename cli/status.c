/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer status and metrics: the broker's facts, for a person and for a monitoring system. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/facts.h"
#include "cli/output.h"
#include "common/clock.h"

#define STORE "store." /* facts about stores begin with it */

int cli_get_facts(const struct cli *cli, struct kb_call *call, struct kb_list *ret)
{
        struct kb_status_reply reply;
        int r;

        *call = kb_call_init(KB_VERB_status);
        r = cli_ask(cli, call, CLI_ASK_USEC);
        if (r != 0)
                return r;
        r = kb_status_reply_get(call->reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        *ret = reply.facts;
        return 0;
}

static bool is_number(const char *text)
{
        size_t n = strspn(text, "0123456789");

        return n > 0 && n <= 20 && text[n] == '\0';
}

/* What the broker gives as microseconds since the epoch; 0: it never was. */
static bool is_time(const char *name)
{
        return strcmp(name, "started") == 0 || strcmp(name, "directory_confirmed") == 0;
}

static void add_fact(const struct cli *cli, json_object *object, const char *name, const char *value)
{
        uint64_t number = is_number(value) ? strtoull(value, NULL, 10) : 0;

        if (is_number(value) && is_time(name) && !cli->given[CLI_OPTION_json]) {
                _cleanup_free_ char *text =
                        cli_format_time(number > 0 ? number : KB_TIME_NEVER, kb_now_realtime());

                cli_row_text(object, name, text);
        } else if (is_number(value))
                cli_row_number(object, name, number);
        else
                cli_row_text(object, name, value);
}

int cli_run_status(struct cli *cli)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list facts;
        struct kb_span value;
        json_object *object;
        const char *name;
        int r = cli_get_facts(cli, &call, &facts);

        if (r != 0)
                return r;
        object = json_object_new_object();
        while (kb_list_next_pair(&facts, &name, &value))
                add_fact(cli, object, name, (const char *)value.data);
        return cli_object_print(cli, object);
}

/* --- OpenMetrics --- */

/* What stands over a figure, for those that we know; a figure that is new in the broker is printed all the
 * same. */
static const struct {
        const char *name;
        const char *help;
} figures[] = {
        {"started", "When the broker was started, in seconds since the epoch."},
        {"recovery_codes", "One-time codes for logins that are left."},
        {"recovery_used", "One-time codes that let somebody in since they were made."},
        {"credentials", "Credentials that are defined."},
        {"grants", "Grants that live."},
        {"grants_failing", "Grants whose last renewal failed."},
        {"grants_revoking", "Grants that still have to be revoked in a store."},
        {"grants_overdue_seconds", "How long the oldest grant that could not be renewed is overdue."},
        {"refusals", "What was refused since the broker started: credentials, logins, changes."},
        {"requests_pending", "Requests that have no answer yet."},
        {"units_waiting", "Units in the middle of their start that wait for a credential."},
        {"log_records", "Records in the log, from the first on."},
        {"log_waiting", "Records that are not on the disk yet."},
        {"log_lost", "Records nobody waited for that were dropped because the disk took none for too long."},
        {"journal_lag", "Records on the disk that are not in the journal yet."},
        {"journal_resent", "Records that the journal had lost and that were sent again."},
        {"journal_given_up", "Records that the journal never took."},
        {"journal_blind", "Whether the journal cannot be read back, so that nothing can be confirmed."},
        {"directory_version", "Version of the directory that is in force."},
        {"directory_confirmed", "When the store last confirmed the directory, in seconds since the epoch."},
        {"directory_people", "People in the directory."},
        {"directory_left_out",
         "People who are left out because this host's own files have their name or id."},
};

static const char *help_of(const char *name)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(figures); i++)
                if (strcmp(figures[i].name, name) == 0)
                        return figures[i].help;
        return NULL;
}

/* Names of facts become names of metrics: letters, digits and '_' only. */
static void print_metric(const char *name, const char *value)
{
        _cleanup_free_ char *metric = cli_format("keybearer_%s", name);
        const char *help = help_of(name);

        for (char *c = metric; *c; c++)
                if (!isalnum((unsigned char)*c))
                        *c = '_';
        printf("# TYPE %s%s gauge\n", metric, is_time(name) ? "_seconds" : "");
        if (help)
                printf("# HELP %s%s %s\n", metric, is_time(name) ? "_seconds" : "", help);
        if (is_time(name)) {
                uint64_t usec = strtoull(value, NULL, 10);

                printf("%s_seconds %llu.%06llu\n", metric, (unsigned long long)(usec / KB_USEC_PER_SEC),
                       (unsigned long long)(usec % KB_USEC_PER_SEC));
        } else
                printf("%s %s\n", metric, value);
}

/* "store.NAME" is one metric for all stores. `first`: its head is not printed yet. */
static void print_store(const char *name, const char *value, bool first)
{
        if (first)
                puts("# TYPE keybearer_store_up gauge\n"
                     "# HELP keybearer_store_up Whether the store answered when it was last asked.");
        printf("keybearer_store_up{store=\"%s\"} %d\n", name, strcmp(value, "up") == 0);
}

int cli_run_metrics(struct cli *cli)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list facts;
        struct kb_span value;
        bool first_store = true;
        const char *name;
        int r = cli_get_facts(cli, &call, &facts);

        if (r != 0)
                return r;
        while (kb_list_next_pair(&facts, &name, &value))
                if (strncmp(name, STORE, strlen(STORE)) == 0) {
                        print_store(name + strlen(STORE), (const char *)value.data, first_store);
                        first_store = false;
                } else if (is_number((const char *)value.data))
                        print_metric(name, (const char *)value.data);
        puts("# EOF");
        return 0;
}
