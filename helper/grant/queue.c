/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/queue.h"

#include <errno.h>
#include <stdlib.h>

/* Places count from 1, as heaps like it: the parent of n is n / 2. */
static struct kb_queue_entry **at_place(const struct kb_queue *q, size_t place)
{
        return &q->heap[place - 1];
}

static void put(struct kb_queue *q, size_t place, struct kb_queue_entry *entry)
{
        *at_place(q, place) = entry;
        entry->place = place;
}

static void sift_up(struct kb_queue *q, struct kb_queue_entry *entry)
{
        size_t place = entry->place;

        for (; place > 1 && (*at_place(q, place / 2))->at > entry->at; place /= 2)
                put(q, place, *at_place(q, place / 2));
        put(q, place, entry);
}

static void sift_down(struct kb_queue *q, struct kb_queue_entry *entry)
{
        size_t place = entry->place;

        for (size_t child = place * 2; child <= q->count; child = place * 2) {
                if (child < q->count && (*at_place(q, child + 1))->at < (*at_place(q, child))->at)
                        child++;
                if ((*at_place(q, child))->at >= entry->at)
                        break;
                put(q, place, *at_place(q, child));
                place = child;
        }
        put(q, place, entry);
}

static int make_room(struct kb_queue *q)
{
        size_t capacity = q->capacity ? q->capacity * 2 : 64;
        struct kb_queue_entry **bigger;

        if (q->count < q->capacity)
                return 0;
        bigger = reallocarray(q->heap, capacity, sizeof(struct kb_queue_entry *));
        if (!bigger)
                return -ENOMEM;
        q->heap = bigger;
        q->capacity = capacity;
        return 0;
}

void kb_queue_done(struct kb_queue *q)
{
        for (size_t i = 0; i < q->count; i++)
                q->heap[i]->place = 0;
        free(q->heap);
        *q = (struct kb_queue){};
}

int kb_queue_set(struct kb_queue *q, struct kb_queue_entry *entry, uint64_t at)
{
        int r;

        if (at == KB_TIME_NEVER) {
                kb_queue_remove(q, entry);
                return 0;
        }
        if (entry->place == 0) {
                r = make_room(q);
                if (r < 0)
                        return r;
                put(q, ++q->count, entry);
        }
        entry->at = at;
        sift_up(q, entry);
        sift_down(q, entry);
        return 0;
}

void kb_queue_remove(struct kb_queue *q, struct kb_queue_entry *entry)
{
        struct kb_queue_entry *last;

        if (entry->place == 0)
                return;
        last = *at_place(q, q->count--);
        if (last != entry) {
                put(q, entry->place, last);
                sift_up(q, last);
                sift_down(q, last);
        }
        entry->place = 0;
}

uint64_t kb_queue_at(const struct kb_queue *q)
{
        return q->count > 0 ? q->heap[0]->at : KB_TIME_NEVER;
}

struct kb_queue_entry *kb_queue_take(struct kb_queue *q, uint64_t now)
{
        struct kb_queue_entry *first;

        if (q->count == 0 || q->heap[0]->at > now)
                return NULL;
        first = q->heap[0];
        kb_queue_remove(q, first);
        return first;
}
