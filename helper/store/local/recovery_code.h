/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A recovery code: 160 random bits for a person to write down, as nine groups of four characters,
 * "7DK3-09QX-...". The last group is a checksum, so that a slip of the pen is told from a wrong code. The
 * alphabet is Crockford's base 32: no I, L, O, U; what is read as I or L counts as 1, O as 0; case, blanks
 * and dashes do not matter.
 */

#include "common/secret.h"

#define KB_RECOVERY_BYTES 20
#define KB_RECOVERY_TEXT  45 /* 9 * 4 characters, 8 dashes, NUL */

/* 0 or -EIO. */
int kb_recovery_print(const uint8_t code[KB_RECOVERY_BYTES], char ret[KB_RECOVERY_TEXT]) _must_check_;

/* -EINVAL: not a code at all. -EBADMSG: a slip, the checksum does not match. */
int kb_recovery_parse(struct kb_span text, uint8_t ret[KB_RECOVERY_BYTES]) _must_check_;
