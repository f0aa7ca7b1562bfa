/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "pam_module/broker.h"
#include "pam_module/phases.h"
#include "pam_module/state.h"

/* Keeps what the reply says. The broker counts the session by its leader's life too, should this fail. */
static uint32_t keep(struct kb_login *login, const struct kb_open_session_reply *reply)
{
        int r = kb_state_set_session(login, reply->handle);

        if (r == 0)
                r = kb_state_set_credentials(login, reply->credentials);
        if (r == -EBADMSG)
                return kb_broker_garbled(login);
        return r < 0 ? KB_V_NO_MEMORY : KB_E_OK;
}

uint32_t kb_phase_open_session(struct kb_login *login)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_open_session);
        struct kb_open_session_reply reply;
        uint32_t verdict;

        kb_open_session_request_put(&call.request, &(struct kb_open_session_request){
                                                           .user = login->user,
                                                           .service = login->service,
                                                           .remote_host = login->remote_host,
                                                           .tty = login->tty,
                                                           .session = kb_state_login(login),
                                                   });
        kb_state_forget_login(login); /* it has served: it is not for the person's environment */
        verdict = kb_broker_get(login, &call, open_session, &reply);
        return verdict == KB_E_OK ? keep(login, &reply) : verdict;
}

uint32_t kb_phase_close_session(struct kb_login *login)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_close_session);
        struct kb_close_session_reply reply;
        const char *handle = kb_state_session(login);

        if (!handle[0]) /* opening failed, or somebody else opened it */
                return KB_E_OK;
        kb_close_session_request_put(&call.request, &(struct kb_close_session_request){
                                                            .user = login->user,
                                                            .handle = handle,
                                                    });
        return kb_broker_get(login, &call, close_session, &reply);
}
