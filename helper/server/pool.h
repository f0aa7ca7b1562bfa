/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A few threads for work that would hold up the event loop: hashing of passwords in a store, the disk in the
 * broker. What cannot be done before its deadline is refused at once rather than answered late: the pool
 * knows how long a job takes on average, and how many wait. One thread does its jobs in the order of their
 * submission.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/macro.h"

struct kb_pool;

/*
 * work runs in a thread and may touch nothing but its userdata. done runs in the event loop with what work
 * returned, or with -EAGAIN when the deadline passed before it was begun. Each job that was taken is done
 * once.
 */
struct kb_job {
        int (*work)(void *userdata);
        void (*done)(int result, void *userdata);
        void *userdata;
};

/* niceness: of its threads, as in nice(2); 0 is as important as the loop. */
int kb_pool_new(struct kb_pool **ret, sd_event *event, unsigned threads, int niceness) _must_check_;

/* Waits for what runs; what waits is done with -ECANCELED. */
void kb_pool_free(struct kb_pool *p);
KB_DEFINE_CLEANUP(struct kb_pool, kb_pool_free);

/* 0; -EAGAIN when it could not be done by the deadline (CLOCK_MONOTONIC); -ENOMEM. */
int kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline)
        _must_check_;

unsigned kb_pool_pending(const struct kb_pool *p); /* taken and not done yet */

/* Blocks until a job ends, and calls its done: for the way out, when the loop does not run any more. */
void kb_pool_wait(struct kb_pool *p);
