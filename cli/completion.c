/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer completion: what a shell needs to complete our words, made from the table of commands. The
 * scripts know the words only; names of credentials, units and files are completed by what the shell has for
 * them.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"

static bool is_first_of_object(size_t i)
{
        return i == 0 || strcmp(cli_commands[i].object, cli_commands[i - 1].object) != 0;
}

static void print_objects(void)
{
        for (size_t i = 0; i < cli_n_commands; i++)
                if (is_first_of_object(i))
                        printf(" %s", cli_commands[i].object);
}

static void print_option_names(uint32_t options)
{
        for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
                if (!(options & (1u << i)) && !cli_option_fits(NULL, i))
                        continue;
                printf(" --");
                for (const char *c = cli_options[i].name; *c; c++)
                        putchar(*c == '_' ? '-' : *c);
                fputs(cli_options[i].argument ? "=" : "", stdout);
        }
}

/* What can stand behind "OBJECT": its actions, or the words of its one argument. */
static void print_actions(size_t i)
{
        const struct cli_command *c = &cli_commands[i];

        if (!*c->action && strchr(c->arguments, '|'))
                for (const char *at = c->arguments; *at;
                     at += strcspn(at, "|") + (at[strcspn(at, "|")] == '|'))
                        printf(" %.*s", (int)strcspn(at, "|"), at);
        for (; *c->action && i < cli_n_commands && strcmp(cli_commands[i].object, c->object) == 0; i++)
                printf(" %s", cli_commands[i].action);
}

static uint32_t options_of(size_t i)
{
        uint32_t options = 0;
        const char *object = cli_commands[i].object;

        for (; i < cli_n_commands && strcmp(cli_commands[i].object, object) == 0; i++)
                options |= cli_commands[i].options;
        return options;
}

/* One function serves both: zsh runs it through bashcompinit. */
static void print_function(void)
{
        puts("_keybearer() {\n"
             "        local cur=\"${COMP_WORDS[COMP_CWORD]}\" words='' options=''");
        puts("        case \"${COMP_WORDS[1]}\" in");
        for (size_t i = 0; i < cli_n_commands; i++) {
                if (!is_first_of_object(i))
                        continue;
                printf("        %s) words='", cli_commands[i].object);
                print_actions(i);
                fputs("' options='", stdout);
                print_option_names(options_of(i));
                puts("' ;;");
        }
        puts("        esac");
        fputs("        [ \"$COMP_CWORD\" -gt 1 ] || words='", stdout);
        print_objects();
        puts("'");
        puts("        case \"$COMP_CWORD:$cur\" in\n"
             "        *:-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
             "        1:* | 2:*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
             "        *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
             "        esac\n"
             "}");
}

int cli_run_completion(struct cli *cli)
{
        const char *shell = cli->arguments[0];
        bool zsh = strcmp(shell, "zsh") == 0;

        if (!zsh && strcmp(shell, "bash") != 0)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "there is no completion for %s; there is one for bash and one for zsh",
                                shell);
        if (zsh)
                puts("#compdef keybearer\nautoload -U +X bashcompinit && bashcompinit");
        print_function();
        puts("complete -F _keybearer keybearer");
        return 0;
}
