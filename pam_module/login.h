/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One call of PAM to the module: what it was called with, how much time the broker may still take, and in
 * the end why it came out as it did. It lives on the stack of one entry point: the module keeps nothing
 * static.
 */

#include <stdbool.h>
#include <stdint.h>

#include <security/pam_modules.h>

#include "common/macro.h"
#include "pam_module/args.h"
#include "pam_module/result.h"

struct kb_login {
        pam_handle_t *pamh;
        enum kb_phase phase;
        int flags;
        struct kb_args args;

        /* PAM's items; never NULL, owned by the handle */
        const char *user;
        const char *service;
        const char *remote_host;
        const char *remote_user;
        const char *tty;

        uint64_t
                left; /* microseconds: the broker's, over all requests; a person's own time does not count */

        char reason[1024];  /* for the journal */
        bool for_person;    /* the reason was written by the broker for the person */
        bool used_password; /* the stack's password was taken once */
};

/*
 * Collects the above and decides whether the person is ours: KB_E_OK when there is work to do, else the
 * verdict to end with. Only authenticate asks for a name that the program did not give.
 */
uint32_t kb_login_begin(struct kb_login *login, enum kb_phase phase, pam_handle_t *pamh, int flags, int argc,
                        const char **argv);

/* Writes the journal's line, shows the reason when it may, asks for the pause. Returns the PAM code. */
int kb_login_end(struct kb_login *login, uint32_t verdict);

/* Says why, for the journal, and returns verdict. */
uint32_t kb_login_refuse(struct kb_login *login, uint32_t verdict, const char *format, ...) _printf_(3, 4);

/* Whether a note for the person may be shown. Prompts are not asked about: they are needed. */
bool kb_login_may_tell(const struct kb_login *login);
