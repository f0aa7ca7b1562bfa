/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/json_scan.h"

#include <errno.h>
#include <string.h>

#include "helper/store/vault/json.h"

/* Decimal digits that fit in 64 bits with a sign, whichever they are. */
#define DIGITS_MAX 18

struct scan {
        const uint8_t *at, *end;
        size_t members, values;
        unsigned depth;
        bool object[KB_JSON_DEPTH]; /* at this depth stands an object, not a list */
};

static int peek(const struct scan *s)
{
        return s->at < s->end ? *s->at : -1;
}

static bool take(struct scan *s, int byte)
{
        if (peek(s) != byte)
                return false;
        s->at++;
        return true;
}

static void skip_space(struct scan *s)
{
        while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
                s->at++;
}

static bool take_word(struct scan *s, const char *word)
{
        size_t n = strlen(word);

        if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
                return false;
        s->at += n;
        return true;
}

static size_t take_digits(struct scan *s)
{
        const uint8_t *from = s->at;

        while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
                s->at++;
        return (size_t)(s->at - from);
}

static bool take_number(struct scan *s)
{
        size_t digits;
        bool whole = true;

        take(s, '-');
        if (take(s, '0'))
                digits = 1;
        else
                digits = take_digits(s);
        if (digits == 0)
                return false;
        if (take(s, '.')) {
                whole = false;
                if (take_digits(s) == 0)
                        return false;
        }
        if (take(s, 'e') || take(s, 'E')) {
                whole = false;
                if (!take(s, '+'))
                        take(s, '-');
                if (take_digits(s) == 0)
                        return false;
        }
        return !whole || digits <= DIGITS_MAX;
}

/* Four hex digits; -1 when they are not there. */
static int take_hex(struct scan *s)
{
        static const char digits[] = "00112233445566778899aAbBcCdDeEfF";
        int value = 0;

        for (int i = 0; i < 4; i++) {
                const char *digit = peek(s) > 0 ? strchr(digits, peek(s)) : NULL;

                if (!digit)
                        return -1;
                value = value << 4 | (int)((digit - digits) / 2);
                s->at++;
        }
        return value;
}

/* Behind "\u". A high surrogate needs its low one, and the other way round. */
static bool take_unicode(struct scan *s, bool name)
{
        int c = take_hex(s);

        if (c < 0 || (name && c == 0) || (c >= 0xdc00 && c <= 0xdfff))
                return false;
        if (c < 0xd800 || c > 0xdbff)
                return true;
        if (!take_word(s, "\\u"))
                return false;
        c = take_hex(s);
        return c >= 0xdc00 && c <= 0xdfff;
}

static bool take_string(struct scan *s, bool name)
{
        if (!take(s, '"'))
                return false;
        while (s->at < s->end && *s->at >= 0x20) {
                uint8_t c = *s->at++;

                if (c == '"')
                        return true;
                if (c != '\\')
                        continue;
                if (take(s, 'u')) {
                        if (!take_unicode(s, name))
                                return false;
                } else if (peek(s) <= 0 || !strchr("\"\\/bfnrt", *s->at++)) {
                        return false;
                }
        }
        return false;
}

static bool take_name(struct scan *s)
{
        s->members++;
        if (!take_string(s, true))
                return false;
        skip_space(s);
        return take(s, ':');
}

static int open_container(struct scan *s)
{
        bool object = *s->at++ == '{';

        if (s->depth == KB_JSON_DEPTH)
                return -E2BIG;
        s->object[s->depth++] = object;
        return 0;
}

/* Takes one value, or the beginning of one that holds others. *ret_open tells which. */
static int take_value(struct scan *s, bool *ret_open)
{
        bool good;

        *ret_open = false;
        skip_space(s);
        if (++s->values > KB_JSON_VALUES)
                return -E2BIG;
        switch (peek(s)) {
        case '{':
        case '[':
                *ret_open = true;
                return open_container(s);
        case '"':
                good = take_string(s, false);
                break;
        case 't':
                good = take_word(s, "true");
                break;
        case 'f':
                good = take_word(s, "false");
                break;
        case 'n':
                good = take_word(s, "null");
                break;
        default:
                good = take_number(s);
        }
        return good ? 0 : -EBADMSG;
}

/* After a value: closes what ends here. 1 when a value follows, 0 when all is closed. */
static int close_containers(struct scan *s)
{
        while (s->depth > 0) {
                bool object = s->object[s->depth - 1];

                skip_space(s);
                if (take(s, ',')) {
                        skip_space(s);
                        return !object || take_name(s) ? 1 : -EBADMSG;
                }
                if (!take(s, object ? '}' : ']'))
                        return -EBADMSG;
                s->depth--;
        }
        return 0;
}

/* Behind '{' or '['. 1 when a value follows, 0 when it is closed again. */
static int begin_container(struct scan *s)
{
        bool object = s->object[s->depth - 1];

        skip_space(s);
        if (take(s, object ? '}' : ']')) {
                s->depth--;
                return 0;
        }
        return !object || take_name(s) ? 1 : -EBADMSG;
}

int kb_json_scan(struct kb_span text, size_t *ret_members)
{
        struct scan s = {.at = text.data, .end = text.data + text.size};
        bool open;
        int r = 1;

        while (r > 0) {
                r = take_value(&s, &open);
                if (r < 0)
                        break;
                r = open ? begin_container(&s) : 0;
                if (r == 0)
                        r = close_containers(&s);
        }
        skip_space(&s);
        if (r < 0 || s.at < s.end)
                return r < 0 ? r : -EBADMSG;
        *ret_members = s.members;
        return 0;
}
