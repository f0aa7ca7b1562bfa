/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/nss_image.h"

#include <errno.h>
#include <string.h>

#include "directory/nss_file.h"

struct image {
        uint8_t *data;
        uint64_t size;
        uint32_t at[KB_NSS_SECTIONS];    /* offset in the file */
        uint64_t count[KB_NSS_SECTIONS]; /* elements there is room for */
        uint32_t used[KB_NSS_SECTIONS];  /* elements that are there; of the sections filled one by one */
};

static void put(uint8_t *p, uint64_t value, unsigned size)
{
        for (unsigned i = 0; i < size; i++)
                p[i] = (uint8_t)(value >> (8 * i));
}

static uint8_t *slot(const struct image *image, enum kb_nss_section section, size_t index)
{
        return image->data + image->at[section] + index * kb_nss_element_size[section];
}

/* The next element of a section. */
static uint8_t *add(struct image *image, enum kb_nss_section section)
{
        return slot(image, section, image->used[section]++);
}

static void add_text(struct image *image, const char *string)
{
        size_t size = strlen(string) + 1;

        memcpy(slot(image, KB_NSS_TEXT, image->used[KB_NSS_TEXT]), string, size);
        image->used[KB_NSS_TEXT] += (uint32_t)size;
}

/* --- how large --- */

static uint64_t table_size(size_t elements)
{
        uint64_t slots = 2;

        while (slots < 2 * (uint64_t)elements)
                slots *= 2;
        return slots;
}

static uint64_t user_text_size(const struct kb_person_record *p)
{
        return strlen(p->name) + strlen(p->full_name) + strlen(p->home) + strlen(p->shell) + 6;
}

static void measure(struct image *image, const struct kb_directory *d)
{
        const struct kb_person *people;
        const struct kb_group *groups;
        size_t n_people = kb_directory_people(d, &people), n_groups = kb_directory_groups(d, &groups);

        image->count[KB_NSS_USERS] = n_people;
        image->count[KB_NSS_GROUPS] = n_people + n_groups;
        image->count[KB_NSS_USER_NAMES] = image->count[KB_NSS_USER_IDS] = table_size(n_people);
        image->count[KB_NSS_GROUP_NAMES] = image->count[KB_NSS_GROUP_IDS] = table_size(n_people + n_groups);
        for (size_t i = 0; i < n_people; i++) {
                image->count[KB_NSS_GIDS] += people[i].groups.count;
                image->count[KB_NSS_TEXT] += user_text_size(&people[i].record);
        }
        for (size_t g = 0; g < n_groups; g++) {
                image->count[KB_NSS_MEMBERS] += groups[g].members.count;
                image->count[KB_NSS_TEXT] += strlen(groups[g].name) + 3;
                for (uint32_t i = 0; i < groups[g].members.count; i++)
                        image->count[KB_NSS_TEXT] += strlen(people[groups[g].members.at[i]].record.name) + 1;
        }
}

/* Puts one section behind the other, and the header in front. */
static int lay_out(struct image *image, const struct kb_directory *d, uint64_t number)
{
        struct kb_id_range range = kb_directory_range(d);

        image->size = KB_NSS_HEADER_SIZE;
        for (unsigned i = 0; i < KB_NSS_SECTIONS; i++) {
                if (image->size > UINT32_MAX)
                        return -EFBIG;
                image->at[i] = (uint32_t)image->size;
                image->size += image->count[i] * kb_nss_element_size[i];
        }
        if (image->size > UINT32_MAX)
                return -EFBIG;
        image->data = calloc(1, image->size);
        if (!image->data)
                return -ENOMEM;
        memcpy(image->data, KB_NSS_MAGIC, 8);
        put(image->data + KB_NSS_AT_NUMBER, number, 8);
        put(image->data + KB_NSS_AT_SIZE, image->size, 8);
        put(image->data + KB_NSS_AT_ID_MIN, range.min, 4);
        put(image->data + KB_NSS_AT_ID_MAX, range.max, 4);
        for (unsigned i = 0; i < KB_NSS_SECTIONS; i++) {
                put(image->data + KB_NSS_AT_SECTIONS + 8 * i, image->at[i], 4);
                put(image->data + KB_NSS_AT_SECTIONS + 8 * i + 4, image->count[i], 4);
        }
        return 0;
}

/* --- what is in it --- */

static void insert(struct image *image, enum kb_nss_section table, uint32_t key, uint32_t index)
{
        uint64_t mask = image->count[table] - 1, at = kb_nss_mix(key) & mask;
        static const uint8_t empty[4];

        while (memcmp(slot(image, table, at) + 4, empty, 4) != 0)
                at = (at + 1) & mask;
        put(slot(image, table, at), key, 4);
        put(slot(image, table, at) + 4, index + 1, 4);
}

static void add_user(struct image *image, const struct kb_person *person, const struct kb_group *groups)
{
        const struct kb_person_record *record = &person->record;
        uint32_t index = image->used[KB_NSS_USERS];
        uint8_t *p = add(image, KB_NSS_USERS);

        put(p, record->uid, 4);
        put(p + 4, image->used[KB_NSS_TEXT], 4);
        put(p + 8, strlen(record->name), 2);
        put(p + 10, strlen(record->full_name), 2);
        put(p + 12, strlen(record->home), 2);
        put(p + 14, strlen(record->shell), 2);
        put(p + 16, image->used[KB_NSS_GIDS], 4);
        put(p + 20, person->groups.count, 4);
        add_text(image, record->name);
        add_text(image, "*");
        add_text(image, record->full_name);
        add_text(image, record->home);
        add_text(image, record->shell);
        for (uint32_t i = 0; i < person->groups.count; i++)
                put(add(image, KB_NSS_GIDS), groups[person->groups.at[i]].gid, 4);
        insert(image, KB_NSS_USER_NAMES, kb_nss_hash(record->name, strlen(record->name)), index);
        insert(image, KB_NSS_USER_IDS, record->uid, index);
}

/* members NULL: a user's own group, which has none and starts his text. */
static void add_group(struct image *image, const char *name, uint32_t gid, uint32_t text, uint32_t text_size,
                      const struct kb_index_list *members)
{
        uint32_t index = image->used[KB_NSS_GROUPS], n = members ? members->count : 0;
        uint8_t *p = add(image, KB_NSS_GROUPS);

        put(p, gid, 4);
        put(p + 4, text, 4);
        put(p + 8, text_size, 4);
        put(p + 12, strlen(name), 4);
        put(p + 16, image->used[KB_NSS_MEMBERS] - n, 4);
        put(p + 20, n, 4);
        insert(image, KB_NSS_GROUP_NAMES, kb_nss_hash(name, strlen(name)), index);
        insert(image, KB_NSS_GROUP_IDS, gid, index);
}

static void add_shared_group(struct image *image, const struct kb_group *group,
                             const struct kb_person *people)
{
        uint32_t text = image->used[KB_NSS_TEXT];

        add_text(image, group->name);
        add_text(image, "*");
        for (uint32_t i = 0; i < group->members.count; i++) {
                put(add(image, KB_NSS_MEMBERS), image->used[KB_NSS_TEXT] - text, 4);
                add_text(image, people[group->members.at[i]].record.name);
        }
        add_group(image, group->name, group->gid, text, image->used[KB_NSS_TEXT] - text, &group->members);
}

/* Where a user's text starts, as add_user() wrote it down. */
static uint32_t text_of_user(const struct image *image, size_t index)
{
        const uint8_t *p = slot(image, KB_NSS_USERS, index) + 4;

        return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* People's own groups and shared ones, merged by name. */
static void fill(struct image *image, const struct kb_directory *d)
{
        const struct kb_person *people;
        const struct kb_group *groups;
        size_t n_people = kb_directory_people(d, &people), n_groups = kb_directory_groups(d, &groups);
        size_t p = 0, g = 0;

        for (size_t i = 0; i < n_people; i++)
                add_user(image, &people[i], groups);
        while (p < n_people || g < n_groups) {
                const struct kb_person_record *own = p < n_people ? &people[p].record : NULL;

                if (!own || (g < n_groups && strcmp(groups[g].name, own->name) < 0)) {
                        add_shared_group(image, &groups[g++], people);
                        continue;
                }
                add_group(image, own->name, own->uid, text_of_user(image, p),
                          (uint32_t)strlen(own->name) + 3, NULL);
                p++;
        }
}

int kb_nss_image(const struct kb_directory *directory, uint64_t number, uint8_t **ret_data, size_t *ret_size)
{
        struct image image = {};
        int r;

        measure(&image, directory);
        r = lay_out(&image, directory, number);
        if (r < 0)
                return r;
        fill(&image, directory);
        put(image.data + KB_NSS_AT_CHECKSUM, kb_nss_checksum(image.data, image.size), 8);
        *ret_data = image.data;
        *ret_size = image.size;
        return 0;
}
