/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of value that are text, or lists of it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/names.h"
#include "helper/config/file.h"
#include "helper/config/value_kinds.h"

int kb_value_copy(const char *text, char **to)
{
        *to = strdup(text);
        return *to ? 0 : -ENOMEM;
}

void kb_value_string_done(void *value)
{
        free(*(char **)value);
}

char *kb_value_string_format(const struct kb_value_limits *limits, const void *value)
{
        const char *text = *(char *const *)value;

        return strdup(text ? text : "");
}

/* --- word, secret_path, line, text --- */

static int word_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                      char **ret_problem)
{
        if (!kb_name_word_valid(text))
                return kb_value_refuse(ret_problem, "is no name; use letters, digits, '_' and '-'");
        return kb_value_copy(text, to);
}

static int secret_path_parse(const struct kb_value_limits *limits, const char *name, const char *text,
                             void *to, char **ret_problem)
{
        if (!kb_name_path_valid(text))
                return kb_value_refuse(ret_problem,
                                       "is no path in a store; join letters, digits and _-.@: by '/', "
                                       "for example kv/orders/db");
        return kb_value_copy(text, to);
}

static int line_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                      char **ret_problem)
{
        return kb_value_copy(text, to);
}

const struct kb_value_ops kb_value_word_ops = {.parse = word_parse,
                                               .format = kb_value_string_format,
                                               .done = kb_value_string_done,
                                               .size = sizeof(char *)};
const struct kb_value_ops kb_value_secret_path_ops = {.parse = secret_path_parse,
                                                      .format = kb_value_string_format,
                                                      .done = kb_value_string_done,
                                                      .size = sizeof(char *)};
const struct kb_value_ops kb_value_line_ops = {.parse = line_parse,
                                               .format = kb_value_string_format,
                                               .done = kb_value_string_done,
                                               .size = sizeof(char *)};
const struct kb_value_ops kb_value_text_ops = {.parse = line_parse,
                                               .format = kb_value_string_format,
                                               .done = kb_value_string_done,
                                               .size = sizeof(char *),
                                               .goes_on = true};

/* --- words, globs --- */

int kb_value_add_words(const char *text, const char *(*judge)(const char *), char ***to, char **ret_problem)
{
        _cleanup_free_ char *copied = strdup(text);
        char *rest = copied, *word, **grown;
        size_t old = 0, n;

        if (!copied)
                return -ENOMEM;
        while (*to && (*to)[old])
                old++;
        n = old;
        while ((word = strsep(&rest, " \t"))) {
                const char *wrong = *word && judge ? judge(word) : NULL;
                int r = 0;

                if (!*word)
                        continue;
                if (wrong)
                        r = kb_value_refuse(ret_problem, "\"%s\" %s", word, wrong);
                grown = r < 0 ? NULL : reallocarray(*to, n + 2, sizeof(**to));
                if (grown)
                        *to = grown;
                if (!grown || !(grown[n] = strdup(word))) {
                        while (n > old)
                                free((*to)[--n]);
                        if (*to)
                                (*to)[old] = NULL;
                        return r < 0 ? r : -ENOMEM;
                }
                grown[++n] = NULL;
        }
        return 0;
}

static const char *judge_word(const char *word)
{
        return kb_name_word_valid(word)
                       ? NULL
                       : "is no name; use letters, digits, '_' and '-', and blanks between names";
}

static int words_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                       char **ret_problem)
{
        return kb_value_add_words(text, judge_word, to, ret_problem);
}

static int globs_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                       char **ret_problem)
{
        return kb_value_add_words(text, NULL, to, ret_problem);
}

char *kb_value_words_format(const struct kb_value_limits *limits, const void *value)
{
        char **words = *(char **const *)value, *text, *end;
        size_t size = 1;

        for (size_t i = 0; words && words[i]; i++)
                size += strlen(words[i]) + 1;
        text = end = calloc(1, size);
        for (size_t i = 0; text && words && words[i]; i++)
                end = stpcpy(stpcpy(end, i ? " " : ""), words[i]); /* size counts both */
        return text;
}

void kb_value_words_done(void *value)
{
        kb_strv_free(*(char ***)value);
}

const struct kb_value_ops kb_value_words_ops = {.parse = words_parse,
                                                .format = kb_value_words_format,
                                                .done = kb_value_words_done,
                                                .size = sizeof(char **),
                                                .is_list = true,
                                                .goes_on = true};
const struct kb_value_ops kb_value_globs_ops = {.parse = globs_parse,
                                                .format = kb_value_words_format,
                                                .done = kb_value_words_done,
                                                .size = sizeof(char **),
                                                .is_list = true,
                                                .goes_on = true};

/* --- on_rotate --- */

/* Only those that a service may take as "look again"; the others end it. */
static const struct {
        const char *name;
        int number;
} signals[] = {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH},
               {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"TERM", SIGTERM}, {"CONT", SIGCONT}};

static const char *const actions[] = {
#define X(word) [KB_ON_ROTATE_##word] = #word,
        KB_ON_ROTATE(X)
#undef X
};

static int on_rotate_parse(const struct kb_value_limits *limits, const char *name, const char *text,
                           void *to, char **ret_problem)
{
        struct kb_on_rotate *result = to;

        for (unsigned i = 0; i < KB_ON_ROTATE_signal; i++)
                if (strcmp(text, actions[i]) == 0) {
                        *result = (struct kb_on_rotate){.action = (enum kb_on_rotate_action)i};
                        return 0;
                }
        if (strncmp(text, "signal:", 7) != 0)
                return kb_value_refuse(ret_problem, "is none of none, reload, restart and signal:NAME");
        text += strncmp(text + 7, "SIG", 3) == 0 ? 10 : 7;
        for (size_t i = 0; i < KB_ARRAY_SIZE(signals); i++)
                if (strcmp(text, signals[i].name) == 0) {
                        *result = (struct kb_on_rotate){KB_ON_ROTATE_signal, signals[i].number};
                        return 0;
                }
        return kb_value_refuse(ret_problem,
                               "names no signal for this; use HUP, USR1, USR2, WINCH, INT, QUIT, TERM "
                               "or CONT");
}

static char *on_rotate_format(const struct kb_value_limits *limits, const void *value)
{
        const struct kb_on_rotate *on_rotate = value;
        char *text;

        if (on_rotate->action != KB_ON_ROTATE_signal)
                return strdup(actions[on_rotate->action]);
        for (size_t i = 0; i < KB_ARRAY_SIZE(signals); i++)
                if (signals[i].number == on_rotate->signal)
                        return asprintf(&text, "signal:%s", signals[i].name) < 0 ? NULL : text;
        return strdup("");
}

const struct kb_value_ops kb_value_on_rotate_ops = {
        .parse = on_rotate_parse, .format = on_rotate_format, .size = sizeof(struct kb_on_rotate)};

/* --- pairs --- */

static int pairs_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                       char **ret_problem)
{
        struct kb_pairs *pairs = to;
        _cleanup_free_ char *own_name = NULL, *own_value = NULL;
        struct kb_pair *grown;

        if (!kb_name_word_valid(name))
                return kb_value_refuse(ret_problem,
                                       "has no name behind the dot; use letters, digits, '_' and '-'");
        for (size_t i = 0; i < pairs->count; i++)
                if (strcmp(pairs->pairs[i].name, name) == 0)
                        return kb_value_refuse(ret_problem, "is given twice; remove one of the lines");
        own_name = strdup(name);
        own_value = strdup(text);
        grown = reallocarray(pairs->pairs, pairs->count + 1, sizeof(*grown));
        if (grown)
                pairs->pairs = grown;
        if (!own_name || !own_value || !grown)
                return -ENOMEM;
        grown[pairs->count++] = (struct kb_pair){take_ptr(own_name), take_ptr(own_value)};
        return 0;
}

static char *pairs_format(const struct kb_value_limits *limits, const void *value)
{
        const struct kb_pairs *pairs = value;
        size_t size = 1;
        char *text, *end;

        for (size_t i = 0; i < pairs->count; i++)
                size += strlen(pairs->pairs[i].name) + strlen(pairs->pairs[i].value) + 2;
        text = end = calloc(1, size);
        for (size_t i = 0; text && i < pairs->count; i++)
                end += sprintf(end, "%s%s=%s", i ? "\n" : "", pairs->pairs[i].name,
                               pairs->pairs[i].value); /* size counts both, '=' and the line end */
        return text;
}

static void pairs_done(void *value)
{
        struct kb_pairs *pairs = value;

        for (size_t i = 0; i < pairs->count; i++) {
                free(pairs->pairs[i].name);
                free(pairs->pairs[i].value);
        }
        free(pairs->pairs);
}

const struct kb_value_ops kb_value_pairs_ops = {.parse = pairs_parse,
                                                .format = pairs_format,
                                                .done = pairs_done,
                                                .size = sizeof(struct kb_pairs),
                                                .is_list = true};
