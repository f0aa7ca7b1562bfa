/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signed document, by whoever writes to the store. What a host believes is what its key signed: here
 * nothing is, so everything is refused; the shape, which a store looks at, holds together. The records are
 * cut into shards that are these records again.
 */
#include <string.h>

#include "directory/signature.h"
#include "tests/fuzz/fuzz.h"

static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MCowBQYDK2VwAyEAxZv66mTIA7OtBAVDjSyrGNkxP4GS5dgzWRtfhQV13z0=\n"
                          "-----END PUBLIC KEY-----\n";

static void look_at_head(struct kb_span body)
{
        _cleanup_writer_ struct kb_writer again = kb_writer_init(KB_HEAD_BODY_MAX);
        struct kb_head head;
        struct kb_shard shard;
        uint32_t n = 0;

        if (kb_head_get(body, &head) < 0)
                return;
        for (struct kb_list rest = head.shards; kb_head_next_shard(&rest, &shard); n++)
                FUZZ_ASSERT(shard.size > 0 && shard.size <= KB_SHARD_MAX);
        FUZZ_ASSERT(n == head.shards.count && head.version > 0);
        kb_head_put(&again, &head);
        FUZZ_ASSERT(kb_writer_end(&again) == 0 && again.size == body.size &&
                    memcmp(again.data, body.data, body.size) == 0);
}

static void cut(struct kb_span records)
{
        ssize_t n;

        while ((n = kb_shard_cut(records)) > 0) {
                FUZZ_ASSERT((size_t)n <= records.size && n <= KB_SHARD_MAX);
                records = KB_SPAN(records.data + n, records.size - (size_t)n);
        }
        FUZZ_ASSERT(n < 0 || records.size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kb_directory_keys_freep) struct kb_directory_keys *keys = NULL, *others = NULL;
        struct kb_span records, document = KB_SPAN(data, size);
        const char *problem = NULL;
        struct kb_head head;
        struct kb_signed it;

        FUZZ_ASSERT(kb_directory_keys_new(&keys, KB_SPAN_STRING(pem)) == 0);
        FUZZ_ASSERT(kb_signature_check(keys, document, &head, &records, &problem) < 0 && problem);
        if (kb_signed_get(document, &it) == 0) {
                look_at_head(it.body);
                cut(it.shards);
        }
        look_at_head(document);
        cut(document);
        if (kb_directory_keys_new(&others, document) == 0)
                FUZZ_ASSERT(kb_signature_check(others, KB_SPAN("", 0), &head, &records, &problem) < 0);
        return 0;
}
