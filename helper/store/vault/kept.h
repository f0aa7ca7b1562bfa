/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answers to the last fetches, in memory that is wiped: who did not hear one asks again, with the same
 * question, and gets the same. Each is kept for a minute, and for seconds when nobody was there to hear it:
 * who only lost patience asks again at once, and one that died does not ask with that question any more.
 * What is over, or has no room any more, is handed to whoever made these, who may have to take back what it
 * was about.
 */

#include "common/wire.h"

#define KB_KEPT_USEC         (60 * KB_USEC_PER_SEC)
#define KB_KEPT_UNHEARD_USEC (3 * KB_USEC_PER_SEC)
#define KB_KEPT_COUNT        1024
#define KB_KEPT_BYTES        ((size_t)8 * 1024 * 1024)

struct kb_kept;

/* What was answered. */
struct kb_kept_answer {
        struct kb_span question; /* the fields of the request, its id among them */
        struct kb_span reply;    /* the fields of the reply */
        const char *lease;
        uint64_t at;    /* when, CLOCK_BOOTTIME */
        bool delivered; /* somebody was there to hear it */
};

typedef void (*kb_kept_over)(const struct kb_kept_answer *answer, void *userdata);

int kb_kept_new(struct kb_kept **ret, kb_kept_over over, void *userdata) _must_check_;
void kb_kept_free(struct kb_kept *k); /* wipes, and calls nobody */
KB_DEFINE_CLEANUP(struct kb_kept, kb_kept_free);

/* Copies it. 0; -ENOMEM: nothing is kept. */
int kb_kept_put(struct kb_kept *k, const struct kb_kept_answer *answer) _must_check_;

/* NULL when there is none. Lives until the next call; who found it has it delivered. */
const struct kb_kept_answer *kb_kept_find(struct kb_kept *k, struct kb_span question);

/* The lease was taken back: its answer must not be given again. */
void kb_kept_drop(struct kb_kept *k, const char *lease);

/* Lets go of what is over by then. Returns when the next one will be, KB_TIME_NEVER when there is none. */
uint64_t kb_kept_expire(struct kb_kept *k, uint64_t now);
