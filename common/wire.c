/* SPDX-License-Identifier: Apache-2.0 */
#include "common/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- reading --- */

struct kb_reader kb_reader_init(struct kb_span from)
{
        return (struct kb_reader){.at = from.data, .left = from.size};
}

/* The next n bytes, or NULL and the sticky error. */
static const uint8_t *take(struct kb_reader *r, size_t n)
{
        const uint8_t *at = r->at;

        if (r->failed || n > r->left) {
                r->failed = true;
                return NULL;
        }
        r->at += n;
        r->left -= n;
        return at;
}

static uint64_t read_integer(struct kb_reader *r, unsigned size)
{
        const uint8_t *p = take(r, size);
        uint64_t value = 0;

        for (unsigned i = 0; p && i < size; i++)
                value |= (uint64_t)p[i] << (8 * i);
        return value;
}

uint32_t kb_read_u32(struct kb_reader *r)
{
        return (uint32_t)read_integer(r, 4);
}

uint64_t kb_read_u64(struct kb_reader *r)
{
        return read_integer(r, 8);
}

bool kb_read_flag(struct kb_reader *r)
{
        uint64_t value = read_integer(r, 1);

        if (value > 1)
                r->failed = true;
        return value == 1;
}

struct kb_span kb_read_bytes(struct kb_reader *r, size_t max)
{
        uint32_t size = kb_read_u32(r);
        const uint8_t *p = NULL, *nul = NULL;

        if (size > max)
                r->failed = true;
        p = take(r, size);
        nul = take(r, 1);
        if (!p || !nul || *nul != 0) {
                r->failed = true;
                return KB_SPAN("", 0);
        }
        return KB_SPAN(p, size);
}

const char *kb_read_string(struct kb_reader *r, size_t max)
{
        struct kb_span bytes = kb_read_bytes(r, max);

        if (bytes.size > 0 && memchr(bytes.data, 0, bytes.size)) {
                r->failed = true;
                return "";
        }
        return (const char *)bytes.data;
}

struct kb_list kb_read_list(struct kb_reader *r, size_t max)
{
        uint32_t count = kb_read_u32(r);
        uint32_t size = kb_read_u32(r);
        const uint8_t *p = take(r, size);
        struct kb_reader inside;

        if (!p || count > max)
                goto bad;
        inside = kb_reader_init(KB_SPAN(p, size));
        for (uint32_t i = 0; i < count && !inside.failed; i++)
                kb_read_bytes(&inside, size);
        if (kb_reader_end(&inside) < 0)
                goto bad;
        return (struct kb_list){.count = count, .encoded = KB_SPAN(p, size)};
bad:
        r->failed = true;
        return (struct kb_list){0};
}

int kb_reader_end(const struct kb_reader *r)
{
        return r->failed || r->left > 0 ? -EBADMSG : 0;
}

bool kb_list_next(struct kb_list *list, struct kb_span *ret)
{
        struct kb_reader r = kb_reader_init(list->encoded);
        struct kb_span element;

        if (list->count == 0)
                return false;
        element = kb_read_bytes(&r, list->encoded.size);
        if (r.failed)
                return false;
        list->count--;
        list->encoded = KB_SPAN(r.at, r.left);
        *ret = element;
        return true;
}

bool kb_list_next_string(struct kb_list *list, const char **ret)
{
        struct kb_span element;

        if (!kb_list_next(list, &element) || (element.size > 0 && memchr(element.data, 0, element.size)))
                return false;
        *ret = (const char *)element.data;
        return true;
}

bool kb_list_next_pair(struct kb_list *list, const char **ret_name, struct kb_span *ret_value)
{
        struct kb_list rest = *list;

        if (!kb_list_next_string(&rest, ret_name) || !kb_list_next(&rest, ret_value))
                return false;
        *list = rest;
        return true;
}

bool kb_list_find(struct kb_list pairs, const char *name, struct kb_span *ret_value)
{
        const char *n;
        struct kb_span value;

        while (kb_list_next_pair(&pairs, &n, &value))
                if (strcmp(n, name) == 0) {
                        *ret_value = value;
                        return true;
                }
        return false;
}

bool kb_list_find_string(struct kb_list pairs, const char *name, const char **ret_value)
{
        struct kb_span value;

        if (!kb_list_find(pairs, name, &value) || (value.size > 0 && memchr(value.data, 0, value.size)))
                return false;
        *ret_value = (const char *)value.data;
        return true;
}

/* --- writing --- */

struct kb_writer kb_writer_init(size_t max)
{
        return (struct kb_writer){.max = max};
}

void kb_writer_done(struct kb_writer *w)
{
        kb_secret_free(w->data);
        *w = (struct kb_writer){0};
}

/* Room for n more bytes; returns where they go, or NULL and the sticky error. Old memory is wiped. */
static uint8_t *reserve(struct kb_writer *w, size_t n)
{
        size_t capacity;
        uint8_t *bigger;

        if (w->failed || n > w->max || w->size > w->max - n)
                goto fail;
        if (w->size + n > w->capacity) {
                capacity = w->capacity * 2 > w->size + n ? w->capacity * 2 : w->size + n + 256;
                bigger = kb_secret_alloc(capacity);
                if (!bigger)
                        goto fail;
                if (w->size > 0)
                        memcpy(bigger, w->data, w->size);
                kb_secret_free(w->data);
                w->data = bigger;
                w->capacity = capacity;
        }
        w->size += n;
        return w->data + w->size - n;
fail:
        w->failed = true;
        return NULL;
}

void kb_write_raw(struct kb_writer *w, struct kb_span raw)
{
        uint8_t *p = raw.size > 0 ? reserve(w, raw.size) : NULL;

        if (p)
                memcpy(p, raw.data, raw.size);
}

static void write_integer(struct kb_writer *w, uint64_t value, unsigned size)
{
        uint8_t *p = reserve(w, size);

        for (unsigned i = 0; p && i < size; i++)
                p[i] = (uint8_t)(value >> (8 * i));
}

void kb_write_u32(struct kb_writer *w, uint32_t value)
{
        write_integer(w, value, 4);
}

void kb_write_u64(struct kb_writer *w, uint64_t value)
{
        write_integer(w, value, 8);
}

void kb_write_flag(struct kb_writer *w, bool value)
{
        write_integer(w, value, 1);
}

void kb_write_bytes(struct kb_writer *w, struct kb_span bytes, size_t max)
{
        if (bytes.size > max || bytes.size > UINT32_MAX)
                w->failed = true;
        kb_write_u32(w, (uint32_t)bytes.size);
        kb_write_raw(w, bytes);
        write_integer(w, 0, 1);
}

void kb_write_string(struct kb_writer *w, const char *string, size_t max)
{
        kb_write_bytes(w, KB_SPAN_STRING(string ? string : ""), max);
}

void kb_write_list(struct kb_writer *w, struct kb_list list, size_t max)
{
        if (list.count > max || list.encoded.size > UINT32_MAX)
                w->failed = true;
        kb_write_u32(w, list.count);
        kb_write_u32(w, (uint32_t)list.encoded.size);
        kb_write_raw(w, list.encoded);
}

int kb_writer_end(const struct kb_writer *w)
{
        return w->failed ? -EMSGSIZE : 0;
}

struct kb_list_builder kb_list_builder_init(size_t max)
{
        return (struct kb_list_builder){.writer = kb_writer_init(max)};
}

void kb_list_builder_done(struct kb_list_builder *b)
{
        kb_writer_done(&b->writer);
        b->count = 0;
}

void kb_list_add(struct kb_list_builder *b, struct kb_span element)
{
        kb_write_bytes(&b->writer, element, b->writer.max);
        if (!b->writer.failed)
                b->count++;
}

void kb_list_add_string(struct kb_list_builder *b, const char *element)
{
        kb_list_add(b, KB_SPAN_STRING(element));
}

void kb_list_add_pair(struct kb_list_builder *b, const char *name, struct kb_span value)
{
        kb_list_add_string(b, name);
        kb_list_add(b, value);
}

void kb_list_add_text(struct kb_list_builder *b, const char *name, const char *value)
{
        kb_list_add_pair(b, name, KB_SPAN_STRING(value ? value : ""));
}

void kb_list_add_number(struct kb_list_builder *b, const char *name, uint64_t value)
{
        char text[21];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
        kb_list_add_text(b, name, text);
}

struct kb_list kb_list_built(const struct kb_list_builder *b)
{
        /* A builder that failed yields a list no reader accepts, so that the loss cannot pass unseen. */
        if (b->writer.failed)
                return (struct kb_list){.count = UINT32_MAX};
        return (struct kb_list){.count = b->count, .encoded = KB_SPAN(b->writer.data, b->writer.size)};
}
