/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an administrator can have the store do: one table (admin.c), a row per object and action. A row may
 * go through three hands:
 *
 *   begin    in the event loop: looks up what the work needs
 *   work     in a thread of the pool: hashing; touches nothing but the call's own `secret`
 *   finish   in the event loop: does it, and fills in the rows of the answer
 *
 * and instead of finish there may be `long_work`, which answers by itself, with progress on the way
 * (long_work.h).
 */

#include "helper/store/local/password.h"
#include "helper/store/local/seal.h"
#include "helper/store/local/service.h"

/* The rows of an answer: each a list of pairs, encoded as the wire encodes a list. Times in it are
 * microseconds since the epoch, 0 for never. */
struct kb_rows {
        struct kb_list_builder rows, row;
};
void kb_rows_text(struct kb_rows *rows, const char *name, const char *value);
void kb_rows_number(struct kb_rows *rows, const char *name, uint64_t value);
void kb_rows_secret(struct kb_rows *rows, const char *name, struct kb_span value);
void kb_rows_pairs(struct kb_rows *rows, struct kb_list pairs);
void kb_rows_next(struct kb_rows *rows); /* ends the row */

/* What passes between begin, work and finish; wiped with the call. */
struct kb_admin_secret {
        struct kb_span given;            /* what was typed; points into the request */
        struct kb_slot_costs costs;      /* of a passphrase slot; passes 0: it is none */
        uint8_t seed[KB_SLOT_SEED_SIZE]; /* out of it */
        char slot[65];                   /* that the seed is for */
        const char *user;                /* whose password it is */
        bool any_quality;                /* however weak it is */
        struct kb_problem weak;          /* out of it: why it is too weak */
        char hash[KB_HASH_MAX];          /* or its hash, "" when none was given */
};

struct kb_admin_row;

struct kb_admin_call {
        struct kb_service *service;
        struct kb_request *request;
        const struct kb_admin_row *row;
        const char *name;
        struct kb_list fields;
        uint64_t now; /* microseconds since the epoch */
        struct kb_rows rows;
        struct kb_problem problem;
        struct kb_admin_secret *secret;
};

/* The text of a field, `otherwise` when it is not given. */
const char *kb_admin_text(const struct kb_admin_call *call, const char *field, const char *otherwise);
bool kb_admin_given(const struct kb_admin_call *call, const char *field, struct kb_span *ret_value);

/* The fields that stand after a prefix ("field."), without it; the others are left out. -EMSGSIZE. */
int kb_admin_prefixed(const struct kb_admin_call *call, const char *prefix, struct kb_list_builder *ret)
        _must_check_;

/* The same for all fields but those named: the attributes of an object. */
int kb_admin_attributes(const struct kb_admin_call *call, const char *const *except,
                        struct kb_list_builder *ret) _must_check_;

struct kb_admin_row {
        const char *object, *action;
        const char *name;   /* what the name is: "PATH"; "" none; "[PATH]" may be left out */
        const char *fields; /* words; '!' behind one that must be given; "field.*" any with that prefix */
        unsigned states;    /* bits 1 << enum kb_local_state in which it can be asked */
        const char *prose;  /* one line for help */

        enum kb_error (*begin)(struct kb_admin_call *call);
        int (*work)(struct kb_admin_secret *secret);
        enum kb_error (*finish)(struct kb_admin_call *call);
        void (*long_work)(struct kb_admin_call *call);
};

/* The table, for whoever wants to read it: the tests, the manual. */
extern const struct kb_admin_row kb_admin_rows[];
extern const size_t kb_admin_rows_size;

/*
 * What `list` and `show` of a kind of object answer: `each` adds a row for one object to the call it gets as
 * userdata, and returns whether that was enough.
 */
enum kb_error kb_admin_list(struct kb_admin_call *call, const char *kind,
                            int (*each)(struct kb_object *o, void *userdata));
enum kb_error kb_admin_show(struct kb_admin_call *call, const char *kind,
                            int (*each)(struct kb_object *o, void *userdata));

/* Lists come in portions of this many rows; field `after` asks for those behind a name. */
#define KB_ADMIN_PORTION 1000

/* For long work: the call becomes the handler's own, which answers and frees it. */
void kb_admin_call_free(struct kb_admin_call *call);
void kb_admin_answer(struct kb_admin_call *call, enum kb_error error);

/* --- the handlers, by file --- */

#define KB_ADMIN_HANDLER(name) enum kb_error name(struct kb_admin_call *call)
/* admin_secret.c */
KB_ADMIN_HANDLER(kb_admin_secret_put);
KB_ADMIN_HANDLER(kb_admin_secret_get);
KB_ADMIN_HANDLER(kb_admin_secret_list);
KB_ADMIN_HANDLER(kb_admin_secret_versions);
KB_ADMIN_HANDLER(kb_admin_secret_remove);
KB_ADMIN_HANDLER(kb_admin_secret_undelete);
KB_ADMIN_HANDLER(kb_admin_secret_destroy);
/* admin_ca.c */
KB_ADMIN_HANDLER(kb_admin_ca_create);
KB_ADMIN_HANDLER(kb_admin_ca_show);
KB_ADMIN_HANDLER(kb_admin_ca_list);
KB_ADMIN_HANDLER(kb_admin_ca_certificates);
KB_ADMIN_HANDLER(kb_admin_ca_revoke);
KB_ADMIN_HANDLER(kb_admin_role_set);
KB_ADMIN_HANDLER(kb_admin_role_show);
KB_ADMIN_HANDLER(kb_admin_role_list);
KB_ADMIN_HANDLER(kb_admin_role_remove);
/* admin_seal.c */
KB_ADMIN_HANDLER(kb_admin_store_init);
KB_ADMIN_HANDLER(kb_admin_store_accept);
KB_ADMIN_HANDLER(kb_admin_seal_list);
KB_ADMIN_HANDLER(kb_admin_seal_add_begin);
KB_ADMIN_HANDLER(kb_admin_seal_add);
KB_ADMIN_HANDLER(kb_admin_seal_remove);
KB_ADMIN_HANDLER(kb_admin_seal_seal);
KB_ADMIN_HANDLER(kb_admin_unseal_begin);
KB_ADMIN_HANDLER(kb_admin_unseal);
int kb_admin_seal_work(struct kb_admin_secret *secret);
typedef int (*kb_slots_of)(struct kb_local *l, int (*each)(const struct kb_slot *slot, void *userdata),
                           void *userdata);
enum kb_error kb_admin_choose_slot(struct kb_admin_call *call, kb_slots_of slots);
/* admin_store.c */
KB_ADMIN_HANDLER(kb_admin_store_status);
KB_ADMIN_HANDLER(kb_admin_store_restore_part);
KB_ADMIN_HANDLER(kb_admin_store_restore_begin);
void kb_admin_store_rotate(struct kb_admin_call *call);
void kb_admin_store_backup(struct kb_admin_call *call);
void kb_admin_store_restore(struct kb_admin_call *call);
/* admin_people.c */
KB_ADMIN_HANDLER(kb_admin_password_begin);
int kb_admin_password_work(struct kb_admin_secret *secret);
KB_ADMIN_HANDLER(kb_admin_user_add);
KB_ADMIN_HANDLER(kb_admin_user_list);
KB_ADMIN_HANDLER(kb_admin_user_show);
KB_ADMIN_HANDLER(kb_admin_user_set);
KB_ADMIN_HANDLER(kb_admin_user_disable);
KB_ADMIN_HANDLER(kb_admin_user_enable);
KB_ADMIN_HANDLER(kb_admin_user_remove);
KB_ADMIN_HANDLER(kb_admin_user_passwd);
KB_ADMIN_HANDLER(kb_admin_group_add);
KB_ADMIN_HANDLER(kb_admin_group_list);
KB_ADMIN_HANDLER(kb_admin_group_show);
KB_ADMIN_HANDLER(kb_admin_group_remove);
KB_ADMIN_HANDLER(kb_admin_group_member_add);
KB_ADMIN_HANDLER(kb_admin_group_member_remove);
KB_ADMIN_HANDLER(kb_admin_rule_add);
KB_ADMIN_HANDLER(kb_admin_rule_set);
KB_ADMIN_HANDLER(kb_admin_rule_list);
KB_ADMIN_HANDLER(kb_admin_rule_show);
KB_ADMIN_HANDLER(kb_admin_rule_remove);
