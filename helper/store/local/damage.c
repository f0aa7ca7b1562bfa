/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/damage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* By purpose of the record: what people call it, and the command that takes it away. */
static const struct {
        const char *purpose, *word, *command; /* NULL: none can */
} table[] = {
        {"kv", "secret", "secret destroy"}, {"person", "user", "user remove"},
        {"group", "group", "group remove"}, {"rule", "rule", "rule remove"},
        {"role", "role", "ca role-remove"}, {"slot", "slot", "seal remove"},
        {"ca", "authority", NULL},          {"reply", "kept answer", NULL},
        {"store", "record", NULL},
};

static unsigned row_of(const struct kb_damage *d)
{
        unsigned i = 0;

        while (i + 1 < KB_ARRAY_SIZE(table) && strcmp(table[i].purpose, d->purpose) != 0)
                i++;
        return i;
}

static bool has_version(const struct kb_damage *d)
{
        return strcmp(d->purpose, "kv") == 0;
}

void kb_damage_text(const struct kb_local *l, char ret[KB_DAMAGE_TEXT_MAX])
{
        const struct kb_damage *d = kb_keyring_damage(l->keys);
        int n = snprintf(ret, KB_DAMAGE_TEXT_MAX, "%s %.255s", table[row_of(d)].word, d->name);

        if (has_version(d))
                snprintf(ret + n, KB_DAMAGE_TEXT_MAX - (size_t)n, " version %llu",
                         (unsigned long long)d->version);
}

enum kb_error kb_damage_problem(const struct kb_local *l, struct kb_problem *problem, int r,
                                const char *doing)
{
        const struct kb_damage *d = kb_keyring_damage(l->keys);
        const char *command = table[row_of(d)].command;
        char text[KB_DAMAGE_TEXT_MAX], version[32] = "";

        if ((r != -EBADMSG && r != -ENOKEY) || !d->name[0])
                return kb_problem_errno(problem, r, doing);
        kb_damage_text(l, text);
        if (has_version(d))
                snprintf(version, sizeof(version), " version=%llu", (unsigned long long)d->version);
        if (!command)
                return kb_problem(problem, KB_E_STORAGE, "%s: %s does not match its key; restore a backup",
                                  doing, text);
        return kb_problem(problem, KB_E_STORAGE,
                          "%s: %s does not match its key; restore a backup, or take it away: keybearer %s "
                          "%.255s%s",
                          doing, text, command, d->name, version);
}
