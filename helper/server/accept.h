/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A listening socket on an event loop: for every socket a program of ours serves. While descriptors or
 * memory are out, the connection stays in the kernel's queue and would wake the loop without end: then it
 * rests for a tenth of a second.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/macro.h"

struct kb_accept;

/* fd: a connection, not blocking, closed on exec; belongs to whoever is called. */
typedef void (*kb_accepted)(int fd, void *userdata);

/* Owns the listening socket from now on, but not after a failure: 0 or a negative errno. */
int kb_accept_new(struct kb_accept **ret, sd_event *event, int listening, int64_t priority,
                  kb_accepted accepted, void *userdata) _must_check_;
void kb_accept_free(struct kb_accept *a);
KB_DEFINE_CLEANUP(struct kb_accept, kb_accept_free);

/* Whether more are wanted; what comes while they are not waits in the kernel's queue. At first they are. */
void kb_accept_set(struct kb_accept *a, bool wanted);
