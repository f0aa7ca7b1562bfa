/* SPDX-License-Identifier: Apache-2.0 */
/* The local store without a process around it: versions of secrets, seal slots, states, old and damaged
 * files. */
#include "tests/unit/store.h"

#include <errno.h>
#include <signal.h>

#include "helper/store/local/kv.h"

/* --- helpers --- */

static uint64_t put(struct kb_local *l, const char *path, const char *value)
{
        _cleanup_list_ struct kb_list_builder b = {};
        uint64_t version = 0;

        assert_fine(kb_kv_put(l, path, pairs_of(&b, "value", value, NULL), KB_KV_ANY, TEST_NOW, &version,
                              &test_problem));
        return version;
}

static void assert_value(struct kb_local *l, const char *path, uint64_t version, const char *expected)
{
        _cleanup_kv_secret_ struct kb_kv_secret s = {};

        assert_fine(kb_kv_get(l, path, version, &s, &test_problem));
        assert_string_equal(value_in(s.fields, "value"), expected);
}

static enum kb_error get(struct kb_local *l, const char *path, uint64_t version)
{
        _cleanup_kv_secret_ struct kb_kv_secret s = {};

        return kb_kv_get(l, path, version, &s, &test_problem);
}

static void copy_file(const char *folder, const char *from, const char *to)
{
        char command[2048];

        snprintf(command, sizeof(command), "cp '%s/%s' '%s/%s'", folder, from, folder, to);
        assert_int_equal(run_shell(command), 0);
}

/* What the file `changes` says; false: nothing. */
static bool changes_of(const char *folder, struct kb_identity *ret)
{
        char path[512];
        FILE *f;
        int n;

        snprintf(path, sizeof(path), "%s/changes", folder);
        f = fopen(path, "r");
        if (!f)
                return false;
        n = fscanf(f, "%32s %lu", ret->id, &ret->changes);
        fclose(f);
        return n == 2;
}

/* --- key-value secrets --- */

static void versions_count_up_and_never_come_twice(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        assert_int_equal(put(l, "kv/a", "one"), 1);
        assert_int_equal(put(l, "kv/a", "two"), 2);
        assert_value(l, "kv/a", 1, "one");
        assert_value(l, "kv/a", KB_KV_LATEST, "two");
        assert_fine(kb_kv_destroy(l, "kv/a", 2, &test_problem));
        assert_int_equal(put(l, "kv/a", "three"), 3);
        assert_error(get(l, "kv/a", 2), KB_E_NOT_FOUND);
        assert_error(get(l, "kv/a", 4), KB_E_NOT_FOUND);
        assert_error(get(l, "kv/b", KB_KV_LATEST), KB_E_NOT_FOUND);
}

/* One row per step on one path: what is done to a version, and what comes of it. */
static void removed_versions_come_back_and_destroyed_ones_do_not(void **state)
{
        enum { DELETE, UNDELETE, DESTROY };
        static const struct {
                int action;
                uint64_t version;
                enum kb_error expected, readable;
        } steps[] = {
                {UNDELETE, 1, KB_E_NOT_FOUND, KB_E_OK},        {DELETE, 1, KB_E_OK, KB_E_NOT_FOUND},
                {DELETE, 1, KB_E_NOT_FOUND, KB_E_NOT_FOUND},   {UNDELETE, 1, KB_E_OK, KB_E_OK},
                {DELETE, KB_KV_LATEST, KB_E_OK, KB_E_OK},      {UNDELETE, KB_KV_LATEST, KB_E_OK, KB_E_OK},
                {DELETE, 1, KB_E_OK, KB_E_NOT_FOUND},          {DESTROY, 1, KB_E_OK, KB_E_NOT_FOUND},
                {UNDELETE, 1, KB_E_NOT_FOUND, KB_E_NOT_FOUND}, {DELETE, 1, KB_E_NOT_FOUND, KB_E_NOT_FOUND},
                {DESTROY, 1, KB_E_NOT_FOUND, KB_E_NOT_FOUND},  {DESTROY, 9, KB_E_NOT_FOUND, KB_E_NOT_FOUND},
        };
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        put(l, "kv/a", "one");
        put(l, "kv/a", "two");
        for (size_t i = 0; i < KB_ARRAY_SIZE(steps); i++) {
                uint64_t v = steps[i].version;
                enum kb_error e = steps[i].action == DELETE
                                          ? kb_kv_delete(l, "kv/a", v, TEST_NOW, &test_problem)
                                  : steps[i].action == UNDELETE ? kb_kv_undelete(l, "kv/a", v, &test_problem)
                                                                : kb_kv_destroy(l, "kv/a", v, &test_problem);

                if (e != steps[i].expected || get(l, "kv/a", 1) != steps[i].readable)
                        fail_msg("row %zu: %s", i, kb_error_word(e));
        }
        assert_value(l, "kv/a", 2, "two");
}

static void check_and_set_lets_one_writer_win(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_list_ struct kb_list_builder b = {};
        struct kb_list fields = pairs_of(&b, "value", "x", NULL);
        uint64_t version;

        assert_error(kb_kv_put(l, "kv/a", fields, 1, TEST_NOW, &version, &test_problem), KB_E_CONFLICT);
        assert_fine(kb_kv_put(l, "kv/a", fields, 0, TEST_NOW, &version, &test_problem));
        assert_error(kb_kv_put(l, "kv/a", fields, 0, TEST_NOW, &version, &test_problem), KB_E_CONFLICT);
        assert_fine(kb_kv_put(l, "kv/a", fields, 1, TEST_NOW, &version, &test_problem));
        assert_int_equal(version, 2);
}

static void only_the_newest_versions_keep_their_bytes(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        for (unsigned i = 0; i < KB_KV_KEEP + 2; i++)
                put(l, "kv/a", "x");
        assert_error(get(l, "kv/a", 2), KB_E_NOT_FOUND);
        assert_value(l, "kv/a", 3, "x");
}

static void bad_secrets_are_refused(void **state)
{
        static const struct {
                const char *path, *field;
        } rows[] = {
                {"a", "value"},     {"kv/", "value"},    {"kv/../a", "value"},
                {"pki/a", "value"}, {"kv/a", "no good"}, {"kv/a", ""},
        };
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_list_ struct kb_list_builder many = kb_list_builder_init(65536);
        uint64_t version;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_list_ struct kb_list_builder b = {};

                assert_error(kb_kv_put(l, rows[i].path, pairs_of(&b, rows[i].field, "x", NULL), KB_KV_ANY,
                                       TEST_NOW, &version, &test_problem),
                             KB_E_BAD_REQUEST);
        }
        assert_error(
                kb_kv_put(l, "kv/a", kb_list_built(&many), KB_KV_ANY, TEST_NOW, &version, &test_problem),
                KB_E_BAD_REQUEST);
        for (unsigned i = 0; i <= KB_KV_FIELDS_MAX; i++)
                kb_list_add_text(&many, "a", "b");
        assert_error(
                kb_kv_put(l, "kv/a", kb_list_built(&many), KB_KV_ANY, TEST_NOW, &version, &test_problem),
                KB_E_BAD_REQUEST);
}

static int count_paths(const struct kb_kv_entry *entry, void *userdata)
{
        unsigned *n = userdata;

        return ++*n == 3;
}

static void lists_are_by_prefix_and_stop_when_told(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        unsigned n = 0;

        put(l, "kv/a/1", "x");
        put(l, "kv/a/2", "x");
        put(l, "kv/b_", "x");
        put(l, "kv/bx", "x");
        assert_ok(kb_kv_list(l, "kv/b_", "", count_paths, &n));
        assert_int_equal(n, 1);
        n = 0;
        assert_int_equal(kb_kv_list(l, "kv/", "", count_paths, &n), 1);
        assert_int_equal(n, 3);
        n = 0;
        assert_ok(kb_kv_list(l, "kv/", "kv/a/2", count_paths, &n));
        assert_int_equal(n, 2);
}

/* --- seal slots --- */

static void a_sealed_store_opens_with_its_slot_alone(void **state)
{
        const uint8_t wrong[KB_SLOT_SEED_SIZE] = {8};
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        put(l, "kv/a", "one");
        kb_local_seal(l);
        assert_error(kb_local_ready(l, &test_problem), KB_E_SEALED);
        assert_non_null(strstr(test_problem.text, "keybearer seal unseal"));
        assert_error(kb_slot_unseal(l, "test", wrong, TEST_NOW, &test_problem), KB_E_BAD_SECRET);
        assert_error(kb_slot_unseal(l, "nobody", test_seed, TEST_NOW, &test_problem), KB_E_NOT_FOUND);
        assert_error(kb_local_ready(l, &test_problem), KB_E_SEALED);
        assert_fine(kb_slot_unseal(l, "test", test_seed, TEST_NOW, &test_problem));
        assert_error(kb_slot_unseal(l, "test", test_seed, TEST_NOW, &test_problem), KB_E_CONFLICT);
        assert_value(l, "kv/a", 1, "one");
}

static void add_slot(struct kb_local *l, const char *name, uint8_t seed_byte, enum kb_error expected)
{
        struct kb_slot slot = {.kind = "recovery", .created = TEST_NOW};
        _cleanup_transaction_ struct kb_transaction t = {};
        uint8_t seed[KB_SLOT_SEED_SIZE] = {seed_byte};

        snprintf(slot.name, sizeof(slot.name), "%s", name);
        assert_ok(kb_db_begin(l->db, &t));
        assert_error(kb_slot_add(l, &slot, seed, &test_problem), expected);
        if (expected == KB_E_OK)
                assert_ok(kb_db_commit(&t));
}

static void slots_come_and_go_but_the_last_stays(void **state)
{
        const uint8_t second[KB_SLOT_SEED_SIZE] = {42};
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        assert_error(kb_slot_remove(l, "test", &test_problem), KB_E_CONFLICT);
        add_slot(l, "second", 42, KB_E_OK);
        add_slot(l, "second", 43, KB_E_CONFLICT);
        add_slot(l, "not good", 43, KB_E_BAD_REQUEST);
        assert_fine(kb_slot_remove(l, "test", &test_problem));
        assert_error(kb_slot_remove(l, "test", &test_problem), KB_E_NOT_FOUND);
        kb_local_seal(l);
        assert_error(kb_slot_unseal(l, "test", test_seed, TEST_NOW, &test_problem), KB_E_NOT_FOUND);
        assert_fine(kb_slot_unseal(l, "second", second, TEST_NOW, &test_problem));
}

/* The attacker knows every public key and may write the file, but has never had a root key. */
static void a_box_that_the_store_did_not_make_does_not_open_it(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_writer_ struct kb_writer box = kb_writer_init(256), label = kb_writer_init(256);
        const uint8_t mine[KB_KEY_SIZE] = {66};
        uint8_t public[KB_KEY_SIZE];

        assert_ok(kb_crypto_public(test_seed, public));
        kb_write_string(&label, "test", 64);
        kb_write_u64(&label, 1);
        assert_ok(kb_crypto_box(public, KB_SPAN(label.data, label.size), KB_SPAN(mine, sizeof(mine)), &box));
        assert_ok(kb_db_run(l->db, "UPDATE boxes SET box = ?", "b", KB_SPAN(box.data, box.size)));
        kb_local_seal(l);
        assert_error(kb_slot_unseal(l, "test", test_seed, TEST_NOW, &test_problem), KB_E_BAD_SECRET);
        assert_int_equal(kb_keyring_newest(l->keys), 0);
}

/* --- which database it is --- */

static void a_database_put_back_is_noticed(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);

        put(l, "kv/a", "old");
        kb_local_free(l);
        copy_file(folder, KB_DB_FILE, "yesterday");
        l = store_reopen(folder);
        put(l, "kv/a", "new");
        kb_local_free(l);
        copy_file(folder, "yesterday", KB_DB_FILE);

        l = store_reopen(folder);
        assert_int_equal(l->state, KB_LOCAL_OLD);
        assert_error(kb_local_ready(l, &test_problem), KB_E_STORAGE);
        assert_non_null(strstr(test_problem.text, "keybearer store accept"));
        assert_fine(kb_local_accept(l, TEST_NOW, &test_problem));
        assert_value(l, "kv/a", KB_KV_LATEST, "old");
        assert_error(kb_local_accept(l, TEST_NOW, &test_problem), KB_E_CONFLICT);
        kb_local_free(l);

        l = store_reopen(folder);
        assert_int_equal(l->state, KB_LOCAL_OPEN);
        assert_int_equal(l->identity.epoch, TEST_NOW);
        kb_local_free(l);
}

static void the_broker_notices_a_whole_folder_put_back(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        char keep[128], again[128];

        kb_local_free(l);
        copy_file(folder, KB_DB_FILE, "yesterday");
        copy_file(folder, "changes", "yesterday.changes");
        l = store_reopen(folder);
        put(l, "kv/a", "new");
        kb_local_keep(l, keep, sizeof(keep));
        kb_local_free(l);
        copy_file(folder, "yesterday", KB_DB_FILE);
        copy_file(folder, "yesterday.changes", "changes");

        l = store_reopen(folder);
        assert_int_equal(l->state, KB_LOCAL_OPEN); /* the folder alone cannot tell */
        kb_local_compare(l, KB_SPAN_STRING(keep));
        assert_int_equal(l->state, KB_LOCAL_OLD);
        kb_local_keep(l, again, sizeof(again));
        assert_string_equal(again, keep); /* what the broker has is not spoiled by us */
        assert_fine(kb_local_accept(l, TEST_NOW, &test_problem));
        kb_local_compare(l, KB_SPAN_STRING(keep));
        assert_int_equal(l->state, KB_LOCAL_OPEN);
        kb_local_free(l);
}

static void another_store_is_not_taken_for_this_one(void **state)
{
        static const char other[] = "00112233445566778899aabbccddeeff 5\n";
        static const char *const nonsense[] = {"", "x", "00112233445566778899aabbccddeeff",
                                               "zz112233445566778899aabbccddeeff 5\n"};
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        for (size_t i = 0; i < KB_ARRAY_SIZE(nonsense); i++) {
                kb_local_compare(l, KB_SPAN_STRING(nonsense[i]));
                assert_int_equal(l->state, KB_LOCAL_OPEN);
        }
        kb_local_compare(l, KB_SPAN_STRING(other));
        assert_int_equal(l->state, KB_LOCAL_OLD);
        assert_fine(kb_local_accept(l, TEST_NOW, &test_problem));
        kb_local_compare(l, KB_SPAN_STRING(other));
        assert_int_equal(l->state, KB_LOCAL_OPEN);
}

static void a_lost_changes_file_is_noticed(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        char path[512];

        kb_local_free(l);
        snprintf(path, sizeof(path), "%s/changes", folder);
        assert_int_equal(unlink(path), 0);
        l = store_reopen(folder);
        assert_int_equal(l->state, KB_LOCAL_OLD);
        kb_local_free(l);
}

/* The line is as long as it can get from the first on: none leaves the end of a longer one behind it. */
static void the_changes_file_never_changes_its_length(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);
        char path[512];
        struct stat st;

        snprintf(path, sizeof(path), "%s/changes", folder);
        for (unsigned i = 0; i < 12; i++) {
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_size, 32 + 1 + 20 + 1);
                put(l, "kv/a", "new");
        }
        kb_local_free(l);
        l = store_reopen(folder);
        assert_int_equal(l->state, KB_LOCAL_OPEN);
        kb_local_free(l);
}

/* SQLite is a library of its own: what is counted here is the file `changes` and its folder. */
static unsigned n_synced;
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
        n_synced++;
        return __real_fsync(fd);
}

/* Else a loss of power could leave an empty file, and the right database would be called a strange one. */
static void the_first_line_of_a_store_is_on_the_disk(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l;

        n_synced = 0;
        l = store_make(folder);
        assert_int_equal(n_synced, 2);
        put(l, "kv/a", "one");
        put(l, "kv/a", "two");
        assert_int_equal(n_synced, 2);
        kb_local_compare(l, KB_SPAN_STRING("00112233445566778899aabbccddeeff 5\n"));
        assert_fine(kb_local_accept(l, TEST_NOW, &test_problem)); /* it has another id from now on */
        assert_int_equal(n_synced, 4);
        kb_local_free(l);
}

/* --- a store that is not made yet, or not any more --- */

/* Runs in a process of its own, which ends as if it were killed. */
static void in_a_process(void (*run)(const char *folder), const char *folder)
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                run(folder);
                _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

static void begin_to_make(const char *folder)
{
        struct kb_slot slot = {.name = "test", .kind = "systemd", .created = TEST_NOW};
        struct kb_transaction t = {};
        struct kb_local *l;

        assert_ok(kb_local_new(&l, folder));
        assert_fine(kb_local_create(l, TEST_NOW, &t, &test_problem));
        assert_fine(kb_slot_add(l, &slot, test_seed, &test_problem));
}

static void a_store_that_was_only_begun_counts_as_none(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        _cleanup_store_ struct kb_local *l = NULL;
        char path[512];
        struct stat st;

        in_a_process(begin_to_make, folder);
        snprintf(path, sizeof(path), "%s/" KB_DB_FILE, folder);
        assert_int_equal(stat(path, &st), 0);
        l = store_make(folder);
        put(l, "kv/a", "value");
        kb_local_free(l);
        l = store_reopen(folder);
        assert_value(l, "kv/a", KB_KV_LATEST, "value");
}

static const uint8_t lost_seed[KB_SLOT_SEED_SIZE] = {8, 8, 8};

static void make_and_die(const char *folder)
{
        struct kb_slot slot = {.name = "lost", .kind = "systemd", .created = TEST_NOW};
        struct kb_transaction t = {};
        struct kb_local *l;

        assert_ok(kb_local_new(&l, folder));
        assert_fine(kb_local_create(l, TEST_NOW, &t, &test_problem));
        assert_fine(kb_slot_add(l, &slot, lost_seed, &test_problem));
        assert_ok(kb_db_commit(&t));
}

static void add_test_slot(struct kb_local *l, struct kb_transaction *t)
{
        struct kb_slot slot = {.name = "test", .kind = "systemd", .created = TEST_NOW};

        assert_fine(kb_slot_add(l, &slot, test_seed, &test_problem));
        assert_ok(kb_db_commit(t));
}

/* Nobody heard the secrets of its slots, and nothing is in it. The broker may know its id already. */
static void a_store_that_nobody_can_open_is_made_anew(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        _cleanup_store_ struct kb_local *l = NULL;
        struct kb_identity before;
        struct kb_transaction t = {};

        in_a_process(make_and_die, folder);
        assert_ok(kb_local_new(&l, folder));
        assert_int_equal(l->state, KB_LOCAL_SEALED);
        assert_true(changes_of(folder, &before));
        assert_fine(kb_local_create(l, TEST_NOW, &t, &test_problem));
        kb_db_rollback(&t); /* killed again: the first is still there */
        kb_local_free(l);
        l = NULL;
        assert_ok(kb_local_new(&l, folder));
        assert_int_equal(l->state, KB_LOCAL_SEALED);
        assert_fine(kb_local_create(l, TEST_NOW, &t, &test_problem));
        add_test_slot(l, &t);
        kb_local_free(l);

        l = store_reopen(folder);
        assert_int_equal(l->state, KB_LOCAL_OPEN);
        assert_string_equal(l->identity.id, before.id);
        kb_local_seal(l);
        assert_error(kb_slot_unseal(l, "lost", lost_seed, TEST_NOW, &test_problem), KB_E_NOT_FOUND);
        assert_error(kb_local_create(l, TEST_NOW, &t, &test_problem), KB_E_SEALED); /* it was opened once */
}

static void make_with_a_secret_and_die(const char *folder)
{
        put(store_make(folder), "kv/a", "value");
}

static void a_store_with_anything_in_it_is_never_made_anew(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        _cleanup_store_ struct kb_local *l = NULL;
        struct kb_transaction t = {};

        in_a_process(make_with_a_secret_and_die, folder);
        assert_ok(kb_local_new(&l, folder));
        assert_error(kb_local_create(l, TEST_NOW, &t, &test_problem), KB_E_SEALED);
        assert_fine(kb_slot_unseal(l, "test", test_seed, TEST_NOW, &test_problem));
        assert_value(l, "kv/a", KB_KV_LATEST, "value");
        assert_error(kb_local_create(l, TEST_NOW, &t, &test_problem), KB_E_CONFLICT);
}

static void a_lost_database_is_not_taken_for_a_new_store(void **state)
{
        static const char *const losses[] = {"rm " KB_DB_FILE, ": >" KB_DB_FILE};

        for (size_t i = 0; i < KB_ARRAY_SIZE(losses); i++) {
                _cleanup_free_ char *folder = strdup(store_folder());
                struct kb_local *l = store_make(folder);
                char line[512];

                put(l, "kv/a", "value");
                kb_local_free(l);
                snprintf(line, sizeof(line), "cd '%s' && %s", folder, losses[i]);
                assert_int_equal(run_shell(line), 0);
                l = store_reopen(folder);
                assert_int_equal(l->state, KB_LOCAL_CLOSED);
                assert_error(kb_local_ready(l, &test_problem), KB_E_STORAGE);
                assert_non_null(strstr(test_problem.text, "keybearer store restore"));
                kb_local_free(l);
                snprintf(line, sizeof(line), "rm '%s/changes'", folder);
                assert_int_equal(run_shell(line), 0);
                l = store_reopen(folder);
                assert_int_equal(l->state, KB_LOCAL_NEW);
                kb_local_free(l);
        }
}

/* --- what a disk can do --- */

static void two_processes_are_refused(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        _cleanup_store_ struct kb_local *l = store_make(folder), *second = NULL;

        assert_int_equal(l->state, KB_LOCAL_OPEN);
        assert_ok(kb_local_new(&second, folder));
        assert_int_equal(second->state, KB_LOCAL_CLOSED);
        assert_error(kb_local_ready(second, &test_problem), KB_E_STORAGE);
        assert_non_null(strstr(test_problem.text, "another process"));
}

/* Before there is a database whose own lock could tell. */
static void two_processes_do_not_make_the_same_store(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        _cleanup_store_ struct kb_local *first = NULL, *second = NULL;

        assert_ok(kb_local_new(&first, folder));
        assert_int_equal(first->state, KB_LOCAL_NEW);
        assert_ok(kb_local_new(&second, folder));
        assert_int_equal(second->state, KB_LOCAL_CLOSED);
        kb_local_free(take_ptr(first));
        kb_local_reopen(second);
        assert_int_equal(second->state, KB_LOCAL_NEW);
}

static void overwrite(const char *folder, const char *file, long offset, const char *bytes, size_t n)
{
        char path[512];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", folder, file);
        f = fopen(path, "r+");
        assert_non_null(f);
        fseek(f, offset, SEEK_SET);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        fclose(f);
}

static void a_damaged_database_is_named_and_left_alone(void **state)
{
        static const struct {
                long offset;
                const char *bytes;
        } damages[] = {{0, "not a database at all"}, {100, "\xff\xff\xff\xff\xff\xff\xff\xff"}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(damages); i++) {
                _cleanup_free_ char *folder = strdup(store_folder());
                _cleanup_store_ struct kb_local *l = store_make(folder);

                kb_local_free(l);
                overwrite(folder, KB_DB_FILE, damages[i].offset, damages[i].bytes, strlen(damages[i].bytes));
                assert_ok(kb_local_new(&l, folder));
                assert_int_equal(l->state, KB_LOCAL_CLOSED);
                assert_error(kb_local_ready(l, &test_problem), KB_E_STORAGE);
                assert_non_null(strstr(test_problem.text, "damaged"));
        }
}

static void a_database_of_a_newer_program_is_refused(void **state)
{
        _cleanup_free_ char *folder = strdup(store_folder());
        struct kb_local *l = store_make(folder);

        assert_ok(sqlite3_exec(kb_db_handle(l->db), "PRAGMA user_version = 99", NULL, NULL, NULL));
        kb_local_free(l);
        assert_ok(kb_local_new(&l, folder));
        assert_error(kb_local_ready(l, &test_problem), KB_E_STORAGE);
        assert_non_null(strstr(test_problem.text, "newer"));
        kb_local_free(l);
}

static void a_record_somebody_changed_is_an_error_not_a_crash(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());

        put(l, "kv/a", "one");
        put(l, "kv/b", "two");
        assert_ok(kb_db_run(
                l->db, "UPDATE versions SET data = (SELECT data FROM versions WHERE path = 'kv/a')", ""));
        assert_error(get(l, "kv/b", 1), KB_E_STORAGE);
        assert_value(l, "kv/a", 1, "one");
}

static void a_full_disk_changes_nothing_and_passes(void **state)
{
        _cleanup_store_ struct kb_local *l = store_make(store_folder());
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_free_ char *big = calloc(1, 60000);
        struct kb_list fields;
        uint64_t version;

        put(l, "kv/a", "one");
        memset(big, 'x', 59999);
        fields = pairs_of(&b, "value", big, NULL);
        assert_ok(sqlite3_exec(kb_db_handle(l->db), "PRAGMA max_page_count = 1", NULL, NULL, NULL));
        assert_error(kb_kv_put(l, "kv/a", fields, KB_KV_ANY, TEST_NOW, &version, &test_problem),
                     KB_E_STORAGE);
        assert_non_null(strstr(test_problem.text, "full"));
        assert_value(l, "kv/a", KB_KV_LATEST, "one");
        assert_ok(sqlite3_exec(kb_db_handle(l->db), "PRAGMA max_page_count = 1000000", NULL, NULL, NULL));
        assert_fine(kb_kv_put(l, "kv/a", fields, KB_KV_ANY, TEST_NOW, &version, &test_problem));
        assert_int_equal(version, 2);
}

static void what_sqlite_says_becomes_an_errno(void **state)
{
        static const struct {
                int code, system_errno, expected;
        } rows[] = {
                {SQLITE_OK, 0, 0},
                {SQLITE_ROW, 0, 0},
                {SQLITE_FULL, 0, -ENOSPC},
                {SQLITE_READONLY_DIRECTORY, 0, -EROFS},
                {SQLITE_CORRUPT_VTAB, 0, -EUCLEAN},
                {SQLITE_NOTADB, 0, -EUCLEAN},
                {SQLITE_BUSY_SNAPSHOT, 0, -EBUSY},
                {SQLITE_IOERR_WRITE, EIO, -EIO},
                {SQLITE_IOERR_WRITE, ENOSPC, -ENOSPC},
                {SQLITE_IOERR_WRITE, EDQUOT, -EDQUOT},
                {SQLITE_CANTOPEN, EACCES, -EACCES},
                {SQLITE_CANTOPEN, EROFS, -EROFS},
                {SQLITE_CANTOPEN, 0, -EIO},
                {SQLITE_CONSTRAINT_UNIQUE, 0, -EEXIST},
                {SQLITE_MISUSE, 0, -EIO},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                if (kb_db_errno(rows[i].code, rows[i].system_errno) != rows[i].expected)
                        fail_msg("row %zu", i);
}

/* --- kill -9 --- */

/* Writes versions of one secret, and says so over the pipe once each is acknowledged, until somebody kills
 * us. */
static void write_until_killed(const char *folder, int out)
{
        struct kb_local *l = store_reopen(folder);

        for (;;) {
                uint64_t version = put(l, "kv/crash", "value");

                if (write(out, &version, sizeof(version)) != sizeof(version))
                        _exit(1);
        }
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
        const char *wanted = getenv("KEYBEARER_CRASH_ROUNDS");
        unsigned rounds = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 200;
        _cleanup_free_ char *folder = strdup(store_folder());
        uint64_t acknowledged = 0, version;

        kb_local_free(store_make(folder));
        for (unsigned i = 0; i < rounds; i++) {
                _cleanup_store_ struct kb_local *l = NULL;
                int pipes[2];
                pid_t child;

                assert_int_equal(pipe(pipes), 0);
                child = fork();
                if (child == 0)
                        write_until_killed(folder, pipes[1]);
                close(pipes[1]);
                assert_int_equal(read(pipes[0], &acknowledged, sizeof(acknowledged)), sizeof(acknowledged));
                usleep((unsigned)(rand() % 5000));
                kill(child, SIGKILL);
                while (read(pipes[0], &version, sizeof(version)) == sizeof(version))
                        acknowledged = version;
                close(pipes[0]);
                waitpid(child, NULL, 0);

                l = store_reopen(folder);
                assert_int_equal(l->state, KB_LOCAL_OPEN);
                assert_value(l, "kv/crash", acknowledged, "value");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(versions_count_up_and_never_come_twice),
                cmocka_unit_test(removed_versions_come_back_and_destroyed_ones_do_not),
                cmocka_unit_test(check_and_set_lets_one_writer_win),
                cmocka_unit_test(only_the_newest_versions_keep_their_bytes),
                cmocka_unit_test(bad_secrets_are_refused),
                cmocka_unit_test(lists_are_by_prefix_and_stop_when_told),
                cmocka_unit_test(a_sealed_store_opens_with_its_slot_alone),
                cmocka_unit_test(slots_come_and_go_but_the_last_stays),
                cmocka_unit_test(a_box_that_the_store_did_not_make_does_not_open_it),
                cmocka_unit_test(a_database_put_back_is_noticed),
                cmocka_unit_test(the_broker_notices_a_whole_folder_put_back),
                cmocka_unit_test(another_store_is_not_taken_for_this_one),
                cmocka_unit_test(a_lost_changes_file_is_noticed),
                cmocka_unit_test(the_changes_file_never_changes_its_length),
                cmocka_unit_test(the_first_line_of_a_store_is_on_the_disk),
                cmocka_unit_test(a_store_that_was_only_begun_counts_as_none),
                cmocka_unit_test(a_store_that_nobody_can_open_is_made_anew),
                cmocka_unit_test(a_store_with_anything_in_it_is_never_made_anew),
                cmocka_unit_test(a_lost_database_is_not_taken_for_a_new_store),
                cmocka_unit_test(two_processes_are_refused),
                cmocka_unit_test(two_processes_do_not_make_the_same_store),
                cmocka_unit_test(a_damaged_database_is_named_and_left_alone),
                cmocka_unit_test(a_database_of_a_newer_program_is_refused),
                cmocka_unit_test(a_record_somebody_changed_is_an_error_not_a_crash),
                cmocka_unit_test(a_full_disk_changes_nothing_and_passes),
                cmocka_unit_test(what_sqlite_says_becomes_an_errno),
                cmocka_unit_test(what_was_acknowledged_survives_kill_9),
        };

        return cmocka_run_group_tests_name("store-local", tests, test_folder_make, test_folder_remove);
}
