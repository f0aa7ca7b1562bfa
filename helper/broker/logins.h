/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * People at the door: what the handlers of login_*.c share. Counters of failures and recovery codes lie in
 * /var/lib/keybearer/keep and outlive us; attempts under way do not.
 */

#include "directory/document.h"
#include "helper/broker/attempts.h"
#include "helper/broker/broker.h"
#include "helper/broker/disk.h"
#include "helper/broker/lockout.h"
#include "helper/broker/recovery.h"
#include "helper/broker/throttle.h"

struct kb_logins {
        struct kb_attempts *attempts;
        struct kb_lockout *lockout;
        struct kb_throttle *throttle; /* of callers on auth.sock */
        sd_event_source *throttled;   /* NULL; else due when those it refused are written down */
        struct kb_recovery recovery;
        bool codes_busy; /* a change of the codes is on its way to the disk: one at a time */
        struct kb_disk *disk;
        char *keep;
};

/*
 * keep: the folder, KB_LOGINS_KEEP. A file there that makes no sense is said, and counts as empty. The disk
 * is not ours; it has to be drained while we are there.
 */
#define KB_LOGINS_KEEP KB_STATEDIR "/keep"
int kb_logins_new(struct kb_logins **ret, struct kb_disk *disk, const char *keep);
void kb_logins_free(struct kb_logins *l);
KB_DEFINE_CLEANUP(struct kb_logins, kb_logins_free);

/*
 * Writes the codes down. They count only once done is called with 0: who is let in by a code, or is shown
 * new ones, waits for that. codes_busy is true until done sets it back; with an error done puts back the
 * codes from before.
 */
void kb_logins_save_recovery(struct kb_logins *l, kb_disk_done done, void *userdata);

/*
 * Those count again. They are written once more, until the disk takes it: what failed may have been no more
 * than the last step, and the next start would find codes that nobody has.
 */
void kb_logins_put_back_recovery(struct kb_logins *l, const struct kb_recovery *before);

/* Writes the counters down. Nobody waits for a counter that is set back. */
void kb_logins_save_lockout(struct kb_logins *l);

/*
 * The answer to a guess that was wrong and has been counted: given once the counter is on disk, or cannot be
 * for now. Who hears "wrong" has used up a guess, also when we die at that moment; who hears nothing has
 * learned nothing.
 */
void kb_login_refuse_guess(struct kb_logins *l, struct kb_request *request, const char *text);

/*
 * The person a request is about. NULL when the request was refused already, without a record: nobody of that
 * name is in the directory, the caller on auth.sock is somebody else, or asks too often. So nothing that
 * writes a record comes before it, and it is called once in a request.
 */
const struct kb_person *kb_login_person(struct kb_broker *broker, struct kb_request *request,
                                        const char *user);

/* Writes down who was refused for asking too often, one record for each: once a minute, and at the end. */
void kb_login_note_throttled(struct kb_broker *broker);

/*
 * What a caller says of where a person comes from. Only root's programs know; on auth.sock it is "", since
 * everybody could write into the log what they like. What is said there comes with the caller's uid, which
 * the kernel knows: kb_login_uid(), "" on root.sock.
 */
const char *kb_login_claim(const struct kb_request *request, const char *text);
void kb_login_uid(const struct kb_request *request, char ret[static 16]);

/* The login under way that this caller began, NULL when there is none. */
struct kb_attempt *kb_login_attempt(struct kb_broker *broker, const struct kb_request *request,
                                    const char *handle);

/* What failures count for. self: on auth.sock, where the caller's words do not make a new counter. */
struct kb_lockout_key kb_login_key(bool self, const char *remote_host, const char *user,
                                   const char *service);

/* Where this person's secret is checked: the store's name, and the method, "" for its own. */
void kb_login_store(const struct kb_broker *broker, const struct kb_person *person,
                    char ret_store[static KB_CREDENTIAL_NAME_MAX + 1], const char **ret_method);

struct kb_lockout_policy kb_login_policy(const struct kb_broker *broker);

/* An event that permits: done is called when it is on disk, or cannot be. See kb_login_released(). */
void kb_login_record(struct kb_broker *broker, const struct kb_event *event, kb_log_done done,
                     void *userdata);

/* In done: whether what the event permits may happen; if not, the request was refused. */
bool kb_login_released(struct kb_broker *broker, struct kb_request *request, int r);

struct kb_session;

/* For kb_sessions_new(), with the broker as userdata: writes it down, and looks who still holds what. */
void kb_login_session_ended(const struct kb_session *session, const char *why, void *broker);
