/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Logins that are under way: what was shown so far, by a handle that cannot be guessed. The module carries
 * the handle from one step to the next, because sshd authenticates in a process that is gone at the next
 * one. An attempt that nobody goes on with is forgotten: soon while nothing was answered, later after that.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/names.h"
#include "common/wire.h"
#include "helper/broker/handle.h"

#define KB_ATTEMPTS_MAX      1024
#define KB_ATTEMPTS_OF_CROWD (KB_ATTEMPTS_MAX / 4) /* of all callers that are not root */
#define KB_ATTEMPTS_OF_ONE   8                     /* of one of those */
#define KB_ATTEMPTS_OF_NAME  8                     /* of one person, that wait for a session */
#define KB_ATTEMPT_STATE_MAX 1024

/* What is to be answered next. */
enum kb_attempt_stage {
        KB_ATTEMPT_PASSWORD, /* the password, for the store */
        KB_ATTEMPT_STORE,    /* what the store asked for */
        KB_ATTEMPT_RECOVERY, /* a recovery code, for us: the store is away */
        KB_ATTEMPT_GRANTED,
};

struct kb_attempt {
        char handle[KB_HANDLE_SIZE];
        char user[KB_USER_NAME_MAX + 1];
        char service[65];
        char remote_host[257];
        uid_t caller; /* of the process that began it; only that uid goes on */
        bool self;    /* it came over auth.sock: the person speaks for themselves */
        char uid[16]; /* then: that uid as text, for the log */
        enum kb_attempt_stage stage;
        uint32_t asked;   /* enum kb_ask of the last question */
        uint32_t factors; /* bits of enum kb_factor: shown so far */
        bool busy;        /* an answer is being checked */
        bool let_in;      /* account is through: it waits for a session */
        bool change_password;
        uint8_t state[KB_ATTEMPT_STATE_MAX]; /* the store's */
        size_t state_size;
        uint64_t touched; /* CLOCK_BOOTTIME: begun or found */
        uint64_t until;
};

struct kb_attempts;

int kb_attempts_new(struct kb_attempts **ret) _must_check_;
void kb_attempts_free(struct kb_attempts *t);
KB_DEFINE_CLEANUP(struct kb_attempts, kb_attempts_free);

/*
 * A new attempt with a handle of its own; the rest is the caller's to fill. Where there is no room, the one
 * goes that was touched longest ago, but none whose answer is being checked: of root's callers any; of the
 * others one of their own, or of the crowd when that has all its places. So a crowd on auth.sock keeps
 * nobody out, and one of the crowd only themselves. One that was granted is no better than the others: the
 * account phase and the session come in the same breath, and those that never come would fill the table. 0;
 * -EBUSY when nobody can go; -ENOMEM; -EIO.
 */
int kb_attempt_begin(struct kb_attempts *t, uid_t caller, uint64_t now, struct kb_attempt **ret)
        _must_check_;

/*
 * NULL when there is none, its time is over, or another uid began it. Finding it gives it time again. Valid
 * until it ends.
 */
struct kb_attempt *kb_attempt_find(struct kb_attempts *t, uid_t caller, const char *handle, uint64_t now);

/*
 * Account is through: what is left to come is the session, and with many programs none ever does. So of
 * those that wait for one no person has more than KB_ATTEMPTS_OF_NAME; the one touched longest ago goes.
 */
void kb_attempt_let_in(struct kb_attempts *t, struct kb_attempt *attempt);

/* Wipes it. attempt may be NULL. */
void kb_attempt_end(struct kb_attempts *t, struct kb_attempt *attempt);
