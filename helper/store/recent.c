/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/recent.h"

#include <errno.h>
#include <string.h>

struct entry {
        char *request, *path, *version;
};

struct kb_recent {
        struct entry *entries; /* a ring */
        unsigned room, next;
};

static void entry_done(struct entry *e)
{
        free(e->request);
        free(e->path);
        free(e->version);
}

int kb_recent_new(struct kb_recent **ret, unsigned room)
{
        _cleanup_(kb_recent_freep) struct kb_recent *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->entries = calloc(room, sizeof(*r->entries));
        if (!r->entries)
                return -ENOMEM;
        r->room = room;
        *ret = take_ptr(r);
        return 0;
}

void kb_recent_free(struct kb_recent *r)
{
        if (!r)
                return;
        for (unsigned i = 0; i < r->room; i++)
                entry_done(&r->entries[i]);
        free(r->entries);
        free(r);
}

int kb_recent_put(struct kb_recent *r, const char *request, const char *path, const char *version)
{
        struct entry e;

        if (!request[0])
                return 0;
        e = (struct entry){strdup(request), strdup(path), strdup(version)};
        if (!e.request || !e.path || !e.version) {
                entry_done(&e);
                return -ENOMEM;
        }
        entry_done(&r->entries[r->next]);
        r->entries[r->next] = e;
        r->next = (r->next + 1) % r->room;
        return 0;
}

const char *kb_recent_find(const struct kb_recent *r, const char *request, const char *path)
{
        if (!request[0])
                return NULL;
        for (unsigned i = 0; i < r->room; i++) {
                const struct entry *e = &r->entries[i];

                if (e->request && strcmp(e->request, request) == 0 && strcmp(e->path, path) == 0)
                        return e->version;
        }
        return NULL;
}
