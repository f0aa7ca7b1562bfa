/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/stale.h"

#include <stdio.h>
#include <string.h>

#include "helper/grant/cache.h"

#define KEY_MAX 2048

/* Each part with its length in front, so that no two definitions share a key. */
static int add_part(char key[static KEY_MAX], int n, const char *text)
{
        if (n < 0 || n >= KEY_MAX)
                return n;
        return n +
               snprintf(key + n, KEY_MAX - (size_t)n, "%zu:%s", text ? strlen(text) : 0, text ? text : "");
}

/* Everything the answer depends on. False when that is too long to be a key. */
static bool key_of(const struct kb_credential *c, char ret[static KEY_MAX])
{
        const char *const parts[] = {c->store, c->path, c->method, c->version};
        int n = 0;

        for (size_t i = 0; i < KB_ARRAY_SIZE(parts); i++)
                n = add_part(ret, n, parts[i]);
        for (size_t i = 0; i < c->params.count; i++)
                n = add_part(ret, add_part(ret, n, c->params.pairs[i].name), c->params.pairs[i].value);
        for (size_t i = 0; i < c->fields.count; i++)
                if (c->fields.pairs[i].value[0] == '/') /* a pointer, which the store follows */
                        n = add_part(ret, n, c->fields.pairs[i].value);
        return n < KEY_MAX;
}

/* What was fetched as a person is theirs alone, and for as long as the server lets them. */
static bool wanted(const struct kb_credential *c)
{
        return c && c->on_unavailable == KB_ON_UNAVAILABLE_stale && c->as == KB_AS_host;
}

void kb_stale_keep(struct kb_held *held, const struct kb_credential *definition,
                   const struct kb_fetch_reply *reply)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);
        char key[KEY_MAX];

        if (!wanted(definition) || reply->ttl > 0 || !key_of(definition, key))
                return;
        kb_fetch_reply_put(&w, reply);
        if (kb_writer_end(&w) < 0 || kb_cache_put(held->broker->cache, key, KB_SPAN(w.data, w.size),
                                                  kb_now_boottime(), definition->stale_usec) < 0)
                kb_cache_drop(held->broker->cache, key); /* rather nothing than what was before */
}

bool kb_stale_use(struct kb_held *held, const struct kb_credential *definition, enum kb_error error,
                  void **ret_frame, struct kb_fetch_reply *ret_reply)
{
        _cleanup_secret_ uint8_t *copy = NULL;
        char key[KEY_MAX];
        struct kb_span kept;
        uint64_t age;

        if (!wanted(definition) || held->consumer == KB_CONSUMER_TRIAL || !key_of(definition, key))
                return false;
        if (!kb_lease_error_passes(error)) {
                kb_cache_drop(held->broker->cache, key);
                return false;
        }
        if (!kb_cache_get(held->broker->cache, key, kb_now_boottime(), definition->stale_usec, &kept, &age))
                return false;
        copy = kb_secret_dup(kept);
        if (!copy || kb_fetch_reply_get(KB_SPAN(copy, kept.size), ret_reply) < 0)
                return false;
        *ret_frame = take_ptr(copy);
        return true;
}
