/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The root keys, and the records sealed under them.
 *
 *   root key of a generation --HKDF, "purpose"--> key of a purpose --HKDF, 16 random bytes--> record's key
 *
 * A record is sealed for one place: its purpose (table), name, version and generation are associated data,
 * so it cannot be moved to another place without being noticed. Both the salt of its key and its nonce are
 * drawn anew for every encryption; no counter has to survive a crash or a database that was put back.
 *
 *   sealed record = 1 byte format (1), 16 bytes salt, 12 bytes nonce, AES-256-GCM ciphertext, 16 bytes tag
 */

#include "helper/store/local/crypto.h"

#define KB_RECORD_EXTRA (1 + 16 + KB_NONCE_SIZE + KB_TAG_SIZE)

/* The newest root key, and, while keys are rotated, the one before it. */
#define KB_KEYRING_MAX 2

struct kb_keyring;

/* Where a record lies. */
struct kb_place {
        const char *purpose;
        const char *name;
        uint64_t version;
};

/* The record that did not open last: with it one damaged among thousands has a name. name "": all did. */
struct kb_damage {
        char purpose[65];
        char name[520];
        uint64_t version;
};

int kb_keyring_new(struct kb_keyring **ret) _must_check_;
void kb_keyring_free(struct kb_keyring *k); /* wipes */
KB_DEFINE_CLEANUP(struct kb_keyring, kb_keyring_free);

/* -ENOSPC when there are KB_KEYRING_MAX already. A generation that is there is left as it is. */
int kb_keyring_add(struct kb_keyring *k, uint64_t generation, const uint8_t root[KB_KEY_SIZE]) _must_check_;
void kb_keyring_drop(struct kb_keyring *k, uint64_t generation);
bool kb_keyring_has(const struct kb_keyring *k, uint64_t generation);

/* The newest generation: new records are sealed under it. 0 when the ring is empty (sealed). */
uint64_t kb_keyring_newest(const struct kb_keyring *k);

/* The root key itself, for making the box of a seal slot; NULL when it is not there. */
const uint8_t *kb_keyring_root(const struct kb_keyring *k, uint64_t generation);

/* A key for something that is not a record. -ENOKEY. */
int kb_keyring_derive(const struct kb_keyring *k, uint64_t generation, const char *purpose,
                      uint8_t ret[KB_KEY_SIZE]) _must_check_;

/* Seals under the newest generation; opens under the one named. -ENOKEY, -EBADMSG. */
int kb_keyring_seal(const struct kb_keyring *k, const struct kb_place *place, struct kb_span plain,
                    struct kb_writer *to) _must_check_;
int kb_keyring_open(const struct kb_keyring *k, uint64_t generation, const struct kb_place *place,
                    struct kb_span sealed, struct kb_writer *to) _must_check_;

/* Who finds out otherwise that a record is not what it should be says so here. */
void kb_keyring_blame(const struct kb_keyring *k, const struct kb_place *place);
const struct kb_damage *kb_keyring_damage(const struct kb_keyring *k);
