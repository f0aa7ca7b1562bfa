/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void kb_base64_encode(struct kb_writer *out, struct kb_span bytes)
{
        for (size_t i = 0; i < bytes.size; i += 3) {
                size_t n = bytes.size - i < 3 ? bytes.size - i : 3;
                uint32_t group = (uint32_t)bytes.data[i] << 16;
                char text[4];

                if (n > 1)
                        group |= (uint32_t)bytes.data[i + 1] << 8;
                if (n > 2)
                        group |= bytes.data[i + 2];
                for (size_t k = 0; k < 4; k++)
                        text[k] = k <= n ? alphabet[group >> (18 - 6 * k) & 63] : '=';
                kb_write_raw(out, KB_SPAN(text, 4));
        }
}

/* The six bits that c stands for, or -1. */
static int digit(uint8_t c)
{
        const char *at = c ? strchr(alphabet, c) : NULL;

        return at ? (int)(at - alphabet) : -1;
}

/* Four characters, of which the last n_padding are '='; false when they are no canonical form of any bytes.
 */
static bool decode_group(struct kb_writer *out, const uint8_t text[4])
{
        size_t padding = text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;
        uint32_t group = 0;
        uint8_t bytes[3];

        for (size_t k = 0; k < 4; k++) {
                int d = k < 4 - padding ? digit(text[k]) : 0;

                if (d < 0)
                        return false;
                group = group << 6 | (uint32_t)d;
        }
        if (group & ((1u << 8 * padding) - 1))
                return false;
        for (size_t k = 0; k < 3; k++)
                bytes[k] = (uint8_t)(group >> (16 - 8 * k));
        kb_write_raw(out, KB_SPAN(bytes, 3 - padding));
        kb_wipe(bytes, sizeof(bytes));
        return true;
}

int kb_base64_decode(struct kb_writer *out, struct kb_span text)
{
        uint8_t group[4];
        size_t n = 0;
        bool padded = false;

        for (size_t i = 0; i < text.size; i++) {
                if (text.data[i] == '\n' || text.data[i] == '\r')
                        continue;
                if (padded)
                        return -EBADMSG;
                group[n++] = text.data[i];
                if (n < 4)
                        continue;
                if (!decode_group(out, group))
                        return -EBADMSG;
                padded = group[3] == '=';
                n = 0;
        }
        return n == 0 ? kb_writer_end(out) : -EBADMSG;
}
