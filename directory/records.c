/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/records.h"

#define FIELDS(...) __VA_ARGS__

#define F(kind, field, max, prose)          KB_PUT_##kind(m->field, max)
#define RECORD(number, name, prose, fields) KB_DEFINE_PUT(name##_record, fields)
#include "directory/records.def"
#undef RECORD
#undef F

#define F(kind, field, max, prose)          m.field = KB_GET_##kind(max);
#define RECORD(number, name, prose, fields) KB_DEFINE_GET(name##_record, fields)
#include "directory/records.def"
#undef RECORD
#undef F

/* Leaves room for the size of the record; returns where. */
static size_t add_begin(struct kb_writer *document, uint32_t kind)
{
        size_t start = document->size;

        kb_write_u32(document, 0);
        kb_write_u32(document, kind);
        return start;
}

static void add_end(struct kb_writer *document, size_t start)
{
        size_t size = document->size - start - 4;

        kb_write_raw(document, KB_SPAN("", 1)); /* the NUL behind `bytes` */
        if (document->failed)
                return;
        for (unsigned i = 0; i < 4; i++)
                document->data[start + i] = (uint8_t)(size >> (8 * i));
}

#define RECORD(number, name, prose, fields)                                                                 \
        void kb_directory_add_##name(struct kb_writer *document, const struct kb_##name##_record *record)   \
        {                                                                                                   \
                size_t start = add_begin(document, KB_RECORD_##name);                                       \
                                                                                                            \
                kb_##name##_record_put(document, record);                                                   \
                add_end(document, start);                                                                   \
        }
#include "directory/records.def"
#undef RECORD
