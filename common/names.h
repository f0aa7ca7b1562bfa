/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a name may look like. Names become paths, journal fields and lines of files that root writes, so
 * every process judges them for itself at the place where it uses them. All take NULL as "not valid".
 */

#include <stdbool.h>

#define KB_USER_NAME_MAX       32 /* utmp and useradd(8) end there */
#define KB_CREDENTIAL_NAME_MAX 64
#define KB_UNIT_NAME_MAX       255 /* systemd's UNIT_NAME_MAX - 1 */

/*
 * A person or a group: a-z, 0-9, '_', '-', '.'; starts with a letter or '_'; at most 32 characters. Stricter
 * than POSIX on purpose: no upper case, no trailing '$', and nothing that a shell, a path or an INI file
 * minds.
 */
bool kb_name_user_valid(const char *name);

/*
 * A credential, and what `unit add` takes: letters, digits, '_', '-'; starts with a letter or digit. No '.',
 * because NAME.FIELD is how a unit asks for one field.
 */
bool kb_name_credential_valid(const char *name);

/* A field of a credential, a parameter, a rule, a store: as a credential's name. */
bool kb_name_word_valid(const char *name);

/* A unit that can have credentials: "orders.service", "a@b.service"; also .socket, .mount, .swap. See
 * systemd.unit(5). */
bool kb_name_unit_valid(const char *name);

/* A path of a secret, "kv/orders/db": words as above plus '.', joined by '/', no "." or "..", at most 512.
 */
bool kb_name_path_valid(const char *path);

/* fnmatch(3) without any special treatment of '/' or a leading '.'. */
bool kb_name_matches(const char *glob, const char *name);

/* Printable UTF-8 without control characters, which could forge lines of a journal or a terminal. */
bool kb_text_valid(const char *text);
