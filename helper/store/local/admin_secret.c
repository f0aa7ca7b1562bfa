/* SPDX-License-Identifier: Apache-2.0 */
/* `secret ...`: key-value secrets. */
#include <stdio.h>
#include <string.h>

#include "common/names.h"
#include "helper/store/local/admin.h"
#include "helper/store/local/kv.h"

#define PATH_MAX_ 513

/* A path is what a credential's Path= says; its "kv/" may be left out here. False when it is too long. */
static bool full_path(const struct kb_admin_call *call, char ret[PATH_MAX_])
{
        const char *prefix = strncmp(call->name, "kv/", 3) == 0 ? "" : "kv/";

        return snprintf(ret, PATH_MAX_, "%s%s", prefix, call->name) < PATH_MAX_;
}

static enum kb_error too_long(struct kb_admin_call *call)
{
        return kb_problem(&call->problem, KB_E_BAD_REQUEST, "the path is too long");
}

/* The field `version`, KB_KV_LATEST when it is not given. */
static enum kb_error get_version(struct kb_admin_call *call, uint64_t *ret)
{
        const char *text = kb_admin_text(call, "version", "");

        *ret = KB_KV_LATEST;
        if (text[0] && (!kb_parse_number(text, ret) || *ret == 0))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "a version is a number from 1 on");
        return KB_E_OK;
}

enum kb_error kb_admin_secret_put(struct kb_admin_call *call)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_KV_SIZE_MAX + 1);
        const char *cas = kb_admin_text(call, "cas", "");
        uint64_t expected = KB_KV_ANY, version;
        char path[PATH_MAX_];
        enum kb_error error;

        if (!full_path(call, path))
                return too_long(call);
        if (cas[0] && (!kb_parse_number(cas, &expected) || expected == KB_KV_ANY))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "cas is the number of a version, or 0");
        if (kb_admin_prefixed(call, "field.", &fields) < 0)
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "a secret has at most %d bytes",
                                  KB_KV_SIZE_MAX);
        error = kb_kv_put(call->service->local, path, kb_list_built(&fields), expected, call->now, &version,
                          &call->problem);
        if (error != KB_E_OK)
                return error;
        kb_rows_text(&call->rows, "path", path);
        kb_rows_number(&call->rows, "version", version);
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

enum kb_error kb_admin_secret_get(struct kb_admin_call *call)
{
        _cleanup_kv_secret_ struct kb_kv_secret secret = {};
        uint64_t version;
        char path[PATH_MAX_];
        enum kb_error error = get_version(call, &version);

        if (error == KB_E_OK && !full_path(call, path))
                error = too_long(call);
        if (error == KB_E_OK)
                error = kb_kv_get(call->service->local, path, version, &secret, &call->problem);
        if (error != KB_E_OK)
                return error;
        kb_rows_pairs(&call->rows, secret.fields);
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

static int add_entry(const struct kb_kv_entry *entry, void *userdata)
{
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "path", entry->path);
        kb_rows_number(&call->rows, "version", entry->version);
        kb_rows_text(&call->rows, "state", entry->state);
        kb_rows_number(&call->rows, "created", entry->created);
        kb_rows_next(&call->rows);
        return call->rows.rows.count >= KB_ADMIN_PORTION;
}

enum kb_error kb_admin_secret_list(struct kb_admin_call *call)
{
        char path[PATH_MAX_];
        int r;

        if (!full_path(call, path))
                return too_long(call);
        r = kb_kv_list(call->service->local, path, kb_admin_text(call, "after", ""), add_entry, call);
        return r < 0 ? kb_problem_errno(&call->problem, r, "listing the secrets") : KB_E_OK;
}

enum kb_error kb_admin_secret_versions(struct kb_admin_call *call)
{
        char path[PATH_MAX_];
        int r;

        if (!full_path(call, path))
                return too_long(call);
        r = kb_kv_versions(call->service->local, path, add_entry, call);
        if (r < 0)
                return kb_problem_errno(&call->problem, r, "listing the versions");
        if (call->rows.rows.count == 0)
                return kb_problem(&call->problem, KB_E_NOT_FOUND, "there is no secret at %s", path);
        return KB_E_OK;
}

enum kb_error kb_admin_secret_remove(struct kb_admin_call *call)
{
        uint64_t version;
        char path[PATH_MAX_];
        enum kb_error error = get_version(call, &version);

        if (error == KB_E_OK && !full_path(call, path))
                error = too_long(call);
        return error == KB_E_OK
                       ? kb_kv_delete(call->service->local, path, version, call->now, &call->problem)
                       : error;
}

static enum kb_error change(struct kb_admin_call *call,
                            enum kb_error (*how)(struct kb_local *l, const char *path, uint64_t version,
                                                 struct kb_problem *problem))
{
        uint64_t version;
        char path[PATH_MAX_];
        enum kb_error error = get_version(call, &version);

        if (error == KB_E_OK && !full_path(call, path))
                error = too_long(call);
        return error == KB_E_OK ? how(call->service->local, path, version, &call->problem) : error;
}

enum kb_error kb_admin_secret_undelete(struct kb_admin_call *call)
{
        return change(call, kb_kv_undelete);
}

enum kb_error kb_admin_secret_destroy(struct kb_admin_call *call)
{
        return change(call, kb_kv_destroy);
}
