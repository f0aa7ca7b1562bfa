/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/unit_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/broker/folder.h"
#include "helper/broker/systemd.h"
#include "helper/grant/publish.h"
#include "helper/server/process.h"

struct publication {
        struct kb_broker *broker;
        char unit[KB_UNIT_NAME_MAX + 1];
        char invocation[33];
        kb_unit_folder_done done;
        void *userdata;
};

bool kb_unit_folder_wanted(const struct kb_held *held)
{
        const struct kb_lease *lease = kb_grants_shown(held);

        return held->consumer == KB_CONSUMER_UNIT && held->grant.policy.rotates && lease &&
               (lease->ends != KB_TIME_NEVER || held->grant.policy.check_usec > 0);
}

static bool is_of(const struct kb_held *held, const char *unit)
{
        return held->consumer == KB_CONSUMER_UNIT && strcmp(held->grant.consumer, unit) == 0;
}

/* --- what stays beside the current folder --- */

struct kept {
        const char *unit;
        unsigned long long *numbers;
        size_t n;
};

static void note_before(struct kb_held *held, void *userdata)
{
        struct kept *kept = userdata;

        if (is_of(held, kept->unit) && held->before > 0)
                kept->numbers[kept->n++] = held->before;
}

/* The folders before what is offered now. numbers are the caller's to free; 0 or -ENOMEM. */
static int find_kept(const struct kb_broker *broker, const char *unit, struct kept *ret)
{
        *ret = (struct kept){.unit = unit};
        ret->numbers = calloc(kb_grants_count(broker->grants) + 1, sizeof(*ret->numbers));
        if (!ret->numbers)
                return -ENOMEM;
        kb_grants_each(broker->grants, note_before, ret);
        return 0;
}

/* --- what its folder is made of --- */

struct collection {
        const char *unit, *invocation;
        struct kb_folder *folder;
        size_t n;
};

static void collect(struct kb_held *held, void *userdata)
{
        struct collection *c = userdata;

        if (held->grant.ended || !is_of(held, c->unit) || !kb_unit_folder_wanted(held) ||
            strcmp(held->grant.instance, c->invocation) != 0)
                return;
        kb_folder_add(c->folder, held);
        c->n++;
}

/* Of DynamicUser= (systemd's UIDS-GIDS.md). Groups with other numbers can have members, by whatever name
 * service, who are not to read what the user has. */
static bool is_private(uid_t uid, gid_t gid)
{
        return uid == gid && uid >= 61184 && uid <= 65519;
}

static int write_folder(struct kb_broker *broker, const char *unit, const char *invocation, uid_t uid,
                        gid_t gid)
{
        _cleanup_(kb_folder_freep) struct kb_folder *folder = kb_folder_new();
        struct collection c = {.unit = unit, .invocation = invocation, .folder = folder};
        struct kept kept;
        int r;

        if (!folder)
                return -ENOMEM;
        kb_grants_each(broker->grants, collect, &c);
        if (c.n == 0)
                return -ESTALE;
        r = find_kept(broker, unit, &kept);
        if (r >= 0)
                r = kb_folder_publish_beside(folder, broker->units_fd, unit,
                                             is_private(uid, gid) ? KB_PUBLISH_FOR_GROUP : uid, gid,
                                             (struct kb_publish_keep){kept.numbers, kept.n});
        free(kept.numbers);
        return r;
}

static int make(const struct publication *p, const struct kb_unit_facts *facts,
                struct kb_unit_folder_made *ret)
{
        long long before = kb_publish_current(p->broker->units_fd, p->unit);

        if (before < 0)
                return (int)before;
        *ret = (struct kb_unit_folder_made){
                .uid = facts->uid,
                .gid = facts->gid,
                .notifies_reload = facts->notifies_reload,
                .before = (unsigned long long)before,
        };
        return write_folder(p->broker, p->unit, p->invocation, facts->uid, facts->gid);
}

static void complain(const char *unit, int r)
{
        if (r < 0 && r != -ESTALE)
                kb_process_log(LOG_ERR, "the folder of %s cannot be written: %s", unit, strerror(-r));
}

static void on_facts(int r, const struct kb_unit_facts *facts, void *userdata)
{
        _cleanup_free_ struct publication *p = userdata;
        struct kb_unit_folder_made made;

        if (r >= 0)
                r = make(p, facts, &made);
        complain(p->unit, r);
        p->done(r, r >= 0 ? &made : NULL, p->userdata);
}

void kb_unit_folder_publish(struct kb_broker *broker, const char *unit, const char *invocation,
                            kb_unit_folder_done done, void *userdata)
{
        struct publication *p = calloc(1, sizeof(*p));
        int r;

        if (!p) {
                done(-ENOMEM, NULL, userdata);
                return;
        }
        *p = (struct publication){.broker = broker, .done = done, .userdata = userdata};
        snprintf(p->unit, sizeof(p->unit), "%s", unit);
        snprintf(p->invocation, sizeof(p->invocation), "%s", invocation);
        r = kb_systemd_unit_facts(broker->systemd, unit, on_facts, p);
        if (r < 0)
                on_facts(r, NULL, p);
}

int kb_unit_folder_take_back(struct kb_held *held, const struct kb_unit_folder_made *made)
{
        const struct kb_grant *g = &held->grant;
        int r;

        held->offers = false;
        r = write_folder(held->broker, g->consumer, g->instance, made->uid, made->gid);
        complain(g->consumer, r);
        return r;
}

void kb_unit_folder_settle(struct kb_broker *broker, const char *unit)
{
        struct kept kept;
        int r = find_kept(broker, unit, &kept);

        if (r >= 0)
                r = kb_publish_settle_beside(broker->units_fd, unit,
                                             (struct kb_publish_keep){kept.numbers, kept.n});
        free(kept.numbers);
        if (r < 0 && r != -ENOENT)
                kb_process_log(LOG_ERR, "old values of %s cannot be removed: %s", unit, strerror(-r));
}

/* --- when nobody is left --- */

struct search {
        const char *unit;
        bool found;
};

static void look_for(struct kb_held *held, void *userdata)
{
        struct search *search = userdata;

        search->found |= is_of(held, search->unit) && !held->grant.ended && kb_unit_folder_wanted(held);
}

static bool is_used(const char *unit, void *userdata)
{
        const struct kb_broker *broker = userdata;
        struct search search = {.unit = unit};

        kb_grants_each(broker->grants, look_for, &search);
        return search.found;
}

void kb_unit_folder_check(struct kb_broker *broker, const char *unit)
{
        int r = is_used(unit, broker) ? 0 : kb_publish_remove(broker->units_fd, unit);

        if (r < 0)
                kb_process_log(LOG_ERR, "the folder of %s cannot be removed: %s", unit, strerror(-r));
}

void kb_unit_folder_clean(struct kb_broker *broker)
{
        int r = kb_publish_clean(broker->units_fd, is_used, broker);

        if (r < 0)
                kb_process_log(LOG_ERR, "folders of units that ended cannot be removed: %s", strerror(-r));
}
