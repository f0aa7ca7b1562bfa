/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/template.h"

#include <errno.h>

#include "helper/config/template.h"
#include "helper/grant/base64.h"
#include "helper/grant/encode.h"

static const struct filter {
        void (*write)(struct kb_writer *out, struct kb_span bytes);
        bool (*can_write)(struct kb_span bytes); /* NULL: anything */
} filters[] = {
        [KB_FILTER_none] = {kb_write_raw, NULL},
        [KB_FILTER_base64] = {kb_base64_encode, NULL},
        [KB_FILTER_json] = {kb_encode_json, kb_encode_is_utf8},
        [KB_FILTER_url] = {kb_encode_url, NULL},
};

static int write_field(const struct kb_template_piece *p, const struct kb_fields *fields,
                       struct kb_writer *out, struct kb_fields_problem *problem)
{
        const struct kb_field *field = kb_fields_find(fields, p->field);
        const struct filter *filter = &filters[p->filter];

        if (!field)
                return kb_fields_refuse(problem, -ENOENT,
                                        "the template wants the field %s, which the secret has not",
                                        p->field);
        if (filter->can_write && !filter->can_write(field->value))
                return kb_fields_refuse(problem, -EILSEQ,
                                        "the field %s is not text in UTF-8, as the filter %s wants it",
                                        p->field, kb_template_filter_name(p->filter));
        filter->write(out, field->value);
        return 0;
}

int kb_template_write(const char *template, const struct kb_fields *fields, struct kb_writer *out,
                      struct kb_fields_problem *problem)
{
        struct kb_template_cursor c = {.at = template, .line = 1};
        struct kb_template_piece p;
        struct kb_template_problem wrong = {""};
        int r;

        while ((r = kb_template_next(&c, &p, &wrong)) > 0) {
                kb_write_raw(out, p.text);
                if (p.field[0])
                        r = write_field(&p, fields, out, problem);
                if (r < 0)
                        return r;
        }
        return r < 0 ? kb_fields_refuse(problem, r, "%s", wrong.text) : kb_writer_end(out);
}
