/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/identity.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#include "common/file.h"
#include "common/hex.h"

#define FILE_NAME "identity"

struct on_disk {
        uint8_t id[16];
        uint8_t key[32];
};

int kb_log_identity_make(struct kb_log_identity *ret)
{
        struct kb_log_identity made;
        uint8_t id[16];

        if (getrandom(id, sizeof(id), 0) != sizeof(id) ||
            getrandom(made.key, sizeof(made.key), 0) != sizeof(made.key))
                return -errno;
        kb_hex(KB_SPAN(id, sizeof(id)), made.id);
        *ret = made;
        return 0;
}

int kb_log_identity_store(int dir_fd, const struct kb_log_identity *identity)
{
        struct on_disk bytes;
        int r;

        if (!kb_unhex(identity->id, strlen(identity->id), bytes.id, sizeof(bytes.id)))
                return -EINVAL;
        memcpy(bytes.key, identity->key, sizeof(bytes.key));
        r = kb_file_write_at(dir_fd, FILE_NAME, KB_SPAN(&bytes, sizeof(bytes)), 0600);
        kb_wipe(&bytes, sizeof(bytes));
        return r;
}

int kb_log_identity_load(int dir_fd, struct kb_log_identity *ret)
{
        struct on_disk bytes;
        int r;

        r = kb_file_read_exactly_at(dir_fd, FILE_NAME, &bytes, sizeof(bytes));
        if (r < 0)
                return r;
        kb_hex(KB_SPAN(bytes.id, sizeof(bytes.id)), ret->id);
        memcpy(ret->key, bytes.key, sizeof(ret->key));
        kb_wipe(&bytes, sizeof(bytes));
        return 0;
}

void kb_fingerprint_text(const struct kb_log_identity *identity, const char *secret_id,
                         char ret[KB_FINGERPRINT_MAX])
{
        uint8_t mac[EVP_MAX_MD_SIZE];

        ret[0] = '\0';
        if (!secret_id || !secret_id[0])
                return;
        if (HMAC(EVP_sha256(), identity->key, sizeof(identity->key), (const uint8_t *)secret_id,
                 strlen(secret_id), mac, NULL))
                kb_hex(KB_SPAN(mac, (KB_FINGERPRINT_MAX - 1) / 2), ret);
}
