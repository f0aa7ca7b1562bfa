/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to a command, its options and its arguments, and what to say when that makes no sense. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "helper/config/suggest.h"

#define COMMON_OPTIONS                                                                                      \
        (1u << CLI_OPTION_help | 1u << CLI_OPTION_version | 1u << CLI_OPTION_json | 1u << CLI_OPTION_root)

/* '_' is '-' when typed: done once, by hand, since the preprocessor cannot. */
const struct cli_option_row cli_options[CLI_OPTION_COUNT] = {
#define OPTION(name_, letter_, argument_, help_)                                                            \
        [CLI_OPTION_##name_] = {.name = #name_, .letter = letter_, .argument = argument_, .help = help_},
#include "cli/options.def"
#undef OPTION
};

bool cli_option_fits(const struct cli_command *command, size_t option)
{
        uint32_t bit = 1u << option;

        return (bit & COMMON_OPTIONS) || (command && (command->options & bit));
}

static bool is_option_name(const char *typed, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if ((typed[i] == '-' ? '_' : typed[i]) != name[i])
                        return false;
        return name[n] == '\0';
}

static int find_long(const char *typed, size_t n)
{
        for (int i = 0; i < CLI_OPTION_COUNT; i++)
                if (is_option_name(typed, n, cli_options[i].name))
                        return i;
        return -1;
}

static int find_letter(char letter)
{
        for (int i = 0; i < CLI_OPTION_COUNT; i++)
                if (cli_options[i].letter && cli_options[i].letter == letter)
                        return i;
        return -1;
}

static int unknown_option(const struct cli *cli, const char *word)
{
        struct kb_suggestion best = kb_suggestion_init(word);
        char names[CLI_OPTION_COUNT][32];

        for (size_t i = 0; i < CLI_OPTION_COUNT; i++) {
                snprintf(names[i], sizeof(names[i]), "--%s", cli_options[i].name);
                for (char *c = names[i]; *c; c++)
                        *c = *c == '_' ? '-' : *c;
                kb_suggestion_try(&best, names[i]);
        }
        return best.text ? cli_fail(cli, KB_E_BAD_REQUEST, "unknown option %s; did you mean %s?", word,
                                    best.text)
                         : cli_fail(cli, KB_E_BAD_REQUEST, "unknown option %s; see keybearer --help", word);
}

/* Takes the option at argv[i]; returns how many words it used up, or minus an exit status. */
static int take_option(struct cli *cli, int argc, char **argv, int i)
{
        const char *word = argv[i], *value = NULL;
        size_t n = strcspn(word, "=");
        int option, used = 1;

        if (word[1] == '-') {
                option = find_long(word + 2, n - 2);
                value = word[n] ? word + n + 1 : NULL;
        } else
                option = word[2] ? -1 : find_letter(word[1]);
        if (option < 0)
                return -unknown_option(cli, word);
        if (value && !cli_options[option].argument)
                return -cli_fail(cli, KB_E_BAD_REQUEST, "%.*s takes no value", (int)n, word);
        if (cli_options[option].argument && !value) {
                value = i + 1 < argc ? argv[i + 1] : NULL;
                used = 2;
        }
        if (cli_options[option].argument && (!value || !*value))
                return -cli_fail(cli, KB_E_BAD_REQUEST, "%s needs a value: %s %s", word, word,
                                 cli_options[option].argument);
        cli->given[option] = true;
        cli->value[option] = value;
        return used;
}

/* --- which command --- */

static const struct cli_command *find_command(const char *object, const char *action)
{
        for (size_t i = 0; i < cli_n_commands; i++)
                if (strcmp(cli_commands[i].object, object) == 0 &&
                    strcmp(cli_commands[i].action, action) == 0)
                        return &cli_commands[i];
        return NULL;
}

static bool is_object(const char *word)
{
        for (size_t i = 0; i < cli_n_commands; i++)
                if (strcmp(cli_commands[i].object, word) == 0)
                        return true;
        return false;
}

static int unknown_word(const struct cli *cli, const char *object, const char *action)
{
        const char *typed = action ? action : object;
        struct kb_suggestion best = kb_suggestion_init(typed);

        for (size_t i = 0; i < cli_n_commands; i++)
                if (!action || strcmp(cli_commands[i].object, object) == 0)
                        kb_suggestion_try(&best, action ? cli_commands[i].action : cli_commands[i].object);
        if (best.text)
                return cli_fail(cli, KB_E_BAD_REQUEST, "there is no `keybearer %s%s%s`; did you mean `%s`?",
                                object, action ? " " : "", action ? action : "", best.text);
        if (action)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "there is no `keybearer %s %s`; see keybearer %s --help", object, action,
                                object);
        return cli_fail(cli, KB_E_BAD_REQUEST, "there is no `keybearer %s`; see keybearer --help", object);
}

static int choose_command(struct cli *cli, int *words)
{
        const char *object = cli->arguments[0], *action = object ? cli->arguments[1] : NULL;

        *words = 1;
        cli->command = find_command(object, "");
        if (cli->command)
                return 0;
        if (!is_object(object))
                return unknown_word(cli, object, NULL);
        if (!action)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "`keybearer %s` needs to know what to do; see keybearer %s --help", object,
                                object);
        *words = 2;
        cli->command = find_command(object, action);
        return cli->command ? 0 : unknown_word(cli, object, action);
}

/* How many arguments the command wants; *ret_max is -1 when there is no end to it. */
static int count_wanted(const char *arguments, int *ret_max)
{
        int min = 0, max = 0;

        for (const char *at = arguments; *at;) {
                size_t n = strcspn(at, " ");

                max = max < 0 || memmem(at, n, "...", 3) ? -1 : max + 1;
                min += *at != '[';
                at += n;
                at += strspn(at, " ");
        }
        *ret_max = max;
        return min;
}

static int check_count(const struct cli *cli)
{
        const struct cli_command *c = cli->command;
        int max, min = count_wanted(c->arguments, &max);
        const char *gap = *c->action ? " " : "";

        if (cli->n_arguments < min)
                return cli_fail(cli, KB_E_BAD_REQUEST, "something is missing; write: keybearer %s%s%s %s",
                                c->object, gap, c->action, c->arguments);
        if (max >= 0 && cli->n_arguments > max)
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is too much; write: keybearer %s%s%s %s",
                                cli->arguments[max], c->object, gap, c->action, c->arguments);
        for (size_t i = 0; i < CLI_OPTION_COUNT; i++)
                if (cli->given[i] && !cli_option_fits(c, i))
                        return cli_fail(cli, KB_E_BAD_REQUEST,
                                        "`keybearer %s%s%s` has no --%s; see its --help", c->object, gap,
                                        c->action, cli_options[i].name);
        if (cli->value[CLI_OPTION_root] && cli->value[CLI_OPTION_root][0] != '/')
                return cli_fail(cli, KB_E_BAD_REQUEST, "--root=%s is no absolute path",
                                cli->value[CLI_OPTION_root]);
        return 0;
}

int cli_parse(struct cli *cli, int argc, char **argv)
{
        bool only_words = false;
        int n = 0, words, r;

        cli->arguments = argv; /* what is no option moves to the front */
        for (int i = 1; i < argc;) {
                const char *word = argv[i];

                if (!only_words && strcmp(word, "--") == 0) {
                        only_words = true;
                        i++;
                } else if (!only_words && word[0] == '-' && word[1]) {
                        r = take_option(cli, argc, argv, i);
                        if (r < 0)
                                return -r;
                        i += r;
                } else
                        argv[n++] = argv[i++];
        }
        argv[n] = NULL;
        if (cli->given[CLI_OPTION_help] || cli->given[CLI_OPTION_version]) {
                cli_help(cli->given[CLI_OPTION_version] ? NULL : n > 0 ? argv[0] : "", n > 1 ? argv[1] : "");
                return 0;
        }
        if (n == 0)
                return cli_fail(cli, KB_E_BAD_REQUEST, "what shall be done? see keybearer --help");
        r = choose_command(cli, &words);
        if (r != 0)
                return r;
        cli->arguments = argv + words;
        cli->n_arguments = n - words;
        return check_count(cli);
}
