/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory as the broker reads it: people, groups, rules and tombstones, sorted, as records (directory/
 * records.h). Made once per version and kept until the next (directory.h); handed out in portions that end
 * between two records.
 */

#include "helper/store/local/people.h"

#define KB_DOCUMENT_PORTION (1024 * 1024)

struct kb_document;

/*
 * Made a few records at a time, so that others are served between two steps: begin, and step until it is not
 * 1 any more. 0: it is whole, if the version in the store is still its own then; else it is of two versions,
 * and has to be made anew. Or a negative errno, as from kb_document_make().
 */
int kb_document_begin(struct kb_local *l, struct kb_document **ret) _must_check_;
int kb_document_step(struct kb_local *l, struct kb_document *d) _must_check_;

/* All of it at once. 0; what the database says; -EMSGSIZE when a record or the whole is larger than a
 * directory may be. */
int kb_document_make(struct kb_local *l, struct kb_document **ret) _must_check_;
void kb_document_free(struct kb_document *d);
KB_DEFINE_CLEANUP(struct kb_document, kb_document_free);

uint64_t kb_document_version(const struct kb_document *d);
uint32_t kb_document_parts(const struct kb_document *d); /* at least one, which may be empty */
struct kb_span kb_document_part(const struct kb_document *d, uint32_t part);
