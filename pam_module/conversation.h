/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Talking to the person through the program's conversation function, which is foreign code: it may be
 * missing, fail, answer nothing or far too much. Whatever it gives is wiped before it is freed.
 */

#include "common/protocol.h"
#include "pam_module/login.h"

#define KB_ANSWER_MAX 4096

/* What a person typed, in memory that is wiped. */
struct kb_answer {
        uint8_t *bytes;
        size_t size;
};

void kb_answer_done(struct kb_answer *answer);
#define _cleanup_answer_ _cleanup_(kb_answer_done)

/* style: PAM_TEXT_INFO or PAM_ERROR_MSG. Shows text when kb_login_may_tell(), and does not mind if that
 * fails. */
void kb_conversation_tell(struct kb_login *login, int style, const char *text);

/*
 * Asks for one thing. The note goes into the prompt, because OpenSSH keeps messages back until the next
 * prompt or loses them. The first password is the stack's when it has one (pam_get_authtok(3)), later ones
 * are asked for. Returns KB_E_OK, or why there is no answer: KB_V_NO_ANSWER, KB_V_NO_MEMORY, KB_E_BAD_SECRET
 * for one that is empty where that cannot be right, or longer than KB_ANSWER_MAX.
 */
uint32_t kb_conversation_ask(struct kb_login *login, enum kb_ask ask, const char *prompt, const char *note,
                             struct kb_answer *ret);

/* A password of PAM's stack: item is PAM_AUTHTOK or PAM_OLDAUTHTOK; prompt may be NULL. Returns as above. */
uint32_t kb_conversation_password(struct kb_login *login, int item, const char *prompt,
                                  struct kb_answer *ret);

/* Whether there is a conversation function at all. */
bool kb_conversation_possible(const struct kb_login *login);
