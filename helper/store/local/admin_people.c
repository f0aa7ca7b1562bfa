/* SPDX-License-Identifier: Apache-2.0 */
/* `user ...`, `group ...`, `rule ...`: the directory of this store. */
#include <errno.h>
#include <string.h>

#include "helper/store/local/admin.h"
#include "helper/store/local/people.h"

/* --- fields --- */

/* The fields that are no attributes. */
static const char *const not_attributes[] = {"id", "range", "password", "weak", NULL};

static enum kb_error get_range(struct kb_admin_call *call, struct kb_id_range *ret_range, uint32_t *ret_id)
{
        const char *id = kb_admin_text(call, "id", "");
        uint64_t number = 0;

        if (!kb_ids_parse_range(kb_admin_text(call, "range", ""), ret_range))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST,
                                  "range is MIN-MAX, and no id of the system's");
        if (id[0] && (!kb_parse_number(id, &number) || number == 0 || number > UINT32_MAX))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "id is a number");
        *ret_id = (uint32_t)number;
        return KB_E_OK;
}

static enum kb_error get_attributes(struct kb_admin_call *call, struct kb_list_builder *ret)
{
        return kb_admin_attributes(call, not_attributes, ret) < 0
                       ? kb_problem(&call->problem, KB_E_BAD_REQUEST, "too much to keep for one of these")
                       : KB_E_OK;
}

/* Every attribute, set or not: what is in force. */
static void add_attributes(struct kb_admin_call *call, const struct kb_object *o,
                           const struct kb_attributes *attributes)
{
        for (size_t i = 0; i < attributes->n; i++)
                kb_rows_text(&call->rows, attributes->rows[i].name,
                             kb_object_text(o, attributes->rows[i].name, attributes->rows[i].preset));
}

/* Answers with the rules that named whoever is gone now, since an administrator will want to look at them.
 */
static enum kb_error take_away(struct kb_admin_call *call,
                               enum kb_error (*how)(struct kb_local *l, const char *name, uint64_t now,
                                                    struct kb_list_builder *ret_rules,
                                                    struct kb_problem *problem))
{
        _cleanup_list_ struct kb_list_builder rules = kb_list_builder_init(KB_FRAME_MAX / 2);
        enum kb_error error = how(call->service->local, call->name, call->now, &rules, &call->problem);
        struct kb_list rest = kb_list_built(&rules);
        struct kb_span who;
        const char *name;

        while (error == KB_E_OK && kb_list_next_pair(&rest, &name, &who)) {
                kb_rows_text(&call->rows, "rule", name);
                kb_rows_text(&call->rows, "change",
                             who.size > 0 ? "names one less" : "removed: it named nobody else");
                kb_rows_secret(&call->rows, "who", who);
                kb_rows_next(&call->rows);
        }
        return error;
}

/* --- people --- */

/* The password is judged and hashed in the pool; without one there is nothing to do there. */
int kb_admin_password_work(struct kb_admin_secret *secret)
{
        if (!secret->given.data)
                return 0;
        if (!secret->any_quality &&
            kb_password_quality(secret->given, KB_SPAN("", 0), secret->user, &secret->weak) != KB_E_OK)
                return 0;
        return kb_password_hash(secret->given, secret->hash);
}

enum kb_error kb_admin_password_begin(struct kb_admin_call *call)
{
        const char *weak = kb_admin_text(call, "weak", "no");

        if (!kb_attribute_yes_no(weak))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "weak is yes or no");
        if (kb_admin_given(call, "password", &call->secret->given) && call->secret->given.size == 0)
                return kb_problem(&call->problem, KB_E_WEAK, "the password is empty");
        call->secret->user = call->name;
        call->secret->any_quality = strcmp(weak, "yes") == 0;
        return KB_E_OK;
}

static enum kb_error check_quality(struct kb_admin_call *call)
{
        if (call->secret->weak.error == KB_E_OK)
                return KB_E_OK;
        return kb_problem(&call->problem, KB_E_WEAK, "%s", call->secret->weak.text);
}

enum kb_error kb_admin_user_add(struct kb_admin_call *call)
{
        _cleanup_list_ struct kb_list_builder attributes = kb_list_builder_init(65536);
        struct kb_new_person person = {.name = call->name, .hash = call->secret->hash};
        enum kb_error error = check_quality(call);
        uint32_t uid;

        if (error == KB_E_OK)
                error = get_range(call, &person.range, &person.uid);
        if (error == KB_E_OK)
                error = get_attributes(call, &attributes);
        if (error != KB_E_OK)
                return error;
        person.attributes = kb_list_built(&attributes);
        error = kb_person_add(call->service->local, &person, call->now, &uid, &call->problem);
        if (error != KB_E_OK)
                return error;
        kb_rows_text(&call->rows, "name", call->name);
        kb_rows_number(&call->rows, "uid", uid);
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

static int add_user(struct kb_object *o, void *userdata)
{
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "name", o->name);
        kb_rows_text(&call->rows, "uid", kb_object_text(o, "uid", ""));
        add_attributes(call, o, &kb_person_attributes);
        kb_rows_text(&call->rows, "password", kb_object_text(o, "hash", "")[0] ? "set" : "none");
        kb_rows_text(&call->rows, "password-changed", kb_object_text(o, "changed", ""));
        kb_rows_number(&call->rows, "created", o->created);
        kb_rows_next(&call->rows);
        return call->rows.rows.count >= KB_ADMIN_PORTION;
}

enum kb_error kb_admin_user_list(struct kb_admin_call *call)
{
        return kb_admin_list(call, "person", add_user);
}

enum kb_error kb_admin_user_show(struct kb_admin_call *call)
{
        return kb_admin_show(call, "person", add_user);
}

enum kb_error kb_admin_user_set(struct kb_admin_call *call)
{
        return kb_person_set(call->service->local, call->name, call->fields, call->now, &call->problem);
}

static enum kb_error set_disabled(struct kb_admin_call *call, const char *value)
{
        _cleanup_list_ struct kb_list_builder changes = kb_list_builder_init(256);

        kb_list_add_text(&changes, "disabled", value);
        return kb_person_set(call->service->local, call->name, kb_list_built(&changes), call->now,
                             &call->problem);
}

enum kb_error kb_admin_user_disable(struct kb_admin_call *call)
{
        return set_disabled(call, "yes");
}

enum kb_error kb_admin_user_enable(struct kb_admin_call *call)
{
        return set_disabled(call, "");
}

enum kb_error kb_admin_user_remove(struct kb_admin_call *call)
{
        return take_away(call, kb_person_remove);
}

enum kb_error kb_admin_user_passwd(struct kb_admin_call *call)
{
        _cleanup_object_ struct kb_object person = {};
        const char *again = kb_admin_text(call, "change-password", "no");
        enum kb_error error = check_quality(call);

        if (error == KB_E_OK && !kb_attribute_yes_no(again))
                error = kb_problem(&call->problem, KB_E_BAD_REQUEST, "change-password is yes or no");
        if (error == KB_E_OK)
                error = kb_person_get(call->service->local, call->name, &person, &call->problem);
        if (error != KB_E_OK)
                return error;
        return kb_person_set_hash(call->service->local, &person, call->secret->hash,
                                  strcmp(again, "yes") == 0, call->now, &call->problem);
}

/* --- groups --- */

enum kb_error kb_admin_group_add(struct kb_admin_call *call)
{
        _cleanup_list_ struct kb_list_builder attributes = kb_list_builder_init(400 * 1024);
        struct kb_id_range range;
        uint32_t wished, gid;
        enum kb_error error = get_range(call, &range, &wished);

        if (error == KB_E_OK)
                error = get_attributes(call, &attributes);
        if (error == KB_E_OK)
                error = kb_group_add(call->service->local, call->name, kb_list_built(&attributes), range,
                                     wished, call->now, &gid, &call->problem);
        if (error != KB_E_OK)
                return error;
        kb_rows_text(&call->rows, "name", call->name);
        kb_rows_number(&call->rows, "gid", gid);
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

static int add_group(struct kb_object *o, void *userdata)
{
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "name", o->name);
        kb_rows_text(&call->rows, "gid", kb_object_text(o, "gid", ""));
        add_attributes(call, o, &kb_group_attributes);
        kb_rows_next(&call->rows);
        return call->rows.rows.count >= KB_ADMIN_PORTION;
}

enum kb_error kb_admin_group_list(struct kb_admin_call *call)
{
        return kb_admin_list(call, "group", add_group);
}

enum kb_error kb_admin_group_show(struct kb_admin_call *call)
{
        return kb_admin_show(call, "group", add_group);
}

enum kb_error kb_admin_group_remove(struct kb_admin_call *call)
{
        return take_away(call, kb_group_remove);
}

enum kb_error kb_admin_group_member_add(struct kb_admin_call *call)
{
        return kb_group_member(call->service->local, call->name, kb_admin_text(call, "member", ""), true,
                               call->now, &call->problem);
}

enum kb_error kb_admin_group_member_remove(struct kb_admin_call *call)
{
        return kb_group_member(call->service->local, call->name, kb_admin_text(call, "member", ""), false,
                               call->now, &call->problem);
}

/* --- rules --- */

enum kb_error kb_admin_rule_add(struct kb_admin_call *call)
{
        return kb_rule_set(call->service->local, call->name, call->fields, true, call->now, &call->problem);
}

enum kb_error kb_admin_rule_set(struct kb_admin_call *call)
{
        return kb_rule_set(call->service->local, call->name, call->fields, false, call->now, &call->problem);
}

static int add_rule(struct kb_object *o, void *userdata)
{
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "name", o->name);
        add_attributes(call, o, &kb_rule_attributes);
        kb_rows_next(&call->rows);
        return call->rows.rows.count >= KB_ADMIN_PORTION;
}

enum kb_error kb_admin_rule_list(struct kb_admin_call *call)
{
        return kb_admin_list(call, "rule", add_rule);
}

enum kb_error kb_admin_rule_show(struct kb_admin_call *call)
{
        return kb_admin_show(call, "rule", add_rule);
}

enum kb_error kb_admin_rule_remove(struct kb_admin_call *call)
{
        return kb_rule_remove(call->service->local, call->name, call->now, &call->problem);
}
