/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/people.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/names.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/members.h"

#define PAIRS_MAX (400 * 1024)

/* --- what may be typed --- */

/* A field of a line of passwd(5). */
static bool full_name_valid(const char *value)
{
        return kb_text_valid(value) && !strchr(value, ':') && strlen(value) <= 128;
}

static bool path_valid(const char *value)
{
        char slashed[260];

        if (value[0] != '/' || !kb_text_valid(value) || strchr(value, ':') || strlen(value) > 256)
                return false;
        snprintf(slashed, sizeof(slashed), "%s/", value);
        return !strstr(slashed, "/../");
}

static bool auth_valid(const char *value)
{
        return kb_name_path_valid(value) && strlen(value) <= 64;
}

static bool date_valid(const char *value)
{
        uint64_t unused;

        return kb_parse_date(value, &unused);
}

/* There is one, and each is valid: a list of none would be no limit where one was meant. */
static bool each_word(const char *value, bool (*valid)(const char *))
{
        char word[256];
        unsigned n = 0;

        if (!kb_attribute_words(value))
                return false;
        for (; kb_next_word(&value, word, sizeof(word)); n++)
                if (!valid(word))
                        return false;
        return n > 0;
}

static bool member_valid(const char *value)
{
        char word[KB_USER_NAME_MAX + 1];

        while (kb_next_word(&value, word, sizeof(word)))
                if (!kb_name_user_valid(word))
                        return false;
        return true;
}

static bool who_word(const char *word)
{
        return kb_name_user_valid(word[0] == '@' ? word + 1 : word);
}

/* As the directory has it: what names of hosts and services are made of, and fnmatch(3)'s own. */
static bool pattern_word(const char *word)
{
        return word[0] &&
               !word[strspn(word,
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:*?[]!")];
}

static bool factor_word(const char *word)
{
        return strcmp(word, "key") == 0 || strcmp(word, "password") == 0 || strcmp(word, "otp") == 0 ||
               strcmp(word, "none") == 0;
}

static bool who_valid(const char *value)
{
        return each_word(value, who_word);
}

static bool patterns_valid(const char *value)
{
        return each_word(value, pattern_word);
}

static bool factors_valid(const char *value)
{
        return each_word(value, factor_word);
}

static const struct kb_attribute person_rows[] = {
        {"full-name", full_name_valid, "", "text without ':', at most 128 bytes"},
        {"home", path_valid, "", "an absolute path"},
        {"shell", path_valid, "/bin/bash", "an absolute path"},
        {"auth", auth_valid, "", "STORE or STORE/METHOD"},
        {"disabled", kb_attribute_yes_no, "no", "yes or no"},
        {"expires", date_valid, "never", "a date, 2027-01-31, or never"},
        {"change-password", kb_attribute_yes_no, "no", "yes or no: at the next login"},
};
const struct kb_attributes kb_person_attributes = {person_rows, KB_ARRAY_SIZE(person_rows)};

static const struct kb_attribute group_rows[] = {
        {"members", member_valid, "", "names of people, separated by blanks"},
};
const struct kb_attributes kb_group_attributes = {group_rows, KB_ARRAY_SIZE(group_rows)};

static const struct kb_attribute rule_rows[] = {
        {"who", who_valid, "", "names of people and @groups, separated by blanks"},
        {"host", patterns_valid, "", "globs of host names, separated by blanks"},
        {"service", patterns_valid, "", "globs of PAM services, separated by blanks"},
        {"factor", factors_valid, "none", "key, password and otp, separated by blanks, or none"},
        {"from", date_valid, "", "a date, 2027-01-31"},
        {"until", date_valid, "never", "a date, 2027-01-31, or never"},
        {"for", kb_attribute_duration, "", "a duration, such as 8h"},
};
const struct kb_attributes kb_rule_attributes = {rule_rows, KB_ARRAY_SIZE(rule_rows)};

bool kb_parse_date(const char *text, uint64_t *ret)
{
        struct tm tm = {};
        char again[16];
        const char *end;
        time_t t;

        if (strcmp(text, "never") == 0) {
                *ret = KB_TIME_NEVER;
                return true;
        }
        end = strptime(text, "%Y-%m-%d", &tm);
        if (!end || *end || strlen(text) != 10)
                return false;
        t = timegm(&tm);
        if (t < 0 || strftime(again, sizeof(again), "%Y-%m-%d", &tm) == 0 || strcmp(again, text) != 0)
                return false; /* 31 February */
        *ret = (uint64_t)t * KB_USEC_PER_SEC;
        return true;
}

bool kb_yes(const struct kb_object *o, const char *attribute)
{
        return strcmp(kb_object_text(o, attribute, "no"), "yes") == 0;
}

/* --- what all kinds share --- */

static enum kb_error check(const struct kb_attributes *attributes, struct kb_list changes,
                           struct kb_problem *problem)
{
        return kb_attributes_check(attributes->rows, attributes->n, changes, problem);
}

static enum kb_error get(struct kb_local *l, const char *kind, const char *name, struct kb_object *ret,
                         struct kb_problem *problem)
{
        int r = kb_object_get(&l->shelf, kind, name, ret);

        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no %s %.64s", kind, name);
        return r < 0 ? kb_damage_problem(l, problem, r, "reading the directory") : KB_E_OK;
}

/* Writes an object with some attributes changed, and ends the transaction. */
static enum kb_error put(struct kb_local *l, struct kb_transaction *t, const char *kind, const char *name,
                         const struct kb_object *old, struct kb_list changes, uint64_t now,
                         struct kb_problem *problem)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(PAIRS_MAX);
        int r = kb_object_merge(old, changes, &pairs);

        if (r >= 0)
                r = kb_object_put(&l->shelf, kind, name, old ? old->version : 0, kb_list_built(&pairs), now);
        if (r >= 0)
                r = kb_local_touch_directory(l);
        if (r >= 0)
                r = kb_db_commit(t);
        if (r == -EEXIST)
                return kb_problem(problem, KB_E_CONFLICT,
                                  "the %s %s exists already, or was changed meanwhile", kind, name);
        return r < 0 ? kb_damage_problem(l, problem, r, "writing the directory") : KB_E_OK;
}

static enum kb_error change(struct kb_local *l, const char *kind, const struct kb_object *old,
                            struct kb_list changes, uint64_t now, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        int r = kb_db_begin(l->db, &t);

        if (r < 0)
                return kb_damage_problem(l, problem, r, "writing the directory");
        return put(l, &t, kind, old->name, old, changes, now, problem);
}

static enum kb_error begin(struct kb_local *l, struct kb_transaction *t, struct kb_problem *problem)
{
        int r = kb_db_begin(l->db, t);

        return r < 0 ? kb_damage_problem(l, problem, r, "writing the directory") : KB_E_OK;
}

static enum kb_error commit(struct kb_local *l, struct kb_transaction *t, int r, uint64_t now,
                            struct kb_problem *problem)
{
        if (r >= 0)
                r = kb_local_touch_directory(l);
        if (r >= 0)
                r = kb_db_commit(t);
        return r < 0 ? kb_damage_problem(l, problem, r, "writing the directory") : KB_E_OK;
}

/* The attributes that were typed, and an id. */
static void add_id(struct kb_list_builder *pairs, struct kb_list typed, const char *attribute, uint32_t id)
{
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&typed, &name, &value))
                kb_list_add_pair(pairs, name, value);
        kb_list_add_number(pairs, attribute, id);
}

/* --- people --- */

enum kb_error kb_person_get(struct kb_local *l, const char *name, struct kb_object *ret,
                            struct kb_problem *problem)
{
        return get(l, "person", name, ret, problem);
}

enum kb_error kb_person_add(struct kb_local *l, const struct kb_new_person *person, uint64_t now,
                            uint32_t *ret_uid, struct kb_problem *problem)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(PAIRS_MAX);
        _cleanup_transaction_ struct kb_transaction t = {};
        enum kb_error error;

        if (!kb_name_user_valid(person->name))
                return kb_problem(
                        problem, KB_E_BAD_REQUEST,
                        "a person's name has a-z, 0-9, '_', '-', '.', starts with a letter, at most %d",
                        KB_USER_NAME_MAX);
        error = check(&kb_person_attributes, person->attributes, problem);
        if (error == KB_E_OK)
                error = begin(l, &t, problem);
        if (error == KB_E_OK)
                error = kb_ids_take(l, "person", person->name, person->range, person->uid, ret_uid, problem);
        if (error != KB_E_OK)
                return error;
        add_id(&pairs, person->attributes, "uid", *ret_uid);
        if (person->hash[0]) {
                kb_list_add_text(&pairs, "hash", person->hash);
                kb_list_add_number(&pairs, "changed", now);
        }
        return put(l, &t, "person", person->name, NULL, kb_list_built(&pairs), now, problem);
}

enum kb_error kb_person_set(struct kb_local *l, const char *name, struct kb_list attributes, uint64_t now,
                            struct kb_problem *problem)
{
        _cleanup_object_ struct kb_object old = {};
        enum kb_error error = check(&kb_person_attributes, attributes, problem);

        if (error == KB_E_OK)
                error = get(l, "person", name, &old, problem);
        return error == KB_E_OK ? change(l, "person", &old, attributes, now, problem) : error;
}

enum kb_error kb_person_set_hash(struct kb_local *l, const struct kb_object *person, const char *hash,
                                 bool change_again, uint64_t now, struct kb_problem *problem)
{
        _cleanup_list_ struct kb_list_builder changes = kb_list_builder_init(4096);

        kb_list_add_text(&changes, "hash", hash);
        kb_list_add_number(&changes, "changed", now);
        kb_list_add_text(&changes, "change-password", change_again ? "yes" : "");
        return change(l, "person", person, kb_list_built(&changes), now, problem);
}

/* Takes the object away, and its name from wherever it stands. It may be damaged: it is not read. */
static enum kb_error take_away(struct kb_local *l, const char *kind, const char *name, uint64_t now,
                               struct kb_list_builder *ret_rules, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        enum kb_error error = begin(l, &t, problem);
        int r;

        if (error != KB_E_OK)
                return error;
        r = kb_object_remove(&l->shelf, kind, name);
        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no %s %.64s", kind, name);
        if (r >= 0)
                r = kb_members_leave(l, name, now, ret_rules);
        if (r >= 0)
                r = kb_ids_bury(l, kind, name, now);
        return commit(l, &t, r, now, problem);
}

enum kb_error kb_person_remove(struct kb_local *l, const char *name, uint64_t now,
                               struct kb_list_builder *ret_rules, struct kb_problem *problem)
{
        return take_away(l, "person", name, now, ret_rules, problem);
}

/* --- groups --- */

static enum kb_error check_members(struct kb_local *l, struct kb_list attributes, struct kb_problem *problem)
{
        char word[KB_USER_NAME_MAX + 1];
        const char *words = "";
        enum kb_error error = KB_E_OK;

        kb_list_find_string(attributes, "members", &words);
        while (error == KB_E_OK && kb_next_word(&words, word, sizeof(word))) {
                _cleanup_object_ struct kb_object person = {};

                error = get(l, "person", word, &person, problem);
        }
        return error;
}

enum kb_error kb_group_add(struct kb_local *l, const char *name, struct kb_list attributes,
                           struct kb_id_range range, uint32_t gid, uint64_t now, uint32_t *ret_gid,
                           struct kb_problem *problem)
{
        _cleanup_list_ struct kb_list_builder pairs = kb_list_builder_init(PAIRS_MAX);
        _cleanup_transaction_ struct kb_transaction t = {};
        enum kb_error error;

        if (!kb_name_user_valid(name))
                return kb_problem(
                        problem, KB_E_BAD_REQUEST,
                        "a group's name has a-z, 0-9, '_', '-', '.', starts with a letter, at most %d",
                        KB_USER_NAME_MAX);
        error = check(&kb_group_attributes, attributes, problem);
        if (error == KB_E_OK)
                error = check_members(l, attributes, problem);
        if (error == KB_E_OK)
                error = begin(l, &t, problem);
        if (error == KB_E_OK)
                error = kb_ids_take(l, "group", name, range, gid, ret_gid, problem);
        if (error != KB_E_OK)
                return error;
        add_id(&pairs, attributes, "gid", *ret_gid);
        return put(l, &t, "group", name, NULL, kb_list_built(&pairs), now, problem);
}

enum kb_error kb_group_remove(struct kb_local *l, const char *name, uint64_t now,
                              struct kb_list_builder *ret_rules, struct kb_problem *problem)
{
        return take_away(l, "group", name, now, ret_rules, problem);
}

enum kb_error kb_group_member(struct kb_local *l, const char *group, const char *person, bool member,
                              uint64_t now, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        _cleanup_object_ struct kb_object old = {}, who = {};
        enum kb_error error = get(l, "group", group, &old, problem);

        if (error == KB_E_OK && member)
                error = get(l, "person", person, &who, problem);
        if (error != KB_E_OK)
                return error;
        if (kb_words_have(kb_object_text(&old, "members", ""), person) == member)
                return KB_E_OK;
        error = begin(l, &t, problem);
        return error == KB_E_OK ? commit(l, &t, kb_members_put(l, &old, person, member, now), now, problem)
                                : error;
}

/* --- rules --- */

static enum kb_error check_period(const struct kb_object *old, struct kb_list changes,
                                  struct kb_problem *problem)
{
        const char *from = old ? kb_object_text(old, "from", "") : "",
                   *until = old ? kb_object_text(old, "until", "") : "";
        uint64_t begins = 0, ends = KB_TIME_NEVER;

        kb_list_find_string(changes, "from", &from);
        kb_list_find_string(changes, "until", &until);
        if (from[0])
                kb_parse_date(from, &begins);
        if (until[0])
                kb_parse_date(until, &ends);
        return begins < ends ? KB_E_OK
                             : kb_problem(problem, KB_E_BAD_REQUEST, "the rule ends before it begins");
}

/* An attribute without a value permits more, not less: host="$UNSET" would be every host. */
static enum kb_error check_rule(struct kb_list changes, struct kb_problem *problem)
{
        struct kb_list rest = changes;
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&rest, &name, &value))
                if (value.size == 0)
                        return kb_problem(problem, KB_E_BAD_REQUEST,
                                          "%.64s is empty: what is not to limit the rule is left out", name);
        return check(&kb_rule_attributes, changes, problem);
}

enum kb_error kb_rule_set(struct kb_local *l, const char *name, struct kb_list attributes, bool create,
                          uint64_t now, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        _cleanup_object_ struct kb_object old = {};
        enum kb_error error;

        if (!kb_name_word_valid(name))
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "a rule's name has letters, digits, '_' and '-'");
        error = check_rule(attributes, problem);
        if (error == KB_E_OK && !create)
                error = get(l, "rule", name, &old, problem);
        if (error == KB_E_OK)
                error = check_period(create ? NULL : &old, attributes, problem);
        if (error == KB_E_OK)
                error = begin(l, &t, problem);
        return error == KB_E_OK ? put(l, &t, "rule", name, create ? NULL : &old, attributes, now, problem)
                                : error;
}

enum kb_error kb_rule_remove(struct kb_local *l, const char *name, uint64_t now, struct kb_problem *problem)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        enum kb_error error = begin(l, &t, problem);
        int r;

        if (error != KB_E_OK)
                return error;
        r = kb_object_remove(&l->shelf, "rule", name);
        if (r == 0)
                return kb_problem(problem, KB_E_NOT_FOUND, "there is no rule %.64s", name);
        return commit(l, &t, r, now, problem);
}
