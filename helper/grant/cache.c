/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/grant/cache.h"

#include <errno.h>
#include <string.h>

struct entry {
        struct entry *next; /* the younger one */
        uint64_t made;
        uint64_t until;
        struct kb_span answer; /* in wiped memory */
        char key[];
};

/* A list from old to young: a host has few enough of these that a tree would only be more to read. */
struct kb_cache {
        struct entry *oldest;
        size_t count, bytes;
        size_t max_entries, max_bytes;
};

int kb_cache_new(struct kb_cache **ret, size_t max_entries, size_t max_bytes)
{
        struct kb_cache *cache = calloc(1, sizeof(*cache));

        if (!cache)
                return -ENOMEM;
        cache->max_entries = max_entries;
        cache->max_bytes = max_bytes;
        *ret = cache;
        return 0;
}

/* at: what points to the entry. */
static void remove_entry(struct kb_cache *cache, struct entry **at)
{
        struct entry *e = *at;

        *at = e->next;
        cache->count--;
        cache->bytes -= e->answer.size;
        kb_secret_free((void *)(uintptr_t)e->answer.data);
        free(e);
}

void kb_cache_free(struct kb_cache *cache)
{
        if (!cache)
                return;
        while (cache->oldest)
                remove_entry(cache, &cache->oldest);
        free(cache);
}

/* What points to the entry of this key, or to the end of the list. */
static struct entry **find(struct kb_cache *cache, const char *key)
{
        struct entry **at = &cache->oldest;

        while (*at && strcmp((*at)->key, key) != 0)
                at = &(*at)->next;
        return at;
}

int kb_cache_put(struct kb_cache *cache, const char *key, struct kb_span answer, uint64_t now,
                 uint64_t stale_usec)
{
        size_t key_size = strlen(key) + 1;
        struct entry *e, **last;
        uint8_t *copy;

        kb_cache_drop(cache, key);
        if (answer.size > cache->max_bytes || cache->max_entries == 0)
                return -EMSGSIZE;
        e = calloc(1, sizeof(*e) + key_size);
        copy = kb_secret_dup(answer);
        if (!e || !copy) {
                free(e);
                kb_secret_free(copy);
                return -ENOMEM;
        }
        while (cache->count == cache->max_entries || cache->bytes > cache->max_bytes - answer.size)
                remove_entry(cache, &cache->oldest);
        memcpy(e->key, key, key_size);
        e->made = now;
        e->until = kb_time_add(now, stale_usec);
        e->answer = KB_SPAN(copy, answer.size);
        for (last = &cache->oldest; *last; last = &(*last)->next)
                ;
        *last = e;
        cache->count++;
        cache->bytes += answer.size;
        return 0;
}

bool kb_cache_get(struct kb_cache *cache, const char *key, uint64_t now, uint64_t stale_usec,
                  struct kb_span *ret, uint64_t *ret_age)
{
        struct entry **at = find(cache, key), *e = *at;

        if (!e)
                return false;
        if (e->until <= now || kb_time_add(e->made, stale_usec) <= now) {
                remove_entry(cache, at);
                return false;
        }
        *ret = e->answer;
        *ret_age = now - e->made;
        return true;
}

void kb_cache_drop(struct kb_cache *cache, const char *key)
{
        struct entry **at = find(cache, key);

        if (*at)
                remove_entry(cache, at);
}

uint64_t kb_cache_expire(struct kb_cache *cache, uint64_t now)
{
        struct entry **at = &cache->oldest;
        uint64_t next = KB_TIME_NEVER;

        while (*at) {
                if ((*at)->until <= now) {
                        remove_entry(cache, at);
                        continue;
                }
                next = (*at)->until < next ? (*at)->until : next;
                at = &(*at)->next;
        }
        return next;
}
