/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Seal slots: the ways to the root key. Each slot is an X25519 key whose private half comes from one secret
 *
 *   systemd      32 random bytes, which systemd keeps encrypted to this host and hands to the service
 *   passphrase   argon2id of what somebody knows; salt and costs are the slot's parameters
 *   recovery     HKDF of a code that was shown once (recovery_code.h)
 *
 * and the database has a box with the root key for it. So the root key can be changed without anybody's
 * passphrase, and who has stolen an old root key cannot open the next one. A MAC on each box, under a key
 * from the same secret, proves that the box was made by a holder of the root key: with public keys alone
 * anybody could make one.
 */

#include "helper/store/local/local.h"

#define KB_SLOT_SEED_SIZE 32

/* From the secret to the seed of the slot. Slow for a passphrase: for the worker pool. Pure functions. */
struct kb_slot_costs {
        uint8_t salt[16];
        uint32_t passes;
        uint32_t kib;
        uint32_t lanes;
};
extern const struct kb_slot_costs kb_slot_costs_default; /* without a salt */
int kb_slot_seed_passphrase(struct kb_span passphrase, const struct kb_slot_costs *costs,
                            uint8_t ret[KB_SLOT_SEED_SIZE]) _must_check_;
int kb_slot_seed_recovery(struct kb_span text, uint8_t ret[KB_SLOT_SEED_SIZE]) _must_check_;

/* The costs as they lie in the database. -EBADMSG; also for costs that would take all the memory there is.
 */
void kb_slot_costs_put(struct kb_writer *w, const struct kb_slot_costs *costs);
int kb_slot_costs_get(struct kb_span from, struct kb_slot_costs *ret) _must_check_;

bool kb_slot_kind_valid(const char *kind);

struct kb_slot {
        char name[65];
        char kind[17];
        struct kb_span parameters; /* of a passphrase: its costs */
        uint64_t created;
        uint64_t used; /* when it last opened the root key; 0: never yet */
};

/* Adds a slot to an OPEN store, within the caller's transaction. */
enum kb_error kb_slot_add(struct kb_local *l, const struct kb_slot *slot,
                          const uint8_t seed[KB_SLOT_SEED_SIZE], struct kb_problem *problem);

/* KB_E_CONFLICT for the last one: nothing could open the store again. */
enum kb_error kb_slot_remove(struct kb_local *l, const char *name, struct kb_problem *problem);

/* Each slot in the order of the names; also when SEALED. What it gets is gone when it returns. */
int kb_slot_each(struct kb_local *l, int (*each)(const struct kb_slot *slot, void *userdata), void *userdata)
        _must_check_;

/* Makes a SEALED store OPEN (or OLD). KB_E_BAD_SECRET when the seed does not open this slot. */
enum kb_error kb_slot_unseal(struct kb_local *l, const char *name, const uint8_t seed[KB_SLOT_SEED_SIZE],
                             uint64_t now, struct kb_problem *problem);

/* Whether this seed opens the newest root key of a slot. 1, 0, or what the database says. */
int kb_slot_opens(struct kb_local *l, const char *name, const uint8_t seed[KB_SLOT_SEED_SIZE]) _must_check_;

/* Opens one box: the root key of a generation, with the seed of the slot. -EBADMSG. */
int kb_slot_open_box(const char *name, uint64_t generation, struct kb_span box, struct kb_span mac,
                     const uint8_t seed[KB_SLOT_SEED_SIZE], uint8_t ret_root[KB_KEY_SIZE]) _must_check_;

/* Makes a box for every slot with the newest root key, within the caller's transaction: rotation. */
int kb_slot_box_all(struct kb_local *l) _must_check_;

/* The text that systemd keeps for a slot, "NAME:64 hex digits", and back. -EINVAL. */
#define KB_SLOT_TEXT_MAX 132
void kb_slot_text(const char *name, const uint8_t seed[KB_SLOT_SEED_SIZE], char ret[KB_SLOT_TEXT_MAX]);
int kb_slot_parse_text(struct kb_span text, char ret_name[65], uint8_t ret_seed[KB_SLOT_SEED_SIZE])
        _must_check_;
