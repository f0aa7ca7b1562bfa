/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/check.h"

#include <string.h>

#include "common/clock.h"

/* Names of hosts and of PAM services, and what fnmatch(3) makes patterns of. */
#define PATTERN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:*?[]!"
#define PATTERN_MAX        255

/* A field of a line of /etc/passwd, which is what programs make of it. */
static bool line_field_valid(const char *text)
{
        return kb_text_valid(text) && !strchr(text, ':');
}

static bool path_valid(const char *path)
{
        if (path[0] != '/' || !line_field_valid(path))
                return false;
        for (const char *p = path; (p = strstr(p, "/..")); p += 3)
                if (p[3] == '/' || p[3] == '\0')
                        return false;
        return true;
}

enum kb_refusal kb_check_person(const struct kb_person_record *person, struct kb_id_range range)
{
        if (!kb_name_user_valid(person->name))
                return KB_REFUSAL_NAME;
        if (!kb_id_in_range(range, person->uid))
                return KB_REFUSAL_ID_OUTSIDE;
        if (!line_field_valid(person->full_name))
                return KB_REFUSAL_TEXT;
        if (!path_valid(person->home) || !path_valid(person->shell))
                return KB_REFUSAL_PATH;
        if (person->auth[0] && !kb_name_path_valid(person->auth))
                return KB_REFUSAL_AUTH;
        return KB_REFUSAL_NONE;
}

/* Whether they exist is for the loader to say; here only that each comes behind the one before. */
static bool members_sorted(struct kb_list members)
{
        const char *name, *last = "";

        for (; members.count > 0; last = name)
                if (!kb_list_next_string(&members, &name) || strcmp(last, name) >= 0)
                        return false;
        return true;
}

enum kb_refusal kb_check_group(const struct kb_group_record *group, struct kb_id_range range)
{
        if (!kb_name_user_valid(group->name))
                return KB_REFUSAL_NAME;
        if (!kb_id_in_range(range, group->gid))
                return KB_REFUSAL_ID_OUTSIDE;
        if (!members_sorted(group->members))
                return KB_REFUSAL_MEMBER_ORDER;
        return KB_REFUSAL_NONE;
}

static bool who_valid(const char *who)
{
        return kb_name_user_valid(who[0] == '@' ? who + 1 : who);
}

static bool pattern_valid(const char *pattern)
{
        size_t n = strnlen(pattern, PATTERN_MAX + 1);

        return n > 0 && n <= PATTERN_MAX && strspn(pattern, PATTERN_CHARACTERS) == n;
}

static bool all(struct kb_list list, bool (*valid)(const char *))
{
        const char *element;

        while (list.count > 0)
                if (!kb_list_next_string(&list, &element) || !valid(element))
                        return false;
        return true;
}

enum kb_refusal kb_check_rule(const struct kb_rule_record *rule)
{
        if (!kb_name_word_valid(rule->name))
                return KB_REFUSAL_NAME;
        if (!all(rule->who, who_valid))
                return KB_REFUSAL_WHO;
        if (!all(rule->hosts, pattern_valid) || !all(rule->services, pattern_valid))
                return KB_REFUSAL_PATTERN;
        if (rule->factors & ~(uint32_t)KB_FACTOR_ALL)
                return KB_REFUSAL_FACTOR;
        if (rule->from >= rule->until)
                return KB_REFUSAL_PERIOD;
        return KB_REFUSAL_NONE;
}

enum kb_refusal kb_check_tombstone(const struct kb_tombstone_record *tombstone)
{
        return kb_name_user_valid(tombstone->name) ? KB_REFUSAL_NONE : KB_REFUSAL_NAME;
}
