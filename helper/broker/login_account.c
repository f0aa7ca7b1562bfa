/* SPDX-License-Identifier: Apache-2.0 */
/* account: may this person do this, here and now? Needs no store, no network and no password. */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/crashpoint.h"
#include "directory/decide.h"
#include "helper/broker/logins.h"
#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/verbs.h"

/* A permission that waits for its record. */
struct permission {
        struct kb_broker *broker;
        struct kb_request *request;
        char handle[KB_HANDLE_SIZE]; /* of the login that came before, "": there was none */
        bool change_password;
        char rule[65];
};

static enum kb_error error_of(enum kb_reason reason)
{
        switch (reason) {
        case KB_REASON_NO_DIRECTORY:
        case KB_REASON_DIRECTORY_OLD:
                return KB_E_UNREACHABLE;
        case KB_REASON_UNKNOWN:
                return KB_E_NOT_FOUND;
        case KB_REASON_EXPIRED:
                return KB_E_EXPIRED;
        default:
                return KB_E_DENIED;
        }
}

/* The login that came before, if it was this person's, through us, and came to its good end. */
static struct kb_attempt *find_login(struct kb_broker *broker, struct kb_request *request,
                                     const struct kb_account_request *asked)
{
        struct kb_attempt *a = kb_login_attempt(broker, request, asked->session);

        return a && a->stage == KB_ATTEMPT_GRANTED && strcmp(a->user, asked->user) == 0 &&
                               strcmp(a->service, asked->service) == 0
                       ? a
                       : NULL;
}

/*
 * What was shown. Nobody but us can check a password of ours, so whom sshd brings without a login of ours
 * has shown a key: sshd says how only after account is through. All others (cron, sudo without a password,
 * su by root) have shown nothing.
 */
static uint32_t factors_of(const struct kb_attempt *login, struct kb_request *request,
                           const struct kb_account_request *asked)
{
        if (login)
                return login->factors;
        if (asked->session[0]) /* a login that we do not know any more: it showed something, but not a key */
                return 0;
        return kb_request_caller(request) == KB_CALLER_ROOT && strcmp(asked->service, "sshd") == 0
                       ? KB_FACTOR_KEY
                       : 0;
}

static void on_recorded(int r, uint64_t sequence, void *userdata)
{
        _cleanup_free_ struct permission *p = userdata;
        struct kb_attempts *attempts = p->broker->logins->attempts;
        struct kb_attempt *login = kb_login_attempt(p->broker, p->request, p->handle);

        kb_crashpoint("account-recorded");
        if (!kb_login_released(p->broker, p->request, r)) {
                kb_attempt_end(attempts, login);
                return;
        }
        if (login)
                kb_attempt_let_in(attempts, login);
        kb_request_reply(p->request, account, .change_password = p->change_password, .rule = p->rule);
}

/*
 * systemd-user is no way in: systemd starts a person's services because of a session, which was let in
 * before. So it is decided as that session's service; without a session the rules have to name it.
 */
static const struct kb_session *behind(const struct kb_broker *broker,
                                       const struct kb_account_request *asked)
{
        return strcmp(asked->service, "systemd-user") == 0 ? kb_session_of(broker->sessions, asked->user)
                                                           : NULL;
}

static void decide(struct kb_broker *broker, struct kb_request *request,
                   const struct kb_account_request *asked, const struct kb_attempt *login,
                   struct kb_decision *ret)
{
        const struct kb_session *session = behind(broker, asked);
        struct kb_publisher_state state;
        struct utsname host = {0};

        uname(&host);
        kb_publisher_get_state(broker->publisher, &state);
        kb_decide(kb_publisher_directory(broker->publisher),
                  &(struct kb_access){
                          .user = asked->user,
                          .service = session ? session->service : asked->service,
                          .host = host.nodename,
                          .factors = session ? KB_FACTOR_ALL : factors_of(login, request, asked),
                          .now = kb_now_realtime(),
                          .directory_until = state.until,
                          .observe = broker->config->login_mode == KB_LOGIN_observe,
                  },
                  ret);
}

static void permit(struct kb_broker *broker, struct kb_request *request, const struct kb_event *event,
                   const struct kb_attempt *login, const char *rule)
{
        struct permission *p = calloc(1, sizeof(*p));

        if (!p) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        *p = (struct permission){
                .broker = broker, .request = request, .change_password = login && login->change_password};
        snprintf(p->handle, sizeof(p->handle), "%s", login ? login->handle : "");
        snprintf(p->rule, sizeof(p->rule), "%s", rule);
        kb_login_record(broker, event, on_recorded, p);
}

void kb_verb_account(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_account_request asked;
        struct kb_attempt *login;
        struct kb_decision decision;
        struct kb_event event;
        char uid[16];

        if (kb_account_request_get(kb_request_body(request), &asked) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, NULL);
                return;
        }
        if (kb_request_caller(request) == KB_CALLER_SELF && !kb_login_person(broker, request, asked.user))
                return;
        login = find_login(broker, request, &asked);
        decide(broker, request, &asked, login, &decision);
        kb_login_uid(request, uid);
        event = (struct kb_event){
                .id = KB_EVENT_ACCOUNT_PERMITTED,
                .user = asked.user,
                .service = asked.service,
                .uid = uid,
                .remote_host = kb_login_claim(request, asked.remote_host),
                .remote_user = kb_login_claim(request, asked.remote_user),
                .tty = kb_login_claim(request, asked.tty),
                .rule = decision.rule,
                .request = kb_request_id(request),
                .pid = (uint64_t)kb_request_peer(request)->pid,
        };
        if (decision.reason != KB_REASON_PERMITTED) {
                event.id = decision.permit ? KB_EVENT_ACCOUNT_WOULD_REFUSE : KB_EVENT_ACCOUNT_REFUSED;
                event.reason = kb_reason_word(decision.reason);
                event.detail = kb_reason_text(decision.reason);
        }
        if (decision.permit) {
                permit(broker, request, &event, login, decision.rule);
                return;
        }
        kb_broker_note(broker, event);
        kb_attempt_end(broker->logins->attempts, login); /* a no is the end of it: nobody asks again */
        kb_request_fail(request, error_of(decision.reason), "%s", kb_reason_text(decision.reason));
}
