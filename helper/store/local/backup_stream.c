/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/backup_stream.h"

#include <errno.h>
#include <string.h>

#include "common/names.h"

#define MAGIC     "KBSTORE1"
#define SALT_SIZE 16
#define LAST      0x80

/* --- slots --- */

void kb_backup_slot_add(struct kb_list_builder *b, const struct kb_backup_slot *slot)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);

        kb_write_string(&w, slot->name, 64);
        kb_write_string(&w, slot->kind, 16);
        kb_write_bytes(&w, slot->parameters, 256);
        kb_write_bytes(&w, slot->box, 256);
        kb_write_bytes(&w, slot->mac, KB_KEY_SIZE);
        if (kb_writer_end(&w) < 0)
                b->writer.failed = true;
        kb_list_add(b, KB_SPAN(w.data, w.size));
}

int kb_backup_slot_get(struct kb_span element, struct kb_backup_slot *ret)
{
        struct kb_reader r = kb_reader_init(element);
        struct kb_backup_slot slot;

        slot.name = kb_read_string(&r, 64);
        slot.kind = kb_read_string(&r, 16);
        slot.parameters = kb_read_bytes(&r, 256);
        slot.box = kb_read_bytes(&r, 256);
        slot.mac = kb_read_bytes(&r, KB_KEY_SIZE);
        if (kb_reader_end(&r) < 0 || !kb_name_word_valid(slot.name))
                return -EBADMSG;
        *ret = slot;
        return 0;
}

/* --- header --- */

int kb_backup_header_put(struct kb_writer *w, const struct kb_backup_header *header)
{
        _cleanup_writer_ struct kb_writer fields = kb_writer_init(KB_BACKUP_HEADER_MAX);
        int r;

        kb_write_string(&fields, header->id, 32);
        kb_write_u64(&fields, header->created);
        kb_write_u64(&fields, header->changes);
        kb_write_u64(&fields, header->generation);
        kb_write_u64(&fields, header->size);
        kb_write_bytes(&fields, header->salt, SALT_SIZE);
        kb_write_list(&fields, header->slots, KB_BACKUP_SLOTS_MAX);
        r = kb_writer_end(&fields);
        if (r < 0)
                return r;
        kb_write_raw(w, KB_SPAN_STRING(MAGIC));
        kb_write_u32(w, (uint32_t)fields.size);
        kb_write_raw(w, KB_SPAN(fields.data, fields.size));
        return kb_writer_end(w);
}

static int get_fields(struct kb_span from, struct kb_backup_header *ret)
{
        struct kb_reader r = kb_reader_init(from);
        struct kb_backup_header h;

        h.id = kb_read_string(&r, 32);
        h.created = kb_read_u64(&r);
        h.changes = kb_read_u64(&r);
        h.generation = kb_read_u64(&r);
        h.size = kb_read_u64(&r);
        h.salt = kb_read_bytes(&r, SALT_SIZE);
        h.slots = kb_read_list(&r, KB_BACKUP_SLOTS_MAX);
        if (kb_reader_end(&r) < 0 || h.salt.size != SALT_SIZE || h.generation == 0)
                return -EBADMSG;
        *ret = h;
        return 0;
}

ssize_t kb_backup_header_get(struct kb_span from, struct kb_backup_header *ret)
{
        const size_t magic = strlen(MAGIC);
        struct kb_reader r = kb_reader_init(from);
        uint32_t size;
        int e;

        if (from.size == 0)
                return 0;
        if (memcmp(from.data, MAGIC, from.size < magic ? from.size : magic) != 0)
                return -EBADMSG;
        if (from.size < magic + 4)
                return 0;
        r = kb_reader_init(KB_SPAN(from.data + magic, from.size - magic));
        size = kb_read_u32(&r);
        if (size > KB_BACKUP_HEADER_MAX)
                return -EBADMSG;
        if (r.left < size)
                return 0;
        e = get_fields(KB_SPAN(r.at, size), ret);
        return e < 0 ? e : (ssize_t)(magic + 4 + size);
}

/* --- pieces --- */

int kb_backup_stream_init(struct kb_backup_stream *s, const uint8_t root[KB_KEY_SIZE], struct kb_span salt,
                          struct kb_span head)
{
        struct kb_backup_stream stream = {};
        int r = kb_crypto_hkdf(KB_SPAN(root, KB_KEY_SIZE), salt, KB_SPAN_STRING("keybearer backup"),
                               stream.key);

        if (r >= 0)
                r = kb_crypto_sha256(head, stream.head);
        if (r >= 0)
                *s = stream;
        kb_wipe(&stream, sizeof(stream));
        return r;
}

void kb_backup_stream_done(struct kb_backup_stream *s)
{
        kb_wipe(s, sizeof(*s));
}

static void nonce_of(uint64_t piece, bool last, uint8_t ret[KB_NONCE_SIZE])
{
        memset(ret, 0, KB_NONCE_SIZE);
        ret[0] = last ? LAST : 0;
        for (unsigned i = 0; i < 8; i++)
                ret[KB_NONCE_SIZE - 1 - i] = (uint8_t)(piece >> (8 * i));
}

int kb_backup_stream_seal(struct kb_backup_stream *s, struct kb_span plain, bool last, struct kb_writer *to)
{
        uint8_t nonce[KB_NONCE_SIZE];
        int r;

        if (s->ended || plain.size > KB_BACKUP_PIECE)
                return -EINVAL;
        nonce_of(s->piece, last, nonce);
        kb_write_u32(to, (uint32_t)(plain.size + KB_TAG_SIZE));
        r = kb_crypto_seal(s->key, nonce, KB_SPAN(s->head, sizeof(s->head)), plain, to);
        if (r < 0)
                return r;
        s->piece++;
        s->ended = last;
        return 0;
}

/* Whether this piece opens as the next one; as the last one, or not. */
static int open_as(struct kb_backup_stream *s, struct kb_span sealed, bool last, struct kb_writer *to)
{
        uint8_t nonce[KB_NONCE_SIZE];

        nonce_of(s->piece, last, nonce);
        return kb_crypto_open(s->key, nonce, KB_SPAN(s->head, sizeof(s->head)), sealed, to);
}

ssize_t kb_backup_stream_open(struct kb_backup_stream *s, struct kb_span from, struct kb_writer *to)
{
        struct kb_reader reader = kb_reader_init(from);
        uint32_t size = kb_read_u32(&reader);
        bool last = false;
        int r;

        if (s->ended)
                return -EBADMSG;
        if (reader.failed)
                return 0;
        if (size < KB_TAG_SIZE || size > KB_BACKUP_PIECE + KB_TAG_SIZE)
                return -EBADMSG;
        if (reader.left < size)
                return 0;
        r = open_as(s, KB_SPAN(reader.at, size), false, to);
        if (r == -EBADMSG) {
                last = true;
                r = open_as(s, KB_SPAN(reader.at, size), true, to);
        }
        if (r < 0)
                return r;
        s->piece++;
        s->ended = last;
        return (ssize_t)size + 4;
}
