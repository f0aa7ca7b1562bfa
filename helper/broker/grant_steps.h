/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The steps of a grant's state machine, done: store, log, unit. grant_steps.c has those that speak to the
 * store, rotation.c those that speak to the consumer.
 */

#include "common/protocol.h"
#include "helper/broker/grants.h"
#include "helper/broker/store_client.h"
#include "helper/broker/unit_folder.h"

/*
 * One thing under way for one grant. It lives from kb_step_begin() until the state machine was told what
 * came of it; whatever was asked of store, log or PID 1 finds it by its userdata.
 */
struct kb_step {
        struct kb_step *next;
        struct kb_held *held; /* NULL once the broker goes down: then it only cleans up behind itself */
        struct kb_grant_step is;
        struct kb_store_call *call;
        bool tells;     /* the consumer, so it counts for MaxParallel= */
        bool told;      /* it was asked to reload, or sent a signal */
        bool answers;   /* the consumer says itself when it uses what it was told of */
        bool published; /* new values are in the unit's folder: */
        struct kb_unit_folder_made made;
        bool lent; /* log or PID 1 have it, and call back even when the broker goes down meanwhile */

        sd_event_source *timer; /* of a refill that is tried again */
        unsigned tries;

        /* of a fetch: how it is asked for, NULL as the grant says; and between the store's answer and the
         * log's */
        struct kb_credential *definition;
        uint64_t clock; /* by which it is asked for */
        void *frame;
        struct kb_fetch_reply reply;
        struct kb_fields *fields;
};

/*
 * Begins it; kb_grants_advance() is called again when it is done. 0; -EAGAIN (MaxParallel= others are at it)
 * or -ENOMEM: nothing was begun.
 */
int kb_step_begin(struct kb_held *held, const struct kb_grant_step *step);

/* The state machine knows what came of it: frees it, answers who waits, and goes on with the grant. */
void kb_step_done(struct kb_step *s);

/* One that is not the state machine's, for refill.c. NULL when memory is out. */
struct kb_step *kb_step_new(struct kb_held *held);

/*
 * Asks the store for the credential's secret; version NULL: as its file says. 0, -ENOENT when its file is
 * gone, or -ENOMEM: then done is not called.
 */
int kb_step_ask_fetch(struct kb_step *s, const char *version, kb_store_done done);

/* s->reply -> s->fields: what the consumer gets, under the names of the credential's Field. keys. */
int kb_step_take_fields(struct kb_step *s, struct kb_fields_problem *problem);

/* In a callback of what it was lent to: whether there is still a grant to go on with. If not, it is freed.
 */
bool kb_step_take_back(struct kb_step *s);

/* Nobody waits for what is under way any more. */
void kb_steps_cancel(struct kb_held *held);

/* What every event about this grant says; lease may be NULL. */
struct kb_event kb_step_event(const struct kb_held *held, enum kb_event_id id, const struct kb_lease *lease);

/* What `grant list` shows; text may be a store's, and is not believed to be printable. */
void kb_step_set_problem(struct kb_held *held, const char *text);

/* A step failed: into the log, and into what `grant list` shows. */
void kb_step_note_failure(struct kb_held *held, enum kb_event_id id, const struct kb_lease *lease,
                          enum kb_error error, const char *text);

/* Answers those who wait, if there is an answer by now: a lease with its values, or that there will be none.
 */
void kb_issue_settle(struct kb_held *held);

/*
 * rotation.c: what the consumer hears of a new lease. is_stopped: another unit could not be told of this
 * credential, so nobody else is, unless the lease is about to end. must_wait: MaxParallel= others are at it,
 * or this unit is just told of another credential.
 */
bool kb_rotation_is_stopped(const struct kb_held *held);
bool kb_rotation_must_wait(const struct kb_held *held, const struct kb_grant_step *step);

/*
 * The steps themselves; each ends in kb_step_done(). offer: new values into the folder, then OnRotate=.
 * restart: the new invocation will ask. probe: Probe= says whether the new values are used. adopt: Overlap=
 * is over, so they are taken to be.
 */
void kb_rotation_offer(struct kb_step *s);
void kb_rotation_restart(struct kb_step *s);
void kb_rotation_probe(struct kb_step *s);
void kb_rotation_adopt(struct kb_step *s);

/*
 * refill.c: the values of a kept secret that was handed out before the broker started anew, which the folder
 * needs and the log does not have. possible: the version is known, the values are not.
 */
bool kb_refill_possible(const struct kb_held *held);
void kb_refill_begin(struct kb_held *held);
