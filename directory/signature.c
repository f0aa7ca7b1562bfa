/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/signature.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#define BEGIN "-----BEGIN "

struct kb_directory_keys {
        EVP_PKEY *at[KB_DIRECTORY_KEYS_MAX];
        size_t n;
};

KB_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
KB_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);
static void bio_freep(BIO **bio)
{
        BIO_free(*bio);
}

static BIO *reading(struct kb_span bytes)
{
        return bytes.size <= INT32_MAX ? BIO_new_mem_buf(bytes.data, (int)bytes.size) : NULL;
}

/* --- public keys --- */

/* 1: another one was read; 0: there are no more. */
static int add_key(struct kb_directory_keys *keys, BIO *bio)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        char *left;
        long size = BIO_get_mem_data(bio, &left);

        if (size <= 0 || !memmem(left, (size_t)size, BEGIN, strlen(BEGIN)))
                return 0;
        key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 || keys->n == KB_DIRECTORY_KEYS_MAX)
                return -EBADMSG;
        keys->at[keys->n++] = take_ptr(key);
        return 1;
}

int kb_directory_keys_new(struct kb_directory_keys **ret, struct kb_span pem)
{
        _cleanup_(kb_directory_keys_freep) struct kb_directory_keys *keys = calloc(1, sizeof(*keys));
        _cleanup_(bio_freep) BIO *bio = reading(pem);
        int r = 1;

        if (!keys || !bio)
                return -ENOMEM;
        ERR_clear_error();
        while (r > 0)
                r = add_key(keys, bio);
        ERR_clear_error();
        if (r < 0 || keys->n == 0)
                return -EBADMSG;
        *ret = take_ptr(keys);
        return 0;
}

void kb_directory_keys_free(struct kb_directory_keys *keys)
{
        if (!keys)
                return;
        for (size_t i = 0; i < keys->n; i++)
                EVP_PKEY_free(keys->at[i]);
        free(keys);
}

/* --- what is signed --- */

static void put_signed(struct kb_writer *w, struct kb_span body)
{
        kb_write_raw(w, KB_SPAN_STRING(KB_HEAD_SIGNED));
        kb_write_raw(w, body);
}

static bool signed_by(EVP_PKEY *key, struct kb_span text, struct kb_span signature)
{
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                    EVP_DigestVerify(context, signature.data, signature.size, text.data, text.size) == 1;

        ERR_clear_error();
        return good;
}

static bool signed_by_one(const struct kb_directory_keys *keys, const struct kb_signed *it)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_HEAD_MAX);

        put_signed(&w, it->body);
        if (kb_writer_end(&w) < 0)
                return false;
        for (size_t i = 0; i < keys->n; i++)
                if (signed_by(keys->at[i], KB_SPAN(w.data, w.size), it->signature))
                        return true;
        return false;
}

int kb_shard_measure(struct kb_span bytes, struct kb_shard *ret)
{
        struct kb_shard shard = {.size = (uint32_t)bytes.size};

        if (bytes.size > UINT32_MAX ||
            EVP_Digest(bytes.data, bytes.size, shard.hash, NULL, EVP_sha256(), NULL) != 1)
                return -EIO;
        *ret = shard;
        return 0;
}

/* What is wrong, NULL when nothing is. */
static const char *check_shards(struct kb_list shards, struct kb_span bytes)
{
        struct kb_shard wanted, is;

        while (kb_head_next_shard(&shards, &wanted)) {
                if (wanted.size > bytes.size)
                        return "the directory has less than its head says";
                if (kb_shard_measure(KB_SPAN(bytes.data, wanted.size), &is) < 0)
                        return "libcrypto cannot hash";
                if (memcmp(is.hash, wanted.hash, sizeof(is.hash)) != 0)
                        return "a part of the directory is not the one that its head names";
                bytes = KB_SPAN(bytes.data + wanted.size, bytes.size - wanted.size);
        }
        return bytes.size > 0 ? "the directory has more than its head says" : NULL;
}

int kb_signature_check(const struct kb_directory_keys *keys, struct kb_span document, struct kb_head *ret,
                       struct kb_span *ret_records, const char **ret_problem)
{
        const char *problem = NULL;
        struct kb_signed it;
        struct kb_head head;

        if (kb_signed_get(document, &it) < 0)
                problem = "the directory is not signed";
        else if (!signed_by_one(keys, &it))
                problem = "the directory's signature is wrong: none of the keys of this host has made it";
        else if (kb_head_get(it.body, &head) < 0)
                problem = "the directory's head makes no sense; a newer Keybearer may have made it";
        else
                problem = check_shards(head.shards, it.shards);
        if (problem) {
                *ret_problem = problem;
                return -EBADMSG;
        }
        *ret = head;
        *ret_records = it.shards;
        return 0;
}

/* --- the administrator's side --- */

static int take_bio(BIO *bio, struct kb_writer *to)
{
        char *data;
        long size = BIO_get_mem_data(bio, &data);

        if (size <= 0)
                return -EIO;
        kb_write_raw(to, KB_SPAN(data, (size_t)size));
        return kb_writer_end(to);
}

int kb_directory_key_make(struct kb_writer *private_pem, struct kb_writer *public_pem)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        _cleanup_(bio_freep) BIO *secret = BIO_new(BIO_s_secmem()), *open = BIO_new(BIO_s_mem());
        int r = -EIO;

        if (key && secret && open &&
            PEM_write_bio_PKCS8PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1 &&
            PEM_write_bio_PUBKEY(open, key) == 1)
                r = take_bio(secret, private_pem);
        if (r >= 0)
                r = take_bio(open, public_pem);
        ERR_clear_error();
        return r;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
        return -1;
}

int kb_signature_make(struct kb_span private_pem, struct kb_span body, uint8_t ret[KB_SIGNATURE_SIZE])
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_HEAD_MAX);
        _cleanup_(bio_freep) BIO *bio = reading(private_pem);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
                bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        size_t size = KB_SIGNATURE_SIZE;
        int r = -EBADMSG;

        put_signed(&w, body);
        if (key && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519)
                r = kb_writer_end(&w) >= 0 && context &&
                                    EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                                    EVP_DigestSign(context, ret, &size, w.data, w.size) == 1
                            ? 0
                            : -EIO;
        ERR_clear_error();
        return r;
}
