/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What protocol.def expands to. For each VERB(name, ...):
 *
 *   enum            KB_VERB_name
 *   structs         struct kb_name_request, struct kb_name_reply
 *   codecs          kb_name_request_put(), kb_name_request_get(), and the same for _reply
 *
 * and for each RECORD(name, ...): struct kb_name_record, kb_name_record_put(), kb_name_record_get().
 * A decoded message points into the bytes it came from and owns nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/codec.h"
#include "common/error.h"
#include "common/names.h"

#define KB_PROTOCOL_VERSION     2
#define KB_PROTOCOL_VERSION_MIN 1 /* oldest we still speak */

#define KB_FRAME_HEADER_SIZE 12                /* size, version, verb */
#define KB_FRAME_MAX         (2 * 1024 * 1024) /* without the size itself */
#define KB_STATUS_PROGRESS   0xffffffffu       /* not the reply yet: a progress record */

/* What to ask a person for. */
enum kb_ask {
        KB_ASK_NOTHING = 0,
        KB_ASK_PASSWORD = 1, /* hidden; PAM's stored token may be used */
        KB_ASK_CODE = 2,     /* hidden: a one-time password, a recovery code */
        KB_ASK_TEXT = 3,     /* shown while typed */
        KB_ASK_ENTER = 4,    /* only the Enter key, when something was done elsewhere */
};

/* Who may ask. */
enum kb_caller {
        KB_CALLER_ROOT = 1 << 0,
        KB_CALLER_SELF = 1 << 1,
        KB_CALLER_STORE = 1 << 2,
};

#define RECORD(name, prose, fields)
#define VERB(name, number, callers, prose, request, reply) KB_VERB_##name = number,
enum kb_verb {
#include "common/protocol.def"
};
#undef VERB

/* Bits of enum kb_caller; 0 for a number that is no verb. */
unsigned kb_verb_callers(uint32_t verb);

/* Whether the fields of a request are those of its verb: 0, or -EBADMSG; also for a number that is no verb.
 */
int kb_verb_check_request(uint32_t verb, struct kb_span body) _must_check_;

/* "grant_list"; NULL for a number that is no verb. */
const char *kb_verb_name(uint32_t verb);
#undef RECORD

/* --- structs --- */

#define REQUEST(...)              __VA_ARGS__
#define REPLY(...)                __VA_ARGS__
#define FIELDS(...)               __VA_ARGS__
#define F(kind, name, max, prose) KB_MEMBER_##kind(name)
#define VERB(name, number, callers, prose, request, reply)                                                  \
        struct kb_##name##_request {                                                                        \
                request                                                                                     \
        };                                                                                                  \
        struct kb_##name##_reply {                                                                          \
                reply                                                                                       \
        };
#define RECORD(name, prose, fields)                                                                         \
        struct kb_##name##_record {                                                                         \
                fields                                                                                      \
        };
#include "common/protocol.def"
#undef VERB
#undef RECORD
#undef F
#undef REQUEST
#undef REPLY
#undef FIELDS

/* --- codecs, as common/codec.h describes them --- */

#define VERB(name, number, callers, prose, request, reply)                                                  \
        KB_DECLARE_CODEC(name##_request)                                                                    \
        KB_DECLARE_CODEC(name##_reply)
#define RECORD(name, prose, fields) KB_DECLARE_CODEC(name##_record)
#include "common/protocol.def"
#undef VERB
#undef RECORD

/* --- frames --- */

struct kb_frame {
        uint32_t version;
        uint32_t verb;
        uint32_t status;     /* of a reply */
        struct kb_span body; /* the fields */
};

/*
 * A frame is written as begin, fields, end: begin leaves room for the size, end fills it in.
 * kb_frame_end(): 0, -EMSGSIZE or -ENOMEM as kb_writer_end(). The version is what the other side spoke.
 */
void kb_frame_begin_request(struct kb_writer *w, uint32_t verb);
void kb_frame_begin_reply(struct kb_writer *w, uint32_t version, uint32_t verb, uint32_t status);
int kb_frame_end(struct kb_writer *w) _must_check_;

/* A whole reply that says what went wrong. text NULL: kb_error_text(). Cut at 1024 bytes. */
int kb_frame_write_error(struct kb_writer *w, uint32_t version, uint32_t verb, enum kb_error error,
                         const char *text) _must_check_;

/*
 * Looks at the first bytes of a stream. Returns the size of the whole frame once its size field is there
 * (which may be more than `have`), 0 when more bytes are needed to tell, -EMSGSIZE when it claims to be
 * longer than max, -EBADMSG when it is shorter than a header.
 */
ssize_t kb_frame_size(struct kb_span have, size_t max);

/* Takes a whole frame apart. 0, -EBADMSG, -EPROTONOSUPPORT for a version we do not speak. */
int kb_frame_get_request(struct kb_span frame, struct kb_frame *ret) _must_check_;
int kb_frame_get_reply(struct kb_span frame, struct kb_frame *ret) _must_check_;

/* The text of an error reply; kb_error_text() of its status when there is none. */
const char *kb_frame_error_text(const struct kb_frame *reply);
