/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When a certificate of OpenSSH ends: all that we have to know of one. Its format is PROTOCOL.certkeys of
 * OpenSSH.
 */

#include "common/wire.h"

#define KB_SSH_FOREVER UINT64_MAX

/* A line as in id_ed25519-cert.pub. ret_ends: seconds since the epoch. 0; -EBADMSG. */
int kb_ssh_certificate_ends(struct kb_span line, uint64_t *ret_ends) _must_check_;
