/* SPDX-License-Identifier: Apache-2.0 */
/*
 * People at the door: their password is looked at in the pool, so that a crowd does not hold up anything
 * else. An unknown name, a person without a password and a wrong one get the same answer after the same
 * time; that somebody is disabled or expired is said only to who knows the password.
 */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/crashpoint.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/password.h"
#include "helper/store/local/people.h"
#include "helper/store/local/service.h"

/* PAM's own patience is longer; who would wait longer than this hears "busy" now instead. */
#define LOGIN_USEC (5 * KB_USEC_PER_SEC)

struct login {
        struct kb_service *service;
        struct kb_request *request;
        struct kb_object person; /* version 0: there is none */
        struct kb_span old, new; /* point into the request */
        const char *user;
        bool check_old, preliminary, privileged;
        struct kb_problem problem;

        /* out of the pool */
        bool matched;
        bool weak;
        char hash[KB_HASH_MAX];
};

static void login_free(struct login *g)
{
        if (!g)
                return;
        kb_object_done(&g->person);
        kb_secret_free(g);
}
KB_DEFINE_CLEANUP(struct login, login_free);

/* Reads the person; an unknown one is no error here. NULL when the request has been failed. */
static struct login *login_new(struct kb_service *s, struct kb_request *request, const char *user)
{
        struct login *g = kb_secret_alloc(sizeof(*g));
        struct kb_problem problem;
        int r = g ? kb_object_get(&s->local->shelf, "person", user, &g->person) : -ENOMEM;

        if (r < 0) {
                kb_damage_problem(s->local, &problem, r, "reading the person");
                kb_service_fail(request, &problem);
                login_free(g);
                return NULL;
        }
        g->service = s;
        g->request = request;
        g->user = user;
        return g;
}

static void start(struct login *g, int (*work)(void *userdata), void (*done)(int result, void *userdata))
{
        const struct kb_job job = {work, done, g};
        uint64_t now = kb_now_monotonic();
        int r = kb_pool_submit(g->service->pool, &job, now, kb_time_add(now, LOGIN_USEC));

        if (r < 0)
                done(r, g);
}

static void fail_pool(struct login *g, int r)
{
        struct kb_problem problem;

        kb_problem_errno(&problem, r, "checking the password");
        kb_service_fail(g->request, &problem);
}

static const char *hash_of(const struct login *g)
{
        return g->person.version > 0 ? kb_object_text(&g->person, "hash", "") : "";
}

/* --- store_authenticate --- */

static int check_password(void *userdata)
{
        struct login *g = userdata;

        g->matched = kb_password_matches(g->old, hash_of(g));
        return 0;
}

static void on_checked(int result, void *userdata)
{
        _cleanup_(login_freep) struct login *g = userdata;
        uint64_t expires = KB_TIME_NEVER;

        kb_crashpoint("password-checked");
        if (result < 0) {
                fail_pool(g, result);
                return;
        }
        if (!g->matched) {
                kb_request_fail(g->request, KB_E_BAD_SECRET, NULL);
                return;
        }
        kb_parse_date(kb_object_text(&g->person, "expires", "never"), &expires);
        if (kb_yes(&g->person, "disabled"))
                kb_request_fail(g->request, KB_E_DENIED, "%s is disabled", g->user);
        else if (kb_now_realtime() >= expires)
                kb_request_fail(g->request, KB_E_EXPIRED, "%s has expired", g->user);
        else
                kb_request_reply(g->request, store_authenticate, .granted = true, .prompt = "",
                                 .accessor = "", .change_password = kb_yes(&g->person, "change-password"));
}

void kb_local_authenticate(struct kb_request *request, void *context)
{
        struct kb_store_authenticate_request q;
        struct kb_service *s = context;
        struct login *g;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, store_authenticate, &q))
                return;
        if (q.method[0] && strcmp(q.method, "password") != 0) {
                kb_request_fail(request, KB_E_UNSUPPORTED, "the local store knows no way %s, only password",
                                q.method);
                return;
        }
        g = login_new(s, request, q.user);
        if (!g)
                return;
        g->old = q.answer;
        start(g, check_password, on_checked);
}

/* --- change_secret --- */

static int check_and_hash(void *userdata)
{
        struct login *g = userdata;

        g->matched = !g->check_old || kb_password_matches(g->old, hash_of(g));
        if (!g->matched || g->preliminary)
                return 0;
        g->weak = kb_password_quality(g->new, g->old, g->user, &g->problem) != KB_E_OK;
        if (g->weak && !g->privileged)
                return 0;
        return kb_password_hash(g->new, g->hash);
}

static void on_hashed(int result, void *userdata)
{
        _cleanup_(login_freep) struct login *g = userdata;
        struct kb_problem problem;

        if (result == -EINVAL)
                kb_request_fail(g->request, KB_E_WEAK, "the new password is empty, too long, or no text");
        else if (result < 0)
                fail_pool(g, result);
        else if (!g->matched || g->person.version == 0)
                kb_request_fail(g->request, KB_E_BAD_SECRET, NULL);
        else if (g->preliminary)
                kb_request_reply(g->request, change_secret, .message = "");
        else if (g->weak && !g->privileged)
                kb_request_fail(g->request, KB_E_WEAK, "%s", g->problem.text);
        else if (!kb_service_ready(g->service, g->request))
                return; /* sealed meanwhile: the request is answered */
        else if (kb_person_set_hash(g->service->local, &g->person, g->hash, false, kb_now_realtime(),
                                    &problem) != KB_E_OK)
                kb_service_fail(g->request, &problem);
        else
                kb_request_reply(g->request, change_secret, .message = g->weak ? g->problem.text : "");
}

void kb_local_change_secret(struct kb_request *request, void *context)
{
        struct kb_change_secret_request q;
        struct kb_service *s = context;
        struct login *g;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, change_secret, &q))
                return;
        if (!q.privileged && !q.preliminary && q.old.size == 0) { /* nobody's password is empty */
                kb_request_fail(request, KB_E_BAD_SECRET, NULL);
                return;
        }
        g = login_new(s, request, q.user);
        if (!g)
                return;
        g->old = q.old;
        g->new = q.new;
        g->preliminary = q.preliminary;
        g->privileged = q.privileged;
        /* PAM first asks whether it could be done at all, before it has any password. */
        g->check_old = !q.privileged && !(q.preliminary && q.old.size == 0 && hash_of(g)[0]);
        start(g, check_and_hash, on_hashed);
}
