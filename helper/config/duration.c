/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/duration.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define SEC KB_USEC_PER_SEC

/* Greatest first. The first name of a length is the one that is printed. */
static const struct {
        const char *name;
        uint64_t usec;
} units[] = {
        {"w", 604800 * SEC},
        {"weeks", 604800 * SEC},
        {"week", 604800 * SEC},
        {"d", 86400 * SEC},
        {"days", 86400 * SEC},
        {"day", 86400 * SEC},
        {"h", 3600 * SEC},
        {"hours", 3600 * SEC},
        {"hour", 3600 * SEC},
        {"hr", 3600 * SEC},
        {"min", 60 * SEC},
        {"m", 60 * SEC},
        {"minutes", 60 * SEC},
        {"minute", 60 * SEC},
        {"s", SEC},
        {"sec", SEC},
        {"seconds", SEC},
        {"second", SEC},
        {"ms", KB_USEC_PER_MSEC},
        {"msec", KB_USEC_PER_MSEC},
        {"us", 1},
        {"usec", 1},
};

/* Of the n letters at name; 0 when there is no such unit. Only a bare number may go without: it is seconds.
 */
static uint64_t unit_length(const char *text, const char *name, size_t n)
{
        if (n == 0)
                return !*name && !strpbrk(text, " abcdefghijklmnopqrstuvwxyz") ? SEC : 0;
        for (size_t i = 0; i < KB_ARRAY_SIZE(units); i++)
                if (strlen(units[i].name) == n && memcmp(units[i].name, name, n) == 0)
                        return units[i].usec;
        return 0;
}

int kb_duration_parse(const char *text, uint64_t *ret_usec, const char **ret_at)
{
        const char *at = text;
        uint64_t total = 0;

        if (strcmp(text, "infinity") == 0) {
                *ret_usec = KB_TIME_NEVER;
                return 0;
        }
        do {
                unsigned long long number;
                uint64_t length;
                size_t n;
                char *end;

                *ret_at = at;
                if (!isdigit((unsigned char)*at))
                        return -EINVAL;
                errno = 0;
                number = strtoull(at, &end, 10);
                if (errno == ERANGE)
                        return -ERANGE;
                at = end + strspn(end, " ");
                for (n = 0; isalpha((unsigned char)at[n]);)
                        n++;
                *ret_at = at;
                length = unit_length(text, at, n);
                if (length == 0)
                        return -EINVAL;
                if (number > 0 && length > (KB_TIME_NEVER - 1 - total) / number)
                        return -ERANGE;
                total += number * length;
                at += n;
                at += strspn(at, " ");
        } while (*at);
        *ret_usec = total;
        return 0;
}

void kb_duration_format(uint64_t usec, unsigned parts, char to[static KB_DURATION_TEXT_MAX])
{
        size_t used = 0;
        uint64_t last = 0;

        if (usec == KB_TIME_NEVER || usec == 0) {
                strcpy(to, usec == 0 ? "0" : "infinity"); /* both shorter than KB_DURATION_TEXT_MAX */
                return;
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(units) && usec > 0 && parts > 0; i++) {
                if (units[i].usec == last || usec < units[i].usec)
                        continue;
                last = units[i].usec;
                used += (size_t)snprintf(to + used, KB_DURATION_TEXT_MAX - used, "%s%llu%s", used ? " " : "",
                                         (unsigned long long)(usec / last), units[i].name);
                usec %= last;
                parts--;
        }
}
