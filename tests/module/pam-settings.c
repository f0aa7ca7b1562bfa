/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the module that the tests load: everything lies in $KEYBEARER_TEST_DIR, and patience is short.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "pam_module/settings.h"

static const char *in_test_dir(char *buffer, size_t size, const char *name)
{
        const char *dir = getenv("KEYBEARER_TEST_DIR");

        snprintf(buffer, size, "%s/%s", dir ? dir : "/nonexistent", name);
        return buffer;
}

/* The names are mapped for the life of a process. A test that goes on to another folder begins anew. */
static struct kb_nss *names(void)
{
        static char folder[256];
        static struct kb_nss nss = KB_NSS_INIT(folder);
        char now[256];

        in_test_dir(now, sizeof(now), "nss");
        if (strcmp(now, folder) != 0) {
                nss = (struct kb_nss)KB_NSS_INIT(folder);
                memcpy(folder, now, sizeof(folder));
        }
        return &nss;
}

struct kb_pam_settings kb_pam_settings(void)
{
        static _Thread_local char passwd[256], root_socket[256], auth_socket[256];
        struct kb_pam_settings settings = {
                .passwd = in_test_dir(passwd, sizeof(passwd), "passwd"),
                .nss = names(),
                .root_socket = in_test_dir(root_socket, sizeof(root_socket), "root.sock"),
                .auth_socket = in_test_dir(auth_socket, sizeof(auth_socket), "auth.sock"),
        };

        for (unsigned phase = 0; phase < KB_PHASE_MAX; phase++)
                settings.usec[phase] = 700 * KB_USEC_PER_MSEC;
        return settings;
}
