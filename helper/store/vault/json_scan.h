/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The grammar of JSON (RFC 8259), without building anything: what passes here, json-c reads to the end and
 * changes nothing of. Beyond the grammar it refuses a NUL in a name, half of a surrogate pair, and an
 * integer of more than 18 digits.
 */

#include "common/secret.h"

/*
 * 0, and how many members all objects have together; -EBADMSG; -E2BIG beyond KB_JSON_DEPTH or
 * KB_JSON_VALUES. Does not look at what is UTF-8.
 */
int kb_json_scan(struct kb_span text, size_t *ret_members) _must_check_;
