/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of a grant: consumer x credential x lease. A state machine without hands and without a clock. It
 * says what is to be done and when; the broker does it and tells what came of it.
 *
 *           asked ──▶ issued ◀──▶ renewing
 *             │         │  │
 *             │         │  └─▶ rotating ──▶ offered ──▶ adopted      (adopted behaves as issued does)
 *             ▼         ▼
 *          failed    revoking ──▶ revoked | expired
 *
 *   for (;;) {
 *           struct kb_grant_step step = kb_grant_next(grant, now);
 *
 *           if (step.action == KB_GRANT_WAIT) {
 *                   kb_queue_set(&queue, &grant->wake, step.at);
 *                   break;
 *           }
 *           r = kb_grant_begin(grant, &step);
 *           ... do it; whenever it is done call the kb_grant_on_*() that belongs to it ...
 *   }
 *
 * What holds, whatever happens:
 *
 * - A lease that was fetched stays in the grant until it was revoked or has ended. Nothing can lose
 *   it: memory is taken before the store is asked, and an answer that comes after the consumer has
 *   gone is revoked too.
 * - A lease is revoked only after it was written down that it will be. So one that the store has revoked
 *   already is never offered again by the process after us.
 * - The old lease is revoked only after the new one was adopted. When a rotation fails it stays.
 * - A lease is renewed at a share of its life (RenewAt=), or before, when a rotation after it would not
 *   leave time for the overlap; up to a tenth of the way earlier. The first renewal comes anywhere in
 *   the second half of the way, so that a hundred units that started together do not renew together; a
 *   consumer does not notice. A rotation it does notice, so that keeps to the share.
 * - After a failure it is tried again, later each time and never in step with others, until the lease
 *   ends; then a new one is fetched instead. It never tries twice within a second.
 * - A renewal that did not make the lease live longer, or gave clearly less than the one before, shows
 *   that the store's limit is near: it is rotated soon. So is one that the store refuses to renew.
 * - A lease that has no end is not renewed. Where check_usec says so it is fetched again, every so often: an
 *   answer with another id is a new version of the secret, and that is a rotation.
 */

#include "helper/grant/lease.h"
#include "helper/grant/queue.h"

/* What the credential's file says, as far as it matters here. Copied. */
struct kb_grant_policy {
        bool renews;     /* Strategy=eager or lazy: keep the lease alive */
        bool rotates;    /* Strategy=eager: replace it before it ends */
        bool restarts;   /* OnRotate=restart: the next invocation fetches for itself, so nothing is fetched
                            before */
        double renew_at; /* RenewAt=, between 0 and 1 */
        uint64_t check_usec;   /* CheckSec=: how often a lease without an end is looked at; 0: never */
        uint64_t overlap_usec; /* Overlap= */
        uint64_t probe_usec;   /* whether adoption can be known, and how seldom to look; 0: it cannot */
        uint64_t wait_usec;    /* WaitSec= of OnUnavailable=wait: how long the first fetch is tried */
};

enum kb_grant_state {
        KB_GRANT_ASKED,
        KB_GRANT_ISSUED,
        KB_GRANT_RENEWING, /* a renewal is under way, or has failed */
        KB_GRANT_ROTATING, /* a new lease is being fetched, or that has failed, or the unit is being
                              restarted */
        KB_GRANT_OFFERED,
        KB_GRANT_ADOPTED,
        KB_GRANT_REVOKING,
        KB_GRANT_REVOKED, /* all its leases are revoked */
        KB_GRANT_EXPIRED, /* its last lease has ended; while the consumer lives, a new one is sought (if it
                             rotates) */
        KB_GRANT_FAILED,  /* never issued */
};

enum kb_grant_action {
        KB_GRANT_WAIT,
        KB_GRANT_FETCH,   /* kb_grant_on_fetched() */
        KB_GRANT_RENEW,   /* kb_grant_on_renewed() */
        KB_GRANT_OFFER,   /* publish the offered lease and tell the consumer; kb_grant_on_offered() */
        KB_GRANT_RESTART, /* ask systemd to restart the unit; kb_grant_on_restarted() */
        KB_GRANT_PROBE,   /* look whether the offered lease is in use; kb_grant_on_probed() */
        KB_GRANT_ADOPT,   /* its time is over: assume so, write it down, kb_grant_on_adopted() */
        KB_GRANT_NOTE,    /* write down that a lease is to be revoked; kb_grant_on_noted() */
        KB_GRANT_REVOKE,  /* kb_grant_on_revoked() */
        KB_GRANT_EXPIRE,  /* the lease has ended by itself: write it down, kb_grant_on_expired() */
        KB_GRANT_FORGET,  /* nothing is left: take it out of the table */
};

struct kb_grant_step {
        enum kb_grant_action action;
        uint64_t at; /* of WAIT: when to ask again, KB_TIME_NEVER: when something happens. Else since when it
                        is due */
        uint32_t lease; /* the number of the lease it is about; 0: none yet */
};

struct kb_grant {
        uint64_t id;    /* number of its first record in the log; the broker's to set */
        char *consumer; /* unit, or user */
        char *instance; /* invocation id, or uid */
        char *credential;
        char *store;

        struct kb_grant_policy policy;
        struct kb_queue_entry wake;
        struct kb_lease *leases;

        /* Below: grant.c's own, open for tests and for whoever prints it. */
        struct kb_lease *spare; /* taken before a fetch */
        uint64_t random;
        uint64_t due;       /* the next fetch, offer, restart or probe */
        uint64_t ask_until; /* how long the first fetch is tried */
        uint64_t adopt_by;
        uint32_t last_number;
        unsigned rotations; /* that were adopted; of those before us, no more than the last is counted */
        unsigned failures;
        enum kb_error problem; /* of the last fetch, offer or restart */
        bool issued;           /* has had a lease */
        bool busy;             /* a fetch, offer, restart or probe is under way */
        bool told;             /* the consumer knows of the offered lease */
        bool wanted;           /* somebody asked for the rotation */
        bool restarting;       /* the unit was asked to restart */
        bool ended;            /* the consumer has gone, or the grant was taken back */
        bool expired;          /* the last lease ended by itself */
};

struct kb_grant_who {
        const char *consumer, *instance, *credential, *store;
};

/*
 * Begins a grant in state asked; its first step is KB_GRANT_FETCH. seed keeps grants apart: any number that
 * differs between grants and between hosts. 0 or -ENOMEM.
 */
int kb_grant_init(struct kb_grant *g, const struct kb_grant_who *who, const struct kb_grant_policy *policy,
                  uint64_t seed, uint64_t now) _must_check_;
void kb_grant_done(struct kb_grant *g); /* wipes. It must be out of its queue */
#define _cleanup_grant_ _cleanup_(kb_grant_done)

/*
 * Puts back a lease that the log knows of, after kb_grant_init(), in the order of their records: its role
 * then, and how much of its ttl is left in microseconds (ignored when it has no end). adopted: it took
 * another one's place. An offered one is waited for as if it had been offered now. One that nobody was told
 * of (KB_LEASE_UNTOLD) is replaced at once, since its values are not at hand. Of two in one role the later
 * counts, and the earlier one is revoked: we died before we could. A retired one was noted. The lease has
 * number last_number then. 0 or -ENOMEM.
 */
int kb_grant_restore(struct kb_grant *g, uint64_t now, enum kb_lease_role role, bool adopted,
                     const struct kb_lease_answer *answer, uint64_t left) _must_check_;

struct kb_grant_step kb_grant_next(const struct kb_grant *g, uint64_t now);

/* Says that a step is under way. 0, or -ENOMEM before a KB_GRANT_FETCH: the store must not be asked then. */
int kb_grant_begin(struct kb_grant *g, const struct kb_grant_step *step) _must_check_;

/* Instead of beginning a fetch, offer or restart: not before that time (MaxParallel=). */
void kb_grant_defer(struct kb_grant *g, uint64_t until);

/* --- what came of it. A lease number that is not known any more is ignored. --- */

/* Whether this answer to a fetch is about the current lease: then there is no new one to be written down. */
bool kb_grant_lives_on(const struct kb_grant *g, const struct kb_lease_answer *answer);

/*
 * answer is NULL unless error is KB_E_OK. An answer with the id of the current lease makes that one live on:
 * a store's ids change when what they stand for changes (or answer->differs says that it has). Where the
 * consumer is restarted to rotate, a new lease is retired at once, since all it says is that there is
 * something to restart for. Returns the lease it is about, to set its record; NULL after an error.
 */
struct kb_lease *kb_grant_on_fetched(struct kb_grant *g, uint64_t now, enum kb_error error,
                                     const struct kb_lease_answer *answer);

/*
 * The lease that was just fetched is of no use: its record could not be written, or its fields make no
 * sense. It is given back. The one before stays, and the rotation is tried again later; if it was the first,
 * the grant ends.
 */
void kb_grant_reject(struct kb_grant *g, uint64_t now, uint32_t lease, enum kb_error error);

void kb_grant_on_renewed(struct kb_grant *g, uint64_t now, uint32_t lease, enum kb_error error, uint64_t ttl,
                         bool renewable);
void kb_grant_on_offered(struct kb_grant *g, uint64_t now, enum kb_error error);
/* Before kb_grant_on_offered() with an error: the new values could not be taken back. So the consumer may
 * come to use them, untold, and they live until others are adopted. */
void kb_grant_keep_offered(struct kb_grant *g);
void kb_grant_on_restarted(struct kb_grant *g, uint64_t now, enum kb_error error);
void kb_grant_on_probed(struct kb_grant *g, uint64_t now, bool adopted);
void kb_grant_on_adopted(struct kb_grant *g, uint64_t now); /* also unasked: the unit said so */
void kb_grant_on_noted(struct kb_grant *g, uint32_t lease); /* also when it could not be written */
void kb_grant_on_revoked(struct kb_grant *g, uint64_t now, uint32_t lease, enum kb_error error);
void kb_grant_on_expired(struct kb_grant *g, uint64_t now, uint32_t lease);

/* --- what happens without being asked for --- */

/* The consumer has gone, or an administrator or a changed file takes the grant back: revoke everything. */
void kb_grant_end(struct kb_grant *g, uint64_t now);

/*
 * Rotate at this time: its definition has changed. Does nothing while a rotation is under way, and a
 * rotation that is due before stays due.
 */
void kb_grant_rotate(struct kb_grant *g, uint64_t at);

/* --- looking at it --- */

enum kb_grant_state kb_grant_state(const struct kb_grant *g);
const char *kb_grant_state_word(enum kb_grant_state state); /* never NULL */

struct kb_lease *kb_grant_lease(const struct kb_grant *g, uint32_t number); /* NULL: not known */
struct kb_lease *kb_grant_lease_in(const struct kb_grant *g,
                                   enum kb_lease_role role); /* the first, or NULL */

/*
 * How long the newest lease is good for at the least when it is replaced, since that comes no later, and so
 * what Overlap= may be. KB_TIME_NEVER: it has no end.
 */
uint64_t kb_grant_overlap(const struct kb_grant *g);

/* What a consumer gets who asks again: the offered lease, else the current one, else NULL. */
struct kb_lease *kb_grant_newest(const struct kb_grant *g);
