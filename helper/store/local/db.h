/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * SQLite, as this store wants it: one process (a lock file says so), one thread, write-ahead log, a commit
 * is on the disk when it returns, deleted bytes are overwritten. SQL text is a string literal and prepared
 * once.
 *
 *   r = kb_db_run(db, "UPDATE kv SET deleted = ? WHERE path = ?", "us", now, path);
 *
 *   _cleanup_query_ struct kb_query q = {};
 *   r = kb_db_query(db, &q, "SELECT version FROM kv WHERE path = ?", "s", path);
 *   while (r >= 0 && (r = kb_query_next(&q)) > 0)
 *           version = kb_query_u64(&q, 0);
 *
 * Arguments: s const char *, u uint64_t, b struct kb_span (bound as a blob; data NULL binds NULL).
 *
 * Errors are a negative errno: -ENOSPC, -EROFS, -EIO, -EUCLEAN (damaged, or no database), -EBUSY (another
 * process has it), -EACCES, -EEXIST (a constraint), -EMSGSIZE, -ENOMEM. After each the database is as it
 * was.
 */

#include <sqlite3.h>

#include "common/wire.h"

struct kb_db;

/* Where it lies in the state folder. */
#define KB_DB_FILE "store.db"
#define KB_DB_LOCK "lock"

struct kb_migration {
        const char *sql; /* from version i to version i + 1, i being the row */
};

/*
 * Opens folder/file. -ENOENT when there is none and create is false. Brings the schema to n migrations, each
 * in its own transaction; -EPROTONOSUPPORT when a newer program has been here.
 */
int kb_db_open(struct kb_db **ret, const char *folder, const char *file, bool create,
               const struct kb_migration *migrations, unsigned n) _must_check_;
void kb_db_free(struct kb_db *db);
KB_DEFINE_CLEANUP(struct kb_db, kb_db_free);

/* Takes folder/lock until the returned descriptor is closed. -EBUSY: somebody else has it. */
int kb_db_lock(const char *folder) _must_check_;

/* Runs a statement that returns no rows; the number of rows it changed. */
int kb_db_run(struct kb_db *db, const char *sql, const char *types, ...) _must_check_;

/*
 * A transaction; anything not committed when it goes out of scope is undone.
 *
 *   _cleanup_transaction_ struct kb_transaction t = {};
 *   r = kb_db_begin(db, &t);   ...   r = kb_db_commit(&t);
 *
 * The hooks, when set: before runs inside each transaction just before its end, and its failure is the
 * commit's; after runs when it is on the disk.
 */
struct kb_transaction {
        struct kb_db *db;
};
int kb_db_begin(struct kb_db *db, struct kb_transaction *ret) _must_check_;
int kb_db_commit(struct kb_transaction *t) _must_check_;
void kb_db_rollback(struct kb_transaction *t);
#define _cleanup_transaction_ _cleanup_(kb_db_rollback)
struct kb_db_hooks {
        int (*before)(void *userdata);
        void (*after)(void *userdata);
        void *userdata;
};
void kb_db_set_hooks(struct kb_db *db, const struct kb_db_hooks *hooks);

struct kb_query {
        struct kb_db *db;
        sqlite3_stmt *statement;
};
int kb_db_query(struct kb_db *db, struct kb_query *ret, const char *sql, const char *types, ...)
        _must_check_;
int kb_query_next(struct kb_query *q) _must_check_; /* 1: there is a row, 0: no more */
uint64_t kb_query_u64(struct kb_query *q, int column);
const char *kb_query_string(struct kb_query *q, int column);  /* until the next step; never NULL */
struct kb_span kb_query_blob(struct kb_query *q, int column); /* the same */
void kb_query_done(struct kb_query *q);
#define _cleanup_query_ _cleanup_(kb_query_done)

/* The one number that a query yields; 0 when it yields no row. */
int kb_db_number(struct kb_db *db, uint64_t *ret, const char *sql, const char *types, ...) _must_check_;

/*
 * Moves the write-ahead log into the database and empties it: what was overwritten lingers there until then.
 * Costs a few fsync(); best effort.
 */
void kb_db_scrub(struct kb_db *db);

/* For the backup, which walks its pages. */
sqlite3 *kb_db_handle(struct kb_db *db);

/* What an SQLite result code means to us. 0 for SQLITE_OK, ROW and DONE. */
int kb_db_errno(int code, int system_errno);
