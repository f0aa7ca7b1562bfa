/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/attempts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"

#define LIFE_USEC                                                                                           \
        (600 * KB_USEC_PER_SEC) /* sshd's LoginGraceTime is 120 s; a person may fetch their token */

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

static int make_handle(char ret[static KB_ATTEMPT_HANDLE_SIZE])
{
        uint64_t random[2];

        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return -EIO;
        snprintf(ret, KB_ATTEMPT_HANDLE_SIZE, "%016llx%016llx", (unsigned long long)random[0],
                 (unsigned long long)random[1]);
        return 0;
}

static struct kb_attempt **find_place(struct kb_attempts *t, uid_t caller, uint64_t now)
{
        struct kb_attempt **free_place = NULL;
        size_t crowd = 0;

        for (size_t i = 0; i < KB_ATTEMPTS_MAX; i++) {
                struct kb_attempt **place = &t->attempts[i];

                if (*place && (*place)->until <= now && !(*place)->busy)
                        kb_attempt_end(t, *place);
                if (!*place)
                        free_place = place;
                else if ((*place)->caller != 0)
                        crowd++;
        }
        return caller != 0 && crowd >= KB_ATTEMPTS_MAX / 4 ? NULL : free_place;
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
        r = make_handle(attempt->handle);
        if (r < 0)
                return r;
        attempt->caller = caller;
        attempt->until = kb_time_add(now, LIFE_USEC);
        *ret = *place = take_ptr(attempt);
        return 0;
}

struct kb_attempt *kb_attempt_find(struct kb_attempts *t, const char *handle, uint64_t now)
{
        for (size_t i = 0; i < KB_ATTEMPTS_MAX; i++) {
                struct kb_attempt *attempt = t->attempts[i];

                if (!attempt || !kb_secret_equal(KB_SPAN_STRING(attempt->handle), KB_SPAN_STRING(handle)))
                        continue;
                if (attempt->until <= now && !attempt->busy)
                        return NULL;
                attempt->until = kb_time_add(now, LIFE_USEC);
                return attempt;
        }
        return NULL;
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
