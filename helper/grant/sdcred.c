/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/sdcred.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "helper/grant/base64.h"

#define MACHINE_ID_SIZE 16
#define SECRET_MAX      4096 /* systemd makes it this long */
#define ID_SIZE         16
#define IV_SIZE         12
#define TAG_SIZE        16
#define HEADER_SIZE     48 /* id, four u32, IV, padded */
#define META_SIZE       20 /* two u64, one u32, before the name */
#define NAME_MAX_       255

static const uint8_t host_key_id[ID_SIZE] = {0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96,
                                             0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1, 0x9a};
static const uint32_t sizes[] = {32, 1, IV_SIZE, TAG_SIZE}; /* key, block, IV, tag */
static const uint8_t zeros[8];

static void cipher_freep(EVP_CIPHER_CTX **ctx)
{
        EVP_CIPHER_CTX_free(*ctx);
}

static size_t padding(size_t size)
{
        return -size % 8;
}

/* --- the host's secret --- */

/* Fills buffer up to size bytes; the count, or a negative errno. */
static ssize_t read_up_to(int fd, uint8_t *buffer, size_t size)
{
        size_t have = 0;

        while (have < size) {
                ssize_t n = read(fd, buffer + have, size - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                have += (size_t)n;
        }
        return (ssize_t)have;
}

/*
 * What systemd puts in front of the secret: the machine id as its credentials know it, so that the file does
 * not give the id itself away (sd_id128_get_machine_app_specific(3)).
 */
static bool machine_mark(const uint8_t machine_id[16], uint8_t ret[MACHINE_ID_SIZE])
{
        static const uint8_t application[16] = {0xd3, 0xac, 0xec, 0xba, 0x0d, 0xad, 0x4c, 0xdf,
                                                0xb8, 0xc9, 0x38, 0x15, 0x28, 0x93, 0x6c, 0x58};
        uint8_t digest[32];

        if (!HMAC(EVP_sha256(), machine_id, 16, application, sizeof(application), digest, NULL))
                return false;
        digest[6] = (digest[6] & 0x0f) | 0x40; /* a random UUID, RFC 4122 section 4.4 */
        digest[8] = (digest[8] & 0x3f) | 0x80;
        memcpy(ret, digest, MACHINE_ID_SIZE);
        return true;
}

static int open_secret(const char *path)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
                return -EPERM;
        return take_fd(fd);
}

int kb_sdcred_host_key_load(const char *path, const uint8_t machine_id[16], struct kb_host_key *ret)
{
        _cleanup_secret_ uint8_t *file = kb_secret_alloc(MACHINE_ID_SIZE + SECRET_MAX + 1);
        _cleanup_close_ int fd = -1;
        uint8_t mark[MACHINE_ID_SIZE];
        struct kb_host_key key;
        ssize_t n;

        if (!file)
                return -ENOMEM;
        fd = open_secret(path);
        if (fd < 0)
                return fd;
        n = read_up_to(fd, file, MACHINE_ID_SIZE + SECRET_MAX + 1);
        if (n < 0)
                return (int)n;
        if (n <= MACHINE_ID_SIZE || n > MACHINE_ID_SIZE + SECRET_MAX)
                return -EBADMSG;
        if (!machine_mark(machine_id, mark))
                return -EIO;
        if (memcmp(file, mark, MACHINE_ID_SIZE) != 0)
                return -EREMOTE;
        if (EVP_Digest(file + MACHINE_ID_SIZE, (size_t)n - MACHINE_ID_SIZE, key.key, NULL, EVP_sha256(),
                       NULL) != 1)
                return -EIO;
        *ret = key;
        kb_host_key_done(&key);
        return 0;
}

void kb_host_key_done(struct kb_host_key *key)
{
        kb_wipe(key, sizeof(*key));
}

/* --- writing --- */

static void write_header(struct kb_writer *w, const uint8_t iv[IV_SIZE])
{
        kb_write_raw(w, KB_SPAN(host_key_id, ID_SIZE));
        for (size_t i = 0; i < KB_ARRAY_SIZE(sizes); i++)
                kb_write_u32(w, sizes[i]);
        kb_write_raw(w, KB_SPAN(iv, IV_SIZE));
        kb_write_raw(w, KB_SPAN(zeros, padding(w->size)));
}

static void write_body(struct kb_writer *w, const char *name, uint64_t now, uint64_t not_after,
                       struct kb_span plain)
{
        size_t start = w->size;

        kb_write_u64(w, now);
        kb_write_u64(w, not_after);
        kb_write_u32(w, (uint32_t)strlen(name));
        kb_write_raw(w, KB_SPAN_STRING(name));
        kb_write_raw(w, KB_SPAN(zeros, padding(w->size - start)));
        kb_write_raw(w, plain);
}

/* AES-256-GCM where it lies: body is replaced by its ciphertext. */
static int seal(const struct kb_host_key *key, struct kb_span header, const uint8_t iv[IV_SIZE],
                uint8_t *body, size_t size, uint8_t tag[TAG_SIZE])
{
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n;

        if (!ctx)
                return -ENOMEM;
        if (EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->key, iv) != 1 ||
            EVP_EncryptUpdate(ctx, NULL, &n, header.data, (int)header.size) != 1 ||
            EVP_EncryptUpdate(ctx, body, &n, body, (int)size) != 1 ||
            EVP_EncryptFinal_ex(ctx, body + n, &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) != 1)
                return -EIO;
        return 0;
}

int kb_sdcred_encrypt(const struct kb_host_key *key, const char *name, uint64_t now, uint64_t not_after,
                      struct kb_span plain, struct kb_writer *out)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        uint8_t iv[IV_SIZE], tag[TAG_SIZE];
        int r;

        if (!name || !name[0] || strnlen(name, NAME_MAX_ + 1) > NAME_MAX_ || not_after < now)
                return -EINVAL;
        if (plain.size > KB_SDCRED_PLAIN_MAX)
                return -EMSGSIZE;
        if (RAND_bytes(iv, sizeof(iv)) != 1)
                return -EIO;
        write_header(&w, iv);
        write_body(&w, name, now, not_after, plain);
        r = kb_writer_end(&w);
        if (r < 0)
                return r;
        r = seal(key, KB_SPAN(w.data, HEADER_SIZE), iv, w.data + HEADER_SIZE, w.size - HEADER_SIZE, tag);
        if (r < 0)
                return r;
        kb_write_raw(&w, KB_SPAN(tag, sizeof(tag)));
        r = kb_writer_end(&w);
        if (r < 0)
                return r;
        kb_base64_encode(out, KB_SPAN(w.data, w.size));
        return kb_writer_end(out);
}

/* --- reading --- */

static int unseal(const struct kb_host_key *key, uint8_t *credential, size_t size)
{
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        const uint8_t *iv = credential + ID_SIZE + sizeof(sizes);
        uint8_t *body = credential + HEADER_SIZE, *tag = credential + size - TAG_SIZE;
        int n, body_size = (int)(tag - body);

        if (!ctx)
                return -ENOMEM;
        if (EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->key, iv) != 1 ||
            EVP_DecryptUpdate(ctx, NULL, &n, credential, HEADER_SIZE) != 1 ||
            EVP_DecryptUpdate(ctx, body, &n, body, body_size) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) != 1)
                return -EIO;
        return EVP_DecryptFinal_ex(ctx, body + n, &n) == 1 ? 0 : -EBADMSG;
}

/* The header has one form only, as long as the key is the host's. */
static bool header_valid(struct kb_span credential)
{
        _cleanup_writer_ struct kb_writer expected = kb_writer_init(HEADER_SIZE);

        if (credential.size < HEADER_SIZE + META_SIZE + TAG_SIZE)
                return false;
        write_header(&expected, credential.data + ID_SIZE + sizeof(sizes));
        return kb_writer_end(&expected) == 0 && memcmp(expected.data, credential.data, HEADER_SIZE) == 0;
}

/* Judges what was authenticated. *ret points into body. */
static int judge(struct kb_span body, const char *name, uint64_t now, struct kb_span *ret)
{
        struct kb_reader r = kb_reader_init(body);
        uint64_t not_after;
        uint32_t name_size;
        size_t start;

        kb_read_u64(&r); /* when it was made: for people */
        not_after = kb_read_u64(&r);
        name_size = kb_read_u32(&r);
        if (r.failed || name_size > NAME_MAX_ || name_size > r.left)
                return -EBADMSG;
        start = META_SIZE + name_size;
        start += padding(start);
        if (start > body.size)
                return -EBADMSG;
        if (name_size != strlen(name) || memcmp(r.at, name, name_size) != 0)
                return -EKEYREJECTED;
        if (not_after < now)
                return -EKEYEXPIRED;
        *ret = KB_SPAN(body.data + start, body.size - start);
        return 0;
}

int kb_sdcred_decrypt(const struct kb_host_key *key, const char *name, uint64_t now, struct kb_span text,
                      struct kb_writer *out)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        struct kb_span plain;
        int r;

        r = kb_base64_decode(&w, text);
        if (r < 0)
                return r;
        if (!header_valid(KB_SPAN(w.data, w.size)))
                return -EBADMSG;
        r = unseal(key, w.data, w.size);
        if (r < 0)
                return r;
        r = judge(KB_SPAN(w.data + HEADER_SIZE, w.size - HEADER_SIZE - TAG_SIZE), name, now, &plain);
        if (r < 0)
                return r;
        kb_write_raw(out, plain);
        return kb_writer_end(out);
}
