/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Certificates and revocation lists (RFC 5280) with libcrypto. Keys are P-256 with SHA-256: everything that
 * speaks TLS takes them. No policy here: whoever calls has decided what may be in a certificate (role.h).
 *
 * 0, -EINVAL for text that makes no name or address, -EBADMSG for a PEM that is none, -EIO from libcrypto,
 * -ENOMEM.
 */

#include "common/wire.h"

#define KB_SERIAL_TEXT 33 /* 16 bytes in hex, NUL */
#define KB_PEM_MAX     16384

/* A fresh key as PEM (PKCS #8). */
int kb_x509_key(struct kb_writer *ret_pem) _must_check_;

/* A fresh serial number: 126 random bits (RFC 5280 4.1.2.2 wants at most 20 bytes, unpredictable). */
int kb_x509_serial(char ret[KB_SERIAL_TEXT]) _must_check_;

struct kb_x509_signer {
        struct kb_span certificate; /* PEM */
        struct kb_span key;         /* PEM */
};

enum kb_x509_use { KB_X509_SERVER = 1 << 0, KB_X509_CLIENT = 1 << 1 };

struct kb_x509_subject {
        const char *common_name;     /* may be empty */
        struct kb_list dns, ip, uri; /* strings: subject alternative names */
        const char *serial;
        uint64_t not_before, not_after; /* seconds since the epoch */
        unsigned uses;                  /* enum kb_x509_use */
};

/* A CA that signs itself; and a certificate for the key, by a CA. PEM both. */
int kb_x509_self_sign(const struct kb_x509_subject *subject, struct kb_span key, struct kb_writer *ret_pem)
        _must_check_;
int kb_x509_issue(const struct kb_x509_subject *subject, struct kb_span key,
                  const struct kb_x509_signer *signer, struct kb_writer *ret_pem) _must_check_;

struct kb_x509_revoked {
        char serial[KB_SERIAL_TEXT];
        uint64_t when; /* seconds since the epoch */
};

/* A revocation list, PEM. */
int kb_x509_crl(const struct kb_x509_signer *signer, uint64_t number, uint64_t this_update,
                uint64_t next_update, const struct kb_x509_revoked *revoked, size_t n,
                struct kb_writer *ret_pem) _must_check_;
