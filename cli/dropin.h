/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The drop-in that makes systemd ask the broker when a unit starts: its text, made and read again. */

#include <stdbool.h>
#include <stddef.h>

#define CLI_DROPIN_FILE "50-keybearer.conf"

/* systemd puts both into the name of a socket: "\0" + 16 hex digits + "/unit/" + unit + "/" + id fills
 * sun_path. */
#define CLI_DROPIN_NAMES_MAX 84

struct cli_dropin {
        const char *unit;
        char **ids;   /* "NAME" or "NAME.FIELD", NULL-terminated, in the order they were added */
        bool plain;   /* LoadCredential= instead of LoadCredentialEncrypted= */
        bool restart; /* with Restart=on-failure: the unit says nothing about it itself */
};

/*
 * The text of the file. The same drop-in gives the same text on every host and every day; RestartSec=
 * differs from unit to unit, so that a hundred of them do not come back in the same second.
 */
char *cli_dropin_text(const struct cli_dropin *d);

/* Reads ids, plain and restart back from a text; ids belongs to the caller. 0 or -ENOMEM. Lines of others
 * are passed over. */
int cli_dropin_parse(const char *text, struct cli_dropin *ret);
