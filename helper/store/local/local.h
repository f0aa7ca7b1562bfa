/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The local store itself: its folder, its database, its keys, and the state it is in.
 *
 *   CLOSED   the database cannot be opened: `why` says what is wrong
 *   NEW      there is no database yet, or one that was begun and holds nothing: `store init` makes it
 *   SEALED   there is one, and no slot has opened the root key yet
 *   OLD      the root key is there, but the database is older than it was when it was last seen
 *   OPEN     all is well
 *
 * Only an OPEN store serves. One thread uses it: the one that runs the event loop.
 */

#include <limits.h>

#include "helper/store/local/object.h"
#include "helper/store/problem.h"

enum kb_local_state { KB_LOCAL_CLOSED, KB_LOCAL_NEW, KB_LOCAL_SEALED, KB_LOCAL_OLD, KB_LOCAL_OPEN };

#define KB_EPOCH_FIRST 1 /* of a store that was never put back */

/* Which store it is and how often it was changed: in the database (sealed), beside it, and kept by the
 * broker. */
struct kb_identity {
        char id[33];      /* 16 random bytes in hex; "" when not known */
        uint64_t epoch;   /* raised when what was promised before is void */
        uint64_t changes; /* committed transactions */
};

struct kb_local {
        char folder[PATH_MAX - 64];
        enum kb_local_state state;
        struct kb_problem why; /* of CLOSED and OLD */
        struct kb_db *db;
        struct kb_keyring *keys;
        struct kb_shelf shelf; /* db and keys, for object.h */
        struct kb_identity identity;
        struct kb_identity kept; /* what the broker said it has kept */
        int lock_fd;
        int changes_fd;  /* the file `changes` beside the database */
        char synced[33]; /* the id in it that is on the disk for sure */
};

/* 0 also when the store comes up CLOSED; negative only when memory is out. folder is $STATE_DIRECTORY. */
int kb_local_new(struct kb_local **ret, const char *folder) _must_check_;
void kb_local_free(struct kb_local *l);
KB_DEFINE_CLEANUP(struct kb_local, kb_local_free);

/* Tries again to open what could not be opened. */
void kb_local_reopen(struct kb_local *l);

/* KB_E_OK when it is OPEN; else the problem, with the command that cures it. */
enum kb_error kb_local_ready(const struct kb_local *l, struct kb_problem *problem);
const char *kb_local_state_word(enum kb_local_state state);

/*
 * A new, empty store with a fresh root key, OPEN, without any slot yet: the caller adds some before it
 * commits. Leaves nothing behind when the transaction is not committed and kb_local_forget() is called.
 *
 * It is made in the place of a SEALED one, too, when that has never been opened since and so holds nothing:
 * the answer with its secrets was lost, and nobody can open it.
 */
enum kb_error kb_local_create(struct kb_local *l, uint64_t now, struct kb_transaction *ret,
                              struct kb_problem *problem);
void kb_local_forget(struct kb_local *l);

/* The root keys are in l->keys now: learns who it is, and becomes OPEN or OLD. */
enum kb_error kb_local_unsealed(struct kb_local *l, struct kb_problem *problem);
void kb_local_seal(struct kb_local *l);

/* Closes the database and forgets the keys, as before kb_local_new() but for the lock; then
 * kb_local_reopen(). */
void kb_local_close(struct kb_local *l);

/*
 * The root keys of a database that was put in place of another on purpose are in l->keys: it takes over the
 * place of the one before it, and what that one promised is void.
 */
enum kb_error kb_local_restored(struct kb_local *l, uint64_t now, struct kb_problem *problem);

/* What the broker kept for us. Compares; an OPEN store becomes OLD when it is not the one the broker knows.
 */
void kb_local_compare(struct kb_local *l, struct kb_span keep);

/* What the broker shall keep: as a line of text. An OLD store gives back what it was given. */
void kb_local_keep(const struct kb_local *l, char *ret, size_t size);

/* Takes an OLD store for the right one from now on. What was promised before is void. */
enum kb_error kb_local_accept(struct kb_local *l, uint64_t now, struct kb_problem *problem);

/*
 * The version of the directory that is made of people, groups and rules: the count of changes at its last
 * one, so that it rises over a restore too. touch: within the caller's transaction.
 */
int kb_local_touch_directory(struct kb_local *l) _must_check_;
int kb_local_directory_version(struct kb_local *l, uint64_t *ret) _must_check_;
