/* SPDX-License-Identifier: Apache-2.0 */
#include "common/protocol.h"

#include <errno.h>
#include <string.h>

#include "common/macro.h"

#define ERROR_TEXT_MAX 1024

#define ROOT  KB_CALLER_ROOT
#define SELF  KB_CALLER_SELF
#define STORE KB_CALLER_STORE

#define RECORD(name, prose, fields)
#define VERB(name, number, callers, prose, request, reply)                                                  \
        static int check_##name(struct kb_span body)                                                        \
        {                                                                                                   \
                struct kb_##name##_request m;                                                               \
                                                                                                            \
                return kb_##name##_request_get(body, &m);                                                   \
        }
#include "common/protocol.def"
#undef VERB

static const struct {
        uint32_t verb;
        unsigned callers;
        const char *name;
        int (*check_request)(struct kb_span body);
} verbs[] = {
#define VERB(name, number, callers, prose, request, reply) {number, callers, #name, check_##name},
#include "common/protocol.def"
#undef VERB
#undef RECORD
};

int kb_verb_check_request(uint32_t verb, struct kb_span body)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++)
                if (verbs[i].verb == verb)
                        return verbs[i].check_request(body);
        return -EBADMSG;
}
unsigned kb_verb_callers(uint32_t verb)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++)
                if (verbs[i].verb == verb)
                        return verbs[i].callers;
        return 0;
}

const char *kb_verb_name(uint32_t verb)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++)
                if (verbs[i].verb == verb)
                        return verbs[i].name;
        return NULL;
}

/* --- codecs --- */

#define REQUEST(...) __VA_ARGS__
#define REPLY(...)   __VA_ARGS__
#define FIELDS(...)  __VA_ARGS__

#define F(kind, field, max, prose) KB_PUT_##kind(m->field, max)
#define VERB(name, number, callers, prose, request, reply)                                                  \
        KB_DEFINE_PUT(name##_request, request) KB_DEFINE_PUT(name##_reply, reply)
#define RECORD(name, prose, fields) KB_DEFINE_PUT(name##_record, fields)
#include "common/protocol.def"
#undef VERB
#undef RECORD
#undef F

#define F(kind, field, max, prose) m.field = KB_GET_##kind(max);
#define VERB(name, number, callers, prose, request, reply)                                                  \
        KB_DEFINE_GET(name##_request, request) KB_DEFINE_GET(name##_reply, reply)
#define RECORD(name, prose, fields) KB_DEFINE_GET(name##_record, fields)
#include "common/protocol.def"
#undef VERB
#undef RECORD
#undef F

/* --- frames --- */

void kb_frame_begin_request(struct kb_writer *w, uint32_t verb)
{
        kb_write_u32(w, 0);
        kb_write_u32(w, KB_PROTOCOL_VERSION);
        kb_write_u32(w, verb);
}

void kb_frame_begin_reply(struct kb_writer *w, uint32_t version, uint32_t verb, uint32_t status)
{
        kb_write_u32(w, 0);
        kb_write_u32(w, version);
        kb_write_u32(w, verb);
        kb_write_u32(w, status);
}

int kb_frame_end(struct kb_writer *w)
{
        uint32_t size;

        if (kb_writer_end(w) < 0)
                return kb_writer_end(w);
        size = (uint32_t)(w->size - 4);
        for (unsigned i = 0; i < 4; i++)
                w->data[i] = (uint8_t)(size >> (8 * i));
        return 0;
}

int kb_frame_write_error(struct kb_writer *w, uint32_t version, uint32_t verb, enum kb_error error,
                         const char *text)
{
        if (!text || !text[0])
                text = kb_error_text(error);
        kb_frame_begin_reply(w, version, verb, error);
        kb_write_bytes(w, KB_SPAN(text, strnlen(text, ERROR_TEXT_MAX)), ERROR_TEXT_MAX);
        return kb_frame_end(w);
}

ssize_t kb_frame_size(struct kb_span have, size_t max)
{
        struct kb_reader r = kb_reader_init(have);
        uint32_t size = kb_read_u32(&r);

        if (r.failed)
                return 0;
        if (size > max)
                return -EMSGSIZE;
        if (size < KB_FRAME_HEADER_SIZE - 4)
                return -EBADMSG;
        return (ssize_t)size + 4;
}

static int frame_get(struct kb_span frame, bool reply, struct kb_frame *ret)
{
        struct kb_reader r = kb_reader_init(frame);
        struct kb_frame f = {0};
        uint32_t size = kb_read_u32(&r);

        f.version = kb_read_u32(&r);
        f.verb = kb_read_u32(&r);
        if (reply)
                f.status = kb_read_u32(&r);
        if (r.failed || size != frame.size - 4)
                return -EBADMSG;
        if (f.version < KB_PROTOCOL_VERSION_MIN || f.version > KB_PROTOCOL_VERSION)
                return -EPROTONOSUPPORT;
        f.body = KB_SPAN(r.at, r.left);
        *ret = f;
        return 0;
}

int kb_frame_get_request(struct kb_span frame, struct kb_frame *ret)
{
        return frame_get(frame, false, ret);
}

int kb_frame_get_reply(struct kb_span frame, struct kb_frame *ret)
{
        return frame_get(frame, true, ret);
}

const char *kb_frame_error_text(const struct kb_frame *reply)
{
        struct kb_reader r = kb_reader_init(reply->body);
        const char *text = kb_read_string(&r, ERROR_TEXT_MAX);

        if (kb_reader_end(&r) < 0 || !text[0] || !kb_text_valid(text))
                return kb_error_text((enum kb_error)reply->status);
        return text;
}
