/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/schema.h"

/* A row is never changed once released: a new one is added. */
const struct kb_migration kb_schema[] = {
        {/* who can open the root key, and a box with each root key for each of them */
         "CREATE TABLE slots (name TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL, public BLOB NOT NULL,"
         "  parameters BLOB NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
         "CREATE TABLE boxes (slot TEXT NOT NULL REFERENCES slots ON DELETE CASCADE, generation INTEGER NOT "
         "NULL,"
         "  box BLOB NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (slot, generation)) WITHOUT ROWID;"

         /* key-value secrets: `latest` outlives its versions, so that no version number comes twice */
         "CREATE TABLE secrets (path TEXT PRIMARY KEY NOT NULL, latest INTEGER NOT NULL) WITHOUT ROWID;"
         "CREATE TABLE versions (path TEXT NOT NULL REFERENCES secrets ON DELETE CASCADE, version INTEGER "
         "NOT NULL,"
         "  created INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL, data "
         "BLOB,"
         "  UNIQUE (path, version));"

         /* everything else with a name: CA, role, person, group, rule, key of a slot, answer to be given
            again */
         "CREATE TABLE objects (kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,"
         "  created INTEGER NOT NULL, generation INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (kind, name));"

         /* certificates that were issued and may still have to be revoked */
         "CREATE TABLE certificates (ca TEXT NOT NULL, serial TEXT NOT NULL, role TEXT NOT NULL,"
         "  request TEXT NOT NULL, not_after INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0, PRIMARY "
         "KEY (ca, serial)) WITHOUT ROWID;"
         "CREATE TABLE crls (ca TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL, stale INTEGER NOT NULL,"
         "  next_update INTEGER NOT NULL, pem BLOB NOT NULL) WITHOUT ROWID;"

         /* ids of people and groups, for ever: a row whose `gone` is set is a tombstone */
         "CREATE TABLE ids (id INTEGER PRIMARY KEY NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
         "  gone INTEGER NOT NULL DEFAULT 0);"},
};
const unsigned kb_schema_size = KB_ARRAY_SIZE(kb_schema);

const struct kb_sealed_table kb_sealed_tables[] = {
        {
                .select =
                        "SELECT rowid, 'kv', path, version, generation, data FROM versions"
                        " WHERE generation < ?1 AND rowid > ?2 AND data IS NOT NULL ORDER BY rowid LIMIT ?3",
                .update = "UPDATE versions SET generation = ?2, data = ?3 WHERE rowid = ?1",
                .count = "SELECT count(*) FROM versions WHERE generation < ? AND data IS NOT NULL",
        },
        {
                .select = "SELECT rowid, kind, name, version, generation, data FROM objects"
                          " WHERE generation < ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3",
                .update = "UPDATE objects SET generation = ?2, data = ?3 WHERE rowid = ?1",
                .count = "SELECT count(*) FROM objects WHERE generation < ?",
        },
};
const unsigned kb_sealed_tables_size = KB_ARRAY_SIZE(kb_sealed_tables);
