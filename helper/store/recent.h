/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What was answered to the last requests, by their id: who did not hear an answer asks again with the same
 * id and must get the same lease, also when a newer version came meanwhile. Holds no secrets, and forgets
 * the oldest.
 */

#include "common/cleanup.h"
#include "common/macro.h"

struct kb_recent;

/* Remembers up to `room` answers. */
int kb_recent_new(struct kb_recent **ret, unsigned room) _must_check_;
void kb_recent_free(struct kb_recent *r);
KB_DEFINE_CLEANUP(struct kb_recent, kb_recent_free);

/* request and path name the question; an empty request id is never remembered. 0 or -ENOMEM. */
int kb_recent_put(struct kb_recent *r, const char *request, const char *path, const char *version)
        _must_check_;

/* The version that was given; NULL when it is not (or no longer) known. Valid until the next put. */
const char *kb_recent_find(const struct kb_recent *r, const char *request, const char *path);
