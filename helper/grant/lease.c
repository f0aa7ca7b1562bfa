/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/lease.h"

#include <stdlib.h>
#include <string.h>

struct kb_lease *kb_lease_new(void)
{
        return calloc(1, sizeof(struct kb_lease) + KB_LEASE_ID_MAX + 1);
}

void kb_lease_free(struct kb_lease *lease)
{
        if (lease)
                kb_fields_free(lease->fields);
        free(lease);
}

struct kb_lease *kb_lease_fill(struct kb_lease *lease, const struct kb_lease_answer *answer, uint64_t now,
                               uint64_t left)
{
        size_t size = strnlen(answer->id, KB_LEASE_ID_MAX);
        struct kb_lease *smaller;

        lease->renewable = answer->renewable && answer->ttl > 0;
        lease->ttl = answer->ttl > 0 ? kb_lease_usec(answer->ttl) : 0;
        lease->ends = kb_time_add(now, answer->ttl > 0 ? left : KB_TIME_NEVER);
        lease->due = KB_TIME_NEVER;
        lease->fields = answer->fields;
        memcpy(lease->id, answer->id, size);
        lease->id[size] = '\0';
        smaller = realloc(lease, sizeof(*lease) + size + 1);
        return smaller ? smaller : lease;
}

uint64_t kb_lease_usec(uint64_t seconds)
{
        if (seconds == 0 || seconds >= KB_TIME_NEVER / KB_USEC_PER_SEC)
                return KB_TIME_NEVER;
        return seconds * KB_USEC_PER_SEC;
}

uint64_t kb_lease_left(const struct kb_lease *lease, uint64_t now)
{
        if (lease->ends == KB_TIME_NEVER)
                return KB_TIME_NEVER;
        return lease->ends > now ? lease->ends - now : 0;
}

/* splitmix64: small, and good enough to keep hosts apart. Nothing secret hangs on it. */
static uint64_t draw(uint64_t *random)
{
        uint64_t z = *random += 0x9e3779b97f4a7c15;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

uint64_t kb_lease_random(uint64_t *random, uint64_t limit)
{
        return limit == UINT64_MAX ? draw(random) : draw(random) % (limit + 1);
}

uint64_t kb_lease_backoff(uint64_t *random, unsigned failures, uint64_t left)
{
        uint64_t ceiling = failures < 16 ? KB_LEASE_FLOOR_USEC << failures : KB_LEASE_BACKOFF_USEC;

        if (ceiling > KB_LEASE_BACKOFF_USEC)
                ceiling = KB_LEASE_BACKOFF_USEC;
        if (ceiling > left / 2)
                ceiling = left / 2;
        return KB_LEASE_FLOOR_USEC + kb_lease_random(random, ceiling);
}

bool kb_lease_error_passes(enum kb_error error)
{
        switch (error) {
        case KB_E_DENIED:
        case KB_E_NOT_FOUND:
        case KB_E_BAD_REQUEST:
        case KB_E_EXPIRED:
        case KB_E_UNSUPPORTED:
        case KB_E_CONFLICT:
        case KB_E_LOCKED:
        case KB_E_BAD_SECRET:
        case KB_E_WEAK:
                return false;
        default:
                return true;
        }
}

bool kb_lease_error_is_gone(enum kb_error error)
{
        switch (error) {
        case KB_E_OK:
        case KB_E_NOT_FOUND:
        case KB_E_EXPIRED:
        case KB_E_UNSUPPORTED: /* a store without leases */
                return true;
        default:
                return false;
        }
}
