/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Puts an entry into the caller's buffer: everything that the struct points to lies there. 1; -ERANGE when
 * it does not fit, and then nothing was written at all; -EBADMSG for a damaged file. The struct is filled
 * only on success. A buffer may start at any address.
 */

#include "nss_module/module.h"

int kb_pack_passwd(const struct kb_nss_user *user, struct passwd *ret, char *buffer, size_t size)
        _must_check_;
int kb_pack_group(const struct kb_nss_group *group, struct group *ret, char *buffer, size_t size)
        _must_check_;
