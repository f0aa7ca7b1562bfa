/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <security/pam_ext.h>

#include "common/names.h"

/* How each thing is asked for; prompt when the broker's is missing or is none that we would show. */
static const struct {
        int style;
        const char *prompt;
} asks[] = {
        [KB_ASK_PASSWORD] = {PAM_PROMPT_ECHO_OFF, "Password: "},
        [KB_ASK_CODE] = {PAM_PROMPT_ECHO_OFF, "Code: "},
        [KB_ASK_TEXT] = {PAM_PROMPT_ECHO_ON, "Answer: "},
        [KB_ASK_ENTER] = {PAM_PROMPT_ECHO_OFF, "Press Enter to go on: "},
};

void kb_answer_done(struct kb_answer *answer)
{
        kb_secret_free(answer->bytes);
        *answer = (struct kb_answer){0};
}

void kb_conversation_tell(struct kb_login *login, int style, const char *text)
{
        if (text[0] && kb_text_valid(text) && kb_login_may_tell(login) && kb_conversation_possible(login))
                (void)pam_prompt(login->pamh, style, NULL, "%s", text);
}

bool kb_conversation_possible(const struct kb_login *login)
{
        const void *item = NULL;
        const struct pam_conv *conv;

        if (pam_get_item(login->pamh, PAM_CONV, &item) != PAM_SUCCESS)
                return false;
        conv = item;
        return conv && conv->conv;
}

/* libpam calls a conversation function without looking whether there is one: we look. */
static uint32_t nobody(struct kb_login *login)
{
        return kb_login_refuse(login, KB_V_NO_ANSWER, "there is nobody to ask");
}

/* An empty password is never one: some stores take it for "no login wanted", and let it pass. */
static uint32_t keep(struct kb_login *login, const char *typed, bool may_be_empty, struct kb_answer *ret)
{
        size_t size = strnlen(typed, KB_ANSWER_MAX + 1);
        uint8_t *bytes;

        if (size > KB_ANSWER_MAX)
                return kb_login_refuse(login, KB_E_BAD_SECRET, "an answer of more than %d bytes",
                                       KB_ANSWER_MAX);
        if (size == 0 && !may_be_empty)
                return kb_login_refuse(login, KB_E_BAD_SECRET, "an empty answer");
        bytes = kb_secret_dup(KB_SPAN(typed, size));
        if (!bytes)
                return KB_V_NO_MEMORY;
        *ret = (struct kb_answer){.bytes = bytes, .size = size};
        return KB_E_OK;
}

uint32_t kb_conversation_password(struct kb_login *login, int item, const char *prompt,
                                  struct kb_answer *ret)
{
        const void *stacked = NULL;
        const char *typed = NULL;

        if (pam_get_item(login->pamh, item, &stacked) != PAM_SUCCESS)
                return KB_V_NO_MEMORY;
        if (!stacked && !kb_conversation_possible(login))
                return nobody(login);
        if (pam_get_authtok(login->pamh, item, &typed, prompt) != PAM_SUCCESS || !typed)
                return kb_login_refuse(login, KB_V_NO_ANSWER, "no password was given");
        return keep(login, typed, false, ret);
}

static uint32_t take(struct kb_login *login, enum kb_ask ask, const char *typed, struct kb_answer *ret)
{
        if (ask != KB_ASK_ENTER)
                return keep(login, typed, ask == KB_ASK_TEXT, ret);
        *ret = (struct kb_answer){0}; /* what was typed before it is nobody's business */
        return KB_E_OK;
}

/* A conversation that fails may leave text all the same: it is wiped either way, whatever its length. */
static uint32_t converse(struct kb_login *login, enum kb_ask ask, const char *text, struct kb_answer *ret)
{
        uint32_t verdict;
        char *typed = NULL;
        int code;

        if (!kb_conversation_possible(login))
                return nobody(login);
        code = pam_prompt(login->pamh, asks[ask].style, &typed, "%s", text);
        verdict = code == PAM_SUCCESS && typed
                          ? take(login, ask, typed, ret)
                          : kb_login_refuse(login, KB_V_NO_ANSWER, "no answer was given");
        if (typed)
                kb_wipe(typed, strlen(typed));
        free(typed);
        return verdict;
}

uint32_t kb_conversation_ask(struct kb_login *login, enum kb_ask ask, const char *prompt, const char *note,
                             struct kb_answer *ret)
{
        char text[2100];

        if ((size_t)ask >= KB_ARRAY_SIZE(asks) || !asks[ask].prompt)
                return kb_login_refuse(login, KB_E_INTERNAL, "the broker asked for something unknown");
        if (!prompt[0] || !kb_text_valid(prompt))
                prompt = asks[ask].prompt;
        if (!kb_text_valid(note))
                note = "";
        snprintf(text, sizeof(text), "%s%s%s", note, note[0] ? "\n" : "", prompt);
        if (ask == KB_ASK_PASSWORD && !login->used_password) {
                login->used_password = true;
                return kb_conversation_password(login, PAM_AUTHTOK, text, ret);
        }
        return converse(login, ask, text, ret);
}
