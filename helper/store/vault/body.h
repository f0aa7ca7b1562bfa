/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The JSON object of a request, written into memory that is wiped. Sticky like every writer of ours: look
 * once, at the end.
 *
 *   _cleanup_body_ struct kb_body b = kb_body_init();
 *   kb_body_text(&b, "role_id", role_id);
 *   kb_body_bytes(&b, "secret_id", KB_SPAN(secret, size));
 *   kb_body_open(&b, "options");
 *   kb_body_number(&b, "cas", 0);
 *   kb_body_close(&b);
 *   r = kb_body_end(&b);    // b.writer has it: {"role_id":"...","secret_id":"...","options":{"cas":0}}
 *
 * Inside a list the name is NULL.
 */

#include "common/wire.h"

#define KB_BODY_MAX   (1024 * 1024)
#define KB_BODY_DEPTH 16

struct kb_body {
        struct kb_writer writer;
        unsigned depth;
        bool list[KB_BODY_DEPTH]; /* at this depth stands a list, not an object */
        bool more;                /* something stands here already: a comma comes first */
        bool wrong;
};

struct kb_body kb_body_init(void);
void kb_body_done(struct kb_body *b); /* wipes */
#define _cleanup_body_ _cleanup_(kb_body_done)

void kb_body_text(struct kb_body *b, const char *name, const char *text);
/* Bytes that are UTF-8: a NUL and control characters are escaped. Other bytes make the body wrong: use
 * base64. */
void kb_body_bytes(struct kb_body *b, const char *name, struct kb_span bytes);
void kb_body_number(struct kb_body *b, const char *name, int64_t number);
void kb_body_flag(struct kb_body *b, const char *name, bool flag);
void kb_body_open(struct kb_body *b, const char *name); /* an object */
void kb_body_open_list(struct kb_body *b, const char *name);
void kb_body_close(struct kb_body *b); /* whichever was opened last */

/* Closes the outermost object. 0; -EMSGSIZE when it is too large; -EBADMSG when it was put together wrongly.
 */
int kb_body_end(struct kb_body *b) _must_check_;
