/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory as the broker reads it: people, groups, rules and tombstones, sorted, as records (directory/
 * records.h). Made once per version and kept until the next; handed out in portions that end between two
 * records.
 */

#include "helper/store/local/people.h"

#define KB_DOCUMENT_PORTION (1024 * 1024)

struct kb_document;

/* 0; what the database says; -EMSGSIZE when a record or the whole is larger than a directory may be. */
int kb_document_make(struct kb_local *l, struct kb_document **ret) _must_check_;
void kb_document_free(struct kb_document *d);
KB_DEFINE_CLEANUP(struct kb_document, kb_document_free);

uint64_t kb_document_version(const struct kb_document *d);
uint32_t kb_document_parts(const struct kb_document *d); /* at least one, which may be empty */
struct kb_span kb_document_part(const struct kb_document *d, uint32_t part);
