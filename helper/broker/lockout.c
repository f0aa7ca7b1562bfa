/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/lockout.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#include "common/clock.h"

#define COUNTERS 4096
#define SHARED   64
#define FORMAT   1
#define PART_MAX 1024 /* of a key; what comes over the wire is shorter */

struct counter {
        uint8_t id[SHA256_DIGEST_LENGTH]; /* of the key: fixed in size, and no list of names on disk */
        uint32_t failures;                /* 0: free */
        uint64_t first, last, until;
};

struct kb_lockout {
        struct counter counters[COUNTERS];
        struct counter shared[SHARED]; /* of those for whom there was no room; not kept on disk */
};

int kb_lockout_new(struct kb_lockout **ret)
{
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

void kb_lockout_free(struct kb_lockout *l)
{
        free(l);
}

/* Size, bytes, NUL, as on the wire. */
static size_t add_part(uint8_t *to, const char *part)
{
        size_t n = part ? strnlen(part, PART_MAX) : 0;

        for (unsigned k = 0; k < 4; k++)
                to[k] = (uint8_t)(n >> (8 * k));
        if (n > 0)
                memcpy(to + 4, part, n);
        to[4 + n] = 0;
        return 4 + n + 1;
}

/*
 * Each part with its size in front, so that no two keys run together to the same bytes. On the stack: where
 * memory is out, a guess that was counted for nobody would be a free one.
 */
static void make_id(const struct kb_lockout_key *key, uint8_t ret[static SHA256_DIGEST_LENGTH])
{
        const char *const parts[] = {key->remote_host, key->user, key->service};
        uint8_t bytes[KB_ARRAY_SIZE(parts) * (4 + PART_MAX + 1)];
        size_t size = 0;

        for (size_t i = 0; i < KB_ARRAY_SIZE(parts); i++)
                size += add_part(bytes + size, parts[i]);
        SHA256(bytes, size, ret);
}

/* The clock went back since: so do all its times, or it would lock out for as much longer. */
static struct counter *by_clock(struct counter *c, uint64_t now)
{
        uint64_t back = c->last > now ? c->last - now : 0;

        c->first -= back < c->first ? back : c->first;
        c->until -= back < c->until ? back : c->until;
        c->last -= back;
        return c;
}

static struct counter *find(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now)
{
        uint8_t id[SHA256_DIGEST_LENGTH];

        make_id(key, id);
        for (size_t i = 0; i < COUNTERS; i++) {
                struct counter *c = &l->counters[i];

                if (c->failures > 0 && memcmp(c->id, id, sizeof(id)) == 0)
                        return by_clock(c, now);
        }
        return NULL;
}

/* A free place, or that of the failure longest ago which does not lock out; NULL when all do. */
static struct counter *find_place(struct kb_lockout *l, uint64_t now)
{
        struct counter *oldest = NULL;

        for (size_t i = 0; i < COUNTERS; i++) {
                struct counter *c = by_clock(&l->counters[i], now);

                if (c->failures == 0)
                        return c;
                if (c->until <= now && (!oldest || c->last < oldest->last))
                        oldest = c;
        }
        return oldest;
}

/* What those count with who have none of their own and find no place: not remembering them would be a way
 * in. */
static struct counter *share(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now)
{
        const char *user = key->user ? key->user : "";
        uint8_t id[SHA256_DIGEST_LENGTH];

        SHA256((const uint8_t *)user, strlen(user), id);
        return by_clock(&l->shared[id[0] % SHARED], now);
}

uint64_t kb_lockout_until(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now)
{
        const struct counter *c = find(l, key, now);

        if (!c && !find_place(l, now))
                c = share(l, key, now);
        return c && c->until > now ? c->until : 0;
}

static struct counter *begin(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now)
{
        struct counter *c = find_place(l, now);

        if (!c)
                return share(l, key, now);
        *c = (struct counter){0};
        make_id(key, c->id);
        return c;
}

bool kb_lockout_fail(struct kb_lockout *l, const struct kb_lockout_policy *policy,
                     const struct kb_lockout_key *key, uint64_t now)
{
        struct counter *c = find(l, key, now);

        if (!c)
                c = begin(l, key, now);
        if (c->failures == 0 || now - c->first > policy->window) {
                c->failures = 0;
                c->first = now;
        }
        if (c->failures < UINT32_MAX)
                c->failures++;
        c->last = now;
        if (policy->attempts == 0 || c->failures < policy->attempts)
                return false;
        c->until = kb_time_add(now, policy->usec);
        return true;
}

bool kb_lockout_pass(struct kb_lockout *l, const struct kb_lockout_key *key, uint64_t now)
{
        struct counter *c = find(l, key, now);

        if (!c || c->until > now)
                return false;
        *c = (struct counter){0};
        return true;
}

void kb_lockout_put(const struct kb_lockout *l, struct kb_writer *w)
{
        uint32_t n = 0;

        for (size_t i = 0; i < COUNTERS; i++)
                n += l->counters[i].failures > 0;
        kb_write_u32(w, FORMAT);
        kb_write_u32(w, n);
        for (size_t i = 0; i < COUNTERS; i++) {
                const struct counter *c = &l->counters[i];

                if (c->failures == 0)
                        continue;
                kb_write_raw(w, KB_SPAN(c->id, sizeof(c->id)));
                kb_write_u32(w, c->failures);
                kb_write_u64(w, c->first);
                kb_write_u64(w, c->last);
                kb_write_u64(w, c->until);
        }
}

static void read_counter(struct kb_reader *r, struct counter *c)
{
        for (size_t i = 0; i < sizeof(c->id); i += 4) {
                uint32_t word = kb_read_u32(r);

                for (unsigned k = 0; k < 4; k++)
                        c->id[i + k] = (uint8_t)(word >> (8 * k));
        }
        c->failures = kb_read_u32(r);
        c->first = kb_read_u64(r);
        c->last = kb_read_u64(r);
        c->until = kb_read_u64(r);
}

int kb_lockout_get(struct kb_lockout *l, struct kb_span from)
{
        _cleanup_(kb_lockout_freep) struct kb_lockout *fresh = NULL;
        struct kb_reader r = kb_reader_init(from);
        uint32_t format = kb_read_u32(&r), n = kb_read_u32(&r);

        if (format != FORMAT || n > COUNTERS)
                return -EBADMSG;
        if (kb_lockout_new(&fresh) < 0)
                return -ENOMEM;
        for (uint32_t i = 0; i < n; i++)
                read_counter(&r, &fresh->counters[i]);
        if (kb_reader_end(&r) < 0)
                return -EBADMSG;
        *l = *fresh;
        return 0;
}
