/* SPDX-License-Identifier: Apache-2.0 */
/* Events and records: tables without a slip, a round trip, and nothing cut or altered gets through. */
#include "tests/unit/test.h"

#include <ctype.h>
#include <errno.h>
#include <syslog.h>

#include "common/clock.h"
#include "helper/log/crc32c.h"
#include "helper/log/record.h"

static const struct kb_event sample = {
        .id = KB_EVENT_GRANT_ISSUED,
        .time = 1700000000000000,
        .subject = "orders.service",
        .object = "orders-db",
        .unit = "orders.service",
        .invocation = "0123456789abcdef0123456789abcdef",
        .credential = "orders-db",
        .lease = "database/creds/orders/abc",
        .expires = KB_TIME_NEVER,
        .pid = 1,
};

static void encode(struct kb_writer *w, const struct kb_event *event, uint64_t sequence)
{
        _cleanup_writer_ struct kb_writer fields = kb_writer_init(KB_RECORD_MAX);

        kb_event_put(&fields, event);
        assert_ok(kb_writer_end(&fields));
        *w = kb_writer_init(2 * KB_RECORD_MAX);
        kb_record_put(w, &(struct kb_record){.sequence = sequence,
                                             .time = event->time,
                                             .flags = KB_RECORD_SETTLED,
                                             .event = event->id,
                                             .previous = {1, 2, 3},
                                             .fields = KB_SPAN(fields.data, fields.size)});
        assert_ok(kb_writer_end(w));
}

static void the_checksum_is_castagnolis(void **state)
{
        assert_int_equal(kb_crc32c(KB_SPAN_STRING("123456789")), 0xe3069283);
        assert_int_equal(kb_crc32c(KB_SPAN("", 0)), 0);
}

static void a_record_survives_the_round_trip(void **state)
{
        _cleanup_writer_ struct kb_writer w;
        struct kb_record record;
        struct kb_event event;

        encode(&w, &sample, 77);
        assert_int_equal(kb_record_size(KB_SPAN(w.data, w.size)), w.size);
        assert_ok(kb_record_get(KB_SPAN(w.data, w.size), &record));
        assert_int_equal(record.sequence, 77);
        assert_int_equal(record.flags, KB_RECORD_SETTLED);
        assert_int_equal(record.previous[2], 3);
        assert_ok(kb_record_event(&record, &event));
        assert_int_equal(event.id, KB_EVENT_GRANT_ISSUED);
        assert_true(event.time == sample.time);
        for (size_t i = 0; i < kb_field_table_size; i++) {
                const struct kb_field_info *field = &kb_field_table[i];

                assert_string_equal(kb_event_text(&event, field), kb_event_text(&sample, field));
                assert_true(kb_event_number(&event, field) == kb_event_number(&sample, field));
        }
}

static void no_truncation_and_no_flipped_bit_gets_through(void **state)
{
        struct kb_record record = {.sequence = 5};
        _cleanup_writer_ struct kb_writer w;

        encode(&w, &sample, 77);
        for (size_t n = 0; n < w.size; n++)
                assert_int_equal(kb_record_get(KB_SPAN(w.data, n), &record), -EBADMSG);
        for (size_t bit = 0; bit < 8 * w.size; bit++) {
                w.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_int_equal(kb_record_get(KB_SPAN(w.data, w.size), &record), -EBADMSG);
                w.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(record.sequence, 5);
}

static void a_size_is_judged_before_it_is_believed(void **state)
{
        static const struct {
                uint8_t bytes[4];
                size_t n;
                ssize_t expected;
        } table[] = {
                {{KB_RECORD_HEADER}, 3, 0},
                {{KB_RECORD_HEADER}, 4, KB_RECORD_HEADER},
                {{KB_RECORD_HEADER - 1}, 4, -EBADMSG},
                {{0, 0x40}, 4, KB_RECORD_MAX},
                {{1, 0x40}, 4, -EBADMSG},
                {{255, 255, 255, 255}, 4, -EBADMSG},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                assert_int_equal(kb_record_size(KB_SPAN(table[i].bytes, table[i].n)), table[i].expected);
}

/* Fields as bytes, made by hand: what a decoder must not accept. */
static void fields_are_held_to_their_rules(void **state)
{
        static const struct {
                const char *what;
                const char *bytes;
                size_t size;
                int expected;
        } table[] = {
                {"nothing", "", 0, 0},
                {"one text",
                 "\x03\0\0\0"
                 "\x02\0\0\0"
                 "ok\0",
                 11, 0},
                {"unknown number",
                 "\xff\xff\0\0"
                 "\x02\0\0\0"
                 "\x01\x02\0",
                 11, 0},
                {"the same twice",
                 "\x03\0\0\0"
                 "\0\0\0\0\0"
                 "\x03\0\0\0"
                 "\0\0\0\0\0",
                 18, -EBADMSG},
                {"falling",
                 "\x04\0\0\0"
                 "\0\0\0\0\0"
                 "\x03\0\0\0"
                 "\0\0\0\0\0",
                 18, -EBADMSG},
                {"zero",
                 "\0\0\0\0"
                 "\0\0\0\0\0",
                 9, -EBADMSG},
                {"a control character",
                 "\x03\0\0\0"
                 "\x02\0\0\0"
                 "o\n\0",
                 11, -EBADMSG},
                {"a NUL inside",
                 "\x03\0\0\0"
                 "\x02\0\0\0"
                 "o\0\0",
                 11, -EBADMSG},
                {"a number of 7 bytes",
                 "\x18\0\0\0"
                 "\x07\0\0\0"
                 "1234567\0",
                 16, -EBADMSG},
                {"a number of 9 bytes",
                 "\x18\0\0\0"
                 "\x09\0\0\0"
                 "123456789\0",
                 18, -EBADMSG},
                {"cut",
                 "\x03\0\0\0"
                 "\x02\0\0\0"
                 "ok",
                 10, -EBADMSG},
                {"too long for its field",
                 "\x13\0\0\0"
                 "\x11\0\0\0"
                 "12345678901234567\0",
                 26, -EBADMSG},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_event event;
                int r = kb_event_get(KB_SPAN(table[i].bytes, table[i].size), &event);

                if (r != table[i].expected)
                        fail_msg("%s: %d", table[i].what, r);
        }
}

/* What a peer can make us write must stay one printable line of bounded length. */
static void hostile_text_is_written_escaped_and_cut(void **state)
{
        static const struct {
                const char *in, *out;
        } table[] = {
                {"ana\nMESSAGE=all is well", "ana\\x0aMESSAGE=all is well"},
                {"\x1b[2J", "\\x1b[2J"},
                {"\xff\xfe", "\\xff\\xfe"},
                {"jos\xc3\xa9", "jos\xc3\xa9"},
                {"0123456789abcde\xc3\xa9", "0123456789abcde"}, /* a character is not cut in two */
                {"0123456789abc\n", "0123456789abc"},           /* nor is an escape */
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
                struct kb_event event;
                bool is_short = strlen(table[i].in) <= 8 || i >= 4;

                if (is_short)
                        kb_event_put(&w, &(struct kb_event){.uid = table[i].in});
                else
                        kb_event_put(&w, &(struct kb_event){.user = table[i].in});
                assert_ok(kb_writer_end(&w));
                assert_ok(kb_event_get(KB_SPAN(w.data, w.size), &event));
                assert_string_equal(is_short ? event.uid : event.user, table[i].out);
        }
}

static void an_event_with_every_field_at_its_longest_fits(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX - KB_RECORD_HEADER);
        struct kb_event event = {};
        char longest[2048];
        const char *text = longest;
        uint64_t number = UINT64_MAX - 1;

        memset(longest, '\n', sizeof(longest)); /* four bytes each when escaped */
        longest[sizeof(longest) - 1] = '\0';
        for (size_t i = 0; i < kb_field_table_size; i++) {
                const struct kb_field_info *field = &kb_field_table[i];
                bool is_text = field->kind == KB_FIELD_text || field->kind == KB_FIELD_secret;

                memcpy((char *)&event + field->offset, is_text ? (void *)&text : (void *)&number,
                       is_text ? sizeof(text) : sizeof(number));
        }
        kb_event_put(&w, &event);
        assert_ok(kb_writer_end(&w));
}

static void the_tables_have_no_slip(void **state)
{
        for (size_t i = 0; i < kb_event_table_size; i++) {
                const struct kb_event_info *e = &kb_event_table[i];

                assert_int_equal(strlen(e->message_id), 32);
                assert_int_equal(strspn(e->message_id, "0123456789abcdef"), 32);
                assert_true(e->priority >= LOG_EMERG && e->priority <= LOG_DEBUG);
                assert_ptr_equal(kb_event_info(e->id), e);
                for (size_t k = 0; k < i; k++) {
                        assert_string_not_equal(kb_event_table[k].message_id, e->message_id);
                        assert_string_not_equal(kb_event_table[k].word, e->word);
                        assert_int_not_equal(kb_event_table[k].id, e->id);
                }
        }
        for (size_t i = 0; i < kb_field_table_size; i++) {
                const struct kb_field_info *f = &kb_field_table[i];

                assert_true(i == 0 || f[-1].number < f->number); /* records have them rising */
                assert_true(isupper((unsigned char)f->journal[0]) && strlen(f->journal) <= 64);
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(kb_field_table[k].journal, f->journal);
        }
        assert_string_equal(kb_event_info(4711)->word, "unknown");
}

/* Every @NAME@ of every sentence is a field, and none shows what must not leave the log in clear. */
static void sentences_name_fields_that_exist_and_no_secret(void **state)
{
        for (size_t i = 0; i < kb_event_table_size; i++) {
                const char *p = kb_event_table[i].message;

                while ((p = strchr(p, '@'))) {
                        size_t n = strcspn(++p, "@"), found = 0;

                        for (size_t k = 0; k < kb_field_table_size; k++)
                                if (strlen(kb_field_table[k].name) == n &&
                                    memcmp(kb_field_table[k].name, p, n) == 0) {
                                        assert_int_not_equal(kb_field_table[k].kind, KB_FIELD_secret);
                                        found++;
                                }
                        assert_int_equal(found, 1);
                        p += n + 1;
                }
        }
}

static void a_sentence_leaves_out_what_is_not_known(void **state)
{
        static const struct {
                struct kb_event event;
                const char *expected;
        } table[] = {
                {{.id = KB_EVENT_GRANT_ISSUED,
                  .unit = "a.service",
                  .credential = "db",
                  .expires = 1700000000000000},
                 "a.service was given db, until 2023-11-14T22:13:20Z"},
                {{.id = KB_EVENT_GRANT_ISSUED, .unit = "a.service", .credential = "db"},
                 "a.service was given db"},
                {{.id = KB_EVENT_GRANT_ISSUED, .user = "ana", .credential = "db", .expires = KB_TIME_NEVER},
                 "ana was given db"},
                {{.id = KB_EVENT_GRANT_REFUSED, .unit = "a.service", .credential = "db", .reason = "denied"},
                 "a.service was not given db: denied"},
                {{.id = KB_EVENT_CONFIG_REFUSED,
                  .file = "keybearer.conf",
                  .line = 3,
                  .detail = "no such key"},
                 "The configuration was refused: keybearer.conf:3: no such key"},
                {{.id = KB_EVENT_STORE_DOWN}, "Store - gives nothing out"},
                {{.id = 4711}, "An event that this version does not know: keybearer"},
        };
        char text[256], cut[10];

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                kb_event_message(&table[i].event, text, sizeof(text));
                assert_string_equal(text, table[i].expected);
        }
        kb_event_message(&table[0].event, cut, sizeof(cut));
        assert_string_equal(cut, "a.service");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_checksum_is_castagnolis),
                cmocka_unit_test(a_record_survives_the_round_trip),
                cmocka_unit_test(no_truncation_and_no_flipped_bit_gets_through),
                cmocka_unit_test(a_size_is_judged_before_it_is_believed),
                cmocka_unit_test(fields_are_held_to_their_rules),
                cmocka_unit_test(hostile_text_is_written_escaped_and_cut),
                cmocka_unit_test(an_event_with_every_field_at_its_longest_fits),
                cmocka_unit_test(the_tables_have_no_slip),
                cmocka_unit_test(sentences_name_fields_that_exist_and_no_secret),
                cmocka_unit_test(a_sentence_leaves_out_what_is_not_known),
        };

        return cmocka_run_group_tests_name("log-record", tests, NULL, NULL);
}
