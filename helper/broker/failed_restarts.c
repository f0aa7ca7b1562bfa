/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/failed_restarts.h"

#include <stdlib.h>
#include <string.h>

#include "helper/broker/grants.h"

#define RUNS_USEC (60 * KB_USEC_PER_SEC)
#define STOP_USEC (3600 * KB_USEC_PER_SEC)

struct kb_failed_restart {
        struct kb_failed_restart *next;
        char *unit, *credential;
        uint64_t at;
};

static void drop(struct kb_failed_restart *failed)
{
        free(failed->unit);
        free(failed->credential);
        free(failed);
}

void kb_failed_restarts_add(struct kb_failed_restart **list, const char *unit, const char *credential,
                            uint64_t now)
{
        struct kb_failed_restart *failed = calloc(1, sizeof(*failed));

        if (!failed)
                return;
        *failed = (struct kb_failed_restart){
                .next = *list, .unit = strdup(unit), .credential = strdup(credential), .at = now};
        if (failed->unit && failed->credential)
                *list = failed;
        else
                drop(failed);
}

struct search {
        const struct kb_failed_restart *failed;
        uint64_t before; /* CLOCK_REALTIME */
        bool found;
};

static void look_for_successor(struct kb_held *held, void *userdata)
{
        struct search *search = userdata;

        search->found |= held->consumer == KB_CONSUMER_UNIT && !held->grant.ended && held->issued > 0 &&
                         held->issued <= search->before &&
                         strcmp(held->grant.consumer, search->failed->unit) == 0 &&
                         strcmp(held->grant.credential, search->failed->credential) == 0;
}

static bool is_over(const struct kb_failed_restart *failed, const struct kb_grants *grants, uint64_t now)
{
        struct search search = {.failed = failed, .before = kb_now_realtime() - RUNS_USEC};

        if (now >= kb_time_add(failed->at, STOP_USEC))
                return true;
        kb_grants_each(grants, look_for_successor, &search);
        return search.found;
}

bool kb_failed_restarts_look(struct kb_failed_restart **list, const struct kb_grants *grants,
                             const char *credential, const char *except_unit, uint64_t now)
{
        struct kb_failed_restart *failed;
        bool found = false;

        while ((failed = *list)) {
                if (strcmp(failed->credential, credential) == 0 && is_over(failed, grants, now)) {
                        *list = failed->next;
                        drop(failed);
                        continue;
                }
                found |= strcmp(failed->credential, credential) == 0 &&
                         strcmp(failed->unit, except_unit) != 0;
                list = &failed->next;
        }
        return found;
}

void kb_failed_restarts_free(struct kb_failed_restart *list)
{
        struct kb_failed_restart *next;

        for (; list; list = next) {
                next = list->next;
                drop(list);
        }
}
