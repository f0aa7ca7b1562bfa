/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What every daemon of ours does around its own work: harden itself, take its sockets from systemd, say
 * READY, feed the watchdog, leave in order, and write its own troubles to stderr (which is the journal).
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

/*
 * No core files, not dumpable, nothing swapped (where LimitMEMLOCK=infinity and the kernel let us; a
 * container often does not), umask 0077, SIGPIPE ignored. Called first, before the first byte from outside.
 */
void kb_process_harden(void);

/*
 * The descriptor that systemd passed under this FileDescriptorName=, or -ENOENT. Each can be taken once.
 * Works without systemd too: a test sets LISTEN_FDS and LISTEN_FDNAMES as sd_listen_fds(3) wants them.
 */
int kb_process_take_fd(const char *name);

/* One line for the journal: level is one of LOG_ERR ... LOG_DEBUG of syslog(3). Never a secret. */
void kb_process_log(int level, const char *format, ...) _printf_(2, 3);

/*
 * Runs the loop until SIGTERM or SIGINT, and then until `idle` says that nothing is left to do, 10 s at
 * most. reload is called on SIGHUP between RELOADING=1 and READY=1. Both may be NULL. 0, or a negative
 * errno.
 */
struct kb_process_hooks {
        void (*stop)(void *userdata);   /* SIGTERM came: take no more work */
        bool (*idle)(void *userdata);   /* nothing is left to do */
        void (*reload)(void *userdata); /* SIGHUP came */
        void *userdata;
};
int kb_process_run(sd_event *event, const struct kb_process_hooks *hooks);
