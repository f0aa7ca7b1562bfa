/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/attempts.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"

#define FIRST_USEC (180 * KB_USEC_PER_SEC) /* to the first answer; sshd's LoginGraceTime is 120 s */
#define LIFE_USEC  (600 * KB_USEC_PER_SEC) /* after it: a person may fetch their token */

struct kb_attempts {
        struct kb_attempt *attempts[KB_ATTEMPTS_MAX];
};

int kb_attempts_new(struct kb_attempts **ret)
{
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

void kb_attempts_free(struct kb_attempts *t)
{
        for (size_t i = 0; t && i < KB_ATTEMPTS_MAX; i++)
                kb_secret_free(t->attempts[i]);
        free(t);
}

/* Those that share places, and which of them goes when those are taken. */
struct share {
        size_t n;
        struct kb_attempt **goes;
};

static void count(struct share *s, struct kb_attempt **place)
{
        s->n++;
        if (!(*place)->busy && (!s->goes || (*place)->touched < (*s->goes)->touched))
                s->goes = place;
}

static struct kb_attempt **clear(struct kb_attempts *t, struct kb_attempt **place)
{
        if (place)
                kb_attempt_end(t, *place);
        return place;
}

static struct kb_attempt **find_place(struct kb_attempts *t, uid_t caller, uint64_t now)
{
        struct kb_attempt **free_place = NULL;
        struct share own = {0}, crowd = {0}, all = {0};

        for (size_t i = 0; i < KB_ATTEMPTS_MAX; i++) {
                struct kb_attempt **place = &t->attempts[i], *a = *place;

                if (a && a->until <= now && !a->busy)
                        kb_attempt_end(t, a);
                if (!*place) {
                        free_place = place;
                        continue;
                }
                count(&all, place);
                if (a->caller != 0)
                        count(&crowd, place);
                if (a->caller == caller)
                        count(&own, place);
        }
        if (caller != 0 && own.n >= KB_ATTEMPTS_OF_ONE)
                return clear(t, own.goes);
        if (caller != 0 && crowd.n >= KB_ATTEMPTS_OF_CROWD)
                return clear(t, crowd.goes);
        if (caller == 0 && !free_place)
                return clear(t, all.goes);
        return free_place;
}

int kb_attempt_begin(struct kb_attempts *t, uid_t caller, uint64_t now, struct kb_attempt **ret)
{
        struct kb_attempt **place = find_place(t, caller, now);
        _cleanup_secret_ struct kb_attempt *attempt = NULL;
        int r;

        if (!place)
                return -EBUSY;
        attempt = kb_secret_alloc(sizeof(*attempt));
        if (!attempt)
                return -ENOMEM;
        r = kb_handle_make(attempt->handle);
        if (r < 0)
                return r;
        attempt->caller = caller;
        attempt->touched = now;
        attempt->until = kb_time_add(now, FIRST_USEC);
        *ret = *place = take_ptr(attempt);
        return 0;
}

struct kb_attempt *kb_attempt_find(struct kb_attempts *t, uid_t caller, const char *handle, uint64_t now)
{
        for (size_t i = 0; i < KB_ATTEMPTS_MAX; i++) {
                struct kb_attempt *attempt = t->attempts[i];

                if (!attempt || !kb_secret_equal(KB_SPAN_STRING(attempt->handle), KB_SPAN_STRING(handle)))
                        continue;
                if (attempt->caller != caller || (attempt->until <= now && !attempt->busy))
                        return NULL;
                attempt->touched = now;
                attempt->until = kb_time_add(now, LIFE_USEC);
                return attempt;
        }
        return NULL;
}

void kb_attempt_let_in(struct kb_attempts *t, struct kb_attempt *attempt)
{
        struct share waiting = {0};

        attempt->let_in = true;
        for (size_t i = 0; i < KB_ATTEMPTS_MAX; i++) {
                struct kb_attempt **place = &t->attempts[i];

                if (*place && *place != attempt && (*place)->let_in &&
                    strcmp((*place)->user, attempt->user) == 0)
                        count(&waiting, place);
        }
        if (waiting.n >= KB_ATTEMPTS_OF_NAME)
                clear(t, waiting.goes);
}

void kb_attempt_end(struct kb_attempts *t, struct kb_attempt *attempt)
{
        for (size_t i = 0; attempt && i < KB_ATTEMPTS_MAX; i++)
                if (t->attempts[i] == attempt) {
                        t->attempts[i] = NULL;
                        kb_secret_free(attempt);
                        return;
                }
}
