/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/unit_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/broker/systemd.h"
#include "helper/grant/format.h"
#include "helper/grant/publish.h"
#include "helper/server/process.h"

#define FILES_MAX 256 /* of one unit, all its credentials together */

struct publication {
        struct kb_broker *broker;
        char unit[KB_UNIT_NAME_MAX + 1];
        char invocation[33];
        kb_unit_folder_done done;
        void *userdata;
};

/* The files of a folder while they are put together. */
struct collection {
        const struct publication *of;
        struct kb_publish_file files[FILES_MAX];
        char names[FILES_MAX][2 * KB_CREDENTIAL_NAME_MAX + 2];
        struct kb_writer wholes[FILES_MAX]; /* of the files that are a whole secret */
        size_t n;
        bool overflow;
};

static void collection_free(struct collection *c)
{
        if (!c)
                return;
        for (size_t i = 0; i < c->n; i++)
                kb_writer_done(&c->wholes[i]);
        free(c);
}
KB_DEFINE_CLEANUP(struct collection, collection_free);

bool kb_unit_folder_wanted(const struct kb_held *held)
{
        const struct kb_lease *lease = kb_grant_newest(&held->grant);

        return held->consumer == KB_CONSUMER_UNIT && held->grant.policy.rotates && lease &&
               lease->ends != KB_TIME_NEVER;
}

/* The next file: NAME, or NAME.FIELD. */
static struct kb_publish_file *next_file(struct collection *c, const char *credential, const char *field)
{
        if (c->n == FILES_MAX) {
                c->overflow = true;
                return NULL;
        }
        snprintf(c->names[c->n], sizeof(c->names[c->n]), "%s%s%s", credential, field[0] ? "." : "", field);
        c->files[c->n] = (struct kb_publish_file){.name = c->names[c->n]};
        return &c->files[c->n++];
}

/* The whole secret as the credential's Format= or Template= writes it, where that can be done at all. */
static void add_whole(struct collection *c, const struct kb_held *held, const struct kb_fields *fields)
{
        struct kb_writer whole = kb_writer_init(KB_SDCRED_PLAIN_MAX);
        struct kb_fields_problem problem;
        struct kb_publish_file *file;

        if (!held->credential || kb_format_write(held->credential, fields, "", &whole, &problem) < 0) {
                kb_writer_done(&whole);
                return;
        }
        file = next_file(c, held->grant.credential, "");
        if (!file) {
                kb_writer_done(&whole);
                return;
        }
        c->wholes[c->n - 1] = whole;
        file->value = KB_SPAN(whole.data, whole.size);
}

static void collect(struct kb_held *held, void *userdata)
{
        struct collection *c = userdata;
        const struct kb_lease *lease = kb_grant_newest(&held->grant);

        if (!kb_unit_folder_wanted(held) || held->grant.ended ||
            strcmp(held->grant.consumer, c->of->unit) != 0 ||
            strcmp(held->grant.instance, c->of->invocation) != 0)
                return;
        if (!lease->fields) { /* handed out before a restart of ours: what the folder has stays */
                next_file(c, held->grant.credential, "");
                return;
        }
        add_whole(c, held, lease->fields);
        for (size_t i = 0; i < lease->fields->count; i++) {
                struct kb_publish_file *file =
                        next_file(c, held->grant.credential, lease->fields->field[i].name);

                if (file)
                        file->value = lease->fields->field[i].value;
        }
}

static int write_folder(const struct publication *p, uid_t uid, gid_t gid)
{
        _cleanup_(collection_freep) struct collection *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->of = p;
        kb_grants_each(p->broker->grants, collect, c);
        if (c->overflow)
                return -E2BIG;
        return kb_publish(p->broker->units_fd, p->unit, c->files, c->n, uid, gid);
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
