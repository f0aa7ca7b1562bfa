/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/window.h"

#include <stddef.h>

static struct kb_window_slot *slot(struct kb_window *w, uint64_t sequence)
{
        return &w->slots[sequence % KB_WINDOW_SIZE];
}

static const struct kb_window_slot *peek(const struct kb_window *w, uint64_t sequence)
{
        return &w->slots[sequence % KB_WINDOW_SIZE];
}

bool kb_window_has_room(const struct kb_window *w, uint64_t sequence)
{
        return sequence > w->base && sequence - w->base <= KB_WINDOW_SIZE;
}

bool kb_window_wants(const struct kb_window *w, uint64_t sequence)
{
        return kb_window_has_room(w, sequence) && !peek(w, sequence)->seen;
}

void kb_window_sent(struct kb_window *w, uint64_t sequence, uint64_t now)
{
        struct kb_window_slot *s = slot(w, sequence);

        if (!kb_window_has_room(w, sequence))
                return;
        s->sent_at = now;
        s->order = ++w->order;
        s->tries += s->tries < UINT8_MAX;
        if (sequence > w->last)
                w->last = sequence;
}

bool kb_window_seen(struct kb_window *w, uint64_t sequence)
{
        struct kb_window_slot *s = slot(w, sequence);

        if (!kb_window_wants(w, sequence))
                return false;
        s->seen = true;
        w->seen++;
        if (s->order > w->order_seen)
                w->order_seen = s->order;
        return s->tries > 1;
}

static bool overtaken(const struct kb_window *w, const struct kb_window_slot *s)
{
        return s->order < w->order_seen;
}

/* How long to wait after the last try: longer each time, since again and again must not be a storm. */
static uint64_t patience(const struct kb_window *w, const struct kb_window_slot *s)
{
        unsigned again = s->tries < 7 ? s->tries - 1u : 6;

        if (!overtaken(w, s))
                return KB_WINDOW_WAIT << again;
        return again == 0 ? KB_WINDOW_GRACE : KB_WINDOW_AGAIN << (again - 1);
}

static bool is_missing(const struct kb_window *w, const struct kb_window_slot *s, uint64_t now)
{
        if (s->seen || s->sent_at == 0 || now < s->sent_at)
                return false;
        return now - s->sent_at >= patience(w, s);
}

uint64_t kb_window_missing(const struct kb_window *w, uint64_t after, uint64_t last, uint64_t now)
{
        for (uint64_t i = after < w->base ? w->base + 1 : after + 1; i <= last && kb_window_has_room(w, i);
             i++)
                if (is_missing(w, peek(w, i), now))
                        return i;
        return 0;
}

static void take_off(struct kb_window *w)
{
        *slot(w, w->base + 1) = (struct kb_window_slot){0};
        w->base++;
}

void kb_window_give_up(struct kb_window *w)
{
        w->given_up++;
        take_off(w);
}

static unsigned enough_tries(const struct kb_window *w)
{
        return kb_window_has_room(w, w->last + 1) ? KB_WINDOW_TRIES : KB_WINDOW_TRIES_FULL;
}

bool kb_window_advance(struct kb_window *w)
{
        uint64_t before = w->base;

        for (;;) {
                const struct kb_window_slot *s = peek(w, w->base + 1);

                if (s->seen)
                        take_off(w);
                else if (overtaken(w, s) && s->tries >= enough_tries(w))
                        kb_window_give_up(w);
                else
                        return w->base > before;
        }
}

uint64_t kb_window_oldest(const struct kb_window *w)
{
        return peek(w, w->base + 1)->sent_at;
}
