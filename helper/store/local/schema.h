/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The tables. Names, numbers and times are in clear, everything else is a sealed record (keyring.h) with the
 * generation of its root key beside it. docs/LOCAL-STORE.md is the page about them.
 */

#include "helper/store/local/db.h"

extern const struct kb_migration kb_schema[];
extern const unsigned kb_schema_size;

/* The tables that hold sealed records: what rotating the root key has to seal anew. */
struct kb_sealed_table {
        const char *select; /* rowid, purpose, name, version, generation, data of rows older than ?1, from
                               behind rowid ?2 on, at most ?3 */
        const char *update; /* generation ?2 and data ?3 for rowid ?1 */
        const char *count;  /* rows with data older than ?1 */
};
extern const struct kb_sealed_table kb_sealed_tables[];
extern const unsigned kb_sealed_tables_size;
