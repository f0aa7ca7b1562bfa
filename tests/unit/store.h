/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A local store in a folder of its own, open and with one slot, without any process around it. */

#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <sys/wait.h>

#include "helper/store/local/seal.h"

#define TEST_NOW 1700000000000000ull /* microseconds: November 2023 */

static const uint8_t test_seed[KB_SLOT_SEED_SIZE] = {7, 7, 7};
static struct kb_problem test_problem;

/* Asserts that a function returned this error; shows the problem when not. */
#define assert_error(expression, expected)                                                                  \
        do {                                                                                                \
                enum kb_error e_ = (expression);                                                            \
                if (e_ != (expected))                                                                       \
                        fail_msg("%s: %s, not %s: %s", #expression, kb_error_word(e_),                      \
                                 kb_error_word(expected), test_problem.text);                               \
        } while (0)
#define assert_fine(expression) assert_error(expression, KB_E_OK)

/* A new folder below the test's own. Valid until the next call. */
static inline const char *store_folder(void)
{
        static unsigned n;
        static char path[512];

        snprintf(path, sizeof(path), "%s/store%u", test_folder, n++);
        assert_int_equal(mkdir(path, 0700), 0);
        return path;
}

static inline struct kb_local *store_reopen(const char *folder)
{
        struct kb_local *l;

        assert_ok(kb_local_new(&l, folder));
        if (l->state == KB_LOCAL_SEALED)
                assert_fine(kb_slot_unseal(l, "test", test_seed, TEST_NOW, &test_problem));
        return l;
}

static inline struct kb_local *store_make(const char *folder)
{
        struct kb_slot slot = {.name = "test", .kind = "systemd", .created = TEST_NOW};
        struct kb_transaction t = {};
        struct kb_local *l;

        assert_ok(kb_local_new(&l, folder));
        assert_int_equal(l->state, KB_LOCAL_NEW);
        assert_fine(kb_local_create(l, TEST_NOW, &t, &test_problem));
        assert_fine(kb_slot_add(l, &slot, test_seed, &test_problem));
        assert_ok(kb_db_commit(&t));
        return l;
}

/* Runs a shell's command line; its exit status. */
static inline int run_shell(const char *line)
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                execl("/bin/sh", "sh", "-c", line, NULL);
                _exit(127);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define _cleanup_store_ _cleanup_(kb_local_freep)

/* Pairs of names and texts, NULL at the end, as a list; b may be used again. */
static inline struct kb_list pairs_of(struct kb_list_builder *b, ...)
{
        const char *name;
        va_list args;

        kb_list_builder_done(b);
        *b = kb_list_builder_init(65536);
        va_start(args, b);
        while ((name = va_arg(args, const char *)))
                kb_list_add_text(b, name, va_arg(args, const char *));
        va_end(args);
        return kb_list_built(b);
}

static inline const char *value_in(struct kb_list pairs, const char *name)
{
        const char *value;

        return kb_list_find_string(pairs, name, &value) ? value : NULL;
}
