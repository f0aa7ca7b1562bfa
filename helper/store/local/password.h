/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Passwords: yescrypt through crypt(3), and the quality rules of libpwquality with the host's
 * pwquality.conf. Slow on purpose; safe in threads; nothing here knows the store.
 */

#include "helper/store/problem.h"

#include "common/secret.h"

#define KB_HASH_MAX     384 /* CRYPT_OUTPUT_SIZE of crypt(3) */
#define KB_PASSWORD_MAX 512 /* CRYPT_MAX_PASSPHRASE_SIZE */

/* 0, -EINVAL for a password with a NUL inside, empty or too long, -ENOMEM, -EIO. */
int kb_password_hash(struct kb_span password, char ret[KB_HASH_MAX]) _must_check_;

/*
 * Whether it is the password of this hash. hash NULL or empty: never, after the same time as for a real one,
 * so that nobody learns which names exist.
 */
bool kb_password_matches(struct kb_span password, const char *hash);

/* KB_E_WEAK with the reason. old may be empty: then likeness to it is not looked at. */
enum kb_error kb_password_quality(struct kb_span password, struct kb_span old, const char *user,
                                  struct kb_problem *problem);
