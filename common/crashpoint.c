/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crashpoint.h"

#ifdef KB_ENABLE_CRASHPOINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define NAME_MAX_ 63

void kb_crashpoint(const char *name)
{
        static unsigned passes;
        const char *path = secure_getenv("KEYBEARER_CRASHPOINT_FILE");
        _cleanup_fclose_ FILE *f = NULL;
        char wanted[NAME_MAX_ + 1] = "";
        unsigned at = 1;

        if (!path)
                return;
        f = fopen(path, "re");
        if (!f || fscanf(f, "%63[a-z_-]:%u", wanted, &at) < 1 || strcmp(wanted, name) != 0)
                return;
        if (++passes < at)
                return;
        if (unlink(path) == 0)
                kill(getpid(), SIGKILL);
}

void kb_crashpoint_of(const char *what, const char *name)
{
        char full[NAME_MAX_ + 1];

        snprintf(full, sizeof(full), "%s-%s", what, name);
        kb_crashpoint(full);
}

#endif
