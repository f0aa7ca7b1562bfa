/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Base64 (RFC 4648 section 4) between wiped buffers. */

#include "common/wire.h"

/* Appends the text, padded, without line breaks. */
void kb_base64_encode(struct kb_writer *out, struct kb_span bytes);

/*
 * Appends the bytes. Line breaks are skipped; anything else outside the alphabet, padding that is missing or
 * doubled, and bits behind the last byte that are not zero are -EBADMSG. A failure may leave bytes in `out`.
 */
int kb_base64_decode(struct kb_writer *out, struct kb_span text) _must_check_;
