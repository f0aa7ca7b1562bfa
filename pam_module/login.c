/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/login.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include <security/pam_ext.h>

#include "pam_module/conversation.h"
#include "pam_module/journal.h"
#include "pam_module/owner.h"
#include "pam_module/settings.h"

#define FAIL_DELAY_USEC 2000000 /* libpam takes the longest that any module asks for, and varies it */

static const char *item(pam_handle_t *pamh, int which)
{
        const void *value = NULL;

        return pam_get_item(pamh, which, &value) == PAM_SUCCESS && value ? value : "";
}

/* The name. Only authenticate may ask for one: the other phases follow it, or run where nobody is there. */
static uint32_t take_name(struct kb_login *login)
{
        const char *name = NULL;

        login->user = item(login->pamh, PAM_USER);
        if (!login->user[0] && login->phase == KB_PHASE_AUTHENTICATE) {
                if (!kb_conversation_possible(login) ||
                    pam_get_user(login->pamh, &name, NULL) != PAM_SUCCESS)
                        return kb_login_refuse(login, KB_V_NO_ANSWER, "nobody told the name");
                login->user = name ? name : "";
        }
        return login->user[0] ? KB_E_OK : kb_login_refuse(login, KB_V_NO_NAME, "the program named nobody");
}

uint32_t kb_login_begin(struct kb_login *login, enum kb_phase phase, pam_handle_t *pamh, int flags, int argc,
                        const char **argv)
{
        uint32_t verdict;

        *login = (struct kb_login){
                .pamh = pamh,
                .phase = phase,
                .flags = flags,
                .left = kb_pam_settings().usec[phase],
                .args = kb_args_parse(argc, argv),
                .service = item(pamh, PAM_SERVICE),
                .remote_host = item(pamh, PAM_RHOST),
                .remote_user = item(pamh, PAM_RUSER),
                .tty = item(pamh, PAM_TTY),
        };
        verdict = take_name(login);
        if (verdict == KB_E_OK)
                verdict = kb_owner_check(login);
        /* After that check: a slip in our line must not keep root from mending it. */
        if (verdict == KB_E_OK && login->args.unknown)
                verdict = kb_login_refuse(login, KB_V_BAD_ARGUMENT, "unknown argument %s",
                                          login->args.unknown);
        return verdict;
}

uint32_t kb_login_refuse(struct kb_login *login, uint32_t verdict, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(login->reason, sizeof(login->reason), format, ap);
        va_end(ap);
        login->for_person = false;
        return verdict;
}

bool kb_login_may_tell(const struct kb_login *login)
{
        return !(login->flags & PAM_SILENT) && !login->args.quiet;
}

static void write_journal(const struct kb_login *login, uint32_t verdict)
{
        char user[KB_JOURNAL_TEXT], host[KB_JOURNAL_TEXT], reason[KB_JOURNAL_TEXT];
        int level = kb_result_level(verdict);

        if (level == LOG_DEBUG && !login->args.debug)
                return;
        pam_syslog(login->pamh, level, "%s: %s: user=\"%s\" rhost=\"%s\"%s%s", kb_phase_name(login->phase),
                   kb_result_word(verdict), kb_journal_escape(login->user, user),
                   kb_journal_escape(login->remote_host, host), login->reason[0] ? ": " : "",
                   kb_journal_escape(login->reason, reason));
}

/* Before anybody is authenticated the reason is for the journal alone. */
static bool may_explain(const struct kb_login *login)
{
        return login->for_person && login->phase != KB_PHASE_AUTHENTICATE && kb_login_may_tell(login);
}

int kb_login_end(struct kb_login *login, uint32_t verdict)
{
        int code = kb_result_pam(login->phase, verdict);

        write_journal(login, verdict);
        if (code != PAM_SUCCESS && may_explain(login))
                kb_conversation_tell(login, PAM_ERROR_MSG, login->reason);
        if (login->phase == KB_PHASE_AUTHENTICATE && (code == PAM_AUTH_ERR || code == PAM_MAXTRIES) &&
            !login->args.nodelay)
                pam_fail_delay(login->pamh, FAIL_DELAY_USEC);
        return code;
}
