/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * OnUnavailable=stale: while its store is away, a kept secret comes from the last good answer, for as long
 * as StaleSec= says. Never a lease that has an end, never against a store that says no, and not for who
 * tries a definition.
 */

#include "helper/broker/grants.h"

/* A store has answered: remembers it, if the credential's definition asks for that. */
void kb_stale_keep(struct kb_held *held, const struct kb_credential *definition,
                   const struct kb_fetch_reply *reply);

/*
 * A store did not answer, or said no. True: *ret_reply is the last good answer, in memory *ret_frame that is
 * kb_secret_free()d as any answer's.
 */
bool kb_stale_use(struct kb_held *held, const struct kb_credential *definition, enum kb_error error,
                  void **ret_frame, struct kb_fetch_reply *ret_reply);
