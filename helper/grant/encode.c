/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/encode.h"

#include <stdio.h>
#include <string.h>

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* The character at the head of bytes, and its length; 0 when that is none. */
static size_t decode(struct kb_span bytes, uint32_t *ret)
{
        static const struct {
                uint8_t mask, mark;
                uint32_t least;
        } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

        for (size_t n = 1; n <= KB_ARRAY_SIZE(forms) && n <= bytes.size; n++) {
                uint32_t c = bytes.data[0] & (uint8_t)~forms[n - 1].mask;

                if ((bytes.data[0] & forms[n - 1].mask) != forms[n - 1].mark)
                        continue;
                for (size_t i = 1; i < n; i++) {
                        if ((bytes.data[i] & 0xc0) != 0x80)
                                return 0;
                        c = c << 6 | (bytes.data[i] & 0x3f);
                }
                if (c < forms[n - 1].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                        return 0;
                *ret = c;
                return n;
        }
        return 0;
}

bool kb_encode_is_utf8(struct kb_span bytes)
{
        uint32_t c;
        size_t n;

        for (size_t at = 0; at < bytes.size; at += n) {
                n = decode(KB_SPAN(bytes.data + at, bytes.size - at), &c);
                if (n == 0)
                        return false;
        }
        return true;
}

bool kb_encode_is_text(struct kb_span bytes, const char *and_these)
{
        uint32_t c;
        size_t n;

        for (size_t at = 0; at < bytes.size; at += n) {
                n = decode(KB_SPAN(bytes.data + at, bytes.size - at), &c);
                if (n == 0)
                        return false;
                if ((c < 0x20 || (c >= 0x7f && c < 0xa0)) &&
                    !(c > 0 && c < 0x80 && strchr(and_these, (int)c)))
                        return false;
        }
        return true;
}

/* Each byte of bytes through a table of texts; a byte without one as it is. */
static void write_escaped(struct kb_writer *out, struct kb_span bytes, const char *const escapes[128])
{
        size_t plain = 0;

        for (size_t i = 0; i < bytes.size; i++) {
                const char *escape = bytes.data[i] < 128 ? escapes[bytes.data[i]] : NULL;

                if (!escape)
                        continue;
                kb_write_raw(out, KB_SPAN(bytes.data + plain, i - plain));
                kb_write_raw(out, KB_SPAN_STRING(escape));
                plain = i + 1;
        }
        kb_write_raw(out, KB_SPAN(bytes.data + plain, bytes.size - plain));
}

void kb_encode_json(struct kb_writer *out, struct kb_span bytes)
{
        static const char *const escapes[128] = {
                "\\u0000", "\\u0001", "\\u0002",      "\\u0003",       "\\u0004",
                "\\u0005", "\\u0006", "\\u0007",      "\\b",           "\\t",
                "\\n",     "\\u000b", "\\f",          "\\r",           "\\u000e",
                "\\u000f", "\\u0010", "\\u0011",      "\\u0012",       "\\u0013",
                "\\u0014", "\\u0015", "\\u0016",      "\\u0017",       "\\u0018",
                "\\u0019", "\\u001a", "\\u001b",      "\\u001c",       "\\u001d",
                "\\u001e", "\\u001f", ['"'] = "\\\"", ['\\'] = "\\\\", [0x7f] = "\\u007f",
        };

        kb_write_raw(out, KB_SPAN("\"", 1));
        write_escaped(out, bytes, escapes);
        kb_write_raw(out, KB_SPAN("\"", 1));
}

void kb_encode_shell(struct kb_writer *out, struct kb_span bytes)
{
        static const char *const escapes[128] = {
                ['"'] = "\\\"", ['\\'] = "\\\\", ['`'] = "\\`", ['$'] = "\\$"};

        kb_write_raw(out, KB_SPAN("\"", 1));
        write_escaped(out, bytes, escapes);
        kb_write_raw(out, KB_SPAN("\"", 1));
}

void kb_encode_url(struct kb_writer *out, struct kb_span bytes)
{
        static const char hex[] = "0123456789ABCDEF";

        for (size_t i = 0; i < bytes.size; i++) {
                uint8_t c = bytes.data[i];
                char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};

                if (c && strchr(ALNUM "-._~", c))
                        kb_write_raw(out, KB_SPAN(&c, 1));
                else
                        kb_write_raw(out, KB_SPAN(escaped, 3));
        }
}
