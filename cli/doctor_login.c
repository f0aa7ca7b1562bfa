/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer doctor: PAM, sshd and the name service, which belong to others too. */
#include <stdint.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/files.h"
#include "cli/spawn.h"

#define NSSWITCH    "/etc/nsswitch.conf"
#define PEOPLE_MAX  1000 /* of whom is looked whether another source knows them */
#define PEOPLE_SIZE (128 * 1024)

#define CONTROL "[success=ok new_authtok_reqd=ok user_unknown=ignore default=bad]"

/* --- PAM --- */

char *doctor_swallows_denials(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure)
{
        _cleanup_free_ char *text = cli_file_read(check->about),
                            *cause = doctor_judge_account(text ? text : "");

        if (!cause)
                return NULL;
        if (doctor_account_names_us(text)) { /* the line is there: only what it does is put right */
                cure->command = "sed -i -E '/^account.*pam_keybearer/s/^.*(pam_keybearer)/account\\t" CONTROL
                                "\\t\\1/' %s";
                cure->then = NULL;
        }
        return cli_format("%s: %s", check->about, cause);
}

/* The other module stays what it is: we only come before it. */
char *doctor_jumps_over_us(const struct doctor *d, const struct doctor_check *check,
                           struct doctor_cure *cure)
{
        _cleanup_free_ char *text = cli_file_read(check->about), *cause = NULL;
        unsigned line;

        cause = doctor_judge_jump(text ? text : "", &line);
        return cause ? cli_format("%s, %s", check->about, cause) : NULL;
}

char *doctor_has_no_line(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        _cleanup_free_ char *text = cli_file_read(check->about);

        for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
                if (line[strspn(line, " \t")] != '#' && strstr(line, "pam_keybearer.so"))
                        return NULL;
        return cli_format("%s does not name pam_keybearer.so", check->about);
}

/* Who comes with a key is never asked for a password: without PAM, nobody would ask us. */
char *doctor_sshd_asks_nobody(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure)
{
        char *ask[] = {(char[]){"sshd"}, (char[]){"-T"}, NULL};
        static char said[64 * 1024];

        if (cli_spawn(ask, KB_SPAN(NULL, 0), said, sizeof(said)) != 0 || !strstr(said, "usepam no"))
                return NULL;
        return cli_format("sshd has UsePAM no: keys let people in without any decision");
}

/* --- the name service --- */

/* As text of a sed command in single quotes. */
static char *quote(const char *line)
{
        char *quoted = cli_format("%s", "");

        for (const char *c = line; *c; c++) {
                char *longer = *c == '\'' ? cli_format("%s'\\''", quoted)
                                          : cli_format("%s%s%c", quoted, *c == '\\' ? "\\" : "", *c);

                free(quoted);
                quoted = longer;
        }
        return quoted;
}

char *doctor_is_not_asked(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        _cleanup_free_ char *text = cli_file_read(NSSWITCH), *line = NULL, *quoted = NULL;
        char *cause = doctor_judge_nsswitch(text ? text : "", check->about);

        if (!cause)
                return NULL;
        line = doctor_mend_nsswitch(text ? text : "", check->about);
        quoted = quote(line);
        if (strncmp(cause, "there is no line", 16) == 0)
                cure->about = cli_format("$a\\%s", quoted);
        else
                cure->about = cli_format("/^[[:blank:]]*%s:/c\\%s", check->about, quoted);
        return cause;
}

/* The sources of a line of nsswitch.conf that are neither files nor we, for getent -s; a new string. */
static char *other_sources(const char *database)
{
        _cleanup_free_ char *text = cli_file_read(NSSWITCH);
        char *others = cli_format("%s", ""), *line, *word;

        for (char *rest = text; (line = strsep(&rest, "\n"));) {
                size_t n = strlen(database);

                if (strncmp(line, database, n) != 0 || line[n] != ':')
                        continue;
                line += n + 1;
                line[strcspn(line, "#")] = '\0';
                while ((word = strsep(&line, " \t")))
                        if (*word && *word != '[' && strcmp(word, "files") != 0 &&
                            strcmp(word, "keybearer") != 0) {
                                char *longer = cli_format("%s%s%s", others, *others ? " " : "", word);

                                free(others);
                                others = longer;
                        }
                break;
        }
        return others;
}

/* The first of our people whom that source knows too; a new string. */
static char *also_known(const char *source, char *people)
{
        char *names[PEOPLE_MAX + 5] = {(char[]){"getent"}, (char[]){"-s"}, (char *)(uintptr_t)source,
                                       (char[]){"passwd"}};
        char found[256];
        size_t n = 4;

        for (char *rest = people, *line; n < KB_ARRAY_SIZE(names) - 1 && (line = strsep(&rest, "\n"));) {
                line[strcspn(line, ":")] = '\0';
                if (*line)
                        names[n++] = line;
        }
        if (n == 4)
                return NULL;
        cli_spawn(names, KB_SPAN(NULL, 0), found, sizeof(found));
        found[strcspn(found, ":\n")] = '\0';
        return *found ? cli_format("%s", found) : NULL;
}

/* Somebody else's answer for one of our people would be a login that we do not decide. */
char *doctor_somebody_else_answers(const struct doctor *d, const struct doctor_check *check,
                                   struct doctor_cure *cure)
{
        char *list[] = {(char[]){"getent"}, (char[]){"-s"}, (char[]){"keybearer"},
                        (char *)(uintptr_t)check->about, NULL};
        _cleanup_free_ char *people = malloc(PEOPLE_SIZE), *others = other_sources(check->about);

        if (!people || cli_spawn(list, KB_SPAN(NULL, 0), people, PEOPLE_SIZE) != 0)
                return NULL;
        for (char *rest = others, *source; (source = strsep(&rest, " "));) {
                _cleanup_free_ char *copy = cli_format("%s", people), *name = NULL;

                name = *source ? also_known(source, copy) : NULL;
                if (!name)
                        continue;
                cure->about = cli_format("%s", name);
                return cli_format("%s answers for %s too, who is ours", source, name);
        }
        return NULL;
}
