/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/rotate.h"

#include "helper/store/local/schema.h"
#include "helper/store/local/seal.h"

#define BATCH      32 /* records per step: one fsync each, and no request waits longer than that */
#define SEALED_MAX (1024 * 1024)

bool kb_rotate_unfinished(const struct kb_local *l)
{
        return kb_keyring_has(l->keys, kb_keyring_newest(l->keys) - 1);
}

static int new_root(struct kb_local *l)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        uint64_t generation = kb_keyring_newest(l->keys) + 1;
        uint8_t root[KB_KEY_SIZE];
        int r = kb_crypto_random(root, sizeof(root));

        if (r >= 0)
                r = kb_db_begin(l->db, &t);
        if (r >= 0)
                r = kb_keyring_add(l->keys, generation, root);
        kb_wipe(root, sizeof(root));
        if (r < 0)
                return r;
        r = kb_slot_box_all(l);
        if (r >= 0)
                r = kb_db_commit(&t);
        if (r < 0)
                kb_keyring_drop(l->keys, generation); /* nothing on the disk is under it */
        return r;
}

int kb_rotate_begin(struct kb_local *l, uint64_t *ret_total)
{
        uint64_t total = 0, n;
        int r = kb_rotate_unfinished(l) ? 0 : new_root(l);

        for (unsigned i = 0; r >= 0 && i < kb_sealed_tables_size; i++) {
                r = kb_db_number(l->db, &n, kb_sealed_tables[i].count, "u", kb_keyring_newest(l->keys));
                total += r >= 0 ? n : 0;
        }
        if (r >= 0)
                *ret_total = total;
        return r < 0 ? r : 0;
}

/* One record. Row: rowid, purpose, name, version, generation, data. */
static int reseal(struct kb_local *l, const struct kb_sealed_table *table, struct kb_query *q)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(SEALED_MAX),
                                          sealed = kb_writer_init(SEALED_MAX);
        struct kb_place place = {kb_query_string(q, 1), kb_query_string(q, 2), kb_query_u64(q, 3)};
        int r = kb_keyring_open(l->keys, kb_query_u64(q, 4), &place, kb_query_blob(q, 5), &plain);

        if (r >= 0)
                r = kb_keyring_seal(l->keys, &place, KB_SPAN(plain.data, plain.size), &sealed);
        if (r >= 0)
                r = kb_db_run(l->db, table->update, "uub", kb_query_u64(q, 0), kb_keyring_newest(l->keys),
                              KB_SPAN(sealed.data, sealed.size));
        return r;
}

static int reseal_batch(struct kb_local *l, const struct kb_sealed_table *table)
{
        _cleanup_query_ struct kb_query q = {};
        int n = 0, r;

        r = kb_db_query(l->db, &q, table->select, "uu", kb_keyring_newest(l->keys), (uint64_t)BATCH);
        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                r = reseal(l, table, &q);
                n++;
        }
        return r < 0 ? r : n;
}

static int finish(struct kb_local *l)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        uint64_t newest = kb_keyring_newest(l->keys);
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = kb_db_run(l->db, "DELETE FROM boxes WHERE generation < ?", "u", newest);
        if (r >= 0)
                r = kb_db_commit(&t);
        if (r < 0)
                return r;
        kb_keyring_drop(l->keys, newest - 1);
        kb_db_scrub(l->db);
        return 0;
}

int kb_rotate_step(struct kb_local *l)
{
        int n = 0;

        for (unsigned i = 0; n == 0 && i < kb_sealed_tables_size; i++) {
                _cleanup_transaction_ struct kb_transaction t = {};
                int r = kb_db_begin(l->db, &t);

                if (r >= 0)
                        r = n = reseal_batch(l, &kb_sealed_tables[i]);
                if (r > 0)
                        r = kb_db_commit(&t);
                if (r < 0)
                        return r;
        }
        return n > 0 ? n : finish(l);
}
