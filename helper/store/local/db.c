/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/crashpoint.h"

#define MAX_STATEMENTS 128

struct kb_db {
        sqlite3 *handle;
        struct kb_db_hooks hooks;
        struct {
                const char *sql; /* the literal itself: compared as a pointer */
                sqlite3_stmt *statement;
        } prepared[MAX_STATEMENTS];
        unsigned n_prepared;
};

/* --- what SQLite says --- */

static const struct {
        int code;
        int number;
} codes[] = {
        {SQLITE_FULL, ENOSPC},    {SQLITE_READONLY, EROFS},    {SQLITE_CORRUPT, EUCLEAN},
        {SQLITE_NOTADB, EUCLEAN}, {SQLITE_FORMAT, EUCLEAN},    {SQLITE_BUSY, EBUSY},
        {SQLITE_LOCKED, EBUSY},   {SQLITE_NOMEM, ENOMEM},      {SQLITE_PERM, EACCES},
        {SQLITE_AUTH, EACCES},    {SQLITE_CONSTRAINT, EEXIST}, {SQLITE_TOOBIG, EMSGSIZE},
        {SQLITE_IOERR, EIO},
};

/* The system's own word is better than SQLite's where it says which of several it was. */
static const int telling[] = {ENOSPC, EDQUOT, EROFS, EACCES, EPERM, ENOENT};

int kb_db_errno(int code, int system_errno)
{
        int primary = code & 0xff;

        if (primary == SQLITE_OK || primary == SQLITE_ROW || primary == SQLITE_DONE)
                return 0;
        if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN)
                for (size_t i = 0; i < KB_ARRAY_SIZE(telling); i++)
                        if (telling[i] == system_errno)
                                return -system_errno;
        for (size_t i = 0; i < KB_ARRAY_SIZE(codes); i++)
                if (codes[i].code == primary)
                        return -codes[i].number;
        return -EIO;
}

static int failure(struct kb_db *db, int code)
{
        return kb_db_errno(code, sqlite3_system_errno(db->handle));
}

/* --- opening --- */

int kb_db_lock(const char *folder)
{
        _cleanup_close_ int fd = -1;
        char path[PATH_MAX];

        if (snprintf(path, sizeof(path), "%s/" KB_DB_LOCK, folder) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return take_fd(fd);
}

/*
 * Exclusive locking keeps the index of the write-ahead log in our own memory: no shared mapping that another
 * process could truncate under us. A schema from a hostile file runs no functions (trusted_schema).
 */
static const char setup[] = "PRAGMA locking_mode = EXCLUSIVE;"
                            "PRAGMA journal_mode = WAL;"
                            "PRAGMA synchronous = FULL;"
                            "PRAGMA foreign_keys = ON;"
                            "PRAGMA secure_delete = ON;"
                            "PRAGMA trusted_schema = OFF;"
                            "PRAGMA cell_size_check = ON;"
                            "PRAGMA temp_store = MEMORY;"
                            "PRAGMA mmap_size = 0;"
                            "PRAGMA wal_autocheckpoint = 200;";

static int exec(struct kb_db *db, const char *sql)
{
        return failure(db, sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

static int check_pages(struct kb_db *db)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(db, &q, "PRAGMA quick_check(1)", "");

        if (r >= 0)
                r = kb_query_next(&q);
        if (r < 0)
                return r;
        return r == 1 && strcmp(kb_query_string(&q, 0), "ok") == 0 ? 0 : -EUCLEAN;
}

static int migrate(struct kb_db *db, const struct kb_migration *migrations, unsigned n)
{
        uint64_t version;
        int r = kb_db_number(db, &version, "PRAGMA user_version", "");

        if (r < 0)
                return r;
        if (version > n)
                return -EPROTONOSUPPORT;
        for (unsigned i = (unsigned)version; i < n; i++) {
                _cleanup_transaction_ struct kb_transaction t = {};
                char step[64];

                snprintf(step, sizeof(step), "PRAGMA user_version = %u", i + 1);
                r = kb_db_begin(db, &t);
                if (r >= 0)
                        r = exec(db, migrations[i].sql);
                if (r >= 0)
                        r = exec(db, step);
                if (r >= 0)
                        r = kb_db_commit(&t);
                if (r < 0)
                        return r;
        }
        return 0;
}

int kb_db_open(struct kb_db **ret, const char *folder, const char *file, bool create,
               const struct kb_migration *migrations, unsigned n)
{
        _cleanup_(kb_db_freep) struct kb_db *db = calloc(1, sizeof(*db));
        int flags =
                SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
        char path[PATH_MAX];
        int r;

        if (!db)
                return -ENOMEM;
        if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        if (!create && access(path, F_OK) < 0)
                return -errno;
        r = sqlite3_open_v2(path, &db->handle, flags | (create ? SQLITE_OPEN_CREATE : 0), NULL);
        if (r != SQLITE_OK)
                return failure(db, r);
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
        r = sqlite3_db_readonly(db->handle, "main") == 1 ? -EROFS : exec(db, setup);
        if (r >= 0)
                r = check_pages(db);
        if (r >= 0)
                r = migrate(db, migrations, n);
        if (r < 0)
                return r;
        *ret = take_ptr(db);
        return 0;
}

void kb_db_free(struct kb_db *db)
{
        if (!db)
                return;
        for (unsigned i = 0; i < db->n_prepared; i++)
                sqlite3_finalize(db->prepared[i].statement);
        sqlite3_close_v2(db->handle);
        free(db);
}

sqlite3 *kb_db_handle(struct kb_db *db)
{
        return db->handle;
}

void kb_db_scrub(struct kb_db *db)
{
        sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

/* --- statements --- */

static int prepare(struct kb_db *db, const char *sql, sqlite3_stmt **ret)
{
        int r;

        for (unsigned i = 0; i < db->n_prepared; i++)
                if (db->prepared[i].sql == sql) {
                        *ret = db->prepared[i].statement;
                        return 0;
                }
        if (db->n_prepared == MAX_STATEMENTS)
                return -E2BIG;
        r = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
        if (r != SQLITE_OK)
                return failure(db, r);
        db->prepared[db->n_prepared].sql = sql;
        db->prepared[db->n_prepared++].statement = *ret;
        return 0;
}

/* Integers are stored as signed ones: a time that never comes is the greatest of them. */
static sqlite3_int64 to_signed(uint64_t value)
{
        return value > INT64_MAX ? INT64_MAX : (sqlite3_int64)value;
}

static int bind(sqlite3_stmt *statement, const char *types, va_list args)
{
        int r = SQLITE_OK;

        for (int i = 1; *types && r == SQLITE_OK; i++, types++) {
                struct kb_span span;

                switch (*types) {
                case 's':
                        r = sqlite3_bind_text(statement, i, va_arg(args, const char *), -1,
                                              SQLITE_TRANSIENT);
                        break;
                case 'u':
                        r = sqlite3_bind_int64(statement, i, to_signed(va_arg(args, uint64_t)));
                        break;
                case 'b':
                        span = va_arg(args, struct kb_span);
                        r = sqlite3_bind_blob64(statement, i, span.data, span.size, SQLITE_TRANSIENT);
                        break;
                default:
                        r = SQLITE_MISUSE;
                }
        }
        return r;
}

static int start(struct kb_db *db, struct kb_query *ret, const char *sql, const char *types, va_list args)
{
        sqlite3_stmt *statement;
        int r = prepare(db, sql, &statement);

        if (r < 0)
                return r;
        r = bind(statement, types, args);
        if (r != SQLITE_OK) {
                sqlite3_clear_bindings(statement);
                return failure(db, r);
        }
        *ret = (struct kb_query){.db = db, .statement = statement};
        return 0;
}

int kb_db_query(struct kb_db *db, struct kb_query *ret, const char *sql, const char *types, ...)
{
        va_list args;
        int r;

        va_start(args, types);
        r = start(db, ret, sql, types, args);
        va_end(args);
        return r;
}

int kb_query_next(struct kb_query *q)
{
        int r = sqlite3_step(q->statement);

        if (r == SQLITE_ROW)
                return 1;
        return r == SQLITE_DONE ? 0 : failure(q->db, r);
}

void kb_query_done(struct kb_query *q)
{
        if (!q->statement)
                return;
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement);
        q->statement = NULL;
}

uint64_t kb_query_u64(struct kb_query *q, int column)
{
        sqlite3_int64 value = sqlite3_column_int64(q->statement, column);

        return value == INT64_MAX ? UINT64_MAX : (uint64_t)value;
}

const char *kb_query_string(struct kb_query *q, int column)
{
        const unsigned char *text = sqlite3_column_text(q->statement, column);

        return text ? (const char *)text : "";
}

struct kb_span kb_query_blob(struct kb_query *q, int column)
{
        const void *data = sqlite3_column_blob(q->statement, column);

        return KB_SPAN(data, (size_t)sqlite3_column_bytes(q->statement, column));
}

int kb_db_run(struct kb_db *db, const char *sql, const char *types, ...)
{
        _cleanup_query_ struct kb_query q = {};
        va_list args;
        int r;

        va_start(args, types);
        r = start(db, &q, sql, types, args);
        va_end(args);
        if (r < 0)
                return r;
        r = kb_query_next(&q);
        return r < 0 ? r : sqlite3_changes(db->handle);
}

int kb_db_number(struct kb_db *db, uint64_t *ret, const char *sql, const char *types, ...)
{
        _cleanup_query_ struct kb_query q = {};
        va_list args;
        int r;

        va_start(args, types);
        r = start(db, &q, sql, types, args);
        va_end(args);
        if (r >= 0)
                r = kb_query_next(&q);
        if (r < 0)
                return r;
        *ret = r > 0 ? kb_query_u64(&q, 0) : 0;
        return 0;
}

/* --- transactions --- */

int kb_db_begin(struct kb_db *db, struct kb_transaction *ret)
{
        int r = exec(db, "BEGIN IMMEDIATE");

        if (r >= 0)
                ret->db = db;
        return r;
}

int kb_db_commit(struct kb_transaction *t)
{
        struct kb_db *db = t->db;
        int r = db->hooks.before ? db->hooks.before(db->hooks.userdata) : 0;

        kb_crashpoint("committing");
        if (r >= 0)
                r = exec(db, "COMMIT");
        if (r < 0)
                return r;
        kb_crashpoint("committed");
        t->db = NULL;
        if (db->hooks.after)
                db->hooks.after(db->hooks.userdata);
        kb_crashpoint("noted");
        return 0;
}

void kb_db_rollback(struct kb_transaction *t)
{
        /* SQLite has undone it already after some errors, and then says so: nothing to report. */
        if (t->db)
                sqlite3_exec(t->db->handle, "ROLLBACK", NULL, NULL, NULL);
        t->db = NULL;
}

void kb_db_set_hooks(struct kb_db *db, const struct kb_db_hooks *hooks)
{
        db->hooks = *hooks;
}
