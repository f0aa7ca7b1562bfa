/* SPDX-License-Identifier: Apache-2.0 */
/* Leases renewed, revoked, and taken back. */
#include "helper/store/vault/lease_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "helper/server/process.h"

/* One request about a lease. */
struct kb_lease_work {
        struct kb_lease_work *next;
        struct kb_engines *engines;
        struct kb_asking ask;
        struct kb_request *request; /* NULL: nobody waits for it */
        struct kb_lease_name name;
        uint64_t increment;
};

static void work_free(struct kb_lease_work *w)
{
        kb_ask_cancel(&w->ask);
        free(w);
}

static void work_end(struct kb_lease_work *w)
{
        struct kb_lease_work **at = &w->engines->works;

        while (*at != w)
                at = &(*at)->next;
        *at = w->next;
        work_free(w);
}

void kb_lease_works_free(struct kb_engines *e)
{
        while (e->works)
                work_end(e->works);
}

static struct kb_lease_work *work_new(struct kb_engines *e, const struct kb_lease_name *name,
                                      struct kb_request *request)
{
        struct kb_lease_work *w = calloc(1, sizeof(*w));

        if (!w)
                return NULL;
        w->engines = e;
        w->ask.is = &e->is;
        w->name = *name;
        w->request = request;
        w->next = e->works;
        e->works = w;
        return w;
}

/* The work is over without success. A lease that nobody holds is the journal's. */
static void work_fail(struct kb_lease_work *w, enum kb_error error, const char *text)
{
        if (w->request)
                kb_request_fail(w->request, error, "%s", text);
        else
                kb_process_log(
                        LOG_ERR,
                        "a lease that nobody took could not be taken back, and lives until its end: %s",
                        text);
        work_end(w);
}

static void ask(struct kb_lease_work *w, const struct kb_path *path, struct kb_body *body, kb_ask_done done)
{
        uint64_t usec = w->request ? w->engines->is.request_usec : KB_TAKE_BACK_USEC;
        struct kb_question question = {
                .method = KB_HTTP_POST,
                .path = path,
                .body = body,
                .patient = !w->request,
                .deadline = kb_time_add(kb_now_monotonic(), usec),
        };
        struct kb_problem problem;

        if (kb_ask_start(&w->ask, &question, done, w, &problem) != KB_E_OK)
                work_fail(w, problem.error, problem.text);
}

/* --- renew --- */

/* The server says 400 to a lease that it does not know, and to one that has ended. */
static enum kb_error renewal_error(const struct kb_asked *asked)
{
        bool gone = asked->error == KB_E_NOT_FOUND ||
                    (asked->error == KB_E_BAD_REQUEST &&
                     (strstr(asked->text, "lease not found") || strstr(asked->text, "lease expired")));

        return gone ? KB_E_EXPIRED : asked->error;
}

static void on_renewed(const struct kb_asked *asked, void *userdata)
{
        struct kb_lease_work *w = userdata;
        uint64_t left = kb_engines_left(w->engines, w->name.generation, asked->envelope.lease_duration);

        if (asked->error != KB_E_OK)
                work_fail(w, renewal_error(asked), asked->text);
        else if (left == 0) /* on the wire that would be a lease without an end */
                work_fail(w, KB_E_EXPIRED, "the lease cannot live any longer");
        else {
                kb_request_reply(w->request, renew, .ttl = left, .renewable = asked->envelope.renewable);
                work_end(w);
        }
}

static void renew(struct kb_engines *e, struct kb_request *request, const struct kb_lease_name *name,
                  uint64_t increment)
{
        _cleanup_body_ struct kb_body body = kb_body_init();
        struct kb_path path = kb_path_init("sys/leases/renew");
        struct kb_lease_work *w;

        if (name->generation > 0 && kb_login_problem(e->is.login)->error == KB_E_OK &&
            kb_login_generation_ends(e->is.login, name->generation) == 0) {
                kb_request_fail(request, KB_E_EXPIRED,
                                "the token that this lease was made with has ended, and the lease with it");
                return;
        }
        w = work_new(e, name, request);
        if (!w) {
                kb_request_fail(request, KB_E_BUSY, "memory is out");
                return;
        }
        kb_body_text(&body, "lease_id", name->front);
        if (increment > 0 && increment <= (uint64_t)KB_API_SECONDS_MAX)
                kb_body_number(&body, "increment", (int64_t)increment);
        ask(w, &path, &body, on_renewed);
}

void kb_engines_renew(struct kb_engines *e, struct kb_request *request)
{
        struct kb_renew_request q;
        struct kb_lease_name name;

        if (!kb_request_decode(request, renew, &q))
                return;
        kb_lease_name_parse(q.lease, &name);
        switch (name.kind) {
        case KB_LEASE_NAME_SERVER:
                renew(e, request, &name, q.increment);
                break;
        case KB_LEASE_NAME_VERSION:
                kb_request_reply(request, renew, .ttl = 0, .renewable = false);
                break;
        case KB_LEASE_NAME_CERTIFICATE:
        case KB_LEASE_NAME_RECORD:
                kb_request_fail(request, KB_E_UNSUPPORTED,
                                "such a lease ends when it was made to: fetch anew");
                break;
        case KB_LEASE_NAME_BAD:
                kb_request_fail(request, KB_E_NOT_FOUND, "that is no lease of this store");
                break;
        }
}

/* --- revoke --- */

static void on_revoked(const struct kb_asked *asked, void *userdata)
{
        struct kb_lease_work *w = userdata;
        /* A certificate that the server never kept is none that it could revoke: role with no_store. */
        bool gone = asked->error == KB_E_NOT_FOUND ||
                    (asked->error == KB_E_BAD_REQUEST && w->name.kind == KB_LEASE_NAME_CERTIFICATE &&
                     strstr(asked->text, "not found"));

        if (asked->error != KB_E_OK && !gone) {
                work_fail(w, asked->error, asked->text);
                return;
        }
        if (w->request)
                kb_request_reply(w->request, revoke);
        work_end(w);
}

static void ask_to_revoke(struct kb_lease_work *w)
{
        _cleanup_body_ struct kb_body body = kb_body_init();
        struct kb_path path = kb_path_init("");

        if (w->name.kind == KB_LEASE_NAME_SERVER) {
                kb_path_fixed(&path, "sys/leases/revoke");
                kb_body_text(&body, "lease_id", w->name.front);
                kb_body_flag(&body, "sync", true); /* else it may still work when we say that it does not */
        } else {
                kb_path_many(&path, w->name.front);
                kb_path_fixed(&path, "revoke");
                kb_body_text(&body, "serial_number", w->name.back);
        }
        ask(w, &path, &body, on_revoked);
}

/* Whether there is something to be done at the server to end it. */
static bool is_revocable(const struct kb_lease_name *name)
{
        return name->kind == KB_LEASE_NAME_SERVER || name->kind == KB_LEASE_NAME_CERTIFICATE;
}

void kb_engines_revoke(struct kb_engines *e, struct kb_request *request)
{
        struct kb_revoke_request q;
        struct kb_lease_name name;
        struct kb_lease_work *w;

        if (!kb_request_decode(request, revoke, &q))
                return;
        kb_kept_drop(e->kept, q.lease);
        kb_lease_name_parse(q.lease, &name);
        if (!is_revocable(&name)) { /* nothing to take back; one that is nobody's is gone already */
                kb_request_reply(request, revoke);
                return;
        }
        w = work_new(e, &name, request);
        if (w)
                ask_to_revoke(w);
        else
                kb_request_fail(request, KB_E_BUSY, "memory is out");
}

void kb_engines_take_back(struct kb_engines *e, const char *lease)
{
        struct kb_lease_name name;
        struct kb_lease_work *w;

        kb_lease_name_parse(lease, &name);
        if (!is_revocable(&name))
                return;
        w = work_new(e, &name, NULL);
        if (w)
                ask_to_revoke(w);
        else
                kb_process_log(LOG_ERR, "memory is out: a lease that nobody took lives until its end");
}
