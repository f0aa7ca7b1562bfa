/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/module.h"

#include <errno.h>
#include <stdlib.h>

struct gid_array {
        long *start, *size;
        gid_t **groups;
        long limit;
};

/* 1; 0 when the limit is reached; -ENOMEM. */
static int make_room(const struct gid_array *a)
{
        long size = *a->size > 0 ? 2 * *a->size : 16;
        gid_t *bigger;

        if (*a->start < *a->size)
                return 1;
        if (a->limit > 0 && *a->size >= a->limit)
                return 0;
        if (a->limit > 0 && size > a->limit)
                size = a->limit;
        bigger = realloc(*a->groups, (size_t)size * sizeof(gid_t));
        if (!bigger)
                return -ENOMEM;
        *a->groups = bigger;
        *a->size = size;
        return 1;
}

static int add_groups(const struct kb_nss_view *view, const struct kb_nss_user *user, gid_t own,
                      const struct gid_array *a)
{
        for (uint32_t i = 0; i < user->n_gids; i++) {
                uint32_t gid = kb_nss_user_gid(view, user, i);
                int r;

                if (gid == 0)
                        return -EBADMSG;
                if (gid == own)
                        continue;
                r = make_room(a);
                if (r <= 0)
                        return r < 0 ? r : 1;
                (*a->groups)[(*a->start)++] = gid;
        }
        return 1;
}

enum nss_status _nss_keybearer_initgroups_dyn(const char *user, gid_t group, long *start, long *size,
                                              gid_t **groups, long limit, int *errnop)
{
        struct gid_array array = {start, size, groups, limit};
        const struct kb_nss_view *view;
        struct kb_nss_user found;
        long before = *start;
        int r = kb_nss_open(kb_module_nss(), &view);

        if (r < 0)
                return kb_module_status(r, errnop);
        r = kb_nss_user_by_name(view, user, &found);
        if (r > 0)
                r = add_groups(view, &found, group, &array);
        if (r < 0)
                *start = before; /* none rather than some */
        kb_nss_close(view);
        return kb_module_status(r, errnop);
}
