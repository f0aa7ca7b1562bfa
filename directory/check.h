/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside directory/ only: what can be said about one record without looking at the others. Texts and names
 * become lines of /etc/passwd, paths and patterns in the hands of every program, so each is held to what
 * those bear. KB_REFUSAL_NONE, or the first thing that is wrong (refusal.def).
 */

#include "directory/document.h"

enum kb_refusal kb_check_person(const struct kb_person_record *person, struct kb_id_range range);
enum kb_refusal kb_check_group(const struct kb_group_record *group, struct kb_id_range range);
enum kb_refusal kb_check_rule(const struct kb_rule_record *rule);
enum kb_refusal kb_check_tombstone(const struct kb_tombstone_record *tombstone);
