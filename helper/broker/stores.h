/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The stores this host uses: those that a credential or the directory names, and those that have a file in
 * /etc/keybearer/stores, of which no more than the name is looked at. Each is greeted at our start
 * and every minute; what it wants kept over crash and reboot lies, encrypted to this host, in
 * /var/lib/keybearer/keep. That is also how a store learns that somebody put an older database in its place.
 */

#include "helper/broker/broker.h"

struct kb_stores;

int kb_stores_new(struct kb_stores **ret, struct kb_broker *broker);
void kb_stores_free(struct kb_stores *s);
KB_DEFINE_CLEANUP(struct kb_stores, kb_stores_free);

/* Greets this store now instead of within a minute: its revocation lists have changed, since a lease was
 * revoked; or it was opened, sealed, or another was put in its place. */
void kb_stores_greet(struct kb_stores *s, const char *store);

/*
 * It did not answer, or could not yet: greets it again, but not within a few seconds of the last greeting.
 * One that has been started anew knows nothing of what it had kept before somebody says it.
 */
void kb_stores_greet_again(struct kb_stores *s, const char *store);

/* The configuration has changed: there may be others now. */
void kb_stores_update(struct kb_stores *s);

/* For status and metrics. */
struct kb_store_state {
        const char *name;
        const char *kind; /* "" until it has answered once */
        bool up;
        const char *problem; /* why not, "" when it is up */
};
void kb_stores_each(const struct kb_stores *s,
                    void (*each)(const struct kb_store_state *state, void *userdata), void *userdata);
