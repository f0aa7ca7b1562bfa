/* SPDX-License-Identifier: Apache-2.0 */
#include "common/names.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "common/macro.h"

#define LOWER     "abcdefghijklmnopqrstuvwxyz"
#define UPPER     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT     "0123456789"
#define PATH_MAX_ 512

/* Whether name is 1..max characters of `allowed` and starts with one of `first`. */
static bool made_of(const char *name, const char *first, const char *allowed, size_t max)
{
        size_t n;

        if (!name || !name[0] || !strchr(first, name[0]))
                return false;
        n = strnlen(name, max + 1);
        return n <= max && strspn(name, allowed) == n;
}

bool kb_name_user_valid(const char *name)
{
        return made_of(name, LOWER "_", LOWER DIGIT "_-.", KB_USER_NAME_MAX);
}

bool kb_name_word_valid(const char *name)
{
        return made_of(name, LOWER UPPER DIGIT, LOWER UPPER DIGIT "_-", KB_CREDENTIAL_NAME_MAX);
}

bool kb_name_credential_valid(const char *name)
{
        return kb_name_word_valid(name);
}

bool kb_name_unit_valid(const char *name)
{
        static const char *const suffixes[] = {".service", ".socket", ".mount", ".swap"};
        const char *dot;

        if (!made_of(name, LOWER UPPER DIGIT ":-_.\\", LOWER UPPER DIGIT ":-_.\\@", KB_UNIT_NAME_MAX))
                return false;
        dot = strrchr(name, '.');
        if (!dot || dot == name)
                return false;
        for (size_t i = 0; i < KB_ARRAY_SIZE(suffixes); i++)
                if (strcmp(dot, suffixes[i]) == 0)
                        return true;
        return false;
}

bool kb_name_path_valid(const char *path)
{
        if (!path || strnlen(path, PATH_MAX_ + 1) > PATH_MAX_)
                return false;
        for (;;) {
                size_t n = strcspn(path, "/");

                if (n == 0 || strspn(path, LOWER UPPER DIGIT "_-.@:") < n)
                        return false;
                if (path[0] == '.' && (n == 1 || (n == 2 && path[1] == '.')))
                        return false;
                if (path[n] == '\0')
                        return true;
                path += n + 1;
        }
}

bool kb_name_matches(const char *glob, const char *name)
{
        return glob && name && fnmatch(glob, name, FNM_NOESCAPE) == 0;
}

/* Length of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogates), 0 when there is none. */
static size_t utf8_length(const unsigned char *p)
{
        static const struct {
                unsigned char low, high, second_low, second_high;
                size_t length;
        } forms[] = {
                {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(forms); i++) {
                if (p[0] < forms[i].low || p[0] > forms[i].high)
                        continue;
                if (p[1] < forms[i].second_low || p[1] > forms[i].second_high)
                        return 0;
                for (size_t k = 2; k < forms[i].length; k++)
                        if (p[k] < 0x80 || p[k] > 0xbf)
                                return 0;
                return forms[i].length;
        }
        return 0;
}

bool kb_text_valid(const char *text)
{
        const unsigned char *p = (const unsigned char *)text;

        if (!p)
                return false;
        while (*p) {
                size_t n;

                if (*p < 0x20 || *p == 0x7f)
                        return false;
                n = *p < 0x80 ? 1 : utf8_length(p);
                if (n == 0 || (*p == 0xc2 && p[1] < 0xa0)) /* U+0080..U+009F are control characters too */
                        return false;
                p += n;
        }
        return true;
}
