/* SPDX-License-Identifier: Apache-2.0 */
/* Kept secrets: version 1 knows one value of each path, version 2 counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/store/vault/fetch.h"

static void on_kv1(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);

        if (kb_fetch_add_data(f, asked, &fields))
                kb_fetch_done_kept(f, &fields); /* its lease_duration is a hint, and no lease */
}

/* A version that was taken away comes as "not found", with what is known of it. */
static void not_found(struct kb_fetch *f, const struct kb_asked *asked)
{
        const struct kb_json_value *metadata = kb_json_get(asked->envelope.data, "metadata");
        const char *deleted = "";
        bool destroyed = false;
        int64_t version = 0;

        if (kb_json_flag(kb_json_get(metadata, "destroyed"), &destroyed) < 0)
                destroyed = false;
        if (kb_json_text(kb_json_get(metadata, "deletion_time"), &deleted) < 0)
                deleted = "";
        if (kb_json_integer(kb_json_get(metadata, "version"), 1, INT64_MAX, &version) < 0)
                kb_fetch_fail(f, KB_E_NOT_FOUND, "there is no secret at %s%s%s", f->is.path,
                              f->is.version[0] ? " with version " : "", f->is.version);
        else
                kb_fetch_fail(f, KB_E_NOT_FOUND, "version %lld of %s is %s", (long long)version, f->is.path,
                              destroyed    ? "destroyed"
                              : deleted[0] ? "deleted"
                                           : "not there");
}

static void on_kv2(struct kb_fetch *f, const struct kb_asked *asked)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);
        const struct kb_json_value *data = kb_json_get(asked->envelope.data, "data");
        struct kb_fetch_answer answer = {.fields = &fields};
        char number[21];
        int64_t version;

        if (asked->error == KB_E_NOT_FOUND) {
                not_found(f, asked);
                return;
        }
        if (kb_fetch_refused(f, asked))
                return;
        if (kb_json_type(data) != KB_JSON_OBJECT ||
            kb_json_integer(kb_json_get(kb_json_get(asked->envelope.data, "metadata"), "version"), 1,
                            INT64_MAX, &version) < 0) {
                kb_fetch_nonsense(f, asked, "it holds no data with a version");
                return;
        }
        snprintf(number, sizeof(number), "%lld", (long long)version);
        answer.version = number;
        kb_fetch_add_all(f, &fields, data);
        if (f->is.version[0] && strcmp(f->is.version, number) != 0)
                kb_fetch_nonsense(f, asked, "it is another version");
        else if (kb_lease_name_version(f->is.path, number, answer.lease) < 0)
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s is too long a path", f->is.path);
        else
                kb_fetch_done(f, &answer);
}

/* "1", "2" ..., as the server writes it. */
static bool is_version(const char *text)
{
        return text[0] != '0' && strlen(text) < 19 && text[strspn(text, "0123456789")] == '\0';
}

void kb_engine_kv(struct kb_fetch *f)
{
        struct kb_path path = kb_path_init("");

        if (f->is.parameters.count > 0) {
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "a kept secret takes no parameters");
                return;
        }
        kb_path_many(&path, f->mount.path);
        if (!f->mount.versioned) {
                kb_path_many(&path, f->rest);
                kb_fetch_get(f, &path, false, on_kv1);
                return;
        }
        if (f->is.version[0] && !is_version(f->is.version)) {
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "a version is a number from 1 on");
                return;
        }
        kb_path_fixed(&path, "data");
        kb_path_many(&path, f->rest);
        if (f->is.version[0])
                kb_path_query(&path, "version", f->is.version);
        kb_fetch_get(f, &path, false, on_kv2);
}
