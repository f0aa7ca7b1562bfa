/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire. The input is a frame, as a server and as a client would read it; its body is also tried as the
 * fields of every other message there is. What is accepted must come out again byte by byte: there is one
 * way only to write a message.
 */
#include <string.h>

#include "common/protocol.h"
#include "tests/fuzz/fuzz.h"

static void walk(struct kb_list list, size_t max)
{
        struct kb_list pairs = list, strings = list;
        size_t size = list.encoded.size;
        struct kb_span element;
        const char *text;
        uint32_t n = 0;

        FUZZ_ASSERT(list.count <= max);
        while (kb_list_next(&list, &element)) {
                FUZZ_ASSERT(element.data[element.size] == 0);
                n++;
        }
        FUZZ_ASSERT(list.count == 0 && list.encoded.size == 0);
        while (kb_list_next_string(&strings, &text))
                FUZZ_ASSERT(strlen(text) < size);
        while (kb_list_next_pair(&pairs, &text, &element))
                n -= 2;
        FUZZ_ASSERT(n <= max);
}

/* What a reader of a field may rely on. */
#define CHECK_u32(v, max)
#define CHECK_u64(v, max)
#define CHECK_flag(v, max)
#define CHECK_string(v, max) FUZZ_ASSERT(strlen(v) <= (max));
#define CHECK_secret(v, max) FUZZ_ASSERT(v.size <= (max) && v.data[v.size] == 0);
#define CHECK_bytes(v, max)  CHECK_secret(v, max)
#define CHECK_list(v, max)   walk(v, max);

#define REQUEST(...)               __VA_ARGS__
#define REPLY(...)                 __VA_ARGS__
#define FIELDS(...)                __VA_ARGS__
#define F(kind, field, max, prose) CHECK_##kind(m.field, max)
#define TRY(type, fields)                                                                                   \
        static void try_##type(struct kb_span body)                                                         \
        {                                                                                                   \
                _cleanup_writer_ struct kb_writer w = kb_writer_init(body.size);                            \
                struct kb_##type m;                                                                         \
                                                                                                            \
                if (kb_##type##_get(body, &m) < 0)                                                          \
                        return;                                                                             \
                fields kb_##type##_put(&w, &m);                                                             \
                FUZZ_ASSERT(kb_writer_end(&w) == 0 && w.size == body.size);                                 \
                FUZZ_ASSERT(body.size == 0 || memcmp(w.data, body.data, body.size) == 0);                   \
        }
#define VERB(name, number, callers, prose, request, reply)                                                  \
        TRY(name##_request, request) TRY(name##_reply, reply)
#define RECORD(name, prose, fields) TRY(name##_record, fields)
#include "common/protocol.def"
#undef VERB
#undef RECORD

static void try_all(struct kb_span body)
{
#define VERB(name, number, callers, prose, request, reply)                                                  \
        try_##name##_request(body);                                                                         \
        try_##name##_reply(body);
#define RECORD(name, prose, fields) try_##name##_record(body);
#include "common/protocol.def"
#undef VERB
#undef RECORD
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct kb_span input = KB_SPAN(data, size);
        struct kb_frame frame;
        ssize_t expected = kb_frame_size(input, KB_FRAME_MAX);

        FUZZ_ASSERT(expected <= KB_FRAME_MAX + 4);
        if (kb_frame_get_request(input, &frame) == 0) {
                FUZZ_ASSERT(expected < 0 || (size_t)expected == size);
                try_all(frame.body);
        }
        if (kb_frame_get_reply(input, &frame) == 0) {
                FUZZ_ASSERT(kb_text_valid(kb_frame_error_text(&frame)));
                try_all(frame.body);
        }
        return 0;
}
