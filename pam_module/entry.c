/* SPDX-License-Identifier: Apache-2.0 */
/* The six functions that libpam looks for: collect, call, map. */
#include <security/pam_modules.h>

#include "common/macro.h"
#include "pam_module/phases.h"

static uint32_t (*const phases[])(struct kb_login *login) = {
        [KB_PHASE_AUTHENTICATE] = kb_phase_authenticate, [KB_PHASE_ACCOUNT] = kb_phase_account,
        [KB_PHASE_OPEN_SESSION] = kb_phase_open_session, [KB_PHASE_CLOSE_SESSION] = kb_phase_close_session,
        [KB_PHASE_PRELIMINARY] = kb_phase_preliminary,   [KB_PHASE_CHANGE] = kb_phase_change,
};

static int run(enum kb_phase phase, pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        struct kb_login login;
        uint32_t verdict = kb_login_begin(&login, phase, pamh, flags, argc, argv);

        if (verdict == KB_E_OK)
                verdict = phases[phase](&login);
        return kb_login_end(&login, verdict);
}

_export_ int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        return run(KB_PHASE_AUTHENTICATE, pamh, flags, argc, argv);
}

/* We have nothing to establish here: groups come from the name service, credentials with the session. */
_export_ int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        return PAM_SUCCESS;
}

_export_ int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        return run(KB_PHASE_ACCOUNT, pamh, flags, argc, argv);
}

_export_ int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        return run(KB_PHASE_OPEN_SESSION, pamh, flags, argc, argv);
}

_export_ int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        return run(KB_PHASE_CLOSE_SESSION, pamh, flags, argc, argv);
}

_export_ int pam_sm_chauthtok(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        switch (flags & (PAM_PRELIM_CHECK | PAM_UPDATE_AUTHTOK)) {
        case PAM_PRELIM_CHECK:
                return run(KB_PHASE_PRELIMINARY, pamh, flags, argc, argv);
        case PAM_UPDATE_AUTHTOK:
                return run(KB_PHASE_CHANGE, pamh, flags, argc, argv);
        default: /* libpam passes exactly one */
                return PAM_SYSTEM_ERR;
        }
}
