/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * JSON (RFC 8259) from a server: strict, bounded, and wiped. Parsed by json-c, after a pass of our own over
 * the bytes that refuses what json-c would let through or quietly change: a name that comes twice in one
 * object, a NUL in a name, an integer of more than 18 digits, half of a surrogate pair, anything deeper than
 * KB_JSON_DEPTH or with more than KB_JSON_VALUES values, and what is not JSON.
 *
 * A value is looked up by name or pointer and then read as the type that is wanted. Lookups take NULL for
 * "absent" and pass it on, so a path can be followed without a look at each step:
 *
 *   r = kb_json_integer(kb_json_get(kb_json_get(root, "auth"), "lease_duration"), 0, MAX, &seconds);
 *
 * null counts as absent everywhere: that is how OpenBao says that a part is not there.
 *
 * All values belong to the document and live as long as it does. What they point to is wiped when it is
 * freed. Names of members are not, they say what a secret is for; and json-c drops the first value of a name
 * that comes twice before we see it, in a document that is refused.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/secret.h"
#include "common/wire.h"

#define KB_JSON_DEPTH  32
#define KB_JSON_VALUES 100000

struct kb_json;       /* a document */
struct kb_json_value; /* a value inside it */

enum kb_json_type {
        KB_JSON_ABSENT, /* also: null */
        KB_JSON_FLAG,
        KB_JSON_NUMBER, /* with or without a fraction */
        KB_JSON_STRING,
        KB_JSON_LIST,
        KB_JSON_OBJECT,
};

/*
 * 0; -EBADMSG when it is no JSON, or has a name twice or with a NUL, or a string that is not UTF-8; -E2BIG
 * when it is too deep or has too many values; -ENOMEM. Keeps nothing of text, which stays the caller's to
 * wipe.
 */
int kb_json_parse(struct kb_span text, struct kb_json **ret) _must_check_;
void kb_json_free(struct kb_json *json); /* wipes */
KB_DEFINE_CLEANUP(struct kb_json, kb_json_free);

const struct kb_json_value *kb_json_root(const struct kb_json *json);
enum kb_json_type kb_json_type(const struct kb_json_value *value);

/* A member of an object; NULL when there is none, and when object is no object. */
const struct kb_json_value *kb_json_get(const struct kb_json_value *object, const char *name);

/* How many elements or members; 0 for everything else. */
size_t kb_json_count(const struct kb_json_value *value);

/* An element of a list, from 0. NULL when there is none. */
const struct kb_json_value *kb_json_element(const struct kb_json_value *list, size_t index);

/* Goes over the members of an object, in the order of the text; null ones are left out. False at the end. */
struct kb_json_each {
        const void *at;
        bool begun;
};
bool kb_json_next(const struct kb_json_value *object, struct kb_json_each *each, const char **ret_name,
                  const struct kb_json_value **ret_value);

/* By JSON pointer (RFC 6901): "/data/data/password", "" is the value itself. 0; -ENOENT; -EINVAL: no
 * pointer. */
int kb_json_at(const struct kb_json_value *from, const char *pointer, const struct kb_json_value **ret)
        _must_check_;

/*
 * Reading. 0; -ENOENT when it is absent; -EPROTOTYPE when it is of another type; ret stays untouched then.
 * string: the bytes may hold a NUL; one more stands behind them. text: -EBADMSG when they hold one.
 * integer: -ERANGE when it is not between min and max, whatever its size.
 */
int kb_json_string(const struct kb_json_value *value, struct kb_span *ret) _must_check_;
int kb_json_text(const struct kb_json_value *value, const char **ret) _must_check_;
int kb_json_flag(const struct kb_json_value *value, bool *ret) _must_check_;
int kb_json_integer(const struct kb_json_value *value, int64_t min, int64_t max, int64_t *ret) _must_check_;

/* A copy of a string that outlives the document: kb_secret_free() it. As kb_json_string(), and -ENOMEM. */
int kb_json_take(const struct kb_json_value *value, uint8_t **ret, size_t *ret_size) _must_check_;

/*
 * The value as a field of a credential: a string as it is, anything else as JSON without spaces. -ENOENT
 * when it is absent; -EMSGSIZE when it does not fit.
 */
int kb_json_write(const struct kb_json_value *value, struct kb_writer *writer) _must_check_;
