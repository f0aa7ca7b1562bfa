/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory that runs out, for programs linked with $(MEMORY_FAULTS): the allocation that memory_left counts
 * down to fails, and only that one. Our own code is meant: libraries that are shared allocate for
 * themselves.
 */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int memory_left; /* 0: all succeed */

static inline int memory_fails(void)
{
        return atomic_load(&memory_left) > 0 && atomic_fetch_sub(&memory_left, 1) == 1;
}

#define MEMORY_FAULT(name, parameters, arguments)                                                           \
        void *__real_##name parameters;                                                                     \
        void *__wrap_##name parameters;                                                                     \
        void *__wrap_##name parameters                                                                      \
        {                                                                                                   \
                return memory_fails() ? NULL : __real_##name arguments;                                     \
        }
MEMORY_FAULT(malloc, (size_t size), (size))
MEMORY_FAULT(calloc, (size_t n, size_t size), (n, size))
MEMORY_FAULT(realloc, (void *p, size_t size), (p, size))
MEMORY_FAULT(strdup, (const char *text), (text))
#undef MEMORY_FAULT
