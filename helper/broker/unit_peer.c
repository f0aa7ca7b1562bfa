/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/unit_peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "helper/broker/cgroup.h"
#include "helper/grant/peername.h"
#include "helper/server/peer.h"

/* A pidfd becomes readable when its process has ended. */
static bool has_ended(int pidfd)
{
        struct pollfd p = {.fd = pidfd, .events = POLLIN};

        return pidfd >= 0 && poll(&p, 1, 0) != 0;
}

/* The unit whose cgroup the peer is in, "" for none. */
static int unit_of_cgroup(pid_t pid, int pidfd, char ret[static KB_UNIT_NAME_MAX + 1])
{
        char unit[KB_UNIT_NAME_MAX + 1] = "";
        int r = kb_cgroup_unit(pid, unit);

        if (has_ended(pidfd))
                return -ESRCH; /* what we read may be another process's by now */
        if (r >= 0)
                memcpy(ret, unit, sizeof(unit));
        return r;
}

static int read_name(int fd, struct kb_peername *ret)
{
        struct sockaddr_un address = {0};
        socklen_t size = sizeof(address);
        size_t skip = offsetof(struct sockaddr_un, sun_path);

        if (getpeername(fd, (struct sockaddr *)&address, &size) < 0)
                return -errno;
        if (address.sun_family != AF_UNIX || size < skip || size > sizeof(address))
                return -EINVAL;
        return kb_peername_parse(KB_SPAN(address.sun_path, size - skip), ret);
}

/*
 * A start is asked for from inside the unit's cgroup. With RefreshOnReload=credentials (systemd 260) a
 * reload is asked for by a child of PID 1 that is still in PID 1's own, where nobody else is: only root
 * could go there, as it can go into any unit's.
 */
static bool may_ask_for(const struct kb_unit_peer *peer, int pidfd, const char *unit)
{
        if (strcmp(unit, peer->unit) == 0)
                return true;
        return !peer->unit[0] && kb_cgroup_is_of_init(peer->pid) && !has_ended(pidfd);
}

int kb_unit_peer_get(int fd, struct kb_unit_peer *ret, const char **ret_reason)
{
        struct kb_unit_peer peer = {0};
        _cleanup_close_ int pidfd = -1;
        struct kb_peername name;
        struct kb_peer who;
        int r = kb_peer_get(fd, &who);

        if (r < 0)
                return r;
        pidfd = who.pidfd;
        /* Before Linux 6.5 the pid could have been used again, by root only. */
        if (who.pid <= 0 || (pidfd < 0 && pidfd != -ENOPROTOOPT)) {
                *ret_reason = "the peer is gone, or not of this host";
                return -ESRCH;
        }
        peer.pid = who.pid;
        r = unit_of_cgroup(who.pid, pidfd, peer.unit);
        *ret = peer;
        if (r < 0) {
                *ret_reason = "the peer's cgroup cannot be told";
                return r;
        }
        if (who.uid != 0) {
                *ret_reason = "the peer is not root";
                return -EPERM;
        }
        r = read_name(fd, &name);
        if (r < 0) {
                *ret_reason = "the peer's name is not one of systemd's";
                return -EINVAL;
        }
        if (!may_ask_for(&peer, pidfd, name.unit)) {
                *ret_reason = "the peer names a unit whose cgroup it is not in";
                return -EPERM;
        }
        memcpy(ret->unit, name.unit, sizeof(ret->unit));
        memcpy(ret->credential, name.credential, sizeof(ret->credential));
        memcpy(ret->field, name.field, sizeof(ret->field));
        return 0;
}
