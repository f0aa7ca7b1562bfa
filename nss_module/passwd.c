/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/cursor.h"
#include "nss_module/module.h"
#include "nss_module/pack.h"

static struct kb_cursor cursor;

/* By name, or by id where there is none. */
static enum nss_status look_up(const char *name, uid_t uid, struct passwd *pwd, char *buffer, size_t size,
                               int *errnop)
{
        const struct kb_nss_view *view;
        struct kb_nss_user user;
        int r = kb_nss_open(kb_module_nss(), &view);

        if (r < 0)
                return kb_module_status(r, errnop);
        r = name ? kb_nss_user_by_name(view, name, &user) : kb_nss_user_by_id(view, uid, &user);
        if (r > 0)
                r = kb_pack_passwd(&user, pwd, buffer, size);
        kb_nss_close(view);
        return kb_module_status(r, errnop);
}

enum nss_status _nss_keybearer_getpwnam_r(const char *name, struct passwd *pwd, char *buffer, size_t size,
                                          int *errnop)
{
        return look_up(name, 0, pwd, buffer, size, errnop);
}

enum nss_status _nss_keybearer_getpwuid_r(uid_t uid, struct passwd *pwd, char *buffer, size_t size,
                                          int *errnop)
{
        return look_up(NULL, uid, pwd, buffer, size, errnop);
}

/* --- all of them --- */

static const char *name_at(const struct kb_nss_view *view, uint32_t index)
{
        struct kb_nss_user user;

        return kb_nss_user_at(view, index, &user) > 0 ? user.name : NULL;
}

enum nss_status _nss_keybearer_setpwent(int stayopen)
{
        kb_cursor_rewind(&cursor);
        return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_keybearer_endpwent(void)
{
        kb_cursor_rewind(&cursor);
        return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_keybearer_getpwent_r(struct passwd *pwd, char *buffer, size_t size, int *errnop)
{
        const struct kb_nss_view *view;
        struct kb_nss_user user;
        uint32_t index;
        int r = kb_nss_open(kb_module_nss(), &view);

        if (r < 0)
                return kb_module_status(r, errnop);
        index = kb_cursor_index(&cursor, view, view->section[KB_NSS_USERS].count, name_at);
        r = kb_nss_user_at(view, index, &user);
        if (r > 0)
                r = kb_pack_passwd(&user, pwd, buffer, size);
        if (r > 0)
                kb_cursor_advance(&cursor, view, index, user.name);
        kb_nss_close(view);
        return kb_module_status(r, errnop);
}
