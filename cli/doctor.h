/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What can be wrong with a host: a table of checks (doctor.c). Each finds a cause, or nothing, and has a
 * command that mends it: exactly what an administrator may paste. A cure takes nothing away that somebody
 * else put there; where only a person can decide, the command shows what there is, and `then` says what is
 * left to do.
 */

#include "cli/cli.h"
#include "common/wire.h"

struct doctor {
        struct cli *cli;
        struct kb_list facts; /* of the broker; none when it does not answer */
        bool answers;
};

/* What mends it. A check that knows several causes may replace the row's. */
struct doctor_cure {
        const char *command; /* every %s in it stands for about */
        const char *then;    /* what is left to a person; NULL: nothing */
        char *about;         /* NULL: the row's */
        bool is_policy;      /* it is no command, but lines for a policy of the store's servers */
};

struct doctor_check;

/* NULL when all is well; else the cause, a new string. */
typedef char *(*doctor_find)(const struct doctor *d, const struct doctor_check *check,
                             struct doctor_cure *cure);

struct doctor_check {
        const char *name;  /* what is well when it is: "keybearerd answers" */
        const char *about; /* what the check looks at: a unit, a path, a fact */
        doctor_find find;
        const char *command;
        const char *then;
};

/* --- the host: doctor_host.c --- */

char *doctor_unit_is_off(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure);
char *doctor_unit_is_disabled(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure);
char *doctor_is_not_private(const struct doctor *d, const struct doctor_check *check,
                            struct doctor_cure *cure);
char *doctor_is_not_public(const struct doctor *d, const struct doctor_check *check,
                           struct doctor_cure *cure);
char *doctor_is_swappable(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_has_no_names(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_settings_are_wrong(const struct doctor *d, const struct doctor_check *check,
                                struct doctor_cure *cure);
char *doctor_list_is_old(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure);

/* --- how people log in: doctor_login.c --- */

char *doctor_swallows_denials(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure);
char *doctor_jumps_over_us(const struct doctor *d, const struct doctor_check *check,
                           struct doctor_cure *cure);
char *doctor_has_no_line(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure);
char *doctor_sshd_asks_nobody(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure);
char *doctor_is_not_asked(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_somebody_else_answers(const struct doctor *d, const struct doctor_check *check,
                                   struct doctor_cure *cure);

/* --- the broker and its stores: doctor_broker.c --- */

char *doctor_is_silent(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure);
char *doctor_is_another_version(const struct doctor *d, const struct doctor_check *check,
                                struct doctor_cure *cure);
char *doctor_fact_speaks(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure);
char *doctor_directory_speaks(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure);
char *doctor_fact_is_zero(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_came_in_by_code(const struct doctor *d, const struct doctor_check *check,
                             struct doctor_cure *cure);
char *doctor_log_is_stuck(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_only_observes(const struct doctor *d, const struct doctor_check *check,
                           struct doctor_cure *cure);
char *doctor_store_is_out(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_other_store_is_out(const struct doctor *d, const struct doctor_check *check,
                                struct doctor_cure *cure);
char *doctor_policy_lacks(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_key_is_newer(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_kept_is_lost(const struct doctor *d, const struct doctor_check *check,
                          struct doctor_cure *cure);
char *doctor_grant_fails(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure);

/* For the tests: what mends the directory, by where the root key is kept; and what a kept file has lost. */
void doctor_cure_directory(const char *root_key, struct doctor_cure *cure);
char *doctor_tell_kept(const char *path, bool key_is_newer, struct doctor_cure *cure);

/* --- the judgements that look at text alone, for the tests: doctor_text.c --- */

/* The account phase of PAM: why a denial of ours would not count; NULL when it does. */
char *doctor_judge_account(const char *text);

/* Whether a line of the account phase names us at all. */
bool doctor_account_names_us(const char *text);

/* The same of the modules before ours, with the number of the line that is to blame. */
char *doctor_judge_jump(const char *text, unsigned *ret_line);

/*
 * Whether a line of nsswitch.conf ("passwd") names us, behind files, and is asked when files has nothing.
 * NULL, or the cause.
 */
char *doctor_judge_nsswitch(const char *text, const char *database);

/*
 * That line as it should be: all the other sources in their order, with what is done after each. Without
 * one, the line that is to be added. A new string.
 */
char *doctor_mend_nsswitch(const char *text, const char *database);
