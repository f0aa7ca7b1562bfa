/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The words behind the module's name in a PAM file. There are few, because what matters stands in
 * keybearer.conf, where the broker can check it.
 *
 *   debug            say in the journal what goes on
 *   quiet, no_warn   no notes and no reasons for the person; prompts stay
 *   nodelay          no pause after a refusal
 *   use_first_pass, try_first_pass, use_authtok, authtok_type=TEXT
 *                    as pam_get_authtok(3) has them; it finds them by itself
 */

#include <stdbool.h>

struct kb_args {
        bool debug;
        bool quiet;
        bool nodelay;
        const char *unknown; /* the first word that is none of ours, NULL when there is none */
};

/*
 * A word we do not know may be a restriction that somebody relies on, or a slip in one. The caller refuses
 * our people then, and says so. Never fails itself: argv comes from a file that root writes.
 */
struct kb_args kb_args_parse(int argc, const char **argv);
