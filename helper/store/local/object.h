/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Objects: everything in the local store that has a kind, a name and attributes, and is not a key-value
 * secret. What lies in the database is one sealed record per object: a list of pairs, attribute and value.
 */

#include "helper/store/local/db.h"
#include "helper/store/local/keyring.h"

#define KB_OBJECT_NAME_MAX 255

/* An object in memory. `pairs` points into `plain`. */
struct kb_object {
        char name[KB_OBJECT_NAME_MAX + 1];
        uint64_t version; /* 1, then one more with each change */
        uint64_t created;
        struct kb_writer plain;
        struct kb_list pairs;
};
void kb_object_done(struct kb_object *o); /* wipes */
#define _cleanup_object_ _cleanup_(kb_object_done)

/* What the functions below work on. */
struct kb_shelf {
        struct kb_db *db;
        const struct kb_keyring *keys;
};

/* 1 when there is one, 0 when not. -EBADMSG, -ENOKEY and what the database says. */
int kb_object_get(const struct kb_shelf *shelf, const char *kind, const char *name, struct kb_object *ret)
        _must_check_;

/* The value of an attribute, `otherwise` when it has none. */
const char *kb_object_text(const struct kb_object *o, const char *attribute, const char *otherwise);
uint64_t kb_object_number(const struct kb_object *o, const char *attribute, uint64_t otherwise);

/*
 * Writes an object, within a transaction of the caller. replaces is the version it was made from, 0 for a
 * new one. -EEXIST when it is another version now, or exists already.
 */
int kb_object_put(const struct kb_shelf *shelf, const char *kind, const char *name, uint64_t replaces,
                  struct kb_list pairs, uint64_t now) _must_check_;

/* Makes its version number a given one: for the one object whose version is a counter. */
int kb_object_put_version(const struct kb_shelf *shelf, const char *kind, const char *name, uint64_t version,
                          struct kb_list pairs, uint64_t now) _must_check_;

/* 1 when there was one. */
int kb_object_remove(const struct kb_shelf *shelf, const char *kind, const char *name) _must_check_;

/*
 * Calls `each` for the objects of a kind whose name comes after `after`, in the order of their names, until
 * it returns something other than 0, which is then returned. What it gets is gone when it returns. It must
 * not change objects.
 */
int kb_object_each(const struct kb_shelf *shelf, const char *kind, const char *after,
                   int (*each)(struct kb_object *o, void *userdata), void *userdata) _must_check_;

/*
 * New pairs: those of `old` (NULL: none) with those of `changes` in their place. A change to the empty
 * string takes the attribute away.
 */
int kb_object_merge(const struct kb_object *old, struct kb_list changes, struct kb_list_builder *ret)
        _must_check_;

/* A decimal number, all of it. */
bool kb_parse_number(const char *text, uint64_t *ret);
