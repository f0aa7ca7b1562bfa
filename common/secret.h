/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory that may hold a secret: wiped before it is given back, and without a printer on purpose. That it is
 * not swapped and not dumped is the work of the programs that hold secrets for long
 * (helper/server/process.h); a module inside a foreign program can only wipe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/macro.h"

/* A view of somebody else's bytes. Owns nothing. */
struct kb_span {
        const uint8_t *data;
        size_t size;
};

#define KB_SPAN(ptr, len) ((struct kb_span){(const uint8_t *)(ptr), (len)})
#define KB_SPAN_STRING(s) KB_SPAN((s), __builtin_strlen(s))

/* size zeroed bytes, or NULL when memory is out. Free with kb_secret_free(). size 0 gives a valid pointer.
 */
void *kb_secret_alloc(size_t size);

/* Wipes and frees. p may be NULL. */
void kb_secret_free(void *p);

/* A copy of span's bytes with a NUL behind them that size does not count; NULL when memory is out. */
uint8_t *kb_secret_dup(struct kb_span span);

/* Wipes size bytes at p; never optimised away. p may be NULL when size is 0. */
void kb_wipe(void *p, size_t size);

/* Compares in time that depends on the sizes alone. */
bool kb_secret_equal(struct kb_span a, struct kb_span b);

#define _cleanup_secret_ _cleanup_(kb_secret_freep)
static inline void kb_secret_freep(void *p)
{
        kb_secret_free(*(void **)p);
}
