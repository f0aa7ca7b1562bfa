/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "pam_module/broker.h"
#include "pam_module/conversation.h"
#include "pam_module/phases.h"
#include "pam_module/state.h"

#define ROUNDS_MAX                                                                                          \
        10 /* more than any login needs; a broker that never ends is no reason to ask for ever              \
            */

/* The replies to authenticate and proceed say the same; proceed's type serves for both. */
struct step {
        struct kb_call call; /* owns what reply points to */
        struct kb_proceed_reply reply;
};

static void step_done(struct step *step)
{
        kb_call_done(&step->call);
}
#define _cleanup_step_ _cleanup_(step_done)

static uint32_t begin(struct kb_login *login, struct step *step)
{
        struct kb_authenticate_reply first;
        uint32_t verdict;

        step->call = kb_call_init(KB_VERB_authenticate);
        kb_authenticate_request_put(&step->call.request, &(struct kb_authenticate_request){
                                                                 .user = login->user,
                                                                 .service = login->service,
                                                                 .remote_host = login->remote_host,
                                                                 .remote_user = login->remote_user,
                                                                 .tty = login->tty,
                                                         });
        verdict = kb_broker_get(login, &step->call, authenticate, &first);
        if (verdict != KB_E_OK)
                return verdict;
        step->reply = (struct kb_proceed_reply){
                .granted = first.granted,
                .session = first.session,
                .ask = first.ask,
                .prompt = first.prompt,
                .message = first.message,
        };
        return KB_E_OK;
}

/* Answers one question: *step is the reply that asks, and becomes the next one. */
static uint32_t proceed(struct kb_login *login, struct step *step)
{
        _cleanup_answer_ struct kb_answer answer = {0};
        _cleanup_step_ struct step next = {.call = kb_call_init(KB_VERB_proceed)};
        uint32_t verdict;

        verdict = kb_conversation_ask(login, (enum kb_ask)step->reply.ask, step->reply.prompt,
                                      step->reply.message, &answer);
        if (verdict != KB_E_OK)
                return verdict;
        kb_proceed_request_put(&next.call.request, &(struct kb_proceed_request){
                                                           .session = step->reply.session,
                                                           .answer = KB_SPAN(answer.bytes, answer.size),
                                                   });
        verdict = kb_broker_get(login, &next.call, proceed, &next.reply);
        if (verdict != KB_E_OK)
                return verdict;
        step_done(step);
        *step = next;
        next = (struct step){0};
        return KB_E_OK;
}

static uint32_t finish(struct kb_login *login, const struct step *step)
{
        switch (kb_state_set_login(login, step->reply.session)) {
        case 0:
                break;
        case -EBADMSG:
                return kb_broker_garbled(login);
        default:
                return KB_V_NO_MEMORY;
        }
        kb_conversation_tell(login, PAM_TEXT_INFO, step->reply.message);
        return KB_E_OK;
}

uint32_t kb_phase_authenticate(struct kb_login *login)
{
        _cleanup_step_ struct step step = {0};
        uint32_t verdict;

        kb_state_forget_login(login); /* of an attempt before this one */
        verdict = begin(login, &step);
        for (unsigned round = 0; verdict == KB_E_OK && !step.reply.granted; round++) {
                if (round == ROUNDS_MAX)
                        return kb_login_refuse(login, KB_E_INTERNAL, "the broker asks without end");
                verdict = proceed(login, &step);
        }
        return verdict == KB_E_OK ? finish(login, &step) : verdict;
}
