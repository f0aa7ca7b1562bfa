/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Template= of a credential, filled in; helper/config/template.h says what one is. */

#include "helper/grant/fields.h"

/*
 * Appends the template with the fields in their places. 0; -EINVAL: it is none; -ENOENT: a field that there
 * is not; -EILSEQ: a value that its filter cannot write; -EMSGSIZE, -ENOMEM.
 */
int kb_template_write(const char *template, const struct kb_fields *fields, struct kb_writer *out,
                      struct kb_fields_problem *problem) _must_check_;
