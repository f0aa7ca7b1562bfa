/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypted credentials when the disk or libcrypto fails: no key, no text, no secret comes out. */
#include "tests/unit/test.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "helper/grant/sdcred.h"
#include "tests/unit/folder.h"

static const char *failing; /* the call that fails, every time */
static unsigned interrupts; /* so many reads are interrupted first */

static bool fails(const char *call)
{
        return failing && strcmp(failing, call) == 0;
}

#define WRAP(type, name, parameters, arguments, failure)                                                    \
        type __real_##name parameters;                                                                      \
        type __wrap_##name parameters;                                                                      \
        type __wrap_##name parameters                                                                       \
        {                                                                                                   \
                return fails(#name) ? (failure) : __real_##name arguments;                                  \
        }

WRAP(int, RAND_bytes, (unsigned char *to, int size), (to, size), 0)
WRAP(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), (), NULL)
WRAP(int, EVP_EncryptFinal_ex, (EVP_CIPHER_CTX * c, unsigned char *to, int *size), (c, to, size), 0)
WRAP(int, EVP_DecryptUpdate,
     (EVP_CIPHER_CTX * c, unsigned char *to, int *to_size, const unsigned char *from, int size),
     (c, to, to_size, from, size), 0)
WRAP(int, EVP_Digest,
     (const void *data, size_t size, unsigned char *to, unsigned *to_size, const EVP_MD *type, ENGINE *e),
     (data, size, to, to_size, type, e), 0)
WRAP(unsigned char *, HMAC,
     (const EVP_MD *type, const void *key, int key_size, const unsigned char *data, size_t size,
      unsigned char *to, unsigned *to_size),
     (type, key, key_size, data, size, to, to_size), NULL)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), (errno = EIO, -1))

ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size);
ssize_t __wrap_read(int fd, void *to, size_t size)
{
        if (interrupts > 0) {
                interrupts--;
                errno = EINTR;
                return -1;
        }
        if (fails("read")) {
                errno = EIO;
                return -1;
        }
        return __real_read(fd, to, size);
}

static const struct kb_host_key key = {.key = "fault"};

/* The mark is that of a machine id of zeros. */
static const char *secret_file(void)
{
        static const uint8_t mark[16] = {0xb2, 0x36, 0x55, 0x64, 0x42, 0xf0, 0x4a, 0x5a,
                                         0x95, 0xb0, 0xa8, 0x91, 0xaa, 0x1e, 0xd0, 0xa4};
        static const char secret[100] = "secret";
        const char *path = in_folder("secret");
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_ok(fd);
        assert_int_equal(write(fd, mark, sizeof(mark)), sizeof(mark));
        assert_int_equal(write(fd, secret, sizeof(secret)), sizeof(secret));
        return path;
}

static void a_key_that_cannot_be_read_is_none(void **state)
{
        static const char *const calls[] = {"fstat", "read", "HMAC", "EVP_Digest"};
        static const uint8_t machine[16];
        struct kb_host_key got = {.key = "untouched"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(calls); i++) {
                failing = calls[i];
                assert_int_equal(kb_sdcred_host_key_load(secret_file(), machine, &got), -EIO);
                assert_string_equal((const char *)got.key, "untouched");
        }
        failing = NULL;
        interrupts = 3;
        assert_ok(kb_sdcred_host_key_load(secret_file(), machine, &got));
        assert_int_equal(interrupts, 0);
}

static void nothing_comes_out_when_libcrypto_fails(void **state)
{
        static const struct {
                const char *call;
                int encrypting, decrypting;
        } table[] = {
                {"RAND_bytes", -EIO, 0},
                {"EVP_CIPHER_CTX_new", -ENOMEM, -ENOMEM},
                {"EVP_EncryptFinal_ex", -EIO, 0},
                {"EVP_DecryptUpdate", 0, -EIO},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_writer_ struct kb_writer good = kb_writer_init(4096);
                _cleanup_writer_ struct kb_writer text = kb_writer_init(4096);
                _cleanup_writer_ struct kb_writer plain = kb_writer_init(4096);

                failing = NULL;
                assert_ok(kb_sdcred_encrypt(&key, "a", 0, 1, KB_SPAN_STRING("secret"), &good));
                failing = table[i].call;
                assert_int_equal(kb_sdcred_encrypt(&key, "a", 0, 1, KB_SPAN_STRING("secret"), &text),
                                 table[i].encrypting);
                assert_int_equal(text.size == 0, table[i].encrypting < 0);
                assert_int_equal(kb_sdcred_decrypt(&key, "a", 0, KB_SPAN(good.data, good.size), &plain),
                                 table[i].decrypting);
                assert_int_equal(plain.size == 0, table[i].decrypting < 0);
        }
        failing = NULL;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_key_that_cannot_be_read_is_none),
                cmocka_unit_test(nothing_comes_out_when_libcrypto_fails),
        };

        return cmocka_run_group_tests_name("sdcred-faults", tests, test_folder_make, test_folder_remove);
}
