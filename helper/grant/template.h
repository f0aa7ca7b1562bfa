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
 */

#include "helper/grant/fields.h"

/*
 * Whether it is one. map: the fields that the credential will have, for a credential whose file tells; n_map
 * 0: not known yet. 0, or -EINVAL with the line and the cause in *problem.
 */
int kb_template_check(const char *template, const struct kb_field_map *map, size_t n_map,
                      struct kb_fields_problem *problem) _must_check_;

/*
 * Appends the template with the fields in their places. 0; -EINVAL: it is none; -ENOENT: a field that there
 * is not; -EILSEQ: a value that its filter cannot write; -EMSGSIZE, -ENOMEM.
 */
int kb_template_write(const char *template, const struct kb_fields *fields, struct kb_writer *out,
                      struct kb_fields_problem *problem) _must_check_;
