/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool lies_in(const char *path, const char *mount)
{
        return mount[0] && strncmp(path, mount, strlen(mount)) == 0;
}

const struct kb_mount *kb_mounts_find(const struct kb_mounts *m, const char *path, uint64_t now)
{
        for (unsigned i = 0; i < KB_MOUNTS_MAX; i++)
                if (lies_in(path, m->at[i].path) && m->at[i].until > now)
                        return &m->at[i];
        return NULL;
}

const struct kb_mount *kb_mount_built_in(const char *path)
{
        static const struct kb_mount mounts[] = {{.path = "sys/", .type = "system"},
                                                 {.path = "auth/", .type = "auth"}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(mounts); i++)
                if (lies_in(path, mounts[i].path))
                        return &mounts[i];
        return NULL;
}

void kb_mounts_put(struct kb_mounts *m, const struct kb_mount *mount)
{
        kb_mounts_forget(m, mount->path);
        m->at[m->next] = *mount;
        m->next = (m->next + 1) % KB_MOUNTS_MAX;
}

void kb_mounts_forget(struct kb_mounts *m, const char *path)
{
        for (unsigned i = 0; i < KB_MOUNTS_MAX; i++)
                if (strcmp(m->at[i].path, path) == 0)
                        m->at[i].path[0] = '\0';
}

/* A member that is text and fits. */
static bool copy_text(const struct kb_json_value *object, const char *name, char *ret, size_t size)
{
        const char *text;

        if (kb_json_text(kb_json_get(object, name), &text) < 0 || strlen(text) >= size)
                return false;
        snprintf(ret, size, "%s", text);
        return true;
}

enum kb_error kb_mount_read(const struct kb_json_value *data, const char *path, struct kb_mount *ret,
                            struct kb_problem *problem)
{
        struct kb_mount mount = {};
        const char *version = "";
        size_t size;

        if (!copy_text(data, "path", mount.path, sizeof(mount.path)) ||
            !copy_text(data, "type", mount.type, sizeof(mount.type)))
                return kb_problem(problem, KB_E_INTERNAL, "the server does not say what mount %s lies in",
                                  path);
        size = strlen(mount.path);
        if (size < 2 || mount.path[size - 1] != '/' || !lies_in(path, mount.path))
                return kb_problem(problem, KB_E_INTERNAL, "the server names a mount that %s does not lie in",
                                  path);
        if (kb_json_text(kb_json_get(kb_json_get(data, "options"), "version"), &version) == -EPROTOTYPE)
                return kb_problem(problem, KB_E_INTERNAL, "the server gives mount %s a version that is none",
                                  mount.path);
        mount.versioned = strcmp(version, "2") == 0;
        *ret = mount;
        return KB_E_OK;
}
