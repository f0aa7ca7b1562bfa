/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A key that is made here, and a request (PKCS #10, RFC 2986) to have a certificate made for it. */

#include "common/wire.h"

#define KB_PEM_MAX ((size_t)64 * 1024)

/* EC P-256. Both in PEM, the key in PKCS #8. Names are the signer's to set. 0 or -EIO, -EMSGSIZE. */
int kb_csr_new(struct kb_writer *ret_key, struct kb_writer *ret_csr) _must_check_;

/* Whether the certificate, in PEM, is for that key. */
bool kb_csr_matches(struct kb_span certificate, struct kb_span key);
