/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/csr.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "helper/store/pem.h"

KB_DEFINE_CLEANUP(X509_REQ, X509_REQ_free);
int kb_csr_new(struct kb_writer *ret_key, struct kb_writer *ret_csr)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(X509_REQ_freep) X509_REQ *csr = X509_REQ_new();
        _cleanup_(BIO_free_allp) BIO *key_pem = BIO_new(BIO_s_secmem()), *csr_pem = BIO_new(BIO_s_mem());
        int r;

        if (!key || !csr || !key_pem || !csr_pem || X509_REQ_set_pubkey(csr, key) != 1 ||
            X509_REQ_sign(csr, key, EVP_sha256()) <= 0 ||
            PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
            PEM_write_bio_X509_REQ(csr_pem, csr) != 1)
                return -EIO;
        r = kb_pem_take(key_pem, ret_key);
        return r < 0 ? r : kb_pem_take(csr_pem, ret_csr);
}

bool kb_csr_matches(struct kb_span certificate, struct kb_span key)
{
        _cleanup_(X509_freep) X509 *x509 = kb_pem_certificate(certificate);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = kb_pem_key(key);

        return x509 && pkey && X509_check_private_key(x509, pkey) == 1;
}
