/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A record that does not open: which one it is, and what an administrator can do about it. One damaged
 * record must not stand in the way of all others without a name.
 */

#include "helper/store/local/local.h"

/*
 * kb_problem_errno() for whoever opened records: -EBADMSG and -ENOKEY name the record that did not open
 * last, and the command that takes it away.
 */
enum kb_error kb_damage_problem(const struct kb_local *l, struct kb_problem *problem, int r,
                                const char *doing);

/* "secret kv/orders version 3", "user ana": the record that did not open last. */
#define KB_DAMAGE_TEXT_MAX 400
void kb_damage_text(const struct kb_local *l, char ret[KB_DAMAGE_TEXT_MAX]);
