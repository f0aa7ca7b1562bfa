/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/kv.h"

#include <errno.h>
#include <string.h>

#include "common/names.h"
#include "helper/store/local/damage.h"

void kb_kv_secret_done(struct kb_kv_secret *s)
{
        kb_writer_done(&s->plain);
        *s = (struct kb_kv_secret){};
}

/* --- writing --- */

static enum kb_error check(const char *path, struct kb_list fields, struct kb_problem *problem)
{
        struct kb_list rest = fields;
        struct kb_span value;
        const char *name;
        unsigned n = 0;

        if (!kb_name_path_valid(path) || strncmp(path, "kv/", 3) != 0)
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "the path of a secret is kv/ and words joined by /");
        for (; kb_list_next_pair(&rest, &name, &value); n++)
                if (!kb_name_word_valid(name))
                        return kb_problem(problem, KB_E_BAD_REQUEST,
                                          "a field's name has letters, digits, '_' and '-', at most 64");
        if (n == 0 || n > KB_KV_FIELDS_MAX)
                return kb_problem(problem, KB_E_BAD_REQUEST, "a secret has 1 to %d fields",
                                  KB_KV_FIELDS_MAX);
        if (fields.encoded.size > KB_KV_SIZE_MAX)
                return kb_problem(problem, KB_E_BAD_REQUEST, "a secret has at most %d bytes",
                                  KB_KV_SIZE_MAX);
        return KB_E_OK;
}

static int write_version(struct kb_local *l, const char *path, uint64_t version, struct kb_list fields,
                         uint64_t now)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(KB_KV_SIZE_MAX + 64);
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(KB_KV_SIZE_MAX + 64 + KB_RECORD_EXTRA);
        struct kb_place place = {"kv", path, version};
        int r;

        kb_write_list(&plain, fields, 2 * KB_KV_FIELDS_MAX);
        r = kb_writer_end(&plain);
        if (r >= 0)
                r = kb_keyring_seal(l->keys, &place, KB_SPAN(plain.data, plain.size), &sealed);
        if (r >= 0)
                r = kb_db_run(l->db,
                              "INSERT INTO secrets (path, latest) VALUES (?1, ?2)"
                              " ON CONFLICT (path) DO UPDATE SET latest = ?2",
                              "su", path, version);
        if (r >= 0)
                r = kb_db_run(l->db,
                              "INSERT INTO versions (path, version, created, generation, data)"
                              " VALUES (?, ?, ?, ?, ?)",
                              "suuub", path, version, now, kb_keyring_newest(l->keys),
                              KB_SPAN(sealed.data, sealed.size));
        if (r >= 0 && version > KB_KV_KEEP)
                r = kb_db_run(l->db, "UPDATE versions SET data = NULL WHERE path = ? AND version <= ?", "su",
                              path, version - KB_KV_KEEP);
        return r;
}

enum kb_error kb_kv_put(struct kb_local *l, const char *path, struct kb_list fields, uint64_t expected,
                        uint64_t now, uint64_t *ret_version, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        enum kb_error error = check(path, fields, problem);
        uint64_t latest;
        int r;

        if (error != KB_E_OK)
                return error;
        r = kb_db_begin(l->db, &t);
        if (r >= 0)
                r = kb_db_number(l->db, &latest, "SELECT latest FROM secrets WHERE path = ?", "s", path);
        if (r >= 0 && expected != KB_KV_ANY && expected != latest)
                return kb_problem(problem, KB_E_CONFLICT, "%s is at version %llu, not %llu", path,
                                  (unsigned long long)latest, (unsigned long long)expected);
        if (r >= 0)
                r = write_version(l, path, latest + 1, fields, now);
        if (r >= 0)
                r = kb_db_commit(&t);
        if (r < 0)
                return kb_problem_errno(problem, r, "writing the secret");
        *ret_version = latest + 1;
        return KB_E_OK;
}

/* --- reading --- */

static enum kb_error absent(struct kb_problem *problem, const char *path, uint64_t version, const char *how)
{
        if (version == KB_KV_LATEST)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no secret at %s", path);
        return kb_problem(problem, KB_E_NOT_FOUND, "version %llu of %s %s", (unsigned long long)version,
                          path, how);
}

/* The number that `version` stands for: 0 when the path was never written. */
static int resolve(struct kb_local *l, const char *path, uint64_t version, uint64_t *ret)
{
        if (version != KB_KV_LATEST) {
                *ret = version;
                return 0;
        }
        return kb_db_number(l->db, ret, "SELECT latest FROM secrets WHERE path = ?", "s", path);
}

static int open_version(struct kb_local *l, const char *path, struct kb_query *q, struct kb_kv_secret *ret)
{
        struct kb_kv_secret s = {.version = kb_query_u64(q, 0), .created = kb_query_u64(q, 1)};
        struct kb_place place = {"kv", path, s.version};
        struct kb_reader reader;
        int r;

        s.plain = kb_writer_init(KB_KV_SIZE_MAX + 64);
        r = kb_keyring_open(l->keys, kb_query_u64(q, 3), &place, kb_query_blob(q, 4), &s.plain);
        if (r >= 0) {
                reader = kb_reader_init(KB_SPAN(s.plain.data, s.plain.size));
                s.fields = kb_read_list(&reader, 2 * KB_KV_FIELDS_MAX);
                r = kb_reader_end(&reader);
        }
        if (r < 0) {
                kb_kv_secret_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}

enum kb_error kb_kv_get(struct kb_local *l, const char *path, uint64_t version, struct kb_kv_secret *ret,
                        struct kb_problem *problem)
{
        _cleanup_query_ struct kb_query q = {};
        uint64_t number;
        int r = resolve(l, path, version, &number);

        if (r >= 0)
                r = kb_db_query(l->db, &q,
                                "SELECT version, created, deleted, generation, data FROM versions"
                                " WHERE path = ? AND version = ?",
                                "su", path, number);
        if (r >= 0)
                r = kb_query_next(&q);
        if (r == 0)
                return absent(problem, path, number, "never was");
        if (r > 0 && !kb_query_blob(&q, 4).data)
                return absent(problem, path, number, "is destroyed");
        if (r > 0 && kb_query_u64(&q, 2) > 0)
                return absent(problem, path, number, "is deleted");
        if (r > 0)
                r = open_version(l, path, &q, ret);
        return r < 0 ? kb_damage_problem(l, problem, r, "reading the secret") : KB_E_OK;
}

/* --- taking away and giving back --- */

/* One change to one version; `sql` changes no row when there is nothing to change, which is an error named
 * by how. */
static enum kb_error change(struct kb_local *l, const char *sql, const char *path, uint64_t version,
                            uint64_t now, const char *how, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        uint64_t number = 0;
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = resolve(l, path, version, &number);
        if (r >= 0)
                r = kb_db_run(l->db, sql, "suu", path, number, now);
        if (r == 0)
                return absent(problem, path, number, how);
        if (r > 0)
                r = kb_db_commit(&t);
        return r < 0 ? kb_problem_errno(problem, r, "changing the secret") : KB_E_OK;
}

enum kb_error kb_kv_delete(struct kb_local *l, const char *path, uint64_t version, uint64_t now,
                           struct kb_problem *problem)
{
        return change(l,
                      "UPDATE versions SET deleted = ?3 WHERE path = ?1 AND version = ?2 AND deleted = 0"
                      " AND data IS NOT NULL",
                      path, version, now, "is not there any more", problem);
}

enum kb_error kb_kv_undelete(struct kb_local *l, const char *path, uint64_t version,
                             struct kb_problem *problem)
{
        return change(l,
                      "UPDATE versions SET deleted = 0 WHERE path = ?1 AND version = ?2 AND deleted > 0"
                      " AND data IS NOT NULL AND ?3 = 0",
                      path, version, 0, "is not deleted, or is destroyed", problem);
}

enum kb_error kb_kv_destroy(struct kb_local *l, const char *path, uint64_t version,
                            struct kb_problem *problem)
{
        enum kb_error error = change(l,
                                     "UPDATE versions SET data = NULL WHERE path = ?1 AND version = ?2"
                                     " AND data IS NOT NULL AND ?3 = 0",
                                     path, version, 0, "is destroyed already, or never was", problem);

        if (error == KB_E_OK)
                kb_db_scrub(l->db);
        return error;
}

/* --- lists --- */

static int walk(struct kb_query *q, int (*each)(const struct kb_kv_entry *entry, void *userdata),
                void *userdata)
{
        int r;

        while ((r = kb_query_next(q)) > 0) {
                struct kb_kv_entry entry = {
                        .path = kb_query_string(q, 0),
                        .version = kb_query_u64(q, 1),
                        .created = kb_query_u64(q, 2),
                        .state = kb_query_u64(q, 4)   ? "destroyed"
                                 : kb_query_u64(q, 3) ? "deleted"
                                                      : "live",
                };

                r = each(&entry, userdata);
                if (r != 0)
                        break;
        }
        return r;
}

int kb_kv_list(struct kb_local *l, const char *prefix, const char *after,
               int (*each)(const struct kb_kv_entry *entry, void *userdata), void *userdata)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(l->db, &q,
                            "SELECT v.path, v.version, v.created, v.deleted, v.data IS NULL"
                            " FROM secrets s JOIN versions v ON v.path = s.path AND v.version = s.latest"
                            " WHERE substr(s.path, 1, length(?1)) = ?1 AND s.path > ?2 ORDER BY s.path",
                            "ss", prefix, after);

        return r < 0 ? r : walk(&q, each, userdata);
}

int kb_kv_versions(struct kb_local *l, const char *path,
                   int (*each)(const struct kb_kv_entry *entry, void *userdata), void *userdata)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(l->db, &q,
                            "SELECT path, version, created, deleted, data IS NULL FROM versions"
                            " WHERE path = ? ORDER BY version",
                            "s", path);

        return r < 0 ? r : walk(&q, each, userdata);
}
