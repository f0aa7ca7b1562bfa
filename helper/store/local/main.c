/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer-store-local: the embedded store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "helper/server/process.h"
#include "helper/store/local/service.h"
#include "helper/store/store.h"

static int start(sd_event *event, void *userdata, void **ret_context)
{
        const char *folder = secure_getenv("STATE_DIRECTORY");
        struct kb_service *s;
        int r;

        if (!folder || folder[0] != '/') {
                kb_process_log(LOG_ERR, "STATE_DIRECTORY is not set: start the unit instead");
                return -EINVAL;
        }
        r = kb_service_new(&s, event, folder, secure_getenv("CREDENTIALS_DIRECTORY"));
        if (r >= 0)
                *ret_context = s;
        return r;
}

static bool idle(void *context)
{
        const struct kb_service *s = context;

        return kb_pool_pending(s->pool) == 0;
}

static void describe(void *context, char *ret, size_t size)
{
        const struct kb_service *s = context;

        snprintf(ret, size, "the local store is %s", kb_local_state_word(s->local->state));
}

static void end(void *context)
{
        kb_service_free(context);
}

int main(void)
{
        const struct kb_store_backend backend = {
                .kind = "local",
                .table = kb_local_dispatch,
                .n_table = kb_local_dispatch_size,
                .start = start,
                .idle = idle,
                .describe = describe,
                .end = end,
        };

        return kb_store_main(&backend);
}
