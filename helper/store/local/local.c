/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/hex.h"
#include "helper/store/local/schema.h"
#include "helper/store/local/swap.h"

#define CHANGES_FILE "changes"
#define IDENTITY     "identity"
#define KEEP_MAX     128

/* --- the line that is kept outside: "id changes" --- */

/* Always as long as it can get, so that in the file no line leaves the end of another behind it. */
static void identity_print(const struct kb_identity *identity, char *ret, size_t size)
{
        snprintf(ret, size, "%s %020llu\n", identity->id, (unsigned long long)identity->changes);
}

static bool identity_parse(struct kb_span line, struct kb_identity *ret)
{
        struct kb_identity identity = {};
        char text[KEEP_MAX];
        size_t id = sizeof(identity.id) - 1;

        if (line.size < id + 3 || line.size >= sizeof(text) || line.data[line.size - 1] != '\n' ||
            line.data[id] != ' ')
                return false;
        memcpy(text, line.data, line.size - 1);
        text[line.size - 1] = '\0';
        memcpy(identity.id, text, id);
        if (strspn(identity.id, "0123456789abcdef") != id ||
            !kb_parse_number(text + id + 1, &identity.changes))
                return false;
        *ret = identity;
        return true;
}

/* The file and its name in the folder are on the disk, too. */
static bool changes_sync(const struct kb_local *l)
{
        _cleanup_close_ int folder = open(l->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return folder >= 0 && fsync(l->changes_fd) == 0 && fsync(folder) == 0;
}

/*
 * After the commit. The first line that names this store is brought to the disk: without it a loss of power
 * would leave an empty file, or another store's line, and accuse the right database. The later ones are not:
 * a crash of ours cannot lose them, and after a loss of power the file is older than the database, which
 * proves less but accuses nobody.
 */
static void after_commit(void *userdata)
{
        struct kb_local *l = userdata;
        char line[KEEP_MAX];

        l->identity.changes++;
        identity_print(&l->identity, line, sizeof(line));
        if (pwrite(l->changes_fd, line, strlen(line), 0) < 0)
                return; /* the next one will, or the check proves less */
        if (strcmp(l->synced, l->identity.id) != 0 && changes_sync(l))
                memcpy(l->synced, l->identity.id, sizeof(l->synced));
}

static int before_commit(void *userdata)
{
        struct kb_local *l = userdata;
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(4096);

        kb_list_add_text(&pairs, "id", l->identity.id);
        kb_list_add_number(&pairs, "epoch", l->identity.epoch);
        return kb_object_put_version(&l->shelf, "store", IDENTITY, l->identity.changes + 1,
                                     kb_list_built(&pairs), 0);
}

static int changes_open(struct kb_local *l)
{
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/" CHANGES_FILE, l->folder);
        l->changes_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        return l->changes_fd < 0 ? -errno : 0;
}

static bool changes_read(const struct kb_local *l, struct kb_identity *ret)
{
        char line[KEEP_MAX];
        ssize_t n = pread(l->changes_fd, line, sizeof(line), 0);

        return n > 0 && identity_parse(KB_SPAN(line, (size_t)n), ret);
}

/* --- life --- */

static void closed(struct kb_local *l, int r, const char *doing)
{
        l->state = KB_LOCAL_CLOSED;
        if (r == -EPROTONOSUPPORT)
                kb_problem(&l->why, KB_E_STORAGE,
                           "the database was written by a newer Keybearer: install that one");
        else
                kb_problem_errno(&l->why, r, doing);
}

static void adopt(struct kb_local *l, struct kb_db *db)
{
        l->db = db;
        l->shelf = (struct kb_shelf){.db = db, .keys = l->keys};
        kb_db_set_hooks(db, &(struct kb_db_hooks){before_commit, after_commit, l});
}

static int open_files(struct kb_local *l)
{
        struct kb_db *db;
        int r;

        if (l->lock_fd < 0) {
                r = kb_db_lock(l->folder);
                if (r < 0)
                        return r;
                l->lock_fd = r;
        }
        r = l->changes_fd < 0 ? changes_open(l) : 0;
        if (r >= 0)
                r = kb_swap_mend(l->folder);
        if (r >= 0)
                r = kb_db_open(&db, l->folder, KB_DB_FILE, false, kb_schema, kb_schema_size);
        if (r >= 0)
                adopt(l, db);
        return r;
}

void kb_local_close(struct kb_local *l)
{
        kb_local_seal(l);
        kb_db_free(l->db);
        l->db = NULL;
        l->state = KB_LOCAL_CLOSED;
}

/*
 * How many things somebody would miss: everything but the slots, the keys of slots, and what the store says
 * of itself. While it has made no more than the one change that `store init` is, these are none.
 */
static const char count_contents[] =
        "SELECT (SELECT count(*) FROM objects WHERE kind NOT IN ('slot', 'store') OR version > 1)"
        " + (SELECT count(*) FROM secrets) + (SELECT count(*) FROM ids) + (SELECT count(*) FROM "
        "certificates)";

/* 1: it holds nothing, 0: it does. */
static int is_untouched(struct kb_local *l)
{
        uint64_t contents;
        int r = kb_db_number(l->db, &contents, count_contents, "");

        return r < 0 ? r : contents == 0;
}

/*
 * A database without slots and without contents: `store init` was killed before its only transaction ended,
 * and nobody was told of it. It counts as none.
 */
static int is_begun_only(struct kb_local *l)
{
        uint64_t slots;
        int r = kb_db_number(l->db, &slots,
                             "SELECT (SELECT count(*) FROM slots) + (SELECT count(*) FROM boxes)", "");

        if (r < 0 || slots > 0)
                return r;
        return is_untouched(l);
}

/* There is no database. That is how a store begins, unless the file `changes` knows better. */
static void missing(struct kb_local *l)
{
        struct kb_identity outside;

        l->state = KB_LOCAL_NEW;
        if (!changes_read(l, &outside))
                return;
        l->state = KB_LOCAL_CLOSED;
        kb_problem(
                &l->why, KB_E_STORAGE,
                "the database is lost: the file `changes` knows one with %llu changes; run `keybearer store "
                "restore` with a backup, or delete %s/" CHANGES_FILE " to begin with an empty store",
                (unsigned long long)outside.changes, l->folder);
}

void kb_local_reopen(struct kb_local *l)
{
        int r;

        kb_local_close(l);
        r = open_files(l);
        if (r >= 0 && (r = is_begun_only(l)) > 0) {
                kb_local_close(l);
                r = -ENOENT;
        }
        if (r == -ENOENT && l->lock_fd >= 0 && l->changes_fd >= 0)
                missing(l);
        else if (r < 0)
                closed(l, r, "opening the database");
        else
                l->state = KB_LOCAL_SEALED;
}

int kb_local_new(struct kb_local **ret, const char *folder)
{
        _cleanup_(kb_local_freep) struct kb_local *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->lock_fd = l->changes_fd = -1;
        if (snprintf(l->folder, sizeof(l->folder), "%s", folder) >= (int)sizeof(l->folder))
                return -ENAMETOOLONG;
        r = kb_keyring_new(&l->keys);
        if (r < 0)
                return r;
        kb_local_reopen(l);
        *ret = take_ptr(l);
        return 0;
}

void kb_local_free(struct kb_local *l)
{
        if (!l)
                return;
        kb_db_free(l->db);
        kb_keyring_free(l->keys);
        if (l->changes_fd >= 0)
                close(l->changes_fd);
        if (l->lock_fd >= 0)
                close(l->lock_fd);
        free(l);
}

/* --- states --- */

static const struct {
        const char *word;
        enum kb_error error;
        const char *text; /* NULL: l->why says it */
} states[] = {
        [KB_LOCAL_CLOSED] = {"closed", KB_E_STORAGE, NULL},
        [KB_LOCAL_NEW] = {"new", KB_E_SEALED, "the local store is empty still: run `keybearer setup`"},
        [KB_LOCAL_SEALED] =
                {"sealed", KB_E_SEALED,
                 "the local store is sealed: run `keybearer seal unseal` with a passphrase or a recovery "
                 "code, or restart it where its systemd credential can be opened"},
        [KB_LOCAL_OLD] = {"old", KB_E_STORAGE, NULL},
        [KB_LOCAL_OPEN] = {"open", KB_E_OK, NULL},
};

const char *kb_local_state_word(enum kb_local_state state)
{
        return states[state].word;
}

enum kb_error kb_local_ready(const struct kb_local *l, struct kb_problem *problem)
{
        if (states[l->state].text)
                return kb_problem(problem, states[l->state].error, "%s", states[l->state].text);
        if (states[l->state].error != KB_E_OK)
                *problem = l->why;
        return states[l->state].error;
}

/* --- a new store --- */

static int fresh_root(struct kb_local *l)
{
        uint8_t root[KB_KEY_SIZE], id[16];
        int r = kb_crypto_random(root, sizeof(root));

        if (r >= 0)
                r = kb_crypto_random(id, sizeof(id));
        if (r >= 0)
                r = kb_keyring_add(l->keys, 1, root);
        kb_wipe(root, sizeof(root));
        l->identity = (struct kb_identity){.epoch = KB_EPOCH_FIRST};
        kb_hex(KB_SPAN(id, sizeof(id)), l->identity.id);
        return r;
}

/* The database to begin in: a new one, or one that `store init` made before and nobody could open since. */
static enum kb_error open_fresh(struct kb_local *l, struct kb_problem *problem)
{
        struct kb_db *db;
        int r;

        if (l->state == KB_LOCAL_SEALED) {
                r = is_untouched(l);
                if (r == 0)
                        return kb_local_ready(l, problem);
        } else {
                r = kb_db_open(&db, l->folder, KB_DB_FILE, true, kb_schema, kb_schema_size);
                if (r >= 0)
                        adopt(l, db);
        }
        return r < 0 ? kb_problem_errno(problem, r, "making the database") : KB_E_OK;
}

/* What lies there from an attempt before. It was the same store to whoever knows its id, so the id stays. */
static int replace_attempt(struct kb_local *l)
{
        struct kb_identity outside = l->kept;
        int r = kb_db_run(l->db, "DELETE FROM slots", "");

        if (r >= 0)
                r = kb_db_run(l->db, "DELETE FROM objects", "");
        if (r > 0 && (changes_read(l, &outside) || outside.id[0]))
                memcpy(l->identity.id, outside.id, sizeof(l->identity.id));
        return r;
}

enum kb_error kb_local_create(struct kb_local *l, uint64_t now, struct kb_transaction *ret,
                              struct kb_problem *problem)
{
        enum kb_error error;
        int r;

        if (l->state != KB_LOCAL_NEW && l->state != KB_LOCAL_SEALED)
                return kb_problem(problem, KB_E_CONFLICT, "there is a store already: it is %s",
                                  kb_local_state_word(l->state));
        error = open_fresh(l, problem);
        if (error != KB_E_OK)
                return error;
        r = fresh_root(l);
        if (r >= 0)
                r = kb_db_begin(l->db, ret);
        if (r >= 0)
                r = replace_attempt(l);
        if (r < 0) {
                kb_db_rollback(ret);
                kb_local_forget(l);
                return kb_problem_errno(problem, r, "making the root key");
        }
        l->state = KB_LOCAL_OPEN;
        return KB_E_OK;
}

void kb_local_forget(struct kb_local *l)
{
        static const char *const files[] = {KB_DB_FILE, KB_DB_FILE "-wal", KB_DB_FILE "-journal",
                                            KB_DB_FILE "-shm"};
        char path[PATH_MAX];

        kb_local_close(l);
        l->synced[0] = '\0';
        if (ftruncate(l->changes_fd, 0) < 0)
                l->state = KB_LOCAL_CLOSED; /* the next start calls the store lost, and says what to do */
        for (size_t i = 0; i < KB_ARRAY_SIZE(files); i++) {
                snprintf(path, sizeof(path), "%s/%s", l->folder, files[i]);
                unlink(path);
        }
        l->state = KB_LOCAL_NEW;
}

/* --- which store it is --- */

static void old(struct kb_local *l, const char *whose, uint64_t expected)
{
        l->state = KB_LOCAL_OLD;
        kb_problem(&l->why, KB_E_STORAGE,
                   "an old database was put back: it has %llu changes, %s knows of %llu; put the right one "
                   "back, or "
                   "run `keybearer store accept` when this is on purpose",
                   (unsigned long long)l->identity.changes, whose, (unsigned long long)expected);
}

static void foreign(struct kb_local *l, const char *whose)
{
        l->state = KB_LOCAL_OLD;
        kb_problem(&l->why, KB_E_STORAGE,
                   "this is not the database that %s knows; put the right one back, or run `keybearer store "
                   "accept` "
                   "when this is on purpose",
                   whose);
}

static void judge(struct kb_local *l, const struct kb_identity *outside, const char *whose)
{
        if (strcmp(outside->id, l->identity.id) != 0)
                foreign(l, whose);
        else if (outside->changes > l->identity.changes)
                old(l, whose, outside->changes);
}

enum kb_error kb_local_unsealed(struct kb_local *l, struct kb_problem *problem)
{
        _cleanup_object_ struct kb_object o = {};
        struct kb_identity outside = {};
        int r = kb_object_get(&l->shelf, "store", IDENTITY, &o);

        if (r == 0)
                r = -EUCLEAN;
        if (r < 0) {
                kb_local_seal(l);
                return kb_problem_errno(problem, r, "reading which store this is");
        }
        l->identity = (struct kb_identity){.epoch = kb_object_number(&o, "epoch", 0), .changes = o.version};
        snprintf(l->identity.id, sizeof(l->identity.id), "%s", kb_object_text(&o, "id", ""));
        l->state = KB_LOCAL_OPEN;
        if (changes_read(l, &outside))
                judge(l, &outside, "the file `changes`");
        else
                foreign(l, "the file `changes`, which is empty or lost,");
        if (l->state == KB_LOCAL_OPEN && l->kept.id[0])
                judge(l, &l->kept, "the broker");
        return KB_E_OK;
}

void kb_local_seal(struct kb_local *l)
{
        while (kb_keyring_newest(l->keys) > 0)
                kb_keyring_drop(l->keys, kb_keyring_newest(l->keys));
        l->identity = (struct kb_identity){};
        if (l->state != KB_LOCAL_CLOSED)
                l->state = KB_LOCAL_SEALED;
}

void kb_local_compare(struct kb_local *l, struct kb_span keep)
{
        if (!identity_parse(keep, &l->kept))
                return;
        if (l->state == KB_LOCAL_OPEN)
                judge(l, &l->kept, "the broker");
}

void kb_local_keep(const struct kb_local *l, char *ret, size_t size)
{
        const struct kb_identity *identity = l->state == KB_LOCAL_OPEN ? &l->identity : &l->kept;

        if (identity->id[0])
                identity_print(identity, ret, size);
        else
                snprintf(ret, size, "%s", "");
}

int kb_local_directory_version(struct kb_local *l, uint64_t *ret)
{
        _cleanup_object_ struct kb_object o = {};
        int r = kb_object_get(&l->shelf, "store", "directory", &o);

        if (r >= 0)
                *ret = r > 0 ? o.version : 1; /* an empty one is a directory too */
        return r < 0 ? r : 0;
}

int kb_local_touch_directory(struct kb_local *l)
{
        return kb_object_put_version(&l->shelf, "store", "directory", l->identity.changes + 1,
                                     (struct kb_list){}, 0);
}

static enum kb_error take_over(struct kb_local *l, uint64_t now, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        struct kb_identity before = l->identity, outside = {};
        int r;

        if (l->kept.id[0])
                memcpy(l->identity.id, l->kept.id, sizeof(l->identity.id));
        if (l->kept.changes > l->identity.changes)
                l->identity.changes = l->kept.changes;
        if (changes_read(l, &outside) && outside.changes > l->identity.changes)
                l->identity.changes = outside.changes;
        l->identity.epoch = now;
        r = kb_db_begin(l->db, &t);
        if (r >= 0)
                r = kb_local_touch_directory(l);
        if (r >= 0) /* the broker has a newer list than this database knows */
                r = kb_db_run(l->db, "UPDATE crls SET stale = 1", "");
        if (r >= 0)
                r = kb_db_commit(&t);
        if (r < 0) {
                l->identity = before;
                return kb_problem_errno(problem, r, "accepting this database");
        }
        l->state = KB_LOCAL_OPEN;
        return KB_E_OK;
}

enum kb_error kb_local_accept(struct kb_local *l, uint64_t now, struct kb_problem *problem)
{
        if (l->state != KB_LOCAL_OLD)
                return kb_problem(problem, KB_E_CONFLICT, "there is nothing to accept: the store is %s",
                                  kb_local_state_word(l->state));
        return take_over(l, now, problem);
}

enum kb_error kb_local_restored(struct kb_local *l, uint64_t now, struct kb_problem *problem)
{
        enum kb_error error = kb_local_unsealed(l, problem);

        return error == KB_E_OK ? take_over(l, now, problem) : error;
}
