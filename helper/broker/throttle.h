/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How often somebody may ask, by uid: a bucket of tokens for each. What is refused here is counted and not
 * written down, so that asking does not fill the log; whoever owns this writes one record for many. Values
 * in, values out: the clock is a parameter.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/macro.h"
#include "common/names.h"

struct kb_throttle;

/* burst requests at once, and one more every usec. 0 or -ENOMEM. */
int kb_throttle_new(struct kb_throttle **ret, unsigned burst, uint64_t usec) _must_check_;
void kb_throttle_free(struct kb_throttle *t);
KB_DEFINE_CLEANUP(struct kb_throttle, kb_throttle_free);

/*
 * One request of uid, who is user. False when that is one too many, or 1024 others ask as much as they may.
 */
bool kb_throttle_take(struct kb_throttle *t, uid_t uid, const char *user, uint64_t now) _must_check_;

/* Takes out somebody of whom requests were refused since the last time, and how many; false: nobody. */
struct kb_throttled {
        uid_t uid;
        char user[KB_USER_NAME_MAX + 1];
        uint64_t refused;
};
bool kb_throttle_next(struct kb_throttle *t, struct kb_throttled *ret);
