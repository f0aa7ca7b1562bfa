/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/rotate.h"

#include <errno.h>
#include <syslog.h>

#include "helper/server/process.h"
#include "helper/store/local/damage.h"
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

int kb_rotate_begin(struct kb_rotation *ret, struct kb_local *l, bool skip)
{
        struct kb_rotation rotation = {.local = l, .skip = skip};
        int r = kb_rotate_unfinished(l) ? 0 : new_root(l);
        uint64_t n;

        for (unsigned i = 0; r >= 0 && i < kb_sealed_tables_size; i++) {
                r = kb_db_number(l->db, &n, kb_sealed_tables[i].count, "u", kb_keyring_newest(l->keys));
                rotation.total += r >= 0 ? n : 0;
        }
        if (r >= 0)
                *ret = rotation;
        return r < 0 ? r : 0;
}

/* Whether no slot can give the key to it either: then it is lost, and not only sealed for somebody else. */
static int is_lost(struct kb_local *l, uint64_t generation)
{
        uint64_t boxes;
        int r = kb_db_number(l->db, &boxes, "SELECT count(*) FROM boxes WHERE generation = ?", "u",
                             generation);

        return r < 0 ? r : boxes == 0;
}

/* One that did not open, for r. */
static int skip(struct kb_rotation *rotation, uint64_t generation, int r)
{
        char text[KB_DAMAGE_TEXT_MAX];
        int lost = r == -EBADMSG ? 1 : r == -ENOKEY ? is_lost(rotation->local, generation) : 0;

        if (!rotation->skip || lost <= 0)
                return lost < 0 ? lost : r;
        kb_damage_text(rotation->local, text);
        kb_process_log(LOG_WARNING, "a new root key: %s does not match its key and is left behind", text);
        rotation->skipped++;
        return 0;
}

/* One record. Row: rowid, purpose, name, version, generation, data. */
static int reseal(struct kb_rotation *rotation, const struct kb_sealed_table *table, struct kb_query *q)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(SEALED_MAX),
                                          sealed = kb_writer_init(SEALED_MAX);
        struct kb_local *l = rotation->local;
        struct kb_place place = {kb_query_string(q, 1), kb_query_string(q, 2), kb_query_u64(q, 3)};
        int r = kb_keyring_open(l->keys, kb_query_u64(q, 4), &place, kb_query_blob(q, 5), &plain);

        if (r < 0)
                return skip(rotation, kb_query_u64(q, 4), r);
        r = kb_keyring_seal(l->keys, &place, KB_SPAN(plain.data, plain.size), &sealed);
        if (r >= 0)
                r = kb_db_run(l->db, table->update, "uub", kb_query_u64(q, 0), kb_keyring_newest(l->keys),
                              KB_SPAN(sealed.data, sealed.size));
        return r;
}

/* The next records of one table; how many. */
static int reseal_batch(struct kb_rotation *rotation, const struct kb_sealed_table *table)
{
        _cleanup_query_ struct kb_query q = {};
        int n = 0, r;

        r = kb_db_query(rotation->local->db, &q, table->select, "uuu",
                        kb_keyring_newest(rotation->local->keys), rotation->after, (uint64_t)BATCH);
        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                rotation->after = kb_query_u64(&q, 0);
                r = reseal(rotation, table, &q);
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

int kb_rotate_step(struct kb_rotation *rotation)
{
        struct kb_local *l = rotation->local;

        for (; rotation->table < kb_sealed_tables_size; rotation->table++, rotation->after = 0) {
                _cleanup_transaction_ struct kb_transaction t = {};
                int n, r = kb_db_begin(l->db, &t);

                if (r >= 0)
                        r = n = reseal_batch(rotation, &kb_sealed_tables[rotation->table]);
                if (r > 0)
                        r = kb_db_commit(&t);
                if (r < 0)
                        return r;
                if (n == 0)
                        continue;
                rotation->done += (uint64_t)n;
                if (rotation->done > rotation->total)
                        rotation->total = rotation->done; /* somebody wrote meanwhile */
                return 1;
        }
        return finish(l);
}
