/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The fields of one secret: name and bytes, in wiped memory. All that is handed out of a lease comes from
 * one of these, so a user name and a password can never be of two leases.
 */

#include "common/names.h"
#include "common/wire.h"

#define KB_FIELDS_MAX     64
#define KB_FIELD_SIZE_MAX ((size_t)1024 * 1024)

struct kb_field {
        char name[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_span value;
};

struct kb_fields {
        size_t count;
        struct kb_field *field; /* sorted by name */
};

/* Field.NAME=SOURCE: what the unit calls a field, and what the store does. */
struct kb_field_map {
        const char *name;
        const char *source;
};

/* What is wrong, for a person: never a value, only names. */
struct kb_fields_problem {
        char text[512];
};

/* Says it, when problem is not NULL, and returns error. */
int kb_fields_refuse(struct kb_fields_problem *problem, int error, const char *format, ...) _printf_(3, 4);

/*
 * Copies the pairs of a store's answer. With a map, exactly its fields are there, under the unit's names;
 * without one, all of them, under the store's.
 *
 * 0; -EBADMSG: too many or none, a name that is not valid or comes twice, a list that is not of pairs;
 * -ENOENT: a field of the map is not in the answer; -EMSGSIZE: a value is too long; -ENOMEM. *problem says
 * which, when it is not NULL.
 */
int kb_fields_new(struct kb_list pairs, const struct kb_field_map *map, size_t n_map, struct kb_fields **ret,
                  struct kb_fields_problem *problem) _must_check_;
void kb_fields_free(struct kb_fields *fields);
KB_DEFINE_CLEANUP(struct kb_fields, kb_fields_free);

/* NULL when there is none. */
const struct kb_field *kb_fields_find(const struct kb_fields *fields, const char *name);

/* "password, username": the names, for a message. */
void kb_fields_names(const struct kb_fields *fields, char *to, size_t size);
