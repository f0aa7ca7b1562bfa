/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/lease.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOWED                                                                                             \
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                                    \
        "_-.@:/+=,~"

/* Behind the '#', in the order of the kinds; a version stands behind an '@' instead. */
static const char *const marks[] = {
        [KB_LEASE_NAME_SERVER] = "#token/",
        [KB_LEASE_NAME_CERTIFICATE] = "#cert/",
        [KB_LEASE_NAME_RECORD] = "#record/",
        [KB_LEASE_NAME_VERSION] = "@",
};

static bool part_valid(const char *part)
{
        return part[0] && part[strspn(part, ALLOWED)] == '\0';
}

static int name(enum kb_lease_kind kind, const char *front, const char *back,
                char ret[KB_LEASE_NAME_MAX + 1])
{
        char text[KB_LEASE_NAME_MAX + 1];
        int n;

        if (!part_valid(front) || !part_valid(back))
                return -EINVAL;
        n = snprintf(text, sizeof(text), "%s%s%s", front, marks[kind], back);
        if (n < 0 || (size_t)n >= sizeof(text))
                return -ENAMETOOLONG;
        memcpy(ret, text, (size_t)n + 1);
        return 0;
}

int kb_lease_name_server(const char *id, uint64_t generation, char ret[KB_LEASE_NAME_MAX + 1])
{
        char number[21];

        snprintf(number, sizeof(number), "%llu", (unsigned long long)generation);
        return name(KB_LEASE_NAME_SERVER, id, number, ret);
}

int kb_lease_name_certificate(const char *mount, const char *serial, char ret[KB_LEASE_NAME_MAX + 1])
{
        return name(KB_LEASE_NAME_CERTIFICATE, mount, serial, ret);
}

int kb_lease_name_record(const char *path, const char *text, char ret[KB_LEASE_NAME_MAX + 1])
{
        return name(KB_LEASE_NAME_RECORD, path, text, ret);
}

int kb_lease_name_version(const char *path, const char *version, char ret[KB_LEASE_NAME_MAX + 1])
{
        return strchr(version, '@') || strchr(version, '/')
                       ? -EINVAL
                       : name(KB_LEASE_NAME_VERSION, path, version, ret);
}

static bool parse_number(const char *text, uint64_t *ret)
{
        size_t size = strspn(text, "0123456789");

        *ret = strtoull(text, NULL, 10);
        return size > 0 && size < 20 && text[size] == '\0';
}

/* Whether `name` is FRONT MARK BACK of this kind; fills in the parts. */
static bool is_kind(const char *name, enum kb_lease_kind kind, struct kb_lease_name *ret)
{
        const char *mark = kind == KB_LEASE_NAME_VERSION ? strrchr(name, '@') : strchr(name, '#');
        size_t size = strlen(marks[kind]);

        if (!mark || strncmp(mark, marks[kind], size) != 0)
                return false;
        snprintf(ret->front, sizeof(ret->front), "%.*s", (int)(mark - name), name);
        snprintf(ret->back, sizeof(ret->back), "%s", mark + size);
        if (!part_valid(ret->front) || !part_valid(ret->back))
                return false;
        if (kind == KB_LEASE_NAME_SERVER && !parse_number(ret->back, &ret->generation))
                return false;
        return kind != KB_LEASE_NAME_VERSION || !strchr(ret->back, '/');
}

void kb_lease_name_parse(const char *name, struct kb_lease_name *ret)
{
        ret->kind = KB_LEASE_NAME_BAD;
        if (strlen(name) > KB_LEASE_NAME_MAX)
                return;
        for (unsigned kind = KB_LEASE_NAME_SERVER; kind < KB_ARRAY_SIZE(marks); kind++)
                if (is_kind(name, kind, ret)) {
                        ret->kind = kind;
                        return;
                }
}
