/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"

#define COLUMN 44

static void print_command(const struct cli_command *c)
{
        int width = printf("  %s%s%s%s%s", c->object, *c->action ? " " : "", c->action,
                           *c->arguments ? " " : "", c->arguments);

        if (width >= COLUMN)
                width = printf("\n") - 1;
        printf("%*s%s\n", COLUMN - width, "", c->help);
}

static void print_option(size_t i)
{
        const struct cli_option_row *o = &cli_options[i];
        char name[64];
        int width;

        snprintf(name, sizeof(name), "--%s%s%s", o->name, o->argument ? "=" : "",
                 o->argument ? o->argument : "");
        for (char *c = name; *c && *c != '='; c++)
                *c = *c == '_' ? '-' : *c;
        width = printf("  %c%c%s %s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                       o->letter ? "," : " ", name);
        printf("%*s%s\n", COLUMN - width, "", o->help);
}

static void print_all(void)
{
        const char *object = "";

        puts("keybearer: short-lived keys for people who log in and services that start\n");
        for (size_t i = 0; i < cli_n_commands; i++) {
                if (i > 0 && *cli_commands[i].action && strcmp(object, cli_commands[i].object) != 0)
                        putchar('\n');
                object = cli_commands[i].object;
                print_command(&cli_commands[i]);
        }
        puts("\nEvery command takes:");
        for (size_t i = 0; i < CLI_OPTION_COUNT; i++)
                if (cli_option_fits(NULL, i))
                        print_option(i);
        puts("\n`man keybearer` says more; `keybearer COMMAND --help` lists the options of a command.");
}

/* The fields that KEY=VALUE may set; what is asked for is not among them. */
static void print_fields(const struct cli_command *c)
{
        const char *at = c->fields;
        bool any = false;

        while (*at) {
                size_t n = strcspn(at, " ");

                if (*at != '!' && *at != '=' && strncmp(at, "after", n) != 0)
                        printf("%s%.*s", any ? ", " : "\nKEY=VALUE may set: ", (int)n, at);
                any |= *at != '!' && *at != '=' && strncmp(at, "after", n) != 0;
                at += n;
                at += strspn(at, " ");
        }
        if (any)
                putchar('\n');
}

static bool print_matching(const char *object, const char *action)
{
        bool any = false;

        for (size_t i = 0; i < cli_n_commands; i++) {
                const struct cli_command *c = &cli_commands[i];
                bool exact = strcmp(c->action, action) == 0;

                if (strcmp(c->object, object) != 0 || (*c->action && *action && !exact))
                        continue;
                print_command(c);
                any = true;
                if (!exact && *c->action)
                        continue;
                print_fields(c);
                if (c->options)
                        puts("\nOptions:");
                for (size_t k = 0; k < CLI_OPTION_COUNT; k++)
                        if (c->options & (1u << k))
                                print_option(k);
        }
        return any;
}

int cli_run_help(struct cli *cli)
{
        if (cli->given[CLI_OPTION_json])
                return cli_fail(cli, KB_E_BAD_REQUEST, "help is for people; leave out --json");
        cli_help(cli->n_arguments > 0 ? cli->arguments[0] : "",
                 cli->n_arguments > 1 ? cli->arguments[1] : "");
        return 0;
}

void cli_help(const char *object, const char *action)
{
        if (!object)
                puts("keybearer " PACKAGE_VERSION);
        else if (!*object || !print_matching(object, action))
                print_all();
}
