/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A store made again from a backup. The backup is uploaded into the state folder first, portion by portion,
 * then opened with the secret of one of its slots, written beside the database, checked, and put in its
 * place by one rename (swap.h). Until that rename the old store is untouched, over a crash too.
 */

#include "helper/store/local/backup_stream.h"
#include "helper/store/local/seal.h"

/* Appends to the upload; offset 0 begins a new one. KB_E_CONFLICT when it is not at this offset. */
enum kb_error kb_restore_upload(struct kb_local *l, uint64_t offset, struct kb_span data,
                                struct kb_problem *problem);

/*
 * The slots in the upload's header: `each` as in kb_slot_each(), with the name and kind of each and, for a
 * passphrase, its parameters. -ENOENT: nothing was uploaded. -EBADMSG: it is no backup.
 */
int kb_restore_slots(struct kb_local *l, int (*each)(const struct kb_slot *slot, void *userdata),
                     void *userdata) _must_check_;

struct kb_restore;

/* Opens the upload with the seed of a slot. KB_E_BAD_SECRET when it does not open. */
enum kb_error kb_restore_new(struct kb_restore **ret, struct kb_local *l, const char *slot,
                             const uint8_t seed[KB_SLOT_SEED_SIZE], struct kb_problem *problem);
void kb_restore_free(struct kb_restore *r); /* removes what was written, not the upload */
KB_DEFINE_CLEANUP(struct kb_restore, kb_restore_free);

/* One step of opening pieces: 1 when there are more, 0 when all are there. -EBADMSG: changed, cut or too
 * long. */
int kb_restore_step(struct kb_restore *r, uint64_t *ret_done, uint64_t *ret_total) _must_check_;

/* Checks what was written and puts it in the place of the database. The store is OPEN after it. */
enum kb_error kb_restore_finish(struct kb_restore *r, uint64_t now, struct kb_problem *problem);
