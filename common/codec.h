/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a table of fields becomes a struct and its codec. A .def file lists messages as rows of
 *
 *   F(kind, name, max, prose)
 *
 * and whoever includes it says what F is: KB_MEMBER_<kind> in a struct, KB_PUT_<kind> inside KB_DEFINE_PUT,
 * KB_GET_<kind> inside KB_DEFINE_GET. common/protocol.h and directory/document.h are the users; the kinds
 * are explained in common/protocol.def, their bytes in common/wire.h.
 *
 *   void kb_TYPE_put(struct kb_writer *w, const struct kb_TYPE *m)    appends; the writer is sticky
 *   int kb_TYPE_get(struct kb_span from, struct kb_TYPE *ret)         0 or -EBADMSG; has to use all of it
 *
 * A decoded message points into the bytes it came from and owns nothing.
 */

#include <errno.h>

#include "common/wire.h"

#define KB_MEMBER_u32(name)    uint32_t name;
#define KB_MEMBER_u64(name)    uint64_t name;
#define KB_MEMBER_flag(name)   bool name;
#define KB_MEMBER_string(name) const char *name;
#define KB_MEMBER_secret(name) struct kb_span name;
#define KB_MEMBER_bytes(name)  struct kb_span name;
#define KB_MEMBER_list(name)   struct kb_list name;

#define KB_PUT_u32(v, max)    kb_write_u32(w, v);
#define KB_PUT_u64(v, max)    kb_write_u64(w, v);
#define KB_PUT_flag(v, max)   kb_write_flag(w, v);
#define KB_PUT_string(v, max) kb_write_string(w, v, max);
#define KB_PUT_secret(v, max) kb_write_bytes(w, v, max);
#define KB_PUT_bytes(v, max)  kb_write_bytes(w, v, max);
#define KB_PUT_list(v, max)   kb_write_list(w, v, max);

#define KB_GET_u32(max)    kb_read_u32(&r)
#define KB_GET_u64(max)    kb_read_u64(&r)
#define KB_GET_flag(max)   kb_read_flag(&r)
#define KB_GET_string(max) kb_read_string(&r, max)
#define KB_GET_secret(max) kb_read_bytes(&r, max)
#define KB_GET_bytes(max)  kb_read_bytes(&r, max)
#define KB_GET_list(max)   kb_read_list(&r, max)

#define KB_DECLARE_CODEC(type)                                                                              \
        void kb_##type##_put(struct kb_writer *w, const struct kb_##type *m);                               \
        int kb_##type##_get(struct kb_span from, struct kb_##type *ret) _must_check_;

#define KB_DEFINE_PUT(type, fields)                                                                         \
        void kb_##type##_put(struct kb_writer *w, const struct kb_##type *m)                                \
        {                                                                                                   \
                (void)m;                                                                                    \
                fields                                                                                      \
        }

#define KB_DEFINE_GET(type, fields)                                                                         \
        int kb_##type##_get(struct kb_span from, struct kb_##type *ret)                                     \
        {                                                                                                   \
                struct kb_reader r = kb_reader_init(from);                                                  \
                struct kb_##type m = {};                                                                    \
                                                                                                            \
                fields if (kb_reader_end(&r) < 0) return -EBADMSG;                                          \
                *ret = m;                                                                                   \
                return 0;                                                                                   \
        }
