/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One long life of a store, in which the first, the second, the third ... call to SQLite, libcrypto, the
 * allocator or the disk fails, until a whole life passes without any. After each: nothing crashed, nothing
 * leaked, the failing step said so, and what was acknowledged before is there.
 */
#include "tests/unit/store.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "helper/store/local/backup.h"
#include "helper/store/local/document.h"
#include "helper/store/local/kv.h"
#include "helper/store/local/people.h"
#include "helper/store/local/pki.h"
#include "helper/store/local/restore.h"
#include "helper/store/local/rotate.h"

/* --- faults --- */

enum group { SQLITE, CRYPTO, MEMORY, DISK, N_GROUPS };

static enum group failing;
static unsigned countdown; /* 0: nothing fails */

static bool fails(enum group group)
{
        return countdown > 0 && group == failing && --countdown == 0;
}

#define WRAP(group, type, name, failure, parameters, arguments)                                             \
        type __real_##name parameters;                                                                      \
        type __wrap_##name parameters;                                                                      \
        type __wrap_##name parameters                                                                       \
        {                                                                                                   \
                return fails(group) ? (failure) : __real_##name arguments;                                  \
        }

static int no_room(void)
{
        errno = ENOSPC;
        return -1;
}

WRAP(SQLITE, int, sqlite3_step, SQLITE_FULL, (sqlite3_stmt * s), (s))
WRAP(SQLITE, int, sqlite3_exec, SQLITE_IOERR,
     (sqlite3 * db, const char *sql, int (*f)(void *, int, char **, char **), void *p, char **e),
     (db, sql, f, p, e))
WRAP(SQLITE, int, sqlite3_prepare_v3, SQLITE_NOMEM,
     (sqlite3 * db, const char *sql, int n, unsigned flags, sqlite3_stmt **s, const char **tail),
     (db, sql, n, flags, s, tail))
WRAP(SQLITE, int, sqlite3_backup_step, SQLITE_FULL, (sqlite3_backup * b, int n), (b, n))
WRAP(CRYPTO, int, RAND_priv_bytes, 0, (unsigned char *p, int n), (p, n))
WRAP(CRYPTO, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, NULL, (void), ())
WRAP(CRYPTO, int, EVP_KDF_derive, 0, (EVP_KDF_CTX * c, unsigned char *key, size_t n, const OSSL_PARAM p[]),
     (c, key, n, p))
WRAP(CRYPTO, int, EVP_EncryptFinal_ex, 0, (EVP_CIPHER_CTX * c, unsigned char *out, int *n), (c, out, n))
WRAP(CRYPTO, int, EVP_PKEY_derive, 0, (EVP_PKEY_CTX * c, unsigned char *key, size_t *n), (c, key, n))
WRAP(CRYPTO, unsigned char *, HMAC, NULL,
     (const EVP_MD *md, const void *key, int key_size, const unsigned char *d, size_t n, unsigned char *out,
      unsigned *out_size),
     (md, key, key_size, d, n, out, out_size))
WRAP(CRYPTO, int, X509_sign, 0, (X509 * x, EVP_PKEY *key, const EVP_MD *md), (x, key, md))
WRAP(CRYPTO, int, X509_CRL_sign, 0, (X509_CRL * x, EVP_PKEY *key, const EVP_MD *md), (x, key, md))
WRAP(MEMORY, void *, calloc, NULL, (size_t n, size_t size), (n, size))
WRAP(DISK, ssize_t, pread, no_room(), (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(DISK, ssize_t, pwrite, no_room(), (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(DISK, int, fsync, no_room(), (int fd), (fd))
WRAP(DISK, int, rename, no_room(), (const char *from, const char *to), (from, to))
WRAP(DISK, int, renameat, no_room(), (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to))
WRAP(DISK, int, unlinkat, no_room(), (int fd, const char *path, int flags), (fd, path, flags))

/* --- a life --- */

struct life {
        struct kb_local *l;
        const char *folder;
        uint64_t acknowledged; /* version of kv/a */
        bool created;
};

typedef int (*step)(struct life *life);

/* 0 or -1: a step says whether it came through. */
static int done(enum kb_error error)
{
        return error == KB_E_OK ? 0 : -1;
}

static int open_it(struct life *life)
{
        return kb_local_new(&life->l, life->folder);
}

static int create(struct life *life)
{
        struct kb_slot slot = {.name = "test", .kind = "systemd", .created = TEST_NOW};
        struct kb_transaction t = {};
        int r = done(kb_local_create(life->l, TEST_NOW, &t, &test_problem));

        if (r == 0)
                r = done(kb_slot_add(life->l, &slot, test_seed, &test_problem));
        if (r == 0)
                r = kb_db_commit(&t);
        kb_db_rollback(&t);
        if (r < 0)
                kb_local_forget(life->l);
        life->created = r == 0;
        return r;
}

static int put(struct life *life)
{
        _cleanup_list_ struct kb_list_builder b = {};
        struct kb_list fields = pairs_of(&b, "value", "v", NULL);

        if (b.writer.failed)
                return -1;
        return done(
                kb_kv_put(life->l, "kv/a", fields, KB_KV_ANY, TEST_NOW, &life->acknowledged, &test_problem));
}

static int get(struct life *life)
{
        _cleanup_kv_secret_ struct kb_kv_secret s = {};

        return done(kb_kv_get(life->l, "kv/a", KB_KV_LATEST, &s, &test_problem));
}

static int delete_and_destroy(struct life *life)
{
        _cleanup_list_ struct kb_list_builder b = {};
        struct kb_list fields = pairs_of(&b, "value", "v", NULL);
        uint64_t version;
        int r = b.writer.failed ? -1 : 0;

        if (r == 0)
                r = done(kb_kv_put(life->l, "kv/b", fields, KB_KV_ANY, TEST_NOW, &version, &test_problem));
        if (r == 0)
                r = done(kb_kv_delete(life->l, "kv/b", version, TEST_NOW, &test_problem));
        if (r == 0)
                r = done(kb_kv_undelete(life->l, "kv/b", version, &test_problem));
        return r < 0 ? r : done(kb_kv_destroy(life->l, "kv/b", version, &test_problem));
}

static int make_ca(struct life *life)
{
        return done(kb_ca_create(life->l, "default", "CA", 86400 * 365, TEST_NOW, &test_problem));
}

static int make_role(struct life *life)
{
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_transaction_ struct kb_transaction t = {};
        struct kb_list pairs = pairs_of(&b, "common-name", "x", NULL);
        int r = kb_db_begin(life->l->db, &t);

        if (r >= 0)
                r = kb_object_put(&life->l->shelf, "role", "web", 0, pairs, TEST_NOW);
        return r < 0 ? r : kb_db_commit(&t);
}

static int issue_and_revoke(struct life *life)
{
        _cleanup_issued_ struct kb_issued issued = {};
        _cleanup_crl_ struct kb_crl crl = {};
        int r = done(
                kb_pki_issue(life->l, "web", (struct kb_list){}, "id", TEST_NOW, &issued, &test_problem));

        if (r == 0)
                r = done(kb_pki_revoke(life->l, "default", strrchr(issued.lease, '/') + 1, TEST_NOW,
                                       &test_problem));
        if (r == 0)
                r = done(kb_pki_crl(life->l, "default", TEST_NOW, &crl, &test_problem));
        return r < 0 ? r : kb_pki_forget_answers(life->l, TEST_NOW * 2);
}

static int people(struct life *life)
{
        struct kb_new_person person = {
                .name = "ana", .hash = "", .range = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT}};
        _cleanup_(kb_document_freep) struct kb_document *d = NULL;
        _cleanup_list_ struct kb_list_builder b = {}, rules = kb_list_builder_init(65536);
        uint32_t id;
        int r = done(kb_person_add(life->l, &person, TEST_NOW, &id, &test_problem));

        if (r == 0)
                r = done(kb_group_add(life->l, "dba", (struct kb_list){}, person.range, 0, TEST_NOW, &id,
                                      &test_problem));
        if (r == 0)
                r = done(kb_group_member(life->l, "dba", "ana", true, TEST_NOW, &test_problem));
        if (r == 0)
                r = done(kb_rule_set(life->l, "r", pairs_of(&b, "who", "ana @dba", NULL), true, TEST_NOW,
                                     &test_problem));
        if (r == 0)
                r = kb_document_make(life->l, &d);
        return r < 0 ? r : done(kb_person_remove(life->l, "ana", TEST_NOW, &rules, &test_problem));
}

static int seal_and_unseal(struct life *life)
{
        kb_local_seal(life->l);
        return done(kb_slot_unseal(life->l, "test", test_seed, TEST_NOW, &test_problem));
}

static int rotate(struct life *life)
{
        struct kb_rotation rotation;
        int r = kb_rotate_begin(&rotation, life->l, false);

        while (r >= 0 && (r = kb_rotate_step(&rotation)) > 0)
                ;
        return r;
}

static int back_up(struct life *life)
{
        _cleanup_(kb_backup_freep) struct kb_backup *b = NULL;
        uint64_t at = 0, finished, total;
        int r = kb_backup_new(&b, life->l, TEST_NOW);

        while (r >= 0) {
                _cleanup_writer_ struct kb_writer out = kb_writer_init(1024 * 1024);
                int more = kb_backup_step(b, &out, &finished, &total);

                r = more < 0 ? more
                             : done(kb_restore_upload(life->l, at,
                                                      KB_SPAN(out.size ? out.data : (uint8_t *)"", out.size),
                                                      &test_problem));
                at += out.size;
                if (more == 0)
                        break;
        }
        return r;
}

static int restore(struct life *life)
{
        _cleanup_(kb_restore_freep) struct kb_restore *b = NULL;
        uint64_t finished, total;
        int r = done(kb_restore_new(&b, life->l, "test", test_seed, &test_problem));

        while (r >= 0 && (r = kb_restore_step(b, &finished, &total)) > 0)
                ;
        return r < 0 ? r : done(kb_restore_finish(b, TEST_NOW, &test_problem));
}

static const step steps[] = {
        open_it,
        create,
        put,
        get,
        delete_and_destroy,
        make_ca,
        make_role,
        issue_and_revoke,
        people,
        seal_and_unseal,
        rotate,
        back_up,
        restore,
        put,
        get,
};

/* What was acknowledged is there, when the store is opened without faults. */
static void check_what_is_left(const struct life *life)
{
        _cleanup_store_ struct kb_local *l = store_reopen(life->folder);
        _cleanup_kv_secret_ struct kb_kv_secret s = {};

        if (!life->created) {
                assert_int_equal(l->state, KB_LOCAL_NEW);
                return;
        }
        if (l->state == KB_LOCAL_OLD) /* the file `changes` could not be written */
                assert_fine(kb_local_accept(l, TEST_NOW, &test_problem));
        assert_int_equal(l->state, KB_LOCAL_OPEN);
        if (life->acknowledged > 0)
                assert_fine(kb_kv_get(l, "kv/a", life->acknowledged, &s, &test_problem));
}

/* Lives until something fails. Whether a fault came up at all. */
static bool live(enum group group, unsigned n)
{
        struct life life = {.folder = store_folder()};
        bool came;

        failing = group;
        countdown = n;
        for (size_t i = 0; i < KB_ARRAY_SIZE(steps); i++)
                if (steps[i](&life) < 0) {
                        if (countdown > 0)
                                fail_msg("step %zu failed by itself: %s", i, test_problem.text);
                        break;
                }
        came = countdown == 0;
        countdown = 0;
        kb_local_free(life.l);
        check_what_is_left(&life);
        return came;
}

static void fail_each(enum group group, unsigned least)
{
        unsigned n = 1;

        while (live(group, n))
                n++;
        if (n <= least)
                fail_msg("only %u faults came up", n - 1);
}

static void no_fault_of_sqlite_loses_anything(void **state)
{
        fail_each(SQLITE, 200);
}

static void no_fault_of_libcrypto_loses_anything(void **state)
{
        fail_each(CRYPTO, 200);
}

static void no_lack_of_memory_loses_anything(void **state)
{
        fail_each(MEMORY, 200);
}

static void no_fault_of_the_disk_loses_anything(void **state)
{
        fail_each(DISK, 10);
}

/* A thousand lives: in memory where that can be, since every commit waits for its disk. */
static int make_folder(void **state)
{
        static const char quick[] = "/dev/shm/kb-test.XXXXXX";

        if (access("/dev/shm", W_OK) == 0)
                memcpy(test_folder, quick, sizeof(quick));
        return test_folder_make(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_fault_of_sqlite_loses_anything),
                cmocka_unit_test(no_fault_of_libcrypto_loses_anything),
                cmocka_unit_test(no_lack_of_memory_loses_anything),
                cmocka_unit_test(no_fault_of_the_disk_loses_anything),
        };

        return cmocka_run_group_tests_name("store-faults", tests, make_folder, test_folder_remove);
}
