/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The sessions of people on this host, from open_session to close_session. A session whose leader (the
 * process that opened it: sshd's, login's) dies without closing it is found by its pidfd and counted out.
 *
 * Each is a file in a folder that lives as long as the host is up, so that sessions outlive us: after a
 * restart of ours kb_sessions_restore() takes them up again. A leader is known by its pid and by when it
 * began, so that nobody who got its pid since then passes for it.
 */

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/macro.h"
#include "common/names.h"
#include "helper/broker/handle.h"

#define KB_SESSIONS_MAX        1024 /* as many as one session_list shows */
#define KB_SESSIONS_PER_PERSON 128  /* of them: nobody takes the place of everybody else */

#define KB_SESSIONS_DIR KB_RUNDIR "/sessions"

struct kb_sessions;

struct kb_session {
        char handle[KB_HANDLE_SIZE];
        char user[KB_USER_NAME_MAX + 1];
        char service[65];
        char remote_host[257];
        pid_t leader;
        uint64_t leader_began; /* as /proc/PID/stat has it; not the caller's to set */
        uint64_t opened;       /* CLOCK_REALTIME */

        /* inside */
        struct kb_sessions *owner;
        sd_event_source *watch; /* on the leader's pidfd, which it owns */
};

/* Why a session ended. It is out of the table already, and gone after the call. */
typedef void (*kb_session_ended)(const struct kb_session *session, const char *why, void *userdata);

/* dir: KB_SESSIONS_DIR, or a test's own; made when it is not there. 0 or a negative errno. */
int kb_sessions_new(struct kb_sessions **ret, sd_event *event, const char *dir, kb_session_ended ended,
                    void *userdata) _must_check_;
void kb_sessions_free(struct kb_sessions *s);
KB_DEFINE_CLEANUP(struct kb_sessions, kb_sessions_free);

/*
 * Takes up the sessions of the process before us, and tells of each whose leader has gone meanwhile. Once,
 * at the start. A file that makes no sense is removed, and said; one that cannot be taken up for another
 * reason is kept for the next start, and said. 0 or a negative errno.
 */
int kb_sessions_restore(struct kb_sessions *s) _must_check_;

/*
 * Counts a session in: copies what `is` says and makes a handle. pidfd: of the leader, or why there is none,
 * as struct kb_peer has it: -ENOPROTOOPT, and it is found by its pid; else it is gone. Stays the caller's.
 * 0; -EBUSY when there are too many, -EUSERS when this person has too many of them; -ESRCH when the leader
 * is gone; -ENOMEM, or why its file cannot be written.
 */
int kb_session_open(struct kb_sessions *s, const struct kb_session *is, int pidfd,
                    const struct kb_session **ret) _must_check_;

/* NULL when there is none. */
struct kb_session *kb_session_find(const struct kb_sessions *s, const char *handle);
void kb_session_end(struct kb_session *session, const char *why);

/* One session of this person, NULL when there is none. */
const struct kb_session *kb_session_of(const struct kb_sessions *s, const char *user);

void kb_sessions_each(const struct kb_sessions *s,
                      void (*each)(const struct kb_session *session, void *userdata), void *userdata);
