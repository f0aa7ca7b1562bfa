/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where an enumeration is. It holds no mapping between two calls, so one that is never ended costs nothing,
 * and one that lasts goes on across a change of the file: behind the last name given out. glibc calls the
 * functions of one enumeration one at a time.
 */

#include "directory/nss_view.h"

struct kb_cursor {
        uint64_t number; /* of the file that next belongs to */
        uint32_t next;
        char last[KB_USER_NAME_MAX + 1]; /* "" at the beginning */
};

/* The name at an index of the view, NULL behind the last or where the file is damaged. */
typedef const char *(*kb_name_at)(const struct kb_nss_view *view, uint32_t index);

void kb_cursor_rewind(struct kb_cursor *c);

/* Index of the entry that comes next. */
uint32_t kb_cursor_index(const struct kb_cursor *c, const struct kb_nss_view *view, uint32_t count,
                         kb_name_at name_at);

/* The entry at index, of that name, was given out. */
void kb_cursor_advance(struct kb_cursor *c, const struct kb_nss_view *view, uint32_t index,
                       const char *name);
