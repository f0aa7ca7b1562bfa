/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An event as others than the log may see it: journald, --json, `grant list`. */

#include "helper/log/event.h"
#include "helper/log/identity.h"

#define KB_PUBLISH_SECRETS 4 /* fields of kind secret there can be; checked at compile time */

struct kb_published {
        struct kb_event
                event; /* complete; texts point to the original or into here, so it cannot be copied */
        char fingerprints[KB_PUBLISH_SECRETS][KB_FINGERPRINT_MAX];
};

/* Ids of leases and tokens become fingerprints, and a grant-issued says the id of its grant. */
void kb_event_publish(struct kb_published *ret, const struct kb_log_identity *identity, uint64_t sequence,
                      const struct kb_event *event);
