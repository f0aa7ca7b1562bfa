/* SPDX-License-Identifier: Apache-2.0 */
/* What engines put their questions and answers together with. */
#include "helper/store/vault/fetch.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "common/hex.h"

/* --- what was asked for --- */

const char *kb_fetch_name(const struct kb_fetch *f)
{
        return f->rest + (f->engine->prefix ? strlen(f->engine->prefix) : 0);
}

const char *kb_fetch_parameter(const struct kb_fetch *f, const char *name)
{
        const char *value;

        return kb_list_find_string(f->is.parameters, name, &value) ? value : NULL;
}

struct kb_path kb_fetch_path(const struct kb_fetch *f)
{
        struct kb_path path = kb_path_init("");

        kb_path_many(&path, f->is.path);
        return path;
}

struct kb_body kb_fetch_body(const struct kb_fetch *f)
{
        struct kb_body body = kb_body_init();
        struct kb_list rest = f->is.parameters;
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&rest, &name, &value))
                kb_body_bytes(&body, name, value);
        return body;
}

/* --- fields --- */

static void add_value(struct kb_list_builder *fields, const char *name, const struct kb_json_value *value)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FETCH_FIELDS_MAX);
        int r = kb_json_write(value, &w);

        if (r == -ENOENT)
                return;
        if (r < 0)
                fields->writer.failed = true;
        kb_list_add_pair(fields, name, KB_SPAN(w.data, w.size));
}

void kb_fetch_add_all(const struct kb_fetch *f, struct kb_list_builder *fields,
                      const struct kb_json_value *object)
{
        struct kb_list pointers = f->is.pointers;
        const struct kb_json_value *value;
        struct kb_json_each each = {};
        const char *name;

        while (kb_json_next(object, &each, &name, &value))
                add_value(fields, name, value);
        while (kb_list_next_string(&pointers, &name))
                if (kb_json_at(object, name, &value) >=
                    0) /* else the broker misses the field, and says so */
                        add_value(fields, name, value);
}

void kb_fetch_add_member(struct kb_list_builder *fields, const struct kb_json_value *object,
                         const char *name)
{
        add_value(fields, name, kb_json_get(object, name));
}

static void add_pem(struct kb_writer *w, const struct kb_json_value *value)
{
        struct kb_span text;

        if (kb_json_string(value, &text) < 0 || text.size == 0)
                return;
        kb_write_raw(w, text);
        if (text.data[text.size - 1] != '\n')
                kb_write_raw(w, KB_SPAN("\n", 1));
}

void kb_fetch_add_pem(struct kb_list_builder *fields, const char *name, const struct kb_json_value *value)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FETCH_FIELDS_MAX);

        if (kb_json_type(value) == KB_JSON_LIST)
                for (size_t i = 0; i < kb_json_count(value); i++)
                        add_pem(&w, kb_json_element(value, i));
        else
                add_pem(&w, value);
        if (kb_writer_end(&w) < 0)
                fields->writer.failed = true;
        if (w.size > 0)
                kb_list_add_pair(fields, name, KB_SPAN(w.data, w.size));
}

const char *kb_fetch_text(struct kb_fetch *f, const struct kb_asked *asked, const char *name)
{
        const char *text;

        if (kb_json_text(kb_json_get(asked->envelope.data, name), &text) >= 0 && text[0])
                return text;
        kb_fetch_nonsense(f, asked, name);
        return NULL;
}

/* --- an end without an answer --- */

void kb_fetch_fail(struct kb_fetch *f, enum kb_error error, const char *format, ...)
{
        struct kb_problem problem;
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(problem.text, sizeof(problem.text), format, arguments);
        va_end(arguments);
        for (unsigned i = 0; i < f->n_waiters; i++)
                kb_request_fail(f->waiters[i], error, "%s", problem.text);
        kb_fetch_end(f);
}

bool kb_fetch_refused(struct kb_fetch *f, const struct kb_asked *asked)
{
        if (asked->error == KB_E_OK)
                return false;
        kb_fetch_fail(f, asked->error, "%s: %s%s", f->is.path, asked->text,
                      asked->doubt ? " (nobody knows whether it was done; what was made then ends by itself)"
                                   : "");
        return true;
}

/* A lease that came with an answer that cannot be used. */
static void take_back(struct kb_fetch *f, const struct kb_asked *asked)
{
        char name[KB_LEASE_NAME_MAX + 1];

        if (asked->envelope.lease_id[0] &&
            kb_lease_name_server(asked->envelope.lease_id, f->ask.generation, name) >= 0)
                kb_engines_take_back(f->engines, name);
}

void kb_fetch_nonsense(struct kb_fetch *f, const struct kb_asked *asked, const char *part)
{
        take_back(f, asked);
        kb_fetch_fail(f, KB_E_INTERNAL, "%s: the server's answer makes no sense: %s", f->is.path, part);
}

/* --- the answer --- */

/* For whoever asks again; and when nobody heard it, to be taken back. */
static void keep(struct kb_fetch *f, const struct kb_fetch_reply *reply, bool delivered)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);
        struct kb_kept_answer answer = {
                .question = f->question,
                .lease = reply->lease,
                .at = kb_now_boottime(),
                .delivered = delivered,
        };

        kb_fetch_reply_put(&w, reply);
        answer.reply = KB_SPAN(w.data, w.size);
        if (f->is.request[0] && kb_writer_end(&w) >= 0 && kb_kept_put(f->engines->kept, &answer) >= 0)
                kb_engines_tidy(f->engines);
        else if (!delivered)
                kb_engines_take_back(f->engines, reply->lease);
}

void kb_fetch_done(struct kb_fetch *f, const struct kb_fetch_answer *answer)
{
        struct kb_fetch_reply reply = {
                .fields = kb_list_built(answer->fields),
                .lease = answer->lease,
                .ttl = answer->ttl,
                .renewable = answer->renewable,
                .version = answer->version ? answer->version : "",
        };
        bool delivered = false;

        if (kb_writer_end(&answer->fields->writer) < 0 || reply.fields.count > KB_FETCH_ELEMENTS) {
                kb_engines_take_back(f->engines, answer->lease);
                kb_fetch_fail(f, KB_E_UNSUPPORTED, "%s: the secret has more than %d fields or 1 MiB",
                              f->is.path, KB_FETCH_ELEMENTS / 2);
                return;
        }
        for (unsigned i = 0; i < f->n_waiters; i++) {
                delivered |= !kb_request_abandoned(f->waiters[i]);
                kb_fetch_reply_put(kb_request_reply_begin(f->waiters[i]), &reply);
                kb_request_reply_end(f->waiters[i]);
        }
        keep(f, &reply, delivered);
        kb_fetch_end(f);
}

/* Of so many seconds those before the end of a token. */
static uint64_t cut_to(uint64_t ends, uint64_t seconds)
{
        uint64_t now = kb_now_boottime();
        uint64_t left = ends == KB_TIME_NEVER ? UINT64_MAX : ends > now ? (ends - now) / KB_USEC_PER_SEC : 0;

        return left < seconds ? left : seconds;
}

uint64_t kb_engines_left(const struct kb_engines *e, uint64_t generation, int64_t seconds)
{
        /* 0: an unwrapped lease, of somebody else's token */
        uint64_t ends = generation == 0 ? KB_TIME_NEVER : kb_login_generation_ends(e->is.login, generation);

        return cut_to(ends, (uint64_t)seconds);
}

void kb_fetch_done_leased(struct kb_fetch *f, const struct kb_asked *asked,
                          const struct kb_list_builder *fields)
{
        const struct kb_api_envelope *envelope = &asked->envelope;
        struct kb_fetch_answer answer = {.fields = fields, .renewable = envelope->renewable};

        if (kb_lease_name_server(envelope->lease_id, f->ask.generation, answer.lease) < 0) {
                kb_fetch_fail(f, KB_E_INTERNAL, "%s: the server's answer makes no sense: lease_id",
                              f->is.path);
                return;
        }
        if (envelope->lease_duration < 1) {
                kb_fetch_nonsense(f, asked, "lease_duration");
                return;
        }
        if (!f->is.person[0] && kb_login_batch(f->engines->is.login)) {
                take_back(f, asked);
                kb_fetch_fail(
                        f, KB_E_UNSUPPORTED,
                        "%s is leased, and this host's token is a batch token, which can hold no lease",
                        f->is.path);
                return;
        }
        answer.ttl = kb_engines_left(f->engines, f->ask.generation, envelope->lease_duration);
        if (f->is.person[0])
                answer.ttl = cut_to(f->person_ends, answer.ttl);
        if (answer.ttl > 0)
                kb_fetch_done(f, &answer);
        else {
                take_back(f, asked);
                kb_fetch_fail(f, KB_E_UNREACHABLE, "%s: its token ended meanwhile: there will be a new one",
                              f->is.path);
        }
}

/* HMAC of path and fields, under a key of this host: says whether they changed, and nothing about them. */
static void fingerprint(const struct kb_fetch *f, struct kb_list fields, char ret[33])
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(2 * KB_FETCH_FIELDS_MAX);
        uint8_t mac[32] = {};

        kb_write_string(&w, f->is.path, UINT32_MAX - 1);
        kb_write_list(&w, fields, UINT32_MAX - 1);
        HMAC(EVP_sha256(), f->engines->is.fingerprint_key, KB_FINGERPRINT_KEY_SIZE, w.data, w.size, mac,
             NULL);
        kb_hex(KB_SPAN(mac, 16), ret);
}

void kb_fetch_done_kept(struct kb_fetch *f, const struct kb_list_builder *fields)
{
        struct kb_fetch_answer answer = {.fields = fields};
        char version[33];

        fingerprint(f, kb_list_built(fields), version);
        answer.version = version;
        if (f->is.version[0] && strcmp(f->is.version, version) != 0)
                kb_fetch_fail(f, KB_E_NOT_FOUND,
                              "%s has no versions to choose from, and holds another one than this now",
                              f->is.path);
        else if (kb_lease_name_version(f->is.path, version, answer.lease) < 0)
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s is too long a path", f->is.path);
        else
                kb_fetch_done(f, &answer);
}

bool kb_fetch_add_data(struct kb_fetch *f, const struct kb_asked *asked, struct kb_list_builder *fields)
{
        if (kb_fetch_refused(f, asked))
                return false;
        if (kb_json_count(asked->envelope.data) == 0) {
                kb_fetch_nonsense(f, asked, "it holds no data");
                return false;
        }
        kb_fetch_add_all(f, fields, asked->envelope.data);
        return true;
}

void kb_fetch_done_data(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);

        if (!kb_fetch_add_data(f, asked, &fields))
                return;
        if (asked->envelope.lease_id[0])
                kb_fetch_done_leased(f, asked, &fields);
        else
                kb_fetch_done_kept(f, &fields);
}
