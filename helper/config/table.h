/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A kind of file is a table of its keys. From the table expand: the struct that a file becomes, the parser,
 * the defaults, what `keybearer config show` prints, and the page in man/. A table is an X-macro file with
 *
 *   KEY(section, name, kind, member, default, min, max, words, apply, prose)
 *
 *   section, name  strings; a name that ends in '.' is a family: "Field." takes Field.NAME=
 *   kind           of helper/config/value.h
 *   member         of the struct
 *   default        as text, read like a value in a file; NULL: the key must be given; "": stays empty
 *   min, max       limits of a number, in the kind's own unit (a duration in microseconds)
 *   words          what a choice is made of, joined by '|', else NULL
 *   apply          reload: taken at once by `systemctl reload keybearerd`; restart: only by a start
 *   prose          one sentence for the page
 *
 * A store program brings a table of its own for its file and uses the same functions.
 */

#include "helper/config/file.h"
#include "helper/config/value.h"

enum kb_config_apply { KB_CONFIG_reload, KB_CONFIG_restart };

struct kb_config_key {
        const char *section;
        const char *name;
        enum kb_value_kind kind;
        size_t offset; /* of the member in the struct */
        const char *fallback;
        struct kb_value_limits limits;
        enum kb_config_apply apply;
        const char *prose;
};

/* Expands a row into an element of the array of keys of struct `type`. */
#define KB_CONFIG_ROW(type, section_, name_, kind_, member, default_, min_, max_, words_, apply_, prose_)   \
        {                                                                                                   \
                .section = (section_), .name = (name_), .kind = KB_VALUE_##kind_,                           \
                .offset = offsetof(type, member), .fallback = (default_),                                   \
                .limits = {(min_), (max_), (words_)}, .apply = KB_CONFIG_##apply_, .prose = (prose_),       \
        }

struct kb_config_table {
        const char *what; /* "a credential": for messages */
        const char *page; /* man page, in section 5 */
        bool optional;    /* a file that is not there is an empty one */
        const struct kb_config_key *keys;
        size_t n_keys;
};

/* Where a value came from. file NULL: it is the default. */
struct kb_config_origin {
        const char *file;
        unsigned line;
};

/* The first member of every struct that a table describes, named `origins`: one per key, and the files'
 * names. */
struct kb_config_origins {
        struct kb_config_origin *at;
        char **files;
};

/*
 * Loads `path`, and over it each file of the folder PATH.d in the order of their names: a key there replaces
 * what it was before, a list grows. `object` is the struct of the table, zeroed.
 *
 * 0; -ENOENT when there is no `path` and it is not optional; -EBADMSG after problems were added: all that
 * were found; -ENOMEM. On failure object holds nothing.
 */
int kb_config_load(const struct kb_config_table *table, const char *path,
                   const struct kb_config_trust *trust, struct kb_problems *problems, void *object)
        _must_check_;

/* The same from bytes that are in memory already, as if they were the file `path`, and only they. For
 * fuzzing. */
int kb_config_load_bytes(const struct kb_config_table *table, const char *path, const char *bytes,
                         size_t size, struct kb_problems *problems, void *object) _must_check_;

/* Where keys[i] came from, and its value as text (NULL when memory is out; free() it). */
struct kb_config_origin kb_config_origin(const void *object, size_t i);
char *kb_config_value(const struct kb_config_table *table, const void *object, size_t i);

/* The line of `name` in `section`, for a problem that concerns the whole; {NULL, 0} when it is the default.
 */
struct kb_config_origin kb_config_where(const struct kb_config_table *table, const void *object,
                                        const char *name);

/*
 * For keys of `object` that no file named: takes those of the same name that `from` has in `section`, with
 * their origin. This is how defaults in one file serve another. 0 or -ENOMEM.
 */
int kb_config_inherit(const struct kb_config_table *table, void *object,
                      const struct kb_config_table *from_table, const void *from, const char *section)
        _must_check_;

/* Releases what object holds, and zeroes it. */
void kb_config_done(const struct kb_config_table *table, void *object);
