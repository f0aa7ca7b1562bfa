/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypted credentials. The first byte chooses: the rest is a text to decrypt, or the bytes of one before
 * base64, or a secret that has to come back from its own encryption.
 */
#include "tests/fuzz/fuzz.h"

#include "helper/grant/base64.h"
#include "helper/grant/sdcred.h"

static const struct kb_host_key key = {.key = "fuzz"};

/* Without the key nobody makes one that is accepted. */
static void refuse(struct kb_span text)
{
        _cleanup_writer_ struct kb_writer out = kb_writer_init(KB_SDCRED_PLAIN_MAX);

        FUZZ_ASSERT(kb_sdcred_decrypt(&key, "name", 0, text, &out) < 0);
        FUZZ_ASSERT(out.size == 0);
}

static void come_back(struct kb_span plain)
{
        _cleanup_writer_ struct kb_writer text = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        _cleanup_writer_ struct kb_writer out = kb_writer_init(KB_SDCRED_PLAIN_MAX);

        FUZZ_ASSERT(kb_sdcred_encrypt(&key, "name", 0, 1, plain, &text) == 0);
        FUZZ_ASSERT(kb_sdcred_decrypt(&key, "name", 1, KB_SPAN(text.data, text.size), &out) == 0);
        FUZZ_ASSERT(kb_secret_equal(plain, KB_SPAN(out.data, out.size)));
        FUZZ_ASSERT(kb_sdcred_decrypt(&key, "name", 2, KB_SPAN(text.data, text.size), &out) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_writer_ struct kb_writer text = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        struct kb_span rest;

        if (size == 0)
                return 0;
        rest = KB_SPAN(data + 1, size - 1);
        switch (data[0] % 3) {
        case 0:
                refuse(rest);
                break;
        case 1:
                kb_base64_encode(&text, rest);
                refuse(KB_SPAN(text.data, text.size));
                break;
        default:
                come_back(rest);
        }
        return 0;
}
