/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"

#define OURS  "pam_keybearer.so"
#define BLANK " \t"

/* The next line of text that says something, without its comment; a new string, NULL at the end. Counts all
 * lines. */
static char *next_line(const char **at, unsigned *number)
{
        while (**at) {
                size_t n = strcspn(*at, "\n"), used;
                char *line = cli_format("%.*s", (int)n, *at);

                *at += n + ((*at)[n] == '\n');
                (*number)++;
                line[strcspn(line, "#")] = '\0';
                used = strspn(line, BLANK);
                memmove(line, line + used, strlen(line + used) + 1);
                if (*line)
                        return line;
                free(line);
        }
        return NULL;
}

/* "account [success=1 default=ignore] pam_unix.so": what stands for `word` in the brackets; NULL when
 * nothing does. */
static char *control_of(const char *line, const char *word)
{
        const char *open = strchr(line, '['), *close = open ? strchr(open, ']') : NULL;
        size_t n = strlen(word);

        for (const char *at = open; at && at < close; at++)
                if (strncmp(at, word, n) == 0 && at[n] == '=')
                        return cli_format("%.*s", (int)strcspn(at + n + 1, " \t]"), at + n + 1);
        return NULL;
}

/* How many lines a success of this one skips; -1: all that follow. */
static int skips(const char *line)
{
        _cleanup_free_ char *control = control_of(line, "success");
        long n;

        if (!control)
                return strstr(line, "sufficient") ? -1 : 0;
        if (strcmp(control, "done") == 0)
                return -1;
        n = strtol(control, NULL, 10);
        return n > 0 && n < 1000 ? (int)n : 0;
}

static bool denial_counts(const char *line)
{
        _cleanup_free_ char *otherwise = control_of(line, "default");

        if (!strchr(line, '['))
                return strstr(line, "required") || strstr(line, "requisite");
        return otherwise && (strcmp(otherwise, "bad") == 0 || strcmp(otherwise, "die") == 0);
}

char *doctor_judge_account(const char *text)
{
        unsigned number = 0;

        for (;;) {
                _cleanup_free_ char *line = next_line(&text, &number);

                if (!line)
                        return cli_format("no line names " OURS);
                if (strncmp(line, "account", 7) != 0 || !strstr(line, OURS))
                        continue;
                return denial_counts(line) ? NULL : cli_format("the line of " OURS " lets a denial pass");
        }
}

char *doctor_judge_jump(const char *text, unsigned *ret_line)
{
        unsigned number = 0, from = 0;
        int reach = 0; /* lines from here on that the farthest jump so far skips; -1: all */

        for (;;) {
                _cleanup_free_ char *line = next_line(&text, &number);
                int n;

                if (!line || (strncmp(line, "account", 7) == 0 && strstr(line, OURS)))
                        break;
                if (strncmp(line, "account", 7) != 0)
                        continue;
                n = skips(line);
                reach -= reach > 0;
                if (reach >= 0 && (n < 0 || n > reach)) {
                        reach = n;
                        from = number;
                }
        }
        if (reach == 0)
                return NULL;
        *ret_line = from;
        return cli_format("line %u: when that module succeeds, it jumps over " OURS, from);
}

char *doctor_judge_nsswitch(const char *text, const char *database)
{
        size_t n = strlen(database);
        unsigned number = 0;

        for (;;) {
                _cleanup_free_ char *line = next_line(&text, &number);
                bool files = false;
                char *rest, *word;

                if (!line)
                        break;
                if (strncmp(line, database, n) != 0 || line[n] != ':')
                        continue;
                rest = line + n + 1;
                while ((word = strsep(&rest, BLANK))) {
                        if (strcmp(word, "keybearer") == 0)
                                return files ? NULL
                                             : cli_format("%s: keybearer stands before files", database);
                        files |= strcmp(word, "files") == 0;
                }
                return cli_format("%s: does not name keybearer", database);
        }
        return cli_format("there is no line %s:", database);
}
