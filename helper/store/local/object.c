/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/object.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_ATTRIBUTES 64
#define MAX_PLAIN      (512 * 1024)

void kb_object_done(struct kb_object *o)
{
        kb_writer_done(&o->plain);
        *o = (struct kb_object){};
}

bool kb_parse_number(const char *text, uint64_t *ret)
{
        uint64_t value = 0;

        if (!*text)
                return false;
        for (; *text; text++) {
                unsigned digit = (unsigned)*text - '0';

                if (digit > 9 || value > (UINT64_MAX - digit) / 10)
                        return false;
                value = value * 10 + digit;
        }
        *ret = value;
        return true;
}

/* Row: name, version, created, generation, data. */
static int load(const struct kb_shelf *shelf, const char *kind, struct kb_query *q, struct kb_object *ret)
{
        struct kb_object o = {.version = kb_query_u64(q, 1), .created = kb_query_u64(q, 2)};
        struct kb_place place = {kind, o.name, o.version};
        struct kb_reader reader;
        int r;

        snprintf(o.name, sizeof(o.name), "%s", kb_query_string(q, 0));
        o.plain = kb_writer_init(MAX_PLAIN);
        r = kb_keyring_open(shelf->keys, kb_query_u64(q, 3), &place, kb_query_blob(q, 4), &o.plain);
        if (r >= 0) {
                reader = kb_reader_init(KB_SPAN(o.plain.data, o.plain.size));
                o.pairs = kb_read_list(&reader, MAX_ATTRIBUTES * 2);
                r = kb_reader_end(&reader);
        }
        if (r < 0) {
                kb_object_done(&o);
                return r;
        }
        *ret = o;
        return 1;
}

int kb_object_get(const struct kb_shelf *shelf, const char *kind, const char *name, struct kb_object *ret)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(shelf->db, &q,
                            "SELECT name, version, created, generation, data FROM objects"
                            " WHERE kind = ? AND name = ?",
                            "ss", kind, name);

        if (r >= 0)
                r = kb_query_next(&q);
        return r > 0 ? load(shelf, kind, &q, ret) : r;
}

const char *kb_object_text(const struct kb_object *o, const char *attribute, const char *otherwise)
{
        const char *text;

        return kb_list_find_string(o->pairs, attribute, &text) ? text : otherwise;
}

uint64_t kb_object_number(const struct kb_object *o, const char *attribute, uint64_t otherwise)
{
        uint64_t value;

        return kb_parse_number(kb_object_text(o, attribute, ""), &value) ? value : otherwise;
}

static int seal(const struct kb_shelf *shelf, const char *kind, const char *name, uint64_t version,
                struct kb_list pairs, struct kb_writer *to)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(MAX_PLAIN);
        struct kb_place place = {kind, name, version};
        int r;

        kb_write_list(&plain, pairs, MAX_ATTRIBUTES * 2);
        r = kb_writer_end(&plain);
        return r < 0 ? r : kb_keyring_seal(shelf->keys, &place, KB_SPAN(plain.data, plain.size), to);
}

int kb_object_put(const struct kb_shelf *shelf, const char *kind, const char *name, uint64_t replaces,
                  struct kb_list pairs, uint64_t now)
{
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(MAX_PLAIN + KB_RECORD_EXTRA);
        uint64_t version = replaces + 1, generation = kb_keyring_newest(shelf->keys);
        struct kb_span data;
        int r;

        if (strlen(name) > KB_OBJECT_NAME_MAX)
                return -EMSGSIZE;
        r = seal(shelf, kind, name, version, pairs, &sealed);
        if (r < 0)
                return r;
        data = KB_SPAN(sealed.data, sealed.size);
        if (replaces == 0)
                return kb_db_run(shelf->db,
                                 "INSERT INTO objects (kind, name, version, created, generation, data)"
                                 " VALUES (?, ?, ?, ?, ?, ?)",
                                 "ssuuub", kind, name, version, now, generation, data);
        r = kb_db_run(shelf->db,
                      "UPDATE objects SET version = ?3, generation = ?4, data = ?5"
                      " WHERE kind = ?1 AND name = ?2 AND version = ?6",
                      "ssuubu", kind, name, version, generation, data, replaces);
        return r == 0 ? -EEXIST : r;
}

int kb_object_put_version(const struct kb_shelf *shelf, const char *kind, const char *name, uint64_t version,
                          struct kb_list pairs, uint64_t now)
{
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(MAX_PLAIN + KB_RECORD_EXTRA);
        int r = seal(shelf, kind, name, version, pairs, &sealed);

        if (r < 0)
                return r;
        return kb_db_run(shelf->db,
                         "INSERT INTO objects (kind, name, version, created, generation, data)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                         " ON CONFLICT (kind, name) DO UPDATE SET version = ?3, generation = ?5, data = ?6",
                         "ssuuub", kind, name, version, now, kb_keyring_newest(shelf->keys),
                         KB_SPAN(sealed.data, sealed.size));
}

int kb_object_remove(const struct kb_shelf *shelf, const char *kind, const char *name)
{
        return kb_db_run(shelf->db, "DELETE FROM objects WHERE kind = ? AND name = ?", "ss", kind, name);
}

int kb_object_each(const struct kb_shelf *shelf, const char *kind, const char *after,
                   int (*each)(struct kb_object *o, void *userdata), void *userdata)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(shelf->db, &q,
                            "SELECT name, version, created, generation, data FROM objects"
                            " WHERE kind = ? AND name > ? ORDER BY name",
                            "ss", kind, after);

        while (r >= 0 && (r = kb_query_next(&q)) > 0) {
                _cleanup_object_ struct kb_object o = {};

                r = load(shelf, kind, &q, &o);
                if (r >= 0)
                        r = each(&o, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

int kb_object_merge(const struct kb_object *old, struct kb_list changes, struct kb_list_builder *ret)
{
        struct kb_list pairs = old ? old->pairs : (struct kb_list){};
        struct kb_list all = changes;
        struct kb_span value, unused;
        const char *name;

        while (kb_list_next_pair(&pairs, &name, &value))
                if (!kb_list_find(changes, name, &unused))
                        kb_list_add_pair(ret, name, value);
        while (kb_list_next_pair(&all, &name, &value))
                if (value.size > 0)
                        kb_list_add_pair(ret, name, value);
        return kb_writer_end(&ret->writer);
}
