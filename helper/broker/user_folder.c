/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/user_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/broker/folder.h"
#include "helper/grant/publish.h"
#include "helper/server/process.h"

/* Whose, and what it is made of. */
struct collection {
        const char *user;
        const char *uid;
        struct kb_folder *folder;
        unsigned n;
};

void kb_user_folder_path(const char *uid, char ret[static KB_USER_FOLDER_MAX])
{
        snprintf(ret, KB_USER_FOLDER_MAX, KB_USERS_DIR "/%s/current", uid);
}

static void collect(struct kb_held *held, void *userdata)
{
        struct collection *c = userdata;

        if (held->consumer != KB_CONSUMER_USER || held->grant.ended ||
            strcmp(held->grant.consumer, c->user) != 0 || strcmp(held->grant.instance, c->uid) != 0)
                return;
        c->n++;
        if (kb_grant_newest(&held->grant))
                kb_folder_add(c->folder, held);
}

/* Whose folder is looked at, and who has a grant for it. */
struct owner {
        const char *uid;
        const char *user; /* NULL: nobody */
};

static void look_for(struct kb_held *held, void *userdata)
{
        struct owner *o = userdata;

        if (held->consumer == KB_CONSUMER_USER && !held->grant.ended &&
            strcmp(held->grant.instance, o->uid) == 0)
                o->user = held->grant.consumer;
}

static const char *holder_of(struct kb_broker *broker, const char *uid)
{
        struct owner owner = {.uid = uid};

        kb_grants_each(broker->grants, look_for, &owner);
        return owner.user;
}

/* The private group of a person has the number of the person, so that the files need not be theirs. */
static int update(struct kb_broker *broker, const char *user, const char *uid)
{
        _cleanup_(kb_folder_freep) struct kb_folder *folder = kb_folder_new();
        struct collection c = {.user = user, .uid = uid, .folder = folder};
        unsigned long id;
        char *end;

        if (!folder)
                return -ENOMEM;
        kb_grants_each(broker->grants, collect, &c);
        if (c.n == 0 && (c.user = holder_of(broker, uid))) /* who was renamed has it by another name */
                kb_grants_each(broker->grants, collect, &c);
        if (c.n == 0)
                return kb_publish_remove(broker->users_fd, uid);
        id = strtoul(uid, &end, 10);
        if (id == 0 || id > UINT32_MAX || *end)
                return -EINVAL;
        return kb_folder_publish(folder, broker->users_fd, uid, KB_PUBLISH_FOR_GROUP, (gid_t)id);
}

int kb_user_folder_update(struct kb_broker *broker, const char *user, const char *uid)
{
        int r = update(broker, user, uid);

        if (r < 0)
                kb_process_log(LOG_ERR, "the folder of %s cannot be written: %s", user, strerror(-r));
        return r;
}

void kb_user_folder_settle(struct kb_broker *broker, const char *uid)
{
        int r = kb_publish_settle(broker->users_fd, uid);

        if (r < 0 && r != -ENOENT)
                kb_process_log(LOG_ERR, "old values in " KB_USERS_DIR "/%s cannot be removed: %s", uid,
                               strerror(-r));
}

bool kb_user_folder_has(const struct kb_broker *broker, const char *uid, const char *credential)
{
        return kb_publish_has(broker->users_fd, uid, credential) > 0;
}

static bool has_live_grant(const char *uid, void *userdata)
{
        return holder_of(userdata, uid) != NULL;
}

void kb_user_folder_clean(struct kb_broker *broker)
{
        int r = kb_publish_clean(broker->users_fd, has_live_grant, broker);

        if (r < 0)
                kb_process_log(LOG_ERR, "folders of people who left cannot be removed: %s", strerror(-r));
}
