/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/pem.h"

#include <errno.h>
#include <openssl/pem.h>

static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
        return -1;
}

EVP_PKEY *kb_pem_key(struct kb_span pem)
{
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);

        return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
}

X509 *kb_pem_certificate(struct kb_span pem)
{
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);

        return bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
}

int kb_pem_take(BIO *bio, struct kb_writer *to)
{
        char *data;
        long size = BIO_get_mem_data(bio, &data);

        if (size <= 0)
                return -EIO;
        kb_write_raw(to, KB_SPAN(data, (size_t)size));
        kb_wipe(data, (size_t)size);
        return kb_writer_end(to);
}
