/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside helper/config only: what each kind of value brings to the table in value.c. */

#include "helper/config/value.h"

struct kb_value_ops {
        /* As kb_value_parse(). One that is not a list may be sure that `to` is zeroed. */
        int (*parse)(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                     char **ret_problem);
        char *(*format)(const struct kb_value_limits *limits, const void *value);
        void (*done)(void *value); /* NULL: nothing to release */
        size_t size;
        bool is_list;
        bool goes_on; /* takes further lines */
};

/* Says what is wrong: -EINVAL, or -ENOMEM when not even that is possible. */
int kb_value_refuse(char **ret_problem, const char *format, ...) _printf_(2, 3);

/* What several kinds of text are made of. string_: a char *; words_: a list, char **. 0, or -ENOMEM. */
int kb_value_copy(const char *text, char **to) _must_check_;
char *kb_value_string_format(const struct kb_value_limits *limits, const void *value);
void kb_value_string_done(void *value);
char *kb_value_words_format(const struct kb_value_limits *limits, const void *value);
void kb_value_words_done(void *value);

/*
 * Adds the words of text to the list at `to`: all of them, or none. judge says what is wrong with one, with
 * the cure, and NULL when it is good; NULL: all are. As kb_value_parse().
 */
int kb_value_add_words(const char *text, const char *(*judge)(const char *), char ***to, char **ret_problem)
        _must_check_;

extern const struct kb_value_ops kb_value_duration_ops, kb_value_size_ops, kb_value_count_ops,
        kb_value_flag_ops, kb_value_choice_ops, kb_value_share_ops,
        kb_value_id_range_ops; /* value_number.c */
extern const struct kb_value_ops kb_value_word_ops, kb_value_secret_path_ops, kb_value_line_ops,
        kb_value_text_ops, kb_value_words_ops, kb_value_globs_ops, kb_value_on_rotate_ops,
        kb_value_pairs_ops; /* value_text.c */
extern const struct kb_value_ops kb_value_path_ops, kb_value_host_ops,
        kb_value_addresses_ops; /* value_place.c */
