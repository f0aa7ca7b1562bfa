/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every record reaches journald, and nobody waits for that. A thread of its own reads the log behind the
 * writer, hands records over without blocking, reads the journal back, and sends again what is not there:
 * journald may be stopped, frozen, killed, absent, or limiting rates. How far it has come is kept in the
 * file "journal", so that a restart neither forgets nor repeats.
 *
 * A journal that cannot be read back (Storage=none, say) is noticed by nothing ever being seen in it. Then
 * sent is all that can be had, and the state says `blind`.
 */

#include "common/cleanup.h"
#include "helper/log/log.h"

/* Called for each record that was found in the journal. */
typedef void (*kb_forward_seen)(uint64_t sequence, void *userdata);

/* How the journal is read back. confirm.h has the real one. */
#define KB_FORWARD_CURSOR_MAX 504
struct kb_confirmer {
        /* cursor: as the last one left it, "" at first. 0 or a negative errno. */
        int (*open)(void **ret, const char *log_id, const char *cursor);
        /* Everything since the last call; then writes where it is to `cursor`. 0 or a negative errno. */
        int (*read)(void *context, kb_forward_seen seen, void *userdata, char cursor[KB_FORWARD_CURSOR_MAX]);
        void (*close)(void *context);
};

struct kb_forward_options {
        const char *socket;                   /* NULL: KB_JOURNAL_SOCKET */
        const struct kb_confirmer *confirmer; /* NULL: what is sent counts as there */
};

struct kb_forward_state {
        uint64_t sent;      /* sequence number of the last record handed over */
        uint64_t confirmed; /* this one and all before are in the journal */
        uint64_t lag;       /* records on disk that are not */
        uint64_t resent;    /* how many were sent again, since the start */
        uint64_t given_up;  /* how many were not taken after several tries (a journal that stores no such
                               priority) */
        int error;          /* why sending does not work just now, negative errno */
        bool blind;
};

struct kb_forward;

/* Starts the thread. dir and log must outlive it. 0 or a negative errno. */
int kb_forward_new(struct kb_forward **ret, struct kb_log *log, const char *dir,
                   const struct kb_forward_options *options);
void kb_forward_free(struct kb_forward *forward);
KB_DEFINE_CLEANUP(struct kb_forward, kb_forward_free);

void kb_forward_get_state(struct kb_forward *forward, struct kb_forward_state *ret);
