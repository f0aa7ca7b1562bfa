/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "common/cleanup.h"

KB_DEFINE_CLEANUP(EVP_KDF, EVP_KDF_free);
KB_DEFINE_CLEANUP(EVP_KDF_CTX, EVP_KDF_CTX_free);
KB_DEFINE_CLEANUP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free);
KB_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
KB_DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);

int kb_crypto_random(void *ret, size_t size)
{
        if (size > INT_MAX || RAND_priv_bytes(ret, (int)size) != 1)
                return -EIO;
        return 0;
}

int kb_crypto_hkdf(struct kb_span secret, struct kb_span salt, struct kb_span info, uint8_t ret[KB_KEY_SIZE])
{
        _cleanup_(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
        _cleanup_(EVP_KDF_CTX_freep) EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
        char digest[] = "SHA256";
        OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, sizeof(digest) - 1),
                OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret.data, secret.size),
                OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt.data, salt.size),
                OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, (void *)info.data, info.size),
                OSSL_PARAM_END,
        };

        if (!context || EVP_KDF_derive(context, ret, KB_KEY_SIZE, params) != 1)
                return -EIO;
        return 0;
}

int kb_crypto_hmac(const uint8_t key[KB_KEY_SIZE], struct kb_span data, uint8_t ret[KB_KEY_SIZE])
{
        return HMAC(EVP_sha256(), key, KB_KEY_SIZE, data.data, data.size, ret, NULL) ? 0 : -EIO;
}

int kb_crypto_sha256(struct kb_span data, uint8_t ret[32])
{
        return EVP_Digest(data.data, data.size, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

/* --- AES-256-GCM --- */

static EVP_CIPHER_CTX *cipher_new(bool seal, const uint8_t *key, const uint8_t *nonce,
                                  struct kb_span associated)
{
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        int n;

        if (!context || associated.size > INT_MAX ||
            EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, seal) != 1 ||
            EVP_CipherUpdate(context, NULL, &n, associated.data, (int)associated.size) != 1)
                return NULL;
        return take_ptr(context);
}

int kb_crypto_seal(const uint8_t key[KB_KEY_SIZE], const uint8_t nonce[KB_NONCE_SIZE],
                   struct kb_span associated, struct kb_span plain, struct kb_writer *to)
{
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *context = cipher_new(true, key, nonce, associated);
        _cleanup_secret_ uint8_t *sealed = NULL;
        int n, rest;

        if (plain.size > INT_MAX - KB_TAG_SIZE)
                return -EMSGSIZE;
        sealed = kb_secret_alloc(plain.size + KB_TAG_SIZE);
        if (!sealed)
                return -ENOMEM;
        if (!context || EVP_EncryptUpdate(context, sealed, &n, plain.data, (int)plain.size) != 1 ||
            EVP_EncryptFinal_ex(context, sealed + n, &rest) != 1 ||
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, KB_TAG_SIZE, sealed + plain.size) != 1)
                return -EIO;
        kb_write_raw(to, KB_SPAN(sealed, plain.size + KB_TAG_SIZE));
        return kb_writer_end(to);
}

int kb_crypto_open(const uint8_t key[KB_KEY_SIZE], const uint8_t nonce[KB_NONCE_SIZE],
                   struct kb_span associated, struct kb_span sealed, struct kb_writer *to)
{
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *context = cipher_new(false, key, nonce, associated);
        _cleanup_secret_ uint8_t *plain = NULL;
        size_t size;
        int n, rest;

        if (sealed.size < KB_TAG_SIZE || sealed.size > INT_MAX)
                return -EBADMSG;
        size = sealed.size - KB_TAG_SIZE;
        plain = kb_secret_alloc(size + 1);
        if (!plain)
                return -ENOMEM;
        if (!context || EVP_DecryptUpdate(context, plain, &n, sealed.data, (int)size) != 1 ||
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, KB_TAG_SIZE, (void *)(sealed.data + size)) !=
                    1)
                return -EIO;
        if (EVP_DecryptFinal_ex(context, plain + n, &rest) != 1)
                return -EBADMSG;
        kb_write_raw(to, KB_SPAN(plain, size));
        return kb_writer_end(to);
}

/* --- boxes --- */

int kb_crypto_public(const uint8_t private[KB_KEY_SIZE], uint8_t ret_public[KB_KEY_SIZE])
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
                EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, KB_KEY_SIZE);
        size_t size = KB_KEY_SIZE;

        return key && EVP_PKEY_get_raw_public_key(key, ret_public, &size) == 1 ? 0 : -EIO;
}

int kb_crypto_pair(uint8_t ret_private[KB_KEY_SIZE], uint8_t ret_public[KB_KEY_SIZE])
{
        int r = kb_crypto_random(ret_private, KB_KEY_SIZE);

        return r < 0 ? r : kb_crypto_public(ret_private, ret_public);
}

/* -EBADMSG also for the few public keys that give everybody the same shared secret: libcrypto refuses those.
 */
static int agree(const uint8_t *private, const uint8_t *public, const uint8_t *boxed_by,
                 const uint8_t *boxed_for, uint8_t *ret)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *ours = NULL, *theirs = NULL;
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *context = NULL;
        uint8_t shared[KB_KEY_SIZE], salt[2 * KB_KEY_SIZE];
        size_t size = sizeof(shared);
        int r;

        ours = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, KB_KEY_SIZE);
        theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, KB_KEY_SIZE);
        context = ours ? EVP_PKEY_CTX_new(ours, NULL) : NULL;
        if (!theirs || !context || EVP_PKEY_derive_init(context) != 1)
                return -EIO;
        if (EVP_PKEY_derive_set_peer(context, theirs) != 1 || EVP_PKEY_derive(context, shared, &size) != 1)
                return -EBADMSG;
        memcpy(salt, boxed_by, KB_KEY_SIZE);
        memcpy(salt + KB_KEY_SIZE, boxed_for, KB_KEY_SIZE);
        r = kb_crypto_hkdf(KB_SPAN(shared, size), KB_SPAN(salt, sizeof(salt)),
                           KB_SPAN_STRING("keybearer box"), ret);
        kb_wipe(shared, sizeof(shared));
        return r;
}

static const uint8_t zero_nonce[KB_NONCE_SIZE];

int kb_crypto_box(const uint8_t public[KB_KEY_SIZE], struct kb_span associated, struct kb_span plain,
                  struct kb_writer *to)
{
        uint8_t once_private[KB_KEY_SIZE], once_public[KB_KEY_SIZE], key[KB_KEY_SIZE];
        int r;

        r = kb_crypto_pair(once_private, once_public);
        if (r >= 0)
                r = agree(once_private, public, once_public, public, key);
        if (r >= 0) {
                kb_write_raw(to, KB_SPAN(once_public, sizeof(once_public)));
                r = kb_crypto_seal(key, zero_nonce, associated, plain, to);
        }
        kb_wipe(once_private, sizeof(once_private));
        kb_wipe(key, sizeof(key));
        return r;
}

int kb_crypto_unbox(const uint8_t private[KB_KEY_SIZE], struct kb_span associated, struct kb_span box,
                    struct kb_writer *to)
{
        uint8_t public[KB_KEY_SIZE], key[KB_KEY_SIZE];
        int r;

        if (box.size < KB_BOX_EXTRA)
                return -EBADMSG;
        r = kb_crypto_public(private, public);
        if (r >= 0)
                r = agree(private, box.data, box.data, public, key);
        if (r >= 0)
                r = kb_crypto_open(key, zero_nonce, associated,
                                   KB_SPAN(box.data + KB_KEY_SIZE, box.size - KB_KEY_SIZE), to);
        kb_wipe(key, sizeof(key));
        return r;
}
