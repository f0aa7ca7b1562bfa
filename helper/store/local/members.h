/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Names in lists of words: the members of a group, the `who` of a rule. All of it within the caller's
 * transaction.
 */

#include "helper/store/local/local.h"

bool kb_words_have(const char *words, const char *wanted);

/* Puts a person into a group, or takes one out of it. */
int kb_members_put(struct kb_local *l, const struct kb_object *group, const char *person, bool member,
                   uint64_t now) _must_check_;

/*
 * Takes a name that is about to go out of every group and every rule, as itself and as @name: who gets that
 * name later must not find a way in that was somebody else's. To take a name out of a rule only ever lets
 * fewer people in; a rule that names nobody then is removed. The pairs: name of each rule that was changed,
 * and whom it names now.
 */
int kb_members_leave(struct kb_local *l, const char *name, uint64_t now, struct kb_list_builder *ret_rules)
        _must_check_;
