/* SPDX-License-Identifier: Apache-2.0 */
/* open_session, close_session, and what the administrator sees of sessions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/crashpoint.h"
#include "helper/broker/logins.h"
#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/stores.h"
#include "helper/broker/user_grants.h"
#include "helper/broker/verbs.h"

static struct kb_event event_of(const struct kb_session *session, uint32_t id)
{
        return (struct kb_event){
                .id = id,
                .user = session->user,
                .service = session->service,
                .remote_host = session->remote_host,
                .pid = (uint64_t)session->leader,
        };
}

/* Their store, which may hold their token, hears at once that they have gone. */
static void tell_store(struct kb_broker *broker, const char *user)
{
        const struct kb_directory *directory = kb_publisher_directory(broker->publisher);
        const struct kb_person *person = directory ? kb_directory_person(directory, user) : NULL;
        char store[KB_CREDENTIAL_NAME_MAX + 1];
        const char *method;

        if (!person || !broker->stores)
                return;
        kb_login_store(broker, person, store, &method);
        kb_stores_greet(broker->stores, store);
}

void kb_login_session_ended(const struct kb_session *session, const char *why, void *userdata)
{
        struct kb_broker *broker = userdata;
        struct kb_event event = event_of(session, KB_EVENT_SESSION_CLOSED);

        event.detail = why;
        kb_broker_note(broker, event);
        kb_user_grants_check(broker->user_grants, session->user);
        if (!kb_session_of(broker->sessions, session->user))
                tell_store(broker, session->user);
}

/* --- in --- */

/* A session that was counted in, while it is written down and its credentials are fetched. */
struct opening {
        struct kb_broker *broker;
        struct kb_request *request;
        char handle[KB_HANDLE_SIZE];
};

static void on_credentials(const char *folder, void *userdata)
{
        _cleanup_free_ struct opening *o = userdata;

        kb_crashpoint("session-ready");
        kb_request_reply(o->request, open_session, .handle = o->handle, .credentials = folder);
}

/* Answered once the person's credentials are there, or as far as they come. */
static void give_credentials(struct opening *o, const struct kb_session *session)
{
        const struct kb_directory *directory = kb_publisher_directory(o->broker->publisher);
        const struct kb_person *person = directory ? kb_directory_person(directory, session->user) : NULL;

        if (person)
                kb_user_grants_ask(o->broker->user_grants, person, session->service,
                                   kb_request_id(o->request), on_credentials, o);
        else /* removed meanwhile */
                on_credentials("", o);
}

/* The leader may have died meanwhile, and the session with it. */
static void on_recorded(int r, uint64_t sequence, void *userdata)
{
        _cleanup_free_ struct opening *o = userdata;
        struct kb_session *session = kb_session_find(o->broker->sessions, o->handle);

        kb_crashpoint("session-recorded");
        if (!kb_login_released(o->broker, o->request, r)) {
                if (session)
                        kb_session_end(session, "it could not be written down");
        } else if (!session)
                kb_request_fail(o->request, KB_E_EXPIRED, "the session has ended meanwhile");
        else
                give_credentials(take_ptr(o), session);
}

/* The login is no worse for it: it was let in, and goes on without what only a counted session holds. */
static void go_on_uncounted(struct kb_broker *broker, struct kb_request *request,
                            const struct kb_session *is, int r)
{
        struct kb_event event = event_of(is, KB_EVENT_SESSION_NOT_COUNTED);
        char detail[96];

        event.request = kb_request_id(request);
        event.reason = kb_error_word(KB_E_BUSY);
        event.detail = detail;
        if (r == -EUSERS)
                snprintf(detail, sizeof(detail), "this person has %u sessions already",
                         KB_SESSIONS_PER_PERSON);
        else
                snprintf(detail, sizeof(detail), "this host has %u sessions already", KB_SESSIONS_MAX);
        kb_broker_note(broker, event);
        kb_request_reply(request, open_session, .handle = "");
}

static bool are_too_many(int r)
{
        return r == -EUSERS || r == -EBUSY;
}

void kb_verb_open_session(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        const struct kb_peer *peer = kb_request_peer(request);
        _cleanup_free_ struct opening *o = calloc(1, sizeof(*o));
        struct kb_open_session_request asked;
        struct kb_session is = {.leader = peer->pid, .opened = kb_now_realtime()};
        const struct kb_session *session;
        struct kb_event event;
        int r;

        if (kb_open_session_request_get(kb_request_body(request), &asked) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        if (!kb_login_person(broker, request, asked.user))
                return;
        snprintf(is.user, sizeof(is.user), "%s", asked.user);
        snprintf(is.service, sizeof(is.service), "%s", asked.service);
        snprintf(is.remote_host, sizeof(is.remote_host), "%s", asked.remote_host);
        r = o ? kb_session_open(broker->sessions, &is, peer->pidfd, &session) : -ENOMEM;
        if (r < 0 && !are_too_many(r)) {
                kb_request_fail(request, kb_error_from_errno(r), "the session cannot be counted: %s",
                                strerror(-r));
                return;
        }
        kb_crashpoint("session-counted");
        kb_attempt_end(broker->logins->attempts, kb_login_attempt(broker, request, asked.session));
        if (r < 0) {
                go_on_uncounted(broker, request, &is, r);
                return;
        }
        *o = (struct opening){.broker = broker, .request = request};
        memcpy(o->handle, session->handle, sizeof(o->handle));
        event = event_of(session, KB_EVENT_SESSION_OPENED);
        event.tty = asked.tty;
        event.request = kb_request_id(request);
        kb_login_record(broker, &event, on_recorded, take_ptr(o));
}

/* --- out --- */

void kb_verb_close_session(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_close_session_request asked;
        struct kb_session *session = NULL;

        if (kb_close_session_request_get(kb_request_body(request), &asked) >= 0)
                session = kb_session_find(broker->sessions, asked.handle);
        if (!session || strcmp(session->user, asked.user) != 0) {
                kb_request_fail(request, KB_E_NOT_FOUND, "there is no such session");
                return;
        }
        kb_session_end(session, "closed");
        kb_request_reply(request, close_session);
}

/* --- the administrator --- */

static void list_one(const struct kb_session *session, void *userdata)
{
        _cleanup_writer_ struct kb_writer record = kb_writer_init(4096);

        kb_session_record_put(&record, &(struct kb_session_record){
                                               .handle = session->handle,
                                               .user = session->user,
                                               .service = session->service,
                                               .remote_host = session->remote_host,
                                               .leader = (uint32_t)session->leader,
                                               .opened = session->opened,
                                       });
        kb_list_add(userdata, KB_SPAN(record.data, record.size));
}

void kb_verb_session_list(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        _cleanup_list_ struct kb_list_builder sessions = kb_list_builder_init(KB_FRAME_MAX - 4096);

        kb_sessions_each(broker->sessions, list_one, &sessions);
        kb_request_reply(request, session_list, .sessions = kb_list_built(&sessions));
}

void kb_verb_session_end(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_session_end_request asked;
        struct kb_session *session = NULL;
        char user[KB_USER_NAME_MAX + 1];

        if (kb_session_end_request_get(kb_request_body(request), &asked) >= 0)
                session = kb_session_find(broker->sessions, asked.handle);
        if (!session) {
                kb_request_fail(request, KB_E_NOT_FOUND, "there is no such session: keybearer session list");
                return;
        }
        snprintf(user, sizeof(user), "%s", session->user);
        kb_session_end(session, "ended by root");
        kb_user_grants_drop(broker->user_grants, user);
        kb_request_reply(request, session_end);
}
