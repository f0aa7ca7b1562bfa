/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/suggest.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX 64

/*
 * How many insertions, removals, replacements and swaps of neighbours turn a into b (optimal string
 * alignment). Upper and lower case are the same.
 */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
        size_t rows[3][WORD_MAX + 1], *before = rows[0], *above = rows[1], *row = rows[2];

        for (size_t j = 0; j <= n_b; j++)
                above[j] = j;
        for (size_t i = 1; i <= n_a; i++) {
                size_t *oldest = before;

                row[0] = i;
                for (size_t j = 1; j <= n_b; j++) {
                        int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
                        size_t best = above[j - 1] + (x != y);

                        if (above[j] + 1 < best)
                                best = above[j] + 1;
                        if (row[j - 1] + 1 < best)
                                best = row[j - 1] + 1;
                        if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                            y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                                best = before[j - 2] + 1;
                        row[j] = best;
                }
                before = above;
                above = row;
                row = oldest;
        }
        return above[n_b];
}

struct kb_suggestion kb_suggestion_init(const char *typed)
{
        return (struct kb_suggestion){.typed = typed};
}

void kb_suggestion_try(struct kb_suggestion *s, const char *candidate)
{
        size_t n_typed = strlen(s->typed), n = strlen(candidate), distance;

        if (n_typed == 0 || n == 0 || n_typed > WORD_MAX || n > WORD_MAX)
                return;
        distance = edit_distance(s->typed, n_typed, candidate, n);
        if (distance > 1 + n / 4 || distance >= n) /* farther is no help */
                return;
        if (!s->text || distance < s->distance) {
                s->text = candidate;
                s->distance = distance;
        }
}
