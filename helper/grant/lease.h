/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One lease of a grant: the store's promise, when it ends, and when there is something to do about it. Plain
 * data; grant.c moves it along. Times are CLOCK_BOOTTIME, so that a host that was suspended finds its leases
 * aged.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/error.h"
#include "helper/grant/fields.h"

#define KB_LEASE_ID_MAX 512

/* Nothing is renewed, fetched or revoked again sooner than this. */
#define KB_LEASE_FLOOR_USEC KB_USEC_PER_SEC

/* After many failures the next try comes within this, plus the floor. */
#define KB_LEASE_BACKOFF_USEC (300 * KB_USEC_PER_SEC)

enum kb_lease_role {
        KB_LEASE_CURRENT, /* what the consumer uses */
        KB_LEASE_OFFERED, /* what it shall use from now on, not known to be adopted */
        KB_LEASE_UNTOLD,  /* was to be offered when the process before us ended: the consumer may have found
                             it, and lives on with it until another one is adopted */
        KB_LEASE_RETIRED, /* nobody uses it: to be revoked */
};

struct kb_lease {
        struct kb_lease *next;
        uint32_t number; /* within its grant; never used twice: a late answer cannot meet the wrong lease */
        enum kb_lease_role role;
        bool renewable; /* false too once a renewal did not make it live longer */
        bool busy;      /* a request about it is under way */
        bool noted;     /* retired, and the log says so: it cannot come back to life with us */

        uint64_t ttl;  /* as last promised; 0: no end */
        uint64_t ends; /* KB_TIME_NEVER: no end */
        uint64_t due;  /* renew it, or when it is not renewable begin to rotate; when retired: revoke it */

        uint64_t record; /* number of its record in the log; the broker's to set */
        uint64_t clock;  /* it was issued by, see kb_clock_offset(); the broker's to set, 0: not known */
        unsigned renewals;
        unsigned failures; /* since the last success */
        enum kb_error problem;
        struct kb_fields *fields; /* what it is about; may be NULL */
        char id[];                /* as the store knows it */
};

/* A lease as a store answers it. */
struct kb_lease_answer {
        const char *id;
        uint64_t ttl; /* seconds, 0: no end */
        bool renewable;
        bool differs; /* from what it was under this id: the credential's definition has changed meanwhile */
        struct kb_fields *fields; /* belongs to the lease from then on */
};

/*
 * An empty lease that has room for any id: taken before a store is asked, because afterwards memory must not
 * be able to run out with a live lease in hand. NULL when memory is out.
 */
struct kb_lease *kb_lease_new(void);
void kb_lease_free(struct kb_lease *lease); /* and its fields */

/* Fills an empty lease and gives back what memory it does not need. left: of its ttl, in microseconds. */
struct kb_lease *kb_lease_fill(struct kb_lease *lease, const struct kb_lease_answer *answer, uint64_t now,
                               uint64_t left);

/* Seconds of the wire in microseconds; KB_TIME_NEVER for 0 and for what is too long to count. */
uint64_t kb_lease_usec(uint64_t seconds);

uint64_t kb_lease_left(const struct kb_lease *lease, uint64_t now); /* 0 when it has ended */

/*
 * How long to wait after so many failures: the floor, plus a time drawn evenly from 0 to a ceiling that
 * doubles with each failure up to KB_LEASE_BACKOFF_USEC and is never more than half of what is left.
 */
uint64_t kb_lease_backoff(uint64_t *random, unsigned failures, uint64_t left);

/* Drawn evenly from 0 to limit. The state is the caller's, so that tests are exact. */
uint64_t kb_lease_random(uint64_t *random, uint64_t limit);

/* Whether to ask again makes sense: the store was away, not against it. */
bool kb_lease_error_passes(enum kb_error error);

/* Whether an answer to "revoke" means that the lease is no more: then it is as good as revoked. */
bool kb_lease_error_is_gone(enum kb_error error);
