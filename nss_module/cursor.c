/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/cursor.h"

#include <string.h>

void kb_cursor_rewind(struct kb_cursor *c)
{
        *c = (struct kb_cursor){};
}

uint32_t kb_cursor_index(const struct kb_cursor *c, const struct kb_nss_view *view, uint32_t count,
                         kb_name_at name_at)
{
        uint32_t low = 0, high = count;

        if (c->last[0] == '\0')
                return 0;
        if (c->number == view->number)
                return c->next;
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                const char *name = name_at(view, middle);

                if (name && strcmp(name, c->last) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

void kb_cursor_advance(struct kb_cursor *c, const struct kb_nss_view *view, uint32_t index, const char *name)
{
        size_t size = strnlen(name, KB_USER_NAME_MAX);

        c->number = view->number;
        c->next = index + 1;
        memcpy(c->last, name, size);
        c->last[size] = '\0';
}
