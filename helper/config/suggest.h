/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * "did you mean ...?": the nearest of some words to one that was mistyped, by the number of letters that
 * have to be changed, added, left out or swapped with the next. One, and one more for each four letters of
 * the word, is near.
 */

#include <stddef.h>

struct kb_suggestion {
        const char *typed;
        const char *text; /* the nearest that was tried, NULL: none is near */
        size_t distance;
};

struct kb_suggestion kb_suggestion_init(const char *typed);

/* candidate must outlive the suggestion. */
void kb_suggestion_try(struct kb_suggestion *s, const char *candidate);
