/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/template.h"

#include <errno.h>
#include <string.h>

#include "helper/grant/base64.h"
#include "helper/grant/encode.h"

static const struct filter {
        const char *name;
        void (*write)(struct kb_writer *out, struct kb_span bytes);
        bool (*can_write)(struct kb_span bytes); /* NULL: anything */
} filters[] = {
        {"base64", kb_base64_encode, NULL},
        {"json", kb_encode_json, kb_encode_is_utf8},
        {"url", kb_encode_url, NULL},
};

/* What stands next in a template: some text, and then perhaps a field. */
struct piece {
        struct kb_span text;
        char field[KB_CREDENTIAL_NAME_MAX + 1]; /* empty: none */
        const struct filter *filter;            /* NULL: the bytes as they are */
};

struct cursor {
        const char *at;
        unsigned line;
};

static void advance(struct cursor *c, size_t n)
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
static int parse_place(struct piece *p, const char *from, const char *end, unsigned line,
                       struct kb_fields_problem *problem)
{
        const char *bar = memchr(from, '|', (size_t)(end - from));
        char name[KB_CREDENTIAL_NAME_MAX + 1];

        if (!copy_trimmed(p->field, from, bar ? bar : end) || !kb_name_word_valid(p->field))
                return kb_fields_refuse(problem, -EINVAL,
                                        "line %u of the template: {{ }} without the name of a field", line);
        if (!bar)
                return 0;
        if (copy_trimmed(name, bar + 1, end))
                for (size_t i = 0; i < KB_ARRAY_SIZE(filters); i++)
                        if (strcmp(filters[i].name, name) == 0)
                                p->filter = &filters[i];
        if (!p->filter)
                return kb_fields_refuse(
                        problem, -EINVAL,
                        "line %u of the template: the filter of %s is not one of base64, json, url", line,
                        p->field);
        return 0;
}

/* 1 and the next piece, 0 at the end, -EINVAL. */
static int next_piece(struct cursor *c, struct piece *ret, struct kb_fields_problem *problem)
{
        const char *open = strstr(c->at, "{{"), *close;
        struct piece p = {};
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
                                return kb_fields_refuse(problem, -EINVAL,
                                                        "line %u of the template: {{ without }}", c->line);
                        r = parse_place(&p, open + 2, close, c->line, problem);
                        if (r < 0)
                                return r;
                        advance(c, (size_t)(close + 2 - open));
                }
        }
        *ret = p;
        return 1;
}

static bool in_map(const struct kb_field_map *map, size_t n_map, const char *name)
{
        for (size_t i = 0; i < n_map; i++)
                if (strcmp(map[i].name, name) == 0)
                        return true;
        return n_map == 0;
}

int kb_template_check(const char *template, const struct kb_field_map *map, size_t n_map,
                      struct kb_fields_problem *problem)
{
        struct cursor c = {.at = template, .line = 1};
        struct piece p;
        int r;

        while ((r = next_piece(&c, &p, problem)) > 0)
                if (p.field[0] && !in_map(map, n_map, p.field))
                        return kb_fields_refuse(problem, -EINVAL,
                                                "line %u of the template: no Field.%s= is given", c.line,
                                                p.field);
        return r;
}

static int write_field(const struct piece *p, const struct kb_fields *fields, struct kb_writer *out,
                       struct kb_fields_problem *problem)
{
        const struct kb_field *field = kb_fields_find(fields, p->field);

        if (!field)
                return kb_fields_refuse(problem, -ENOENT,
                                        "the template wants the field %s, which the secret has not",
                                        p->field);
        if (p->filter && p->filter->can_write && !p->filter->can_write(field->value))
                return kb_fields_refuse(problem, -EILSEQ,
                                        "the field %s is not text in UTF-8, as the filter %s wants it",
                                        p->field, p->filter->name);
        (p->filter ? p->filter->write : kb_write_raw)(out, field->value);
        return 0;
}

int kb_template_write(const char *template, const struct kb_fields *fields, struct kb_writer *out,
                      struct kb_fields_problem *problem)
{
        struct cursor c = {.at = template, .line = 1};
        struct piece p;
        int r;

        while ((r = next_piece(&c, &p, problem)) > 0) {
                kb_write_raw(out, p.text);
                if (p.field[0])
                        r = write_field(&p, fields, out, problem);
                if (r < 0)
                        break;
        }
        return r < 0 ? r : kb_writer_end(out);
}
