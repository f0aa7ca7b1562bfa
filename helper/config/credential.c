/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/credential.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/names.h"
#include "helper/config/template.h"
#include "helper/config/units.h"

static const struct kb_config_key keys[] = {
#define KEY(...) KB_CONFIG_ROW(struct kb_credential, __VA_ARGS__),
#include "helper/config/credential.def"
#undef KEY
};

const struct kb_config_table kb_credential_table = {.what = "a credential",
                                                    .page = "keybearer-credentials",
                                                    .keys = keys,
                                                    .n_keys = KB_ARRAY_SIZE(keys)};

struct kb_credential *kb_credential_ref(const struct kb_credential *credential)
{
        struct kb_credential *same = (struct kb_credential *)(uintptr_t)credential;

        same->references++;
        return same;
}

void kb_credential_unref(struct kb_credential *credential)
{
        if (!credential || --credential->references > 0)
                return;
        kb_config_done(&kb_credential_table, credential);
        free(credential->name);
        free(credential);
}

/* --- what no single key can tell --- */

/* A problem at the line of a key; of the whole file when the key was not given. */
static void blame(const struct kb_credential *c, const char *key, const char *path,
                  struct kb_problems *problems, const char *text)
{
        struct kb_config_origin origin = kb_config_where(&kb_credential_table, c, key);

        kb_problems_add(problems, origin.file ? origin.file : path, origin.file ? origin.line : 0, "%s",
                        text);
}

/* Whether the pattern can match any unit that may have credentials. */
static bool may_match_unit(const char *glob)
{
        static const char *const endings[] = {".service", ".socket", ".mount", ".swap"};
        size_t n = strlen(glob);

        if (strpbrk(glob, "]?") || strchr("*", glob[n - 1]))
                return true;
        for (size_t i = 0; i < KB_ARRAY_SIZE(endings); i++) {
                size_t m = strlen(endings[i]);

                if (n >= m && strcmp(glob + n - m, endings[i]) == 0)
                        return true;
        }
        return false;
}

static void check_whole(const struct kb_credential *c, const char *path, struct kb_problems *problems)
{
        struct kb_template_problem problem;

        if (c->template && kb_template_check(c->template, &c->fields, &problem) < 0)
                blame(c, "Template", path, problems, problem.text);
        if (c->template && kb_config_where(&kb_credential_table, c, "Format").file)
                blame(c, "Template", path, problems, "Template= and Format= are both given; remove one");
        if (c->probe && c->probe[0] != '/')
                blame(c, "Probe", path, problems, "Probe= is no absolute path");
        if (c->probe && c->on_rotate.action == KB_ON_ROTATE_none)
                blame(c, "Probe", path, problems,
                      "Probe= has nothing to look for while OnRotate=none; set OnRotate=");
        if (c->as == KB_AS_person && c->allow_units && c->allow_units[0])
                blame(c, "As", path, problems, "As=person is for people, and Unit= names units; remove one");
        for (size_t i = 0; c->allow_units && c->allow_units[i]; i++)
                if (!may_match_unit(c->allow_units[i]))
                        blame(c, "Unit", path, problems,
                              "Unit= has a pattern that no unit can match; write the whole name, such as "
                              "orders.service");
}

/* "…/NAME.conf" -> NAME */
static int name_from_path(const char *path, struct kb_problems *problems, char **ret)
{
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        size_t n = strlen(base);
        _cleanup_free_ char *name = NULL;

        n -= n > 5 && strcmp(base + n - 5, ".conf") == 0 ? 5 : 0;
        name = strndup(base, n);
        if (!name)
                return -ENOMEM;
        if (!kb_name_credential_valid(name)) {
                kb_problems_add(problems, path, 0,
                                "\"%s\" is no name for a credential; name the file with letters, "
                                "digits, '_' and '-', and .conf",
                                name);
                return -EBADMSG;
        }
        *ret = take_ptr(name);
        return 0;
}

/* The part that files and bytes in memory share: r is how loading went. */
static int finish(struct kb_credential *loaded, const char *path, const struct kb_config *config, int r,
                  struct kb_problems *problems, struct kb_credential **ret)
{
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = loaded;
        size_t before = problems->count + problems->more;

        if (r == 0)
                r = kb_config_inherit(&kb_credential_table, c, &kb_config_table, config, "Credentials");
        if (r < 0)
                return r;
        check_whole(c, path, problems);
        if (problems->count + problems->more > before)
                return -EBADMSG;
        *ret = take_ptr(c);
        return 0;
}

static int begin(const char *path, struct kb_problems *problems, struct kb_credential **ret)
{
        _cleanup_(kb_credential_unrefp) struct kb_credential *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->references = 1;
        r = name_from_path(path, problems, &c->name);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

int kb_credential_new(const char *path, const struct kb_config_trust *trust, const struct kb_config *config,
                      struct kb_problems *problems, struct kb_credential **ret)
{
        struct kb_credential *c = NULL;
        int r = begin(path, problems, &c);

        if (r < 0)
                return r;
        r = kb_config_load(&kb_credential_table, path, trust, problems, c);
        return finish(c, path, config, r, problems, ret);
}

int kb_credential_new_bytes(const char *path, const char *bytes, size_t size, const struct kb_config *config,
                            struct kb_problems *problems, struct kb_credential **ret)
{
        struct kb_credential *c = NULL;
        int r = begin(path, problems, &c);

        if (r < 0)
                return r;
        r = kb_config_load_bytes(&kb_credential_table, path, bytes, size, problems, c);
        return finish(c, path, config, r, problems, ret);
}

/* --- what it gives --- */

static bool same_text(const char *a, const char *b)
{
        return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_pairs(const kb_value_pairs *a, const kb_value_pairs *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (strcmp(a->pairs[i].name, b->pairs[i].name) != 0 ||
                    strcmp(a->pairs[i].value, b->pairs[i].value) != 0)
                        return false;
        return true;
}

bool kb_credential_gives_same(const struct kb_credential *a, const struct kb_credential *b)
{
        return same_text(a->store, b->store) && same_text(a->path, b->path) && a->as == b->as &&
               same_text(a->method, b->method) && same_text(a->version, b->version) &&
               same_pairs(&a->params, &b->params) && same_pairs(&a->fields, &b->fields) &&
               a->format == b->format && same_text(a->template, b->template);
}

/* --- who may have it --- */

static bool any_matches(char *const *globs, const char *name)
{
        for (size_t i = 0; globs && globs[i]; i++)
                if (kb_name_matches(globs[i], name))
                        return true;
        return false;
}

bool kb_credential_allows_unit(const struct kb_credential *credential, const char *unit)
{
        return kb_name_unit_valid(unit) && any_matches(credential->allow_units, unit);
}

bool kb_credential_allows_person(const struct kb_credential *credential, const char *user,
                                 char *const *groups, const char *service)
{
        bool service_is_named = false, person_is_named;

        for (size_t i = 0; credential->allow_services && credential->allow_services[i]; i++)
                service_is_named |= strcmp(credential->allow_services[i], service) == 0;
        person_is_named = kb_name_user_valid(user) && any_matches(credential->allow_users, user);
        for (size_t i = 0; groups && groups[i]; i++)
                person_is_named |= any_matches(credential->allow_groups, groups[i]);
        return service_is_named && person_is_named;
}

/* --- all of them --- */

static int add_file(struct kb_credentials *all, const char *folder, const char *name,
                    const struct kb_config_trust *trust, const struct kb_config *config,
                    struct kb_problems *problems)
{
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = kb_credential_new(path, trust, config, problems, &all->sorted[all->count]);
        if (r == 0)
                all->count++;
        return r == -ENOENT ? 0 : r; /* it went away since the folder was read */
}

static int compare(const void *a, const void *b)
{
        return strcmp((*(struct kb_credential *const *)a)->name, (*(struct kb_credential *const *)b)->name);
}

int kb_credentials_new(const char *folder, const struct kb_config_trust *trust,
                       const struct kb_config *config, bool skip_bad, struct kb_problems *problems,
                       struct kb_credentials **ret)
{
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = calloc(1, sizeof(*all));
        _cleanup_strv_ char **names = NULL;
        bool bad = false;
        size_t n = 0;
        int r;

        if (!all)
                return -ENOMEM;
        r = kb_config_folder_list(folder, trust, problems, &names);
        if (r < 0)
                return r;
        while (names[n])
                n++;
        all->sorted = calloc(n + 1, sizeof(struct kb_credential *));
        if (!all->sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = add_file(all, folder, names[i], trust, config, problems);
                if (r < 0 && r != -EBADMSG)
                        return r;
                bad |= r < 0;
        }
        if (bad && !skip_bad)
                return -EBADMSG;
        qsort(all->sorted, all->count, sizeof(struct kb_credential *), compare);
        *ret = take_ptr(all);
        return 0;
}

const struct kb_credential *kb_credentials_find(const struct kb_credentials *credentials, const char *name)
{
        struct kb_credential key = {.name = (char *)(uintptr_t)name}, *wanted = &key;
        struct kb_credential *const *found = bsearch(&wanted, credentials->sorted, credentials->count,
                                                     sizeof(struct kb_credential *), compare);

        return found ? *found : NULL;
}

void kb_credentials_free(struct kb_credentials *credentials)
{
        if (!credentials)
                return;
        for (size_t i = 0; i < credentials->count; i++)
                kb_credential_unref(credentials->sorted[i]);
        free(credentials->sorted);
        free(credentials);
}
