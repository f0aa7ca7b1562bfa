/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/settings.h"

#include "common/client.h"

/*
 * The short phases ask only for what the broker knows by itself; where a password is checked a store is
 * asked, which may be far away and hash slowly.
 */
struct kb_pam_settings kb_pam_settings(void)
{
        static struct kb_nss nss = KB_NSS_INIT(KB_NSS_FOLDER);

        return (struct kb_pam_settings){
                .passwd = "/etc/passwd",
                .nss = &nss,
                .root_socket = KB_ROOT_SOCKET,
                .auth_socket = KB_AUTH_SOCKET,
                .usec =
                        {
                                [KB_PHASE_AUTHENTICATE] = 15 * KB_USEC_PER_SEC,
                                [KB_PHASE_ACCOUNT] = 5 * KB_USEC_PER_SEC,
                                [KB_PHASE_OPEN_SESSION] = 5 * KB_USEC_PER_SEC,
                                [KB_PHASE_CLOSE_SESSION] = 5 * KB_USEC_PER_SEC,
                                [KB_PHASE_PRELIMINARY] = 15 * KB_USEC_PER_SEC,
                                [KB_PHASE_CHANGE] = 15 * KB_USEC_PER_SEC,
                        },
        };
}
