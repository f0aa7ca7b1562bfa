/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void kb_hex(struct kb_span bytes, char *ret)
{
        for (size_t i = 0; i < bytes.size; i++) {
                *ret++ = digits[bytes.data[i] >> 4];
                *ret++ = digits[bytes.data[i] & 15];
        }
        *ret = '\0';
}

bool kb_unhex(const char *text, size_t length, uint8_t *ret, size_t size)
{
        if (length != 2 * size)
                return false;
        for (size_t i = 0; i < length; i++)
                if (!text[i] || !strchr(digits, text[i]))
                        return false;
        for (size_t i = 0; i < size; i++)
                ret[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
                                   (strchr(digits, text[2 * i + 1]) - digits));
        return true;
}
