/* SPDX-License-Identifier: Apache-2.0 */
/* change_password: in the person's store. Old passwords that are wrong count as failed logins do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/broker/logins.h"
#include "helper/broker/store_client.h"
#include "helper/broker/verbs.h"

struct change {
        struct kb_broker *broker;
        struct kb_request *request;
        struct kb_change_password_request is; /* points into the request */
        char store[KB_CREDENTIAL_NAME_MAX + 1];
        char uid[16];
};

static struct kb_lockout_key key_of(const struct change *c)
{
        return kb_login_key(kb_request_caller(c->request) == KB_CALLER_SELF, "", c->is.user, c->is.service);
}

static struct kb_event event_of(const struct change *c, uint32_t id)
{
        return (struct kb_event){
                .id = id,
                .user = c->is.user,
                .service = c->is.service,
                .uid = c->uid,
                .request = kb_request_id(c->request),
                .pid = (uint64_t)kb_request_peer(c->request)->pid,
        };
}

static void note(const struct change *c, enum kb_error error, const char *text)
{
        struct kb_event event =
                event_of(c, error == KB_E_OK ? KB_EVENT_PASSWORD_CHANGED : KB_EVENT_PASSWORD_CHANGE_REFUSED);

        if (error != KB_E_OK) {
                event.reason = kb_error_word(error);
                event.detail = text;
        }
        kb_broker_note(c->broker, event);
}

static void refuse(const struct change *c, enum kb_error error, const char *text)
{
        struct kb_lockout_policy policy = kb_login_policy(c->broker);
        struct kb_lockout_key key = key_of(c);

        note(c, error, text);
        if (error == KB_E_BAD_SECRET) {
                kb_lockout_fail(c->broker->logins->lockout, &policy, &key, kb_now_realtime());
                kb_login_refuse_guess(c->broker->logins, c->request, text);
        } else
                kb_request_fail(c->request, error, "%s", text);
}

static bool locked_out(const struct change *c)
{
        struct kb_lockout_key key = key_of(c);

        if (kb_lockout_until(c->broker->logins->lockout, &key, kb_now_realtime()) == 0)
                return false;
        refuse(c, KB_E_LOCKED, "too many failures");
        return true;
}

/* passwd(1) of a person is on root's socket too: that nothing was typed is not root's right. */
static bool forgot_old(const struct change *c)
{
        if (c->is.privileged || c->is.preliminary || c->is.old.size > 0)
                return false;
        refuse(c, KB_E_BAD_SECRET, "the old password is empty");
        return true;
}

static void on_changed(const struct kb_store_answer *answer, void *userdata)
{
        _cleanup_free_ struct change *c = userdata;
        struct kb_change_secret_reply reply;

        if (answer->error != KB_E_OK) {
                refuse(c, answer->error, answer->text);
        } else if (kb_change_secret_reply_get(answer->fields, &reply) < 0) {
                refuse(c, KB_E_INTERNAL, "the store's answer makes no sense");
        } else if (!c->is.preliminary || !locked_out(c)) { /* others were guessed meanwhile: say nothing */
                if (!c->is.preliminary)
                        note(c, KB_E_OK, "");
                kb_request_reply(c->request, change_password, .message = reply.message);
        }
}

static void ask_store(struct change *c)
{
        struct kb_store_call *call;

        if (kb_store_call_new(&call, &(struct kb_store_request){
                                             .event = c->broker->event,
                                             .dir = KB_STORES_DIR,
                                             .store = c->store,
                                             .verb = KB_VERB_change_secret,
                                             .usec = c->broker->config->store_usec,
                                             .priority = KB_PRIORITY_ROOT,
                                             .done = on_changed,
                                             .userdata = c,
                                     }) < 0) {
                refuse(c, KB_E_BUSY, "out of memory");
                free(c);
                return;
        }
        kb_change_secret_request_put(kb_store_call_writer(call), &(struct kb_change_secret_request){
                                                                         .user = c->is.user,
                                                                         .preliminary = c->is.preliminary,
                                                                         .privileged = c->is.privileged,
                                                                         .old = c->is.old,
                                                                         .new = c->is.new,
                                                                 });
        kb_store_call_start(call);
}

/* No password changes without a record, so it is written before. */
static void on_asked(int r, uint64_t sequence, void *userdata)
{
        struct change *c = userdata;

        if (kb_login_released(c->broker, c->request, r))
                ask_store(c);
        else
                free(c);
}

void kb_verb_change_password(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_change_password_request asked;
        const struct kb_person *person;
        const char *method; /* the store knows how it keeps its passwords */
        struct kb_event event;
        struct change *c;

        if (kb_change_password_request_get(kb_request_body(request), &asked) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        person = kb_login_person(broker, request, asked.user);
        if (!person)
                return;
        if (asked.privileged && kb_request_caller(request) != KB_CALLER_ROOT) {
                kb_request_fail(request, KB_E_DENIED, "only root sets a password without the old one");
                return;
        }
        c = calloc(1, sizeof(*c));
        if (!c) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        *c = (struct change){.broker = broker, .request = request, .is = asked};
        kb_login_uid(request, c->uid);
        kb_login_store(broker, person, c->store, &method);
        event = event_of(c, KB_EVENT_PASSWORD_CHANGE_ASKED);
        if (locked_out(c) || forgot_old(c))
                free(c);
        else if (asked.preliminary)
                ask_store(c);
        else
                kb_login_record(broker, &event, on_asked, c);
}
