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

bool doctor_account_names_us(const char *text)
{
        unsigned number = 0;

        for (;;) {
                _cleanup_free_ char *line = next_line(&text, &number);

                if (!line)
                        return false;
                if (strncmp(line, "account", 7) == 0 && strstr(line, OURS))
                        return true;
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

/* --- nsswitch.conf(5) --- */

/* The line of a database as it stands, with its comment; a new string, NULL when there is none. */
static char *find_line(const char *text, const char *database)
{
        size_t length = strlen(database);

        while (*text) {
                size_t n = strcspn(text, "\n"), blank = strspn(text, BLANK);

                if (strncmp(text + blank, database, length) == 0 && text[blank + length] == ':')
                        return cli_format("%.*s", (int)(n - blank), text + blank);
                text += n + (text[n] == '\n');
        }
        return NULL;
}

/* The next source, or what is done after one, in brackets; a new string, NULL at the end or a comment. */
static char *next_word(const char **at)
{
        size_t n;

        *at += strspn(*at, BLANK);
        n = **at == '[' ? strcspn(*at, "]") + 1 : strcspn(*at, " \t[#");
        if (!**at || **at == '#' || n > strlen(*at))
                return NULL;
        *at += n;
        return cli_format("%.*s", (int)n, *at - n);
}

static bool is_local(const char *word)
{
        return strcmp(word, "files") == 0 || strcmp(word, "compat") == 0;
}

static bool is_ours(const char *word)
{
        return strcmp(word, "keybearer") == 0;
}

/* Whether "[NOTFOUND=return]", or whatever comes to that, ends the search for names that were not found. */
static bool ends_search(const char *word)
{
        static const char *const ends[] = {"notfound=return", "!success=return", "!unavail=return",
                                           "!tryagain=return"};

        for (size_t i = 0; *word == '[' && i < KB_ARRAY_SIZE(ends); i++)
                if (strcasestr(word, ends[i]) && !(ends[i][0] != '!' && strcasestr(word, "!notfound")))
                        return true;
        return false;
}

char *doctor_judge_nsswitch(const char *text, const char *database)
{
        _cleanup_free_ char *line = find_line(text, database), *before = NULL;
        const char *at = line ? line + strlen(database) + 1 : "";
        bool local = false, over = false;

        if (!line)
                return cli_format("there is no line %s:", database);
        for (;;) {
                _cleanup_free_ char *word = next_word(&at);

                if (!word)
                        return cli_format("%s: does not name keybearer", database);
                if (is_ours(word) && !local)
                        return cli_format("%s: keybearer stands before files", database);
                if (is_ours(word))
                        return over ? cli_format("%s: %s ends the search before keybearer", database, before)
                                    : NULL;
                local |= is_local(word);
                if (!over && ends_search(word)) {
                        over = true;
                        before = take_ptr(word);
                }
        }
}

static void append(char **line, const char *word)
{
        char *longer = cli_format("%s%s%s", *line,
                                  **line && !strchr(BLANK, (*line)[strlen(*line) - 1]) ? " " : "", word);

        free(*line);
        *line = longer;
}

/* Behind files, and behind what is done after files unless that ends the search. Two that are merged stay
 * merged, with us between them. */
static void append_us(char **line, const char *after)
{
        if (!after || ends_search(after)) {
                append(line, "keybearer");
                if (after)
                        append(line, after);
                return;
        }
        append(line, after);
        append(line, "keybearer");
        if (strcasestr(after, "=merge"))
                append(line, after);
}

/* The sources behind the colon, without us, and with us where we belong. */
static void append_sources(char **line, const char **at)
{
        enum { NOBODY, LOCAL, US } last = NOBODY;
        bool done = false;

        for (;;) {
                _cleanup_free_ char *word = next_word(at);
                bool action = word && *word == '[';

                if (last == LOCAL && !done) {
                        append_us(line, action ? word : NULL);
                        done = true;
                        last = NOBODY;
                        if (action)
                                continue;
                }
                if (!word)
                        return;
                if (is_ours(word) || (action && last == US)) {
                        last = US;
                        continue;
                }
                append(line, word);
                last = is_local(word) ? LOCAL : NOBODY;
        }
}

char *doctor_mend_nsswitch(const char *text, const char *database)
{
        _cleanup_free_ char *line = find_line(text, database),
                            *cause = doctor_judge_nsswitch(text, database);
        const char *at = line ? line + strlen(database) + 1 : "";
        char *mended;
        size_t n;

        if (!cause)
                return take_ptr(line);
        mended = cli_format("%s:%.*s", database, (int)strspn(at, BLANK), at);
        n = strlen(mended);
        append_sources(&mended, &at);
        if (!strstr(mended + n, "keybearer")) { /* no files: without it, root has no name */
                char *longer = cli_format("%.*s%sfiles keybearer%s%s", (int)n, mended,
                                          strchr(BLANK, mended[n - 1]) ? "" : " ", mended[n] ? " " : "",
                                          mended + n);

                free(mended);
                mended = longer;
        }
        at += strspn(at, BLANK);
        if (*at)
                append(&mended, at);
        return mended;
}
