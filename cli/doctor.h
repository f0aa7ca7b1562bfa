/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What can be wrong with a host: a table of checks (doctor.c). Each finds a cause, or nothing, and has a
 * command that mends it: exactly what an administrator may paste.
 */

#include "cli/cli.h"
#include "common/wire.h"

struct doctor {
        struct cli *cli;
        struct kb_list facts; /* of the broker; none when it does not answer */
        bool answers;
};

struct doctor_check {
        const char *name;  /* what is well when it is: "keybearerd answers" */
        const char *about; /* what the check looks at: a unit, a path; it replaces %s in the cure */
        /* NULL when all is well; else the cause, a new string. *ret_about may be set to one that replaces
         * about. */
        char *(*find)(const struct doctor *d, const struct doctor_check *check, char **ret_about);
        const char *cure;
};

/* The judgements that look at text alone, for the tests. */

/* The account phase of PAM: why a denial of ours would not count; NULL when it does. */
char *doctor_judge_account(const char *text);

/* The same of the modules before ours, with the number of the line that is to blame. */
char *doctor_judge_jump(const char *text, unsigned *ret_line);

/* Whether a line of nsswitch.conf ("passwd") names us, behind files. NULL, or the cause. */
char *doctor_judge_nsswitch(const char *text, const char *database);
