/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/people.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/crashpoint.h"
#include "common/names.h"
#include "helper/store/vault/body.h"
#include "helper/store/vault/mfa.h"

#define STATE_SIZE   16
#define PASSWORD_MAX 72 /* bytes that userpass can keep: bcrypt */
#define LOCKED_TEXT                                                                                         \
        "the server does not look at this password: locked after too many wrong ones (15 minutes, unless "  \
        "set otherwise), or the entity is disabled, or auth/%s is not there"

/* Somebody at the door, or with a new password. Lies in memory that is wiped. */
struct visit {
        struct visit *next;
        struct kb_people *people;
        struct kb_request *request; /* NULL: waits for a code */
        struct kb_cluster_call *call;
        char user[KB_USER_NAME_MAX + 1];
        uint8_t *password;
        size_t password_size;
        struct kb_span new; /* points into the request; empty: it is not to be changed, or not yet */

        /* with a second factor */
        char method[KB_MFA_METHOD_MAX + 1];
        uint8_t state[STATE_SIZE];
        uint64_t until; /* CLOCK_BOOTTIME */
};

struct kb_people {
        struct kb_people_settings is;
        struct visit *visits;  /* a server is being asked */
        struct visit *waiting; /* for a code; who came last is the first */
        unsigned n_waiting;
        sd_event_source *tidy;
};

static const char *const methods[] = {
        [KB_VAULT_PEOPLE_none] = "none",
        [KB_VAULT_PEOPLE_userpass] = "userpass",
        [KB_VAULT_PEOPLE_ldap] = "ldap",
};

/* --- visits --- */

static void unlink_from(struct visit **list, const struct visit *v)
{
        while (*list && *list != v)
                list = &(*list)->next;
        if (*list)
                *list = v->next;
}

static void visit_free(struct visit *v)
{
        kb_cluster_cancel(v->call);
        kb_secret_free(v->password);
        kb_secret_free(v);
}

static void visit_end(struct visit *v)
{
        unlink_from(&v->people->visits, v);
        visit_free(v);
}

/* text NULL: as common/error.def has it. */
static void fail(struct visit *v, enum kb_error error, const char *text)
{
        kb_request_fail(v->request, error, text ? "%s" : NULL, text);
        visit_end(v);
}

static bool is_change(const struct visit *v)
{
        return kb_request_verb(v->request) == KB_VERB_change_secret;
}

/* NULL when the request has been failed. */
static struct visit *visit_new(struct kb_people *p, struct kb_request *request, const char *user,
                               struct kb_span password)
{
        struct visit *v = kb_secret_alloc(sizeof(*v));
        uint8_t *copy = kb_secret_dup(password);

        if (!v || !copy) {
                kb_secret_free(v);
                kb_secret_free(copy);
                kb_request_fail(request, KB_E_BUSY, "memory is out");
                return NULL;
        }
        v->people = p;
        v->request = request;
        v->password = copy;
        v->password_size = password.size;
        snprintf(v->user, sizeof(v->user), "%s", user);
        v->next = p->visits;
        p->visits = v;
        return v;
}

/* --- who waits for a code --- */

static void tidy(struct kb_people *p)
{
        uint64_t now = kb_now_boottime(), next = KB_TIME_NEVER;
        struct visit **at = &p->waiting;

        while (*at) {
                struct visit *v = *at;

                if (v->until > now) {
                        next = v->until; /* who came first is the last one */
                        at = &v->next;
                        continue;
                }
                *at = v->next;
                p->n_waiting--;
                visit_free(v);
        }
        sd_event_source_set_time(p->tidy, next);
        sd_event_source_set_enabled(p->tidy, next == KB_TIME_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_tidy(sd_event_source *source, uint64_t now, void *userdata)
{
        tidy(userdata);
        return 0;
}

/* From those of whom a server is asked to those who wait: it is there for the next step. */
static void wait_for_code(struct visit *v)
{
        struct kb_people *p = v->people;
        struct visit **last = &p->waiting;

        unlink_from(&p->visits, v);
        if (p->n_waiting == KB_PEOPLE_WAITING) {
                while ((*last)->next)
                        last = &(*last)->next;
                (*last)->until = 0;
        }
        v->request = NULL;
        v->until = kb_time_add(kb_now_boottime(), KB_PEOPLE_WAIT_USEC);
        v->next = p->waiting;
        p->waiting = v;
        p->n_waiting++;
        tidy(p);
}

/* Out of those who wait, and into those of whom a server is asked; NULL when there is none. */
static struct visit *go_on(struct kb_people *p, struct kb_request *request, struct kb_span state)
{
        struct visit *v;

        tidy(p);
        for (v = p->waiting; v; v = v->next)
                if (kb_secret_equal(state, KB_SPAN(v->state, STATE_SIZE)))
                        break;
        if (!v)
                return NULL;
        unlink_from(&p->waiting, v);
        p->n_waiting--;
        v->request = request;
        v->next = p->visits;
        p->visits = v;
        return v;
}

/* --- what a login came to --- */

/*
 * The server's words for a password that is wrong; every other 400 is about the method. Servers answer 403
 * without a look at the password, and to a code that is wrong.
 */
static enum kb_error login_error(const struct visit *v, const struct kb_cluster_answer *answer)
{
        static const char *const wrong[] = {"invalid username or password", "failed to bind as user"};

        if (answer->error == KB_E_DENIED)
                return v->method[0] ? KB_E_BAD_SECRET : KB_E_LOCKED;
        if (answer->status != 400)
                return answer->error;
        for (size_t i = 0; i < KB_ARRAY_SIZE(wrong); i++)
                if (strstr(answer->text, wrong[i]))
                        return KB_E_BAD_SECRET;
        return KB_E_UNREACHABLE;
}

static void refused(struct visit *v, const struct kb_cluster_answer *answer)
{
        enum kb_error error = login_error(v, answer);

        if (error == KB_E_LOCKED)
                kb_request_fail(v->request, error, LOCKED_TEXT, v->people->is.mount);
        else
                kb_request_fail(v->request, error, error == KB_E_BAD_SECRET ? NULL : "%s", answer->text);
        visit_end(v);
}

static void granted(struct visit *v)
{
        kb_crashpoint("password-checked");
        if (is_change(v))
                kb_request_reply(v->request, change_secret, .message = "");
        else if (v->method[0])
                kb_request_reply(v->request, store_continue, .granted = true);
        else
                kb_request_reply(v->request, store_authenticate, .granted = true);
        visit_end(v);
}

/* The password was right, and is not enough. */
static void ask_for_code(struct visit *v, const struct kb_json_value *requirement)
{
        struct kb_problem problem;

        if (kb_mfa_choose(requirement, v->people->is.mfa_method, v->method, &problem) != KB_E_OK) {
                fail(v, problem.error, problem.text);
                return;
        }
        if (getrandom(v->state, STATE_SIZE, 0) != STATE_SIZE) {
                fail(v, KB_E_INTERNAL, "there is no randomness");
                return;
        }
        kb_request_reply(v->request, store_authenticate, .state = KB_SPAN(v->state, STATE_SIZE),
                         .ask = KB_ASK_CODE, .prompt = "One-time code: ");
        wait_for_code(v);
}

static void change(struct visit *v, const struct kb_api_auth *auth);

static void on_login(const struct kb_cluster_answer *answer, void *userdata)
{
        const struct kb_api_auth *auth = &answer->envelope.auth;
        struct visit *v = userdata;

        v->call = NULL;
        if (answer->error != KB_E_OK) {
                refused(v, answer);
        } else if (answer->envelope.has_auth && auth->client_token[0]) {
                if (v->new.size > 0) {
                        change(v, auth);
                        return;
                }
                if (is_change(v))
                        kb_person_tokens_part(v->people->is.tokens, auth->client_token, auth->token_type);
                else
                        kb_person_tokens_take(v->people->is.tokens, v->user, auth);
                granted(v);
        } else if (auth->mfa_requirement && is_change(v)) {
                fail(v, KB_E_UNSUPPORTED,
                     "who needs a second factor changes the password at the server, not here");
        } else if (auth->mfa_requirement && !v->method[0]) {
                ask_for_code(v, auth->mfa_requirement);
        } else {
                fail(v, KB_E_INTERNAL, "the server's answer to a login makes no sense");
        }
}

/* Once, whatever comes: what is wrong counts at the server, and a code is good for one login. */
static void log_in(struct visit *v, struct kb_span mfa)
{
        struct kb_path path = kb_path_init("auth");
        _cleanup_body_ struct kb_body body = kb_body_init();
        struct kb_cluster_request request = {
                .method = KB_HTTP_POST,
                .namespace = v->people->is.namespace,
                .mfa = mfa,
                .once = true,
                .deadline = kb_time_add(kb_now_monotonic(), v->people->is.request_usec),
                .done = on_login,
                .userdata = v,
        };

        kb_path_many(&path, v->people->is.mount);
        kb_path_fixed(&path, "login");
        kb_path_one(&path, v->user);
        kb_body_bytes(&body, "password", KB_SPAN(v->password, v->password_size));
        /* No server has such a name or password: an empty one may count as nobody's in a directory service.
         */
        if (kb_path_end(&path) < 0 || kb_body_end(&body) < 0 || v->password_size == 0) {
                fail(v, KB_E_BAD_SECRET, NULL);
                return;
        }
        request.path = path.text;
        request.body = KB_SPAN(body.writer.data, body.writer.size);
        if (kb_cluster_start(v->people->is.cluster, &request, &v->call) < 0)
                fail(v, KB_E_BUSY, "memory is out");
}

/* --- the verbs of a login --- */

/* Whether passwords are checked here at all, and in the way that is this person's. */
static bool serves(const struct kb_people *p, struct kb_request *request, const char *method)
{
        if (p->is.method == KB_VAULT_PEOPLE_none)
                kb_request_fail(request, KB_E_UNSUPPORTED,
                                "this store lets nobody in: Method= in [People] of its file is none");
        else if (method[0] && strcmp(method, methods[p->is.method]) != 0)
                kb_request_fail(request, KB_E_UNSUPPORTED, "this store checks passwords by %s, not by %s",
                                methods[p->is.method], method);
        else
                return true;
        return false;
}

void kb_people_authenticate(struct kb_people *p, struct kb_request *request)
{
        struct kb_store_authenticate_request q;
        struct visit *v;

        if (!kb_request_decode(request, store_authenticate, &q))
                return;
        if (!serves(p, request, q.method))
                return;
        v = visit_new(p, request, q.user, q.answer);
        if (v)
                log_in(v, KB_SPAN("", 0));
}

void kb_people_continue(struct kb_people *p, struct kb_request *request)
{
        _cleanup_writer_ struct kb_writer mfa = kb_writer_init(KB_MFA_METHOD_MAX + KB_MFA_CODE_MAX + 1);
        struct kb_store_continue_request q;
        struct visit *v;

        if (!kb_request_decode(request, store_continue, &q))
                return;
        v = go_on(p, request, q.state);
        if (!v)
                kb_request_fail(request, KB_E_EXPIRED,
                                "the code came too late: the password is asked for anew");
        else if (kb_mfa_write(v->method, q.answer, &mfa))
                log_in(v, KB_SPAN(mfa.data, mfa.size));
        else
                fail(v, KB_E_BAD_SECRET, NULL);
}

/* --- a new password --- */

static void on_changed(const struct kb_cluster_answer *answer, void *userdata)
{
        struct visit *v = userdata;

        v->call = NULL;
        kb_person_tokens_part(v->people->is.tokens, (const char *)v->password, ""); /* the token by now */
        if (answer->doubt)
                fail(v, KB_E_UNREACHABLE,
                     "the answer of the server was lost: nobody knows which password counts now");
        else if (answer->error == KB_E_DENIED)
                fail(v, KB_E_DENIED,
                     "the server does not let this person change their own password: it needs a policy");
        else if (answer->error != KB_E_OK)
                fail(v, answer->error, answer->text);
        else {
                kb_request_reply(v->request, change_secret, .message = "");
                visit_end(v);
        }
}

/* The person's own token changes it; it takes the place of the old password, which is not needed any more.
 */
static void change(struct visit *v, const struct kb_api_auth *auth)
{
        struct kb_path path = kb_path_init("auth");
        _cleanup_body_ struct kb_body body = kb_body_init();
        uint8_t *token = kb_secret_dup(KB_SPAN_STRING(auth->client_token));
        struct kb_cluster_request request = {
                .method = KB_HTTP_POST,
                .namespace = v->people->is.namespace,
                .token = KB_SPAN_STRING(auth->client_token),
                .once = true,
                .deadline = kb_time_add(kb_now_monotonic(), v->people->is.request_usec),
                .done = on_changed,
                .userdata = v,
        };

        kb_path_many(&path, v->people->is.mount);
        kb_path_fixed(&path, "users");
        kb_path_one(&path, v->user);
        kb_path_fixed(&path, "password");
        kb_body_bytes(&body, "password", v->new);
        if (token) {
                kb_secret_free(v->password);
                v->password = token;
                v->password_size = strlen(auth->client_token);
        }
        request.path = path.text;
        if (token && kb_path_end(&path) >= 0 && kb_body_end(&body) >= 0) {
                request.body = KB_SPAN(body.writer.data, body.writer.size);
                if (kb_cluster_start(v->people->is.cluster, &request, &v->call) >= 0)
                        return;
        }
        kb_person_tokens_part(v->people->is.tokens, auth->client_token, auth->token_type);
        fail(v, KB_E_BUSY, "memory is out");
}

/* Why it is no password for userpass; NULL when it is one. */
static const char *weakness(struct kb_span old, struct kb_span new)
{
        _cleanup_body_ struct kb_body body = kb_body_init();

        kb_body_bytes(&body, "password", new);
        if (new.size == 0 || kb_body_end(&body) < 0)
                return "the new password is empty, or no text";
        if (new.size > PASSWORD_MAX)
                return "the new password is longer than the 72 bytes that the server can keep";
        return kb_secret_equal(old, new) ? "the new password is the old one" : NULL;
}

void kb_people_change_secret(struct kb_people *p, struct kb_request *request)
{
        struct kb_change_secret_request q;
        const char *weak;
        struct visit *v;

        if (!kb_request_decode(request, change_secret, &q))
                return;
        if (!serves(p, request, ""))
                return;
        if (p->is.method != KB_VAULT_PEOPLE_userpass) {
                kb_request_fail(request, KB_E_UNSUPPORTED,
                                "passwords of a directory service are changed there: the server cannot");
        } else if (q.privileged) {
                kb_request_fail(request, KB_E_UNSUPPORTED,
                                "without the old password it is changed at the server only: "
                                "auth/%s/users/%s/password",
                                p->is.mount, q.user);
        } else if (q.preliminary && q.old.size == 0) { /* whether it could be done at all */
                kb_request_reply(request, change_secret, .message = "");
        } else if (!q.preliminary && (weak = weakness(q.old, q.new))) {
                kb_request_fail(request, KB_E_WEAK, "%s", weak);
        } else {
                v = visit_new(p, request, q.user, q.old);
                if (!v)
                        return;
                v->new = q.preliminary ? KB_SPAN("", 0) : q.new;
                log_in(v, KB_SPAN("", 0));
        }
}

/* --- life --- */

int kb_people_new(struct kb_people **ret, const struct kb_people_settings *settings)
{
        _cleanup_(kb_people_freep) struct kb_people *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->is = *settings;
        r = sd_event_add_time(p->is.event, &p->tidy, CLOCK_BOOTTIME, KB_TIME_NEVER, 0, on_tidy, p);
        if (r < 0)
                return r;
        *ret = take_ptr(p);
        return 0;
}

void kb_people_free(struct kb_people *p)
{
        if (!p)
                return;
        while (p->visits)
                visit_end(p->visits);
        while (p->waiting) {
                struct visit *v = p->waiting;

                p->waiting = v->next;
                visit_free(v);
        }
        sd_event_source_disable_unref(p->tidy);
        free(p);
}

bool kb_people_idle(const struct kb_people *p)
{
        return !p->visits;
}
