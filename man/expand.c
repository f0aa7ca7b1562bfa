/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a manual page from its source: every line passes through, and a line "@NAME" becomes what a table of
 * the code says, in mdoc(7). So a page cannot name a key or a command that is not there, nor leave one out.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "common/clock.h"
#include "helper/config/store_vault.h"
#include "helper/log/event.h"

/* Text for a line of roff: no escape, no request; each sentence on a line of its own, as mdoc wants it. */
static void print_prose(const char *text)
{
        for (const char *c = text; *c; c++) {
                if (*c == '\\')
                        fputs("\\e", stdout);
                else if (c[0] == ' ' && c > text && c[-1] == '.')
                        putchar('\n');
                else
                        putchar(*c);
        }
        putchar('\n');
}

/* --- keys --- */

static void print_words(const char *words)
{
        fputs("One of\n.Cm ", stdout);
        for (const char *c = words; *c; c++)
                fputs(*c == '|' ? " , " : (char[]){*c, '\0'}, stdout);
        puts(" .");
}

static void print_range(const struct kb_config_key *key)
{
        _cleanup_free_ char *min = NULL, *max = NULL;

        if (key->kind == KB_VALUE_id_range)
                printf("Within %llu\\(en%llu.\n", (unsigned long long)key->limits.min,
                       (unsigned long long)key->limits.max);
        if (key->limits.max == 0 || key->kind == KB_VALUE_id_range)
                return;
        min = kb_value_format_number(key->kind, key->limits.min);
        max = kb_value_format_number(key->kind, key->limits.max);
        printf("From %s to %s.\n", min, max);
}

/* daemon: whose restart some changes need; NULL: the page says it of all keys at once. */
static void print_key(const struct kb_config_key *key, const char *daemon)
{
        size_t n = strlen(key->name);
        bool family = key->name[n - 1] == '.';

        if (family)
                printf(".It Ic %.*s . Ns Ar NAME Ns =\n", (int)n - 1, key->name);
        else
                printf(".It Ic %s Ns =\n", key->name);
        print_prose(key->prose);
        if (key->kind == KB_VALUE_choice)
                print_words(key->limits.words);
        else
                printf("Value: %s.\n", kb_value_kind_prose(key->kind));
        print_range(key);
        if (!key->fallback)
                puts("It has to be given.");
        else if (key->fallback[0])
                printf("Default:\n.Cm %s .\n", key->fallback);
        if (key->apply == KB_CONFIG_restart && daemon)
                printf("A change needs a restart of\n.Xr %s 8 .\n", daemon);
}

static void print_keys(const struct kb_config_table *table, const char *daemon)
{
        const char *section = "";

        for (size_t i = 0; i < table->n_keys; i++) {
                if (strcmp(section, table->keys[i].section) != 0) {
                        if (*section)
                                puts(".El");
                        section = table->keys[i].section;
                        printf(".Ss [%s]\n.Bl -tag -width Ds\n", section);
                }
                print_key(&table->keys[i], daemon);
        }
        puts(".El");
}

static void print_broker_keys(void)
{
        print_keys(&kb_config_table, "keybearerd");
}

static void print_credential_keys(void)
{
        print_keys(&kb_credential_table, "keybearerd");
}

static void print_vault_keys(void)
{
        print_keys(&kb_vault_settings_table, NULL);
}

/* --- commands --- */

static void print_option(size_t i)
{
        printf(".It Fl -");
        for (const char *c = cli_options[i].name; *c; c++)
                putchar(*c == '_' ? '-' : *c);
        if (cli_options[i].argument)
                printf(" Ns = Ns Ar %s", cli_options[i].argument);
        if (cli_options[i].letter)
                printf(" , Fl %c", cli_options[i].letter);
        putchar('\n');
        printf("%s.\n", cli_options[i].help);
}

static void print_options(void)
{
        puts(".Bl -tag -width Ds");
        for (size_t i = 0; i < CLI_OPTION_COUNT; i++)
                print_option(i);
        puts(".El");
}

static void print_arguments(const char *arguments)
{
        for (const char *at = arguments; *at;) {
                size_t n = strcspn(at, " ");
                bool optional = *at == '[';

                printf(" %s %.*s", optional ? "Op Ar" : "Ar", (int)(optional ? n - 2 : n), at + optional);
                at += n;
                at += strspn(at, " ");
        }
}

static void print_fields(const struct cli_command *c)
{
        const char *at = c->fields;
        bool any = false;

        while (*at) {
                size_t n = strcspn(at, " ");

                if (*at != '!' &&
                    strncmp(at, "after", n) != 0) { /* portions are the program's own business */
                        printf("%s%.*s", any ? " , " : "Keys:\n.Cm ", (int)n, at);
                        any = true;
                }
                at += n;
                at += strspn(at, " ");
        }
        if (any)
                puts(" .");
}

static void print_command(const struct cli_command *c)
{
        bool any = false;

        printf(".It Ic %s%s%s", c->object, *c->action ? " " : "", c->action);
        print_arguments(c->arguments);
        printf("\n%c%s.\n", c->help[0] >= 'a' && c->help[0] <= 'z' ? c->help[0] - 'a' + 'A' : c->help[0],
               c->help + 1);
        print_fields(c);
        for (size_t i = 0; i < CLI_OPTION_COUNT; i++)
                if (c->options & (1u << i)) {
                        fputs(any ? " ,\n" : "Options:\n", stdout);
                        printf(".Fl -");
                        for (const char *at = cli_options[i].name; *at; at++)
                                putchar(*at == '_' ? '-' : *at);
                        any = true;
                }
        if (any)
                puts(" .");
}

static void print_commands(void)
{
        puts(".Bl -tag -width Ds");
        for (size_t i = 0; i < cli_n_commands; i++)
                print_command(&cli_commands[i]);
        puts(".El");
}

/* --- exit statuses: one line each, with all the reasons that end in it --- */

static void print_exits(void)
{
        static const struct {
                int status;
                const char *word, *text;
        } errors[] = {
#define ERROR(number, name, word, status, text) {status, word, text},
#include "common/error.def"
#undef ERROR
        };

        puts(".Bl -tag -width Ds");
        for (int status = 0; status < 16; status++) {
                bool any = false;

                for (size_t i = 0; i < KB_ARRAY_SIZE(errors); i++) {
                        if (errors[i].status != status)
                                continue;
                        if (!any)
                                printf(".It %d\n", status);
                        else
                                puts(".br");
                        printf(".Em %s :\n%s.\n", errors[i].word, errors[i].text);
                        any = true;
                }
        }
        puts(".El");
}

/* --- figures --- */

static void print_metrics(void)
{
        enum kind { NUMBER, COUNT, SECONDS, TIME, FLAG };
        static const struct {
                enum kind kind;
                const char *name, *help;
        } figures[] = {
#define FIGURE(fact, kind, name, help, when) {kind, name, help},
#include "cli/metrics.def"
#undef FIGURE
        };

        puts(".Bl -tag -width Ds -compact");
        for (size_t i = 0; i < KB_ARRAY_SIZE(figures); i++) {
                printf(".It Li %s%s\n", figures[i].name, figures[i].kind == COUNT ? "_total" : "");
                print_prose(figures[i].help);
        }
        puts(".El");
}

/* --- the log --- */

static void print_log_fields(void)
{
        static const struct {
                unsigned number;
                const char *name, *kind;
                size_t max;
                const char *journal, *prose;
        } fields[] = {
#define FIELD(number, name, member, kind, max, journal, prose) {number, #member, #kind, max, journal, prose},
#include "helper/log/fields.def"
#undef FIELD
        };

        puts(".Bl -tag -width Ds -compact");
        for (size_t i = 0; i < KB_ARRAY_SIZE(fields); i++) {
                printf(".It %u Li %s , No %s", fields[i].number, fields[i].name, fields[i].kind);
                if (fields[i].max > 0)
                        printf(", %zu", fields[i].max);
                printf(", Li %s\n%s.\n", fields[i].journal, fields[i].prose);
        }
        puts(".El");
}

static void print_log_events(void)
{
        static const char *const priorities[] = {"emerg",   "alert",  "crit", "err",
                                                 "warning", "notice", "info", "debug"};

        puts(".Bl -tag -width Ds -compact");
        for (size_t i = 0; i < kb_event_table_size; i++) {
                const struct kb_event_info *e = &kb_event_table[i];

                printf(".It %u Cm %s , No %s, %s\n%s.\n.br\n.Li %s\n", e->id, e->word,
                       priorities[e->priority], e->outcome, e->title, e->message_id);
        }
        puts(".El");
}

/* --- reasons --- */

struct reason {
        const char *word, *text;
};

static void print_reasons(const struct reason *reasons, size_t n)
{
        puts(".Bl -tag -width Ds -compact");
        for (size_t i = 0; i < n; i++)
                printf(".It Cm %s\n%s.\n", reasons[i].word, reasons[i].text);
        puts(".El");
}

static void print_errors(void)
{
        static const struct reason reasons[] = {
#define ERROR(number, name, word, status, text) {word, text},
#include "common/error.def"
#undef ERROR
        };

        print_reasons(reasons + 1, KB_ARRAY_SIZE(reasons) - 1); /* the first is success */
}

static void print_decision_reasons(void)
{
        static const struct reason reasons[] = {
#define REASON(name, word, text) {word, text},
#include "directory/reason.def"
#undef REASON
        };

        print_reasons(reasons + 1, KB_ARRAY_SIZE(reasons) - 1);
}

static const struct {
        const char *name;
        void (*print)(void);
} tables[] = {
        {"@broker-keys\n", print_broker_keys},
        {"@credential-keys\n", print_credential_keys},
        {"@vault-keys\n", print_vault_keys},
        {"@commands\n", print_commands},
        {"@options\n", print_options},
        {"@exits\n", print_exits},
        {"@metrics\n", print_metrics},
        {"@errors\n", print_errors},
        {"@decision-reasons\n", print_decision_reasons},
        {"@log-fields\n", print_log_fields},
        {"@log-events\n", print_log_events},
};

int main(void)
{
        char line[1024];

        while (fgets(line, sizeof(line), stdin)) {
                size_t i = 0;

                while (i < KB_ARRAY_SIZE(tables) && strcmp(line, tables[i].name) != 0)
                        i++;
                if (i < KB_ARRAY_SIZE(tables))
                        tables[i].print();
                else if (line[0] == '@') {
                        fprintf(stderr, "there is no table %s", line);
                        return 1;
                } else
                        fputs(line, stdout);
        }
        return 0;
}
