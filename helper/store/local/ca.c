/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities and their revocation lists. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/names.h"
#include "helper/store/local/pki.h"

#define BACKDATE_SEC 60                 /* for those whose clock is behind ours */
#define CRL_SEC      (3 * 24 * 3600ull) /* how long a list is good */

enum kb_error kb_ca_get(struct kb_local *l, const char *name, struct kb_object *ret,
                        struct kb_problem *problem)
{
        int r = kb_object_get(&l->shelf, "ca", name, ret);

        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no CA %s: `keybearer ca create %s`",
                                  name, name);
        return r < 0 ? kb_problem_errno(problem, r, "reading the CA") : KB_E_OK;
}

static int make(const char *common_name, uint64_t ttl, uint64_t now, struct kb_list_builder *pairs)
{
        _cleanup_writer_ struct kb_writer key = kb_writer_init(KB_PEM_MAX), pem = kb_writer_init(KB_PEM_MAX);
        char serial[KB_SERIAL_TEXT];
        struct kb_x509_subject subject = {
                .common_name = common_name,
                .serial = serial,
                .not_before = now / KB_USEC_PER_SEC - BACKDATE_SEC,
                .not_after = now / KB_USEC_PER_SEC + ttl,
        };
        int r = kb_x509_serial(serial);

        if (r >= 0)
                r = kb_x509_key(&key);
        if (r >= 0)
                r = kb_x509_self_sign(&subject, KB_SPAN(key.data, key.size), &pem);
        if (r < 0)
                return r;
        kb_list_add_pair(pairs, "certificate", KB_SPAN(pem.data, pem.size));
        kb_list_add_pair(pairs, "key", KB_SPAN(key.data, key.size));
        kb_list_add_text(pairs, "common-name", common_name);
        kb_list_add_text(pairs, "serial", serial);
        kb_list_add_number(pairs, "not-after", subject.not_after);
        return 0;
}

enum kb_error kb_ca_create(struct kb_local *l, const char *name, const char *common_name, uint64_t ttl,
                           uint64_t now, struct kb_problem *problem)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(4 * KB_PEM_MAX);
        _cleanup_transaction_ struct kb_transaction t = {};
        int r;

        if (!kb_name_word_valid(name))
                return kb_problem(problem, KB_E_BAD_REQUEST, "a CA's name has letters, digits, '_' and '-'");
        if (!common_name[0] || strlen(common_name) > 64 || !kb_text_valid(common_name) || ttl == 0)
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "a CA has a common name of at most 64 bytes, and a ttl");
        r = make(common_name, ttl, now, &pairs);
        if (r >= 0)
                r = kb_db_begin(l->db, &t);
        if (r >= 0)
                r = kb_object_put(&l->shelf, "ca", name, 0, kb_list_built(&pairs), now);
        if (r >= 0)
                r = kb_db_commit(&t);
        if (r == -EEXIST)
                return kb_problem(problem, KB_E_CONFLICT, "there is a CA %s already", name);
        return r < 0 ? kb_problem_errno(problem, r, "making the CA") : KB_E_OK;
}

/* --- lists --- */

void kb_crl_done(struct kb_crl *c)
{
        kb_writer_done(&c->pem);
}

/* 1: there is one. *ret_fresh: it can be handed out as it is. */
static int load(struct kb_local *l, const char *ca, uint64_t now, struct kb_crl *ret, bool *ret_fresh)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(l->db, &q, "SELECT number, next_update, stale, pem FROM crls WHERE ca = ?", "s",
                            ca);

        if (r >= 0)
                r = kb_query_next(&q);
        if (r <= 0)
                return r;
        ret->number = kb_query_u64(&q, 0);
        ret->next_update = kb_query_u64(&q, 1);
        /* nor is one that a clock made which was ahead: nobody takes it before its time */
        *ret_fresh = kb_query_u64(&q, 2) == 0 && now + CRL_SEC / 2 * KB_USEC_PER_SEC < ret->next_update &&
                     ret->next_update <= now + CRL_SEC * KB_USEC_PER_SEC;
        if (*ret_fresh)
                kb_write_raw(&ret->pem, kb_query_blob(&q, 3));
        r = kb_writer_end(&ret->pem);
        return r < 0 ? r : 1;
}

/* What is revoked and not expired yet: an expired certificate is refused without a list. */
static int collect(struct kb_local *l, const char *ca, uint64_t now, struct kb_writer *ret, size_t *ret_n)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(
                l->db, &q,
                "SELECT serial, revoked FROM certificates WHERE ca = ? AND revoked > 0 AND not_after > ?",
                "su", ca, now / KB_USEC_PER_SEC);

        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                struct kb_x509_revoked entry = {.when = kb_query_u64(&q, 1)};

                snprintf(entry.serial, sizeof(entry.serial), "%s", kb_query_string(&q, 0));
                kb_write_raw(ret, KB_SPAN(&entry, sizeof(entry)));
                (*ret_n)++;
        }
        return r < 0 ? r : kb_writer_end(ret);
}

static int make_crl(struct kb_local *l, const char *ca, const struct kb_object *o, uint64_t now,
                    struct kb_crl *crl)
{
        _cleanup_writer_ struct kb_writer revoked = kb_writer_init(64 * 1024 * 1024);
        struct kb_x509_signer signer = {};
        size_t n = 0;
        int r = collect(l, ca, now, &revoked, &n);

        if (r < 0)
                return r;
        if (!kb_list_find(o->pairs, "certificate", &signer.certificate) ||
            !kb_list_find(o->pairs, "key", &signer.key))
                return -EUCLEAN;
        /* Numbers go back with a database that is put back; the time does not, and no number comes twice. */
        if (++crl->number < now / KB_USEC_PER_SEC)
                crl->number = now / KB_USEC_PER_SEC;
        crl->next_update = now + CRL_SEC * KB_USEC_PER_SEC;
        return kb_x509_crl(&signer, crl->number, now / KB_USEC_PER_SEC - BACKDATE_SEC,
                           crl->next_update / KB_USEC_PER_SEC,
                           (const struct kb_x509_revoked *)(void *)revoked.data, n, &crl->pem);
}

/* Forgets what has expired, with a day's grace for clocks. */
static int tidy(struct kb_local *l, const char *ca, uint64_t now)
{
        uint64_t seconds = now / KB_USEC_PER_SEC;

        return kb_db_run(l->db, "DELETE FROM certificates WHERE ca = ? AND not_after < ?", "su", ca,
                         seconds > 86400 ? seconds - 86400 : 0);
}

static int renew_crl(struct kb_local *l, const char *ca, const struct kb_object *o, uint64_t now,
                     struct kb_crl *crl)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = tidy(l, ca, now);
        if (r >= 0)
                r = make_crl(l, ca, o, now, crl);
        if (r >= 0)
                r = kb_db_run(
                        l->db,
                        "INSERT INTO crls (ca, number, stale, next_update, pem) VALUES (?1, ?2, 0, ?3, ?4)"
                        " ON CONFLICT (ca) DO UPDATE SET number = ?2, stale = 0, next_update = ?3, pem = ?4",
                        "suub", ca, crl->number, crl->next_update, KB_SPAN(crl->pem.data, crl->pem.size));
        return r < 0 ? r : kb_db_commit(&t);
}

enum kb_error kb_pki_crl(struct kb_local *l, const char *ca, uint64_t now, struct kb_crl *ret,
                         struct kb_problem *problem)
{
        _cleanup_object_ struct kb_object o = {};
        struct kb_crl crl = {.pem = kb_writer_init(64 * 1024 * 1024)};
        enum kb_error error = kb_ca_get(l, ca, &o, problem);
        bool fresh = false;
        int r;

        if (error != KB_E_OK)
                return error;
        r = load(l, ca, now, &crl, &fresh);
        if (r >= 0 && !fresh)
                r = renew_crl(l, ca, &o, now, &crl);
        if (r < 0) {
                kb_crl_done(&crl);
                return kb_problem_errno(problem, r, "making the revocation list");
        }
        *ret = crl;
        return KB_E_OK;
}
