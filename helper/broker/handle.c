/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/handle.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

int kb_handle_make(char ret[static KB_HANDLE_SIZE])
{
        uint64_t random[2];

        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return -EIO;
        snprintf(ret, KB_HANDLE_SIZE, "%016llx%016llx", (unsigned long long)random[0],
                 (unsigned long long)random[1]);
        return 0;
}
