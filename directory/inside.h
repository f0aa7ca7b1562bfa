/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside directory/ only: what a loaded directory is made of. document.c makes it, directory.c shows it. */

#include "directory/document.h"

struct kb_directory {
        uint8_t *bytes; /* the document; every string and list points in here */
        struct kb_id_range range;

        struct kb_person *people;
        struct kb_group *groups;
        struct kb_rule_record *rules;
        size_t n_people, n_groups, n_rules;

        uint32_t *members;    /* of all groups, one behind the other */
        uint32_t *belongings; /* the groups of all people, likewise */

        struct kb_refused *left_out; /* people first, sorted by name, then groups */
        size_t n_left_out, n_left_people;
};
