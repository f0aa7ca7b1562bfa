/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From the bytes of a file of settings to its lines, by way of libinih:
 *
 *   # comment                       also with ';'; only on a line of its own
 *   [Section]
 *   Key=value
 *     more of the value             an indented line goes on with the value above it
 *
 * libinih is lenient where a file of settings should not be: it cuts long lines, drops the rest of a value
 * behind " ;", takes ':' for '=' and stops at a NUL. All that is looked for first and is a problem here. So
 * is a last line without an end: somebody is still writing the file.
 */

#include "helper/config/problems.h"

/* libinih's buffer is a matter of how it was built; this fits into the smallest. */
#define KB_CONFIG_LINE_MAX 196

struct kb_config_item {
        const char *section;
        const char *key;
        const char *value; /* without white space around it */
        const char *raw;   /* a further line: its text behind the indentation of the first further line */
        unsigned line;
        unsigned blank; /* a further line: how many empty lines stand before it */
        bool further;   /* goes on with the item before it */
};

typedef void (*kb_config_item_fn)(void *userdata, const struct kb_config_item *item);

/*
 * Calls fn for each item in the order of the file. bytes: size bytes and a NUL. 0 when the text is well
 * formed; -EBADMSG after problems were added (fn has still been called for every item that could be read, so
 * that their problems are seen in the same run); -ENOMEM.
 */
int kb_config_text_parse(const char *file, const char *bytes, size_t size, struct kb_problems *problems,
                         kb_config_item_fn fn, void *userdata) _must_check_;
