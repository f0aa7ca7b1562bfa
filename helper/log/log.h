/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The log: everything that was decided, and the life of every grant, in one append-only chain of records.
 * One thread writes it; the broker's loop hands it events and is told when they are on disk:
 *
 *   kb_log_append(log, &(struct kb_event){.id = KB_EVENT_GRANT_ISSUED, ...}, true, issued, request);
 *
 * and in issued(), if r == 0, the secret is let go. Those who wait at the same time share one fdatasync(2).
 * Reading is in reader.h, the live grants in ledger.h, the proof that nothing was altered in verify.h, and
 * what journald gets in forward.h.
 */

#include <stdbool.h>

#include "common/cleanup.h"
#include "helper/log/anchor.h"
#include "helper/log/event.h"
#include "helper/log/identity.h"
#include "helper/log/recover.h"

struct kb_log;

/* 0 stands for the default of each. */
struct kb_log_options {
        uint64_t max_size;       /* bytes of a file, then a new one begins; 64 MiB */
        uint64_t max_age;        /* usec, the same; 0: never for its age */
        unsigned keep_files;     /* older ones are removed; 0: all are kept */
        uint64_t keep_age;       /* files that ended longer ago are removed; 0: never */
        unsigned anchor_records; /* an anchor after so many; 1000 */
        uint64_t anchor_age;     /* and after so many usec, if there was a record; 10 min */
        bool start_over;         /* leave a damaged file as it is and begin a new one beside it */
        uint64_t (*now)(void);   /* kb_now_realtime(); a test brings its own */
        const char *journal; /* socket of journald that is told what the disk does not take; NULL: none */
};

/*
 * Makes a log in an existing, empty folder: 0, and the line that a person keeps off this host (see
 * anchor.h). It is written nowhere. -EEXIST when there is one, -ENODATA as kb_log_open(), another negative
 * errno. What a call that was killed has left is replaced.
 */
int kb_log_create(const char *dir, uint64_t now, char ret_first_key[KB_FIRST_KEY_MAX]);

/*
 * Takes away what kb_log_create() made, and no other file: 0; -EEXIST when more was written since, and then
 * all stays; another negative errno. Nobody may have it open.
 */
int kb_log_unmake(const char *dir);

/*
 * Opens it for writing and starts the thread. The first record says so, and what was recovered. Where the
 * disk is read-only that record waits, as on a full one, until it is not.
 *
 *   -ENOENT   there is no log: `keybearer setup` makes it
 *   -ENODATA  records are there, but the file `identity` is not: nothing of ours takes it away
 *   -EBUSY    another process writes it
 *   -EBADMSG  damaged before its end; *ret_damage says where. options.start_over goes on beside it
 *   -ENOKEY   the key of the anchors is missing, or older than the log
 */
int kb_log_open(struct kb_log **ret, const char *dir, const struct kb_log_options *options,
                struct kb_log_damage *ret_damage);

/* Writes what is still waiting, stops the thread, and calls the callbacks that are left. */
void kb_log_free(struct kb_log *log);
KB_DEFINE_CLEANUP(struct kb_log, kb_log_free);

/* r: 0, and the record has this sequence number; or a negative errno, and it is not in the log. */
typedef void (*kb_log_done)(int r, uint64_t sequence, void *userdata);

/*
 * Takes an event; nothing of it needs to live on. time 0 means now. May be called from any thread.
 *
 *   waited true   what permits or issues. done is called with the error if it cannot be written now: then it
 *                 never will be, and what it permits must not happen. [Log] Required=no is the
 *                 caller's business.
 *   waited false  what refuses or ends. It is kept and tried again until the disk takes it; meanwhile
 *                 options.journal is told of it, once and without waiting. done may be NULL.
 *
 * 0; -ENOBUFS when too much is waiting already; -EMSGSIZE; -ENOMEM. After an error done is not called.
 */
int kb_log_append(struct kb_log *log, const struct kb_event *event, bool waited, kb_log_done done,
                  void *userdata);

/* Writes an anchor now. line is NULL when r < 0. */
typedef void (*kb_log_anchor_done)(int r, const char *line, void *userdata);
int kb_log_anchor(struct kb_log *log, kb_log_anchor_done done, void *userdata);

/* Readable when kb_log_dispatch() has something to call, or `error` of the state is another one. Both belong
 * to one thread: the loop's. */
int kb_log_fd(const struct kb_log *log);
void kb_log_dispatch(struct kb_log *log);

/* For status and metrics. */
struct kb_log_state {
        uint64_t written; /* sequence number of the last record on disk */
        unsigned waiting; /* events that are not */
        int error;        /* negative errno since writing fails, 0 while it works */
        uint64_t lost; /* events nobody waited for, dropped because too many were waiting, since the start */
};
void kb_log_get_state(struct kb_log *log, struct kb_log_state *ret);

const struct kb_log_identity *kb_log_identity(const struct kb_log *log);

/* An eventfd(2) to be written to whenever more is on disk, or -1 for none. It stays the caller's. */
void kb_log_set_watch(struct kb_log *log, int fd);
