/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer metrics: the broker's facts for a monitoring system, as OpenMetrics text. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/facts.h"
#include "common/clock.h"

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

        if (!cli_is_number(value) && !(f && f->kind == FLAG))
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
        const char *name, *store;
        int r = cli_get_facts(cli, &call, &facts);

        if (r != 0)
                return r;
        while (kb_list_next_pair(&facts, &name, &value))
                if ((store = cli_fact_store(name))) {
                        print_store(store, (const char *)value.data, first_store);
                        first_store = false;
                } else if (strcmp(name, "version") == 0)
                        print_version((const char *)value.data);
                else
                        print_metric(name, (const char *)value.data);
        puts("# EOF");
        return 0;
}
