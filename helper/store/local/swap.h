/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One database in the place of another, over a crash at any moment. A write-ahead log is not tied to its
 * database: one that the old database left behind (it was damaged, or the disk full) would be played into
 * the new one; and it is all there is of what was acknowledged last, until the new one is in its place. So
 * it is laid aside first, then the new database is renamed, then what was laid aside goes. The next opening
 * tells from the files how far that came, and puts back or takes away.
 */

#include "common/macro.h"

#define KB_SWAP_FILE "restore.db" /* the new database, beside the one it will replace */

/*
 * Puts KB_SWAP_FILE, which has to be closed and synced, in the place of the database, which has to be closed
 * too. 0; or a negative errno, and the old one comes back with kb_swap_mend().
 */
int kb_swap(const char *folder) _must_check_;

/* Before the database is opened: ends what a crash interrupted. 0 or a negative errno. */
int kb_swap_mend(const char *folder) _must_check_;

/* Removes KB_SWAP_FILE, which is not to replace anything any more. 0 or a negative errno. */
int kb_swap_drop(const char *folder) _must_check_;
