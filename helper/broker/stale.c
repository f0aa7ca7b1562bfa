/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/stale.h"

#include <stdio.h>

#include "helper/grant/cache.h"

#define KEY_MAX 2048

/* Everything the answer depends on. False when that is too long to be a key. */
static bool key_of(const struct kb_held *held, char ret[static KEY_MAX])
{
        const struct kb_credential *c = held->credential;
        int n = snprintf(ret, KEY_MAX, "%s|%s|%s", c->store, c->path, c->version ? c->version : "");

        for (size_t i = 0; i < c->params.count && n > 0 && n < KEY_MAX; i++)
                n += snprintf(ret + n, KEY_MAX - (size_t)n, "|%s=%s", c->params.pairs[i].name,
                              c->params.pairs[i].value);
        return n > 0 && n < KEY_MAX;
}

static bool wanted(const struct kb_held *held)
{
        return held->credential && held->credential->on_unavailable == KB_ON_UNAVAILABLE_stale;
}

void kb_stale_keep(struct kb_held *held, const struct kb_fetch_reply *reply)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);
        char key[KEY_MAX];

        if (!wanted(held) || reply->ttl > 0 || !key_of(held, key))
                return;
        kb_fetch_reply_put(&w, reply);
        if (kb_writer_end(&w) < 0 || kb_cache_put(held->broker->cache, key, KB_SPAN(w.data, w.size),
                                                  kb_now_boottime(), held->credential->stale_usec) < 0)
                kb_cache_drop(held->broker->cache, key); /* rather nothing than what was before */
}

bool kb_stale_use(struct kb_held *held, enum kb_error error, void **ret_frame,
                  struct kb_fetch_reply *ret_reply)
{
        _cleanup_secret_ uint8_t *copy = NULL;
        char key[KEY_MAX];
        struct kb_span kept;
        uint64_t age;

        if (!wanted(held) || !key_of(held, key))
                return false;
        if (!kb_lease_error_passes(error)) {
                kb_cache_drop(held->broker->cache, key);
                return false;
        }
        if (!kb_cache_get(held->broker->cache, key, kb_now_boottime(), held->credential->stale_usec, &kept,
                          &age))
                return false;
        copy = kb_secret_dup(kept);
        if (!copy || kb_fetch_reply_get(KB_SPAN(copy, kept.size), ret_reply) < 0)
                return false;
        *ret_frame = take_ptr(copy);
        return true;
}
