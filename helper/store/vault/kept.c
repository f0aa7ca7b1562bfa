/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

struct entry {
        struct entry *next; /* younger */
        struct kb_kept_answer answer;
        char *lease;
};

struct kb_kept {
        struct entry *first, **last;
        size_t count, bytes;
        kb_kept_over over;
        void *userdata;
};

static size_t size_of(const struct entry *e)
{
        return e->answer.question.size + e->answer.reply.size;
}

static void entry_free(struct entry *e)
{
        kb_secret_free((void *)(uintptr_t)e->answer.question.data);
        kb_secret_free((void *)(uintptr_t)e->answer.reply.data);
        free(e->lease);
        free(e);
}

/* Takes the entry behind *at out of the list. */
static struct entry *take(struct kb_kept *k, struct entry **at)
{
        struct entry *e = *at;

        *at = e->next;
        if (!e->next)
                k->last = at;
        k->count--;
        k->bytes -= size_of(e);
        return e;
}

static void let_go(struct kb_kept *k, struct entry **at)
{
        struct entry *e = take(k, at);

        k->over(&e->answer, k->userdata);
        entry_free(e);
}

int kb_kept_new(struct kb_kept **ret, kb_kept_over over, void *userdata)
{
        struct kb_kept *k = calloc(1, sizeof(*k));

        if (!k)
                return -ENOMEM;
        k->last = &k->first;
        k->over = over;
        k->userdata = userdata;
        *ret = k;
        return 0;
}

void kb_kept_free(struct kb_kept *k)
{
        while (k && k->first)
                entry_free(take(k, &k->first));
        free(k);
}

int kb_kept_put(struct kb_kept *k, const struct kb_kept_answer *answer)
{
        struct entry *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        e->answer = *answer;
        e->answer.question.data = kb_secret_dup(answer->question);
        e->answer.reply.data = kb_secret_dup(answer->reply);
        e->answer.lease = e->lease = strdup(answer->lease);
        if (!e->answer.question.data || !e->answer.reply.data || !e->lease) {
                entry_free(e);
                return -ENOMEM;
        }
        *k->last = e;
        k->last = &e->next;
        k->count++;
        k->bytes += size_of(e);
        while (k->count > KB_KEPT_COUNT || k->bytes > KB_KEPT_BYTES)
                let_go(k, &k->first);
        return 0;
}

const struct kb_kept_answer *kb_kept_find(struct kb_kept *k, struct kb_span question)
{
        for (struct entry *e = k->first; e; e = e->next)
                if (kb_secret_equal(e->answer.question, question)) {
                        e->answer.delivered = true;
                        return &e->answer;
                }
        return NULL;
}

void kb_kept_drop(struct kb_kept *k, const char *lease)
{
        for (struct entry **at = &k->first; *at;)
                if (strcmp((*at)->lease, lease) == 0)
                        entry_free(take(k, at));
                else
                        at = &(*at)->next;
}

uint64_t kb_kept_expire(struct kb_kept *k, uint64_t now)
{
        uint64_t next = KB_TIME_NEVER, over;

        for (struct entry **at = &k->first; *at;) {
                const struct kb_kept_answer *answer = &(*at)->answer;

                over = kb_time_add(answer->at, answer->delivered ? KB_KEPT_USEC : KB_KEPT_UNHEARD_USEC);
                if (over <= now) {
                        let_go(k, at);
                        continue;
                }
                if (over < next)
                        next = over;
                at = &(*at)->next;
        }
        return next;
}
