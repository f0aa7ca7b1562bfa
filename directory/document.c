/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/document.h"

#include <errno.h>
#include <string.h>

#include "directory/check.h"
#include "directory/inside.h"

/* An id, and the record that has it. */
struct holder {
        uint32_t id;
        uint32_t record;
        uint32_t kind;
        const char *name;
};

/* What lives only while a directory is being loaded. */
struct loading {
        struct kb_directory *d;
        const struct kb_files_db *files;
        struct kb_refused refused; /* the record in hand, and in the end what is wrong with it */
        const char *last;          /* name of the record before, of the same kind */
        uint32_t last_id;          /* the same for tombstones */

        size_t count[KB_RECORD_tombstone + 1];
        struct holder *holders;
        size_t n_holders;
        struct kb_list *member_names; /* of each group */
        uint32_t *group_record;       /* number of its record */
        size_t n_memberships;
};

static int refuse(struct loading *l, enum kb_refusal reason)
{
        l->refused.reason = reason;
        return -EBADMSG;
}

static int compare_left_out(const void *name, const void *refused)
{
        return strcmp(name, ((const struct kb_refused *)refused)->subject);
}

static bool person_left_out(const struct kb_directory *d, const char *name)
{
        return d->n_left_people > 0 &&
               bsearch(name, d->left_out, d->n_left_people, sizeof(*d->left_out), compare_left_out);
}

/* --- record by record --- */

/* Files know name or id: noted, and the record is not used. */
static bool leave_out(struct loading *l, const char *name, uint32_t id)
{
        enum kb_refusal reason = KB_REFUSAL_NONE;

        if (l->files && kb_files_db_has_name(l->files, name))
                reason = KB_REFUSAL_FILES_NAME;
        else if (l->files && kb_files_db_has_id(l->files, id))
                reason = KB_REFUSAL_FILES_ID;
        if (reason == KB_REFUSAL_NONE)
                return false;
        l->d->left_out[l->d->n_left_out] = l->refused;
        l->d->left_out[l->d->n_left_out++].reason = reason;
        return true;
}

/* Puts the record's name where messages take it from, and looks whether the name comes behind the last. */
static int take_name(struct loading *l, const char *name, enum kb_refusal checked)
{
        if (kb_text_valid(name))
                strncpy(l->refused.subject, name, sizeof(l->refused.subject) - 1);
        if (checked != KB_REFUSAL_NONE)
                return refuse(l, checked);
        if (l->last && strcmp(l->last, name) >= 0)
                return refuse(l, KB_REFUSAL_ORDER);
        l->last = name;
        return 0;
}

static void hold(struct loading *l, uint32_t id, const char *name)
{
        l->holders[l->n_holders++] = (struct holder){id, l->refused.record, l->refused.kind, name};
}

static int load_person(struct loading *l, struct kb_span fields)
{
        struct kb_person_record person;
        int r;

        if (kb_person_record_get(fields, &person) < 0)
                return refuse(l, KB_REFUSAL_MALFORMED);
        r = take_name(l, person.name, kb_check_person(&person, l->d->range));
        if (r < 0)
                return r;
        hold(l, person.uid, person.name);
        if (leave_out(l, person.name, person.uid))
                l->d->n_left_people++;
        else
                l->d->people[l->d->n_people++].record = person;
        return 0;
}

static int load_group(struct loading *l, struct kb_span fields)
{
        struct kb_directory *d = l->d;
        struct kb_group_record group;
        int r;

        if (kb_group_record_get(fields, &group) < 0)
                return refuse(l, KB_REFUSAL_MALFORMED);
        r = take_name(l, group.name, kb_check_group(&group, d->range));
        if (r < 0)
                return r;
        if (kb_directory_person(d, group.name) || person_left_out(d, group.name))
                return refuse(l, KB_REFUSAL_NAME_TAKEN);
        l->n_memberships += group.members.count;
        if (l->n_memberships > KB_DIRECTORY_MEMBERSHIPS_MAX)
                return refuse(l, KB_REFUSAL_TOO_MANY);
        hold(l, group.gid, group.name);
        if (leave_out(l, group.name, group.gid))
                return 0;
        l->member_names[d->n_groups] = group.members;
        l->group_record[d->n_groups] = l->refused.record;
        d->groups[d->n_groups++] = (struct kb_group){.name = group.name, .gid = group.gid};
        return 0;
}

static int load_rule(struct loading *l, struct kb_span fields)
{
        struct kb_rule_record rule;
        int r;

        if (kb_rule_record_get(fields, &rule) < 0)
                return refuse(l, KB_REFUSAL_MALFORMED);
        r = take_name(l, rule.name, kb_check_rule(&rule));
        if (r < 0)
                return r;
        l->d->rules[l->d->n_rules++] = rule;
        return 0;
}

static int load_tombstone(struct loading *l, struct kb_span fields)
{
        struct kb_tombstone_record tombstone;
        int r;

        if (kb_tombstone_record_get(fields, &tombstone) < 0)
                return refuse(l, KB_REFUSAL_MALFORMED);
        l->last = NULL; /* sorted by id, not by name */
        r = take_name(l, tombstone.name, kb_check_tombstone(&tombstone));
        if (r < 0)
                return r;
        if (l->count[KB_RECORD_tombstone]++ > 0 && tombstone.id <= l->last_id)
                return refuse(l, KB_REFUSAL_ORDER);
        l->last_id = tombstone.id;
        hold(l, tombstone.id, tombstone.name);
        return 0;
}

static const struct {
        size_t max;
        int (*load)(struct loading *l, struct kb_span fields);
} kinds[] = {
        [KB_RECORD_person] = {KB_DIRECTORY_PEOPLE_MAX, load_person},
        [KB_RECORD_group] = {KB_DIRECTORY_GROUPS_MAX, load_group},
        [KB_RECORD_rule] = {KB_DIRECTORY_RULES_MAX, load_rule},
        [KB_RECORD_tombstone] = {KB_DIRECTORY_TOMBSTONES_MAX, load_tombstone},
};

/* Takes the next record apart into its kind and its fields. 1, 0 at the end, -EBADMSG. */
static int next_record(struct loading *l, struct kb_reader *r, struct kb_span *ret_fields)
{
        struct kb_reader record;
        uint32_t kind;

        if (r->left == 0)
                return 0;
        l->refused.record++;
        l->refused.subject[0] = '\0';
        record = kb_reader_init(kb_read_bytes(r, r->left));
        kind = kb_read_u32(&record);
        if (r->failed || record.failed)
                return refuse(l, KB_REFUSAL_MALFORMED);
        if (kind >= KB_ARRAY_SIZE(kinds) || !kinds[kind].load)
                return refuse(l, KB_REFUSAL_KIND);
        if (kind < l->refused.kind)
                return refuse(l, KB_REFUSAL_ORDER);
        if (kind != l->refused.kind)
                l->last = NULL;
        l->refused.kind = kind;
        *ret_fields = KB_SPAN(record.at, record.left);
        return 1;
}

/* First pass: how many there are of each, so that memory is asked for once and too many cost nothing. */
static int count_records(struct loading *l, struct kb_span document)
{
        struct kb_reader reader = kb_reader_init(document);
        struct kb_span fields;
        int r;

        while ((r = next_record(l, &reader, &fields)) > 0)
                if (++l->count[l->refused.kind] > kinds[l->refused.kind].max)
                        return refuse(l, KB_REFUSAL_TOO_MANY);
        return r;
}

static int reserve(struct loading *l)
{
        size_t people = l->count[KB_RECORD_person], groups = l->count[KB_RECORD_group];
        struct kb_directory *d = l->d;

        d->people = calloc(people + 1, sizeof(*d->people));
        d->groups = calloc(groups + 1, sizeof(*d->groups));
        d->rules = calloc(l->count[KB_RECORD_rule] + 1, sizeof(*d->rules));
        d->left_out = l->files ? calloc(people + groups + 1, sizeof(*d->left_out)) : NULL;
        l->holders = calloc(people + groups + l->count[KB_RECORD_tombstone] + 1, sizeof(*l->holders));
        l->member_names = calloc(groups + 1, sizeof(*l->member_names));
        l->group_record = calloc(groups + 1, sizeof(*l->group_record));
        if (!d->people || !d->groups || !d->rules || (l->files && !d->left_out) || !l->holders ||
            !l->member_names || !l->group_record)
                return -ENOMEM;
        return 0;
}

static int load_records(struct loading *l, struct kb_span document)
{
        struct kb_reader reader = kb_reader_init(document);
        struct kb_span fields;
        int r;

        l->refused = (struct kb_refused){};
        l->count[KB_RECORD_tombstone] = 0;
        while ((r = next_record(l, &reader, &fields)) > 0) {
                r = kinds[l->refused.kind].load(l, fields);
                if (r < 0)
                        return r;
        }
        return r;
}

/* --- what can be said only about all of them together --- */

static int compare_holders(const void *a, const void *b)
{
        const struct holder *x = a, *y = b;

        if (x->id != y->id)
                return x->id < y->id ? -1 : 1;
        return x->record < y->record ? -1 : 1;
}

/* No id twice, living or dead. The first of two is to blame when the other is its tombstone. */
static int check_ids(struct loading *l)
{
        qsort(l->holders, l->n_holders, sizeof(*l->holders), compare_holders);
        for (size_t i = 1; i < l->n_holders; i++) {
                const struct holder *first = &l->holders[i - 1], *second = &l->holders[i];
                bool dead = second->kind == KB_RECORD_tombstone;
                const struct holder *blame = dead ? first : second;

                if (first->id != second->id)
                        continue;
                l->refused = (struct kb_refused){.record = blame->record, .kind = blame->kind};
                strncpy(l->refused.subject, blame->name, sizeof(l->refused.subject) - 1);
                return refuse(l, dead ? KB_REFUSAL_ID_DEAD : KB_REFUSAL_ID_TAKEN);
        }
        return 0;
}

/* Names of members become indexes; both are sorted, so the indexes are too. */
static int resolve_members(struct loading *l)
{
        struct kb_directory *d = l->d;
        uint32_t *at;

        d->members = at = calloc(l->n_memberships + 1, sizeof(*d->members));
        if (!d->members)
                return -ENOMEM;
        for (size_t g = 0; g < d->n_groups; g++) {
                struct kb_list names = l->member_names[g];
                const char *name;

                d->groups[g].members.at = at;
                while (kb_list_next_string(&names, &name)) {
                        const struct kb_person *person = kb_directory_person(d, name);

                        if (person) {
                                *at++ = (uint32_t)(person - d->people);
                                continue;
                        }
                        if (person_left_out(d, name))
                                continue;
                        l->refused =
                                (struct kb_refused){.record = l->group_record[g], .kind = KB_RECORD_group};
                        strncpy(l->refused.subject, d->groups[g].name, sizeof(l->refused.subject) - 1);
                        return refuse(l, KB_REFUSAL_MEMBER);
                }
                d->groups[g].members.count = (uint32_t)(at - d->groups[g].members.at);
        }
        return 0;
}

/* The same the other way round: the groups of each person. */
static int invert_members(struct loading *l)
{
        struct kb_directory *d = l->d;
        uint32_t *at;

        d->belongings = at = calloc(l->n_memberships + 1, sizeof(*d->belongings));
        if (!d->belongings)
                return -ENOMEM;
        for (size_t g = 0; g < d->n_groups; g++)
                for (uint32_t i = 0; i < d->groups[g].members.count; i++)
                        d->people[d->groups[g].members.at[i]].groups.count++;
        for (size_t p = 0; p < d->n_people; p++) {
                d->people[p].groups.at = at;
                at += d->people[p].groups.count;
                d->people[p].groups.count = 0;
        }
        for (size_t g = 0; g < d->n_groups; g++)
                for (uint32_t i = 0; i < d->groups[g].members.count; i++) {
                        struct kb_index_list *list = &d->people[d->groups[g].members.at[i]].groups;

                        d->belongings[list->at - d->belongings + list->count++] = (uint32_t)g;
                }
        return 0;
}

static int load(struct loading *l, struct kb_span records)
{
        struct kb_span document;
        int r;

        if (!kb_id_range_valid(l->d->range))
                return refuse(l, KB_REFUSAL_RANGE);
        if (records.size > KB_DIRECTORY_SIZE_MAX)
                return refuse(l, KB_REFUSAL_TOO_BIG);
        r = count_records(l, records);
        if (r < 0)
                return r;
        l->d->bytes = malloc(records.size + 1);
        if (!l->d->bytes)
                return -ENOMEM;
        if (records.size > 0)
                memcpy(l->d->bytes, records.data, records.size);
        document = KB_SPAN(l->d->bytes, records.size);
        r = reserve(l);
        if (r >= 0)
                r = load_records(l, document);
        if (r >= 0)
                r = check_ids(l);
        if (r >= 0)
                r = resolve_members(l);
        if (r >= 0)
                r = invert_members(l);
        return r;
}

int kb_directory_load(struct kb_directory **ret, struct kb_span records,
                      const struct kb_directory_options *options, struct kb_refused *ret_refused)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = calloc(1, sizeof(*d));
        struct loading l = {.d = d, .files = options->files};
        int r;

        if (!d)
                return -ENOMEM;
        d->range = options->range;
        r = load(&l, records);
        free(l.holders);
        free(l.member_names);
        free(l.group_record);
        if (r == -EBADMSG)
                *ret_refused = l.refused;
        if (r < 0)
                return r;
        *ret = take_ptr(d);
        return 0;
}

int kb_directory_new_empty(struct kb_directory **ret, struct kb_id_range range)
{
        struct kb_directory_options options = {.range = range};
        struct kb_refused refused;
        int r = kb_directory_load(ret, KB_SPAN("", 0), &options, &refused);

        return r == -EBADMSG ? -EINVAL : r;
}
