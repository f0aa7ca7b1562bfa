/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What can be written down: the tables events.def and fields.def as C. An event is a plain value:
 *
 *   struct kb_event e = {.id = KB_EVENT_GRANT_REFUSED, .time = now, .unit = unit, .credential = name,
 *                        .reason = kb_error_word(KB_E_DENIED)};
 *
 * Texts point to somebody else's memory; an event owns nothing.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/names.h"
#include "common/wire.h"

enum kb_event_id {
#define EVENT(number, name, ...) KB_EVENT_##name = number,
#include "helper/log/events.def"
#undef EVENT
};

enum kb_field_kind { KB_FIELD_text, KB_FIELD_number, KB_FIELD_time, KB_FIELD_secret };

#define KB_FIELD_TYPE_text   const char *
#define KB_FIELD_TYPE_number uint64_t
#define KB_FIELD_TYPE_time   uint64_t
#define KB_FIELD_TYPE_secret const char *

struct kb_event {
        uint32_t id;   /* enum kb_event_id; a newer program may have written one that we do not know */
        uint64_t time; /* CLOCK_REALTIME when it happened */
#define FIELD(number, name, member, kind, max, journal, prose) KB_FIELD_TYPE_##kind member;
#include "helper/log/fields.def"
#undef FIELD
};

struct kb_event_info {
        uint32_t id;
        const char *word;
        const char *message_id;
        int priority;
        const char *outcome;
        const char *title;
        const char *message;
        const char *text;
};

struct kb_field_info {
        uint32_t number;
        const char *name;
        const char *journal;
        enum kb_field_kind kind;
        size_t max;
        size_t offset; /* in struct kb_event */
};

/* The row of an event; never NULL: one that says "unknown" for a number that is none of ours. */
const struct kb_event_info *kb_event_info(uint32_t id);

/* All rows, in the order of the files. */
extern const struct kb_event_info kb_event_table[];
extern const size_t kb_event_table_size;
extern const struct kb_field_info kb_field_table[];
extern const size_t kb_field_table_size;

/* The value of a field; "" and 0 when it is not there. The row says which of the two to ask. */
const char *kb_event_text(const struct kb_event *event, const struct kb_field_info *field);
uint64_t kb_event_number(const struct kb_event *event, const struct kb_field_info *field);

/* Fills subject and object as fields.def says, when they are empty. */
void kb_event_complete(struct kb_event *event);

/*
 * The fields as they stand in a record: a list of (u32 number, bytes) in rising order. put writes only what
 * is there; text that is too long is cut, and what a terminal or a line must not see is written as \xNN. get
 * skips numbers it does not know, sets neither id nor time, and points into `from`: 0 or -EBADMSG.
 */
void kb_event_put(struct kb_writer *w, const struct kb_event *event);
int kb_event_get(struct kb_span from, struct kb_event *ret) _must_check_;

/* "2026-11-21T04:00:00Z", "never" for KB_TIME_NEVER. */
#define KB_TIME_TEXT_MAX 32
void kb_time_text(uint64_t time, char ret[KB_TIME_TEXT_MAX]);

/*
 * The sentence of an event, without a trailing newline, cut to size - 1 bytes. Secret fields must have been
 * replaced by their fingerprints before: no sentence names one, and the tests see to it.
 */
void kb_event_message(const struct kb_event *event, char *ret, size_t size);
