/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/pack.h"

#include <errno.h>
#include <string.h>

/* Where a string of the file will be once its text lies at copy. */
static char *moved(const char *string, const char *text, char *copy)
{
        return copy + (string - text);
}

int kb_pack_passwd(const struct kb_nss_user *user, struct passwd *ret, char *buffer, size_t size)
{
        if (size < user->text_size)
                return -ERANGE;
        memcpy(buffer, user->text, user->text_size);
        *ret = (struct passwd){
                .pw_name = moved(user->name, user->text, buffer),
                .pw_passwd = moved(user->password, user->text, buffer),
                .pw_uid = user->uid,
                .pw_gid = user->uid,
                .pw_gecos = moved(user->full_name, user->text, buffer),
                .pw_dir = moved(user->home, user->text, buffer),
                .pw_shell = moved(user->shell, user->text, buffer),
        };
        return 1;
}

/* Bytes to skip so that pointers can follow. */
static size_t padding(const char *buffer)
{
        return -(uintptr_t)buffer % _Alignof(char *);
}

/* The pointers go first, because they have to be aligned; the strings behind them do not. */
int kb_pack_group(const struct kb_nss_group *group, struct group *ret, char *buffer, size_t size)
{
        size_t skip = padding(buffer), pointers;
        char **members, *text;
        bool damaged = false;

        if (__builtin_mul_overflow((size_t)group->n_members + 1, sizeof(char *), &pointers))
                return -ERANGE;
        if (size < skip || size - skip < pointers || size - skip - pointers < group->text_size)
                return -ERANGE;
        members = (char **)(void *)(buffer + skip);
        text = buffer + skip + pointers;
        memcpy(text, group->text, group->text_size);
        for (uint32_t i = 0; i < group->n_members; i++) {
                uint32_t at = kb_nss_group_member(group, i);

                damaged |= at >= group->text_size;
                members[i] = text + at;
        }
        members[group->n_members] = NULL;
        if (damaged)
                return -EBADMSG;
        *ret = (struct group){
                .gr_name = moved(group->name, group->text, text),
                .gr_passwd = moved(group->password, group->text, text),
                .gr_gid = group->gid,
                .gr_mem = members,
        };
        return 1;
}
