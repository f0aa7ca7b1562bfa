/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/backoff.h"

#include "common/clock.h"

static const uint64_t ceilings[] = {1 * KB_USEC_PER_SEC, 2 * KB_USEC_PER_SEC, 4 * KB_USEC_PER_SEC};

uint64_t kb_backoff_ceiling(unsigned tries)
{
        size_t i = tries > 0 ? tries - 1 : 0;

        return ceilings[i < KB_ARRAY_SIZE(ceilings) ? i : KB_ARRAY_SIZE(ceilings) - 1];
}

uint64_t kb_spread(uint64_t limit, uint64_t random)
{
        return limit == UINT64_MAX ? random : random % (limit + 1);
}

uint64_t kb_backoff_wait(unsigned tries, uint64_t floor, uint64_t random)
{
        return kb_time_add(floor, kb_spread(kb_backoff_ceiling(tries), random));
}
