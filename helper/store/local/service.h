/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The running program: the store, its worker pool, and what the handlers of verbs need around them. */

#include "helper/server/server.h"
#include "helper/store/local/local.h"
#include "helper/server/pool.h"
#include "helper/store/recent.h"

struct kb_document;
struct kb_long_work;
struct kb_making;

struct kb_service {
        sd_event *event;
        struct kb_local *local;
        struct kb_pool *pool;
        struct kb_recent *recent;     /* versions of secrets that were fetched last */
        uint64_t reopened;            /* when a CLOSED store was last tried again; CLOCK_MONOTONIC */
        struct kb_document *document; /* the directory as it was asked for last; NULL: not yet */
        struct kb_making *making;     /* a newer one, under way */
        sd_event_source *tidy;        /* once a minute */
        struct kb_long_work *work;    /* a backup, restore or rotation that is under way; one at a time */
};

/* folder is $STATE_DIRECTORY; credentials $CREDENTIALS_DIRECTORY, NULL when there is none. */
int kb_service_new(struct kb_service **ret, sd_event *event, const char *folder, const char *credentials)
        _must_check_;
void kb_service_free(struct kb_service *s);
KB_DEFINE_CLEANUP(struct kb_service, kb_service_free);

/*
 * Whether the store is OPEN; else fails the request with the cause and the cure and returns false. A CLOSED
 * store is tried again first, once a second at most: room on a disk is enough, nobody has to restart
 * anything.
 */
bool kb_service_ready(struct kb_service *s, struct kb_request *request);
void kb_service_retry(struct kb_service *s);

/* Opens the root key with the credential that systemd passed, when there is one. Says in the journal what
 * came of it. */
void kb_service_unseal(struct kb_service *s, const char *credentials);

/* The slot and the seed in that credential. -ENOENT also for an empty one, -EINVAL for nonsense. */
int kb_service_credential(const char *credentials, char ret_name[65], uint8_t ret_seed[32]) _must_check_;

/* How the store is: names and texts for `store status`. */
void kb_local_facts(const struct kb_service *s, struct kb_list_builder *facts);

/* Ends a request with a problem. */
void kb_service_fail(struct kb_request *request, const struct kb_problem *problem);

/* The handlers of the store verbs, for kb_store_main(). */
extern const struct kb_dispatch kb_local_dispatch[];
extern const size_t kb_local_dispatch_size;

/* Handlers that have files of their own. */
void kb_local_admin(struct kb_request *request, void *context);        /* admin.c */
void kb_local_authenticate(struct kb_request *request, void *context); /* login.c */
void kb_local_change_secret(struct kb_request *request, void *context);
void kb_local_directory(struct kb_request *request, void *context); /* directory.c */
