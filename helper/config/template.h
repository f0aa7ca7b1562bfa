/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Template= of a credential: text in which {{FIELD}} stands for a field's bytes. A filter writes them as the
 * place wants it, because a password may hold any character:
 *
 *   postgresql://{{username|url}}:{{password|url}}@db.example.org/orders
 *   {"password": {{password|json}}}                  with its quotes
 *   secret={{password|base64}}
 *
 * Blanks inside the braces do not count. {{{{ stands for {{ itself. There is nothing else: no loops, no
 * conditions, and what is put in is never read as a template again.
 *
 * Here it is read, and what is wrong with it found when its file is loaded; helper/grant/template.h fills it
 * in.
 */

#include "common/names.h"
#include "common/secret.h"
#include "helper/config/value.h"

enum kb_template_filter { KB_FILTER_none, KB_FILTER_base64, KB_FILTER_json, KB_FILTER_url };
const char *kb_template_filter_name(enum kb_template_filter filter); /* "" for none */

/* What stands next in a template: some text, and then perhaps a field. */
struct kb_template_piece {
        struct kb_span text;
        char field[KB_CREDENTIAL_NAME_MAX + 1]; /* "": none */
        enum kb_template_filter filter;         /* none: the bytes as they are */
};

struct kb_template_cursor {
        const char *at; /* begins with the whole template */
        unsigned line;  /* begins with 1 */
};

struct kb_template_problem {
        char text[256];
};

/* 1 and the next piece; 0 at the end; -EINVAL: it is none, with the line and the cause in *problem (may be
 * NULL). */
int kb_template_next(struct kb_template_cursor *c, struct kb_template_piece *ret,
                     struct kb_template_problem *problem) _must_check_;

/*
 * Whether it is one. fields: what Field. keys name; with none, any field may be there. 0, or -EINVAL as
 * above.
 */
int kb_template_check(const char *template, const kb_value_pairs *fields,
                      struct kb_template_problem *problem) _must_check_;
