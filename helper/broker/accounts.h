/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tells when this host's own accounts change: somebody added a user or a group, by hand or by installing a
 * package. What the host's files know is not ours, from that moment on.
 */

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/macro.h"

struct kb_accounts;

/* folder: where passwd and group lie. changed is called a second after a change, once for all until then. */
int kb_accounts_new(struct kb_accounts **ret, sd_event *event, const char *folder,
                    void (*changed)(void *userdata), void *userdata) _must_check_;
void kb_accounts_free(struct kb_accounts *a);
KB_DEFINE_CLEANUP(struct kb_accounts, kb_accounts_free);
