/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "helper/log/crc32c.h"

#define CRC_OFFSET 4
#define CRC_END    8

static void put_le32(uint8_t *p, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(value >> (8 * i));
}

void kb_record_put(struct kb_writer *w, const struct kb_record *record)
{
        size_t start = w->size, size = KB_RECORD_HEADER + record->fields.size;

        if (size > KB_RECORD_MAX)
                w->failed = true;
        kb_write_u32(w, (uint32_t)size);
        kb_write_u32(w, 0);
        kb_write_u64(w, record->sequence);
        kb_write_u64(w, record->time);
        kb_write_u32(w, record->flags);
        kb_write_u32(w, record->event);
        kb_write_raw(w, KB_SPAN(record->previous, KB_HASH_SIZE));
        kb_write_raw(w, record->fields);
        if (!w->failed)
                put_le32(w->data + start + CRC_OFFSET,
                         kb_crc32c(KB_SPAN(w->data + start + CRC_END, size - CRC_END)));
}

ssize_t kb_record_size(struct kb_span have)
{
        struct kb_reader r = kb_reader_init(have);
        uint32_t size = kb_read_u32(&r);

        if (r.failed)
                return 0;
        return size < KB_RECORD_HEADER || size > KB_RECORD_MAX ? -EBADMSG : (ssize_t)size;
}

int kb_record_get(struct kb_span whole, struct kb_record *ret)
{
        struct kb_reader r = kb_reader_init(whole);
        struct kb_record record = {};
        uint32_t crc;

        if (whole.size == 0 || kb_record_size(whole) != (ssize_t)whole.size)
                return -EBADMSG;
        kb_read_u32(&r);
        crc = kb_read_u32(&r);
        if (crc != kb_crc32c(KB_SPAN(r.at, r.left)))
                return -EBADMSG;
        record.sequence = kb_read_u64(&r);
        record.time = kb_read_u64(&r);
        record.flags = kb_read_u32(&r);
        record.event = kb_read_u32(&r);
        memcpy(record.previous, r.at, KB_HASH_SIZE);
        record.fields = KB_SPAN(r.at + KB_HASH_SIZE, r.left - KB_HASH_SIZE);
        *ret = record;
        return 0;
}

int kb_record_event(const struct kb_record *record, struct kb_event *ret)
{
        struct kb_event event;
        int r;

        r = kb_event_get(record->fields, &event);
        if (r < 0)
                return r;
        event.id = record->event;
        event.time = record->time;
        *ret = event;
        return 0;
}

int kb_record_hash(struct kb_span whole, uint8_t ret[KB_HASH_SIZE])
{
        uint8_t hash[KB_HASH_SIZE];

        if (EVP_Digest(whole.data, whole.size, hash, NULL, EVP_sha256(), NULL) != 1)
                return -ENOMEM;
        memcpy(ret, hash, sizeof(hash));
        return 0;
}
