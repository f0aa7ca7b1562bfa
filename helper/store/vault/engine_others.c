/* SPDX-License-Identifier: Apache-2.0 */
/* Engines of few lines: certificates of SSH, one-time codes, decrypted and wrapped values, and all that has
 * no engine of its own. */
#include <stdio.h>
#include <string.h>

#include "helper/grant/base64.h"
#include "helper/store/vault/fetch.h"
#include "helper/store/vault/ssh_certificate.h"

/* --- ssh/sign/ROLE --- */

static void on_signed(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);
        uint64_t now = kb_now_realtime() / KB_USEC_PER_SEC, ends;
        struct kb_fetch_answer answer = {.fields = &fields};
        const char *line, *serial;

        if (kb_fetch_refused(f, asked))
                return;
        line = kb_fetch_text(f, asked, "signed_key");
        serial = line ? kb_fetch_text(f, asked, "serial_number") : NULL;
        if (!serial)
                return;
        if (kb_ssh_certificate_ends(KB_SPAN_STRING(line), &ends) < 0)
                kb_fetch_nonsense(f, asked, "signed_key");
        else if (kb_lease_name_record(f->is.path, serial, answer.lease) < 0)
                kb_fetch_nonsense(f, asked, "serial_number");
        else if (ends <= now)
                kb_fetch_fail(f, KB_E_EXPIRED,
                              "%s: the certificate has expired already, by the clock of this host",
                              f->is.path);
        else {
                answer.ttl = ends == KB_SSH_FOREVER ? 0 : ends - now;
                kb_fetch_add_all(f, &fields, asked->envelope.data);
                kb_fetch_done(f, &answer);
        }
}

void kb_engine_ssh(struct kb_fetch *f)
{
        _cleanup_body_ struct kb_body body = kb_fetch_body(f);
        struct kb_path path = kb_fetch_path(f);

        if (kb_fetch_parameter(f, "public_key"))
                kb_fetch_post(f, &path, &body, true, on_signed);
        else
                kb_fetch_fail(f, KB_E_BAD_REQUEST,
                              "%s needs Param.public_key=, the public half of the key to be signed",
                              f->is.path);
}

/* --- totp/code/NAME --- */

#define CODE_SEC 30 /* RFC 6238; what the server does not say */

static void on_code(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);
        struct kb_fetch_answer answer = {.fields = &fields};
        char when[21];
        int64_t period;

        if (kb_fetch_refused(f, asked))
                return;
        if (!kb_fetch_text(f, asked, "code"))
                return;
        if (kb_json_integer(kb_json_get(asked->envelope.data, "period"), 1, KB_API_SECONDS_MAX, &period) < 0)
                period = CODE_SEC;
        answer.ttl = (uint64_t)period;
        snprintf(when, sizeof(when), "%llu", (unsigned long long)(kb_now_realtime() / KB_USEC_PER_SEC));
        kb_fetch_add_member(&fields, asked->envelope.data, "code");
        if (kb_lease_name_record(f->is.path, when, answer.lease) < 0)
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s is too long a path", f->is.path);
        else
                kb_fetch_done(f, &answer);
}

void kb_engine_totp(struct kb_fetch *f)
{
        struct kb_path path = kb_fetch_path(f);

        kb_fetch_get(f, &path, false, on_code);
}

/* --- transit/decrypt/KEY --- */

static void on_decrypted(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(KB_FETCH_FIELDS_MAX);
        struct kb_span text;

        if (kb_fetch_refused(f, asked))
                return;
        if (kb_json_string(kb_json_get(asked->envelope.data, "plaintext"), &text) < 0 ||
            kb_base64_decode(&plain, text) < 0 || kb_writer_end(&plain) < 0)
                kb_fetch_nonsense(f, asked, "plaintext");
        else {
                kb_list_add_pair(&fields, "plaintext", KB_SPAN(plain.data, plain.size));
                kb_fetch_done_kept(f, &fields);
        }
}

void kb_engine_decrypt(struct kb_fetch *f)
{
        _cleanup_body_ struct kb_body body = kb_fetch_body(f);
        struct kb_path path = kb_fetch_path(f);

        if (kb_fetch_parameter(f, "ciphertext"))
                kb_fetch_post(f, &path, &body, false, on_decrypted);
        else
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s needs Param.ciphertext=", f->is.path);
}

/* --- sys/wrapping/unwrap --- */

/* What may have been opened is not asked for again: who did would learn nothing but that it is gone. */
static void on_unwrapped(struct kb_fetch *f, const struct kb_asked *asked)
{
        if (asked->doubt)
                kb_fetch_fail(f, KB_E_EXPIRED,
                              "%s: nobody knows whether it was opened (%s): have it wrapped anew",
                              f->is.path, asked->text);
        else if (asked->error == KB_E_BAD_REQUEST || asked->error == KB_E_DENIED)
                kb_fetch_fail(
                        f, KB_E_EXPIRED,
                        "%s: the token was used, or has ended; if it was not you who opened it, somebody "
                        "else did",
                        f->is.path);
        else
                kb_fetch_done_data(f, asked);
}

static void unwrap(struct kb_fetch *f)
{
        struct kb_path path = kb_path_init("sys/wrapping/unwrap");
        const char *token = kb_fetch_parameter(f, "token");
        struct kb_span span = KB_SPAN_STRING(token);

        kb_fetch_ask(
                f,
                &(struct kb_question){.method = KB_HTTP_POST, .path = &path, .token = &span, .once = true},
                on_unwrapped);
}

static void on_looked_up(struct kb_fetch *f, const struct kb_asked *asked)
{
        const char *wanted = kb_fetch_parameter(f, "creation_path"), *is;

        if (asked->error != KB_E_OK) {
                on_unwrapped(f, asked);
                return;
        }
        is = kb_fetch_text(f, asked, "creation_path");
        if (!is)
                return;
        if (strcmp(is, wanted) == 0)
                unwrap(f);
        else
                kb_fetch_fail(
                        f, KB_E_DENIED,
                        "%s: the token wraps something else than Param.creation_path= says: somebody may "
                        "have put it in the place of yours",
                        f->is.path);
}

void kb_engine_unwrap(struct kb_fetch *f)
{
        _cleanup_body_ struct kb_body body = kb_body_init();
        struct kb_path path = kb_path_init("sys/wrapping/lookup");
        const char *token = kb_fetch_parameter(f, "token");

        if (!token || !token[0]) {
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s needs Param.token=, the token that wraps the value",
                              f->is.path);
                return;
        }
        if (!kb_fetch_parameter(f, "creation_path")) {
                unwrap(f);
                return;
        }
        kb_body_text(&body, "token", token);
        kb_fetch_post(f, &path, &body, false, on_looked_up);
}

/* --- everything else --- */

void kb_engine_any(struct kb_fetch *f)
{
        _cleanup_body_ struct kb_body body = kb_fetch_body(f);
        struct kb_path path = kb_fetch_path(f);
        struct kb_list rest = f->is.parameters;
        struct kb_span value;
        const char *name;

        if (strcmp(f->is.method, "write") == 0) {
                kb_fetch_post(f, &path, &body, true, kb_fetch_done_data);
                return;
        }
        while (kb_list_next_pair(&rest, &name, &value)) /* the wire has put a NUL behind each */
                kb_path_query(&path, name, (const char *)value.data);
        kb_fetch_get(f, &path, true, kb_fetch_done_data);
}
