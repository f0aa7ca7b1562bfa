/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bounded reader and writer that everything on the wire goes through. Integers are little-endian. Both
 * are sticky: after the first error every call does nothing (a reader returns zeros and empty values), so a
 * caller may run through all fields and look once, at the end.
 *
 *   bytes, string   u32 size, that many bytes, one NUL that size does not count
 *   list            u32 count, u32 size of what follows, count times `bytes`
 *
 * The NUL makes a string usable where it lies. A string with a NUL inside, or without the one behind it, is
 * refused. Nothing is copied: values point into the reader's memory and live as long as that.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/secret.h"

struct kb_reader {
        const uint8_t *at;
        size_t left;
        bool failed;
};

/* A list where it lies: count elements, checked one by one as they are taken with kb_list_next_*(). */
struct kb_list {
        uint32_t count;
        struct kb_span encoded;
};

struct kb_reader kb_reader_init(struct kb_span from);
uint32_t kb_read_u32(struct kb_reader *r);
uint64_t kb_read_u64(struct kb_reader *r);
bool kb_read_flag(struct kb_reader *r); /* one byte, 0 or 1; anything else fails */

/* max: the greatest size the field may have. */
struct kb_span kb_read_bytes(struct kb_reader *r, size_t max);
const char *kb_read_string(struct kb_reader *r, size_t max); /* never NULL: "" after an error */

/* max: the greatest count. The elements' framing is checked here, so kb_list_next() cannot run off the end.
 */
struct kb_list kb_read_list(struct kb_reader *r, size_t max);

/* 0 when everything was read and nothing is left, else -EBADMSG. */
int kb_reader_end(const struct kb_reader *r) _must_check_;

/* Takes the next element off the list. False at its end; kb_list_next_string() also ends at an element with
 * a NUL inside.
 */
bool kb_list_next(struct kb_list *list, struct kb_span *ret);
bool kb_list_next_string(struct kb_list *list, const char **ret);

/* Elements two by two: a name, then its value. An odd count ends before the last. */
bool kb_list_next_pair(struct kb_list *list, const char **ret_name, struct kb_span *ret_value);

/* The value of a pair's name in a list of pairs; false when there is none. */
bool kb_list_find(struct kb_list pairs, const char *name, struct kb_span *ret_value);
bool kb_list_find_string(struct kb_list pairs, const char *name, const char **ret_value);

/* Grows as needed up to max bytes, in memory that is wiped (common/secret.h). */
struct kb_writer {
        uint8_t *data;
        size_t size;
        size_t capacity;
        size_t max;
        bool failed;
};

struct kb_writer kb_writer_init(size_t max);
void kb_writer_done(struct kb_writer *w); /* wipes; w may be used again after kb_writer_init() */
#define _cleanup_writer_ _cleanup_(kb_writer_done)

void kb_write_raw(struct kb_writer *w, struct kb_span raw);
void kb_write_u32(struct kb_writer *w, uint32_t value);
void kb_write_u64(struct kb_writer *w, uint64_t value);
void kb_write_flag(struct kb_writer *w, bool value);
void kb_write_bytes(struct kb_writer *w, struct kb_span bytes, size_t max);
void kb_write_string(struct kb_writer *w, const char *string, size_t max); /* NULL counts as "" */
void kb_write_list(struct kb_writer *w, struct kb_list list, size_t max);

/* 0, or -EMSGSIZE when a maximum was passed or memory was out. */
int kb_writer_end(const struct kb_writer *w) _must_check_;

/* Builds a list to put into a message. Owns its memory; .list points into it. */
struct kb_list_builder {
        struct kb_writer writer;
        uint32_t count;
};

struct kb_list_builder kb_list_builder_init(size_t max);
void kb_list_builder_done(struct kb_list_builder *b);
#define _cleanup_list_ _cleanup_(kb_list_builder_done)
void kb_list_add(struct kb_list_builder *b, struct kb_span element);
void kb_list_add_string(struct kb_list_builder *b, const char *element);
void kb_list_add_pair(struct kb_list_builder *b, const char *name, struct kb_span value);
void kb_list_add_text(struct kb_list_builder *b, const char *name, const char *value);
void kb_list_add_number(struct kb_list_builder *b, const char *name, uint64_t value); /* as decimal text */
struct kb_list kb_list_built(const struct kb_list_builder *b);
