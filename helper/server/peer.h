/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "common/macro.h"

/* Who is on the other end of a connection, as the kernel says (SO_PEERCRED; SO_PEERPIDFD where there is
 * one). */
struct kb_peer {
        pid_t pid; /* 0: none that this host's processes could name */
        uid_t uid;
        gid_t gid;
        int pidfd; /* negative errno for none: -ENOPROTOOPT before Linux 6.5, else the peer is gone */
};

/* 0, and ret->pidfd has to be closed; or a negative errno. */
int kb_peer_get(int fd, struct kb_peer *ret) _must_check_;
