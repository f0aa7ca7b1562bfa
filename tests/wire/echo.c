/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of test_page.py: reads messages from stdin, takes each apart down to the elements of its
 * lists, puts it together again, and writes that to stdout.
 *
 *   in    "request SIZE", "reply SIZE" (a frame) or "NAME SIZE" (the fields of a record), newline, the bytes
 *   out   "SIZE", newline, the bytes; or the negative errno that taking it apart or putting it together
 * ended with
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"

static struct kb_list rebuilt(struct kb_list list, struct kb_list_builder *b)
{
        struct kb_span element;

        while (kb_list_next(&list, &element))
                kb_list_add(b, element);
        return kb_list_built(b);
}

/* --- echo_NAME_request(), echo_NAME_reply(), echo_NAME_record() --- */

#define REBUILD_u32(field)
#define REBUILD_u64(field)
#define REBUILD_flag(field)
#define REBUILD_string(field)
#define REBUILD_secret(field)
#define REBUILD_bytes(field)
#define REBUILD_list(field)                                                                                 \
        _cleanup_list_ struct kb_list_builder built_##field = kb_list_builder_init(KB_FRAME_MAX);           \
                                                                                                            \
        m.field = rebuilt(m.field, &built_##field);

#define REQUEST(...)               __VA_ARGS__
#define REPLY(...)                 __VA_ARGS__
#define FIELDS(...)                __VA_ARGS__
#define F(kind, field, max, prose) REBUILD_##kind(field)
#define ECHO(type, fields)                                                                                  \
        static int echo_##type(struct kb_span body, struct kb_writer *w)                                    \
        {                                                                                                   \
                struct kb_##type m;                                                                         \
                int r = kb_##type##_get(body, &m);                                                          \
                                                                                                            \
                if (r < 0)                                                                                  \
                        return r;                                                                           \
                fields kb_##type##_put(w, &m);                                                              \
                return 0;                                                                                   \
        }
#define VERB(name, number, callers, prose, request, reply)                                                  \
        ECHO(name##_request, request) ECHO(name##_reply, reply)
#define RECORD(name, prose, fields) ECHO(name##_record, fields)
#include "common/protocol.def"
#undef VERB
#undef RECORD

typedef int (*echo)(struct kb_span body, struct kb_writer *w);

static const struct {
        uint32_t verb;
        echo request;
        echo reply;
} verbs[] = {
#define VERB(name, number, callers, prose, request, reply)                                                  \
        {number, echo_##name##_request, echo_##name##_reply},
#define RECORD(name, prose, fields)
#include "common/protocol.def"
#undef VERB
#undef RECORD
};

static const struct {
        const char *name;
        echo record;
} records[] = {
#define VERB(name, number, callers, prose, request, reply)
#define RECORD(name, prose, fields) {#name, echo_##name##_record},
#include "common/protocol.def"
#undef VERB
#undef RECORD
};

/* --- frames --- */

static int echo_request_frame(struct kb_span from, struct kb_writer *w)
{
        struct kb_frame frame;
        int r = kb_frame_get_request(from, &frame);

        if (r < 0)
                return r;
        kb_frame_begin_request(w, frame.verb);
        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++)
                if (verbs[i].verb == frame.verb) {
                        r = verbs[i].request(frame.body, w);
                        return r < 0 ? r : kb_frame_end(w);
                }
        return -EBADMSG;
}

static int echo_reply_frame(struct kb_span from, struct kb_writer *w)
{
        struct kb_frame frame;
        int r = kb_frame_get_reply(from, &frame);

        if (r < 0)
                return r;
        if (frame.status != KB_E_OK && frame.status != KB_STATUS_PROGRESS)
                return kb_frame_write_error(w, frame.version, frame.verb, (enum kb_error)frame.status,
                                            kb_frame_error_text(&frame));
        kb_frame_begin_reply(w, frame.version, frame.verb, frame.status);
        if (frame.status == KB_STATUS_PROGRESS) {
                r = echo_progress_record(frame.body, w);
                return r < 0 ? r : kb_frame_end(w);
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(verbs); i++)
                if (verbs[i].verb == frame.verb) {
                        r = verbs[i].reply(frame.body, w);
                        return r < 0 ? r : kb_frame_end(w);
                }
        return -EBADMSG;
}

static int echo_message(const char *what, struct kb_span from, struct kb_writer *w)
{
        int r;

        if (strcmp(what, "request") == 0)
                return echo_request_frame(from, w);
        if (strcmp(what, "reply") == 0)
                return echo_reply_frame(from, w);
        for (size_t i = 0; i < KB_ARRAY_SIZE(records); i++)
                if (strcmp(what, records[i].name) == 0) {
                        r = records[i].record(from, w);
                        return r < 0 ? r : kb_writer_end(w);
                }
        return -EINVAL;
}

int main(void)
{
        char what[65];
        size_t size;
        int r;

        while (scanf("%64s %zu", what, &size) == 2 && getchar() == '\n') {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX + 4);
                _cleanup_secret_ uint8_t *bytes = kb_secret_alloc(size);

                if (!bytes || fread(bytes, 1, size, stdin) != size)
                        return EXIT_FAILURE;
                r = echo_message(what, KB_SPAN(bytes, size), &w);
                if (r < 0)
                        printf("%d\n", r);
                else {
                        printf("%zu\n", w.size);
                        fwrite(w.data, 1, w.size, stdout);
                }
                fflush(stdout);
        }
        return feof(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}
