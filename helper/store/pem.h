/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Certificates and private keys in PEM (RFC 7468), between memory of ours and OpenSSL's objects. Nobody is
 * asked for a passphrase: a store has no terminal, so a key that needs one is no key.
 */

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/wire.h"

/* The first one in the text; NULL when there is none. The caller frees it. */
EVP_PKEY *kb_pem_key(struct kb_span pem) _must_check_;
X509 *kb_pem_certificate(struct kb_span pem) _must_check_;

/* Moves what was written to a BIO of memory behind what `to` has, and wipes it there. 0; -EIO: there is
 * nothing; an error of the writer. */
int kb_pem_take(BIO *bio, struct kb_writer *to) _must_check_;

/* What releases them. */
KB_DEFINE_CLEANUP(BIO, BIO_free_all);
KB_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
KB_DEFINE_CLEANUP(X509, X509_free);
