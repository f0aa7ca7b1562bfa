/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/peername.h"

#include <errno.h>
#include <string.h>

#define RANDOM_MAX 16 /* hex digits of a u64 */

static bool take_byte(struct kb_span *s, uint8_t byte)
{
        if (s->size == 0 || s->data[0] != byte)
                return false;
        *s = KB_SPAN(s->data + 1, s->size - 1);
        return true;
}

static bool take_word(struct kb_span *s, const char *word)
{
        for (; *word; word++)
                if (!take_byte(s, (uint8_t)*word))
                        return false;
        return true;
}

static bool take_random(struct kb_span *s)
{
        size_t n = 0;

        while (n < s->size && n <= RANDOM_MAX && s->data[n] && strchr("0123456789abcdef", s->data[n]))
                n++;
        *s = KB_SPAN(s->data + n, s->size - n);
        return n >= 1 && n <= RANDOM_MAX;
}

/* Takes n bytes off s as a string; false when they do not fit or have a NUL inside. */
static bool take_string(struct kb_span *s, size_t n, char *to, size_t to_size)
{
        if (n >= to_size || (n > 0 && memchr(s->data, '\0', n)))
                return false;
        if (n > 0)
                memcpy(to, s->data, n);
        to[n] = '\0';
        *s = KB_SPAN(s->data + n, s->size - n);
        return true;
}

/* How many bytes stand before the first `end`, or all when there is none. */
static size_t size_before(struct kb_span s, char end)
{
        const uint8_t *at = s.size > 0 ? memchr(s.data, end, s.size) : NULL;

        return at ? (size_t)(at - s.data) : s.size;
}

static bool parse_id(struct kb_span s, struct kb_peername *p)
{
        if (!take_string(&s, size_before(s, '.'), p->credential, sizeof(p->credential)) ||
            !kb_name_credential_valid(p->credential))
                return false;
        if (s.size == 0)
                return true;
        return take_byte(&s, '.') && take_string(&s, s.size, p->field, sizeof(p->field)) &&
               kb_name_word_valid(p->field);
}

int kb_peername_parse_id(struct kb_span id, struct kb_peername *ret)
{
        struct kb_peername p = {};

        if (!parse_id(id, &p))
                return -EBADMSG;
        memcpy(ret->credential, p.credential, sizeof(p.credential));
        memcpy(ret->field, p.field, sizeof(p.field));
        return 0;
}

int kb_peername_parse(struct kb_span name, struct kb_peername *ret)
{
        struct kb_peername p = {};

        if (!take_byte(&name, '\0') || !take_random(&name) || !take_word(&name, "/unit/") ||
            !take_string(&name, size_before(name, '/'), p.unit, sizeof(p.unit)) ||
            !kb_name_unit_valid(p.unit) || !take_byte(&name, '/') || !parse_id(name, &p))
                return -EBADMSG;
        *ret = p;
        return 0;
}
