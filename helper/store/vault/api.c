/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/names.h"
#include "helper/grant/encode.h"

/* --- paths --- */

static void fail(struct kb_path *p, int error)
{
        if (p->error == 0)
                p->error = error;
}

static void append(struct kb_path *p, const char *text, size_t size)
{
        if (size >= sizeof(p->text) - p->size)
                fail(p, -ENAMETOOLONG);
        if (p->error < 0)
                return;
        memcpy(p->text + p->size, text, size);
        p->size += size;
        p->text[p->size] = '\0';
}

static void append_encoded(struct kb_path *p, const char *text, size_t size)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_PATH_MAX);

        kb_encode_url(&w, KB_SPAN(text, size));
        if (kb_writer_end(&w) < 0)
                fail(p, -ENAMETOOLONG);
        else
                append(p, (const char *)w.data, w.size);
}

/* What a server would take for something else: nothing, "." and "..", and what it cuts off at the end. */
static bool segment_valid(const char *segment, size_t size)
{
        if (size == 0 || segment[size - 1] == '.')
                return false;
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)segment[i] < 0x20 || segment[i] == 0x7f || segment[i] == '/')
                        return false;
        return true;
}

static void append_segment(struct kb_path *p, const char *segment, size_t size)
{
        if (p->query || !segment_valid(segment, size))
                fail(p, -EINVAL);
        if (p->size > 0)
                append(p, "/", 1);
        append_encoded(p, segment, size);
}

struct kb_path kb_path_init(const char *fixed)
{
        struct kb_path p = {.size = 0};

        append(&p, fixed, strlen(fixed));
        return p;
}

void kb_path_fixed(struct kb_path *p, const char *fixed)
{
        if (p->query)
                fail(p, -EINVAL);
        if (p->size > 0)
                append(p, "/", 1);
        append(p, fixed, strlen(fixed));
}

void kb_path_one(struct kb_path *p, const char *segment)
{
        append_segment(p, segment, strlen(segment));
}

void kb_path_many(struct kb_path *p, const char *segments)
{
        size_t end = strlen(segments);

        segments += strspn(segments, "/");
        end = strlen(segments);
        while (end > 0 && segments[end - 1] == '/')
                end--;
        for (size_t at = 0, size; at <= end; at += size + 1) {
                const char *slash = memchr(segments + at, '/', end - at);

                size = (slash ? (size_t)(slash - segments) : end) - at;
                append_segment(p, segments + at, size);
        }
}

void kb_path_query(struct kb_path *p, const char *name, const char *value)
{
        append(p, p->query ? "&" : "?", 1);
        p->query = true;
        append_encoded(p, name, strlen(name));
        append(p, "=", 1);
        append_encoded(p, value, strlen(value));
}

int kb_path_end(const struct kb_path *p)
{
        return p->error;
}

/* --- the envelope --- */

/* Reads members of one object. Sticky: `part` names the first that is not what it has to be. */
struct reading {
        const struct kb_json_value *object;
        const char *part;
};

static void check(struct reading *in, int r, const char *name)
{
        if (r < 0 && r != -ENOENT && !in->part)
                in->part = name;
}

static const char *text(struct reading *in, const char *name)
{
        const char *value = "";

        check(in, kb_json_text(kb_json_get(in->object, name), &value), name);
        return value;
}

static int64_t number(struct reading *in, const char *name, int64_t max)
{
        int64_t value = 0;

        check(in, kb_json_integer(kb_json_get(in->object, name), 0, max, &value), name);
        return value;
}

static bool flag(struct reading *in, const char *name)
{
        bool value = false;

        check(in, kb_json_flag(kb_json_get(in->object, name), &value), name);
        return value;
}

static const struct kb_json_value *part(struct reading *in, const char *name, enum kb_json_type type)
{
        const struct kb_json_value *value = kb_json_get(in->object, name);

        if (value && kb_json_type(value) != type) {
                check(in, -EPROTOTYPE, name);
                return NULL;
        }
        return value;
}

static bool read_auth(struct reading *in, struct kb_api_auth *ret)
{
        struct reading auth = {part(in, "auth", KB_JSON_OBJECT), in->part};

        if (!auth.object)
                return false;
        *ret = (struct kb_api_auth){
                .client_token = text(&auth, "client_token"),
                .accessor = text(&auth, "accessor"),
                .token_type = text(&auth, "token_type"),
                .entity_id = text(&auth, "entity_id"),
                .lease_duration = number(&auth, "lease_duration", KB_API_SECONDS_MAX),
                .num_uses = number(&auth, "num_uses", INT64_MAX),
                .renewable = flag(&auth, "renewable"),
                .orphan = flag(&auth, "orphan"),
                .policies = part(&auth, "policies", KB_JSON_LIST),
                .metadata = part(&auth, "metadata", KB_JSON_OBJECT),
                .mfa_requirement = part(&auth, "mfa_requirement", KB_JSON_OBJECT),
        };
        if (!ret->client_token[0] && !ret->mfa_requirement) /* neither logged in nor asked for more */
                check(&auth, -EBADMSG, "client_token");
        in->part = auth.part;
        return true;
}

static bool read_wrap(struct reading *in, struct kb_api_wrap *ret)
{
        struct reading wrap = {part(in, "wrap_info", KB_JSON_OBJECT), in->part};

        if (!wrap.object)
                return false;
        *ret = (struct kb_api_wrap){
                .token = text(&wrap, "token"),
                .accessor = text(&wrap, "accessor"),
                .creation_path = text(&wrap, "creation_path"),
                .ttl = number(&wrap, "ttl", KB_API_SECONDS_MAX),
        };
        if (!ret->token[0])
                check(&wrap, -EBADMSG, "wrap_info");
        in->part = wrap.part;
        return true;
}

int kb_api_envelope(const struct kb_json_value *root, struct kb_api_envelope *ret, const char **ret_part)
{
        struct reading in = {.object = root};
        struct kb_api_envelope e = {.lease_id = ""};

        if (kb_json_type(root) != KB_JSON_OBJECT) {
                *ret_part = "answer";
                return -EBADMSG;
        }
        e.lease_id = text(&in, "lease_id");
        e.lease_duration = number(&in, "lease_duration", KB_API_SECONDS_MAX);
        e.renewable = flag(&in, "renewable");
        e.data = part(&in, "data", KB_JSON_OBJECT);
        e.warnings = part(&in, "warnings", KB_JSON_LIST);
        e.errors = part(&in, "errors", KB_JSON_LIST);
        e.has_auth = read_auth(&in, &e.auth);
        e.has_wrap = read_wrap(&in, &e.wrap);
        if (in.part) {
                *ret_part = in.part;
                return -EBADMSG;
        }
        *ret = e;
        return 0;
}

/* --- what went wrong --- */

static bool holds(struct kb_span string, const struct kb_span *secrets, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (secrets[i].size > 0 &&
                    memmem(string.data, string.size, secrets[i].data, secrets[i].size))
                        return true;
        return false;
}

/* Appends as one line: what would forge a line of the journal becomes a space. */
static void append_line(char *ret, size_t size, struct kb_span string)
{
        size_t n = strlen(ret);

        for (size_t i = 0; i < string.size && n + 1 < size; i++) {
                char c = (char)string.data[i];

                ret[n++] = (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
        }
        ret[n] = '\0';
        while (n > 0 &&
               !kb_text_valid(ret)) /* cut in the middle of a character, or a control one of Unicode */
                ret[--n] = '\0';
}

void kb_api_errors(const struct kb_api_envelope *envelope, const struct kb_span *secrets, size_t n_secrets,
                   char *ret, size_t size)
{
        struct kb_span string;

        ret[0] = '\0';
        for (size_t i = 0; i < kb_json_count(envelope->errors); i++) {
                if (kb_json_string(kb_json_element(envelope->errors, i), &string) < 0)
                        continue;
                if (holds(string, secrets, n_secrets))
                        string = KB_SPAN_STRING("(a text that repeats what it was sent)");
                if (ret[0])
                        append_line(ret, size, KB_SPAN_STRING("; "));
                append_line(ret, size, string);
        }
}
