/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/body.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "helper/grant/encode.h"

static void raw(struct kb_body *b, const char *text)
{
        kb_write_raw(&b->writer, KB_SPAN_STRING(text));
}

struct kb_body kb_body_init(void)
{
        struct kb_body b = {.writer = kb_writer_init(KB_BODY_MAX), .depth = 1};

        raw(&b, "{");
        return b;
}

void kb_body_done(struct kb_body *b)
{
        kb_writer_done(&b->writer);
}

/* The comma and the name in front of a value. False when none may stand here. */
static bool begin(struct kb_body *b, const char *name)
{
        if (b->depth == 0 || b->list[b->depth - 1] != !name)
                b->wrong = true;
        if (b->wrong)
                return false;
        if (b->more)
                raw(b, ",");
        b->more = true;
        if (name) {
                kb_encode_json(&b->writer, KB_SPAN_STRING(name));
                raw(b, ":");
        }
        return true;
}

void kb_body_bytes(struct kb_body *b, const char *name, struct kb_span bytes)
{
        if (!kb_encode_is_utf8(bytes))
                b->wrong = true;
        if (begin(b, name))
                kb_encode_json(&b->writer, bytes);
}

void kb_body_text(struct kb_body *b, const char *name, const char *text)
{
        kb_body_bytes(b, name, KB_SPAN_STRING(text));
}

void kb_body_number(struct kb_body *b, const char *name, int64_t number)
{
        char text[24];

        snprintf(text, sizeof(text), "%" PRId64, number);
        if (begin(b, name))
                raw(b, text);
}

void kb_body_flag(struct kb_body *b, const char *name, bool flag)
{
        if (begin(b, name))
                raw(b, flag ? "true" : "false");
}

static void open_it(struct kb_body *b, const char *name, bool list)
{
        if (b->depth == KB_BODY_DEPTH)
                b->wrong = true;
        if (!begin(b, name))
                return;
        raw(b, list ? "[" : "{");
        b->list[b->depth++] = list;
        b->more = false;
}

void kb_body_open(struct kb_body *b, const char *name)
{
        open_it(b, name, false);
}

void kb_body_open_list(struct kb_body *b, const char *name)
{
        open_it(b, name, true);
}

void kb_body_close(struct kb_body *b)
{
        if (b->depth <= 1) /* the outermost is kb_body_end()'s */
                b->wrong = true;
        if (b->wrong)
                return;
        raw(b, b->list[--b->depth] ? "]" : "}");
        b->more = true;
}

int kb_body_end(struct kb_body *b)
{
        if (b->depth != 1)
                b->wrong = true;
        if (b->wrong)
                return -EBADMSG;
        raw(b, "}");
        b->depth = 0;
        return kb_writer_end(&b->writer);
}
