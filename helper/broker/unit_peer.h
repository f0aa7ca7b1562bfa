/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who asks on a credential socket. The peer's name is chosen by the peer, so it proves nothing: what counts
 * is that the socket is root's (0600), that the peer is uid 0, and that the kernel has it in the cgroup of
 * the unit it names. systemd's reader runs in the target unit's cgroup already (systemd 252 to 262), or,
 * when a reload refreshes credentials (RefreshOnReload=, systemd 260), in that of PID 1.
 */

#include <stddef.h>
#include <sys/types.h>

#include "common/names.h"

struct kb_unit_peer {
        pid_t pid;
        char unit[KB_UNIT_NAME_MAX + 1];
        char credential[KB_CREDENTIAL_NAME_MAX + 1];
        char field[KB_CREDENTIAL_NAME_MAX + 1]; /* "" for the whole secret */
};

/*
 * Looks at a connection accepted from a credential socket. 0 when peer and name belong together; -EPERM when
 * they do not, -EINVAL when the name is none of systemd's, or another errno when the kernel would not say.
 * ret->unit is filled in as far as it is *proven*: with -EPERM it is the unit whose cgroup the peer is
 * really in, "" when that is none, so that the refusal shows in the right unit's status. *ret_reason says in
 * a few words what is wrong.
 */
int kb_unit_peer_get(int fd, struct kb_unit_peer *ret, const char **ret_reason);
