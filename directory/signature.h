/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who vouches for a signed document (head.h): Ed25519 with a key that administrators keep. Hosts have its
 * public half, or several while one replaces the other. With libcrypto.
 */

#include "directory/head.h"

#define KB_DIRECTORY_KEYS_MAX 8

/* Public keys. */
struct kb_directory_keys;

/*
 * From PEM, one "PUBLIC KEY" or several behind one another (RFC 8410). 0; -EBADMSG when there is none, one
 * too many, or one that is not for Ed25519; -ENOMEM.
 */
int kb_directory_keys_new(struct kb_directory_keys **ret, struct kb_span pem) _must_check_;
void kb_directory_keys_free(struct kb_directory_keys *keys);
KB_DEFINE_CLEANUP(struct kb_directory_keys, kb_directory_keys_free);

/*
 * Whether one of these keys signed the head, and every shard is the one that it names, and none is missing.
 * *ret and *ret_records point into the document. 0; -EBADMSG, with what is wrong in *ret_problem, a text of
 * ours.
 */
int kb_signature_check(const struct kb_directory_keys *keys, struct kb_span document, struct kb_head *ret,
                       struct kb_span *ret_records, const char **ret_problem) _must_check_;

/* The size and SHA-256 of some bytes. 0 or -EIO when libcrypto fails. */
int kb_shard_measure(struct kb_span bytes, struct kb_shard *ret) _must_check_;

/* --- the administrator's side --- */

/* A new pair as PEM: PKCS #8, not encrypted, and what kb_directory_keys_new() reads. 0 or -EIO. */
int kb_directory_key_make(struct kb_writer *private_pem, struct kb_writer *public_pem) _must_check_;

/*
 * Signs a body with a private key in PEM. 0; -EBADMSG when that is no key for Ed25519 that can be read
 * without a passphrase; -EIO.
 */
int kb_signature_make(struct kb_span private_pem, struct kb_span body, uint8_t ret[KB_SIGNATURE_SIZE])
        _must_check_;
