/* SPDX-License-Identifier: Apache-2.0 */
/* authenticate, proceed: somebody shows who they are, step by step. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/crashpoint.h"
#include "helper/broker/logins.h"
#include "helper/broker/store_client.h"
#include "helper/broker/verbs.h"

/* An answer that is being checked. The attempt may be gone when the result is there. */
struct check {
        struct kb_broker *broker;
        struct kb_request *request;
        char handle[KB_HANDLE_SIZE];
        bool by_code;              /* a recovery code was used */
        struct kb_recovery before; /* the codes, with the one that is being used */
};

static struct kb_lockout_key key_of(const struct kb_attempt *a)
{
        return kb_login_key(a->self, a->remote_host, a->user, a->service);
}

static struct kb_attempt *attempt_of(const struct check *c)
{
        return kb_login_attempt(c->broker, c->request, c->handle);
}

static struct kb_event event_of(const struct kb_attempt *a, struct kb_request *request, uint32_t id)
{
        return (struct kb_event){
                .id = id,
                .user = a->user,
                .service = a->service,
                .remote_host = a->remote_host,
                .request = kb_request_id(request),
                .pid = (uint64_t)kb_request_peer(request)->pid,
                .uid = a->uid,
        };
}

/* Says no, and ends the attempt. What was wrong counts; what is broken does not. */
static void refuse(struct kb_broker *broker, struct kb_request *request, struct kb_attempt *a,
                   enum kb_error error, const char *text)
{
        struct kb_event event = event_of(a, request, KB_EVENT_LOGIN_REFUSED);

        if (error == KB_E_BAD_SECRET) {
                struct kb_lockout_policy policy = kb_login_policy(broker);
                struct kb_lockout_key key = key_of(a);

                if (kb_lockout_fail(broker->logins->lockout, &policy, &key, kb_now_realtime()))
                        text = "and is locked out now";
        }
        event.reason = kb_error_word(error);
        event.detail = text;
        kb_broker_note(broker, event);
        kb_attempt_end(broker->logins->attempts, a);
        if (error == KB_E_BAD_SECRET)
                kb_login_refuse_guess(broker->logins, request, text);
        else
                kb_request_fail(request, error, "%s", text);
}

static bool locked_out(struct kb_broker *broker, struct kb_request *request, struct kb_attempt *a)
{
        struct kb_lockout_key key = key_of(a);

        if (kb_lockout_until(broker->logins->lockout, &key, kb_now_realtime()) == 0)
                return false;
        refuse(broker, request, a, KB_E_LOCKED, "too many failures");
        return true;
}

/* --- questions --- */

static void ask(struct kb_request *request, struct kb_attempt *a, uint32_t what, const char *prompt,
                const char *message)
{
        a->asked = what;
        a->busy = false;
        if (kb_request_verb(request) == KB_VERB_authenticate)
                kb_request_reply(request, authenticate, .session = a->handle, .ask = what, .prompt = prompt,
                                 .message = message);
        else
                kb_request_reply(request, proceed, .session = a->handle, .ask = what, .prompt = prompt,
                                 .message = message);
}

/* --- the end that is wanted --- */

static void on_recorded(int r, uint64_t sequence, void *userdata)
{
        _cleanup_free_ struct check *c = userdata;
        struct kb_logins *logins = c->broker->logins;
        struct kb_attempt *a = attempt_of(c);
        struct kb_lockout_key key;

        kb_crashpoint("login-recorded");
        if (!a) {
                kb_request_fail(c->request, KB_E_EXPIRED, "it took too long");
                return;
        }
        a->busy = false;
        if (!kb_login_released(c->broker, c->request, r)) {
                kb_attempt_end(logins->attempts, a);
                return;
        }
        key = key_of(a);
        if (kb_lockout_pass(logins->lockout, &key, kb_now_realtime()))
                kb_logins_save_lockout(logins);
        a->stage = KB_ATTEMPT_GRANTED;
        kb_request_reply(c->request, proceed, .granted = true, .session = a->handle);
}

static void grant(struct check *c, struct kb_attempt *a)
{
        struct kb_event event;

        /* Other answers were checked meanwhile: no guess passes a lock that began with one of them. A code
         * is no guess, and is void by now. */
        if (!c->by_code && locked_out(c->broker, c->request, a)) {
                free(c);
                return;
        }
        event = event_of(a, c->request,
                         c->by_code ? KB_EVENT_BREAK_GLASS_USED : KB_EVENT_LOGIN_AUTHENTICATED);

        event.method = c->by_code                          ? "recovery code"
                       : (a->factors & KB_FACTOR_OTP) != 0 ? "password and code"
                                                           : "password";
        kb_login_record(c->broker, &event, on_recorded, c);
}

/* --- what the store says --- */

/* A store that cannot tell; one that can has the last word. */
static bool is_away(enum kb_error error)
{
        return error == KB_E_UNREACHABLE || error == KB_E_SEALED || error == KB_E_STORAGE;
}

static void on_step(struct check *c, struct kb_attempt *a, const struct kb_store_continue_reply *reply)
{
        if (reply->granted) {
                a->change_password = reply->change_password;
                a->factors |= a->asked == KB_ASK_PASSWORD ? KB_FACTOR_PASSWORD : KB_FACTOR_OTP;
                grant(take_ptr(c), a);
                return;
        }
        if (reply->ask == KB_ASK_NOTHING || reply->ask > KB_ASK_ENTER) {
                refuse(c->broker, c->request, a, KB_E_INTERNAL, "the store asks for something unknown");
                free(c);
                return;
        }
        a->factors |= a->asked == KB_ASK_PASSWORD ? KB_FACTOR_PASSWORD : 0;
        a->stage = KB_ATTEMPT_STORE;
        a->state_size = reply->state.size;
        if (reply->state.size > 0)
                memcpy(a->state, reply->state.data, reply->state.size);
        ask(c->request, a, reply->ask, reply->prompt, "");
        free(c);
}

/* The replies to both verbs say the same. */
static int read_step(struct kb_attempt *a, struct kb_span fields, struct kb_store_continue_reply *ret)
{
        struct kb_store_authenticate_reply first;
        int r;

        if (a->stage != KB_ATTEMPT_PASSWORD)
                return kb_store_continue_reply_get(fields, ret);
        r = kb_store_authenticate_reply_get(fields, &first);
        if (r < 0)
                return r;
        *ret = (struct kb_store_continue_reply){
                .granted = first.granted,
                .state = first.state,
                .ask = first.ask,
                .prompt = first.prompt,
                .accessor = first.accessor,
                .change_password = first.change_password,
        };
        return 0;
}

static void on_store(const struct kb_store_answer *answer, void *userdata)
{
        _cleanup_free_ struct check *c = userdata;
        struct kb_logins *logins = c->broker->logins;
        struct kb_attempt *a = attempt_of(c);
        struct kb_store_continue_reply reply;

        kb_crashpoint("login-checked");
        if (!a) {
                kb_request_fail(c->request, KB_E_EXPIRED, "it took too long");
        } else if (is_away(answer->error) && logins->recovery.n > 0) {
                a->stage = KB_ATTEMPT_RECOVERY;
                ask(c->request, a, KB_ASK_CODE, "Recovery code: ",
                    "Passwords cannot be checked now. A recovery code lets you in, once.");
        } else if (answer->error != KB_E_OK) {
                refuse(c->broker, c->request, a, answer->error, answer->text);
        } else if (read_step(a, answer->fields, &reply) < 0) {
                refuse(c->broker, c->request, a, KB_E_INTERNAL, "the store's answer makes no sense");
        } else {
                on_step(take_ptr(c), a, &reply);
        }
}

/* --- answers --- */

static void put_answer(struct kb_writer *w, const struct kb_attempt *a, const char *method,
                       struct kb_span answer)
{
        if (a->stage == KB_ATTEMPT_PASSWORD)
                kb_store_authenticate_request_put(w, &(struct kb_store_authenticate_request){
                                                             .user = a->user,
                                                             .method = method,
                                                             .remote_host = a->remote_host,
                                                             .answer = answer,
                                                     });
        else
                kb_store_continue_request_put(w, &(struct kb_store_continue_request){
                                                         .state = KB_SPAN(a->state, a->state_size),
                                                         .answer = answer,
                                                 });
}

static int ask_store(struct check *c, struct kb_attempt *a, const struct kb_person *person,
                     struct kb_span answer)
{
        char store[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_store_call *call;
        const char *method;
        int r;

        kb_login_store(c->broker, person, store, &method);
        r = kb_store_call_new(&call,
                              &(struct kb_store_request){
                                      .event = c->broker->event,
                                      .dir = KB_STORES_DIR,
                                      .store = store,
                                      .verb = a->stage == KB_ATTEMPT_PASSWORD ? KB_VERB_store_authenticate
                                                                              : KB_VERB_store_continue,
                                      .usec = c->broker->config->store_usec,
                                      .priority = KB_PRIORITY_ROOT,
                                      .done = on_store,
                                      .userdata = c,
                              });
        if (r < 0)
                return r;
        a->busy = true;
        put_answer(kb_store_call_writer(call), a, method, answer);
        kb_store_call_start(call);
        return 0;
}

static void on_code_void(int r, void *userdata)
{
        _cleanup_free_ struct check *c = userdata;
        struct kb_logins *logins = c->broker->logins;
        struct kb_attempt *a = attempt_of(c);

        logins->codes_busy = false;
        if (r < 0)
                kb_logins_put_back_recovery(logins, &c->before);
        kb_wipe(&c->before, sizeof(c->before));
        if (!a) {
                kb_request_fail(c->request, KB_E_EXPIRED, "it took too long");
        } else if (r < 0) {
                refuse(c->broker, c->request, a, KB_E_STORAGE, "the code cannot be made void");
        } else {
                c->by_code = true;
                a->factors = KB_FACTOR_ALL;
                grant(take_ptr(c), a);
        }
}

/* The code is void on disk before it opens anything. */
static void check_code(struct check *c, struct kb_attempt *a, struct kb_span answer)
{
        struct kb_logins *logins = c->broker->logins;

        c->before = logins->recovery;
        if (logins->codes_busy) {
                kb_request_fail(c->request, KB_E_BUSY, "another code is being used; try again");
                free(c);
        } else if (!kb_recovery_is_code(answer)) {
                /* sshd answers every question with the password: that is no failure of the person */
                refuse(c->broker, c->request, a, KB_E_UNREACHABLE,
                       "passwords cannot be checked now, and this is no recovery code");
                free(c);
        } else if (!kb_recovery_use(&logins->recovery, answer)) {
                refuse(c->broker, c->request, a, KB_E_BAD_SECRET, "no recovery code of this host");
                free(c);
        } else {
                a->busy = true;
                kb_logins_save_recovery(logins, on_code_void, c);
        }
}

static struct kb_attempt *find_attempt(struct kb_broker *broker, struct kb_request *request,
                                       const char *handle)
{
        struct kb_attempt *a = kb_login_attempt(broker, request, handle);

        if (a && !a->busy && a->stage != KB_ATTEMPT_GRANTED)
                return a;
        kb_request_fail(request, KB_E_EXPIRED, "there is no such login under way");
        return NULL;
}

void kb_verb_proceed(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_proceed_request asked;
        const struct kb_person *person;
        struct kb_attempt *a;
        struct check *c;

        if (kb_proceed_request_get(kb_request_body(request), &asked) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        a = find_attempt(broker, request, asked.session);
        if (!a)
                return;
        person = kb_login_person(broker, request, a->user); /* may have gone meanwhile */
        if (!person || locked_out(broker, request, a))
                return;
        c = calloc(1, sizeof(*c));
        if (!c) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        *c = (struct check){.broker = broker, .request = request};
        memcpy(c->handle, a->handle, sizeof(c->handle));
        if (a->stage == KB_ATTEMPT_RECOVERY) {
                check_code(c, a, asked.answer);
        } else if (ask_store(c, a, person, asked.answer) < 0) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                free(c);
        }
}

/* --- the beginning --- */

/* Who may not come in anyway is not asked for a password. Said as any refusal: the journal has the reason.
 */
static bool may_try(struct kb_broker *broker, struct kb_request *request, struct kb_attempt *a,
                    const struct kb_person *person)
{
        enum kb_error error = KB_E_OK;

        if (person->record.disabled)
                error = KB_E_DENIED;
        else if (kb_now_realtime() >= person->record.expires)
                error = KB_E_EXPIRED;
        if (error == KB_E_OK)
                return !locked_out(broker, request, a);
        refuse(broker, request, a, error,
               error == KB_E_DENIED ? "the person is disabled" : "their time is over");
        return false;
}

void kb_verb_authenticate(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_authenticate_request asked;
        const struct kb_person *person;
        struct kb_attempt *a;

        if (kb_authenticate_request_get(kb_request_body(request), &asked) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        person = kb_login_person(broker, request, asked.user);
        if (!person)
                return;
        if (kb_attempt_begin(broker->logins->attempts, kb_request_peer(request)->uid, kb_now_boottime(),
                             &a) < 0) {
                kb_request_fail(request, KB_E_BUSY, "too many logins at once");
                return;
        }
        snprintf(a->user, sizeof(a->user), "%s", asked.user);
        snprintf(a->service, sizeof(a->service), "%s", asked.service);
        snprintf(a->remote_host, sizeof(a->remote_host), "%s", kb_login_claim(request, asked.remote_host));
        a->self = kb_request_caller(request) == KB_CALLER_SELF;
        kb_login_uid(request, a->uid);
        if (may_try(broker, request, a, person))
                ask(request, a, KB_ASK_PASSWORD, "Password: ", "");
}
