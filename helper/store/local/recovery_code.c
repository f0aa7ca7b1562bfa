/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/recovery_code.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "helper/store/local/crypto.h"

#define DATA_DIGITS  32 /* 160 bits */
#define CHECK_DIGITS 4  /* the first 20 bits of SHA-256 */
#define DIGITS       (DATA_DIGITS + CHECK_DIGITS)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The digit at a position, most significant first, out of bytes seen as one long number. */
static unsigned digit_at(const uint8_t *bytes, unsigned position)
{
        unsigned value = 0;

        for (unsigned bit = position * 5; bit < position * 5 + 5; bit++)
                value = value << 1 | (bytes[bit / 8] >> (7 - bit % 8) & 1);
        return value;
}

static int digits_of(const uint8_t *code, uint8_t *ret)
{
        uint8_t hash[32];
        int r = kb_crypto_sha256(KB_SPAN(code, KB_RECOVERY_BYTES), hash);

        for (unsigned i = 0; r >= 0 && i < DIGITS; i++)
                ret[i] = (uint8_t)(i < DATA_DIGITS ? digit_at(code, i) : digit_at(hash, i - DATA_DIGITS));
        return r;
}

int kb_recovery_print(const uint8_t code[KB_RECOVERY_BYTES], char ret[KB_RECOVERY_TEXT])
{
        uint8_t digits[DIGITS];
        int r = digits_of(code, digits);

        if (r < 0)
                return r;
        for (unsigned i = 0; i < DIGITS; i++) {
                *ret++ = alphabet[digits[i]];
                if (i % 4 == 3)
                        *ret++ = i + 1 < DIGITS ? '-' : '\0';
        }
        kb_wipe(digits, sizeof(digits));
        return 0;
}

/* -1 for what is no digit. */
static int value_of(char c)
{
        const char *at;

        c = (char)toupper((unsigned char)c);
        if (c == 'O')
                c = '0';
        if (c == 'I' || c == 'L')
                c = '1';
        at = c ? strchr(alphabet, c) : NULL;
        return at ? (int)(at - alphabet) : -1;
}

int kb_recovery_parse(struct kb_span text, uint8_t ret[KB_RECOVERY_BYTES])
{
        uint8_t digits[DIGITS], expected[DIGITS], code[KB_RECOVERY_BYTES] = {0};
        unsigned n = 0;
        int r;

        for (size_t i = 0; i < text.size; i++) {
                char c = (char)text.data[i];
                int value = value_of(c);

                if (c == '-' || c == ' ' || c == '\n')
                        continue;
                if (value < 0 || n == DIGITS)
                        return -EINVAL;
                digits[n++] = (uint8_t)value;
        }
        if (n != DIGITS)
                return -EINVAL;
        for (unsigned bit = 0; bit < KB_RECOVERY_BYTES * 8; bit++)
                code[bit / 8] |= (uint8_t)((digits[bit / 5] >> (4 - bit % 5) & 1) << (7 - bit % 8));
        r = digits_of(code, expected);
        if (r >= 0 && memcmp(digits, expected, sizeof(digits)) != 0)
                r = -EBADMSG;
        if (r >= 0)
                memcpy(ret, code, sizeof(code));
        kb_wipe(digits, sizeof(digits));
        kb_wipe(expected, sizeof(expected));
        kb_wipe(code, sizeof(code));
        return r;
}
