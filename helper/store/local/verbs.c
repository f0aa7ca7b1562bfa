/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of a store: take the request apart, ask, put the answer together. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/names.h"
#include "helper/store/local/kv.h"
#include "helper/store/local/pki.h"
#include "helper/store/local/service.h"

/* --- hello --- */

static int add_name(struct kb_object *o, void *userdata)
{
        kb_list_add_string(userdata, o->name);
        return 0;
}

static void hello(struct kb_request *request, void *context)
{
        static const char *const abilities[] = {"authenticate", "change_secret", "directory", "renew",
                                                "revoke",       "crl",           "admin"};
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(4096);
        _cleanup_list_ struct kb_list_builder crls = kb_list_builder_init(4096);
        struct kb_service *s = context;
        struct kb_problem problem = {};
        struct kb_hello_request q;
        enum kb_error refusal;
        char keep[128];

        if (!kb_request_decode(request, hello, &q))
                return;
        kb_service_retry(s);
        kb_local_compare(s->local, q.keep);
        kb_local_keep(s->local, keep, sizeof(keep));
        for (size_t i = 0; i < KB_ARRAY_SIZE(abilities); i++)
                kb_list_add_string(&list, abilities[i]);
        if (s->local->state == KB_LOCAL_OPEN &&
            kb_object_each(&s->local->shelf, "ca", "", add_name, &crls) < 0) {
                kb_request_fail(request, KB_E_STORAGE, "the names of the authorities cannot be read");
                return;
        }
        refusal = kb_local_ready(s->local, &problem);
        kb_request_reply(request, hello, .kind = "local", .version = PACKAGE_VERSION,
                         .abilities = kb_list_built(&list), .crls = kb_list_built(&crls),
                         .epoch = s->local->identity.epoch, .keep = KB_SPAN_STRING(keep), .refusal = refusal,
                         .problem = problem.text);
}

/* --- fetch --- */

/* The version that is asked for, or was given to this request before. False: the request has been failed. */
static bool choose_version(struct kb_service *s, struct kb_request *request,
                           const struct kb_fetch_request *q, uint64_t *ret)
{
        const char *before = q->version[0] ? NULL : kb_recent_find(s->recent, q->request, q->path);
        const char *text = before ? before : q->version;

        *ret = KB_KV_LATEST;
        if (!text[0] || (kb_parse_number(text, ret) && *ret > 0))
                return true;
        kb_request_fail(request, KB_E_BAD_REQUEST, "a version is a number from 1 on");
        return false;
}

/*
 * PATH@VERSION. A store that was put back gives the numbers after the backup anew, to other values: from
 * then on its epoch stands behind the number, so that no lease from before, which the broker may still hold,
 * is its name.
 */
static void name_secret_lease(const struct kb_local *l, const char *path, const char *version, char *ret,
                              size_t size)
{
        if (l->identity.epoch == KB_EPOCH_FIRST)
                snprintf(ret, size, "%s@%s", path, version);
        else
                snprintf(ret, size, "%s@%s.%llx", path, version, (unsigned long long)l->identity.epoch);
}

static void fetch_secret(struct kb_service *s, struct kb_request *request, const struct kb_fetch_request *q)
{
        _cleanup_kv_secret_ struct kb_kv_secret secret = {};
        struct kb_problem problem;
        uint64_t version;
        char lease[600], number[21];

        if (q->parameters.count > 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, "a secret of kv/ takes no parameters");
                return;
        }
        if (!choose_version(s, request, q, &version))
                return;
        if (kb_kv_get(s->local, q->path, version, &secret, &problem) != KB_E_OK) {
                kb_service_fail(request, &problem);
                return;
        }
        snprintf(number, sizeof(number), "%llu", (unsigned long long)secret.version);
        name_secret_lease(s->local, q->path, number, lease, sizeof(lease));
        if (kb_recent_put(s->recent, q->request, q->path, number) < 0)
                kb_request_fail(request, KB_E_BUSY, "memory is out");
        else
                kb_request_reply(request, fetch, .fields = secret.fields, .lease = lease, .version = number);
}

static void fetch_certificate(struct kb_service *s, struct kb_request *request,
                              const struct kb_fetch_request *q)
{
        _cleanup_issued_ struct kb_issued issued = {};
        struct kb_problem problem;
        const char *role = strrchr(q->path, '/') + 1;

        if (q->version[0]) {
                kb_request_fail(request, KB_E_BAD_REQUEST, "a certificate has no versions");
                return;
        }
        if (kb_pki_issue(s->local, role, q->parameters, q->request, kb_now_realtime(), &issued, &problem) !=
            KB_E_OK) {
                kb_service_fail(request, &problem);
                return;
        }
        kb_request_reply(request, fetch, .fields = kb_list_built(&issued.fields), .lease = issued.lease,
                         .ttl = issued.ttl, .version = "");
}

/* What lies where: the same paths as on the network store, so that a credential can move. */
static const struct {
        const char *prefix;
        void (*fetch)(struct kb_service *s, struct kb_request *request, const struct kb_fetch_request *q);
} engines[] = {
        {"kv/", fetch_secret},
        {"pki/issue/", fetch_certificate},
};

static void fetch(struct kb_request *request, void *context)
{
        struct kb_service *s = context;
        struct kb_fetch_request q;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, fetch, &q))
                return;
        if (!kb_name_path_valid(q.path)) {
                kb_request_fail(request, KB_E_BAD_REQUEST, "the path is words joined by '/'");
                return;
        }
        if (q.person[0]) {
                kb_request_fail(request, KB_E_UNSUPPORTED,
                                "the local store has no tokens of people: As=person is for a cluster");
                return;
        }
        if (q.method[0] && strcmp(q.method, "read") != 0) {
                kb_request_fail(request, KB_E_UNSUPPORTED, "the local store knows no Method=%s", q.method);
                return;
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(engines); i++)
                if (strncmp(q.path, engines[i].prefix, strlen(engines[i].prefix)) == 0) {
                        engines[i].fetch(s, request, &q);
                        return;
                }
        kb_request_fail(request, KB_E_NOT_FOUND, "the local store has kv/PATH and pki/issue/ROLE, not %s",
                        q.path);
}

/* --- leases --- */

/* "pki/CA/SERIAL" taken apart. False for another lease. */
static bool parse_certificate_lease(const char *lease, char ca[KB_CA_NAME_MAX + 1],
                                    char serial[KB_SERIAL_TEXT])
{
        const char *end;

        if (strncmp(lease, "pki/", 4) != 0 || !(end = strchr(lease + 4, '/')))
                return false;
        if (end - lease - 4 > KB_CA_NAME_MAX || strlen(end + 1) != KB_SERIAL_TEXT - 1)
                return false;
        snprintf(ca, KB_CA_NAME_MAX + 1, "%.*s", (int)(end - lease - 4), lease + 4);
        snprintf(serial, KB_SERIAL_TEXT, "%s", end + 1);
        return true;
}

/* Of this epoch or another: the end of such a lease changes nothing here. */
static bool is_secret_lease(const char *lease)
{
        const char *at = strrchr(lease, '@');
        char number[21];
        uint64_t version;
        size_t n, mark;

        if (strncmp(lease, "kv/", 3) != 0 || !at)
                return false;
        n = strcspn(++at, ".");
        mark = at[n] ? strspn(at + n + 1, "0123456789abcdef") : 0;
        if (n >= sizeof(number) || (at[n] && (mark == 0 || at[n + 1 + mark])))
                return false;
        snprintf(number, sizeof(number), "%.*s", (int)n, at);
        return kb_parse_number(number, &version);
}

static void renew(struct kb_request *request, void *context)
{
        char ca[KB_CA_NAME_MAX + 1], serial[KB_SERIAL_TEXT];
        struct kb_service *s = context;
        struct kb_renew_request q;
        struct kb_problem problem;
        uint64_t ttl;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, renew, &q))
                return;
        if (is_secret_lease(q.lease))
                kb_request_reply(request, renew, .ttl = 0, .renewable = false);
        else if (!parse_certificate_lease(q.lease, ca, serial))
                kb_request_fail(request, KB_E_NOT_FOUND, "that is no lease of this store");
        else if (kb_pki_check(s->local, ca, serial, kb_now_realtime(), &ttl, &problem) != KB_E_OK)
                kb_service_fail(request, &problem);
        else
                kb_request_reply(request, renew, .ttl = ttl,
                                 .renewable = false); /* its end is in its signature */
}

static void revoke_lease(struct kb_request *request, void *context)
{
        char ca[KB_CA_NAME_MAX + 1], serial[KB_SERIAL_TEXT];
        struct kb_service *s = context;
        struct kb_revoke_request q;
        struct kb_problem problem;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, revoke, &q))
                return;
        /* A secret's lease is a record only; one that is nobody's is gone already. */
        if (parse_certificate_lease(q.lease, ca, serial) &&
            kb_pki_revoke(s->local, ca, serial, kb_now_realtime(), &problem) != KB_E_OK)
                kb_service_fail(request, &problem);
        else
                kb_request_reply(request, revoke);
}

static void crl(struct kb_request *request, void *context)
{
        _cleanup_crl_ struct kb_crl list = {};
        struct kb_service *s = context;
        struct kb_crl_request q;
        struct kb_problem problem;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, crl, &q))
                return;
        if (kb_pki_crl(s->local, q.name, kb_now_realtime(), &list, &problem) != KB_E_OK)
                kb_service_fail(request, &problem);
        else
                kb_request_reply(request, crl, .number = list.number, .next_update = list.next_update,
                                 .pem = list.number == q.have ? KB_SPAN("", 0)
                                                              : KB_SPAN(list.pem.data, list.pem.size));
}

/* --- status --- */

static const struct {
        const char *fact;
        const char *sql;
} counts[] = {
        {"secrets", "SELECT count(*) FROM secrets"},
        {"certificates", "SELECT count(*) FROM certificates WHERE revoked = 0"},
        {"revoked certificates", "SELECT count(*) FROM certificates WHERE revoked > 0"},
        {"people", "SELECT count(*) FROM objects WHERE kind = 'person'"},
        {"groups", "SELECT count(*) FROM objects WHERE kind = 'group'"},
        {"rules", "SELECT count(*) FROM objects WHERE kind = 'rule'"},
        {"seal slots", "SELECT count(*) FROM slots"},
};

void kb_local_facts(const struct kb_service *s, struct kb_list_builder *facts)
{
        struct kb_problem problem;
        uint64_t n;

        kb_list_add_text(facts, "state", kb_local_state_word(s->local->state));
        if (kb_local_ready(s->local, &problem) != KB_E_OK)
                kb_list_add_text(facts, "problem", problem.text);
        kb_list_add_text(facts, "version", PACKAGE_VERSION);
        kb_list_add_number(facts, "root key", kb_keyring_newest(s->local->keys));
        kb_list_add_number(facts, "changes", s->local->identity.changes);
        kb_list_add_number(facts, "waiting for a thread", kb_pool_pending(s->pool));
        for (size_t i = 0; s->local->db && i < KB_ARRAY_SIZE(counts); i++)
                if (kb_db_number(s->local->db, &n, counts[i].sql, "") >= 0)
                        kb_list_add_number(facts, counts[i].fact, n);
}

static void status(struct kb_request *request, void *context)
{
        _cleanup_list_ struct kb_list_builder facts = kb_list_builder_init(16384);
        struct kb_service *s = context;

        kb_service_retry(s);
        kb_local_facts(s, &facts);
        kb_request_reply(request, store_status, .facts = kb_list_built(&facts));
}

const struct kb_dispatch kb_local_dispatch[] = {
        {KB_VERB_hello, hello},
        {KB_VERB_store_authenticate, kb_local_authenticate, .crowds = true},
        {KB_VERB_change_secret, kb_local_change_secret},
        {KB_VERB_directory, kb_local_directory},
        {KB_VERB_fetch, fetch},
        {KB_VERB_renew, renew},
        {KB_VERB_revoke, revoke_lease},
        {KB_VERB_crl, crl},
        {KB_VERB_store_status, status},
        {KB_VERB_store_admin, kb_local_admin},
};
const size_t kb_local_dispatch_size = KB_ARRAY_SIZE(kb_local_dispatch);
