/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The kinds of value a key can have: how each is written, kept, printed and given back. One row per kind:
 *
 *   VALUE(kind, C type, how it is written)
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/ids.h"
#include "helper/config/problems.h"

struct kb_pair {
        char *name;
        char *value;
};

/* Of keys like Field.NAME=. Sorted by nothing: in the order of the file. */
struct kb_pairs {
        size_t count;
        struct kb_pair *pairs;
};

#define KB_ON_ROTATE(X) X(none) X(reload) X(restart) X(signal)
enum kb_on_rotate_action {
#define X(word) KB_ON_ROTATE_##word,
        KB_ON_ROTATE(X)
#undef X
};

struct kb_on_rotate {
        enum kb_on_rotate_action action;
        int signal; /* of KB_ON_ROTATE_signal */
};

/* A share is kept in millionths, so that nobody computes with floating point. */
#define KB_SHARE_ONE 1000000u

#define KB_VALUES(VALUE)                                                                                    \
        VALUE(word, char *, "a name of letters, digits, '_' and '-'")                                       \
        VALUE(secret_path, char *, "a path in the store: words joined by '/'")                              \
        VALUE(line, char *, "text on one line")                                                             \
        VALUE(text, char *, "text; further lines are indented")                                             \
        VALUE(words, char **, "names; a list")                                                              \
        VALUE(globs, char **, "shell patterns with * ? [...]; a list")                                      \
        VALUE(path, char *, "an absolute path of a file")                                                   \
        VALUE(host, char *, "a name of a host")                                                             \
        VALUE(addresses, char **, "https://HOST:PORT, unix:/PATH or http://127.0.0.1:PORT; a list")         \
        VALUE(duration, uint64_t, "a time such as 90s, 1h 30min or 2d; a bare number is seconds")           \
        VALUE(size, uint64_t, "bytes, or with K, M, G")                                                     \
        VALUE(count, uint64_t, "a whole number")                                                            \
        VALUE(flag, bool, "yes or no")                                                                      \
        VALUE(choice, unsigned, "one of the words named")                                                   \
        VALUE(share, uint32_t, "a share between 0 and 1: 2/3, 0.66 or 66%")                                 \
        VALUE(id_range, struct kb_id_range, "two ids joined by '-'")                                        \
        VALUE(on_rotate, struct kb_on_rotate, "none, reload, restart or signal:NAME")                       \
        VALUE(pairs, struct kb_pairs, "one line per NAME")

enum kb_value_kind {
#define VALUE(kind, type, prose) KB_VALUE_##kind,
        KB_VALUES(VALUE)
#undef VALUE
};

#define VALUE(kind, type, prose) typedef type kb_value_##kind;
KB_VALUES(VALUE)
#undef VALUE

/* What a kind is measured against. */
struct kb_value_limits {
        uint64_t min,
                max; /* duration (us), size, count, share; max KB_TIME_NEVER lets a duration be "infinity" */
        const char *words; /* choice: the words, joined by '|'; the number of one is its place */
};

const char *kb_value_kind_prose(enum kb_value_kind kind);

/* Lists and pairs take any number of lines; everything else one. */
bool kb_value_is_list(enum kb_value_kind kind);

/*
 * Reads text into the value at `to`, which is zeroed or holds a value of this kind (which is released; a
 * list grows). name: what stands behind the dot of a key like Field.NAME=, else NULL. 0; -EINVAL with
 * *ret_problem saying what is wrong, a clause that goes behind "KEY=TEXT: "; -ENOMEM. On failure `to` is as
 * it was.
 */
int kb_value_parse(enum kb_value_kind kind, const struct kb_value_limits *limits, const char *name,
                   const char *text, void *to, char **ret_problem) _must_check_;

/* text: what a further line adds; `blank` empty lines stood before it. As above. */
int kb_value_extend(enum kb_value_kind kind, const struct kb_value_limits *limits, const char *text,
                    unsigned blank, void *to, char **ret_problem) _must_check_;

/* As it could be written in a file; a list joined by blanks, pairs as NAME=VALUE lines. NULL when memory is
 * out. */
char *kb_value_format(enum kb_value_kind kind, const struct kb_value_limits *limits, const void *value);

/* The number of a kind that is measured (limits.min, limits.max), written as a person would. */
char *kb_value_format_number(enum kb_value_kind kind, uint64_t number);

/* Releases what value holds, and zeroes it. */
void kb_value_done(enum kb_value_kind kind, void *value);
