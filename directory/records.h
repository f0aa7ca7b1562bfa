/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What records.def expands to, for each RECORD(name, ...): KB_RECORD_name, struct kb_name_record, codec, and
 *
 *   void kb_directory_add_name(struct kb_writer *document, const struct kb_name_record *record)
 *
 * which is all that the writer of a document (a store) needs of this folder. Records are added in the order
 * that records.def asks for; the writer is sticky, so look at kb_writer_end() once, at the end. A document
 * may be sent in portions: cut it anywhere between two records.
 */

#include "common/codec.h"
#include "common/names.h"

/* What somebody has shown of himself. Bits, as rules and events have them. */
enum kb_factor {
        KB_FACTOR_KEY = 1 << 0,      /* an SSH key or certificate */
        KB_FACTOR_PASSWORD = 1 << 1, /* the password */
        KB_FACTOR_OTP = 1 << 2,      /* a one-time password */
        KB_FACTOR_ALL = KB_FACTOR_KEY | KB_FACTOR_PASSWORD | KB_FACTOR_OTP,
};

#define FIELDS(...) __VA_ARGS__

#define RECORD(number, name, prose, fields) KB_RECORD_##name = number,
enum kb_record_kind {
#include "directory/records.def"
};
#undef RECORD

#define F(kind, name, max, prose) KB_MEMBER_##kind(name)
#define RECORD(number, name, prose, fields)                                                                 \
        struct kb_##name##_record {                                                                         \
                fields                                                                                      \
        };
#include "directory/records.def"
#undef RECORD
#undef F
#undef FIELDS

#define RECORD(number, name, prose, fields)                                                                 \
        KB_DECLARE_CODEC(name##_record)                                                                     \
        void kb_directory_add_##name(struct kb_writer *document, const struct kb_##name##_record *record);
#include "directory/records.def"
#undef RECORD
