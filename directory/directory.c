/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "directory/inside.h"

void kb_directory_free(struct kb_directory *d)
{
        if (!d)
                return;
        free(d->bytes);
        free(d->people);
        free(d->groups);
        free(d->rules);
        free(d->members);
        free(d->belongings);
        free(d->left_out);
        free(d);
}

static int compare_person(const void *name, const void *person)
{
        return strcmp(name, ((const struct kb_person *)person)->record.name);
}

static int compare_group(const void *name, const void *group)
{
        return strcmp(name, ((const struct kb_group *)group)->name);
}

const struct kb_person *kb_directory_person(const struct kb_directory *d, const char *name)
{
        return bsearch(name, d->people, d->n_people, sizeof(*d->people), compare_person);
}

const struct kb_group *kb_directory_group(const struct kb_directory *d, const char *name)
{
        return bsearch(name, d->groups, d->n_groups, sizeof(*d->groups), compare_group);
}

size_t kb_directory_left_out(const struct kb_directory *d, const struct kb_refused **ret)
{
        *ret = d->left_out;
        return d->n_left_out;
}

struct kb_id_range kb_directory_range(const struct kb_directory *d)
{
        return d->range;
}

size_t kb_directory_people(const struct kb_directory *d, const struct kb_person **ret)
{
        *ret = d->people;
        return d->n_people;
}

size_t kb_directory_groups(const struct kb_directory *d, const struct kb_group **ret)
{
        *ret = d->groups;
        return d->n_groups;
}

size_t kb_directory_rules(const struct kb_directory *d, const struct kb_rule_record **ret)
{
        *ret = d->rules;
        return d->n_rules;
}

bool kb_directory_is_member(const struct kb_directory *d, const struct kb_person *person,
                            const struct kb_group *group)
{
        uint32_t g = (uint32_t)(group - d->groups);

        for (uint32_t i = 0; i < person->groups.count; i++)
                if (person->groups.at[i] == g)
                        return true;
        return false;
}
