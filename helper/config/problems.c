/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/problems.h"

#include <stdio.h>
#include <string.h>

/* A file's bytes go to terminals and journals: what could forge a line there becomes '?'. */
static void make_printable(char *text)
{
        for (unsigned char *c = (unsigned char *)text; *c; c++)
                if (*c < 0x20 || *c == 0x7f)
                        *c = '?';
}

void kb_problems_add(struct kb_problems *p, const char *file, unsigned line, const char *format, ...)
{
        _cleanup_free_ char *text = NULL, *name = NULL;
        struct kb_config_problem *grown;
        va_list arguments;
        int r;

        if (p->count >= KB_PROBLEMS_MAX) {
                p->more++;
                return;
        }
        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                text = NULL;
        name = file ? strdup(file) : NULL;
        grown = reallocarray(p->problems, p->count + 1, sizeof(*grown));
        if (grown)
                p->problems = grown;
        if (!text || !grown || (file && !name)) {
                p->more++;
                return;
        }
        make_printable(text);
        grown[p->count++] =
                (struct kb_config_problem){.file = take_ptr(name), .line = line, .text = take_ptr(text)};
}

bool kb_problems_any(const struct kb_problems *p)
{
        return p->count > 0 || p->more > 0;
}

char *kb_problem_format(const struct kb_config_problem *problem)
{
        char *text;
        int r;

        if (!problem->file)
                return strdup(problem->text);
        if (problem->line > 0)
                r = asprintf(&text, "%s:%u: %s", problem->file, problem->line, problem->text);
        else
                r = asprintf(&text, "%s: %s", problem->file, problem->text);
        return r < 0 ? NULL : text;
}

void kb_problems_done(struct kb_problems *p)
{
        for (size_t i = 0; i < p->count; i++) {
                free(p->problems[i].file);
                free(p->problems[i].text);
        }
        free(p->problems);
        *p = (struct kb_problems){0};
}
