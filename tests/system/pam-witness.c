/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded into every program of a test machine (ld.so.preload(8)): writes down what the whole PAM stack
 * answered to the real sshd, su, sudo, cron, systemd and login, and after how long. Changes nothing.
 * test_people.py builds it and reads the lines:
 *
 *   service TAB user TAB remote host TAB first argument of the program TAB a|c TAB code TAB milliseconds
 *
 * where a is pam_authenticate(3) and c pam_acct_mgmt(3).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <security/pam_appl.h>

#define LINES "/run/pam-witness"

typedef int (*phase)(pam_handle_t *, int);

/* sudo loads its plugin, and that libpam: RTLD_NEXT would not find it. */
static void *of_libpam(const char *name)
{
        void *handle = dlopen("libpam.so.0", RTLD_LAZY | RTLD_NOLOAD);

        return handle ? dlsym(handle, name) : NULL;
}

static const char *item(const pam_handle_t *pamh, int which)
{
        int (*get)(const pam_handle_t *, int, const void **) =
                (int (*)(const pam_handle_t *, int, const void **))of_libpam("pam_get_item");
        const void *value = NULL;

        return get && get(pamh, which, &value) == PAM_SUCCESS && value ? value : "";
}

/* "sudo\0-n\0true\0": what stands behind the first NUL. */
static const char *first_argument(char buffer[static 256])
{
        int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, buffer, 254);
        size_t program;

        if (fd >= 0)
                close(fd);
        buffer[n > 0 ? n : 0] = buffer[n > 0 ? n + 1 : 1] = '\0';
        program = strlen(buffer);
        return buffer + program + 1;
}

static int watch(const char *name, char letter, pam_handle_t *pamh, int flags)
{
        phase real = (phase)of_libpam(name);
        struct timespec from, to;
        char line[1024], buffer[256];
        int code, fd, n;

        clock_gettime(CLOCK_MONOTONIC, &from);
        code = real ? real(pamh, flags) : PAM_ABORT;
        clock_gettime(CLOCK_MONOTONIC, &to);
        n = snprintf(line, sizeof(line), "%s\t%s\t%s\t%s\t%c\t%d\t%lld\n", item(pamh, PAM_SERVICE),
                     item(pamh, PAM_USER), item(pamh, PAM_RHOST), first_argument(buffer), letter, code,
                     (to.tv_sec - from.tv_sec) * 1000LL + (to.tv_nsec - from.tv_nsec) / 1000000);
        fd = open(LINES, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (fd >= 0) {
                if (write(fd, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
                        n = 0; /* the test misses the line, and says so */
                close(fd);
        }
        return code;
}

int pam_authenticate(pam_handle_t *pamh, int flags)
{
        return watch("pam_authenticate", 'a', pamh, flags);
}

int pam_acct_mgmt(pam_handle_t *pamh, int flags)
{
        return watch("pam_acct_mgmt", 'c', pamh, flags);
}
