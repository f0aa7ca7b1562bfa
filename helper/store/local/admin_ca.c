/* SPDX-License-Identifier: Apache-2.0 */
/* `ca ...`: authorities, roles, certificates. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/names.h"
#include "helper/store/local/admin.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/pki.h"

enum kb_error kb_admin_ca_create(struct kb_admin_call *call)
{
        const char *common_name = kb_admin_text(call, "common-name", call->name);
        uint64_t ttl = kb_duration_seconds(kb_admin_text(call, "ttl", "3650d"));

        return kb_ca_create(call->service->local, call->name, common_name, ttl, call->now, &call->problem);
}

/* What may be shown of an authority: never its key. */
static int add_ca(struct kb_object *o, void *userdata)
{
        static const char *const shown[] = {"common-name", "serial"};
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "name", o->name);
        for (size_t i = 0; i < KB_ARRAY_SIZE(shown); i++)
                kb_rows_text(&call->rows, shown[i], kb_object_text(o, shown[i], ""));
        kb_rows_number(&call->rows, "not-after", kb_object_number(o, "not-after", 0) * KB_USEC_PER_SEC);
        kb_rows_number(&call->rows, "created", o->created);
        kb_rows_next(&call->rows);
        return call->rows.rows.count >= KB_ADMIN_PORTION;
}

enum kb_error kb_admin_ca_show(struct kb_admin_call *call)
{
        _cleanup_object_ struct kb_object o = {};
        struct kb_span certificate;
        enum kb_error error = kb_ca_get(call->service->local, call->name, &o, &call->problem);

        if (error != KB_E_OK)
                return error;
        if (kb_list_find(o.pairs, "certificate", &certificate))
                kb_rows_secret(&call->rows, "certificate", certificate);
        add_ca(&o, call);
        return KB_E_OK;
}

enum kb_error kb_admin_ca_list(struct kb_admin_call *call)
{
        return kb_admin_list(call, "ca", add_ca);
}

enum kb_error kb_admin_ca_certificates(struct kb_admin_call *call)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(call->service->local->db, &q,
                            "SELECT serial, role, not_after, revoked FROM certificates"
                            " WHERE ca = ? AND serial > ? ORDER BY serial LIMIT ?",
                            "ssu", call->name, kb_admin_text(call, "after", ""), (uint64_t)KB_ADMIN_PORTION);

        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                kb_rows_text(&call->rows, "serial", kb_query_string(&q, 0));
                kb_rows_text(&call->rows, "role", kb_query_string(&q, 1));
                kb_rows_number(&call->rows, "not-after", kb_query_u64(&q, 2) * KB_USEC_PER_SEC);
                kb_rows_number(&call->rows, "revoked", kb_query_u64(&q, 3) * KB_USEC_PER_SEC);
                kb_rows_next(&call->rows);
        }
        return r < 0 ? kb_problem_errno(&call->problem, r, "listing the certificates") : KB_E_OK;
}

/* None that this store knows. After a restore there may be some, and only who asks can say so. */
static enum kb_error check_unknown(struct kb_admin_call *call, const char *serial, bool meant)
{
        _cleanup_object_ struct kb_object ca = {};
        enum kb_error error = kb_ca_get(call->service->local, call->name, &ca, &call->problem);

        if (error != KB_E_OK || meant)
                return error;
        return kb_problem(
                &call->problem, KB_E_NOT_FOUND,
                "CA %s has issued no %s that this store knows: see `keybearer ca certificates %s`; "
                "with unknown=revoke it is revoked all the same, as one that was issued after the "
                "backup that was restored",
                call->name, serial, call->name);
}

enum kb_error kb_admin_ca_revoke(struct kb_admin_call *call)
{
        const char *serial = kb_admin_text(call, "serial", "");
        const char *unknown = kb_admin_text(call, "unknown", "refuse");
        bool meant = strcmp(unknown, "revoke") == 0;
        uint64_t ttl;
        enum kb_error error;

        if (!meant && strcmp(unknown, "refuse") != 0)
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "unknown is refuse or revoke");
        if (!kb_serial_valid(serial))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST,
                                  "\"%.64s\" is no serial: %d digits of 0 to 9 and a to f, as `keybearer ca "
                                  "certificates %s` shows them",
                                  serial, KB_SERIAL_TEXT - 1, call->name);
        error = kb_pki_check(call->service->local, call->name, serial, call->now, &ttl, &call->problem);
        if (error == KB_E_NOT_FOUND)
                error = check_unknown(call, serial, meant);
        return error == KB_E_OK
                       ? kb_pki_revoke(call->service->local, call->name, serial, call->now, &call->problem)
                       : error;
}

/* --- roles --- */

static enum kb_error write_role(struct kb_admin_call *call, const struct kb_object *old)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(65536);
        _cleanup_transaction_ struct kb_transaction t = {};
        struct kb_local *l = call->service->local;
        struct kb_object merged = {};
        enum kb_error error;
        int r = kb_object_merge(old, call->fields, &pairs);

        if (r >= 0) {
                snprintf(merged.name, sizeof(merged.name), "%s", call->name);
                merged.pairs = kb_list_built(&pairs); /* still the builder's */
                error = kb_role_check(&merged, &call->problem);
                if (error != KB_E_OK)
                        return error;
                r = kb_db_begin(l->db, &t);
        }
        if (r >= 0)
                r = kb_object_put(&l->shelf, "role", call->name, old ? old->version : 0,
                                  kb_list_built(&pairs), call->now);
        if (r >= 0)
                r = kb_db_commit(&t);
        return r < 0 ? kb_problem_errno(&call->problem, r, "writing the role") : KB_E_OK;
}

enum kb_error kb_admin_role_set(struct kb_admin_call *call)
{
        _cleanup_object_ struct kb_object old = {};
        enum kb_error error;
        int r;

        if (!kb_name_word_valid(call->name))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST,
                                  "a role's name has letters, digits, '_' and '-'");
        error = kb_attributes_check(kb_role_attributes, kb_role_attributes_size, call->fields,
                                    &call->problem);
        if (error != KB_E_OK)
                return error;
        r = kb_object_get(&call->service->local->shelf, "role", call->name, &old);
        if (r < 0)
                return kb_damage_problem(call->service->local, &call->problem, r, "reading the role");
        return write_role(call, r > 0 ? &old : NULL);
}

/* Every attribute, set or not: what is in force. */
static int add_role(struct kb_object *o, void *userdata)
{
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "name", o->name);
        for (size_t i = 0; i < kb_role_attributes_size; i++)
                kb_rows_text(&call->rows, kb_role_attributes[i].name,
                             kb_object_text(o, kb_role_attributes[i].name, kb_role_attributes[i].preset));
        kb_rows_next(&call->rows);
        return call->rows.rows.count >= KB_ADMIN_PORTION;
}

enum kb_error kb_admin_role_show(struct kb_admin_call *call)
{
        return kb_admin_show(call, "role", add_role);
}

enum kb_error kb_admin_role_list(struct kb_admin_call *call)
{
        return kb_admin_list(call, "role", add_role);
}

enum kb_error kb_admin_role_remove(struct kb_admin_call *call)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        struct kb_local *l = call->service->local;
        int r = kb_db_begin(l->db, &t);

        if (r >= 0)
                r = kb_object_remove(&l->shelf, "role", call->name);
        if (r == 0)
                return kb_problem(&call->problem, KB_E_NOT_FOUND, "there is no role %s", call->name);
        if (r > 0)
                r = kb_db_commit(&t);
        return r < 0 ? kb_problem_errno(&call->problem, r, "removing the role") : KB_E_OK;
}
