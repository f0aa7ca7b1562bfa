/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All grants this host has handed out, and the hands of their state machine (helper/grant/grant.h): it says
 * what is to be done and when, grant_steps.c does it.
 */

#include "helper/broker/failed_restarts.h"
#include "helper/broker/issue.h"
#include "helper/grant/grant.h"

struct kb_grants;
struct kb_step;

/* One grant, and what the broker needs to work on it. */
struct kb_held {
        struct kb_grant grant;
        enum kb_consumer consumer;
        struct kb_grants *owner;
        struct kb_broker *broker;
        struct kb_credential *credential; /* as it was asked for; NULL when restored without its file */
        struct kb_credential *next;       /* as its offered lease was asked for; NULL: the same */
        char request[17];                 /* of whoever asked first */

        struct kb_issue *waiting;  /* for the first answer */
        struct kb_step *steps;     /* under way */
        uint64_t issued;           /* CLOCK_REALTIME of the first lease */
        char problem[256];         /* why the last step failed, for people */
        enum kb_error refusal;     /* why it is taken back at once, KB_E_OK when it is not */
        uint64_t unheld;           /* of a person: since when no session holds it, 0 while one does */
        unsigned long long before; /* while one is offered: the number of the folder without it; 0: none */
        bool offers;               /* the offered lease is, or is to be, in the folder */
        unsigned fetched;          /* answers of the store */
        bool deaf;                 /* the unit could not be told, the last time it was tried */
        bool asks_first;           /* whether PID 1 is there: the last new lease was for nothing */
        bool ready;                /* its values may be let out */
        bool refilling;            /* refill.c is at it */
        bool refill_failed;        /* there is no use in trying again */
        uint64_t refill_until;     /* CLOCK_BOOTTIME: whoever waits is answered then */
        enum kb_error refill_problem; /* of the last try */
};

int kb_grants_new(struct kb_grants **ret, struct kb_broker *broker);
void kb_grants_free(struct kb_grants *grants);
KB_DEFINE_CLEANUP(struct kb_grants, kb_grants_free);

/*
 * Takes up what the process before us handed out, as the log has it: goes on renewing it, and revokes it
 * where the unit ended meanwhile or the credential's file is gone; whether people are still there is for
 * kb_user_grants_new(). Once, at the start. 0 or a negative
 * errno.
 */
int kb_grants_replay(struct kb_grants *grants, const char *log_dir);

/* NULL when there is none. */
struct kb_held *kb_grants_find(const struct kb_grants *grants, enum kb_consumer consumer, const char *name,
                               const char *instance, const char *credential);
struct kb_held *kb_grants_find_id(const struct kb_grants *grants, uint64_t id);

/*
 * The definition by which a lease was asked for and is to be written; NULL when there is none. A grant keeps
 * it until it rotates, whatever becomes of the file.
 */
const struct kb_credential *kb_grants_definition(const struct kb_held *held, const struct kb_lease *lease);

/* The offered lease is the current one now, and so is its definition. */
void kb_grants_adopt_definition(struct kb_held *held);

/*
 * What is to be fetched next: the definition in force, whose policy counts from now on, but for a grant of
 * another store. The caller's to unref; NULL: as before.
 */
struct kb_credential *kb_grants_take_definition(struct kb_held *held);

/*
 * The lease whose values belong into the consumer's folder, NULL when there is none: the offered one from
 * the moment on when it is this grant's turn to be told of.
 */
const struct kb_lease *kb_grants_shown(const struct kb_held *held);

/* A new grant in state asked; kb_grants_advance() starts its fetch. 0 or -ENOMEM. */
int kb_grants_add(struct kb_grants *grants, const struct kb_issue_request *request, struct kb_held **ret);

/* Does what is due for this grant, and sets its next wake. The grant may be gone afterwards. */
void kb_grants_advance(struct kb_held *held);

/* The consumer has gone, or the grant is taken back: refuses whoever waits, and revokes. It may be gone
 * afterwards. */
void kb_grants_end(struct kb_held *held);

/* except_instance NULL: every grant of that consumer; else those of all its other instances. */
void kb_grants_end_consumer(struct kb_grants *grants, enum kb_consumer consumer, const char *name,
                            const char *except_instance);

/* Ends all for which `over` is true; it is asked once for each grant. */
void kb_grants_end_those(struct kb_grants *grants, bool (*over)(struct kb_held *held, void *userdata),
                         void *userdata);

/*
 * Looks at every unit's invocation, and at every credential's file and its [Allow], again: ends what may not
 * be any more, and rotates what is defined in another way, where OnRotate= lets the unit know.
 */
void kb_grants_check(struct kb_grants *grants);

/* The clock was set: replaces what is good by the time of day only, soon and not all at once. */
void kb_grants_follow_clock(struct kb_grants *grants);

/* The same for the definition of one grant that lives; kb_grants_advance() is the caller's to call. */
void kb_grants_look_again(struct kb_held *held);

/* Of units whose grant ended with a restart for a rotation: see failed_restarts.h. */
struct kb_failed_restart **kb_grants_failed_restarts(struct kb_grants *grants);

size_t kb_grants_count(const struct kb_grants *grants);

/* Oldest first. The callback must not change the table. */
void kb_grants_each(const struct kb_grants *grants, void (*each)(struct kb_held *held, void *userdata),
                    void *userdata);

/* Whether a store has been asked for something new, whose answer has to be written down. */
bool kb_grants_fetching(const struct kb_grants *grants);

/* For status and metrics. */
struct kb_grants_state {
        unsigned live;
        unsigned failing;  /* whose last renewal or rotation failed */
        uint64_t overdue;  /* microseconds since the one that waits longest should have been renewed */
        unsigned revoking; /* that the store has not been told of yet */
};
void kb_grants_get_state(const struct kb_grants *grants, struct kb_grants_state *ret);
