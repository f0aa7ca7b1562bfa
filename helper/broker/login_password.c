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
        bool preliminary;
        char user[KB_USER_NAME_MAX + 1];
        char service[65];
};

static struct kb_lockout_key key_of(const struct change *c)
{
        return (struct kb_lockout_key){.user = c->user, .service = c->service};
}

static void note(const struct change *c, enum kb_error error, const char *text)
{
        struct kb_event event = {
                .id = error == KB_E_OK ? KB_EVENT_PASSWORD_CHANGED : KB_EVENT_PASSWORD_CHANGE_REFUSED,
                .user = c->user,
                .service = c->service,
                .request = kb_request_id(c->request),
                .pid = (uint64_t)kb_request_peer(c->request)->pid,
        };

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

        if (error == KB_E_BAD_SECRET) {
                kb_lockout_fail(c->broker->logins->lockout, &policy, &key, kb_now_realtime());
                kb_logins_save_lockout(c->broker->logins);
        }
        note(c, error, text);
        kb_request_fail(c->request, error, "%s", text);
}

static void on_changed(const struct kb_store_answer *answer, void *userdata)
{
        _cleanup_free_ struct change *c = userdata;
        struct kb_change_secret_reply reply;

        if (answer->error != KB_E_OK) {
                refuse(c, answer->error, answer->text);
        } else if (kb_change_secret_reply_get(answer->fields, &reply) < 0) {
                refuse(c, KB_E_INTERNAL, "the store's answer makes no sense");
        } else {
                if (!c->preliminary)
                        note(c, KB_E_OK, "");
                kb_request_reply(c->request, change_password, .message = reply.message);
        }
}

static int ask_store(struct change *c, const struct kb_person *person,
                     const struct kb_change_password_request *asked)
{
        char store[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_store_call *call;
        const char *method;
        int r;

        kb_login_store(c->broker, person, store, &method);
        r = kb_store_call_new(&call, &(struct kb_store_request){
                                             .event = c->broker->event,
                                             .dir = KB_STORES_DIR,
                                             .store = store,
                                             .verb = KB_VERB_change_secret,
                                             .usec = c->broker->config->store_usec,
                                             .done = on_changed,
                                             .userdata = c,
                                     });
        if (r < 0)
                return r;
        kb_change_secret_request_put(kb_store_call_writer(call),
                                     &(struct kb_change_secret_request){
                                             .user = asked->user,
                                             .preliminary = asked->preliminary,
                                             .privileged = kb_request_caller(c->request) == KB_CALLER_ROOT &&
                                                           asked->old.size == 0,
                                             .old = asked->old,
                                             .new = asked->new,
                                     });
        kb_store_call_start(call);
        return 0;
}

void kb_verb_change_password(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_change_password_request asked;
        const struct kb_person *person;
        struct kb_lockout_key key;
        struct change *c;

        if (kb_change_password_request_get(kb_request_body(request), &asked) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        person = kb_login_person(broker, request, asked.user);
        if (!person)
                return;
        c = calloc(1, sizeof(*c));
        if (!c) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        *c = (struct change){.broker = broker, .request = request, .preliminary = asked.preliminary};
        snprintf(c->user, sizeof(c->user), "%s", asked.user);
        snprintf(c->service, sizeof(c->service), "%s", asked.service);
        key = key_of(c);
        if (kb_lockout_until(broker->logins->lockout, &key, kb_now_realtime()) > 0) {
                refuse(c, KB_E_LOCKED, "too many failures");
                free(c);
        } else if (ask_store(c, person, &asked) < 0) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                free(c);
        }
}
