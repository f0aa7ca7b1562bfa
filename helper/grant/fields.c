/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/fields.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
        return strcmp(((const struct kb_field *)a)->name, ((const struct kb_field *)b)->name);
}

int kb_fields_refuse(struct kb_fields_problem *problem, int error, const char *format, ...)
{
        va_list arguments;

        if (problem) {
                va_start(arguments, format);
                vsnprintf(problem->text, sizeof(problem->text), format, arguments);
                va_end(arguments);
        }
        return error;
}

/* Appends a copy of value under a name that was not there before. The array has room. */
static int add(struct kb_fields *fields, const char *name, struct kb_span value,
               struct kb_fields_problem *problem)
{
        struct kb_field *field = &fields->field[fields->count];
        uint8_t *copy;

        if (!kb_name_word_valid(name))
                return kb_fields_refuse(problem, -EBADMSG,
                                        "the secret has a field with a name that is not allowed");
        for (size_t i = 0; i < fields->count; i++)
                if (strcmp(fields->field[i].name, name) == 0)
                        return kb_fields_refuse(problem, -EBADMSG, "the field %s comes twice", name);
        if (value.size > KB_FIELD_SIZE_MAX)
                return kb_fields_refuse(problem, -EMSGSIZE, "the field %s is longer than 1 MiB", name);
        copy = kb_secret_dup(value);
        if (!copy)
                return kb_fields_refuse(problem, -ENOMEM, "out of memory");
        memcpy(field->name, name, strlen(name) + 1);
        field->value = KB_SPAN(copy, value.size);
        fields->count++;
        return 0;
}

static int add_all(struct kb_fields *fields, struct kb_list pairs, struct kb_fields_problem *problem)
{
        const char *name;
        struct kb_span value;
        size_t n = 0;
        int r;

        for (; kb_list_next_pair(&pairs, &name, &value); n++) {
                r = add(fields, name, value, problem);
                if (r < 0)
                        return r;
        }
        if (pairs.count > 0)
                return kb_fields_refuse(problem, -EBADMSG,
                                        "the store's answer is not a list of names and values");
        return 0;
}

static int add_mapped(struct kb_fields *fields, struct kb_list pairs, const struct kb_field_map *map,
                      size_t n_map, struct kb_fields_problem *problem)
{
        struct kb_span value;
        int r;

        for (size_t i = 0; i < n_map; i++) {
                if (!kb_list_find(pairs, map[i].source, &value))
                        return kb_fields_refuse(problem, -ENOENT,
                                                "the secret has no field %s, which Field.%s= asks for",
                                                map[i].source, map[i].name);
                r = add(fields, map[i].name, value, problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

int kb_fields_new(struct kb_list pairs, const struct kb_field_map *map, size_t n_map, struct kb_fields **ret,
                  struct kb_fields_problem *problem)
{
        _cleanup_(kb_fields_freep) struct kb_fields *fields = calloc(1, sizeof(*fields));
        size_t n = n_map > 0 ? n_map : pairs.count / 2;
        int r;

        if (n == 0 || n > KB_FIELDS_MAX || pairs.count % 2 != 0)
                return kb_fields_refuse(problem, -EBADMSG, "the secret has no fields, or more than %d",
                                        KB_FIELDS_MAX);
        if (fields)
                fields->field = calloc(n, sizeof(*fields->field));
        if (!fields || !fields->field)
                return kb_fields_refuse(problem, -ENOMEM, "out of memory");
        r = n_map > 0 ? add_mapped(fields, pairs, map, n_map, problem) : add_all(fields, pairs, problem);
        if (r < 0)
                return r;
        qsort(fields->field, fields->count, sizeof(*fields->field), by_name);
        *ret = take_ptr(fields);
        return 0;
}

void kb_fields_free(struct kb_fields *fields)
{
        if (!fields)
                return;
        for (size_t i = 0; i < fields->count; i++)
                kb_secret_free((void *)(uintptr_t)fields->field[i].value.data);
        free(fields->field);
        free(fields);
}

const struct kb_field *kb_fields_find(const struct kb_fields *fields, const char *name)
{
        for (size_t i = 0; i < fields->count; i++)
                if (strcmp(fields->field[i].name, name) == 0)
                        return &fields->field[i];
        return NULL;
}

void kb_fields_names(const struct kb_fields *fields, char *to, size_t size)
{
        size_t have = 0;

        if (size > 0)
                to[0] = '\0';
        for (size_t i = 0; i < fields->count && have < size; i++)
                have += (size_t)snprintf(to + have, size - have, "%s%s", i > 0 ? ", " : "",
                                         fields->field[i].name);
}
