/* SPDX-License-Identifier: Apache-2.0 */
#include "common/secret.h"

#include <stdlib.h>
#include <string.h>

/* The size stands in front of the payload, so that free() cannot forget a byte. */
struct header {
        size_t size;
        size_t guard; /* keeps the payload aligned for any type */
};

void *kb_secret_alloc(size_t size)
{
        struct header *h;

        if (size > SIZE_MAX - sizeof(*h) - 1)
                return NULL;
        h = calloc(1, sizeof(*h) + size + 1);
        if (!h)
                return NULL;
        h->size = size;
        return h + 1;
}

void kb_secret_free(void *p)
{
        struct header *h;

        if (!p)
                return;
        h = (struct header *)p - 1;
        kb_wipe(p, h->size);
        free(h);
}

uint8_t *kb_secret_dup(struct kb_span span)
{
        uint8_t *copy = kb_secret_alloc(span.size);

        if (copy && span.size > 0)
                memcpy(copy, span.data, span.size);
        return copy;
}

void kb_wipe(void *p, size_t size)
{
        if (size > 0)
                explicit_bzero(p, size);
}

bool kb_secret_equal(struct kb_span a, struct kb_span b)
{
        uint8_t difference = 0;

        if (a.size != b.size)
                return false;
        for (size_t i = 0; i < a.size; i++)
                difference |= (uint8_t)(a.data[i] ^ b.data[i]);
        return difference == 0;
}
