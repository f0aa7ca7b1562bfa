/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "common/secret.h"

/* Small letters and a NUL: ret needs 2 * size + 1 bytes. */
void kb_hex(struct kb_span bytes, char *ret);

/* Exactly size bytes from exactly 2 * size digits, small letters only; false and ret untouched otherwise. */
bool kb_unhex(const char *text, size_t length, uint8_t *ret, size_t size);
