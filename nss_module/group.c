/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/cursor.h"
#include "nss_module/module.h"
#include "nss_module/pack.h"

static struct kb_cursor cursor;

/* By name, or by id where there is none. */
static enum nss_status look_up(const char *name, gid_t gid, struct group *grp, char *buffer, size_t size,
                               int *errnop)
{
        const struct kb_nss_view *view;
        struct kb_nss_group group;
        int r = kb_nss_open(kb_module_nss(), &view);

        if (r < 0)
                return kb_module_status(r, errnop);
        r = name ? kb_nss_group_by_name(view, name, &group) : kb_nss_group_by_id(view, gid, &group);
        if (r > 0)
                r = kb_pack_group(&group, grp, buffer, size);
        kb_nss_close(view);
        return kb_module_status(r, errnop);
}

enum nss_status _nss_keybearer_getgrnam_r(const char *name, struct group *grp, char *buffer, size_t size,
                                          int *errnop)
{
        return look_up(name, 0, grp, buffer, size, errnop);
}

enum nss_status _nss_keybearer_getgrgid_r(gid_t gid, struct group *grp, char *buffer, size_t size,
                                          int *errnop)
{
        return look_up(NULL, gid, grp, buffer, size, errnop);
}

/* --- all of them --- */

static const char *name_at(const struct kb_nss_view *view, uint32_t index)
{
        struct kb_nss_group group;

        return kb_nss_group_at(view, index, &group) > 0 ? group.name : NULL;
}

enum nss_status _nss_keybearer_setgrent(int stayopen)
{
        kb_cursor_rewind(&cursor);
        return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_keybearer_endgrent(void)
{
        kb_cursor_rewind(&cursor);
        return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_keybearer_getgrent_r(struct group *grp, char *buffer, size_t size, int *errnop)
{
        const struct kb_nss_view *view;
        struct kb_nss_group group;
        uint32_t index;
        int r = kb_nss_open(kb_module_nss(), &view);

        if (r < 0)
                return kb_module_status(r, errnop);
        index = kb_cursor_index(&cursor, view, view->section[KB_NSS_GROUPS].count, name_at);
        r = kb_nss_group_at(view, index, &group);
        if (r > 0)
                r = kb_pack_group(&group, grp, buffer, size);
        if (r > 0)
                kb_cursor_advance(&cursor, view, index, group.name);
        kb_nss_close(view);
        return kb_module_status(r, errnop);
}
