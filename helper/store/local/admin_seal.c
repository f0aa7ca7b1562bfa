/* SPDX-License-Identifier: Apache-2.0 */
/* `seal ...` and what makes a store: the ways to the root key. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/names.h"
#include "helper/store/local/admin.h"
#include "helper/store/local/recovery_code.h"

#define PASSPHRASE_MIN 12

/* --- a slot and its secret --- */

static void add_row(struct kb_admin_call *call, const struct kb_slot *slot, const char *secret_name,
                    const char *secret)
{
        kb_rows_text(&call->rows, "slot", slot->name);
        kb_rows_text(&call->rows, "kind", slot->kind);
        if (secret_name)
                kb_rows_text(&call->rows, secret_name, secret);
        kb_rows_next(&call->rows);
}

/* A slot that systemd opens: row "credential" goes through systemd-creds, once. */
static enum kb_error add_systemd(struct kb_admin_call *call, const struct kb_slot *slot)
{
        char text[KB_SLOT_TEXT_MAX];
        enum kb_error error;
        int r = kb_crypto_random(call->secret->seed, sizeof(call->secret->seed));

        if (r < 0)
                return kb_problem_errno(&call->problem, r, "drawing a key");
        error = kb_slot_add(call->service->local, slot, call->secret->seed, &call->problem);
        if (error == KB_E_OK) {
                kb_slot_text(slot->name, call->secret->seed, text);
                add_row(call, slot, "credential", text);
        }
        kb_wipe(text, sizeof(text));
        return error;
}

static enum kb_error add_recovery(struct kb_admin_call *call, const struct kb_slot *slot)
{
        char text[KB_RECOVERY_TEXT] = "";
        uint8_t code[KB_RECOVERY_BYTES];
        enum kb_error error = KB_E_OK;
        int r = kb_crypto_random(code, sizeof(code));

        if (r >= 0)
                r = kb_recovery_print(code, text);
        if (r >= 0)
                r = kb_slot_seed_recovery(KB_SPAN_STRING(text), call->secret->seed);
        error = r < 0 ? kb_problem_errno(&call->problem, r, "drawing a code")
                      : kb_slot_add(call->service->local, slot, call->secret->seed, &call->problem);
        if (error == KB_E_OK)
                add_row(call, slot, "code", text);
        kb_wipe(code, sizeof(code));
        kb_wipe(text, sizeof(text));
        return error;
}

/* The pool has made the seed by now. */
static enum kb_error add_passphrase(struct kb_admin_call *call, const struct kb_slot *slot)
{
        _cleanup_writer_ struct kb_writer costs = kb_writer_init(256);
        struct kb_slot with_costs = *slot;
        enum kb_error error;

        kb_slot_costs_put(&costs, &call->secret->costs);
        if (kb_writer_end(&costs) < 0)
                return kb_problem_errno(&call->problem, -ENOMEM, "keeping the costs");
        with_costs.parameters = KB_SPAN(costs.data, costs.size);
        error = kb_slot_add(call->service->local, &with_costs, call->secret->seed, &call->problem);
        if (error == KB_E_OK)
                add_row(call, slot, NULL, NULL);
        return error;
}

static const struct {
        const char *kind;
        enum kb_error (*add)(struct kb_admin_call *call, const struct kb_slot *slot);
} kinds[] = {
        {"systemd", add_systemd},
        {"recovery", add_recovery},
        {"passphrase", add_passphrase},
};

static enum kb_error add(struct kb_admin_call *call, const char *name, const char *kind)
{
        struct kb_slot slot = {.created = call->now};

        snprintf(slot.name, sizeof(slot.name), "%s", name);
        snprintf(slot.kind, sizeof(slot.kind), "%s", kind);
        for (size_t i = 0; i < KB_ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].kind, kind) == 0)
                        return kinds[i].add(call, &slot);
        return kb_problem(&call->problem, KB_E_BAD_REQUEST,
                          "a slot is of kind systemd, passphrase or recovery");
}

/* --- the store --- */

enum kb_error kb_admin_store_init(struct kb_admin_call *call)
{
        struct kb_local *l = call->service->local;
        struct kb_transaction t = {};
        enum kb_error error = kb_local_create(l, call->now, &t, &call->problem);
        int r;

        if (error != KB_E_OK)
                return error;
        error = add(call, "host", "systemd");
        if (error == KB_E_OK)
                error = add(call, "recovery", "recovery");
        if (error == KB_E_OK) {
                r = kb_db_commit(&t);
                if (r < 0)
                        error = kb_problem_errno(&call->problem, r, "writing the store");
        }
        kb_db_rollback(&t);
        if (error != KB_E_OK)
                kb_local_forget(l);
        return error;
}

enum kb_error kb_admin_store_accept(struct kb_admin_call *call)
{
        return kb_local_accept(call->service->local, call->now, &call->problem);
}

/* --- seal --- */

static int add_slot_row(const struct kb_slot *slot, void *userdata)
{
        struct kb_admin_call *call = userdata;

        kb_rows_text(&call->rows, "slot", slot->name);
        kb_rows_text(&call->rows, "kind", slot->kind);
        kb_rows_number(&call->rows, "created", slot->created);
        kb_rows_number(&call->rows, "used", slot->used);
        kb_rows_next(&call->rows);
        return 0;
}

enum kb_error kb_admin_seal_list(struct kb_admin_call *call)
{
        int r = kb_slot_each(call->service->local, add_slot_row, call);

        return r < 0 ? kb_problem_errno(&call->problem, r, "listing the slots") : KB_E_OK;
}

/* Hashes what was typed when it is a passphrase (costs.passes > 0). Everything else has its seed already. */
int kb_admin_seal_work(struct kb_admin_secret *secret)
{
        if (secret->costs.passes == 0)
                return 0;
        return kb_slot_seed_passphrase(secret->given, &secret->costs, secret->seed);
}

enum kb_error kb_admin_seal_add_begin(struct kb_admin_call *call)
{
        int r;

        if (!kb_name_word_valid(call->name))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST,
                                  "a slot's name has letters, digits, '_' and '-'");
        if (strcmp(kb_admin_text(call, "kind", ""), "passphrase") != 0) {
                if (kb_admin_given(call, "secret", &call->secret->given))
                        return kb_problem(&call->problem, KB_E_BAD_REQUEST,
                                          "only a passphrase is given by you");
                return KB_E_OK;
        }
        if (!kb_admin_given(call, "secret", &call->secret->given) ||
            call->secret->given.size < PASSPHRASE_MIN)
                return kb_problem(&call->problem, KB_E_WEAK, "a passphrase has at least %d characters",
                                  PASSPHRASE_MIN);
        call->secret->costs = kb_slot_costs_default;
        r = kb_crypto_random(call->secret->costs.salt, sizeof(call->secret->costs.salt));
        return r < 0 ? kb_problem_errno(&call->problem, r, "drawing a salt") : KB_E_OK;
}

enum kb_error kb_admin_seal_add(struct kb_admin_call *call)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        enum kb_error error;
        int r = kb_db_begin(call->service->local->db, &t);

        if (r < 0)
                return kb_problem_errno(&call->problem, r, "adding the slot");
        error = add(call, call->name, kb_admin_text(call, "kind", ""));
        if (error != KB_E_OK)
                return error;
        r = kb_db_commit(&t);
        return r < 0 ? kb_problem_errno(&call->problem, r, "adding the slot") : KB_E_OK;
}

enum kb_error kb_admin_seal_remove(struct kb_admin_call *call)
{
        return kb_slot_remove(call->service->local, call->name, &call->problem);
}

enum kb_error kb_admin_seal_seal(struct kb_admin_call *call)
{
        kb_local_seal(call->service->local);
        return KB_E_OK;
}

/* --- unseal --- */

struct choice {
        const char *name, *kind; /* what is wanted; name may be empty */
        struct kb_slot found;
        struct kb_slot_costs costs;
        unsigned n;
        int r;
};

static int choose(const struct kb_slot *slot, void *userdata)
{
        struct choice *choice = userdata;

        if (strcmp(slot->kind, choice->kind) != 0 ||
            (choice->name[0] && strcmp(slot->name, choice->name) != 0))
                return 0;
        choice->n++;
        choice->found = *slot;
        if (strcmp(slot->kind, "passphrase") == 0)
                choice->r = kb_slot_costs_get(slot->parameters, &choice->costs);
        return 0;
}

/*
 * Which slot of a store or of a backup is meant: what looks like a recovery code is one, everything else is
 * a passphrase. The name is needed only where there are several of a kind. Leaves slot, costs and perhaps
 * the seed.
 */
enum kb_error kb_admin_choose_slot(struct kb_admin_call *call, kb_slots_of slots)
{
        struct choice choice = {.name = call->name, .kind = "passphrase"};
        int r = kb_slot_seed_recovery(call->secret->given, call->secret->seed);

        if (r == -EBADMSG)
                return kb_problem(&call->problem, KB_E_BAD_SECRET,
                                  "that recovery code has a slip in it: its last group does not match");
        if (r >= 0)
                choice.kind = "recovery";
        r = slots(call->service->local, choose, &choice);
        if (r < 0 || choice.r < 0)
                return kb_problem_errno(&call->problem, r < 0 ? r : choice.r, "reading the slots");
        if (choice.n != 1)
                return kb_problem(&call->problem, choice.n ? KB_E_BAD_REQUEST : KB_E_NOT_FOUND,
                                  "there are %u slots of kind %s%s", choice.n, choice.kind,
                                  choice.name[0] ? " and that name" : ": say which");
        call->secret->costs = choice.costs;
        snprintf(call->secret->slot, sizeof(call->secret->slot), "%s", choice.found.name);
        return KB_E_OK;
}

enum kb_error kb_admin_unseal_begin(struct kb_admin_call *call)
{
        if (!kb_admin_given(call, "secret", &call->secret->given))
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "secret is missing");
        return kb_admin_choose_slot(call, kb_slot_each);
}

enum kb_error kb_admin_unseal(struct kb_admin_call *call)
{
        return kb_slot_unseal(call->service->local, call->secret->slot, call->secret->seed, call->now,
                              &call->problem);
}
