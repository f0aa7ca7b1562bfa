/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Values as other languages write them. Each appends to `out`, whose owner looks at kb_writer_end() at last.
 */

#include <stdbool.h>

#include "common/wire.h"

/* Whether these bytes are UTF-8 (RFC 3629: shortest forms, no surrogates). A NUL is a character like others.
 */
bool kb_encode_is_utf8(struct kb_span bytes);

/* Whether a line of text can carry them: UTF-8 without control characters, but those that are listed. */
bool kb_encode_is_text(struct kb_span bytes, const char *and_these);

/* A string with its quotes (RFC 8259 section 7). The bytes have to be UTF-8. */
void kb_encode_json(struct kb_writer *out, struct kb_span bytes);

/* Percent-encoded but for the unreserved characters (RFC 3986 section 2.3): safe in every part of a URL. */
void kb_encode_url(struct kb_writer *out, struct kb_span bytes);

/* In double quotes, as sh(1) and EnvironmentFile= of systemd.exec(5) read it. */
void kb_encode_shell(struct kb_writer *out, struct kb_span bytes);
