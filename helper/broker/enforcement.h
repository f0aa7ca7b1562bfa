/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What it takes to bring a document in force: check who vouches for it, judge it against this host's own
 * files, keep it as the last good one, publish it to the name service. Disk and arithmetic over thousands of
 * people, so it is made for the disk's thread and touches nothing but itself.
 */

#include "common/names.h"
#include "common/wire.h"
#include "directory/document.h"
#include "directory/head.h"
#include "helper/config/file.h"

/* Folders. */
struct kb_enforcement_places {
        const char *accounts;  /* passwd and group are in it: /etc */
        const char *nss;       /* where names are published */
        const char *directory; /* where the last good document is kept */
        const char *key;       /* a file: public keys of those who may sign it */
        uid_t key_owner;       /* who has to own that file */
};

/* Whose document it was, and which: what comes after it is of the same cluster, and not older. */
struct kb_enforcement_mark {
        char cluster[KB_CLUSTER_NAME_MAX + 1]; /* "": there was none that is signed */
        uint64_t version;
};

struct kb_enforcement {
        /* set by the caller */
        struct kb_enforcement_places places;
        struct kb_id_range range;
        bool from_disk; /* the document is the last good one; else it is what follows, and is kept */

        /* which the last good one has to be, so that nothing older is published; NULL: whichever it is */
        const char *expected_store; /* stays the caller's */
        uint64_t expected_version;

        /* Signed documents only: the store `local` is part of this host, every other one is not. */
        const char *cluster;             /* Cluster=, stays the caller's; NULL or "": that of the mark */
        struct kb_enforcement_mark mark; /* in: what was there so far; out: this one, once its signature is
                                            found good, whether or not it comes in force */

        /* the document: set by the caller, or by a run from_disk */
        char store[KB_CREDENTIAL_NAME_MAX + 1]; /* that it is from */
        uint64_t version;
        uint64_t not_after;
        uint64_t confirmed; /* when the store said that it is its newest */
        struct kb_writer records;

        /* what came of it */
        struct kb_directory *directory; /* in force; whoever ran it may take it */
        int keep_error;    /* why it could not be kept: it is in force all the same, until a reboot */
        char problem[256]; /* why it is not in force */
};

/*
 * 0: it is published, and may be decided by; -EBADMSG: it is refused; -ENOENT: there is no last good one;
 * -ESTALE: that is not the expected one; or another errno, and names are what they were.
 */
int kb_enforcement_run(struct kb_enforcement *e) _must_check_;
void kb_enforcement_done(struct kb_enforcement *e);

/*
 * The small file beside the document that says when it was confirmed last, so that this does not need the
 * document written again. Encodes it, for kb_disk_write().
 */
#define KB_CONFIRMED_FILE "confirmed"
void kb_confirmed_put(struct kb_writer *w, uint64_t version, uint64_t confirmed);
