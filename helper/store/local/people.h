/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * People, groups and rules: objects of kind "person", "group" and "rule". Each change raises the version of
 * the directory that is made of them (document.h), in the same transaction.
 *
 * Attributes that nobody types: uid, gid, hash (crypt(3)), changed (when the password was, microseconds).
 *
 * All need an OPEN store. KB_E_OK, or an error with its sentence in *problem: KB_E_NOT_FOUND, KB_E_CONFLICT
 * (the name or id is taken, also by this host's own files), KB_E_BAD_REQUEST (an attribute that is none, or
 * has no such value), KB_E_STORAGE; and then nothing has changed.
 */

#include "helper/store/local/attribute.h"
#include "helper/store/local/ids.h"

/* A table of attributes with its length: what may be typed for each kind. */
struct kb_attributes {
        const struct kb_attribute *rows;
        size_t n;
};
extern const struct kb_attributes kb_person_attributes, kb_group_attributes, kb_rule_attributes;

struct kb_new_person {
        const char *name;
        struct kb_list attributes;
        const char *hash; /* "": no password */
        struct kb_id_range range;
        uint32_t uid; /* 0: the next one */
};
enum kb_error kb_person_add(struct kb_local *l, const struct kb_new_person *person, uint64_t now,
                            uint32_t *ret_uid, struct kb_problem *problem);
enum kb_error kb_person_get(struct kb_local *l, const char *name, struct kb_object *ret,
                            struct kb_problem *problem);

/* Changes attributes; or the password, and whether it has to be changed at the next login. */
enum kb_error kb_person_set(struct kb_local *l, const char *name, struct kb_list attributes, uint64_t now,
                            struct kb_problem *problem);
enum kb_error kb_person_set_hash(struct kb_local *l, const struct kb_object *person, const char *hash,
                                 bool change_again, uint64_t now, struct kb_problem *problem);

/* Leaves every group and every rule, and a tombstone. The rules: see kb_members_leave(). */
enum kb_error kb_person_remove(struct kb_local *l, const char *name, uint64_t now,
                               struct kb_list_builder *ret_rules, struct kb_problem *problem);

enum kb_error kb_group_add(struct kb_local *l, const char *name, struct kb_list attributes,
                           struct kb_id_range range, uint32_t gid, uint64_t now, uint32_t *ret_gid,
                           struct kb_problem *problem);
enum kb_error kb_group_remove(struct kb_local *l, const char *name, uint64_t now,
                              struct kb_list_builder *ret_rules, struct kb_problem *problem);

/* One who is a member already, or is none: no error. The person must exist to be added. */
enum kb_error kb_group_member(struct kb_local *l, const char *group, const char *person, bool member,
                              uint64_t now, struct kb_problem *problem);

/* Makes a rule, or changes some of it. */
enum kb_error kb_rule_set(struct kb_local *l, const char *name, struct kb_list attributes, bool create,
                          uint64_t now, struct kb_problem *problem);
enum kb_error kb_rule_remove(struct kb_local *l, const char *name, uint64_t now, struct kb_problem *problem);

/* "2027-01-31" is its first moment in UTC; "never" KB_TIME_NEVER. False for what is no date. */
bool kb_parse_date(const char *text, uint64_t *ret);

bool kb_yes(const struct kb_object *o, const char *attribute);
