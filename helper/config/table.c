/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/table.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "helper/config/suggest.h"
#include "helper/config/text.h"

struct loader {
        const struct kb_config_table *table;
        struct kb_problems *problems;
        void *object;

        const char *file; /* owned by the object's origins */
        unsigned *seen;   /* line of each key in this file, 0: not seen */
        ssize_t current;  /* key that a further line goes to, -1: none */
        bool misread;     /* lines were not understood: what is missing may stand there */
        int failed;       /* -ENOMEM, which ends it all */
};

static struct kb_config_origins *origins_of(const void *object)
{
        return (struct kb_config_origins *)(uintptr_t)object;
}

static void *member_of(const void *object, const struct kb_config_key *key)
{
        return (char *)(uintptr_t)object + key->offset;
}

/* What stands behind the dot, when key is a family and name is of it; else NULL. */
static const char *family_name(const struct kb_config_key *key, const char *name)
{
        size_t n = strlen(key->name);

        return key->name[n - 1] == '.' && strncmp(key->name, name, n) == 0 ? name + n : NULL;
}

static ssize_t find_key(const struct kb_config_table *table, const char *section, const char *name)
{
        for (size_t i = 0; i < table->n_keys; i++) {
                const struct kb_config_key *key = &table->keys[i];

                if (strcmp(key->section, section) == 0 &&
                    (strcmp(key->name, name) == 0 || family_name(key, name)))
                        return (ssize_t)i;
        }
        return -1;
}

/* --- unknown ones: say what was probably meant --- */

static bool has_section(const struct kb_config_table *table, const char *section)
{
        for (size_t i = 0; i < table->n_keys; i++)
                if (strcmp(table->keys[i].section, section) == 0)
                        return true;
        return false;
}

static void report_section(struct loader *l, const struct kb_config_item *item)
{
        struct kb_suggestion best = kb_suggestion_init(item->section);

        for (size_t i = 0; i < l->table->n_keys; i++)
                kb_suggestion_try(&best, l->table->keys[i].section);
        if (!item->section[0])
                kb_problems_add(l->problems, l->file, item->line,
                                "%s= stands in no section; put [%s] above it", item->key,
                                l->table->keys[0].section);
        else if (best.text)
                kb_problems_add(l->problems, l->file, item->line, "unknown section [%s]; did you mean [%s]?",
                                item->section, best.text);
        else
                kb_problems_add(l->problems, l->file, item->line,
                                "unknown section [%s]; %s has no such settings", item->section,
                                l->table->what);
}

static void report_key(struct loader *l, const struct kb_config_item *item)
{
        struct kb_suggestion best = kb_suggestion_init(item->key);

        for (size_t i = 0; i < l->table->n_keys; i++) {
                const struct kb_config_key *key = &l->table->keys[i];

                if (strcmp(key->name, item->key) == 0) { /* it exists, elsewhere */
                        kb_problems_add(l->problems, l->file, item->line,
                                        "unknown key %s= in [%s]; it belongs into [%s]", item->key,
                                        item->section, key->section);
                        return;
                }
                if (strcmp(key->section, item->section) == 0)
                        kb_suggestion_try(&best, key->name);
        }
        if (best.text)
                kb_problems_add(l->problems, l->file, item->line,
                                "unknown key %s= in [%s]; did you mean %s=?", item->key, item->section,
                                best.text);
        else
                kb_problems_add(l->problems, l->file, item->line, "unknown key %s= in [%s]; see `man 5 %s`",
                                item->key, item->section, l->table->page);
}

/* --- items --- */

static void finish_value(struct loader *l, const struct kb_config_item *item, int r, char *problem)
{
        if (r == -EINVAL && !item->value[0])
                kb_problems_add(l->problems, l->file, item->line, "%s= %s", item->key, problem);
        else if (r == -EINVAL)
                kb_problems_add(l->problems, l->file, item->line, "%s=%s %s", item->key, item->value,
                                problem);
        else if (r < 0)
                l->failed = r;
}

static void take_further_line(struct loader *l, const struct kb_config_item *item)
{
        const struct kb_config_key *key;
        _cleanup_free_ char *problem = NULL;
        bool is_text;
        int r;

        if (l->current < 0) /* of a key that was refused already */
                return;
        key = &l->table->keys[l->current];
        is_text = key->kind == KB_VALUE_text;
        r = kb_value_extend(key->kind, &key->limits, is_text ? item->raw : item->value, item->blank,
                            member_of(l->object, key), &problem);
        finish_value(l, item, r, problem);
}

static void take_item(void *userdata, const struct kb_config_item *item)
{
        struct loader *l = userdata;
        const struct kb_config_key *key;
        struct kb_config_origin *origin;
        _cleanup_free_ char *problem = NULL;
        ssize_t i;
        int r;

        if (item->further) {
                take_further_line(l, item);
                return;
        }
        i = l->current = find_key(l->table, item->section, item->key);
        if (i < 0) {
                l->misread = true;
                has_section(l->table, item->section) ? report_key(l, item) : report_section(l, item);
                return;
        }
        key = &l->table->keys[i];
        origin = &origins_of(l->object)->at[i];
        if (l->seen[i] && !kb_value_is_list(key->kind)) {
                kb_problems_add(l->problems, l->file, item->line,
                                "%s= is given twice, first in line %u; remove one", item->key, l->seen[i]);
                return;
        }
        if (!l->seen[i]) {
                l->seen[i] = item->line;
                *origin = (struct kb_config_origin){l->file, item->line};
        }
        r = kb_value_parse(key->kind, &key->limits, family_name(key, item->key), item->value,
                           member_of(l->object, key), &problem);
        finish_value(l, item, r, problem);
        if (r < 0)
                l->current = -1;
}

/* --- files --- */

/* The copy of a file's name that lives as long as object; NULL when memory is out. */
static const char *own_file(void *object, const char *file)
{
        struct kb_config_origins *origins = origins_of(object);
        size_t n = 0;
        char **grown;

        for (; origins->files && origins->files[n]; n++)
                if (strcmp(origins->files[n], file) == 0)
                        return origins->files[n];
        grown = reallocarray(origins->files, n + 2, sizeof(*grown));
        if (!grown)
                return NULL;
        origins->files = grown;
        grown[n + 1] = NULL;
        return grown[n] = strdup(file);
}

static int take_bytes(struct loader *l, const char *path, const char *bytes, size_t size)
{
        int r;

        l->file = own_file(l->object, path);
        if (!l->file)
                return -ENOMEM;
        memset(l->seen, 0, l->table->n_keys * sizeof(*l->seen));
        l->current = -1;
        r = kb_config_text_parse(l->file, bytes, size, l->problems, take_item, l);
        l->misread = l->misread || r < 0;
        return l->failed < 0 ? l->failed : r;
}

static int take_file(struct loader *l, const char *path, const struct kb_config_trust *trust)
{
        _cleanup_free_ char *bytes = NULL;
        size_t size;
        int r = kb_config_file_read(path, trust, l->problems, &bytes, &size);

        if (r == -EBADMSG)
                l->misread = true;
        return r < 0 ? r : take_bytes(l, path, bytes, size);
}

static int take_drop_ins(struct loader *l, const char *path, const struct kb_config_trust *trust)
{
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *folder = NULL;
        int r;

        if (asprintf(&folder, "%s.d", path) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        r = kb_config_folder_list(folder, trust, l->problems, &names);
        for (size_t i = 0; r == 0 && names[i]; i++) {
                _cleanup_free_ char *file = NULL;

                if (asprintf(&file, "%s/%s", folder, names[i]) < 0) {
                        file = NULL;
                        return -ENOMEM;
                }
                r = take_file(l, file, trust);
                if (r == -EBADMSG ||
                    r == -ENOENT) /* the others may have problems too; ENOENT: it just went away */
                        r = 0;
        }
        return r;
}

/* --- the whole --- */

static int begin(struct loader *l, const struct kb_config_table *table, struct kb_problems *problems,
                 void *object)
{
        *l = (struct loader){.table = table, .problems = problems, .object = object, .current = -1};
        l->seen = calloc(table->n_keys, sizeof(*l->seen));
        origins_of(object)->at = calloc(table->n_keys, sizeof(*origins_of(object)->at));
        return l->seen && origins_of(object)->at ? 0 : -ENOMEM;
}

/* Defaults for what no file named. */
static int fill_in(struct loader *l, const char *path)
{
        for (size_t i = 0; i < l->table->n_keys; i++) {
                const struct kb_config_key *key = &l->table->keys[i];
                _cleanup_free_ char *problem = NULL;
                int r = 0;

                if (origins_of(l->object)->at[i].file)
                        continue;
                if (!key->fallback && !l->misread)
                        kb_problems_add(l->problems, path, 0, "%s= is missing in [%s]; add it", key->name,
                                        key->section);
                else if (key->fallback && key->fallback[0])
                        r = kb_value_parse(key->kind, &key->limits, NULL, key->fallback,
                                           member_of(l->object, key), &problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int end(struct loader *l, const char *path, size_t problems_before, int r)
{
        if (r == 0 || r == -EBADMSG) {
                int filled = fill_in(l, path);

                r = filled < 0 ? filled : r;
        }
        if (r == 0 && l->problems->count + l->problems->more > problems_before)
                r = -EBADMSG;
        if (r < 0)
                kb_config_done(l->table, l->object);
        free(l->seen);
        return r;
}

int kb_config_load(const struct kb_config_table *table, const char *path,
                   const struct kb_config_trust *trust, struct kb_problems *problems, void *object)
{
        size_t before = problems->count + problems->more;
        struct loader l;
        int r = begin(&l, table, problems, object), dropped = 0;

        if (r == 0)
                r = take_file(&l, path, trust);
        if (r == -ENOENT && table->optional)
                r = 0;
        if (r == 0 || r == -EBADMSG)
                dropped = take_drop_ins(&l, path, trust);
        return end(&l, path, before, dropped < 0 ? dropped : r);
}

int kb_config_load_bytes(const struct kb_config_table *table, const char *path, const char *bytes,
                         size_t size, struct kb_problems *problems, void *object)
{
        size_t before = problems->count + problems->more;
        struct loader l;
        int r = begin(&l, table, problems, object);

        if (r == 0)
                r = take_bytes(&l, path, bytes, size);
        return end(&l, path, before, r);
}

struct kb_config_origin kb_config_origin(const void *object, size_t i)
{
        return origins_of(object)->at[i];
}

char *kb_config_value(const struct kb_config_table *table, const void *object, size_t i)
{
        const struct kb_config_key *key = &table->keys[i];

        return kb_value_format(key->kind, &key->limits, member_of(object, key));
}

struct kb_config_origin kb_config_where(const struct kb_config_table *table, const void *object,
                                        const char *name)
{
        for (size_t i = 0; i < table->n_keys; i++)
                if (strcmp(table->keys[i].name, name) == 0)
                        return kb_config_origin(object, i);
        return (struct kb_config_origin){0};
}

static int inherit_key(const struct kb_config_table *table, void *object, size_t i, const char *text,
                       struct kb_config_origin origin)
{
        const struct kb_config_key *key = &table->keys[i];
        _cleanup_free_ char *problem = NULL;
        int r;

        if (origin.file) {
                origin.file = own_file(object, origin.file);
                if (!origin.file)
                        return -ENOMEM;
        }
        r = kb_value_parse(key->kind, &key->limits, NULL, text, member_of(object, key), &problem);
        if (r == 0)
                origins_of(object)->at[i] = origin;
        return r;
}

int kb_config_inherit(const struct kb_config_table *table, void *object,
                      const struct kb_config_table *from_table, const void *from, const char *section)
{
        for (size_t k = 0; k < from_table->n_keys; k++)
                for (size_t i = 0; i < table->n_keys; i++) {
                        _cleanup_free_ char *text = NULL;
                        int r;

                        if (strcmp(from_table->keys[k].section, section) != 0 ||
                            strcmp(from_table->keys[k].name, table->keys[i].name) != 0 ||
                            kb_config_origin(object, i).file)
                                continue;
                        text = kb_config_value(from_table, from, k);
                        if (!text)
                                return -ENOMEM;
                        r = inherit_key(table, object, i, text, kb_config_origin(from, k));
                        if (r < 0)
                                return r;
                }
        return 0;
}

void kb_config_done(const struct kb_config_table *table, void *object)
{
        struct kb_config_origins *origins = origins_of(object);

        for (size_t i = 0; i < table->n_keys; i++)
                kb_value_done(table->keys[i].kind, member_of(object, &table->keys[i]));
        free(origins->at);
        kb_strv_free(origins->files);
        *origins = (struct kb_config_origins){0};
}
