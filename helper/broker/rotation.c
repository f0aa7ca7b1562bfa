/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a rotation: a new lease is there, and the consumer has to come to use it. */
#include <errno.h>
#include <string.h>

#include "common/crashpoint.h"
#include "helper/broker/grant_steps.h"
#include "helper/broker/systemd.h"
#include "helper/broker/user_folder.h"

/* --- MaxParallel= --- */

/* Who is being told of new values now. */
struct crowd {
        const struct kb_held *asks;
        unsigned same_credential;
        unsigned same_unit;
};

static void count_told(struct kb_held *held, void *userdata)
{
        struct crowd *crowd = userdata;
        const struct kb_grant *g = &held->grant, *asks = &crowd->asks->grant;
        unsigned n = 0;

        for (const struct kb_step *s = held->steps; s; s = s->next)
                n += s->tells;
        if (strcmp(g->credential, asks->credential) == 0)
                crowd->same_credential += n;
        if (held->consumer == crowd->asks->consumer && strcmp(g->consumer, asks->consumer) == 0)
                crowd->same_unit += n;
}

/* A unit hears of one credential at a time: or a reload that went well would make it use one whose own
 * failed. */
bool kb_rotation_must_wait(const struct kb_held *held, const struct kb_grant_step *step)
{
        struct crowd crowd = {.asks = held};
        const struct kb_credential *definition;

        if (held->consumer != KB_CONSUMER_UNIT)
                return false;
        if (step->action != KB_GRANT_OFFER && step->action != KB_GRANT_RESTART)
                return false;
        definition = kb_grants_definition(held, kb_grant_newest(&held->grant));
        if (!definition || definition->on_rotate.action == KB_ON_ROTATE_none)
                return false;
        kb_grants_each(held->owner, count_told, &crowd);
        return crowd.same_unit > 0 || crowd.same_credential >= definition->max_parallel;
}

/* --- the first failure stops the rest --- */

static void look_for_deaf(struct kb_held *held, void *userdata)
{
        struct crowd *crowd = userdata;

        if (held != crowd->asks && held->deaf && !held->grant.ended &&
            strcmp(held->grant.credential, crowd->asks->grant.credential) == 0)
                crowd->same_credential++;
}

/* In its last tenth, a lease is not held back by what is wrong with somebody else. */
static bool is_urgent(const struct kb_held *held)
{
        const struct kb_lease *current = kb_grant_lease_in(&held->grant, KB_LEASE_CURRENT);

        return !current || (current->ends != KB_TIME_NEVER &&
                            kb_lease_left(current, kb_now_boottime()) <= current->ttl / 10);
}

/* Whether another unit could not be told of this credential. What is wrong may be the new values themselves.
 */
bool kb_rotation_is_stopped(const struct kb_held *held)
{
        struct crowd crowd = {.asks = held};

        if (held->consumer != KB_CONSUMER_UNIT || held->deaf || is_urgent(held))
                return false; /* who failed tries again: two of those would wait for each other */
        kb_grants_each(held->owner, look_for_deaf, &crowd);
        return crowd.same_credential > 0 ||
               kb_failed_restarts_look(kb_grants_failed_restarts(held->owner), held->owner,
                                       held->grant.credential, held->grant.consumer, kb_now_boottime());
}

/* --- adopted --- */

static void adopted(struct kb_held *held)
{
        kb_broker_note(held->broker, kb_step_event(held, KB_EVENT_GRANT_ADOPTED,
                                                   kb_grant_lease_in(&held->grant, KB_LEASE_OFFERED)));
        held->before = 0;
        kb_grants_adopt_definition(held);
        if (held->consumer == KB_CONSUMER_UNIT)
                kb_unit_folder_settle(held->broker, held->grant.consumer);
        else if (held->consumer == KB_CONSUMER_USER)
                kb_user_folder_settle(held->broker, held->grant.instance);
}

/* What was defined anew while it was offered is rotated once more. */
static void adopt(struct kb_held *held)
{
        adopted(held);
        kb_crashpoint("adopted");
        kb_grant_on_adopted(&held->grant, kb_now_boottime());
        kb_grants_look_again(held);
}

/* Its time is over: it is taken for granted. */
void kb_rotation_adopt(struct kb_step *s)
{
        adopt(s->held);
        kb_step_done(s);
}

/* --- offer: new values into the folder, then tell the unit --- */

/* The unit keeps the old values, so its folder does; when that cannot be done, both have to stay good. */
static void take_back(struct kb_step *s)
{
        struct kb_held *held = s->held;

        if (s->published && !held->grant.ended && kb_grant_lease_in(&held->grant, KB_LEASE_CURRENT) &&
            kb_unit_folder_take_back(held, &s->made) < 0)
                kb_grant_keep_offered(&held->grant);
        held->before = 0;
}

static void offered(struct kb_step *s, enum kb_error error, const char *why)
{
        struct kb_held *held = s->held;
        const struct kb_lease *lease = kb_grant_lease_in(&held->grant, KB_LEASE_OFFERED);
        bool heard = error == KB_E_OK && s->answers && lease && !held->grant.ended;

        if (error != KB_E_OK) {
                kb_step_note_failure(held, KB_EVENT_RENEW_FAILED, lease, error, why);
                take_back(s);
        } else
                kb_broker_note(held->broker, kb_step_event(held, KB_EVENT_GRANT_OFFERED, lease));
        held->deaf = error != KB_E_OK && (s->told || held->deaf);
        held->offers = false;
        kb_grant_on_offered(&held->grant, kb_now_boottime(), error);
        if (heard)
                adopt(held);
        kb_step_done(s);
}

static void on_told(int r, void *userdata)
{
        struct kb_step *s = userdata;

        kb_crashpoint("told");
        if (!kb_step_take_back(s))
                return;
        s->held->asks_first = r == -EHOSTDOWN;
        if (r == -ENOENT || r == -ECANCELED) /* the unit is on its way out: nobody is left to be told */
                offered(s, KB_E_OK, "");
        else
                offered(s, r < 0 ? KB_E_UNREACHABLE : KB_E_OK,
                        "the unit could not be told, and keeps the old one");
}

static const struct kb_credential *offered_definition(const struct kb_step *s)
{
        return kb_grants_definition(s->held, kb_grant_newest(&s->held->grant));
}

static void tell(struct kb_step *s)
{
        const struct kb_on_rotate *how = &offered_definition(s)->on_rotate;
        bool by_signal = how->action == KB_ON_ROTATE_signal;
        int r;

        s->lent = true;
        s->told = true;
        s->answers = s->answers && !by_signal;
        r = kb_systemd_unit_do(s->held->broker->systemd, s->held->grant.consumer,
                               by_signal ? KB_UNIT_SIGNAL : KB_UNIT_RELOAD, how->signal, on_told, s);
        if (r < 0)
                on_told(r, s);
}

static void on_published(int r, const struct kb_unit_folder_made *made, void *userdata)
{
        struct kb_step *s = userdata;

        kb_crashpoint("published");
        if (!kb_step_take_back(s))
                return;
        s->held->asks_first = r < 0;
        if (r >= 0) {
                s->published = true;
                s->made = *made;
                s->answers = made->notifies_reload;
                s->held->before = made->before;
        }
        if (r < 0)
                offered(s, kb_error_from_errno(r),
                        "the new values could not be written into the unit's folder");
        else if (!offered_definition(s) || offered_definition(s)->on_rotate.action == KB_ON_ROTATE_none) {
                s->answers = false;
                offered(s, KB_E_OK, "");
        } else
                tell(s);
}

/* People are not told: what they run reads the folder when it needs to. */
static void offer_to_person(struct kb_step *s)
{
        struct kb_held *held = s->held;
        int r = kb_user_folder_update(held->broker, held->grant.consumer, held->grant.instance);

        offered(s, r < 0 ? kb_error_from_errno(r) : KB_E_OK,
                "the new values could not be written into the person's folder");
}

void kb_rotation_offer(struct kb_step *s)
{
        struct kb_held *held = s->held;

        held->offers = true;
        if (held->consumer == KB_CONSUMER_USER) {
                offer_to_person(s);
                return;
        }
        if (held->consumer != KB_CONSUMER_UNIT) {
                offered(s, KB_E_OK, "");
                return;
        }
        if (kb_rotation_is_stopped(held)) {
                offered(s, KB_E_BUSY,
                        "another unit could not be told of it, and this one keeps the old one");
                return;
        }
        s->tells = true;
        s->lent = true;
        kb_unit_folder_publish(held->broker, held->grant.consumer, held->grant.instance, on_published, s);
}

/* --- restart: the next invocation asks for itself, and this one's leases go when it ends --- */

static void on_restarted(int r, void *userdata)
{
        struct kb_step *s = userdata;

        if (!kb_step_take_back(s))
                return;
        if (r < 0)
                kb_step_note_failure(s->held, KB_EVENT_RENEW_FAILED, kb_grant_newest(&s->held->grant),
                                     KB_E_UNREACHABLE,
                                     "the unit could not be restarted, and keeps the old one");
        s->held->deaf = r < 0;
        if ((r == -EIO || r == -ETIMEDOUT) && s->held->grant.ended) /* it went down, and did not come up */
                kb_failed_restarts_add(kb_grants_failed_restarts(s->held->owner), s->held->grant.consumer,
                                       s->held->grant.credential, kb_now_boottime());
        kb_grant_on_restarted(&s->held->grant, kb_now_boottime(), r < 0 ? KB_E_UNREACHABLE : KB_E_OK);
        kb_step_done(s);
}

void kb_rotation_restart(struct kb_step *s)
{
        struct kb_held *held = s->held;
        int r;

        s->tells = true;
        s->lent = true;
        r = kb_systemd_unit_do(held->broker->systemd, held->grant.consumer, KB_UNIT_RESTART, 0, on_restarted,
                               s);
        if (r < 0)
                on_restarted(r, s);
}

/* --- probe: does the unit use it yet? --- */

static void on_probed(int r, void *userdata)
{
        struct kb_step *s = userdata;
        struct kb_held *held = s->held;

        if (!kb_step_take_back(s))
                return;
        if (r >= 0 && kb_grant_lease_in(&held->grant, KB_LEASE_OFFERED))
                adopted(held);
        kb_grant_on_probed(&held->grant, kb_now_boottime(), r >= 0);
        kb_grants_look_again(held);
        kb_step_done(s);
}

void kb_rotation_probe(struct kb_step *s)
{
        struct kb_held *held = s->held;
        const char *program = offered_definition(s) ? offered_definition(s)->probe : NULL;
        const char *const argv[3] = {program, held->grant.consumer, held->grant.credential};
        int r = -ENOENT;

        s->lent = true;
        if (program)
                r = kb_systemd_run(held->broker->systemd, argv, on_probed, s);
        if (r < 0)
                on_probed(r, s);
}
