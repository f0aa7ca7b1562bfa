/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates, with the fields that they have on every store: certificate, private_key, ca_chain,
 * issuing_ca, serial_number, private_key_type, expiration. `issue` has the server make the key; with `sign`
 * it is made here, and the server never sees it.
 */
#include <stdio.h>
#include <string.h>

#include "helper/store/vault/csr.h"
#include "helper/store/vault/fetch.h"

static void add_fields(const struct kb_fetch *f, const struct kb_json_value *data,
                       struct kb_list_builder *fields)
{
        const struct kb_json_value *chain = kb_json_get(data, "ca_chain"),
                                   *issuer = kb_json_get(data, "issuing_ca");

        kb_fetch_add_pem(fields, "certificate", kb_json_get(data, "certificate"));
        if (f->key.size > 0) {
                kb_list_add_pair(fields, "private_key", KB_SPAN(f->key.data, f->key.size));
                kb_list_add_text(fields, "private_key_type", "ec");
        } else {
                kb_fetch_add_pem(fields, "private_key", kb_json_get(data, "private_key"));
                kb_fetch_add_member(fields, data, "private_key_type");
        }
        /* An authority with none above it may have no chain: it is its own. */
        kb_fetch_add_pem(fields, "ca_chain", kb_json_count(chain) > 0 ? chain : issuer);
        kb_fetch_add_pem(fields, "issuing_ca", issuer);
        kb_fetch_add_member(fields, data, "serial_number");
        kb_fetch_add_member(fields, data, "expiration");
}

/* Whether the key that the consumer gets is the certificate's. */
static bool is_complete(const struct kb_fetch *f, const struct kb_json_value *data)
{
        struct kb_span certificate, key = KB_SPAN(f->key.data, f->key.size);

        return kb_json_string(kb_json_get(data, "certificate"), &certificate) >= 0 &&
               (key.size > 0 || kb_json_string(kb_json_get(data, "private_key"), &key) >= 0) &&
               kb_csr_matches(certificate, key);
}

/* One without a lease is known by its serial number; it ends when it says so, by our clock. */
static void give_unleased(struct kb_fetch *f, const struct kb_asked *asked,
                          const struct kb_list_builder *fields, const char *serial)
{
        int64_t now = (int64_t)(kb_now_realtime() / KB_USEC_PER_SEC), ends;
        struct kb_fetch_answer answer = {.fields = fields};

        if (kb_lease_name_certificate(f->mount.path, serial, answer.lease) < 0) {
                kb_fetch_nonsense(f, asked, "serial_number");
                return;
        }
        if (kb_json_integer(kb_json_get(asked->envelope.data, "expiration"), 1, INT64_MAX / 2, &ends) < 0) {
                kb_engines_take_back(f->engines, answer.lease);
                kb_fetch_nonsense(f, asked, "expiration");
                return;
        }
        if (ends <= now) {
                kb_engines_take_back(f->engines, answer.lease);
                kb_fetch_fail(f, KB_E_EXPIRED,
                              "%s: the certificate has expired already, by the clock of this host",
                              f->is.path);
                return;
        }
        answer.ttl = (uint64_t)(ends - now);
        kb_fetch_done(f, &answer);
}

static void on_certificate(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);
        char name[KB_LEASE_NAME_MAX + 1];
        const char *serial;

        if (kb_fetch_refused(f, asked))
                return;
        serial = kb_fetch_text(f, asked, "serial_number");
        if (!serial)
                return;
        if (!is_complete(f, asked->envelope.data)) {
                if (!asked->envelope.lease_id[0] &&
                    kb_lease_name_certificate(f->mount.path, serial, name) >= 0)
                        kb_engines_take_back(f->engines, name);
                kb_fetch_nonsense(f, asked, "certificate and private_key do not belong together");
                return;
        }
        add_fields(f, asked->envelope.data, &fields);
        if (asked->envelope.lease_id[0])
                kb_fetch_done_leased(f, asked, &fields);
        else
                give_unleased(f, asked, &fields, serial);
}

void kb_engine_issue(struct kb_fetch *f)
{
        _cleanup_body_ struct kb_body body = kb_fetch_body(f);
        struct kb_path path = kb_fetch_path(f);

        kb_fetch_post(f, &path, &body, true, on_certificate);
}

void kb_engine_sign(struct kb_fetch *f)
{
        _cleanup_writer_ struct kb_writer csr = kb_writer_init(KB_PEM_MAX);
        _cleanup_body_ struct kb_body body = kb_fetch_body(f);
        struct kb_path path = kb_fetch_path(f);

        kb_writer_done(&f->key); /* of a first try with a token that was dead */
        f->key = kb_writer_init(KB_PEM_MAX);
        if (kb_fetch_parameter(f, "csr"))
                kb_fetch_fail(f, KB_E_BAD_REQUEST,
                              "Param.csr= cannot be given: the key of %s is made here, for each consumer",
                              f->is.path);
        else if (kb_csr_new(&f->key, &csr) < 0)
                kb_fetch_fail(f, KB_E_INTERNAL, "OpenSSL made no key");
        else {
                kb_body_bytes(&body, "csr", KB_SPAN(csr.data, csr.size));
                kb_fetch_post(f, &path, &body, true, on_certificate);
        }
}
