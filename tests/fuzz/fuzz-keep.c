/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker has kept for a store's login, as it comes back at a greeting. Whatever it is, the login
 * goes on with something that it would have kept itself: kept and restored once more, it is the same.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "helper/store/vault/login.h"

/* Nothing is asked before the loop runs, and that it never does: so there need be no cluster. */
static struct kb_login *restored(sd_event *event, struct kb_span keep)
{
        const struct kb_login_settings settings = {
                .method = KB_LOGIN_APPROLE,
                .role_id_file = "/nowhere/role-id",
                .secret_id_file = "/nowhere/secret-id",
        };
        struct kb_login *login = NULL;

        FUZZ_ASSERT(kb_login_new(&login, event, NULL, &settings, NULL, NULL) == 0);
        kb_login_restore(login, keep);
        return login;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_writer_ struct kb_writer first = kb_writer_init(KB_LOGIN_KEEP_MAX),
                                          second = kb_writer_init(KB_LOGIN_KEEP_MAX);
        static sd_event *event;
        struct kb_login *login;

        if (!event)
                FUZZ_ASSERT(sd_event_new(&event) == 0);
        login = restored(event, KB_SPAN(data, size));
        FUZZ_ASSERT(kb_login_problem(login)->error != KB_E_OK && kb_login_token(login).size == 0);
        kb_login_keep(login, &first);
        kb_login_free(login);
        FUZZ_ASSERT(kb_writer_end(&first) == 0);
        login = restored(event, KB_SPAN(first.data, first.size));
        kb_login_keep(login, &second);
        kb_login_free(login);
        FUZZ_ASSERT(kb_writer_end(&second) == 0 && first.size == second.size);
        FUZZ_ASSERT(memcmp(first.data, second.data, first.size) == 0);
        return 0;
}
