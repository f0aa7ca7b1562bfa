/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who has to be woken next: a binary heap of entries that lie inside what they belong to. Ten thousand
 * leases cost one timer, armed for the first; an entry that waits for nothing is not in the heap at all.
 *
 *   kb_queue_set(&queue, &grant->wake, step.at);
 *   while ((entry = kb_queue_take(&queue, now)))
 *           work(KB_QUEUE_OWNER(entry, struct kb_grant, wake));
 *   arm_timer(kb_queue_at(&queue));
 */

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/macro.h"

struct kb_queue_entry {
        uint64_t at;
        size_t place; /* in the heap, counted from 1; 0: not in it */
};

struct kb_queue {
        struct kb_queue_entry **heap;
        size_t count;
        size_t capacity;
};

#define KB_QUEUE_OWNER(entry, type, member) ((type *)(void *)((char *)(entry)-offsetof(type, member)))

void kb_queue_done(struct kb_queue *q); /* leaves the entries alone */
#define _cleanup_queue_ _cleanup_(kb_queue_done)

/*
 * Wakes the entry at this time, whatever was set before. KB_TIME_NEVER takes it off. 0, or -ENOMEM, which
 * only an entry that was not in the queue can meet.
 */
int kb_queue_set(struct kb_queue *q, struct kb_queue_entry *entry, uint64_t at) _must_check_;
void kb_queue_remove(struct kb_queue *q, struct kb_queue_entry *entry);

/* When the first entry wants to be woken; KB_TIME_NEVER when there is none. */
uint64_t kb_queue_at(const struct kb_queue *q);

/* Takes off and returns the first entry when its time has come, else NULL. */
struct kb_queue_entry *kb_queue_take(struct kb_queue *q, uint64_t now);
