/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "pam_module/broker.h"
#include "pam_module/conversation.h"
#include "pam_module/phases.h"

/*
 * The real uid: passwd(1) runs setuid for people who must know their password. Root sets one without, unless
 * it is a login that has expired: then the person types, though the program is root's.
 */
static bool knows_old(const struct kb_login *login)
{
        return getuid() != 0 || (login->flags & PAM_CHANGE_EXPIRED_AUTHTOK);
}

static uint32_t request(struct kb_login *login, const struct kb_change_password_request *fields)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_change_password);
        struct kb_change_password_reply reply;
        uint32_t verdict;

        kb_change_password_request_put(&call.request, fields);
        verdict = kb_broker_get(login, &call, change_password, &reply);
        if (verdict != KB_E_OK)
                return verdict;
        kb_conversation_tell(login, PAM_TEXT_INFO, reply.message);
        return KB_E_OK;
}

/* libpam keeps the old password for the second pass: there it is taken without a question. */
static uint32_t take_old(struct kb_login *login, struct kb_answer *ret)
{
        return knows_old(login) ? kb_conversation_password(login, PAM_OLDAUTHTOK, NULL, ret) : KB_E_OK;
}

uint32_t kb_phase_preliminary(struct kb_login *login)
{
        _cleanup_answer_ struct kb_answer old = {0};
        uint32_t verdict = take_old(login, &old);

        if (verdict != KB_E_OK)
                return verdict;
        return request(login, &(struct kb_change_password_request){
                                      .user = login->user,
                                      .service = login->service,
                                      .preliminary = true,
                                      .privileged = !knows_old(login),
                                      .old = KB_SPAN(old.bytes, old.size),
                              });
}

uint32_t kb_phase_change(struct kb_login *login)
{
        _cleanup_answer_ struct kb_answer old = {0}, new = {0};
        uint32_t verdict = take_old(login, &old);

        if (verdict == KB_E_OK)
                verdict = kb_conversation_password(login, PAM_AUTHTOK, NULL, &new);
        if (verdict != KB_E_OK)
                return verdict;
        return request(login, &(struct kb_change_password_request){
                                      .user = login->user,
                                      .service = login->service,
                                      .privileged = !knows_old(login),
                                      .old = KB_SPAN(old.bytes, old.size),
                                      .new = KB_SPAN(new.bytes, new.size),
                              });
}
