/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One-time codes that let a named person in while the store is away. A code is 125 random bits, so its
 * SHA-256 is enough to keep: nobody guesses from it. Written as 5 groups of 5 characters without I, L, O and
 * U; read without regard to case, blanks and '-', and with I, L and O taken for what they look like.
 */

#include <stdbool.h>

#include "common/wire.h"

#define KB_RECOVERY_MAX       20
#define KB_RECOVERY_CODE_SIZE 30 /* "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX" */

struct kb_recovery {
        uint8_t hashes[KB_RECOVERY_MAX][32];
        unsigned n;
        uint32_t used; /* since they were made */
};

/* Replaces all codes by n new ones, 1..20; they are only ever here in clear. 0, -EINVAL, -EIO. */
int kb_recovery_make(struct kb_recovery *recovery, unsigned n, char ret_codes[][KB_RECOVERY_CODE_SIZE])
        _must_check_;

/* Whether this is written as a code is; it need not be one of ours. */
bool kb_recovery_is_code(struct kb_span typed);

/* True once for each code: it is gone then. Takes the same time for every wrong one. */
bool kb_recovery_use(struct kb_recovery *recovery, struct kb_span typed);

/* As bytes for a file, and back: 0 or -EBADMSG. */
void kb_recovery_put(const struct kb_recovery *recovery, struct kb_writer *w);
int kb_recovery_get(struct kb_span from, struct kb_recovery *ret) _must_check_;
