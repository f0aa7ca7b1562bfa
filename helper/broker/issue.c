/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/issue.h"

#include <errno.h>

#include "helper/broker/grant_steps.h"

/* Somebody who waits for the first answer about a grant. */
struct kb_issue {
        struct kb_issue *next;
        struct kb_held *held;
        kb_issue_done done;
        void *userdata;
};

static void refuse(kb_issue_done done, void *userdata, enum kb_error error, const char *reason)
{
        done(&(struct kb_issued){.error = error, .reason = reason[0] ? reason : kb_error_text(error)},
             userdata);
}

/*
 * What can be said of a grant now. False: nothing yet. *ret_refusal stays NULL when the answer is the newest
 * lease.
 */
static bool answer_of(const struct kb_held *held, enum kb_error *ret_error, const char **ret_refusal)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);

        if (held->refusal != KB_E_OK) {
                *ret_error = held->refusal;
                *ret_refusal = held->problem;
        } else if (kb_grant_state(&held->grant) == KB_GRANT_FAILED && held->grant.problem != KB_E_OK) {
                *ret_error = held->grant.problem;
                *ret_refusal = held->problem;
        } else if (held->grant.ended) {
                *ret_error = KB_E_EXPIRED;
                *ret_refusal = "it was taken back meanwhile, or whoever asked for it has ended";
        } else if (!lease && held->grant.issued) {
                *ret_error = KB_E_EXPIRED;
                *ret_refusal = "it has ended, and there is no new one yet";
        } else if (!lease || !held->ready)
                return false;
        else if (held->refilling)
                return false;
        else if (!lease->fields && held->refill_problem != KB_E_OK) {
                *ret_error = held->refill_problem;
                *ret_refusal = held->problem;
        } else if (!lease->fields) {
                *ret_error = KB_E_EXPIRED;
                *ret_refusal = "it was handed out before the broker started anew, and a second lease would "
                               "not fit to it";
        }
        return true;
}

static bool try_answer(struct kb_held *held, kb_issue_done done, void *userdata)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);
        enum kb_error error = KB_E_OK;
        const char *refusal = NULL;

        if (!answer_of(held, &error, &refusal))
                return false;
        if (refusal)
                refuse(done, userdata, error, refusal);
        else
                done(&(struct kb_issued){.reason = "",
                                         .fields = lease->fields,
                                         .definition = kb_grants_definition(held, lease)},
                     userdata);
        return true;
}

void kb_issue_settle(struct kb_held *held)
{
        enum kb_error error;
        const char *refusal;

        if (!answer_of(held, &error, &refusal))
                return;
        while (held->waiting) {
                struct kb_issue *issue = held->waiting;

                held->waiting = issue->next;
                try_answer(held, issue->done, issue->userdata);
                free(issue);
        }
}

void kb_issue_start(struct kb_broker *broker, const struct kb_issue_request *request, kb_issue_done done,
                    void *userdata, struct kb_issue **ret)
{
        struct kb_held *held = kb_grants_find(broker->grants, request->consumer, request->name,
                                              request->instance, request->credential->name);
        struct kb_issue *issue, **last;
        bool first;

        *ret = NULL;
        if (held && held->grant.ended && request->consumer == KB_CONSUMER_USER)
                held = NULL; /* of sessions before these: it is on its way out */
        first = !held;
        if (held && kb_refill_possible(held))
                kb_refill_begin(held);
        if (held && try_answer(held, done, userdata))
                return;
        issue = calloc(1, sizeof(*issue));
        if (!issue || (!held && kb_grants_add(broker->grants, request, &held) < 0)) {
                free(issue);
                refuse(done, userdata, KB_E_BUSY, "out of memory");
                return;
        }
        *issue = (struct kb_issue){.held = held, .done = done, .userdata = userdata};
        for (last = &held->waiting; *last; last = &(*last)->next)
                ;
        *last = issue;
        *ret = issue;
        if (first)
                kb_grants_advance(held);
}

void kb_issue_cancel(struct kb_issue *issue)
{
        struct kb_issue **p;

        if (!issue)
                return;
        for (p = &issue->held->waiting; *p != issue; p = &(*p)->next)
                ;
        *p = issue->next;
        free(issue);
}
