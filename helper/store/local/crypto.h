/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The few primitives the local store is made of, each one call of libcrypto: random bytes, HKDF-SHA256
 * (RFC 5869), HMAC-SHA256 (RFC 2104), AES-256-GCM (NIST SP 800-38D), and a box for the holder of an X25519
 * key (RFC 7748). What is done with them, and why, is in docs/LOCAL-STORE.md.
 *
 * All return 0 or a negative errno; -EBADMSG where bytes do not belong to the key; -EIO when libcrypto fails
 * for reasons of its own.
 */

#include "common/wire.h"

#define KB_KEY_SIZE   32
#define KB_NONCE_SIZE 12
#define KB_TAG_SIZE   16
#define KB_BOX_EXTRA  (KB_KEY_SIZE + KB_TAG_SIZE) /* a box is that much longer than what is in it */

int kb_crypto_random(void *ret, size_t size) _must_check_;

int kb_crypto_hkdf(struct kb_span secret, struct kb_span salt, struct kb_span info, uint8_t ret[KB_KEY_SIZE])
        _must_check_;

int kb_crypto_hmac(const uint8_t key[KB_KEY_SIZE], struct kb_span data, uint8_t ret[KB_KEY_SIZE])
        _must_check_;

int kb_crypto_sha256(struct kb_span data, uint8_t ret[32]) _must_check_;

/* Appends the ciphertext and its tag, or the plain text. The writer is untouched on failure. */
int kb_crypto_seal(const uint8_t key[KB_KEY_SIZE], const uint8_t nonce[KB_NONCE_SIZE],
                   struct kb_span associated, struct kb_span plain, struct kb_writer *to) _must_check_;
int kb_crypto_open(const uint8_t key[KB_KEY_SIZE], const uint8_t nonce[KB_NONCE_SIZE],
                   struct kb_span associated, struct kb_span sealed, struct kb_writer *to) _must_check_;

/* A pair of X25519 keys. */
int kb_crypto_pair(uint8_t ret_private[KB_KEY_SIZE], uint8_t ret_public[KB_KEY_SIZE]) _must_check_;
int kb_crypto_public(const uint8_t private[KB_KEY_SIZE], uint8_t ret_public[KB_KEY_SIZE]) _must_check_;

/*
 * Anybody who knows the public key can make a box, only the private key opens it. A fresh pair per box gives
 * a fresh AES key, so its nonce can be all zero.
 */
int kb_crypto_box(const uint8_t public[KB_KEY_SIZE], struct kb_span associated, struct kb_span plain,
                  struct kb_writer *to) _must_check_;
int kb_crypto_unbox(const uint8_t private[KB_KEY_SIZE], struct kb_span associated, struct kb_span box,
                    struct kb_writer *to) _must_check_;
