/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where the module looks, and how long it waits. A function in a file of its own, so that the module the
 * tests load can be linked with another one: nothing in the shipped module can be turned elsewhere.
 */

#include "directory/nss_reader.h"
#include "pam_module/result.h"

struct kb_pam_settings {
        const char *passwd;          /* /etc/passwd */
        struct kb_nss *nss;          /* our people; mapped once per process */
        const char *root_socket;     /* for processes of root */
        const char *auth_socket;     /* for everybody else */
        uint64_t usec[KB_PHASE_MAX]; /* what the broker may take in one phase, over all its requests */
};

struct kb_pam_settings kb_pam_settings(void);
