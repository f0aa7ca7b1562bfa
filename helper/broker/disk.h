/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The broker's way to a disk: one thread, so that the event loop never waits for one. It writes the small
 * files that outlive the broker (what stores and logins keep, revocation lists), and does whatever else has
 * to be on disk, in the order in which it was asked.
 *
 * Of a file only the newest content counts: while the disk is slow, what is written meanwhile replaces what
 * has not been begun, and one fsync serves all who wait. A content that is on disk already is not written
 * again. A failure is said once per file and tried again until it works, for what has to stay; on the way
 * out everything is tried once more.
 */

#include <systemd/sd-event.h>

#include "common/secret.h"

struct kb_disk;

int kb_disk_new(struct kb_disk **ret, sd_event *event) _must_check_;

/* Drains first, see below. */
void kb_disk_free(struct kb_disk *d);
KB_DEFINE_CLEANUP(struct kb_disk, kb_disk_free);

struct kb_disk_file {
        const char *folder; /* path; it has to be there */
        const char *name;
        mode_t mode;
        struct kb_span content; /* copied, and the copy is wiped */
        bool once; /* the caller takes back what it wanted when it fails: not tried again, not said */
};

/*
 * r: 0, and this content or a newer one is on disk; or why it is not, yet. Called in the event loop, and
 * before kb_disk_write() returns when there is nothing to write or no memory.
 */
typedef void (*kb_disk_done)(int r, void *userdata);

/* Writes a file as a whole (kb_file_write_at()). done may be NULL: nobody waits. */
void kb_disk_write(struct kb_disk *d, const struct kb_disk_file *file, kb_disk_done done, void *userdata);

/* Calls work in the thread, then done in the loop with what it returned. 0, or -ENOMEM, -EAGAIN: neither. */
int kb_disk_run(struct kb_disk *d, int (*work)(void *userdata), kb_disk_done done, void *userdata)
        _must_check_;

/* Whether everything is done that was asked for, but for what failed and waits to be tried again. */
bool kb_disk_idle(const struct kb_disk *d);

/* Blocks until everything is done, what failed tried once more. Calls what waits for it. */
void kb_disk_drain(struct kb_disk *d);
