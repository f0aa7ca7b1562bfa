/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The users-1 file, as the module reads it: whatever is in it, what is handed out lies in the caller's
 * buffer, ends, and has an id of the range.
 */
#include <errno.h>
#include <string.h>

#include "nss_module/pack.h"
#include "tests/fuzz/fuzz.h"

static char buffer[8192];

static bool inside(const char *string)
{
        return string >= buffer && string < buffer + sizeof(buffer) && strlen(string) < sizeof(buffer);
}

static void use_user(const struct kb_nss_view *view, int r, const struct kb_nss_user *user)
{
        struct passwd pwd;

        FUZZ_ASSERT(r == 1 || r == 0 || r == -EBADMSG);
        if (r != 1)
                return;
        for (uint32_t i = 0; i < user->n_gids; i++) {
                uint32_t gid = kb_nss_user_gid(view, user, i);

                FUZZ_ASSERT(gid == 0 || kb_id_in_range(view->range, gid));
        }
        r = kb_pack_passwd(user, &pwd, buffer, sizeof(buffer));
        FUZZ_ASSERT(r == 1 || r == -ERANGE);
        if (r != 1)
                return;
        FUZZ_ASSERT(kb_id_in_range(view->range, pwd.pw_uid) && pwd.pw_gid == pwd.pw_uid);
        FUZZ_ASSERT(inside(pwd.pw_name) && inside(pwd.pw_passwd) && inside(pwd.pw_gecos) &&
                    inside(pwd.pw_dir) && inside(pwd.pw_shell));
}

static void use_group(const struct kb_nss_view *view, int r, const struct kb_nss_group *group)
{
        struct group grp;

        FUZZ_ASSERT(r == 1 || r == 0 || r == -EBADMSG);
        if (r != 1)
                return;
        r = kb_pack_group(group, &grp, buffer, sizeof(buffer));
        FUZZ_ASSERT(r == 1 || r == -ERANGE || r == -EBADMSG);
        if (r != 1)
                return;
        FUZZ_ASSERT(kb_id_in_range(view->range, grp.gr_gid));
        FUZZ_ASSERT(inside(grp.gr_name) && inside(grp.gr_passwd));
        for (char **member = grp.gr_mem; *member; member++)
                FUZZ_ASSERT(inside(*member));
}

static void use_all(const struct kb_nss_view *view)
{
        struct kb_nss_group group;
        struct kb_nss_user user;
        int r = 1;

        for (uint32_t i = 0; i < 64 && r != 0; i++) {
                r = kb_nss_user_at(view, i, &user);
                use_user(view, r, &user);
                if (r == 1) {
                        struct kb_nss_user found;

                        use_user(view, kb_nss_user_by_name(view, user.name, &found), &found);
                        use_user(view, kb_nss_user_by_id(view, user.uid, &found), &found);
                }
        }
        r = 1;
        for (uint32_t i = 0; i < 64 && r != 0; i++) {
                r = kb_nss_group_at(view, i, &group);
                use_group(view, r, &group);
                if (r == 1) {
                        struct kb_nss_group found;

                        use_group(view, kb_nss_group_by_name(view, group.name, &found), &found);
                        use_group(view, kb_nss_group_by_id(view, group.gid, &found), &found);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct kb_nss_group group;
        struct kb_nss_user user;
        struct kb_nss_view view;

        if (kb_nss_view_init(&view, KB_SPAN(data, size)) < 0)
                return 0;
        (void)kb_nss_view_intact(&view);
        use_user(&view, kb_nss_user_by_name(&view, "nobody", &user), &user);
        use_group(&view, kb_nss_group_by_id(&view, 0, &group), &group);
        use_all(&view);
        return 0;
}
