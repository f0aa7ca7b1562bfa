/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT    1
#define SALT_SIZE 16

struct kb_keyring {
        struct {
                uint64_t generation;
                uint8_t root[KB_KEY_SIZE];
        } keys[KB_KEYRING_MAX]; /* oldest first */
        unsigned n;
        struct kb_damage *damage; /* not a key: opening leaves the keys as they are */
};

int kb_keyring_new(struct kb_keyring **ret)
{
        struct kb_keyring *k = kb_secret_alloc(sizeof(*k));

        if (!k)
                return -ENOMEM;
        k->damage = calloc(1, sizeof(*k->damage));
        if (!k->damage) {
                kb_secret_free(k);
                return -ENOMEM;
        }
        *ret = k;
        return 0;
}

void kb_keyring_free(struct kb_keyring *k)
{
        if (k)
                free(k->damage);
        kb_secret_free(k);
}

void kb_keyring_blame(const struct kb_keyring *k, const struct kb_place *place)
{
        snprintf(k->damage->purpose, sizeof(k->damage->purpose), "%s", place->purpose);
        snprintf(k->damage->name, sizeof(k->damage->name), "%s", place->name);
        k->damage->version = place->version;
}

const struct kb_damage *kb_keyring_damage(const struct kb_keyring *k)
{
        return k->damage;
}

int kb_keyring_add(struct kb_keyring *k, uint64_t generation, const uint8_t root[KB_KEY_SIZE])
{
        unsigned at = k->n;

        if (kb_keyring_has(k, generation))
                return 0;
        if (k->n == KB_KEYRING_MAX)
                return -ENOSPC;
        for (; at > 0 && k->keys[at - 1].generation > generation; at--)
                k->keys[at] = k->keys[at - 1];
        k->keys[at].generation = generation;
        memcpy(k->keys[at].root, root, KB_KEY_SIZE);
        k->n++;
        return 0;
}

void kb_keyring_drop(struct kb_keyring *k, uint64_t generation)
{
        for (unsigned i = 0; i < k->n; i++) {
                if (k->keys[i].generation != generation)
                        continue;
                for (; i + 1 < k->n; i++)
                        k->keys[i] = k->keys[i + 1];
                kb_wipe(&k->keys[--k->n], sizeof(k->keys[0]));
                return;
        }
}

uint64_t kb_keyring_newest(const struct kb_keyring *k)
{
        return k->n > 0 ? k->keys[k->n - 1].generation : 0;
}

const uint8_t *kb_keyring_root(const struct kb_keyring *k, uint64_t generation)
{
        for (unsigned i = 0; i < k->n; i++)
                if (k->keys[i].generation == generation)
                        return k->keys[i].root;
        return NULL;
}

bool kb_keyring_has(const struct kb_keyring *k, uint64_t generation)
{
        return kb_keyring_root(k, generation);
}

int kb_keyring_derive(const struct kb_keyring *k, uint64_t generation, const char *purpose,
                      uint8_t ret[KB_KEY_SIZE])
{
        const uint8_t *root = kb_keyring_root(k, generation);

        if (!root)
                return -ENOKEY;
        return kb_crypto_hkdf(KB_SPAN(root, KB_KEY_SIZE), KB_SPAN_STRING("keybearer local store"),
                              KB_SPAN_STRING(purpose), ret);
}

static int record_key(const struct kb_keyring *k, uint64_t generation, const char *purpose,
                      const uint8_t *salt, uint8_t *ret)
{
        uint8_t key[KB_KEY_SIZE];
        int r = kb_keyring_derive(k, generation, purpose, key);

        if (r >= 0)
                r = kb_crypto_hkdf(KB_SPAN(key, sizeof(key)), KB_SPAN(salt, SALT_SIZE),
                                   KB_SPAN_STRING("record"), ret);
        kb_wipe(key, sizeof(key));
        return r;
}

static int associated(struct kb_writer *w, const struct kb_place *place, uint64_t generation)
{
        kb_write_string(w, place->purpose, 64);
        kb_write_string(w, place->name, 1024);
        kb_write_u64(w, place->version);
        kb_write_u64(w, generation);
        return kb_writer_end(w);
}

int kb_keyring_seal(const struct kb_keyring *k, const struct kb_place *place, struct kb_span plain,
                    struct kb_writer *to)
{
        _cleanup_writer_ struct kb_writer context = kb_writer_init(2048);
        uint8_t head[1 + SALT_SIZE + KB_NONCE_SIZE] = {FORMAT}, key[KB_KEY_SIZE];
        uint64_t generation = kb_keyring_newest(k);
        int r;

        r = kb_crypto_random(head + 1, sizeof(head) - 1);
        if (r >= 0)
                r = associated(&context, place, generation);
        if (r >= 0)
                r = record_key(k, generation, place->purpose, head + 1, key);
        if (r < 0)
                return r;
        kb_write_raw(to, KB_SPAN(head, sizeof(head)));
        r = kb_crypto_seal(key, head + 1 + SALT_SIZE, KB_SPAN(context.data, context.size), plain, to);
        kb_wipe(key, sizeof(key));
        return r;
}

static int open_record(const struct kb_keyring *k, uint64_t generation, const struct kb_place *place,
                       struct kb_span sealed, struct kb_writer *to)
{
        _cleanup_writer_ struct kb_writer context = kb_writer_init(2048);
        const size_t head = 1 + SALT_SIZE + KB_NONCE_SIZE;
        uint8_t key[KB_KEY_SIZE];
        int r;

        if (sealed.size < KB_RECORD_EXTRA || sealed.data[0] != FORMAT)
                return -EBADMSG;
        r = associated(&context, place, generation);
        if (r >= 0)
                r = record_key(k, generation, place->purpose, sealed.data + 1, key);
        if (r < 0)
                return r;
        r = kb_crypto_open(key, sealed.data + 1 + SALT_SIZE, KB_SPAN(context.data, context.size),
                           KB_SPAN(sealed.data + head, sealed.size - head), to);
        kb_wipe(key, sizeof(key));
        return r;
}

int kb_keyring_open(const struct kb_keyring *k, uint64_t generation, const struct kb_place *place,
                    struct kb_span sealed, struct kb_writer *to)
{
        int r = open_record(k, generation, place, sealed, to);

        if (r == -EBADMSG || r == -ENOKEY)
                kb_keyring_blame(k, place);
        return r;
}
