/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool is_plain(char c)
{
        return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

const char *kb_journal_escape(const char *text, char buffer[static KB_JOURNAL_TEXT])
{
        static const char hex[] = "0123456789abcdef";
        const size_t end = KB_JOURNAL_TEXT - sizeof("...");
        size_t n = 0;

        for (; text && *text; text++) {
                size_t needed = is_plain(*text) ? 1 : 4;

                if (n + needed > end) {
                        memcpy(buffer + n, "...", 3);
                        n += 3;
                        break;
                }
                if (needed == 1) {
                        buffer[n++] = *text;
                        continue;
                }
                buffer[n++] = '\\';
                buffer[n++] = 'x';
                buffer[n++] = hex[(unsigned char)*text >> 4];
                buffer[n++] = hex[(unsigned char)*text & 15];
        }
        buffer[n] = '\0';
        return buffer;
}
