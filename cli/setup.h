/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the steps of `keybearer setup` share. */

#include "cli/cli.h"

struct setup {
        struct cli *cli;
        bool any_done, any_shown;
};

/* Says what was done. */
void setup_note_done(struct setup *s, const char *format, ...) _printf_(2, 3);

/*
 * Enables a unit and starts it, when it is not both already. service: what has to stop before, since systemd
 * starts no socket whose service runs; NULL: nothing. 0, or an exit status.
 */
int setup_start_unit(struct setup *s, const char *unit, const char *service);

/* --store=NAME: this host at the servers of that store. 0, or an exit status after it was said what is
 * wrong. */
int setup_store(struct setup *s);
