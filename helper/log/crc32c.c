/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[256];

static void make_table(void)
{
        for (uint32_t i = 0; i < 256; i++) {
                uint32_t c = i;

                for (int bit = 0; bit < 8; bit++)
                        c = (c >> 1) ^ (c & 1 ? POLYNOMIAL : 0);
                table[i] = c;
        }
}

uint32_t kb_crc32c(struct kb_span bytes)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        uint32_t c = UINT32_MAX;

        pthread_once(&once, make_table);
        for (size_t i = 0; i < bytes.size; i++)
                c = (c >> 8) ^ table[(c ^ bytes.data[i]) & 0xff];
        return ~c;
}
