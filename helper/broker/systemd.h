/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What we ask of PID 1: who a unit runs as, and to reload, restart or signal it. Over systemd's own private
 * socket, so that it works while the system bus is away. Everything is asynchronous: PID 1 may be waiting
 * for us at that moment (it starts the unit whose credential we are about to send).
 */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/clock.h"

struct kb_systemd;

struct kb_systemd_options {
        const char
                *address;   /* of systemd's private socket, as for sd_bus_set_address(3); kept, not copied */
        uint64_t call_usec; /* until the bus makes up an answer */
        uint64_t answer_usec; /* until we do, whatever state the connection is in */
        uint64_t job_usec;    /* a job may wait for a slow service's start or reload */
};
#define KB_SYSTEMD_OPTIONS                                                                                  \
        (&(const struct kb_systemd_options){.address = "unix:path=/run/systemd/private",                    \
                                            .call_usec = 25 * KB_USEC_PER_SEC,                              \
                                            .answer_usec = 30 * KB_USEC_PER_SEC,                            \
                                            .job_usec = 180 * KB_USEC_PER_SEC})

/*
 * Connects when there is something to ask, and again after PID 1 hung up (it is re-executed when its package
 * is upgraded). While it does not answer, one attempt is made per 100 ms at first and per 5 s in the end;
 * whoever asks between two is told -EHOSTDOWN at once.
 */
int kb_systemd_new(struct kb_systemd **ret, sd_event *event, const struct kb_systemd_options *options);
void kb_systemd_free(struct kb_systemd *s);
KB_DEFINE_CLEANUP(struct kb_systemd, kb_systemd_free);

/* What PID 1 says of a unit. */
struct kb_unit_facts {
        uid_t uid; /* its processes run as now (DynamicUser= included); root when it has none of its own */
        gid_t gid;
        bool notifies_reload; /* Type=notify-reload: a reload is through when the service itself says so */
};

/*
 * Called once, from the loop or by kb_systemd_free(). r: 0, or a negative errno: -ENOENT (no such unit),
 * -ETIMEDOUT, -EHOSTDOWN (PID 1 hung up), -ECANCELED (by kb_systemd_free()). facts is NULL then.
 */
typedef void (*kb_systemd_facts_done)(int r, const struct kb_unit_facts *facts, void *userdata);
typedef void (*kb_systemd_job_done)(int r, void *userdata);

/* 0, or a negative errno: then done is not called. So with the functions below. */
int kb_systemd_unit_facts(struct kb_systemd *s, const char *unit, kb_systemd_facts_done done,
                          void *userdata);

enum kb_unit_action { KB_UNIT_RELOAD, KB_UNIT_RESTART, KB_UNIT_SIGNAL };

/*
 * Does it, and calls done when the *job* is through: for a unit with Type=notify-reload (systemd 253) that
 * is when the service itself says it is ready again. signal: for KB_UNIT_SIGNAL, sent to the main process.
 * r in done: 0, -ECANCELED or -EIO (the job failed), or as above.
 */
int kb_systemd_unit_do(struct kb_systemd *s, const char *unit, enum kb_unit_action action, int signal,
                       kb_systemd_job_done done, void *userdata);

/*
 * Runs a program with up to two arguments as a unit of its own, outside our sandbox and for 30 s at most,
 * and tells how it ended: r is 0 for exit code 0, -EIO for every other end.
 */
int kb_systemd_run(struct kb_systemd *s, const char *const argv[static 3], kb_systemd_job_done done,
                   void *userdata);
