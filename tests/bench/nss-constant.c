/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of any name service module: it knows one person, who is everybody whose name starts with 'u',
 * and looks nothing up. What glibc needs to come here and back is what is left.
 */
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>

#include "common/macro.h"

#define ENTRY(name, ...) _export_ enum nss_status _nss_constant_##name(__VA_ARGS__)

ENTRY(getpwnam_r, const char *name, struct passwd *pwd, char *buffer, size_t size, int *errnop);
ENTRY(getpwuid_r, uid_t uid, struct passwd *pwd, char *buffer, size_t size, int *errnop);
ENTRY(getgrnam_r, const char *name, struct group *grp, char *buffer, size_t size, int *errnop);
ENTRY(initgroups_dyn, const char *user, gid_t group, long *start, long *size, gid_t **groups, long limit,
      int *errnop);

static enum nss_status person(struct passwd *pwd, char *buffer, size_t size, int *errnop)
{
        static const char text[] = "u\0*\0/home/u\0/bin/sh";

        if (size < sizeof(text)) {
                *errnop = ERANGE;
                return NSS_STATUS_TRYAGAIN;
        }
        memcpy(buffer, text, sizeof(text));
        *pwd = (struct passwd){
                .pw_name = buffer,
                .pw_passwd = buffer + 2,
                .pw_uid = 70000,
                .pw_gid = 70000,
                .pw_gecos = buffer + 1,
                .pw_dir = buffer + 4,
                .pw_shell = buffer + 12,
        };
        return NSS_STATUS_SUCCESS;
}

static enum nss_status nobody(int *errnop)
{
        *errnop = ENOENT;
        return NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_constant_getpwnam_r(const char *name, struct passwd *pwd, char *buffer, size_t size,
                                         int *errnop)
{
        return name[0] == 'u' ? person(pwd, buffer, size, errnop) : nobody(errnop);
}

enum nss_status _nss_constant_getpwuid_r(uid_t uid, struct passwd *pwd, char *buffer, size_t size,
                                         int *errnop)
{
        return uid < 90000 ? person(pwd, buffer, size, errnop) : nobody(errnop);
}

enum nss_status _nss_constant_getgrnam_r(const char *name, struct group *grp, char *buffer, size_t size,
                                         int *errnop)
{
        char **members = (char **)(void *)(buffer + (-(uintptr_t)buffer % _Alignof(char *)));

        if (name[0] != 'u')
                return nobody(errnop);
        members[0] = NULL;
        members[1] = NULL;
        *grp = (struct group){
                .gr_name = (char *)&members[1],
                .gr_passwd = (char *)&members[1],
                .gr_gid = 70000,
                .gr_mem = members,
        };
        return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_constant_initgroups_dyn(const char *user, gid_t group, long *start, long *size,
                                             gid_t **groups, long limit, int *errnop)
{
        if (user[0] != 'u')
                return nobody(errnop);
        if (*start < *size)
                (*groups)[(*start)++] = 99999;
        return NSS_STATUS_SUCCESS;
}
