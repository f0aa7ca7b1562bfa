/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/value.h"

#include <errno.h>
#include <string.h>

#include "helper/config/duration.h"
#include "helper/config/value_kinds.h"

static const struct {
        const struct kb_value_ops *ops;
        const char *prose;
} kinds[] = {
#define VALUE(kind, type, prose) [KB_VALUE_##kind] = {&kb_value_##kind##_ops, prose},
        KB_VALUES(VALUE)
#undef VALUE
};

int kb_value_refuse(char **ret_problem, const char *format, ...)
{
        va_list arguments;
        char *text;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;
        *ret_problem = text;
        return -EINVAL;
}

const char *kb_value_kind_prose(enum kb_value_kind kind)
{
        return kinds[kind].prose;
}

bool kb_value_is_list(enum kb_value_kind kind)
{
        return kinds[kind].ops->is_list;
}

int kb_value_parse(enum kb_value_kind kind, const struct kb_value_limits *limits, const char *name,
                   const char *text, void *to, char **ret_problem)
{
        const struct kb_value_ops *ops = kinds[kind].ops;
        char fresh[sizeof(struct kb_pairs)] __attribute__((aligned(8))) = {0}; /* the greatest of them */
        int r;

        if (!*text && kind != KB_VALUE_text)
                return kb_value_refuse(ret_problem, "has no value; write %s%s, or remove the line",
                                       kind == KB_VALUE_choice ? "one of " : kinds[kind].prose,
                                       kind == KB_VALUE_choice ? limits->words : "");
        if (ops->is_list)
                return ops->parse(limits, name, text, to, ret_problem);
        r = ops->parse(limits, name, text, fresh, ret_problem);
        if (r < 0)
                return r;
        kb_value_done(kind, to);
        memcpy(to, fresh, ops->size);
        return 0;
}

int kb_value_extend(enum kb_value_kind kind, const struct kb_value_limits *limits, const char *text,
                    unsigned blank, void *to, char **ret_problem)
{
        const struct kb_value_ops *ops = kinds[kind].ops;
        _cleanup_free_ char *joined = NULL;
        char *old;
        size_t n;

        if (!ops->goes_on)
                return kb_value_refuse(ret_problem,
                                       "does not go on in an indented line; put the value on one line, or "
                                       "begin the next key at the left edge");
        if (ops->is_list)
                return ops->parse(limits, NULL, text, to, ret_problem);
        old = *(char **)to;
        n = old ? strlen(old) : 0;
        joined = malloc(n + blank + strlen(text) + 2);
        if (!joined)
                return -ENOMEM;
        if (n > 0) { /* the first line may be empty: KEY= and the text below it */
                memcpy(joined, old, n);
                memset(joined + n, '\n', blank + 1);
                n += blank + 1;
        }
        memcpy(joined + n, text, strlen(text) + 1);
        free(old);
        *(char **)to = take_ptr(joined);
        return 0;
}

char *kb_value_format(enum kb_value_kind kind, const struct kb_value_limits *limits, const void *value)
{
        return kinds[kind].ops->format(limits, value);
}

char *kb_value_format_number(enum kb_value_kind kind, uint64_t number)
{
        const struct kb_value_limits limits = {0};
        uint32_t narrow = (uint32_t)number;

        return kb_value_format(kind, &limits, kind == KB_VALUE_share ? (const void *)&narrow : &number);
}

void kb_value_done(enum kb_value_kind kind, void *value)
{
        const struct kb_value_ops *ops = kinds[kind].ops;

        if (ops->done)
                ops->done(value);
        memset(value, 0, ops->size);
}
