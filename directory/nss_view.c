/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/nss_view.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static uint16_t get16(const uint8_t *p)
{
        uint16_t value;

        memcpy(&value, p, sizeof(value));
        return le16toh(value);
}

static uint32_t get32(const uint8_t *p)
{
        uint32_t value;

        memcpy(&value, p, sizeof(value));
        return le32toh(value);
}

static uint64_t get64(const uint8_t *p)
{
        uint64_t value;

        memcpy(&value, p, sizeof(value));
        return le64toh(value);
}

/* --- the file as a whole --- */

static bool is_table(unsigned section)
{
        return section >= KB_NSS_USER_NAMES && section <= KB_NSS_GROUP_IDS;
}

static bool take_section(struct kb_nss_view *view, unsigned section)
{
        const uint8_t *p = view->file.data + KB_NSS_AT_SECTIONS + 8 * section;
        uint32_t offset = get32(p), count = get32(p + 4);
        uint64_t size = (uint64_t)count * kb_nss_element_size[section];

        if (offset < KB_NSS_HEADER_SIZE || offset % 4 != 0 || offset > view->file.size ||
            size > view->file.size - offset)
                return false;
        if (is_table(section) && (count == 0 || (count & (count - 1)) != 0))
                return false;
        view->section[section].at = view->file.data + offset;
        view->section[section].count = count;
        return true;
}

int kb_nss_view_init(struct kb_nss_view *ret, struct kb_span file)
{
        struct kb_nss_view view = {.file = file};

        if (file.size < KB_NSS_HEADER_SIZE || memcmp(file.data, KB_NSS_MAGIC, 8) != 0)
                return -EBADMSG;
        if (get64(file.data + KB_NSS_AT_SIZE) != file.size)
                return -EBADMSG;
        view.number = get64(file.data + KB_NSS_AT_NUMBER);
        view.range.min = get32(file.data + KB_NSS_AT_ID_MIN);
        view.range.max = get32(file.data + KB_NSS_AT_ID_MAX);
        if (!kb_id_range_valid(view.range))
                return -EBADMSG;
        for (unsigned i = 0; i < KB_NSS_SECTIONS; i++)
                if (!take_section(&view, i))
                        return -EBADMSG;
        *ret = view;
        return 0;
}

bool kb_nss_view_intact(const struct kb_nss_view *view)
{
        return get64(view->file.data + KB_NSS_AT_CHECKSUM) ==
               kb_nss_checksum(view->file.data, view->file.size);
}

/* --- pieces of it; NULL when they are not inside their section --- */

static const uint8_t *element(const struct kb_nss_view *view, unsigned section, uint32_t index)
{
        if (index >= view->section[section].count)
                return NULL;
        return view->section[section].at + (size_t)index * kb_nss_element_size[section];
}

static const uint8_t *elements(const struct kb_nss_view *view, unsigned section, uint32_t first, uint32_t n)
{
        uint32_t count = view->section[section].count;

        if (first > count || n > count - first)
                return NULL;
        return view->section[section].at + (size_t)first * kb_nss_element_size[section];
}

/* The string that starts at *at and is length long, with its NUL; moves on behind it. NULL sticks. */
static const char *take_string(const char **at, size_t length)
{
        const char *string = *at;

        if (!string || string[length] != '\0') {
                *at = NULL;
                return NULL;
        }
        *at += length + 1;
        return string;
}

int kb_nss_user_at(const struct kb_nss_view *view, uint32_t index, struct kb_nss_user *ret)
{
        const uint8_t *p = element(view, KB_NSS_USERS, index);
        struct kb_nss_user user;
        size_t name, full_name, home, shell;
        const char *at;

        if (!p)
                return 0;
        name = get16(p + 8);
        full_name = get16(p + 10);
        home = get16(p + 12);
        shell = get16(p + 14);
        user.uid = get32(p);
        user.text_size = name + 1 + 2 + full_name + 1 + home + 1 + shell + 1;
        user.n_gids = get32(p + 20);
        user.gids = elements(view, KB_NSS_GIDS, get32(p + 16), user.n_gids);
        at = (const char *)elements(view, KB_NSS_TEXT, get32(p + 4), (uint32_t)user.text_size);
        user.text = at;
        user.name = take_string(&at, name);
        user.password = take_string(&at, 1);
        user.full_name = take_string(&at, full_name);
        user.home = take_string(&at, home);
        user.shell = take_string(&at, shell);
        if (!user.shell || !user.gids || !kb_id_in_range(view->range, user.uid))
                return -EBADMSG;
        *ret = user;
        return 1;
}

int kb_nss_group_at(const struct kb_nss_view *view, uint32_t index, struct kb_nss_group *ret)
{
        const uint8_t *p = element(view, KB_NSS_GROUPS, index);
        struct kb_nss_group group;
        uint32_t name;
        const char *at;

        if (!p)
                return 0;
        name = get32(p + 12);
        group.gid = get32(p);
        group.text_size = get32(p + 8);
        group.n_members = get32(p + 20);
        group.members = elements(view, KB_NSS_MEMBERS, get32(p + 16), group.n_members);
        at = (const char *)elements(view, KB_NSS_TEXT, get32(p + 4), (uint32_t)group.text_size);
        if (!at || !group.members || group.text_size < 3 || name > group.text_size - 3)
                return -EBADMSG;
        group.text = at;
        group.name = take_string(&at, name);
        group.password = take_string(&at, 1);
        if (!group.password || group.text[group.text_size - 1] != '\0' ||
            !kb_id_in_range(view->range, group.gid))
                return -EBADMSG;
        *ret = group;
        return 1;
}

uint32_t kb_nss_user_gid(const struct kb_nss_view *view, const struct kb_nss_user *user, uint32_t i)
{
        uint32_t gid = get32(user->gids + (size_t)4 * i);

        return kb_id_in_range(view->range, gid) ? gid : 0;
}

uint32_t kb_nss_group_member(const struct kb_nss_group *group, uint32_t i)
{
        return get32(group->members + (size_t)4 * i);
}

/* --- hash tables --- */

struct probe {
        const uint8_t *table;
        uint32_t key, at, mask, left;
};

static struct probe probe_init(const struct kb_nss_view *view, unsigned section, uint32_t key)
{
        uint32_t mask = view->section[section].count - 1;

        return (struct probe){view->section[section].at, key, kb_nss_mix(key) & mask, mask, mask + 1};
}

/* 1 and the index of the next candidate; 0 at an empty slot; -EBADMSG for a table without one. */
static int probe_next(struct probe *p, uint32_t *ret_index)
{
        for (; p->left > 0; p->left--) {
                const uint8_t *slot = p->table + (size_t)8 * p->at;
                uint32_t value = get32(slot + 4);

                p->at = (p->at + 1) & p->mask;
                if (value == 0)
                        return 0;
                if (get32(slot) != p->key)
                        continue;
                *ret_index = value - 1;
                p->left--;
                return 1;
        }
        return -EBADMSG;
}

/* What an index from a table points to has to be there: 0 of a look-up by index is damage. */
static int there(int r)
{
        return r == 0 ? -EBADMSG : r;
}

int kb_nss_user_by_id(const struct kb_nss_view *view, uint32_t uid, struct kb_nss_user *ret)
{
        struct probe probe = probe_init(view, KB_NSS_USER_IDS, uid);
        struct kb_nss_user user;
        uint32_t index;
        int r = probe_next(&probe, &index);

        if (r <= 0)
                return r;
        r = there(kb_nss_user_at(view, index, &user));
        if (r < 0 || user.uid != uid)
                return -EBADMSG;
        *ret = user;
        return 1;
}

int kb_nss_group_by_id(const struct kb_nss_view *view, uint32_t gid, struct kb_nss_group *ret)
{
        struct probe probe = probe_init(view, KB_NSS_GROUP_IDS, gid);
        struct kb_nss_group group;
        uint32_t index;
        int r = probe_next(&probe, &index);

        if (r <= 0)
                return r;
        r = there(kb_nss_group_at(view, index, &group));
        if (r < 0 || group.gid != gid)
                return -EBADMSG;
        *ret = group;
        return 1;
}

int kb_nss_user_by_name(const struct kb_nss_view *view, const char *name, struct kb_nss_user *ret)
{
        size_t size = strnlen(name, KB_USER_NAME_MAX + 1);
        struct kb_nss_user user;
        struct probe probe;
        uint32_t index;
        int r;

        if (size > KB_USER_NAME_MAX)
                return 0;
        probe = probe_init(view, KB_NSS_USER_NAMES, kb_nss_hash(name, size));
        while ((r = probe_next(&probe, &index)) > 0) {
                r = there(kb_nss_user_at(view, index, &user));
                if (r < 0)
                        return r;
                if (strcmp(user.name, name) != 0)
                        continue;
                *ret = user;
                return 1;
        }
        return r;
}

int kb_nss_group_by_name(const struct kb_nss_view *view, const char *name, struct kb_nss_group *ret)
{
        size_t size = strnlen(name, KB_USER_NAME_MAX + 1);
        struct kb_nss_group group;
        struct probe probe;
        uint32_t index;
        int r;

        if (size > KB_USER_NAME_MAX)
                return 0;
        probe = probe_init(view, KB_NSS_GROUP_NAMES, kb_nss_hash(name, size));
        while ((r = probe_next(&probe, &index)) > 0) {
                r = there(kb_nss_group_at(view, index, &group));
                if (r < 0)
                        return r;
                if (strcmp(group.name, name) != 0)
                        continue;
                *ret = group;
                return 1;
        }
        return r;
}
