/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: issue, give again, revoke. */
#include "helper/store/local/pki.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/hex.h"
#include "helper/store/local/damage.h"

#define BACKDATE_SEC 30 /* for those whose clock is behind ours */
#define FIELDS_MAX   (8 * KB_PEM_MAX)

void kb_issued_done(struct kb_issued *i)
{
        kb_list_builder_done(&i->fields);
}

/* --- an answer given before --- */

/* The pairs of the sealed answer, with "lease" and "expiration" among them, become the answer again. */
static int restore(const struct kb_object *o, uint64_t now, struct kb_issued *ret)
{
        uint64_t ends = kb_object_number(o, "expiration", 0), seconds = now / KB_USEC_PER_SEC;
        struct kb_issued issued = {.fields = kb_list_builder_init(FIELDS_MAX)};
        struct kb_list rest = o->pairs;
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&rest, &name, &value))
                if (strcmp(name, "lease") != 0)
                        kb_list_add_pair(&issued.fields, name, value);
        snprintf(issued.lease, sizeof(issued.lease), "%s", kb_object_text(o, "lease", ""));
        issued.ttl = ends > seconds ? ends - seconds : 1;
        *ret = issued;
        return 1;
}

/*
 * The name an answer is kept under: the request id, and what was asked. An id that comes again with another
 * question must not bring the answer to the first.
 */
#define QUESTION_MAX (1024 * 1024)
#define QUESTION_HEX 32
#define ANSWER_MAX   (64 + 1 + QUESTION_HEX + 1)

static int name_answer(const char *request, const char *role, struct kb_list parameters,
                       char ret[ANSWER_MAX])
{
        _cleanup_writer_ struct kb_writer question = kb_writer_init(QUESTION_MAX);
        uint8_t digest[KB_KEY_SIZE];
        int n, r;

        kb_write_string(&question, role, 1024);
        kb_write_list(&question, parameters, UINT32_MAX - 1);
        r = kb_writer_end(&question);
        if (r >= 0)
                r = kb_crypto_sha256(KB_SPAN(question.data, question.size), digest);
        if (r < 0)
                return r;
        n = snprintf(ret, ANSWER_MAX, "%s.", request);
        if (n + QUESTION_HEX >= ANSWER_MAX)
                return -EMSGSIZE;
        kb_hex(KB_SPAN(digest, QUESTION_HEX / 2), ret + n);
        return 0;
}

static int given_before(struct kb_local *l, const char *request, uint64_t now, struct kb_issued *ret)
{
        _cleanup_object_ struct kb_object o = {};
        int r;

        if (!request[0])
                return 0;
        r = kb_object_get(&l->shelf, "reply", request, &o);
        if (r <= 0 || o.created + KB_REPLY_SEC * KB_USEC_PER_SEC < now)
                return r < 0 ? r : 0;
        return restore(&o, now, ret);
}

static int remember(struct kb_local *l, const char *request, const struct kb_issued *issued, uint64_t now)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(FIELDS_MAX);
        struct kb_list rest = kb_list_built(&issued->fields);
        struct kb_span value;
        const char *name;
        int r = kb_object_remove(&l->shelf, "reply", request); /* one that is too old to be given again */

        if (r < 0 || !request[0])
                return r;
        while (kb_list_next_pair(&rest, &name, &value))
                kb_list_add_pair(&pairs, name, value);
        kb_list_add_text(&pairs, "lease", issued->lease);
        return kb_object_put(&l->shelf, "reply", request, 0, kb_list_built(&pairs), now);
}

int kb_pki_forget_answers(struct kb_local *l, uint64_t now)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        const uint64_t keep = KB_REPLY_SEC * KB_USEC_PER_SEC;
        uint64_t before = now > keep ? now - keep : 0, n;
        int r;

        r = kb_db_number(l->db, &n, "SELECT count(*) FROM objects WHERE kind = 'reply' AND created < ?", "u",
                         before);
        if (r < 0 || n == 0)
                return r;
        r = kb_db_begin(l->db, &t);
        if (r >= 0)
                r = kb_db_run(l->db, "DELETE FROM objects WHERE kind = 'reply' AND created < ?", "u",
                              before);
        if (r >= 0)
                r = kb_db_commit(&t);
        if (r >= 0)
                kb_db_scrub(l->db);
        return r;
}

/* --- a new one --- */

/* Everything that one issue works on. */
struct issue {
        const struct kb_object *role, *ca;
        const struct kb_role_request *asked;
        const char *ca_name, *request;
        uint64_t now, not_after;
        char serial[KB_SERIAL_TEXT];
};

static void add_fields(const struct issue *i, const struct kb_writer *pem, const struct kb_writer *key,
                       struct kb_span ca_pem, struct kb_list_builder *fields)
{
        char text[3 * 16];

        for (unsigned k = 0; k < 16; k++)
                snprintf(text + 3 * k, 4, "%.2s%s", i->serial + 2 * k, k < 15 ? ":" : "");
        kb_list_add_pair(fields, "certificate", KB_SPAN(pem->data, pem->size));
        kb_list_add_pair(fields, "private_key", KB_SPAN(key->data, key->size));
        kb_list_add_pair(fields, "ca_chain", ca_pem);
        kb_list_add_pair(fields, "issuing_ca", ca_pem);
        kb_list_add_text(fields, "serial_number", text);
        kb_list_add_text(fields, "private_key_type", "ec");
        kb_list_add_number(fields, "expiration", i->not_after);
}

static int certify(struct issue *i, struct kb_list_builder *fields)
{
        _cleanup_writer_ struct kb_writer key = kb_writer_init(KB_PEM_MAX), pem = kb_writer_init(KB_PEM_MAX);
        struct kb_x509_signer signer = {};
        struct kb_x509_subject subject = {
                .common_name = i->asked->common_name,
                .dns = kb_list_built(&i->asked->dns),
                .ip = kb_list_built(&i->asked->ip),
                .uri = kb_list_built(&i->asked->uri),
                .serial = i->serial,
                .not_before = i->now / KB_USEC_PER_SEC - BACKDATE_SEC,
                .not_after = i->not_after,
                .uses = i->asked->uses,
        };
        int r = kb_x509_serial(i->serial);

        if (!kb_list_find(i->ca->pairs, "certificate", &signer.certificate) ||
            !kb_list_find(i->ca->pairs, "key", &signer.key))
                return -EUCLEAN;
        if (r >= 0)
                r = kb_x509_key(&key);
        if (r >= 0)
                r = kb_x509_issue(&subject, KB_SPAN(key.data, key.size), &signer, &pem);
        if (r < 0)
                return r;
        add_fields(i, &pem, &key, signer.certificate, fields);
        return kb_writer_end(&fields->writer);
}

static int record(struct kb_local *l, const struct issue *i, const struct kb_issued *issued)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = kb_db_run(l->db,
                              "INSERT INTO certificates (ca, serial, role, request, not_after)"
                              " VALUES (?, ?, ?, ?, ?)",
                              "ssssu", i->ca_name, i->serial, i->role->name, i->request, i->not_after);
        if (r >= 0)
                r = remember(l, i->request, issued, i->now);
        return r < 0 ? r : kb_db_commit(&t);
}

static enum kb_error issue(struct kb_local *l, struct issue *i, struct kb_issued *ret,
                           struct kb_problem *problem)
{
        struct kb_issued issued = {.fields = kb_list_builder_init(FIELDS_MAX), .ttl = i->asked->ttl};
        int r = certify(i, &issued.fields);

        if (r >= 0) {
                snprintf(issued.lease, sizeof(issued.lease), "pki/%s/%s", i->ca_name, i->serial);
                r = record(l, i, &issued);
        }
        if (r < 0) {
                kb_issued_done(&issued);
                return kb_problem_errno(problem, r, "issuing the certificate");
        }
        *ret = issued;
        return KB_E_OK;
}

static enum kb_error get_role(struct kb_local *l, const char *name, struct kb_object *ret,
                              struct kb_problem *problem)
{
        int r = kb_object_get(&l->shelf, "role", name, ret);

        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no role %.64s: `keybearer ca role-set`",
                                  name);
        return r < 0 ? kb_damage_problem(l, problem, r, "reading the role") : KB_E_OK;
}

enum kb_error kb_pki_issue(struct kb_local *l, const char *role_name, struct kb_list parameters,
                           const char *request, uint64_t now, struct kb_issued *ret,
                           struct kb_problem *problem)
{
        _cleanup_role_request_ struct kb_role_request asked = {};
        _cleanup_object_ struct kb_object role = {}, ca = {};
        char answer[ANSWER_MAX] = "";
        struct issue i = {.role = &role, .ca = &ca, .asked = &asked, .request = answer, .now = now};
        enum kb_error error;
        int r = request[0] ? name_answer(request, role_name, parameters, answer) : 0;

        if (r >= 0)
                r = given_before(l, answer, now, ret);
        if (r != 0)
                return r < 0 ? kb_problem_errno(problem, r, "reading what was issued before") : KB_E_OK;
        error = get_role(l, role_name, &role, problem);
        if (error == KB_E_OK)
                error = kb_role_judge(&role, parameters, &asked, problem);
        if (error != KB_E_OK)
                return error;
        i.ca_name = kb_object_text(&role, "ca", "default");
        error = kb_ca_get(l, i.ca_name, &ca, problem);
        if (error != KB_E_OK)
                return error;
        i.not_after = now / KB_USEC_PER_SEC + asked.ttl;
        if (i.not_after > kb_object_number(&ca, "not-after", 0))
                return kb_problem(problem, KB_E_EXPIRED,
                                  "CA %s ends before such a certificate would: make a new one", i.ca_name);
        return issue(l, &i, ret, problem);
}

/* --- the end of one --- */

bool kb_serial_valid(const char *serial)
{
        return strlen(serial) == KB_SERIAL_TEXT - 1 &&
               strspn(serial, "0123456789abcdef") == KB_SERIAL_TEXT - 1;
}

/*
 * One that is not in the database, though its CA is: issued after the backup that was restored. It is good
 * until it is in a list, so it is put down as revoked, until the CA ends: how long it lives was said by a
 * role that may be lost or another one by now. 0: nothing to put down.
 */
static int revoke_unknown(struct kb_local *l, const char *ca, const char *serial, uint64_t seconds)
{
        _cleanup_object_ struct kb_object o = {};
        int r = kb_serial_valid(serial) ? kb_object_get(&l->shelf, "ca", ca, &o) : 0;

        if (r <= 0)
                return r;
        return kb_db_run(l->db,
                         "INSERT INTO certificates (ca, serial, role, request, not_after, revoked)"
                         " VALUES (?, ?, '', '', ?, ?) ON CONFLICT DO NOTHING",
                         "ssuu", ca, serial, kb_object_number(&o, "not-after", 0), seconds);
}

enum kb_error kb_pki_revoke(struct kb_local *l, const char *ca, const char *serial, uint64_t now,
                            struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = kb_db_run(l->db,
                              "DELETE FROM objects WHERE kind = 'reply' AND name ="
                              " (SELECT request FROM certificates WHERE ca = ? AND serial = ?)",
                              "ss", ca, serial);
        if (r >= 0)
                r = kb_db_run(
                        l->db,
                        "UPDATE certificates SET revoked = ?3 WHERE ca = ?1 AND serial = ?2 AND revoked = 0",
                        "ssu", ca, serial, now / KB_USEC_PER_SEC);
        if (r == 0)
                r = revoke_unknown(l, ca, serial, now / KB_USEC_PER_SEC);
        if (r == 0)
                return KB_E_OK; /* nothing changed, nothing to write */
        if (r > 0)
                r = kb_db_run(l->db, "UPDATE crls SET stale = 1 WHERE ca = ?", "s", ca);
        if (r >= 0)
                r = kb_db_commit(&t);
        return r < 0 ? kb_problem_errno(problem, r, "revoking the certificate") : KB_E_OK;
}

enum kb_error kb_pki_check(struct kb_local *l, const char *ca, const char *serial, uint64_t now,
                           uint64_t *ret_ttl, struct kb_problem *problem)
{
        _cleanup_query_ struct kb_query q = {};
        uint64_t seconds = now / KB_USEC_PER_SEC;
        int r = kb_db_query(l->db, &q,
                            "SELECT not_after, revoked FROM certificates WHERE ca = ? AND serial = ?", "ss",
                            ca, serial);

        if (r >= 0)
                r = kb_query_next(&q);
        if (r < 0)
                return kb_problem_errno(problem, r, "reading the certificate");
        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no such certificate");
        if (kb_query_u64(&q, 1) > 0 || kb_query_u64(&q, 0) <= seconds)
                return kb_problem(problem, KB_E_EXPIRED, "the certificate is revoked or expired");
        *ret_ttl = kb_query_u64(&q, 0) - seconds;
        return KB_E_OK;
}
