/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dropin.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "helper/config/file.h"

#define ENCRYPTED "LoadCredentialEncrypted="
#define PLAIN     "LoadCredential="

/* The section that settings of execution go into. */
static const char *section_of(const char *unit)
{
        static const struct {
                const char *suffix, *section;
        } table[] = {{".socket", "Socket"}, {".mount", "Mount"}, {".swap", "Swap"}};
        const char *dot = strrchr(unit, '.');

        for (size_t i = 0; dot && i < KB_ARRAY_SIZE(table); i++)
                if (strcmp(dot, table[i].suffix) == 0)
                        return table[i].section;
        return "Service";
}

/* 5 to 14 seconds, by the name (FNV-1a). */
static unsigned restart_seconds(const char *unit)
{
        uint32_t hash = 2166136261u;

        for (; *unit; unit++)
                hash = (hash ^ (unsigned char)*unit) * 16777619u;
        return 5 + hash % 10;
}

char *cli_dropin_text(const struct cli_dropin *d)
{
        bool is_service = strcmp(section_of(d->unit), "Service") == 0;
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        /* By this line a purge of the package knows it, too. */
        fprintf(f, "# Written by `keybearer unit add`, taken away by `keybearer unit remove %s`.\n",
                d->unit);
        if (d->restart && is_service)
                fputs("[Unit]\n# When a store was away, try for as long as it "
                      "takes.\nStartLimitIntervalSec=0\n\n",
                      f);
        fprintf(f, "[%s]\n", section_of(d->unit));
        for (size_t i = 0; d->ids && d->ids[i]; i++)
                fprintf(f, "%s%s:%s/%s.sock\n", d->plain ? PLAIN : ENCRYPTED, d->ids[i], KB_RUNDIR,
                        d->plain ? "plain" : "encrypted");
        /* %n: of a template each instance has its own, and no escape of its name is undone on the way. */
        fprintf(f, "Environment=KEYBEARER_CREDENTIALS=%s/units/%%n/current\n", KB_RUNDIR);
        if (d->restart && is_service)
                fprintf(f, "Restart=on-failure\nRestartSec=%us\n", restart_seconds(d->unit));
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static int take_id(const char *line, size_t n, struct cli_dropin *d, size_t *count)
{
        const char *colon = memchr(line, ':', n);
        char **grown;

        if (!colon)
                return 0;
        grown = reallocarray(d->ids, *count + 2, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        d->ids = grown;
        grown[*count + 1] = NULL;
        grown[*count] = strndup(line, (size_t)(colon - line));
        return grown[(*count)++] ? 0 : -ENOMEM;
}

int cli_dropin_parse(const char *text, struct cli_dropin *ret)
{
        struct cli_dropin d = {.unit = ret->unit};
        size_t count = 0;
        int r = 0;

        while (r == 0 && *text) {
                size_t n = strcspn(text, "\n");

                if (strncmp(text, ENCRYPTED, strlen(ENCRYPTED)) == 0)
                        r = take_id(text + strlen(ENCRYPTED), n - strlen(ENCRYPTED), &d, &count);
                else if (strncmp(text, PLAIN, strlen(PLAIN)) == 0) {
                        r = take_id(text + strlen(PLAIN), n - strlen(PLAIN), &d, &count);
                        d.plain = true;
                } else if (strncmp(text, "Restart=", 8) == 0)
                        d.restart = true;
                text += n + (text[n] == '\n');
        }
        if (r < 0) {
                kb_strv_free(d.ids);
                return r;
        }
        *ret = d;
        return 0;
}
