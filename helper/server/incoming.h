/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One frame on its way in over a non-blocking stream, for both sides of the wire. */

#include "common/protocol.h"

struct kb_incoming {
        uint8_t head[4]; /* the size field, until it is known how much to expect */
        uint8_t *frame;  /* as a whole once kb_incoming_receive() returned 1; wiped with the rest */
        size_t size;
        size_t have;
};

/*
 * Takes what fd has. 1 when the frame is complete; 0 when more has to come; -ECONNRESET at the end of the
 * stream, -EMSGSIZE when it claims to be longer than max, -EBADMSG when it is shorter than a frame can be,
 * -ENOMEM, or what recv(2) says. Reads nothing behind the frame.
 */
int kb_incoming_receive(struct kb_incoming *in, int fd, size_t max) _must_check_;

/* Makes room for the next one; wipes. */
void kb_incoming_done(struct kb_incoming *in);
