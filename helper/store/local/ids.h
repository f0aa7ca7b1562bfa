/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The ids of people and groups: one pool for uids and gids, and none is ever given twice. An id stays in its
 * table when its holder is removed, as a tombstone. What this host's own files know is left alone.
 */

#include "common/ids.h"
#include "helper/store/local/local.h"

/* "65536-99999"; "" stands for the default. False for nonsense and for ranges that belong to the system. */
bool kb_ids_parse_range(const char *text, struct kb_id_range *ret);

/*
 * Takes an id for a name, within the caller's transaction: the wished one, or, when that is 0, the lowest
 * that never was anybody's. KB_E_CONFLICT when the name or the id is somebody's, was somebody's, or is in
 * the host's files; also when no id is left.
 */
enum kb_error kb_ids_take(struct kb_local *l, const char *kind, const char *name, struct kb_id_range range,
                          uint32_t wished, uint32_t *ret, struct kb_problem *problem);

/* Leaves a tombstone for the id of that name. */
int kb_ids_bury(struct kb_local *l, const char *kind, const char *name, uint64_t now) _must_check_;
