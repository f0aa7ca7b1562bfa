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

enum kind { NUMBER, COUNT, SECONDS, TIME, FLAG };

static const struct figure {
        const char *fact;
        enum kind kind;
        const char *name;
        const char *help;
        const char *when;
} figures[] = {
#define FIGURE(fact, kind, name, help, when) {fact, kind, name, help, when},
#include "cli/metrics.def"
#undef FIGURE
};

static const struct figure *figure_of(const char *fact)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(figures); i++)
                if (strcmp(figures[i].fact, fact) == 0)
                        return &figures[i];
        return NULL;
}

static void print_value(const struct figure *f, const char *metric, const char *value)
{
        uint64_t usec = strtoull(value, NULL, 10);

        if (f && f->kind == TIME)
                printf("%s %llu.%06llu\n", metric, (unsigned long long)(usec / KB_USEC_PER_SEC),
                       (unsigned long long)(usec % KB_USEC_PER_SEC));
        else if (f && f->kind == FLAG)
                printf("%s %d\n", metric, f->when ? strcmp(value, f->when) == 0 : *value != '\0');
        else
                printf("%s%s %s\n", metric, f && f->kind == COUNT ? "_total" : "", value);
}

/* Names of facts become names of metrics: letters, digits and '_' only. */
static void print_metric(const char *name, const char *value)
{
        const struct figure *f = figure_of(name);
        _cleanup_free_ char *metric = cli_format("keybearer_%s", f ? f->name : name);

        if (!is_number(value) && !(f && f->kind == FLAG))
                return;
        for (char *c = metric; *c; c++)
                if (!isalnum((unsigned char)*c))
                        *c = '_';
        printf("# TYPE %s %s\n", metric, f && f->kind == COUNT ? "counter" : "gauge");
        if (f && (f->kind == SECONDS || f->kind == TIME))
                printf("# UNIT %s seconds\n", metric);
        if (f)
                printf("# HELP %s %s\n", metric, f->help);
        print_value(f, metric, value);
}

/* "store.NAME" is one metric for all stores. `first`: its head is not printed yet. */
static void print_store(const char *name, const char *value, bool first)
{
        if (first)
                puts("# TYPE keybearer_store_up gauge\n"
                     "# HELP keybearer_store_up Whether the store answered when it was last asked.");
        printf("keybearer_store_up{store=\"%s\"} %d\n", name, strcmp(value, "up") == 0);
}

static void print_version(const char *version)
{
        printf("# TYPE keybearer info\n# HELP keybearer The broker that answers.\n"
               "keybearer_info{version=\"%s\"} 1\n",
               version);
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
                } else if (strcmp(name, "version") == 0)
                        print_version((const char *)value.data);
                else
                        print_metric(name, (const char *)value.data);
        puts("# EOF");
        return 0;
}
