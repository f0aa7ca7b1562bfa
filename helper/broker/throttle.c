/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/throttle.h"

#include <errno.h>
#include <stdio.h>

#include "common/clock.h"

#define BUCKETS 1024

/*
 * A bucket is the time at which it is full again: each request moves it on by what one token takes to come
 * (ITU-T I.371, generic cell rate algorithm). One that is full is as good as none.
 */
struct bucket {
        struct kb_throttled is;
        uint64_t full;
};

struct kb_throttle {
        uint64_t usec, depth; /* of a token; of all */
        struct bucket buckets[BUCKETS];
        struct kb_throttled others; /* for whom there was no bucket */
};

int kb_throttle_new(struct kb_throttle **ret, unsigned burst, uint64_t usec)
{
        struct kb_throttle *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->usec = usec;
        t->depth = burst * usec;
        *ret = t;
        return 0;
}

void kb_throttle_free(struct kb_throttle *t)
{
        free(t);
}

/* Of this uid, or one that nobody needs; NULL: all are in use. */
static struct bucket *find(struct kb_throttle *t, uid_t uid, uint64_t now)
{
        struct bucket *unused = NULL;

        for (size_t i = 0; i < BUCKETS; i++) {
                struct bucket *b = &t->buckets[i];

                if (b->full > 0 && b->is.uid == uid)
                        return b;
                if (!unused && b->full <= now && b->is.refused == 0)
                        unused = b;
        }
        return unused;
}

bool kb_throttle_take(struct kb_throttle *t, uid_t uid, const char *user, uint64_t now)
{
        struct bucket *b = find(t, uid, now);
        uint64_t full;

        if (!b) {
                t->others.refused++;
                return false;
        }
        full = kb_time_add(b->full > now ? b->full : now, t->usec);
        b->is.uid = uid;
        snprintf(b->is.user, sizeof(b->is.user), "%s", user);
        if (full - now <= t->depth) {
                b->full = full;
                return true;
        }
        b->is.refused++;
        return false;
}

static bool take_out(struct kb_throttled *is, struct kb_throttled *ret)
{
        if (is->refused == 0)
                return false;
        *ret = *is;
        is->refused = 0;
        return true;
}

bool kb_throttle_next(struct kb_throttle *t, struct kb_throttled *ret)
{
        for (size_t i = 0; i < BUCKETS; i++)
                if (take_out(&t->buckets[i].is, ret))
                        return true;
        return take_out(&t->others, ret);
}
