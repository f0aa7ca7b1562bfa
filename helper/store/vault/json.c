/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <json-c/printbuf.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "helper/grant/encode.h"
#include "helper/store/vault/json_scan.h"

struct kb_json {
        struct json_object *root; /* NULL is JSON's null */
};

/* Our name for json-c's object, so that nobody else needs its headers. */
static struct json_object *object_of(const struct kb_json_value *value)
{
        return (struct json_object *)(uintptr_t)value;
}

static const struct kb_json_value *value_of(const struct json_object *object)
{
        return (const struct kb_json_value *)object;
}

/* --- wiping: json-c frees what it has as it is --- */

static void wipe_text(const char *text, size_t size)
{
        kb_wipe((void *)(uintptr_t)text, size);
}

static void wipe_leaf(struct json_object *o)
{
        const char *source;

        switch (json_object_get_type(o)) {
        case json_type_string:
                wipe_text(json_object_get_string(o), (size_t)json_object_get_string_len(o));
                break;
        case json_type_double: /* json-c keeps the text that it came from beside the number */
                source = json_object_get_userdata(o);
                if (source)
                        wipe_text(source, strlen(source));
                json_object_set_double(o, 0);
                break;
        case json_type_int:
                json_object_set_int64(o, 0);
                break;
        default:
                break;
        }
}

/* Not deeper than KB_JSON_DEPTH: the scan has seen to that. */
static void wipe_tree(struct json_object *o)
{
        if (json_object_is_type(o, json_type_array)) {
                for (size_t i = 0; i < json_object_array_length(o); i++)
                        wipe_tree(json_object_array_get_idx(o, i));
        } else if (json_object_is_type(o, json_type_object)) {
                json_object_object_foreach(o, name, value)
                {
                        (void)name;
                        wipe_tree(value);
                }
        } else {
                wipe_leaf(o);
        }
}

/* --- parsing --- */

static size_t count_members(struct json_object *o)
{
        size_t n = 0;

        if (json_object_is_type(o, json_type_array)) {
                for (size_t i = 0; i < json_object_array_length(o); i++)
                        n += count_members(json_object_array_get_idx(o, i));
        } else if (json_object_is_type(o, json_type_object)) {
                n = (size_t)json_object_object_length(o);
                json_object_object_foreach(o, name, value)
                {
                        (void)name;
                        n += count_members(value);
                }
        }
        return n;
}

/*
 * Strings pass through the tokener's own buffer. It is made as large as the text at once, since it would
 * leave pieces in freed memory as it grows, and wiped in the end. That is the one thing for which its struct
 * is looked into.
 */
static int parse(struct kb_span text, struct json_object **ret)
{
        struct json_tokener *tokener = json_tokener_new_ex(KB_JSON_DEPTH + 1);
        enum json_tokener_error error;
        int size = (int)text.size + 1;

        if (!tokener)
                return -ENOMEM;
        if (printbuf_memset(tokener->pb, 0, 0, size) < 0) {
                json_tokener_free(tokener);
                return -ENOMEM;
        }
        printbuf_reset(tokener->pb);
        /* not JSON_TOKENER_STRICT: json-c 0.18 refuses all but ASCII then, and the scan was strict */
        *ret = json_tokener_parse_ex(tokener, (const char *)text.data, (int)text.size);
        if (json_tokener_get_error(tokener) ==
            json_tokener_continue) /* a number at the very end: it waits for more digits */
                *ret = json_tokener_parse_ex(tokener, "", 1);
        error = json_tokener_get_error(tokener);
        kb_wipe(tokener->pb->buf, (size_t)tokener->pb->size);
        json_tokener_free(tokener);
        return error == json_tokener_success ? 0 : -ENOMEM; /* it is JSON: what can be wrong is memory */
}

int kb_json_parse(struct kb_span text, struct kb_json **ret)
{
        _cleanup_(kb_json_freep) struct kb_json *json = NULL;
        size_t members;
        int r;

        if (text.size >= INT_MAX / 2)
                return -E2BIG;
        if (!kb_encode_is_utf8(text))
                return -EBADMSG;
        r = kb_json_scan(text, &members);
        if (r < 0)
                return r;
        json = calloc(1, sizeof(*json));
        if (!json)
                return -ENOMEM;
        r = parse(text, &json->root);
        if (r < 0)
                return r;
        if (count_members(json->root) != members) /* the later one of the same name has replaced the other */
                return -EBADMSG;
        *ret = take_ptr(json);
        return 0;
}

void kb_json_free(struct kb_json *json)
{
        if (!json)
                return;
        wipe_tree(json->root);
        json_object_put(json->root);
        free(json);
}

/* --- looking up --- */

const struct kb_json_value *kb_json_root(const struct kb_json *json)
{
        return value_of(json->root);
}

enum kb_json_type kb_json_type(const struct kb_json_value *value)
{
        static const enum kb_json_type types[] = {
                [json_type_null] = KB_JSON_ABSENT,   [json_type_boolean] = KB_JSON_FLAG,
                [json_type_double] = KB_JSON_NUMBER, [json_type_int] = KB_JSON_NUMBER,
                [json_type_object] = KB_JSON_OBJECT, [json_type_array] = KB_JSON_LIST,
                [json_type_string] = KB_JSON_STRING,
        };

        return types[json_object_get_type(object_of(value))];
}

const struct kb_json_value *kb_json_get(const struct kb_json_value *object, const char *name)
{
        struct json_object *member = NULL;

        if (kb_json_type(object) != KB_JSON_OBJECT ||
            !json_object_object_get_ex(object_of(object), name, &member))
                return NULL;
        return value_of(member);
}

size_t kb_json_count(const struct kb_json_value *value)
{
        switch (kb_json_type(value)) {
        case KB_JSON_LIST:
                return json_object_array_length(object_of(value));
        case KB_JSON_OBJECT:
                return (size_t)json_object_object_length(object_of(value));
        default:
                return 0;
        }
}

const struct kb_json_value *kb_json_element(const struct kb_json_value *list, size_t index)
{
        if (kb_json_type(list) != KB_JSON_LIST)
                return NULL;
        return value_of(json_object_array_get_idx(object_of(list), index));
}

bool kb_json_next(const struct kb_json_value *object, struct kb_json_each *each, const char **ret_name,
                  const struct kb_json_value **ret_value)
{
        const struct lh_entry *entry = each->at;

        if (kb_json_type(object) != KB_JSON_OBJECT)
                return false;
        do {
                if (each->begun)
                        entry = entry ? entry->next : NULL;
                else
                        entry = json_object_get_object(object_of(object))->head;
                each->begun = true;
                each->at = entry;
        } while (entry && !entry->v);
        if (!entry)
                return false;
        *ret_name = entry->k;
        *ret_value = entry->v;
        return true;
}

/* One token of a pointer up to the next slash, "~1" and "~0" undone. -EINVAL for another "~". */
static int take_token(const char **at, char *ret)
{
        const char *p = *at;

        for (; *p && *p != '/'; p++) {
                if (*p != '~') {
                        *ret++ = *p;
                } else if (p[1] == '0' || p[1] == '1') {
                        *ret++ = *++p == '0' ? '~' : '/';
                } else {
                        return -EINVAL;
                }
        }
        *ret = '\0';
        *at = p;
        return 0;
}

/* An element's number as RFC 6901 has it: no sign, no leading zero. */
static const struct kb_json_value *element_named(const struct kb_json_value *list, const char *token)
{
        size_t n = strlen(token);

        if (n == 0 || n > 9 || strspn(token, "0123456789") != n || (n > 1 && token[0] == '0'))
                return NULL;
        return kb_json_element(list, strtoul(token, NULL, 10));
}

int kb_json_at(const struct kb_json_value *from, const char *pointer, const struct kb_json_value **ret)
{
        _cleanup_free_ char *token = malloc(strlen(pointer) + 1);
        const struct kb_json_value *value = from;

        if (!token)
                return -ENOMEM;
        while (*pointer) {
                int r = -EINVAL;

                if (*pointer++ == '/')
                        r = take_token(&pointer, token);
                if (r < 0)
                        return r;
                value = kb_json_type(value) == KB_JSON_LIST ? element_named(value, token)
                                                            : kb_json_get(value, token);
        }
        if (!value)
                return -ENOENT;
        *ret = value;
        return 0;
}

/* --- reading --- */

static int expect(const struct kb_json_value *value, enum kb_json_type type)
{
        enum kb_json_type is = kb_json_type(value);

        if (is == KB_JSON_ABSENT)
                return -ENOENT;
        return is == type ? 0 : -EPROTOTYPE;
}

int kb_json_string(const struct kb_json_value *value, struct kb_span *ret)
{
        int r = expect(value, KB_JSON_STRING);

        if (r < 0)
                return r;
        *ret = KB_SPAN(json_object_get_string(object_of(value)),
                       json_object_get_string_len(object_of(value)));
        return 0;
}

int kb_json_text(const struct kb_json_value *value, const char **ret)
{
        struct kb_span string;
        int r = kb_json_string(value, &string);

        if (r < 0)
                return r;
        if (memchr(string.data, '\0', string.size))
                return -EBADMSG;
        *ret = (const char *)string.data;
        return 0;
}

int kb_json_flag(const struct kb_json_value *value, bool *ret)
{
        int r = expect(value, KB_JSON_FLAG);

        if (r < 0)
                return r;
        *ret = json_object_get_boolean(object_of(value));
        return 0;
}

int kb_json_integer(const struct kb_json_value *value, int64_t min, int64_t max, int64_t *ret)
{
        int r = expect(value, KB_JSON_NUMBER);
        int64_t number;

        if (r < 0)
                return r;
        if (!json_object_is_type(object_of(value), json_type_int))
                return -EPROTOTYPE;
        number = json_object_get_int64(object_of(value));
        if (number < min || number > max)
                return -ERANGE;
        *ret = number;
        return 0;
}

int kb_json_take(const struct kb_json_value *value, uint8_t **ret, size_t *ret_size)
{
        struct kb_span string;
        uint8_t *copy;
        int r = kb_json_string(value, &string);

        if (r < 0)
                return r;
        copy = kb_secret_dup(string);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        *ret_size = string.size;
        return 0;
}

/* --- writing --- */

static void write_value(struct json_object *o, struct kb_writer *w);

static void write_list(struct json_object *o, struct kb_writer *w)
{
        kb_write_raw(w, KB_SPAN("[", 1));
        for (size_t i = 0; i < json_object_array_length(o); i++) {
                if (i > 0)
                        kb_write_raw(w, KB_SPAN(",", 1));
                write_value(json_object_array_get_idx(o, i), w);
        }
        kb_write_raw(w, KB_SPAN("]", 1));
}

static void write_object(struct json_object *o, struct kb_writer *w)
{
        const char *before = "{";

        json_object_object_foreach(o, name, value)
        {
                kb_write_raw(w, KB_SPAN(before, 1));
                kb_encode_json(w, KB_SPAN_STRING(name));
                kb_write_raw(w, KB_SPAN(":", 1));
                write_value(value, w);
                before = ",";
        }
        kb_write_raw(w, *before == '{' ? KB_SPAN("{}", 2) : KB_SPAN("}", 1));
}

/* Not by json-c, which would keep the text in memory that is not wiped. A fraction is written as it came. */
static void write_value(struct json_object *o, struct kb_writer *w)
{
        char number[24];

        switch (json_object_get_type(o)) {
        case json_type_null:
                kb_write_raw(w, KB_SPAN_STRING("null"));
                break;
        case json_type_boolean:
                kb_write_raw(w, KB_SPAN_STRING(json_object_get_boolean(o) ? "true" : "false"));
                break;
        case json_type_int:
                snprintf(number, sizeof(number), "%" PRId64, json_object_get_int64(o));
                kb_write_raw(w, KB_SPAN_STRING(number));
                kb_wipe(number, sizeof(number));
                break;
        case json_type_double:
                kb_write_raw(w, KB_SPAN_STRING((const char *)json_object_get_userdata(o)));
                break;
        case json_type_string:
                kb_encode_json(w, KB_SPAN(json_object_get_string(o), json_object_get_string_len(o)));
                break;
        case json_type_array:
                write_list(o, w);
                break;
        case json_type_object:
                write_object(o, w);
                break;
        }
}

int kb_json_write(const struct kb_json_value *value, struct kb_writer *writer)
{
        struct kb_span string;

        if (kb_json_type(value) == KB_JSON_ABSENT)
                return -ENOENT;
        if (kb_json_string(value, &string) >= 0)
                kb_write_raw(writer, string);
        else
                write_value(object_of(value), writer);
        return kb_writer_end(writer);
}
