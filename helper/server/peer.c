/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/peer.h"

#include <errno.h>
#include <sys/socket.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

static int get_pidfd(int fd)
{
        int pidfd = -1;
        socklen_t size = sizeof(pidfd);

#ifdef KB_WITHOUT_PEERPIDFD /* what an older kernel does, forced in a test build */
        return -ENOPROTOOPT;
#endif
        return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0 ? -errno : pidfd;
}

int kb_peer_get(int fd, struct kb_peer *ret)
{
        struct ucred ucred;
        socklen_t size = sizeof(ucred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
                return -errno;
        *ret = (struct kb_peer){
                .pid = ucred.pid, .uid = ucred.uid, .gid = ucred.gid, .pidfd = get_pidfd(fd)};
        return 0;
}
