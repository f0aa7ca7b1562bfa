/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"

#include <limits.h>
#include <time.h>

static uint64_t now(clockid_t id)
{
        struct timespec ts = {0};

        clock_gettime(id, &ts);
        return (uint64_t)ts.tv_sec * KB_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t kb_now_monotonic(void)
{
        return now(CLOCK_MONOTONIC);
}

uint64_t kb_now_realtime(void)
{
        return now(CLOCK_REALTIME);
}

uint64_t kb_now_boottime(void)
{
        return now(CLOCK_BOOTTIME);
}

uint64_t kb_time_add(uint64_t a, uint64_t b)
{
        return a > KB_TIME_NEVER - b ? KB_TIME_NEVER : a + b;
}

int kb_time_poll_ms(uint64_t now_usec, uint64_t deadline)
{
        uint64_t left;

        if (deadline <= now_usec)
                return 0;
        left = (deadline - now_usec + KB_USEC_PER_MSEC - 1) / KB_USEC_PER_MSEC;
        return left > INT_MAX ? INT_MAX : (int)left;
}
