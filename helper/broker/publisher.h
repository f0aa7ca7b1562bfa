/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory on this host: fetched from its store when there is a newer one (transfer.h), judged, kept on
 * disk as the last good one and published to the name service (enforcement.h). What is in force is whole: a
 * document is taken or refused. It is judged again when this host's own accounts change (accounts.h).
 */

#include "helper/broker/broker.h"
#include "helper/broker/enforcement.h"

struct kb_publisher;

/* Where things are. */
struct kb_publisher_places {
        struct kb_enforcement_places enforcement;
        const char *stores; /* folder of their sockets */
};
#define KB_PUBLISHER_PLACES                                                                                 \
        (&(const struct kb_publisher_places){.enforcement = {.accounts = "/etc",                            \
                                                             .nss = KB_STATEDIR "/nss",                     \
                                                             .directory = KB_STATEDIR "/directory",         \
                                                             .key = KB_SYSCONFDIR "/directory.pub"},        \
                                             .stores = KB_RUNDIR "/stores"})

/*
 * Takes up the last good document from disk, publishes it, and begins to ask the store every RefreshSec=.
 * 0 or a negative errno. Without a last good one there is nobody until the store answers.
 */
int kb_publisher_new(struct kb_publisher **ret, struct kb_broker *broker,
                     const struct kb_publisher_places *places);
void kb_publisher_free(struct kb_publisher *p); /* after kb_disk_drain() */
KB_DEFINE_CLEANUP(struct kb_publisher, kb_publisher_free);

/*
 * Asks the store now. done is called once what the store had at this moment is in force,
 * or could not be brought in force: error and text say why. NULL: nobody has to know.
 */
typedef void (*kb_publisher_done)(enum kb_error error, const char *text, void *userdata);
void kb_publisher_refresh(struct kb_publisher *p, kb_publisher_done done, void *userdata);

/* What is in force; NULL when there never was one. */
const struct kb_directory *kb_publisher_directory(const struct kb_publisher *p);

/* For decisions, status and doctor. Times are CLOCK_REALTIME. */
struct kb_publisher_state {
        uint64_t version;
        uint64_t confirmed; /* when the store last said that this is its newest, 0: never */
        uint64_t until;     /* when it is too old to decide: MaxAge=, or the document's own end */
        size_t people;
        size_t left_out;     /* records that this host's own files have */
        const char *problem; /* why the last refresh failed, "" when it did not */
};
void kb_publisher_get_state(const struct kb_publisher *p, struct kb_publisher_state *ret);
