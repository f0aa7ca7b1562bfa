/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libnss_keybearer.so.2, which glibc loads into every process that asks for a name. All it does is find the
 * entry in the published file and copy it into the caller's buffer: no socket, no daemon, no lock, no
 * environment, no configuration, no log. libc only, and never unloaded.
 *
 * What the answers mean:
 *
 *   SUCCESS    here it is, all of it in the caller's buffer
 *   NOTFOUND   nobody: the file is complete, so that is certain
 *   TRYAGAIN   with ERANGE: the buffer is too small. With EAGAIN: no descriptors or memory for the moment
 *   UNAVAIL    cannot tell: no file, a damaged one, or one of another format. Never "nobody", which would
 *              be remembered by caches and programs
 *
 * The functions are those of nss(5), "NSS Modules Interface" in the manual of glibc.
 */

#include <grp.h>
#include <nss.h>
#include <pwd.h>

#include "directory/nss_reader.h"

/* The names that this module answers from. The tests link another one: nothing at run time can change it. */
struct kb_nss *kb_module_nss(void);

/* r: 1 found, 0 nobody, negative: what went wrong. *errnop is set unless it is SUCCESS. */
enum nss_status kb_module_status(int r, int *errnop);

#define KB_NSS_ENTRY(name, ...) _export_ enum nss_status _nss_keybearer_##name(__VA_ARGS__)

KB_NSS_ENTRY(getpwnam_r, const char *name, struct passwd *pwd, char *buffer, size_t size, int *errnop);
KB_NSS_ENTRY(getpwuid_r, uid_t uid, struct passwd *pwd, char *buffer, size_t size, int *errnop);
KB_NSS_ENTRY(setpwent, int stayopen);
KB_NSS_ENTRY(getpwent_r, struct passwd *pwd, char *buffer, size_t size, int *errnop);
KB_NSS_ENTRY(endpwent, void);

KB_NSS_ENTRY(getgrnam_r, const char *name, struct group *grp, char *buffer, size_t size, int *errnop);
KB_NSS_ENTRY(getgrgid_r, gid_t gid, struct group *grp, char *buffer, size_t size, int *errnop);
KB_NSS_ENTRY(setgrent, int stayopen);
KB_NSS_ENTRY(getgrent_r, struct group *grp, char *buffer, size_t size, int *errnop);
KB_NSS_ENTRY(endgrent, void);

/*
 * Adds the groups of user, but for `group`, to (*groups)[0 .. *size), of which *start are taken; grows it up
 * to limit elements (<= 0: no limit) and leaves out what does not fit under the limit.
 */
KB_NSS_ENTRY(initgroups_dyn, const char *user, gid_t group, long *start, long *size, gid_t **groups,
             long limit, int *errnop);
