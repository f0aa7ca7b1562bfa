/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is wrong with files that a person wrote. A reader of such files goes on after a problem and collects
 * them all, so that one look mends everything; nothing here exits or prints by itself.
 *
 * The text of a problem names the cause and, behind a semicolon, the cure:
 *
 *   /etc/keybearer/credentials.d/orders-db.conf:3: unknown key Pathh= in [Credential]; did you mean Path=?
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/macro.h"

#define KB_PROBLEMS_MAX 100 /* more are counted, not kept */

struct kb_config_problem {
        char *file;
        unsigned line; /* 0: the file as a whole */
        char *text;
};

struct kb_problems {
        struct kb_config_problem *problems;
        size_t count; /* that are kept */
        size_t more;  /* that are not: too many, or memory was out */
};

/* file NULL: about no file. Control characters in the text are replaced: it may quote what a file holds. */
void kb_problems_add(struct kb_problems *p, const char *file, unsigned line, const char *format, ...)
        _printf_(4, 5);

bool kb_problems_any(const struct kb_problems *p);

/* "FILE:LINE: TEXT", as above; a new string, NULL when memory is out. */
char *kb_problem_format(const struct kb_config_problem *problem);

void kb_problems_done(struct kb_problems *p);
#define _cleanup_problems_ _cleanup_(kb_problems_done)
