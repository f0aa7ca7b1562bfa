/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system and libpam as the module in pam_keybearer_faulty.so sees them: each call fails when the program
 * that loaded it says so. Linked with --wrap.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "directory/nss_reader.h"
#include "tests/module/pam-fixture.h"

/* Found in the program when the module is loaded. */
#pragma weak pam_world_fails

#define WRAP(type, name, parameters, arguments, failure)                                                    \
        type __real_##name parameters;                                                                      \
        type __wrap_##name parameters;                                                                      \
        type __wrap_##name parameters                                                                       \
        {                                                                                                   \
                return pam_world_fails(#name) ? (failure) : __real_##name arguments;                        \
        }

WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size), -1)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1)
WRAP(int, connect, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size), -1)
WRAP(int, poll, (struct pollfd * p, nfds_t n, int timeout), (p, n, timeout), -1)
WRAP(ssize_t, send, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags), -1)
WRAP(ssize_t, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags), -1)
WRAP(int, kb_nss_id_range, (struct kb_nss * nss, struct kb_id_range *ret), (nss, ret), -errno)
WRAP(int, pam_get_item, (const pam_handle_t *pamh, int which, const void **ret), (pamh, which, ret),
     PAM_BUF_ERR)
WRAP(int, pam_putenv, (pam_handle_t * pamh, const char *setting), (pamh, setting), PAM_BUF_ERR)
WRAP(int, pam_set_data,
     (pam_handle_t * pamh, const char *name, void *data, void (*end)(pam_handle_t *, void *, int)),
     (pamh, name, data, end), PAM_BUF_ERR)
WRAP(int, pam_get_authtok, (pam_handle_t * pamh, int which, const char **ret, const char *prompt),
     (pamh, which, ret, prompt), PAM_BUF_ERR)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
        return pam_world_fails("open") ? -1 : __real_open(path, flags);
}

static int print(char **ret, const char *format, va_list ap)
{
        return pam_world_fails("asprintf") ? -1 : vasprintf(ret, format, ap);
}

int __wrap_asprintf(char **ret, const char *format, ...) _printf_(2, 3);
int __wrap_asprintf(char **ret, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = print(ret, format, ap);
        va_end(ap);
        return n;
}

/* What it is called where the compiler fortifies. */
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...) _printf_(3, 4);
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = print(ret, format, ap);
        va_end(ap);
        return n;
}
