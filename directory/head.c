/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/head.h"

#include <errno.h>
#include <string.h>

#include "common/hex.h"
#include "common/names.h"

#define CUT_EVERY 512 /* records, about */

/* --- the body --- */

void kb_head_put(struct kb_writer *w, const struct kb_head *head)
{
        kb_write_u32(w, KB_HEAD_FORMAT);
        kb_write_string(w, head->cluster, KB_CLUSTER_NAME_MAX);
        kb_write_u64(w, head->version);
        kb_write_u64(w, head->made);
        kb_write_u64(w, head->not_after);
        kb_write_list(w, head->shards, KB_SHARDS_MAX);
}

void kb_head_add_shard(struct kb_list_builder *shards, const struct kb_shard *shard)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(sizeof(*shard));

        kb_write_u32(&w, shard->size);
        kb_write_raw(&w, KB_SPAN(shard->hash, sizeof(shard->hash)));
        if (kb_writer_end(&w) < 0)
                shards->writer.failed = true;
        else
                kb_list_add(shards, KB_SPAN(w.data, w.size));
}

bool kb_head_next_shard(struct kb_list *shards, struct kb_shard *ret)
{
        struct kb_reader reader;
        struct kb_span element;

        if (!kb_list_next(shards, &element) || element.size != 4 + KB_SHARD_HASH_SIZE)
                return false;
        reader = kb_reader_init(element);
        ret->size = kb_read_u32(&reader);
        memcpy(ret->hash, element.data + 4, KB_SHARD_HASH_SIZE);
        return ret->size > 0 && ret->size <= KB_SHARD_MAX;
}

static bool shards_are_good(struct kb_list shards)
{
        uint32_t wanted = shards.count, n = 0;
        struct kb_shard shard;

        while (kb_head_next_shard(&shards, &shard))
                n++;
        return n == wanted;
}

int kb_head_get(struct kb_span body, struct kb_head *ret)
{
        struct kb_reader r = kb_reader_init(body);
        struct kb_head head;

        if (kb_read_u32(&r) != KB_HEAD_FORMAT)
                return -EBADMSG;
        head.cluster = kb_read_string(&r, KB_CLUSTER_NAME_MAX);
        head.version = kb_read_u64(&r);
        head.made = kb_read_u64(&r);
        head.not_after = kb_read_u64(&r);
        head.shards = kb_read_list(&r, KB_SHARDS_MAX);
        if (kb_reader_end(&r) < 0 || !kb_name_word_valid(head.cluster) || head.version == 0 ||
            !shards_are_good(head.shards))
                return -EBADMSG;
        *ret = head;
        return 0;
}

void kb_shard_name(const struct kb_shard *shard, char ret[KB_SHARD_NAME_SIZE])
{
        kb_hex(KB_SPAN(shard->hash, sizeof(shard->hash)), ret);
}

/* --- head, signature, shards --- */

void kb_signed_put(struct kb_writer *w, struct kb_span body, struct kb_span signature)
{
        kb_write_bytes(w, body, KB_HEAD_BODY_MAX);
        kb_write_bytes(w, signature, KB_SIGNATURE_SIZE);
}

int kb_signed_get(struct kb_span document, struct kb_signed *ret)
{
        struct kb_reader r = kb_reader_init(document);
        struct kb_signed it;

        it.body = kb_read_bytes(&r, KB_HEAD_BODY_MAX);
        it.signature = kb_read_bytes(&r, KB_SIGNATURE_SIZE);
        if (r.failed || it.signature.size != KB_SIGNATURE_SIZE)
                return -EBADMSG;
        it.shards = KB_SPAN(r.at, r.left);
        *ret = it;
        return 0;
}

/* --- where to cut --- */

/* FNV-1a: spreads, and nothing hangs on who can steer it. */
static uint32_t spread(struct kb_span bytes)
{
        uint32_t h = 2166136261u;

        for (size_t i = 0; i < bytes.size; i++)
                h = (h ^ bytes.data[i]) * 16777619u;
        return h ^ h >> 16;
}

ssize_t kb_shard_cut(struct kb_span records)
{
        struct kb_reader r = kb_reader_init(records);
        size_t size = 0;

        while (r.left > 0) {
                struct kb_span record = kb_read_bytes(&r, records.size);
                size_t end = records.size - r.left;

                if (r.failed)
                        return -EBADMSG;
                if (end > KB_SHARD_MAX)
                        return size > 0 ? (ssize_t)size : -EMSGSIZE;
                size = end;
                if (size >= KB_SHARD_LEAST && spread(record) % CUT_EVERY == 0)
                        break;
        }
        return (ssize_t)size;
}
