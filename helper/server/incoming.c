/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/incoming.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Once the size is known: memory for the whole frame. */
static int prepare(struct kb_incoming *in, size_t max)
{
        ssize_t size = kb_frame_size(KB_SPAN(in->head, sizeof(in->head)), max);

        if (size < 0)
                return (int)size;
        in->frame = kb_secret_alloc((size_t)size);
        if (!in->frame)
                return -ENOMEM;
        memcpy(in->frame, in->head, sizeof(in->head));
        in->size = (size_t)size;
        return 0;
}

int kb_incoming_receive(struct kb_incoming *in, int fd, size_t max)
{
        for (;;) {
                size_t want = in->frame ? in->size : sizeof(in->head);
                uint8_t *to = in->frame ? in->frame : in->head;
                ssize_t n;

                if (in->have == want) {
                        int r;

                        if (in->frame)
                                return 1;
                        r = prepare(in, max);
                        if (r < 0)
                                return r;
                        continue;
                }
                n = recv(fd, to + in->have, want - in->have, MSG_DONTWAIT);
                if (n == 0)
                        return -ECONNRESET;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                in->have += (size_t)n;
        }
}

void kb_incoming_done(struct kb_incoming *in)
{
        kb_secret_free(in->frame);
        *in = (struct kb_incoming){0};
}
