/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "common/clock.h"

#define TEXT_MAX 1024 /* the longest field there is */

const struct kb_event_info kb_event_table[] = {
#define EVENT(number, name, word, message_id, priority, outcome, title, message, text)                      \
        {number, word, message_id, priority, outcome, title, message, text},
#include "helper/log/events.def"
#undef EVENT
};
const size_t kb_event_table_size = KB_ARRAY_SIZE(kb_event_table);

const struct kb_field_info kb_field_table[] = {
#define FIELD(number, name, member, kind, max, journal, prose)                                              \
        {number, #name, journal, KB_FIELD_##kind, max, offsetof(struct kb_event, member)},
#include "helper/log/fields.def"
#undef FIELD
};
const size_t kb_field_table_size = KB_ARRAY_SIZE(kb_field_table);

#define FIELD(number, name, member, kind, max, journal, prose) _Static_assert((max) <= TEXT_MAX, #name);
#include "helper/log/fields.def"
#undef FIELD

const struct kb_event_info *kb_event_info(uint32_t id)
{
        static const struct kb_event_info unknown = {
                .word = "unknown",
                .message_id = "",
                .priority = LOG_NOTICE,
                .outcome = "unknown",
                .title = "An event of a newer version",
                .message = "An event that this version does not know: @SUBJECT@[, @OBJECT@]",
                .text = "",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(kb_event_table); i++)
                if (kb_event_table[i].id == id)
                        return &kb_event_table[i];
        return &unknown;
}

static bool is_text(const struct kb_field_info *field)
{
        return field->kind == KB_FIELD_text || field->kind == KB_FIELD_secret;
}

const char *kb_event_text(const struct kb_event *event, const struct kb_field_info *field)
{
        const char *text;

        if (!is_text(field))
                return "";
        memcpy(&text, (const char *)event + field->offset, sizeof(text));
        return text ? text : "";
}

uint64_t kb_event_number(const struct kb_event *event, const struct kb_field_info *field)
{
        uint64_t number;

        if (is_text(field))
                return 0;
        memcpy(&number, (const char *)event + field->offset, sizeof(number));
        return number;
}

static const char *first_text(const char *const *texts, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (texts[i] && texts[i][0])
                        return texts[i];
        return NULL;
}

void kb_event_complete(struct kb_event *event)
{
        const char *subjects[] = {event->subject, event->unit, event->user, "keybearer"};
        const char *objects[] = {event->object, event->credential, event->service, event->store};

        event->subject = first_text(subjects, KB_ARRAY_SIZE(subjects));
        event->object = first_text(objects, KB_ARRAY_SIZE(objects));
}

/* --- in a record --- */

/* How much of a valid text fits, without cutting a character in two. */
static size_t fitting(const char *text, size_t max)
{
        size_t n = strnlen(text, max + 1);

        if (n <= max)
                return n;
        for (n = max; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
                n--;
        return n;
}

static size_t escape(const char *text, size_t max, char ret[TEXT_MAX + 1])
{
        size_t n = 0;

        for (; *text; text++) {
                bool plain = *text >= 0x20 && *text <= 0x7e;

                if (n + (plain ? 1 : 4) > max)
                        break;
                if (plain)
                        ret[n++] = *text;
                else
                        n += (size_t)snprintf(ret + n, 5, "\\x%02x", (unsigned char)*text);
        }
        return n;
}

static void put_text(struct kb_writer *w, const char *text, size_t max)
{
        char escaped[TEXT_MAX + 1];

        if (kb_text_valid(text))
                kb_write_bytes(w, KB_SPAN(text, fitting(text, max)), max);
        else
                kb_write_bytes(w, KB_SPAN(escaped, escape(text, max, escaped)), max);
}

void kb_event_put(struct kb_writer *w, const struct kb_event *event)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(kb_field_table); i++) {
                const struct kb_field_info *field = &kb_field_table[i];
                const char *text = kb_event_text(event, field);
                uint64_t number = kb_event_number(event, field);

                if (!text[0] && number == 0)
                        continue;
                kb_write_u32(w, field->number);
                if (is_text(field)) {
                        put_text(w, text, field->max);
                } else {
                        kb_write_u32(w, sizeof(number));
                        kb_write_u64(w, number);
                        kb_write_flag(w, false); /* the NUL behind every `bytes` */
                }
        }
}

static const struct kb_field_info *field_by_number(uint32_t number)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(kb_field_table); i++)
                if (kb_field_table[i].number == number)
                        return &kb_field_table[i];
        return NULL;
}

static int get_field(const struct kb_field_info *field, struct kb_span value, struct kb_event *event)
{
        struct kb_reader r = kb_reader_init(value);
        const char *text = (const char *)value.data;
        uint64_t number;

        if (is_text(field)) {
                if (value.size > field->max || strlen(text) != value.size || !kb_text_valid(text))
                        return -EBADMSG;
                memcpy((char *)event + field->offset, &text, sizeof(text));
                return 0;
        }
        number = kb_read_u64(&r);
        memcpy((char *)event + field->offset, &number, sizeof(number));
        return kb_reader_end(&r);
}

int kb_event_get(struct kb_span from, struct kb_event *ret)
{
        struct kb_reader r = kb_reader_init(from);
        struct kb_event event = {};
        uint32_t last = 0;

        while (r.left > 0 && !r.failed) {
                uint32_t number = kb_read_u32(&r);
                struct kb_span value = kb_read_bytes(&r, from.size);
                const struct kb_field_info *field = field_by_number(number);

                if (r.failed || number <= last || (field && get_field(field, value, &event) < 0))
                        return -EBADMSG;
                last = number;
        }
        if (kb_reader_end(&r) < 0)
                return -EBADMSG;
        *ret = event;
        return 0;
}

/* --- for people --- */

void kb_time_text(uint64_t usec, char ret[KB_TIME_TEXT_MAX])
{
        time_t seconds = (time_t)(usec / KB_USEC_PER_SEC);
        struct tm tm;

        if (usec == KB_TIME_NEVER || !gmtime_r(&seconds, &tm))
                snprintf(ret, KB_TIME_TEXT_MAX, "never");
        else
                strftime(ret, KB_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* A sentence as it grows. `absent`: a field of the part in brackets that is being written was not there. */
struct sentence {
        char *at;
        size_t left; /* without the NUL */
        char *part;
        size_t part_left;
        bool absent;
};

static void add(struct sentence *s, const char *text, size_t n)
{
        if (n > s->left)
                n = s->left;
        memcpy(s->at, text, n);
        s->at += n;
        s->left -= n;
}

static void add_field(struct sentence *s, const struct kb_event *event, const char *name, size_t n)
{
        char buffer[KB_TIME_TEXT_MAX] = "";
        const char *text = buffer;

        for (size_t i = 0; i < KB_ARRAY_SIZE(kb_field_table); i++) {
                const struct kb_field_info *field = &kb_field_table[i];
                uint64_t number = kb_event_number(event, field);

                if (strlen(field->name) != n || memcmp(field->name, name, n) != 0)
                        continue;
                if (is_text(field))
                        text = kb_event_text(event, field);
                else if (field->kind == KB_FIELD_time) {
                        if (number > 0 &&
                            number != KB_TIME_NEVER) /* without an end, there is nothing to say */
                                kb_time_text(number, buffer);
                } else if (number > 0)
                        snprintf(buffer, sizeof(buffer), "%" PRIu64, number);
        }
        if (!text[0])
                s->absent = true;
        add(s, text[0] ? text : "-", strlen(text[0] ? text : "-"));
}

static void add_sentence(struct sentence *s, const struct kb_event *event, const char *p)
{
        while (*p) {
                size_t n = strcspn(p, "@[]");

                add(s, p, n);
                p += n;
                if (*p == '[') {
                        *s = (struct sentence){
                                .at = s->at, .left = s->left, .part = s->at, .part_left = s->left};
                } else if (*p == ']' && s->absent) {
                        *s = (struct sentence){.at = s->part, .left = s->part_left};
                } else if (*p == '@') {
                        n = strcspn(p + 1, "@");
                        add_field(s, event, p + 1, n);
                        p += n + 1;
                }
                p += *p != '\0';
        }
}

void kb_event_message(const struct kb_event *event, char *ret, size_t size)
{
        struct sentence s = {.at = ret, .left = size - 1};
        struct kb_event complete = *event;

        kb_event_complete(&complete);
        add_sentence(&s, &complete, kb_event_info(event->id)->message);
        add_sentence(&s, &complete, "[; this was at @LATE@, when the log could not be written]");
        *s.at = '\0';
}
