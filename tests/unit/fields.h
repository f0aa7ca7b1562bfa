/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fields for tests, from a list of names and values that ends with NULL. */

#include "tests/unit/test.h"

#include "helper/grant/fields.h"
#include "tests/unit/test.h"

static inline struct kb_fields *fields_of(const char *const pairs[])
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init((size_t)4 * 1024 * 1024);
        struct kb_fields *fields = NULL;

        for (size_t i = 0; pairs[i]; i += 2)
                kb_list_add_text(&b, pairs[i], pairs[i + 1]);
        assert_ok(kb_fields_new(kb_list_built(&b), NULL, 0, &fields, NULL));
        return fields;
}

#define FIELDS_OF(...)   fields_of((const char *const[]){__VA_ARGS__, NULL})
#define _cleanup_fields_ _cleanup_(kb_fields_freep)
