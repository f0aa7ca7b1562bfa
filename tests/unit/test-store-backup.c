/* SPDX-License-Identifier: Apache-2.0 */
/* A new root key, a backup, a restore: nothing lost, nothing readable that should not be, no crash point
 * that hurts. */
#include "tests/unit/store.h"

#include <errno.h>
#include <sqlite3.h>

#include "helper/store/local/backup.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/kv.h"
#include "helper/store/local/pki.h"
#include "helper/store/local/restore.h"
#include "helper/store/local/rotate.h"

static void put(struct kb_local *l, const char *path, const char *value)
{
        _cleanup_list_ struct kb_list_builder b = {};
        uint64_t version;

        assert_fine(kb_kv_put(l, path, pairs_of(&b, "value", value, NULL), KB_KV_ANY, TEST_NOW, &version,
                              &test_problem));
}

static void put_many(struct kb_local *l, unsigned n, const char *value)
{
        for (unsigned i = 0; i < n; i++) {
                char path[32];

                snprintf(path, sizeof(path), "kv/many/%u", i);
                put(l, path, value);
        }
}

static void assert_value(struct kb_local *l, const char *path, const char *expected)
{
        _cleanup_kv_secret_ struct kb_kv_secret s = {};

        assert_fine(kb_kv_get(l, path, KB_KV_LATEST, &s, &test_problem));
        assert_string_equal(value_in(s.fields, "value"), expected);
}

/* --- a new root key --- */

static void rotate(struct kb_local *l, uint64_t expected_total)
{
        struct kb_rotation rotation;
        int r;

        assert_ok(kb_rotate_begin(&rotation, l, false));
        assert_true(rotation.total >= expected_total);
        while ((r = kb_rotate_step(&rotation)) > 0)
                ;
        assert_ok(r);
}

static void after_a_rotation_the_old_root_key_opens_nothing(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        uint8_t old[KB_KEY_SIZE];
        uint64_t n;

        put_many(l, 100, "x");
        memcpy(old, kb_keyring_root(l->keys, 1), sizeof(old));
        rotate(l, 100);
        assert_int_equal(kb_keyring_newest(l->keys), 2);
        assert_false(kb_keyring_has(l->keys, 1));
        assert_false(kb_rotate_unfinished(l));
        assert_memory_not_equal(old, kb_keyring_root(l->keys, 2), sizeof(old));
        assert_ok(kb_db_number(l->db, &n, "SELECT count(*) FROM boxes WHERE generation = 1", ""));
        assert_int_equal(n, 0);
        assert_ok(kb_db_number(l->db, &n, "SELECT count(*) FROM versions WHERE generation = 1", ""));
        assert_int_equal(n, 0);
        assert_ok(kb_db_number(l->db, &n, "SELECT count(*) FROM objects WHERE generation = 1", ""));
        assert_int_equal(n, 0);
        kb_local_free(l);
        l = store_reopen(folder); /* the slot's own secret has not changed */
        assert_value(l, "kv/many/99", "x");
        rotate(l, 100);
        assert_value(l, "kv/many/0", "x");
        kb_local_free(l);
}

static int rotate_all(struct kb_local *l, bool skip, struct kb_rotation *ret)
{
        int r = kb_rotate_begin(ret, l, skip);

        while (r >= 0 && (r = kb_rotate_step(ret)) > 0)
                ;
        return r;
}

static void damage(struct kb_local *l, const char *sql)
{
        assert_int_equal(sqlite3_exec(kb_db_handle(l->db), sql, NULL, NULL, NULL), SQLITE_OK);
}

static void one_damaged_record_is_named_and_can_be_left_behind(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_(kb_backup_freep) struct kb_backup *b = NULL;
        _cleanup_kv_secret_ struct kb_kv_secret s = {};
        struct kb_rotation rotation;

        put_many(l, 100, "x");
        put(l, "kv/many/7", "y");
        damage(l, "UPDATE versions SET data = CAST(x'01' || zeroblob(59) AS BLOB) WHERE path = 'kv/many/7' "
                  "AND version = 2");
        assert_int_equal(rotate_all(l, false, &rotation), -EBADMSG);
        assert_error(kb_damage_problem(l, &test_problem, -EBADMSG, "rotating"), KB_E_STORAGE);
        assert_non_null(strstr(test_problem.text, "secret kv/many/7 version 2"));
        assert_non_null(strstr(test_problem.text, "keybearer secret destroy kv/many/7 version=2"));
        assert_int_equal(kb_backup_new(&b, l, TEST_NOW), -EBUSY);
        assert_ok(rotate_all(l, true, &rotation));
        assert_int_equal(rotation.skipped, 1);
        assert_false(kb_rotate_unfinished(l));
        assert_value(l, "kv/many/6", "x");
        assert_value(l, "kv/many/99", "x");
        assert_error(kb_kv_get(l, "kv/many/7", 2, &s, &test_problem), KB_E_STORAGE);
        assert_fine(kb_kv_get(l, "kv/many/7", 1, &s, &test_problem));
        assert_ok(kb_backup_new(&b, l, TEST_NOW));

        /* It is in the way again, until it is taken away as was said. */
        assert_int_equal(rotate_all(l, false, &rotation), -ENOKEY);
        assert_fine(kb_kv_destroy(l, "kv/many/7", 2, &test_problem));
        assert_ok(rotate_all(l, false, &rotation));
        assert_int_equal(rotation.skipped, 0);
}

/* A slot whose box of the old root key is missing, as after a restore by hand: nothing is lost yet. */
static void what_another_slot_could_open_is_never_left_behind(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        struct kb_rotation rotation;

        put_many(l, 3, "x");
        assert_ok(kb_rotate_begin(&rotation, l, true));
        kb_keyring_drop(l->keys, 1);
        assert_int_equal(kb_rotate_step(&rotation), -ENOKEY);
        assert_int_equal(rotation.skipped, 0);
        kb_local_free(l);
        l = store_reopen(folder);
        assert_ok(rotate_all(l, false, &rotation));
        assert_value(l, "kv/many/2", "x");
        kb_local_free(l);
}

static void a_slot_added_in_the_middle_of_a_rotation_opens_everything(void **state)
{
        const uint8_t seed[KB_SLOT_SEED_SIZE] = {9};
        struct kb_slot slot = {.name = "second", .kind = "systemd", .created = TEST_NOW};
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        struct kb_rotation rotation;
        struct kb_transaction t = {};

        put_many(l, 100, "x");
        assert_ok(kb_rotate_begin(&rotation, l, false));
        assert_true(kb_rotate_step(&rotation) > 0);
        assert_ok(kb_db_begin(l->db, &t));
        assert_fine(kb_slot_add(l, &slot, seed, &test_problem));
        assert_ok(kb_db_commit(&t));
        kb_local_free(l);

        assert_ok(kb_local_new(&l, folder));
        assert_fine(kb_slot_unseal(l, "second", seed, TEST_NOW, &test_problem));
        assert_true(kb_rotate_unfinished(l));
        assert_value(l, "kv/many/0", "x");
        assert_value(l, "kv/many/99", "x");
        assert_ok(rotate_all(l, false, &rotation));
        kb_local_seal(l);
        assert_fine(kb_slot_unseal(l, "second", seed, TEST_NOW, &test_problem));
        assert_value(l, "kv/many/99", "x");
        kb_local_free(l);
}

/* Somebody who can write the file puts his key where a slot's is, and waits for the next root key. */
static void a_rotation_trusts_no_key_of_a_slot_but_the_sealed_one(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        struct kb_rotation rotation;

        assert_ok(kb_db_run(l->db, "UPDATE slots SET public = randomblob(32)", ""));
        assert_int_equal(kb_rotate_begin(&rotation, l, false), -EBADMSG);
        assert_error(kb_damage_problem(l, &test_problem, -EBADMSG, "rotating"), KB_E_STORAGE);
        assert_non_null(strstr(test_problem.text, "keybearer seal remove test"));
        kb_local_free(l);
}

static void a_rotation_that_was_killed_goes_on(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        struct kb_rotation rotation;

        put_many(l, 100, "x");
        assert_ok(kb_rotate_begin(&rotation, l, false));
        assert_true(kb_rotate_step(&rotation) > 0);
        kb_local_free(l);
        l = store_reopen(folder);
        assert_true(kb_rotate_unfinished(l));
        assert_value(l, "kv/many/0", "x");
        assert_value(l, "kv/many/99", "x");
        put(l, "kv/new", "y");
        rotate(l, 1);
        assert_int_equal(kb_keyring_newest(l->keys), 2);
        assert_value(l, "kv/many/99", "x");
        assert_value(l, "kv/new", "y");
        kb_local_free(l);
}

static void a_full_disk_stops_a_rotation_and_loses_nothing(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        struct kb_rotation rotation;

        put_many(l, 10, "x");
        assert_ok(sqlite3_exec(kb_db_handle(l->db), "CREATE TABLE filler (x); PRAGMA max_page_count = 1",
                               NULL, NULL, NULL));
        while (sqlite3_exec(kb_db_handle(l->db), "INSERT INTO filler VALUES (randomblob(3000))", NULL, NULL,
                            NULL) == SQLITE_OK)
                ;
        while (sqlite3_exec(kb_db_handle(l->db),
                            "INSERT INTO boxes SELECT 'test', max(generation) + 100, zeroblob(80), "
                            "zeroblob(32) FROM boxes",
                            NULL, NULL, NULL) == SQLITE_OK)
                ;
        assert_int_equal(kb_rotate_begin(&rotation, l, false), -ENOSPC);
        assert_int_equal(kb_keyring_newest(l->keys), 1);
        assert_false(kb_rotate_unfinished(l));
        assert_value(l, "kv/many/9", "x");
}

/* --- backups --- */

static void take_backup(struct kb_local *l, struct kb_writer *ret, void (*meanwhile)(struct kb_local *l))
{
        _cleanup_(kb_backup_freep) struct kb_backup *b = NULL;
        uint64_t done = 0, total = 0, before = 0;
        int r;

        *ret = kb_writer_init(256 * 1024 * 1024);
        assert_ok(kb_backup_new(&b, l, TEST_NOW));
        do {
                r = kb_backup_step(b, ret, &done, &total);
                assert_ok(r);
                assert_true(done <= total && done >= before);
                if (meanwhile)
                        meanwhile(l);
                before = done;
        } while (r > 0);
        assert_int_equal(done, total);
}

static void upload(struct kb_local *l, const struct kb_writer *backup)
{
        for (size_t at = 0; at < backup->size; at += 100000) {
                size_t n = backup->size - at < 100000 ? backup->size - at : 100000;

                assert_fine(kb_restore_upload(l, at, KB_SPAN(backup->data + at, n), &test_problem));
        }
}

/* What opening all of an uploaded backup comes to. */
static int open_all(struct kb_local *l)
{
        _cleanup_(kb_restore_freep) struct kb_restore *r = NULL;
        uint64_t done, total;
        int e;

        if (kb_restore_new(&r, l, "test", test_seed, &test_problem) != KB_E_OK)
                return -EKEYREJECTED;
        while ((e = kb_restore_step(r, &done, &total)) > 0)
                ;
        return e;
}

static enum kb_error restore(struct kb_local *l)
{
        _cleanup_(kb_restore_freep) struct kb_restore *r = NULL;
        uint64_t done, total;
        int e;

        assert_fine(kb_restore_new(&r, l, "test", test_seed, &test_problem));
        while ((e = kb_restore_step(r, &done, &total)) > 0)
                ;
        assert_ok(e);
        return kb_restore_finish(r, TEST_NOW + 1, &test_problem);
}

static void write_meanwhile(struct kb_local *l)
{
        put(l, "kv/meanwhile", "m");
}

static void a_backup_restores_on_another_host(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder()), *other = NULL;
        _cleanup_writer_ struct kb_writer backup = {};
        _cleanup_free_ char *folder = NULL;

        put_many(l, 300,
                 "a value of some length, so that there are several pieces: "
                 ".........................................................................................."
                 "......");
        take_backup(l, &backup, write_meanwhile);
        assert_true(backup.size > 2 * KB_BACKUP_PIECE);
        assert_null(memmem(backup.data, backup.size, "many/", 5)); /* not even names are in clear */

        folder = strdup(store_folder());
        assert_ok(kb_local_new(&other, folder));
        upload(other, &backup);
        assert_fine(restore(other));
        assert_int_equal(other->state, KB_LOCAL_OPEN);
        assert_value(other, "kv/many/299",
                     "a value of some length, so that there are several pieces: "
                     "......................................................................................"
                     "..........");
        kb_local_free(take_ptr(other));
        other = store_reopen(folder);
        assert_int_equal(other->state, KB_LOCAL_OPEN);
}

static void a_restore_takes_the_place_of_the_store_and_is_not_called_old(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        _cleanup_store_ struct kb_local *l = store_make(folder);
        _cleanup_writer_ struct kb_writer backup = {};
        uint64_t before, after;
        char keep[128];

        put(l, "kv/a", "then");
        take_backup(l, &backup, NULL);
        put(l, "kv/a", "now");
        put(l, "kv/b", "now");
        kb_local_keep(l, keep, sizeof(keep));
        kb_local_compare(l, KB_SPAN_STRING(keep));
        assert_ok(kb_local_directory_version(l, &before));
        upload(l, &backup);
        assert_fine(restore(l));
        assert_value(l, "kv/a", "then");
        assert_int_equal(l->identity.epoch, TEST_NOW + 1); /* leases from before are void */
        assert_ok(kb_local_directory_version(l, &after));
        assert_true(after > before);
        kb_local_free(l);
        l = store_reopen(folder);
        kb_local_compare(l, KB_SPAN_STRING(keep));
        assert_int_equal(l->state, KB_LOCAL_OPEN);
}

/* --- a restore that is killed --- */

static unsigned calls_left; /* to the one at which this process dies; 0: it does not */

static void call(void)
{
        if (calls_left > 0 && --calls_left == 0)
                _exit(99);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
        call();
        return __real_fsync(fd);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
        call();
        return __real_renameat(from_fd, from, to_fd, to);
}

int __real_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags)
{
        call();
        return __real_unlinkat(fd, path, flags);
}

/* Restores in a process of its own, which dies at the n-th call that touches a folder. Whether it did. */
static bool restore_and_die(const char *folder, const struct kb_writer *backup, unsigned n)
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                struct kb_local *l = store_reopen(folder);

                put(l, "kv/a", "acknowledged");
                upload(l, backup);
                /* as when the disk is full: what was written last is in the log alone, and stays there */
                sqlite3_db_config(kb_db_handle(l->db), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
                calls_left = n;
                _exit(restore(l) == KB_E_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 99 || WEXITSTATUS(status) == 0));
        return WEXITSTATUS(status) == 99;
}

/* Never a third thing: neither the old one without what was acknowledged, nor the new one with a log of the
 * old. And the restore can be done again. */
static void a_restore_killed_at_any_moment_leaves_the_old_store_or_the_new(void **state)
{
        _cleanup_writer_ struct kb_writer backup = {};
        unsigned olds = 0, news = 0;
        bool died = true;

        for (unsigned n = 1; died; n++) {
                _cleanup_free_ char *folder = strdup(store_folder());
                _cleanup_store_ struct kb_local *l = store_make(folder);
                _cleanup_kv_secret_ struct kb_kv_secret s = {};

                put(l, "kv/a", "backup");
                put_many(l, 3, "many");
                take_backup(l, &backup, NULL);
                put(l, "kv/a", "in the database");
                kb_local_free(take_ptr(l));
                died = restore_and_die(folder, &backup, n);
                l = store_reopen(folder);
                if (l->state == KB_LOCAL_OLD) /* the new one; the file `changes` is still the old one's */
                        assert_fine(kb_local_accept(l, TEST_NOW, &test_problem));
                assert_int_equal(l->state, KB_LOCAL_OPEN);
                assert_fine(kb_kv_get(l, "kv/a", KB_KV_LATEST, &s, &test_problem));
                if (strcmp(value_in(s.fields, "value"), "acknowledged") == 0)
                        olds++;
                else if (strcmp(value_in(s.fields, "value"), "backup") == 0)
                        news++;
                assert_int_equal(olds + news, n);
                assert_value(l, "kv/many/2", "many");
                upload(l, &backup);
                assert_fine(restore(l));
                assert_value(l, "kv/a", "backup");
                kb_writer_done(&backup);
        }
        assert_true(olds >= 5 && news >= 3);
}

static uint64_t list_number(struct kb_local *l, uint64_t seconds)
{
        _cleanup_crl_ struct kb_crl crl = {};

        assert_fine(kb_pki_crl(l, "default", TEST_NOW + seconds * KB_USEC_PER_SEC, &crl, &test_problem));
        return crl.number;
}

static void a_revocation_list_after_a_restore_has_a_number_of_its_own(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_writer_ struct kb_writer backup = {};
        uint64_t before, lost, same_second;

        assert_fine(kb_ca_create(l, "default", "CA", 86400 * 365, TEST_NOW, &test_problem));
        before = list_number(l, 0);
        take_backup(l, &backup, NULL);
        assert_ok(kb_db_run(l->db, "UPDATE crls SET stale = 1", ""));
        lost = list_number(l, 5);
        assert_true(lost > before);
        assert_ok(kb_db_run(l->db, "UPDATE crls SET stale = 1", ""));
        same_second = list_number(l, 5);
        assert_true(same_second > lost);
        upload(l, &backup);
        assert_fine(restore(l));
        assert_true(list_number(l, 10) > same_second);
}

static void a_backup_that_was_touched_is_refused(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_writer_ struct kb_writer backup = {}, two = {};
        size_t step;

        put_many(l, 50, "some value");
        take_backup(l, &backup, NULL);
        upload(l, &backup);
        assert_int_equal(open_all(l), 0);
        step = backup.size / 60;
        for (size_t at = 0; at < backup.size; at += step) {
                backup.data[at] ^= 1;
                upload(l, &backup);
                if (open_all(l) == 0)
                        fail_msg("byte %zu was changed", at);
                backup.data[at] ^= 1;
        }
        for (size_t n = 0; n < backup.size; n += step) {
                const struct kb_writer cut = {.data = backup.data, .size = n};

                assert_fine(kb_restore_upload(l, 0, KB_SPAN("", 0), &test_problem));
                upload(l, &cut);
                if (open_all(l) == 0)
                        fail_msg("cut at %zu", n);
        }
        two = kb_writer_init(SIZE_MAX);
        kb_write_raw(&two, KB_SPAN(backup.data, backup.size));
        kb_write_raw(&two, KB_SPAN(backup.data, backup.size));
        upload(l, &two);
        assert_int_equal(open_all(l), -EBADMSG); /* doubled */
        assert_value(l, "kv/many/0", "some value");
}

static void pieces_come_in_their_order_only(void **state)
{
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(65536), opened = kb_writer_init(65536);
        struct kb_backup_stream s;
        uint8_t root[KB_KEY_SIZE] = {1};
        size_t first;

        assert_ok(kb_backup_stream_init(&s, root, KB_SPAN_STRING("salt"), KB_SPAN_STRING("head")));
        assert_ok(kb_backup_stream_seal(&s, KB_SPAN_STRING("one"), false, &sealed));
        first = sealed.size;
        assert_ok(kb_backup_stream_seal(&s, KB_SPAN_STRING("two"), true, &sealed));
        assert_int_equal(kb_backup_stream_seal(&s, KB_SPAN_STRING("three"), true, &sealed), -EINVAL);

        assert_ok(kb_backup_stream_init(&s, root, KB_SPAN_STRING("salt"), KB_SPAN_STRING("head")));
        assert_int_equal(
                kb_backup_stream_open(&s, KB_SPAN(sealed.data + first, sealed.size - first), &opened),
                -EBADMSG);
        assert_int_equal(kb_backup_stream_open(&s, KB_SPAN(sealed.data, first - 1), &opened), 0);
        assert_int_equal(kb_backup_stream_open(&s, KB_SPAN(sealed.data, sealed.size), &opened), first);
        assert_false(s.ended);
        assert_int_equal(
                kb_backup_stream_open(&s, KB_SPAN(sealed.data + first, sealed.size - first), &opened),
                sealed.size - first);
        assert_true(s.ended);
        assert_memory_equal(opened.data, "onetwo", 6);
        assert_int_equal(kb_backup_stream_open(&s, KB_SPAN(sealed.data, sealed.size), &opened), -EBADMSG);
        kb_backup_stream_done(&s);
}

static void uploads_are_in_order_and_secrets_must_fit(void **state)
{
        const uint8_t wrong[KB_SLOT_SEED_SIZE] = {1};
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_(kb_restore_freep) struct kb_restore *r = NULL;
        _cleanup_writer_ struct kb_writer backup = {};

        assert_error(kb_restore_new(&r, l, "test", test_seed, &test_problem), KB_E_NOT_FOUND);
        assert_error(kb_restore_upload(l, 7, KB_SPAN_STRING("x"), &test_problem), KB_E_CONFLICT);
        assert_fine(kb_restore_upload(l, 0, KB_SPAN_STRING("not a backup"), &test_problem));
        assert_error(kb_restore_new(&r, l, "test", test_seed, &test_problem), KB_E_STORAGE);
        take_backup(l, &backup, NULL);
        upload(l, &backup);
        assert_error(kb_restore_new(&r, l, "test", wrong, &test_problem), KB_E_BAD_SECRET);
        assert_error(kb_restore_new(&r, l, "nobody", test_seed, &test_problem), KB_E_NOT_FOUND);
}

static void no_backup_is_taken_in_the_middle_of_a_rotation(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_(kb_backup_freep) struct kb_backup *b = NULL;
        struct kb_rotation rotation;

        assert_ok(kb_rotate_begin(&rotation, l, false));
        assert_int_equal(kb_backup_new(&b, l, TEST_NOW), -EBUSY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(after_a_rotation_the_old_root_key_opens_nothing),
                cmocka_unit_test(a_rotation_trusts_no_key_of_a_slot_but_the_sealed_one),
                cmocka_unit_test(a_rotation_that_was_killed_goes_on),
                cmocka_unit_test(one_damaged_record_is_named_and_can_be_left_behind),
                cmocka_unit_test(what_another_slot_could_open_is_never_left_behind),
                cmocka_unit_test(a_slot_added_in_the_middle_of_a_rotation_opens_everything),
                cmocka_unit_test(a_full_disk_stops_a_rotation_and_loses_nothing),
                cmocka_unit_test(a_backup_restores_on_another_host),
                cmocka_unit_test(a_restore_takes_the_place_of_the_store_and_is_not_called_old),
                cmocka_unit_test(a_restore_killed_at_any_moment_leaves_the_old_store_or_the_new),
                cmocka_unit_test(a_revocation_list_after_a_restore_has_a_number_of_its_own),
                cmocka_unit_test(a_backup_that_was_touched_is_refused),
                cmocka_unit_test(pieces_come_in_their_order_only),
                cmocka_unit_test(uploads_are_in_order_and_secrets_must_fit),
                cmocka_unit_test(no_backup_is_taken_in_the_middle_of_a_rotation),
        };

        return cmocka_run_group_tests_name("store-backup", tests, test_folder_make, test_folder_remove);
}
