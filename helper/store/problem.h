/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a request came to inside a store: an enum kb_error for programs and a sentence for the person who
 * asked. The sentence names the cause and, where there is one, the cure. Never a secret.
 *
 *   if (!found)
 *           return kb_problem(problem, KB_E_NOT_FOUND, "there is no secret at %s", path);
 */

#include "common/error.h"
#include "common/macro.h"

struct kb_problem {
        enum kb_error error;
        char text[512];
};

/* Fills in the problem and returns its error. */
enum kb_error kb_problem(struct kb_problem *p, enum kb_error error, const char *format, ...) _printf_(3, 4);

/* More of the same sentence. */
void kb_problem_add(struct kb_problem *p, const char *text);

/* The same for a negative errno of the machinery below; what was being done is named by `doing`. */
enum kb_error kb_problem_errno(struct kb_problem *p, int r, const char *doing);
