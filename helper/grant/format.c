/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/format.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/grant/encode.h"
#include "helper/grant/template.h"

struct job {
        const char *name; /* of the credential */
        const struct kb_fields *fields;
        struct kb_writer *out;
        struct kb_fields_problem *problem;
};

static void put(const struct job *j, const char *text)
{
        kb_write_raw(j->out, KB_SPAN_STRING(text));
}

static int refuse_value(const struct job *j, const struct kb_field *field, const char *format,
                        const char *what)
{
        return kb_fields_refuse(
                j->problem, -EILSEQ,
                "the field %s %s, which Format=%s cannot carry: use {{%s|base64}} in a Template=",
                field->name, what, format, field->name);
}

static int write_raw(const struct job *j)
{
        char names[256];

        if (j->fields->count == 1) {
                kb_write_raw(j->out, j->fields->field[0].value);
                return 0;
        }
        kb_fields_names(j->fields, names, sizeof(names));
        return kb_fields_refuse(j->problem, -EINVAL,
                                "Format=raw writes one field, and there are %s: ask for %s.FIELD", names,
                                j->name);
}

static int write_json(const struct job *j)
{
        for (size_t i = 0; i < j->fields->count; i++) {
                const struct kb_field *field = &j->fields->field[i];

                if (!kb_encode_is_utf8(field->value))
                        return refuse_value(j, field, "json", "is not text in UTF-8");
                put(j, i == 0 ? "{" : ",");
                kb_encode_json(j->out, KB_SPAN_STRING(field->name));
                put(j, ":");
                kb_encode_json(j->out, field->value);
        }
        put(j, "}");
        return 0;
}

struct variable {
        char name[2 * KB_CREDENTIAL_NAME_MAX + 2];
};

static struct variable variable_of(const struct job *j, const struct kb_field *field)
{
        struct variable v;

        snprintf(v.name, sizeof(v.name), "%s_%s", j->name, field->name);
        for (char *c = v.name; *c; c++)
                *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        return v;
}

static int check_variable(const struct job *j, size_t which, const struct variable *v)
{
        if (isdigit((unsigned char)v->name[0]))
                return kb_fields_refuse(j->problem, -EINVAL,
                                        "%s cannot be a variable: it begins with a digit", v->name);
        for (size_t i = 0; i < which; i++) {
                struct variable other = variable_of(j, &j->fields->field[i]);

                if (strcmp(other.name, v->name) == 0)
                        return kb_fields_refuse(j->problem, -EINVAL, "%s and %s would be the same variable",
                                                j->fields->field[i].name, j->fields->field[which].name);
        }
        return 0;
}

static int write_env(const struct job *j)
{
        for (size_t i = 0; i < j->fields->count; i++) {
                const struct kb_field *field = &j->fields->field[i];
                struct variable v = variable_of(j, field);
                int r = check_variable(j, i, &v);

                if (r < 0)
                        return r;
                if (!kb_encode_is_text(field->value, "\t\n"))
                        return refuse_value(j, field, "env",
                                            "has control characters or is not text in UTF-8");
                put(j, v.name);
                put(j, "=");
                kb_encode_shell(j->out, field->value);
                put(j, "\n");
        }
        return 0;
}

/* Where readers of INI files differ: what they strip, what they unquote, and where a comment begins. */
static bool ini_agrees(struct kb_span value)
{
        const char *const ends = " '\"";

        if (!kb_encode_is_text(value, ""))
                return false;
        if (value.size == 0)
                return true;
        if (strchr(ends, value.data[0]) || strchr(ends, value.data[value.size - 1]))
                return false;
        for (size_t i = 0; i < value.size; i++)
                if ((value.data[i] == ';' || value.data[i] == '#') && (i == 0 || value.data[i - 1] == ' '))
                        return false;
        return true;
}

static int write_ini(const struct job *j)
{
        put(j, "[");
        put(j, j->name);
        put(j, "]\n");
        for (size_t i = 0; i < j->fields->count; i++) {
                const struct kb_field *field = &j->fields->field[i];

                if (!ini_agrees(field->value))
                        return refuse_value(
                                j, field, "ini",
                                "has a line break, a blank or quote at an end, or looks like a comment");
                put(j, field->name);
                put(j, " = ");
                kb_write_raw(j->out, field->value);
                put(j, "\n");
        }
        return 0;
}

static int write_pem(const struct job *j)
{
        static const char *const order[] = {"private_key", "certificate", "ca_chain"};
        static const char begin[] = "-----BEGIN ";

        if (!kb_fields_find(j->fields, "certificate"))
                return kb_fields_refuse(j->problem, -EINVAL, "Format=pem needs the field certificate");
        for (size_t i = 0; i < KB_ARRAY_SIZE(order); i++) {
                const struct kb_field *field = kb_fields_find(j->fields, order[i]);

                if (!field || field->value.size == 0)
                        continue;
                if (field->value.size < sizeof(begin) ||
                    memcmp(field->value.data, begin, sizeof(begin) - 1) != 0)
                        return refuse_value(j, field, "pem", "is not in PEM");
                kb_write_raw(j->out, field->value);
                if (field->value.data[field->value.size - 1] != '\n')
                        put(j, "\n");
        }
        return 0;
}

static int (*const writers[])(const struct job *j) = {
        [KB_FORMAT_raw] = write_raw, [KB_FORMAT_json] = write_json, [KB_FORMAT_env] = write_env,
        [KB_FORMAT_ini] = write_ini, [KB_FORMAT_pem] = write_pem,
};

static int write_field(const struct job *j, const char *name)
{
        const struct kb_field *field = kb_fields_find(j->fields, name);
        char names[256];

        if (field) {
                kb_write_raw(j->out, field->value);
                return 0;
        }
        kb_fields_names(j->fields, names, sizeof(names));
        return kb_fields_refuse(j->problem, -ENOENT, "%s has no field %s; it has %s", j->name, name, names);
}

int kb_format_write(const struct kb_credential *credential, const struct kb_fields *fields,
                    const char *field, struct kb_writer *out, struct kb_fields_problem *problem)
{
        const struct job j = {.name = credential->name, .fields = fields, .out = out, .problem = problem};
        const char *template = credential->template;
        size_t before = out->size;
        int r;

        if (field[0])
                r = write_field(&j, field);
        else if (template && template[0])
                r = kb_template_write(template, fields, out, problem);
        else if ((size_t)credential->format < KB_ARRAY_SIZE(writers))
                r = writers[credential->format](&j);
        else
                r = -EINVAL;
        if (kb_writer_end(out) < 0)
                r = kb_fields_refuse(problem, kb_writer_end(out), "%s is too long to be handed out", j.name);
        if (r < 0 && out->size > before) { /* half a secret is none */
                kb_wipe(out->data + before, out->size - before);
                out->size = before;
        }
        return r;
}
