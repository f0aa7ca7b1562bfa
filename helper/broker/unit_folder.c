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

/* What its folder is made of. */
struct collection {
        const struct publication *of;
        struct kb_folder *folder;
};

bool kb_unit_folder_wanted(const struct kb_held *held)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);

        return held->consumer == KB_CONSUMER_UNIT && held->grant.policy.rotates && lease &&
               lease->ends != KB_TIME_NEVER;
}

static void collect(struct kb_held *held, void *userdata)
{
        const struct collection *c = userdata;

        if (kb_unit_folder_wanted(held) && !held->grant.ended &&
            strcmp(held->grant.consumer, c->of->unit) == 0 &&
            strcmp(held->grant.instance, c->of->invocation) == 0)
                kb_folder_add(c->folder, held);
}

static int write_folder(const struct publication *p, uid_t uid, gid_t gid)
{
        _cleanup_(kb_folder_freep) struct kb_folder *folder = kb_folder_new();
        struct collection c = {.of = p, .folder = folder};

        if (!folder)
                return -ENOMEM;
        kb_grants_each(p->broker->grants, collect, &c);
        return kb_folder_publish(folder, p->broker->units_fd, p->unit, uid, gid);
}

static void on_facts(int r, const struct kb_unit_facts *facts, void *userdata)
{
        _cleanup_free_ struct publication *p = userdata;

        if (r >= 0)
                r = write_folder(p, facts->uid, facts->gid);
        if (r < 0)
                kb_process_log(LOG_ERR, "the folder of %s cannot be written: %s", p->unit, strerror(-r));
        p->done(r, r >= 0 && facts->notifies_reload, p->userdata);
}

void kb_unit_folder_publish(struct kb_broker *broker, const char *unit, const char *invocation,
                            kb_unit_folder_done done, void *userdata)
{
        struct publication *p = calloc(1, sizeof(*p));
        int r;

        if (!p) {
                done(-ENOMEM, false, userdata);
                return;
        }
        *p = (struct publication){.broker = broker, .done = done, .userdata = userdata};
        snprintf(p->unit, sizeof(p->unit), "%s", unit);
        snprintf(p->invocation, sizeof(p->invocation), "%s", invocation);
        r = kb_systemd_unit_facts(broker->systemd, unit, on_facts, p);
        if (r < 0)
                on_facts(r, NULL, p);
}

void kb_unit_folder_remove(struct kb_broker *broker, const char *unit)
{
        int r = kb_publish_remove(broker->units_fd, unit);

        if (r < 0)
                kb_process_log(LOG_ERR, "the folder of %s cannot be removed: %s", unit, strerror(-r));
}

void kb_unit_folder_revert(struct kb_broker *broker, const char *unit)
{
        int r = kb_publish_revert(broker->units_fd, unit);

        if (r < 0 && r != -ENOENT)
                kb_process_log(LOG_ERR, "the values before cannot be given back to %s: %s", unit,
                               strerror(-r));
}

void kb_unit_folder_settle(struct kb_broker *broker, const char *unit)
{
        int r = kb_publish_settle(broker->units_fd, unit);

        if (r < 0 && r != -ENOENT)
                kb_process_log(LOG_ERR, "old values of %s cannot be removed: %s", unit, strerror(-r));
}

static bool has_live_grant(const char *unit, void *userdata)
{
        struct kb_broker *broker = userdata;

        return kb_grants_lives(broker->grants, KB_CONSUMER_UNIT, unit);
}

void kb_unit_folder_clean(struct kb_broker *broker)
{
        int r = kb_publish_clean(broker->units_fd, has_live_grant, broker);

        if (r < 0)
                kb_process_log(LOG_ERR, "folders of units that ended cannot be removed: %s", strerror(-r));
}
