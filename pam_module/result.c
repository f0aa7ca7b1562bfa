/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/result.h"

#include <security/_pam_types.h>
#include <syslog.h>

#include "common/macro.h"

struct row {
        uint32_t verdict;
        int level;
        const char *word; /* NULL: as common/error.def has it */
        int authenticate, account, preliminary, change;
};

#define ROW(verdict, level, word, authenticate, account, preliminary, change)                               \
        {                                                                                                   \
                verdict, LOG_##level, word, PAM_##authenticate, PAM_##account, PAM_##preliminary,           \
                        PAM_##change                                                                        \
        }
#define WIRE(name, level, ...)      ROW(KB_E_##name, level, NULL, __VA_ARGS__)
#define OWN(name, level, word, ...) ROW(KB_V_##name, level, word, __VA_ARGS__)

/*
 * While somebody is not authenticated yet the code tells little: a wrong password, a disabled account and a
 * name the broker has lost all look the same. NOT_FOUND is a refusal and not "unknown": the name service
 * said that the person is ours, and "unknown" is what a profile ignores.
 */
static const struct row rows[] = {
        /* clang-format off */
        /*                       authenticate      account           preliminary   change */
        WIRE(OK,          DEBUG,   SUCCESS,          SUCCESS,          SUCCESS,      SUCCESS),
        WIRE(UNREACHABLE, ERR,     AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN,    AUTHTOK_ERR),
        WIRE(SEALED,      ERR,     AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN,    AUTHTOK_ERR),
        WIRE(THROTTLED,   NOTICE,  MAXTRIES,         PERM_DENIED,      TRY_AGAIN,    AUTHTOK_ERR),
        WIRE(LOCKED,      NOTICE,  MAXTRIES,         PERM_DENIED,      PERM_DENIED,  PERM_DENIED),
        WIRE(DENIED,      NOTICE,  AUTH_ERR,         PERM_DENIED,      PERM_DENIED,  PERM_DENIED),
        WIRE(NOT_FOUND,   NOTICE,  AUTH_ERR,         PERM_DENIED,      PERM_DENIED,  PERM_DENIED),
        WIRE(BAD_REQUEST, ERR,     SYSTEM_ERR,       SYSTEM_ERR,       SYSTEM_ERR,   AUTHTOK_ERR),
        WIRE(EXPIRED,     NOTICE,  AUTH_ERR,         ACCT_EXPIRED,     PERM_DENIED,  PERM_DENIED),
        WIRE(UNSUPPORTED, ERR,     AUTHINFO_UNAVAIL, SYSTEM_ERR,       PERM_DENIED,  PERM_DENIED),
        WIRE(BUSY,        WARNING, AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN,    AUTHTOK_LOCK_BUSY),
        WIRE(CONFLICT,    NOTICE,  SYSTEM_ERR,       SYSTEM_ERR,       AUTHTOK_ERR,  AUTHTOK_ERR),
        WIRE(NO_RECORD,   ERR,     AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN,    AUTHTOK_ERR),
        WIRE(INTERNAL,    ERR,     SYSTEM_ERR,       SYSTEM_ERR,       SYSTEM_ERR,   AUTHTOK_ERR),
        WIRE(BAD_SECRET,  NOTICE,  AUTH_ERR,         PERM_DENIED,      AUTH_ERR,     AUTH_ERR),
        WIRE(WEAK,        NOTICE,  SYSTEM_ERR,       SYSTEM_ERR,       AUTHTOK_ERR,  AUTHTOK_ERR),
        WIRE(STORAGE,     ERR,     AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN,    AUTHTOK_ERR),

        OWN(FOREIGN,         DEBUG,  "not-ours",
                USER_UNKNOWN, USER_UNKNOWN, USER_UNKNOWN, USER_UNKNOWN),
        OWN(CANNOT_TELL,     ERR,    "cannot-tell",
                AUTHINFO_UNAVAIL, AUTHINFO_UNAVAIL, TRY_AGAIN, AUTHTOK_ERR),
        OWN(NO_NAME,         NOTICE, "no-name",
                SYSTEM_ERR, SYSTEM_ERR, SYSTEM_ERR, SYSTEM_ERR),
        OWN(BAD_ARGUMENT,    ALERT,  "bad-argument",
                SYSTEM_ERR, SYSTEM_ERR, SYSTEM_ERR, SYSTEM_ERR),
        OWN(NO_ANSWER,       NOTICE, "no-answer",
                CONV_ERR, SYSTEM_ERR, AUTHTOK_RECOVERY_ERR, AUTHTOK_ERR),
        OWN(NO_MEMORY,       CRIT,   "no-memory",
                BUF_ERR, BUF_ERR, BUF_ERR, BUF_ERR),
        OWN(CHANGE_PASSWORD, NOTICE, "change-password",
                SYSTEM_ERR, NEW_AUTHTOK_REQD, SYSTEM_ERR, SYSTEM_ERR),
        /* clang-format on */
};

/* What an older module does with the answer of a newer broker: refuse. */
static const struct row unknown =
        ROW(UINT32_MAX, ERR, "unknown", SYSTEM_ERR, SYSTEM_ERR, SYSTEM_ERR, AUTHTOK_ERR);

static const struct row *find(uint32_t verdict)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                if (rows[i].verdict == verdict)
                        return &rows[i];
        return &unknown;
}

int kb_result_pam(enum kb_phase phase, uint32_t verdict)
{
        const struct row *row = find(verdict);

        switch (phase) {
        case KB_PHASE_AUTHENTICATE:
                return row->authenticate;
        case KB_PHASE_ACCOUNT:
                return row->account;
        case KB_PHASE_OPEN_SESSION:
                /* There is a session or there is none; for whom we keep none, that is no failure. */
                return verdict == KB_E_OK || verdict == KB_V_FOREIGN ? PAM_SUCCESS : PAM_SESSION_ERR;
        case KB_PHASE_CLOSE_SESSION:
                /* The broker sees the leader die, whatever became of this call; and an error would reach the
                 * person in spite of "optional", since libpam(3) goes by what opening came to. */
                return PAM_SUCCESS;
        case KB_PHASE_PRELIMINARY:
                return row->preliminary;
        case KB_PHASE_CHANGE:
                return row->change;
        default:
                return PAM_SYSTEM_ERR;
        }
}

int kb_result_level(uint32_t verdict)
{
        return find(verdict)->level;
}

const char *kb_result_word(uint32_t verdict)
{
        const struct row *row = find(verdict);

        return row->word ? row->word : kb_error_word((enum kb_error)verdict);
}

const char *kb_phase_name(enum kb_phase phase)
{
        static const char *const names[] = {
                [KB_PHASE_AUTHENTICATE] = "authenticate",   [KB_PHASE_ACCOUNT] = "account",
                [KB_PHASE_OPEN_SESSION] = "open session",   [KB_PHASE_CLOSE_SESSION] = "close session",
                [KB_PHASE_PRELIMINARY] = "password change", [KB_PHASE_CHANGE] = "password change",
        };

        return (unsigned)phase < KB_PHASE_MAX ? names[phase] : "unknown phase";
}
