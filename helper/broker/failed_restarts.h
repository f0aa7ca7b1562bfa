/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Restarts for a rotation that did not come through. The unit's grant ended with its old invocation, so
 * something else has to know it: what is wrong may be the new values, and nobody else is to be restarted
 * into them. In memory only: a new process of ours tries one more.
 */

#include <stdbool.h>
#include <stdint.h>

struct kb_grants;
struct kb_failed_restart;

/* Of this unit, for this credential. When memory is out it is not kept. */
void kb_failed_restarts_add(struct kb_failed_restart **list, const char *unit, const char *credential,
                            uint64_t now);

/*
 * Whether there is one of this credential, of any other unit. Those are dropped whose unit has had the
 * credential for a minute by now, so it runs again; and what is older than an hour. now is of
 * CLOCK_BOOTTIME.
 */
bool kb_failed_restarts_look(struct kb_failed_restart **list, const struct kb_grants *grants,
                             const char *credential, const char *except_unit, uint64_t now);

void kb_failed_restarts_free(struct kb_failed_restart *list);
