/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/seal.h"

#include <argon2.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/hex.h"
#include "common/names.h"
#include "helper/store/local/recovery_code.h"

#define MAX_KIB    (1024 * 1024)
#define MAX_PASSES 64
#define MAX_LANES  16

/* RFC 9106 section 4, second recommended option: 64 MiB; one lane, since the pool is small. */
const struct kb_slot_costs kb_slot_costs_default = {.passes = 3, .kib = 64 * 1024, .lanes = 1};

static const char *const kinds[] = {"systemd", "passphrase", "recovery"};

bool kb_slot_kind_valid(const char *kind)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i], kind) == 0)
                        return true;
        return false;
}

/* --- from secret to seed --- */

int kb_slot_seed_passphrase(struct kb_span passphrase, const struct kb_slot_costs *costs,
                            uint8_t ret[KB_SLOT_SEED_SIZE])
{
        int r = argon2id_hash_raw(costs->passes, costs->kib, costs->lanes, passphrase.data, passphrase.size,
                                  costs->salt, sizeof(costs->salt), ret, KB_SLOT_SEED_SIZE);

        if (r == ARGON2_MEMORY_ALLOCATION_ERROR)
                return -ENOMEM;
        return r == ARGON2_OK ? 0 : -EIO;
}

int kb_slot_seed_recovery(struct kb_span text, uint8_t ret[KB_SLOT_SEED_SIZE])
{
        uint8_t code[KB_RECOVERY_BYTES];
        int r = kb_recovery_parse(text, code);

        if (r >= 0)
                r = kb_crypto_hkdf(KB_SPAN(code, sizeof(code)), KB_SPAN_STRING("keybearer local store"),
                                   KB_SPAN_STRING("recovery code"), ret);
        kb_wipe(code, sizeof(code));
        return r;
}

void kb_slot_costs_put(struct kb_writer *w, const struct kb_slot_costs *costs)
{
        kb_write_bytes(w, KB_SPAN(costs->salt, sizeof(costs->salt)), sizeof(costs->salt));
        kb_write_u32(w, costs->passes);
        kb_write_u32(w, costs->kib);
        kb_write_u32(w, costs->lanes);
}

int kb_slot_costs_get(struct kb_span from, struct kb_slot_costs *ret)
{
        struct kb_reader r = kb_reader_init(from);
        struct kb_slot_costs costs = {};
        struct kb_span salt = kb_read_bytes(&r, sizeof(costs.salt));

        costs.passes = kb_read_u32(&r);
        costs.kib = kb_read_u32(&r);
        costs.lanes = kb_read_u32(&r);
        if (kb_reader_end(&r) < 0 || salt.size != sizeof(costs.salt) || costs.passes == 0 ||
            costs.passes > MAX_PASSES || costs.kib > MAX_KIB || costs.lanes == 0 || costs.lanes > MAX_LANES)
                return -EBADMSG;
        memcpy(costs.salt, salt.data, sizeof(costs.salt));
        *ret = costs;
        return 0;
}

/* --- boxes --- */

/* What names the slot and the generation: associated data of the box, and before it in what the MAC covers.
 */
static int label(struct kb_writer *w, const char *name, uint64_t generation)
{
        kb_write_string(w, name, 64);
        kb_write_u64(w, generation);
        return kb_writer_end(w);
}

static int mac_box(const uint8_t auth[KB_KEY_SIZE], const char *name, uint64_t generation,
                   struct kb_span box, uint8_t ret[KB_KEY_SIZE])
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1024);
        int r;

        r = label(&w, name, generation);
        kb_write_bytes(&w, box, 512);
        if (r >= 0)
                r = kb_writer_end(&w);
        return r < 0 ? r : kb_crypto_hmac(auth, KB_SPAN(w.data, w.size), ret);
}

static int auth_key(const uint8_t seed[KB_SLOT_SEED_SIZE], uint8_t ret[KB_KEY_SIZE])
{
        return kb_crypto_hkdf(KB_SPAN(seed, KB_SLOT_SEED_SIZE), KB_SPAN_STRING("keybearer local store"),
                              KB_SPAN_STRING("slot"), ret);
}

/* Puts the root key of one generation into a box for one slot. */
static int box_root(struct kb_local *l, const char *name, uint64_t generation, struct kb_span public,
                    const uint8_t auth[KB_KEY_SIZE])
{
        _cleanup_writer_ struct kb_writer box = kb_writer_init(512), context = kb_writer_init(512);
        uint8_t mac[KB_KEY_SIZE];
        int r;

        if (public.size != KB_KEY_SIZE)
                return -EUCLEAN;
        r = label(&context, name, generation);
        if (r >= 0)
                r = kb_crypto_box(public.data, KB_SPAN(context.data, context.size),
                                  KB_SPAN(kb_keyring_root(l->keys, generation), KB_KEY_SIZE), &box);
        if (r >= 0)
                r = mac_box(auth, name, generation, KB_SPAN(box.data, box.size), mac);
        if (r >= 0)
                r = kb_db_run(
                        l->db,
                        "INSERT OR REPLACE INTO boxes (slot, generation, box, mac) VALUES (?, ?, ?, ?)",
                        "subb", name, generation, KB_SPAN(box.data, box.size), KB_SPAN(mac, sizeof(mac)));
        return r < 0 ? r : 0;
}

int kb_slot_open_box(const char *name, uint64_t generation, struct kb_span box, struct kb_span mac,
                     const uint8_t seed[KB_SLOT_SEED_SIZE], uint8_t ret_root[KB_KEY_SIZE])
{
        _cleanup_writer_ struct kb_writer root = kb_writer_init(64), context = kb_writer_init(512);
        uint8_t auth[KB_KEY_SIZE], expected[KB_KEY_SIZE];
        int r = auth_key(seed, auth);

        if (r >= 0)
                r = mac_box(auth, name, generation, box, expected);
        kb_wipe(auth, sizeof(auth));
        if (r < 0)
                return r;
        if (!kb_secret_equal(mac, KB_SPAN(expected, sizeof(expected))))
                return -EBADMSG;
        r = label(&context, name, generation);
        if (r >= 0)
                r = kb_crypto_unbox(seed, KB_SPAN(context.data, context.size), box, &root);
        if (r < 0 || root.size != KB_KEY_SIZE)
                return r < 0 ? r : -EBADMSG;
        memcpy(ret_root, root.data, KB_KEY_SIZE);
        return 0;
}

static int unbox_root(struct kb_local *l, const char *name, uint64_t generation, struct kb_span box,
                      struct kb_span mac, const uint8_t seed[KB_SLOT_SEED_SIZE])
{
        uint8_t root[KB_KEY_SIZE];
        int r = kb_slot_open_box(name, generation, box, mac, seed, root);

        if (r >= 0)
                r = kb_keyring_add(l->keys, generation, root);
        kb_wipe(root, sizeof(root));
        return r;
}

/* The keys of a slot, as the sealed record has them. The table must say the same: it can be written by
 * anybody. */
static int slot_keys(const struct kb_object *o, struct kb_span in_table, struct kb_span *ret_public,
                     struct kb_span *ret_auth)
{
        if (!kb_list_find(o->pairs, "public", ret_public) || !kb_list_find(o->pairs, "auth", ret_auth) ||
            ret_auth->size != KB_KEY_SIZE || !kb_secret_equal(*ret_public, in_table))
                return -EBADMSG;
        return 0;
}

static int box_newest(struct kb_local *l, struct kb_query *q)
{
        _cleanup_object_ struct kb_object o = {};
        const struct kb_place place = {"slot", kb_query_string(q, 0), 0};
        struct kb_span public, auth;
        int r = kb_object_get(&l->shelf, "slot", place.name, &o);

        if (r >= 0)
                r = r == 0 ? -EBADMSG : slot_keys(&o, kb_query_blob(q, 1), &public, &auth);
        if (r == -EBADMSG)
                kb_keyring_blame(l->keys, &place);
        return r < 0 ? r : box_root(l, place.name, kb_keyring_newest(l->keys), public, auth.data);
}

int kb_slot_box_all(struct kb_local *l)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(l->db, &q, "SELECT name, public FROM slots", "");

        while (r >= 0 && (r = kb_query_next(&q)) > 0)
                r = box_newest(l, &q);
        return r;
}

/* While a rotation is unfinished there are two root keys, and records under each. */
static int box_each(struct kb_local *l, const char *name, struct kb_span public,
                    const uint8_t auth[KB_KEY_SIZE])
{
        int r = 0;

        for (uint64_t g = kb_keyring_newest(l->keys); r >= 0 && kb_keyring_has(l->keys, g); g--)
                r = box_root(l, name, g, public, auth);
        return r;
}

/* --- slots --- */

enum kb_error kb_slot_add(struct kb_local *l, const struct kb_slot *slot,
                          const uint8_t seed[KB_SLOT_SEED_SIZE], struct kb_problem *problem)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(4096);
        struct kb_span parameters = slot->parameters;
        uint8_t public[KB_KEY_SIZE], auth[KB_KEY_SIZE];
        int r;

        if (!kb_name_word_valid(slot->name) || !kb_slot_kind_valid(slot->kind))
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "a slot has a name, and is of kind systemd, passphrase or recovery");
        if (!parameters.data)
                parameters = KB_SPAN("", 0);
        r = kb_crypto_public(seed, public);
        if (r >= 0)
                r = auth_key(seed, auth);
        if (r >= 0)
                r = kb_db_run(l->db,
                              "INSERT INTO slots (name, kind, public, parameters, created, used)"
                              " VALUES (?, ?, ?, ?, ?, 0)",
                              "ssbbu", slot->name, slot->kind, KB_SPAN(public, sizeof(public)), parameters,
                              slot->created);
        if (r >= 0) {
                kb_list_add_pair(&pairs, "public", KB_SPAN(public, sizeof(public)));
                kb_list_add_pair(&pairs, "auth", KB_SPAN(auth, sizeof(auth)));
                r = kb_object_put(&l->shelf, "slot", slot->name, 0, kb_list_built(&pairs), slot->created);
        }
        if (r >= 0)
                r = box_each(l, slot->name, KB_SPAN(public, sizeof(public)), auth);
        kb_wipe(auth, sizeof(auth));
        if (r == -EEXIST)
                return kb_problem(problem, KB_E_CONFLICT, "there is a slot %s already", slot->name);
        return r < 0 ? kb_problem_errno(problem, r, "adding the slot") : KB_E_OK;
}

enum kb_error kb_slot_remove(struct kb_local *l, const char *name, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        uint64_t left;
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = kb_db_run(l->db, "DELETE FROM slots WHERE name = ?", "s", name);
        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no slot %s", name);
        if (r >= 0)
                r = kb_object_remove(&l->shelf, "slot", name);
        if (r >= 0)
                r = kb_db_number(l->db, &left, "SELECT count(*) FROM slots", "");
        if (r >= 0 && left == 0)
                return kb_problem(problem, KB_E_CONFLICT, "%s is the last slot: add another before", name);
        if (r >= 0)
                r = kb_db_commit(&t);
        return r < 0 ? kb_problem_errno(problem, r, "removing the slot") : KB_E_OK;
}

int kb_slot_each(struct kb_local *l, int (*each)(const struct kb_slot *slot, void *userdata), void *userdata)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(l->db, &q,
                            "SELECT name, kind, parameters, created, used FROM slots ORDER BY name", "");

        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                struct kb_slot slot = {.parameters = kb_query_blob(&q, 2)};

                snprintf(slot.name, sizeof(slot.name), "%s", kb_query_string(&q, 0));
                snprintf(slot.kind, sizeof(slot.kind), "%s", kb_query_string(&q, 1));
                slot.created = kb_query_u64(&q, 3);
                slot.used = kb_query_u64(&q, 4);
                r = each(&slot, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

int kb_slot_opens(struct kb_local *l, const char *name, const uint8_t seed[KB_SLOT_SEED_SIZE])
{
        _cleanup_query_ struct kb_query q = {};
        uint64_t generation = kb_keyring_newest(l->keys);
        uint8_t root[KB_KEY_SIZE];
        int r = kb_db_query(l->db, &q, "SELECT box, mac FROM boxes WHERE slot = ? AND generation = ?", "su",
                            name, generation);

        if (r >= 0)
                r = kb_query_next(&q);
        if (r > 0)
                r = kb_slot_open_box(name, generation, kb_query_blob(&q, 0), kb_query_blob(&q, 1), seed,
                                     root) >= 0;
        kb_wipe(root, sizeof(root));
        return r;
}

/* All generations that this slot has a box of: two while keys are being rotated. */
static int open_boxes(struct kb_local *l, const char *name, const uint8_t *seed)
{
        _cleanup_query_ struct kb_query q = {};
        int n = 0, r;

        r = kb_db_query(l->db, &q,
                        "SELECT generation, box, mac FROM boxes WHERE slot = ? ORDER BY generation", "s",
                        name);
        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                r = unbox_root(l, name, kb_query_u64(&q, 0), kb_query_blob(&q, 1), kb_query_blob(&q, 2),
                               seed);
                n++;
        }
        return r < 0 ? r : n;
}

/* When a slot was used is worth a write, and not worth a failure. */
static void remember_use(struct kb_local *l, const char *name, uint64_t now)
{
        _cleanup_transaction_ struct kb_transaction t = {};

        if (kb_db_begin(l->db, &t) >= 0 &&
            kb_db_run(l->db, "UPDATE slots SET used = ? WHERE name = ?", "us", now, name) > 0 &&
            kb_db_commit(&t) < 0)
                return;
}

enum kb_error kb_slot_unseal(struct kb_local *l, const char *name, const uint8_t seed[KB_SLOT_SEED_SIZE],
                             uint64_t now, struct kb_problem *problem)
{
        enum kb_error error;
        int r;

        if (l->state != KB_LOCAL_SEALED)
                return kb_problem(problem, KB_E_CONFLICT, "the store is not sealed: it is %s",
                                  kb_local_state_word(l->state));
        r = open_boxes(l, name, seed);
        if (r <= 0)
                kb_local_seal(l);
        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no slot %s", name);
        if (r == -EBADMSG)
                return kb_problem(problem, KB_E_BAD_SECRET, "this does not open slot %s", name);
        if (r < 0)
                return kb_problem_errno(problem, r, "opening the slot");
        error = kb_local_unsealed(l, problem);
        if (error == KB_E_OK && l->state == KB_LOCAL_OPEN)
                remember_use(l, name, now);
        return error;
}

/* --- the text that systemd keeps --- */

void kb_slot_text(const char *name, const uint8_t seed[KB_SLOT_SEED_SIZE], char ret[KB_SLOT_TEXT_MAX])
{
        int n = snprintf(ret, KB_SLOT_TEXT_MAX, "%s:", name);

        kb_hex(KB_SPAN(seed, KB_SLOT_SEED_SIZE), ret + n);
}

int kb_slot_parse_text(struct kb_span text, char ret_name[65], uint8_t ret_seed[KB_SLOT_SEED_SIZE])
{
        const size_t hex = 2 * KB_SLOT_SEED_SIZE;
        char name[65] = "";
        size_t n;

        if (text.size > 0 && text.data[text.size - 1] == '\n')
                text.size--;
        if (text.size < hex + 2 || text.size - hex - 1 >= sizeof(name))
                return -EINVAL;
        n = text.size - hex - 1;
        memcpy(name, text.data, n);
        if (text.data[n] != ':' || strlen(name) != n || !kb_name_word_valid(name))
                return -EINVAL;
        if (!kb_unhex((const char *)text.data + n + 1, hex, ret_seed, KB_SLOT_SEED_SIZE))
                return -EINVAL;
        memcpy(ret_name, name, sizeof(name));
        return 0;
}
