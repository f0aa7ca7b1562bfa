/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart of ours the log says what is handed out, but not the values. A unit that asks on in the
 * middle of its start must not get fields of another lease. For a kept secret the lease is path@version:
 * asking for that very version gives the same values again. For everything else there is no such way, and
 * the start is refused.
 */
#include <string.h>

#include "helper/broker/grant_steps.h"

bool kb_refill_possible(const struct kb_held *held)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);

        return lease && !lease->fields && lease->ends == KB_TIME_NEVER && strrchr(lease->id, '@') &&
               held->credential && !held->refill_failed;
}

static void on_refilled(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_step *s = userdata;
        struct kb_held *held = s->held;
        struct kb_lease *lease = kb_grant_newest(&held->grant);
        struct kb_fields_problem problem;

        s->call = NULL;
        held->refilling = false;
        held->refill_failed = true;
        if (answer->error == KB_E_OK && kb_fetch_reply_get(answer->fields, &s->reply) >= 0 && lease &&
            strcmp(lease->id, s->reply.lease) == 0 && kb_step_take_fields(s, &problem) >= 0) {
                kb_fields_free(lease->fields);
                lease->fields = take_ptr(s->fields);
                held->refill_failed = false;
        }
        kb_step_done(s);
}

void kb_refill_begin(struct kb_held *held)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);
        struct kb_step *s;

        if (held->refilling)
                return;
        s = kb_step_new(held);
        held->refilling = true;
        if (s && kb_step_ask_fetch(s, strrchr(lease->id, '@') + 1, on_refilled) >= 0)
                return;
        held->refilling = false;
        held->refill_failed = true;
        if (s)
                kb_step_done(s);
}
