/* SPDX-License-Identifier: Apache-2.0 */
/* open_session, close_session, and what the administrator sees of sessions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/broker/grants.h"
#include "helper/broker/logins.h"
#include "helper/broker/sessions.h"
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

/* The last one out has what the person holds revoked. */
void kb_login_session_ended(const struct kb_session *session, const char *why, bool last, void *userdata)
{
        struct kb_broker *broker = userdata;
        struct kb_event event = event_of(session, KB_EVENT_SESSION_CLOSED);

        event.detail = why;
        kb_broker_note(broker, event);
        if (last)
                kb_grants_end_consumer(broker->grants, KB_CONSUMER_USER, session->user, NULL);
}

void kb_verb_open_session(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        const struct kb_peer *peer = kb_request_peer(request);
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
        r = kb_session_open(broker->sessions, &is, peer->pidfd, &session);
        if (r < 0) {
                kb_request_fail(request, kb_error_from_errno(r), "the session cannot be counted: %s",
                                strerror(-r));
                return;
        }
        kb_attempt_end(broker->logins->attempts,
                       kb_attempt_find(broker->logins->attempts, asked.session, kb_now_boottime()));
        event = event_of(session, KB_EVENT_SESSION_OPENED);
        event.tty = asked.tty;
        event.request = kb_request_id(request);
        kb_broker_note(broker, event);
        kb_request_reply(request, open_session, .handle = session->handle);
}

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

        if (kb_session_end_request_get(kb_request_body(request), &asked) >= 0)
                session = kb_session_find(broker->sessions, asked.handle);
        if (!session) {
                kb_request_fail(request, KB_E_NOT_FOUND, "there is no such session: keybearer session list");
                return;
        }
        kb_session_end(session, "ended by root");
        kb_request_reply(request, session_end);
}
