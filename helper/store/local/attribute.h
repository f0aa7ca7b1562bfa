/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the attributes of an object may be: one table per kind of object (roles, people, groups, rules), one
 * row per attribute. Values are text, as an administrator types them.
 */

#include "common/wire.h"
#include "helper/store/problem.h"

struct kb_attribute {
        const char *name;
        bool (*valid)(const char *value);
        const char *preset; /* what it is when it is not set; NULL: nothing */
        const char *what;   /* "yes or no": for the message and the manual */
};

/* Every change names a row, once, and its value is valid or empty (which takes it away). */
enum kb_error kb_attributes_check(const struct kb_attribute *table, size_t n, struct kb_list changes,
                                  struct kb_problem *problem);

const char *kb_attribute_preset(const struct kb_attribute *table, size_t n, const char *name);

bool kb_attribute_yes_no(const char *value);
bool kb_attribute_duration(const char *value); /* 90s 5min 1h 30d 2w; a bare number is seconds */
bool kb_attribute_words(const char *value); /* printable text; what the words are is the kind's business */

/* Seconds; 0 for what is no duration. */
uint64_t kb_duration_seconds(const char *value);

/*
 * The next word of a list separated by blanks or commas: moves *at on and copies. False at the end; a word
 * that does not fit into size is cut to "", which no check lets through.
 */
bool kb_next_word(const char **at, char *ret, size_t size);
