/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of a store: it greets, says how it is, hands secrets to the engines and people to those who know
 * them. */
#include <string.h>

#include "common/clock.h"
#include "helper/store/vault/permissions.h"
#include "helper/store/vault/vault.h"

#define KEEP_MAX 4096 /* of hello */

static void hello(struct kb_request *request, void *context)
{
        _cleanup_writer_ struct kb_writer keep = kb_writer_init(KEEP_MAX);
        struct kb_vault *v = context;
        const struct kb_problem *problem;
        struct kb_hello_request q;

        if (!kb_request_decode(request, hello, &q))
                return;
        kb_vault_retry(v, kb_now_monotonic());
        kb_vault_greeted(v, q.keep);
        if (v->tokens && q.counted)
                kb_person_tokens_present(v->tokens, q.people);
        if (kb_vault_waits(v, request, hello))
                return;
        if (v->login)
                kb_login_keep(v->login, &keep);
        problem = kb_vault_problem(v);
        kb_request_reply(request, hello, .kind = "vault", .version = PACKAGE_VERSION,
                         .epoch = v->login ? kb_login_epoch(v->login) : 0,
                         .keep = KB_SPAN(keep.data, keep.size), .refusal = problem->error,
                         .problem = problem->error == KB_E_OK ? "" : problem->text);
}

/*
 * Whether it is logged in; else the request waits for that, or has been failed. "Unsupported" would be an
 * end to a revocation, which still has to be done.
 */
static bool ready(struct kb_vault *v, struct kb_request *request, kb_handler handler)
{
        const struct kb_problem *problem;

        kb_vault_retry(v, kb_now_monotonic());
        if (kb_vault_waits(v, request, handler))
                return false;
        problem = kb_vault_problem(v);
        if (problem->error != KB_E_OK)
                kb_request_fail(request, problem->error, "%s", problem->text);
        return problem->error == KB_E_OK;
}

static void fetch(struct kb_request *request, void *context)
{
        struct kb_vault *v = context;

        if (ready(v, request, fetch))
                kb_engines_fetch(v->engines, request);
}

static void renew(struct kb_request *request, void *context)
{
        struct kb_vault *v = context;

        if (ready(v, request, renew))
                kb_engines_renew(v->engines, request);
}

static void revoke_lease(struct kb_request *request, void *context)
{
        struct kb_vault *v = context;

        if (ready(v, request, revoke_lease))
                kb_engines_revoke(v->engines, request);
}

static void directory(struct kb_request *request, void *context)
{
        struct kb_vault *v = context;

        if (ready(v, request, directory))
                kb_vault_directory_get(v->directory, request);
}

/* People log in with their own password: also while this host itself is not logged in. NULL: the request has
 * been failed, or waits for settings that are about to change. */
static struct kb_people *people(struct kb_vault *v, struct kb_request *request, kb_handler handler)
{
        kb_vault_retry(v, kb_now_monotonic());
        if (v->next && kb_vault_waits(v, request, handler))
                return NULL;
        if (!v->people)
                kb_request_fail(request, v->problem.error, "%s", v->problem.text);
        return v->people;
}

static void authenticate(struct kb_request *request, void *context)
{
        struct kb_people *p = people(context, request, authenticate);

        if (p)
                kb_people_authenticate(p, request);
}

static void go_on(struct kb_request *request, void *context)
{
        struct kb_people *p = people(context, request, go_on);

        if (p)
                kb_people_continue(p, request);
}

static void change_secret(struct kb_request *request, void *context)
{
        struct kb_people *p = people(context, request, change_secret);

        if (p)
                kb_people_change_secret(p, request);
}

static void cannot(struct kb_request *request, void *context)
{
        kb_request_fail(request, KB_E_UNSUPPORTED, "a store of type vault cannot do that yet");
}

static void status(struct kb_request *request, void *context)
{
        _cleanup_list_ struct kb_list_builder facts = kb_list_builder_init(16384);
        struct kb_vault *v = context;

        kb_vault_retry(v, kb_now_monotonic());
        kb_vault_facts(v, &facts);
        kb_request_reply(request, store_status, .facts = kb_list_built(&facts));
}

/* `keybearer store status`: the same facts as a row. */
static void admin_status(struct kb_request *request, struct kb_vault *v)
{
        _cleanup_list_ struct kb_list_builder rows = kb_list_builder_init(32768),
                                              row = kb_list_builder_init(16384);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(32768);

        kb_vault_retry(v, kb_now_monotonic());
        kb_vault_facts(v, &row);
        kb_write_list(&w, kb_list_built(&row), UINT32_MAX - 1);
        kb_list_add(&rows, KB_SPAN(w.data, w.size));
        kb_request_reply(request, store_admin, .rows = kb_list_built(&rows));
}

static bool is(const struct kb_store_admin_request *q, const char *object, const char *action)
{
        return strcmp(q->object, object) == 0 && strcmp(q->action, action) == 0;
}

static void admin(struct kb_request *request, void *context)
{
        struct kb_vault *v = context;
        struct kb_store_admin_request q;
        struct kb_permissions_of of = {.method = ""};

        if (!kb_request_decode(request, store_admin, &q))
                return;
        if (is(&q, "store", "status")) {
                admin_status(request, v);
        } else if (v->identity.user && is(&q, "directory", "put")) {
                if (ready(v, request, admin))
                        kb_vault_directory_put(v->directory, request, &q);
        } else if (!is(&q, "policy", "show")) {
                kb_request_fail(
                        request, KB_E_UNSUPPORTED,
                        "a store of type vault has no `%s %s`: its servers have commands of their own",
                        q.object, q.action);
        } else if (ready(v, request, admin)) {
                of.path = q.name;
                of.mount = v->settings->directory_mount;
                of.folder = v->settings->directory_path;
                (void)!kb_list_find_string(q.fields, "method", &of.method);
                kb_engines_permissions(v->engines, request, &of);
        }
}

const struct kb_dispatch kb_vault_dispatch[] = {
        {KB_VERB_hello, hello},          {KB_VERB_store_authenticate, authenticate, .crowds = true},
        {KB_VERB_store_continue, go_on}, {KB_VERB_change_secret, change_secret},
        {KB_VERB_directory, directory},  {KB_VERB_fetch, fetch},
        {KB_VERB_renew, renew},          {KB_VERB_revoke, revoke_lease},
        {KB_VERB_crl, cannot},           {KB_VERB_store_status, status},
        {KB_VERB_store_admin, admin},
};
const size_t kb_vault_dispatch_size = KB_ARRAY_SIZE(kb_vault_dispatch);
