/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/template.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const filters[] = {
        [KB_FILTER_base64] = "base64",
        [KB_FILTER_json] = "json",
        [KB_FILTER_url] = "url",
};

const char *kb_template_filter_name(enum kb_template_filter filter)
{
        return (size_t)filter < KB_ARRAY_SIZE(filters) && filters[filter] ? filters[filter] : "";
}

static _printf_(2, 3) int refuse(struct kb_template_problem *problem, const char *format, ...)
{
        va_list arguments;

        if (problem) {
                va_start(arguments, format);
                vsnprintf(problem->text, sizeof(problem->text), format, arguments);
                va_end(arguments);
        }
        return -EINVAL;
}

static void advance(struct kb_template_cursor *c, size_t n)
{
        for (; n > 0; n--)
                c->line += *c->at++ == '\n';
}

/* Copies from..end without blanks around; false when that is too long for a name. */
static bool copy_trimmed(char to[static KB_CREDENTIAL_NAME_MAX + 1], const char *from, const char *end)
{
        while (from < end && (*from == ' ' || *from == '\t'))
                from++;
        while (end > from && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        if (end - from > KB_CREDENTIAL_NAME_MAX)
                return false;
        memcpy(to, from, (size_t)(end - from));
        to[end - from] = '\0';
        return true;
}

/* from..end is what stands between the braces. */
static int parse_place(struct kb_template_piece *p, const char *from, const char *end, unsigned line,
                       struct kb_template_problem *problem)
{
        const char *bar = memchr(from, '|', (size_t)(end - from));
        char name[KB_CREDENTIAL_NAME_MAX + 1];

        if (!copy_trimmed(p->field, from, bar ? bar : end) || !kb_name_word_valid(p->field))
                return refuse(problem, "line %u of the template: {{ }} without the name of a field", line);
        if (!bar)
                return 0;
        if (copy_trimmed(name, bar + 1, end))
                for (size_t i = KB_FILTER_none + 1; i < KB_ARRAY_SIZE(filters); i++)
                        if (strcmp(filters[i], name) == 0)
                                p->filter = (enum kb_template_filter)i;
        if (p->filter == KB_FILTER_none)
                return refuse(problem,
                              "line %u of the template: the filter of %s is not one of base64, json, url",
                              line, p->field);
        return 0;
}

int kb_template_next(struct kb_template_cursor *c, struct kb_template_piece *ret,
                     struct kb_template_problem *problem)
{
        const char *open = strstr(c->at, "{{"), *close;
        struct kb_template_piece p = {};
        int r;

        if (c->at[0] == '\0')
                return 0;
        if (!open)
                open = c->at + strlen(c->at);
        p.text = KB_SPAN(c->at, (size_t)(open - c->at));
        if (strncmp(open, "{{{{", 4) == 0) {
                p.text.size += 2;
                advance(c, p.text.size + 2);
        } else {
                advance(c, p.text.size);
                if (*open) {
                        close = strstr(open, "}}");
                        if (!close)
                                return refuse(problem, "line %u of the template: {{ without }}", c->line);
                        r = parse_place(&p, open + 2, close, c->line, problem);
                        if (r < 0)
                                return r;
                        advance(c, (size_t)(close + 2 - open));
                }
        }
        *ret = p;
        return 1;
}

static bool is_known(const kb_value_pairs *fields, const char *name)
{
        for (size_t i = 0; i < fields->count; i++)
                if (strcmp(fields->pairs[i].name, name) == 0)
                        return true;
        return fields->count == 0;
}

int kb_template_check(const char *template, const kb_value_pairs *fields,
                      struct kb_template_problem *problem)
{
        struct kb_template_cursor c = {.at = template, .line = 1};
        struct kb_template_piece p;
        int r;

        while ((r = kb_template_next(&c, &p, problem)) > 0)
                if (p.field[0] && !is_known(fields, p.field))
                        return refuse(problem, "line %u of the template: no Field.%s= is given", c.line,
                                      p.field);
        return r;
}
