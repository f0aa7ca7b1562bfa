/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a parser of settings found wrong, compared as its user reads it. */

#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include "helper/config/problems.h"

/* All problems, one to a line, with the folder left out. */
static inline void problems_are(const struct kb_problems *problems, const char *expected)
{
        char text[8192] = "", *end = text;

        for (size_t i = 0; i < problems->count; i++) {
                _cleanup_free_ char *line = kb_problem_format(&problems->problems[i]);
                char *at;

                while ((at = strstr(line, test_folder)))
                        memmove(at, at + strlen(test_folder) + 1, strlen(at + strlen(test_folder) + 1) + 1);
                end += snprintf(end, (size_t)(text + sizeof(text) - end), "%s%s", i ? "\n" : "", line);
        }
        assert_string_equal(text, expected);
}
