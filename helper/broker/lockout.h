/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who has failed how often. One counter for each remote host, user and service, so that whoever guesses from
 * outside locks out himself and not the person on the console. Values in, values out: the caller has the
 * clock (CLOCK_REALTIME, since counters outlive a boot) and the file. A clock that went back makes no
 * lockout last longer, counted from when the key is next asked for.
 */

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/wire.h"

struct kb_lockout;

struct kb_lockout_key {
        const char *remote_host, *user, *service; /* any text; NULL counts as "" */
};

struct kb_lockout_policy {
        uint64_t attempts; /* failures that lock out; 0: nobody is */
        uint64_t window;   /* failures count together when they are that near */
        uint64_t usec;     /* how long it lasts */
};

/*
 * Remembers at most 4096 counters; the one that failed longest ago makes room, but none that locks out now:
 * whoever comes from many places could free the first of them that way. When all of them lock out, those who
 * have none of their own share a few, by their names. 0 or -ENOMEM.
 */
int kb_lockout_new(struct kb_lockout **ret) _must_check_;
void kb_lockout_free(struct kb_lockout *l);
KB_DEFINE_CLEANUP(struct kb_lockout, kb_lockout_free);

/* Until when, 0 when not locked out. */
uint64_t kb_lockout_until(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now);

/* Counts a failure. True when it is the one that locks out. */
bool kb_lockout_fail(struct kb_lockout *l, const struct kb_lockout_policy *policy,
                     const struct kb_lockout_key *key, uint64_t now);

/* The right answer forgets the failures, unless they lock out by now. True when it forgot some. */
bool kb_lockout_pass(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now);

/* The counters as bytes, and back: 0 or -EBADMSG, and then nothing has changed. */
void kb_lockout_put(const struct kb_lockout *l, struct kb_writer *w);
int kb_lockout_get(struct kb_lockout *l, struct kb_span from) _must_check_;
#define KB_LOCKOUT_BYTES_MAX ((size_t)4096 * 64 + 64)
