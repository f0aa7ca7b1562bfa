/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When a host logs in, renews its token and asks after it: all that login.h promises about that, as a value
 * without clock, randomness, server or secret. Who drives it asks what there is to do, does it, and says
 * what came of it; one thing at a time:
 *
 *   step = kb_token_take(&t, now);
 *   if (step == KB_TOKEN_RENEW) ...   kb_token_renewed() or kb_token_renewal_failed()
 *   ...
 *   wait until kb_token_due(&t)
 *
 * `random` is any even 64 bits. Times are microseconds of one clock that does not jump.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define KB_TOKEN_RENEW_FLOOR   (1 * KB_USEC_PER_SEC)   /* nothing about one token is asked again sooner */
#define KB_TOKEN_LOGIN_SPACE   (5 * KB_USEC_PER_SEC)   /* from a login that succeeded to the next one */
#define KB_TOKEN_BACKOFF_MAX   (300 * KB_USEC_PER_SEC) /* less up to a quarter */
#define KB_TOKEN_REFUSALS      2                       /* of the same files in a row, then rest */
#define KB_TOKEN_LOCKOUT       (900 * KB_USEC_PER_SEC) /* how long OpenBao counts bad logins, and locks a role */
#define KB_TOKEN_YOUNG         (60 * KB_USEC_PER_SEC) /* a token that dies before has lived badly */
#define KB_TOKEN_SHARE_ONE     1000000u
#define KB_TOKEN_SHARE_DEFAULT 666667u

enum kb_token_step {
        KB_TOKEN_REST,
        KB_TOKEN_LOG_IN,
        KB_TOKEN_RENEW,
        KB_TOKEN_LOOK_UP,
};

/* Why a login came to nothing. */
enum kb_token_failure {
        KB_TOKEN_FAILED,  /* the server is away, or it is no matter of the files: again, after a while */
        KB_TOKEN_REFUSED, /* the files are wrong, and whoever asks so again and again is locked out */
        KB_TOKEN_LOCKED,  /* is locked out already */
        KB_TOKEN_NOTHING, /* there is nothing to log in with; no server was asked */
};

/* What a server grants. */
struct kb_token_grant {
        uint64_t left; /* KB_TIME_NEVER: no end */
        bool renewable;
};

struct kb_token {
        uint32_t share;          /* renewed at this share of its life */
        enum kb_token_step busy; /* what is being done */

        bool here;      /* there is a token */
        bool proven;    /* and a server has said since that it lives: it may be used */
        bool looked_up; /* it may look itself up: it has */
        uint64_t since; /* it was logged in, or found to live */
        uint64_t ends;  /* KB_TIME_NEVER: not at all, or it is not known yet */
        uint64_t asked; /* its end was last told then */
        uint64_t renew; /* when to; KB_TIME_NEVER: not */
        uint64_t replace;
        uint64_t look_up;
        uint64_t looked;   /* last, 0: not yet */
        unsigned troubles; /* renewals and lookups in a row that failed */

        bool shy;          /* tokens of this login may not look themselves up */
        bool waiting;      /* for the files to change */
        uint64_t tried;    /* to log in, last; 0: not yet */
        uint64_t earliest; /* the next login */
        unsigned failures; /* logins in a row */
        unsigned refusals; /* of the same files in a row */
        uint64_t refused;  /* the last one was then */
        unsigned short_lives;
};

/* No token, and a login is due. share 0: KB_TOKEN_SHARE_DEFAULT. */
void kb_token_init(struct kb_token *t, uint32_t share);

/* What is to be done now, and is under way from then on. A token that has ended is gone after this. */
enum kb_token_step kb_token_take(struct kb_token *t, uint64_t now) _must_check_;

/* When to take next; KB_TIME_NEVER while something is under way. */
uint64_t kb_token_due(const struct kb_token *t);

/* Whether it may be used. */
bool kb_token_usable(const struct kb_token *t, uint64_t now);

/* LOG_IN */
void kb_token_logged_in(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now,
                        uint64_t random);
void kb_token_login_failed(struct kb_token *t, enum kb_token_failure why, uint64_t now, uint64_t random);

/* RENEW. final: the server has refused; else it did not answer, or could not. */
void kb_token_renewed(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now, uint64_t random);
void kb_token_renewal_failed(struct kb_token *t, bool final, uint64_t now, uint64_t random);

/* LOOK_UP. refused: 403. Returns whether the token is still here; else it was dead, and is gone. */
void kb_token_looked_up(struct kb_token *t, const struct kb_token_grant *grant, uint64_t now,
                        uint64_t random);
bool kb_token_look_up_failed(struct kb_token *t, bool refused, uint64_t now, uint64_t random);

/* --- what comes from elsewhere, also while something is under way --- */

/* One from before is here, not known to live: only before anything was taken. */
void kb_token_restored(struct kb_token *t, uint64_t now);

/* As many logins were refused, the last one at that time: also from before. */
void kb_token_refused_before(struct kb_token *t, unsigned refusals, uint64_t when, uint64_t now,
                             uint64_t random);

/* The files to log in with are others now. replace: and the token in use is to be, too. */
void kb_token_changed(struct kb_token *t, bool replace, uint64_t now);

/* A server has refused the token, maybe because it is dead: it is to be looked up. */
void kb_token_doubted(struct kb_token *t, uint64_t now);
