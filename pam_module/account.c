/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "pam_module/broker.h"
#include "pam_module/conversation.h"
#include "pam_module/phases.h"
#include "pam_module/state.h"

/*
 * Whether anybody could choose a new password now. Where that cannot be, "first change your password" would
 * be a refusal that nobody can mend: a job of cron would stop running, a person's services would not start
 * at boot.
 */
static bool somebody_is_there(const struct kb_login *login)
{
        static const char *const unattended[] = {"atd", "cron", "crond", "systemd-user"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(unattended); i++)
                if (strcmp(login->service, unattended[i]) == 0)
                        return false;
        return kb_conversation_possible(login);
}

uint32_t kb_phase_account(struct kb_login *login)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_account);
        struct kb_account_reply reply;
        uint32_t verdict;

        kb_account_request_put(&call.request, &(struct kb_account_request){
                                                      .user = login->user,
                                                      .service = login->service,
                                                      .remote_host = login->remote_host,
                                                      .remote_user = login->remote_user,
                                                      .tty = login->tty,
                                                      .session = kb_state_login(login),
                                              });
        verdict = kb_broker_get(login, &call, account, &reply);
        if (verdict != KB_E_OK)
                return verdict;
        if (!somebody_is_there(login))
                return KB_E_OK;
        kb_conversation_tell(login, PAM_TEXT_INFO, reply.message);
        return reply.change_password ? KB_V_CHANGE_PASSWORD : KB_E_OK;
}
