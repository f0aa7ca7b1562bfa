/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/admin.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "helper/store/local/damage.h"

#define WORK_USEC (20 * KB_USEC_PER_SEC)
#define ROWS_MAX  (KB_FRAME_MAX - 4096)

#define OPEN   (1u << KB_LOCAL_OPEN)
#define SEALED (1u << KB_LOCAL_SEALED)
#define NEW    (1u << KB_LOCAL_NEW)
#define OLD    (1u << KB_LOCAL_OLD)
#define ANY    (OPEN | SEALED | NEW | OLD | 1u << KB_LOCAL_CLOSED)

#define ROW(object, action, name, fields, states, handler, prose)                                           \
        {                                                                                                   \
                object, action, name, fields, states, prose, .finish = handler                              \
        }
#define SLOW(object, action, name, fields, states, first, slow, last, prose)                                \
        {                                                                                                   \
                object, action, name, fields, states, prose, .begin = first, .work = slow, .finish = last   \
        }
#define LONG(object, action, name, fields, states, first, slow, last, prose)                                \
        {                                                                                                   \
                object, action, name, fields, states, prose, .begin = first, .work = slow,                  \
                                                             .long_work = last                              \
        }

const struct kb_admin_row kb_admin_rows[] = {
        /* key-value secrets */
        ROW("secret", "put", "PATH", "field.* cas", OPEN, kb_admin_secret_put,
            "write a new version; with cas only when that is the newest so far, 0: none"),
        ROW("secret", "get", "PATH", "version", OPEN, kb_admin_secret_get, "show the fields of a version"),
        ROW("secret", "list", "[PREFIX]", "after", OPEN, kb_admin_secret_list,
            "the newest version of each secret"),
        ROW("secret", "versions", "PATH", "", OPEN, kb_admin_secret_versions, "all versions of a secret"),
        ROW("secret", "remove", "PATH", "version", OPEN, kb_admin_secret_remove,
            "take a version away; it can be had back"),
        ROW("secret", "undelete", "PATH", "version", OPEN, kb_admin_secret_undelete,
            "give a removed version back"),
        ROW("secret", "destroy", "PATH", "version!", OPEN, kb_admin_secret_destroy,
            "wipe a version for good"),

        /* certificates */
        ROW("ca", "create", "NAME", "common-name ttl", OPEN, kb_admin_ca_create,
            "make a certificate authority"),
        ROW("ca", "show", "NAME", "", OPEN, kb_admin_ca_show, "its certificate"),
        ROW("ca", "list", "", "after", OPEN, kb_admin_ca_list, "the authorities"),
        ROW("ca", "certificates", "NAME", "after", OPEN, kb_admin_ca_certificates,
            "what it issued and can be revoked"),
        ROW("ca", "revoke", "NAME", "serial! unknown", OPEN, kb_admin_ca_revoke,
            "revoke a certificate; unknown=revoke also one that this store does not know"),
        ROW("ca", "role-set", "ROLE",
            "ca domains subdomains any-name ips uris server client ttl max-ttl common-name", OPEN,
            kb_admin_role_set, "make a role, or change some of it"),
        ROW("ca", "role-show", "ROLE", "", OPEN, kb_admin_role_show, "what a role permits"),
        ROW("ca", "role-list", "", "after", OPEN, kb_admin_role_list, "the roles"),
        ROW("ca", "role-remove", "ROLE", "", OPEN, kb_admin_role_remove, "remove a role; certificates stay"),

        /* people, groups, rules */
        SLOW("user", "add", "NAME",
             "id range full-name home shell auth disabled expires change-password password weak", OPEN,
             kb_admin_password_begin, kb_admin_password_work, kb_admin_user_add, "add a person"),
        ROW("user", "list", "", "after", OPEN, kb_admin_user_list, "the people"),
        ROW("user", "show", "NAME", "", OPEN, kb_admin_user_show, "one of them"),
        ROW("user", "set", "NAME", "full-name home shell auth disabled expires change-password", OPEN,
            kb_admin_user_set, "change a person"),
        ROW("user", "disable", "NAME", "", OPEN, kb_admin_user_disable, "let a person do nothing"),
        ROW("user", "enable", "NAME", "", OPEN, kb_admin_user_enable, "let a disabled person in again"),
        ROW("user", "remove", "NAME", "", OPEN, kb_admin_user_remove,
            "remove a person; the id is never used again"),
        SLOW("user", "passwd", "NAME", "password! weak change-password", OPEN, kb_admin_password_begin,
             kb_admin_password_work, kb_admin_user_passwd, "give a person a new password"),
        ROW("group", "add", "NAME", "id range members", OPEN, kb_admin_group_add, "add a group"),
        ROW("group", "list", "", "after", OPEN, kb_admin_group_list, "the groups"),
        ROW("group", "show", "NAME", "", OPEN, kb_admin_group_show, "one of them"),
        ROW("group", "remove", "NAME", "", OPEN, kb_admin_group_remove,
            "remove a group; the id is never used again"),
        ROW("group", "member-add", "NAME", "member!", OPEN, kb_admin_group_member_add,
            "put a person into a group"),
        ROW("group", "member-remove", "NAME", "member!", OPEN, kb_admin_group_member_remove,
            "take a person out of a group"),
        ROW("rule", "add", "NAME", "who! host service factor from until for", OPEN, kb_admin_rule_add,
            "let people in"),
        ROW("rule", "set", "NAME", "who host service factor from until for", OPEN, kb_admin_rule_set,
            "change a rule"),
        ROW("rule", "list", "", "after", OPEN, kb_admin_rule_list, "the rules"),
        ROW("rule", "show", "NAME", "", OPEN, kb_admin_rule_show, "one of them"),
        ROW("rule", "remove", "NAME", "", OPEN, kb_admin_rule_remove, "remove a rule"),

        /* ways to the root key */
        ROW("seal", "list", "", "", OPEN | SEALED | OLD, kb_admin_seal_list,
            "the slots that open the root key"),
        SLOW("seal", "add", "NAME", "kind! secret", OPEN, kb_admin_seal_add_begin, kb_admin_seal_work,
             kb_admin_seal_add, "add a slot: systemd, passphrase or recovery; shows its secret once"),
        ROW("seal", "remove", "NAME", "", OPEN, kb_admin_seal_remove, "remove a slot; never the last one"),
        ROW("seal", "seal", "", "", OPEN | OLD, kb_admin_seal_seal,
            "forget the root key until it is unsealed"),
        SLOW("seal", "unseal", "[NAME]", "secret!", SEALED, kb_admin_unseal_begin, kb_admin_seal_work,
             kb_admin_unseal, "open the root key with a passphrase or a recovery code"),

        /* the store as a whole */
        ROW("store", "status", "", "", ANY, kb_admin_store_status, "how the store is, and what is in it"),
        ROW("store", "init", "", "", NEW | SEALED, kb_admin_store_init,
            "make the store, if none was ever opened; shows the secrets of its slots host and recovery "
            "once"),
        ROW("store", "accept", "", "", OLD, kb_admin_store_accept,
            "take an older database for the right one"),
        LONG("store", "rotate-key", "", "damaged", OPEN, NULL, NULL, kb_admin_store_rotate,
             "make a new root key and seal everything anew, while running; damaged=skip leaves behind what "
             "does not "
             "open"),
        LONG("store", "backup", "", "", OPEN, NULL, NULL, kb_admin_store_backup,
             "a sealed copy of everything: the chunks of its progress"),
        ROW("store", "restore-part", "", "offset! data!", ANY, kb_admin_store_restore_part,
            "upload a part of a backup, from offset 0 on"),
        LONG("store", "restore", "[SLOT]", "secret", ANY, kb_admin_store_restore_begin, kb_admin_seal_work,
             kb_admin_store_restore, "put the uploaded backup in the place of this store"),
};
const size_t kb_admin_rows_size = KB_ARRAY_SIZE(kb_admin_rows);

/* --- rows of an answer --- */

void kb_rows_text(struct kb_rows *rows, const char *name, const char *value)
{
        kb_list_add_text(&rows->row, name, value);
}

void kb_rows_number(struct kb_rows *rows, const char *name, uint64_t value)
{
        kb_list_add_number(&rows->row, name, value);
}

void kb_rows_secret(struct kb_rows *rows, const char *name, struct kb_span value)
{
        kb_list_add_pair(&rows->row, name, value);
}

void kb_rows_pairs(struct kb_rows *rows, struct kb_list pairs)
{
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&pairs, &name, &value))
                kb_list_add_pair(&rows->row, name, value);
}

void kb_rows_next(struct kb_rows *rows)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(ROWS_MAX);

        kb_write_list(&w, kb_list_built(&rows->row), UINT32_MAX - 1);
        if (kb_writer_end(&w) < 0)
                rows->rows.writer.failed = true;
        kb_list_add(&rows->rows, KB_SPAN(w.data, w.size));
        kb_list_builder_done(&rows->row);
        rows->row = kb_list_builder_init(ROWS_MAX);
}

/* --- objects as rows --- */

enum kb_error kb_admin_list(struct kb_admin_call *call, const char *kind,
                            int (*each)(struct kb_object *o, void *userdata))
{
        int r = kb_object_each(&call->service->local->shelf, kind, kb_admin_text(call, "after", ""), each,
                               call);

        return r < 0 ? kb_damage_problem(call->service->local, &call->problem, r, "listing") : KB_E_OK;
}

enum kb_error kb_admin_show(struct kb_admin_call *call, const char *kind,
                            int (*each)(struct kb_object *o, void *userdata))
{
        _cleanup_object_ struct kb_object o = {};
        int r = kb_object_get(&call->service->local->shelf, kind, call->name, &o);

        if (r == 0)
                return kb_problem(&call->problem, KB_E_NOT_FOUND, "there is no %s %.64s", kind, call->name);
        if (r < 0)
                return kb_damage_problem(call->service->local, &call->problem, r, "reading");
        each(&o, call);
        return KB_E_OK;
}

/* --- fields of a call --- */

const char *kb_admin_text(const struct kb_admin_call *call, const char *field, const char *otherwise)
{
        const char *text;

        return kb_list_find_string(call->fields, field, &text) ? text : otherwise;
}

bool kb_admin_given(const struct kb_admin_call *call, const char *field, struct kb_span *ret_value)
{
        return kb_list_find(call->fields, field, ret_value);
}

int kb_admin_prefixed(const struct kb_admin_call *call, const char *prefix, struct kb_list_builder *ret)
{
        struct kb_list rest = call->fields;
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&rest, &name, &value))
                if (strncmp(name, prefix, strlen(prefix)) == 0)
                        kb_list_add_pair(ret, name + strlen(prefix), value);
        return kb_writer_end(&ret->writer);
}

int kb_admin_attributes(const struct kb_admin_call *call, const char *const *except,
                        struct kb_list_builder *ret)
{
        struct kb_list rest = call->fields;
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&rest, &name, &value)) {
                const char *const *e = except;

                while (*e && strcmp(*e, name) != 0)
                        e++;
                if (!*e)
                        kb_list_add_pair(ret, name, value);
        }
        return kb_writer_end(&ret->writer);
}

/* Whether a row's list of fields has this one; *ret_required when it must be given. */
static bool takes(const struct kb_admin_row *row, const char *field)
{
        size_t n = strlen(field);
        const char *word = row->fields;

        while (*word) {
                size_t m = strcspn(word, " ");
                size_t bare = m > 0 && word[m - 1] == '!' ? m - 1 : m;

                if (bare > 1 && word[bare - 1] == '*' && n > bare - 1 && strncmp(word, field, bare - 1) == 0)
                        return true;
                if (bare == n && strncmp(word, field, n) == 0)
                        return true;
                word += m + strspn(word + m, " ");
        }
        return false;
}

static enum kb_error check_required(struct kb_admin_call *call)
{
        const char *word = call->row->fields;
        struct kb_span unused;
        char field[64];

        while (*word) {
                size_t m = strcspn(word, " ");

                if (word[m - 1] == '!' && m - 1 < sizeof(field)) {
                        memcpy(field, word, m - 1);
                        field[m - 1] = '\0';
                        if (!kb_admin_given(call, field, &unused))
                                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "%s is missing", field);
                }
                word += m + strspn(word + m, " ");
        }
        return KB_E_OK;
}

static enum kb_error check(struct kb_admin_call *call)
{
        const struct kb_admin_row *row = call->row;
        struct kb_list rest = call->fields;
        struct kb_span value;
        const char *name;

        if (row->name[0] == '\0' && call->name[0])
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "%s %s takes no name", row->object,
                                  row->action);
        if (row->name[0] && row->name[0] != '[' && !call->name[0])
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "%s %s needs %s", row->object,
                                  row->action, row->name);
        if (call->fields.count % 2 != 0)
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "the fields are no pairs");
        while (kb_list_next_pair(&rest, &name, &value))
                if (!takes(row, name))
                        return kb_problem(&call->problem, KB_E_BAD_REQUEST, "%s %s takes no %.64s",
                                          row->object, row->action, name);
        return check_required(call);
}

/* --- a call's way --- */

void kb_admin_call_free(struct kb_admin_call *call)
{
        if (!call)
                return;
        kb_list_builder_done(&call->rows.rows);
        kb_list_builder_done(&call->rows.row);
        kb_secret_free(call->secret);
        free(call);
}
KB_DEFINE_CLEANUP(struct kb_admin_call, kb_admin_call_free);

void kb_admin_answer(struct kb_admin_call *call, enum kb_error error)
{
        _cleanup_(kb_admin_call_freep) struct kb_admin_call *ours = call;

        if (error != KB_E_OK)
                kb_service_fail(ours->request, &ours->problem);
        else
                kb_request_reply(ours->request, store_admin, .rows = kb_list_built(&ours->rows.rows));
}

static bool state_permits(struct kb_admin_call *call)
{
        const struct kb_local *l = call->service->local;

        if (call->row->states & 1u << l->state)
                return true;
        if (kb_local_ready(l, &call->problem) == KB_E_OK)
                kb_problem(&call->problem, KB_E_CONFLICT, "not now: the store is %s",
                           kb_local_state_word(l->state));
        return false;
}

static int run_work(void *userdata)
{
        struct kb_admin_call *call = userdata;

        return call->row->work(call->secret);
}

static void carry_out(struct kb_admin_call *call)
{
        if (call->row->long_work)
                call->row->long_work(call);
        else
                kb_admin_answer(call, call->row->finish(call));
}

/* The state may have changed while the work was done. */
static void on_worked(int result, void *userdata)
{
        struct kb_admin_call *call = userdata;

        if (result < 0)
                kb_admin_answer(call, kb_problem_errno(&call->problem, result, "hashing"));
        else if (!state_permits(call))
                kb_admin_answer(call, call->problem.error);
        else
                carry_out(call);
}

static void start_work(struct kb_admin_call *call)
{
        const struct kb_job job = {run_work, on_worked, call};
        uint64_t now = kb_now_monotonic();
        int r = kb_pool_submit(call->service->pool, &job, now, kb_time_add(now, WORK_USEC));

        if (r < 0)
                kb_admin_answer(call, kb_problem_errno(&call->problem, r, "hashing"));
}

static void run(struct kb_admin_call *call)
{
        enum kb_error error;

        if (!state_permits(call)) {
                kb_admin_answer(call, call->problem.error);
                return;
        }
        error = check(call);
        if (error == KB_E_OK && call->row->begin)
                error = call->row->begin(call);
        if (error != KB_E_OK)
                kb_admin_answer(call, error);
        else if (call->row->work)
                start_work(call);
        else
                carry_out(call);
}

static const struct kb_admin_row *find(const char *object, const char *action)
{
        for (size_t i = 0; i < kb_admin_rows_size; i++)
                if (strcmp(kb_admin_rows[i].object, object) == 0 &&
                    strcmp(kb_admin_rows[i].action, action) == 0)
                        return &kb_admin_rows[i];
        return NULL;
}

void kb_local_admin(struct kb_request *request, void *context)
{
        struct kb_service *s = context;
        struct kb_store_admin_request q;
        const struct kb_admin_row *row;
        struct kb_admin_call *call;

        if (!kb_request_decode(request, store_admin, &q))
                return;
        row = find(q.object, q.action);
        if (!row) {
                kb_request_fail(request, KB_E_UNSUPPORTED, "the local store knows no %s %s", q.object,
                                q.action);
                return;
        }
        kb_service_retry(s);
        call = calloc(1, sizeof(*call));
        if (call)
                call->secret = kb_secret_alloc(sizeof(*call->secret));
        if (!call || !call->secret) {
                free(call);
                kb_request_fail(request, KB_E_BUSY, "memory is out");
                return;
        }
        call->service = s;
        call->request = request;
        call->row = row;
        call->name = q.name;
        call->fields = q.fields;
        call->now = kb_now_realtime();
        call->rows = (struct kb_rows){kb_list_builder_init(ROWS_MAX), kb_list_builder_init(ROWS_MAX)};
        run(call);
}
