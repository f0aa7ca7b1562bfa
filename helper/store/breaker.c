/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/breaker.h"

#include "common/clock.h"
#include "helper/store/backoff.h"

#define OPEN_FIRST (2 * KB_USEC_PER_SEC)
#define OPEN_MAX   (30 * KB_USEC_PER_SEC)

bool kb_breaker_closed(const struct kb_breaker *b)
{
        return b->openings == 0;
}

uint64_t kb_breaker_probe_at(const struct kb_breaker *b)
{
        if (kb_breaker_closed(b))
                return 0;
        return b->probing ? KB_TIME_NEVER : b->until;
}

bool kb_breaker_probe(struct kb_breaker *b, uint64_t now)
{
        if (kb_breaker_closed(b) || b->probing || now < b->until)
                return false;
        b->probing = true;
        return true;
}

bool kb_breaker_good(struct kb_breaker *b)
{
        bool was_open = !kb_breaker_closed(b);

        *b = (struct kb_breaker){0};
        return was_open;
}

/* Half of it for sure, half of it spread. */
static void open_it(struct kb_breaker *b, uint64_t now, uint64_t random)
{
        uint64_t length = OPEN_FIRST;

        for (unsigned i = 0; i < b->openings && length < OPEN_MAX; i++)
                length *= 2;
        if (length > OPEN_MAX)
                length = OPEN_MAX;
        b->openings++;
        b->probing = false;
        b->until = kb_time_add(now, length / 2 + kb_spread(length / 2, random));
}

bool kb_breaker_bad(struct kb_breaker *b, uint64_t now, uint64_t random)
{
        if (!kb_breaker_closed(b) || ++b->failures < KB_BREAKER_FAILURES)
                return false;
        open_it(b, now, random);
        return true;
}

void kb_breaker_probe_bad(struct kb_breaker *b, uint64_t now, uint64_t random)
{
        if (b->probing) /* else an answer to somebody else has closed it meanwhile */
                open_it(b, now, random);
}

void kb_breaker_dropped(struct kb_breaker *b)
{
        b->probing = false;
}
