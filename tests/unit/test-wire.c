/* SPDX-License-Identifier: Apache-2.0 */
/* The wire: every message survives the round trip, and no truncation or lie about a length gets through. */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/protocol.h"

static void sample_grant(struct kb_writer *w)
{
        *w = kb_writer_init(4096);
        kb_grant_record_put(w, &(struct kb_grant_record){
                                       .id = 42,
                                       .consumer = "orders.service",
                                       .instance = "0123",
                                       .credential = "orders-db",
                                       .store = "local",
                                       .state = "issued",
                                       .lease = "ab12",
                                       .expires = UINT64_MAX,
                                       .renewals = 3,
                               });
}

static void round_trip_keeps_every_field(void **state)
{
        _cleanup_writer_ struct kb_writer w;
        struct kb_grant_record got;

        sample_grant(&w);
        assert_ok(kb_writer_end(&w));
        assert_ok(kb_grant_record_get(KB_SPAN(w.data, w.size), &got));
        assert_int_equal(got.id, 42);
        assert_string_equal(got.consumer, "orders.service");
        assert_string_equal(got.problem, "");
        assert_true(got.expires == UINT64_MAX);
        assert_int_equal(got.renewals, 3);
}

static void every_truncation_and_every_extra_byte_is_refused(void **state)
{
        _cleanup_writer_ struct kb_writer w;
        struct kb_grant_record got;

        sample_grant(&w);
        for (size_t n = 0; n < w.size; n++)
                assert_int_equal(kb_grant_record_get(KB_SPAN(w.data, n), &got), -EBADMSG);
        kb_write_flag(&w, false);
        assert_int_equal(kb_grant_record_get(KB_SPAN(w.data, w.size), &got), -EBADMSG);
}

static void a_failed_get_leaves_the_output_alone(void **state)
{
        struct kb_session_record got = {.leader = 7};

        assert_int_equal(kb_session_record_get(KB_SPAN("x", 1), &got), -EBADMSG);
        assert_int_equal(got.leader, 7);
}

/* {bytes of one field} x {maximum} -> accepted? */
static void strings_are_bounded_and_clean(void **state)
{
        static const struct {
                const char *bytes;
                size_t size;
                size_t max;
                bool accepted;
        } table[] = {
                {"\3\0\0\0abc\0", 8, 3, true},
                {"\0\0\0\0\0", 5, 3, true},
                {"\3\0\0\0abc\0", 8, 2, false},  /* longer than its maximum */
                {"\3\0\0\0a\0c\0", 8, 3, false}, /* a NUL inside */
                {"\3\0\0\0abcd", 8, 3, false},   /* none behind it */
                {"\xff\xff\xff\xff"
                 "abc\0",
                 8, 3, false},                  /* a size that wraps */
                {"\4\0\0\0abc\0", 8, 9, false}, /* one byte more than there is */
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct kb_reader r = kb_reader_init(KB_SPAN(table[i].bytes, table[i].size));
                const char *s = kb_read_string(&r, table[i].max);

                assert_non_null(s);
                assert_int_equal(kb_reader_end(&r) == 0, table[i].accepted);
                if (!table[i].accepted)
                        assert_string_equal(s, "");
        }
}

static void a_flag_is_zero_or_one(void **state)
{
        struct kb_reader r = kb_reader_init(KB_SPAN("\2", 1));

        kb_read_flag(&r);
        assert_int_equal(kb_reader_end(&r), -EBADMSG);
}

static void lists_carry_pairs(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1024);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1024);
        struct kb_reader r;
        struct kb_list list;
        const char *text;
        struct kb_span value;

        kb_list_add_text(&b, "username", "orders");
        kb_list_add_pair(&b, "password", KB_SPAN("a\0b", 3));
        kb_list_add_number(&b, "ttl", 60);
        kb_write_list(&w, kb_list_built(&b), 6);
        r = kb_reader_init(KB_SPAN(w.data, w.size));
        list = kb_read_list(&r, 6);
        assert_ok(kb_reader_end(&r));
        assert_int_equal(list.count, 6);
        assert_true(kb_list_find_string(list, "username", &text));
        assert_string_equal(text, "orders");
        assert_true(kb_list_find(list, "password", &value));
        assert_int_equal(value.size, 3);
        assert_false(kb_list_find_string(list, "password", &text)); /* a NUL inside: no string */
        assert_true(kb_list_find_string(list, "ttl", &text));
        assert_string_equal(text, "60");
        assert_false(kb_list_find(list, "nothing", &value));
}

static void a_list_that_lies_is_refused(void **state)
{
        static const char *const lies[] = {
                "\2\0\0\0\6\0\0\0\1\0\0\0a\0",  /* two elements, bytes for one */
                "\1\0\0\0\7\0\0\0\1\0\0\0a\0x", /* bytes left behind the last */
                "\1\0\0\0\6\0\0\0\2\0\0\0a\0",  /* an element longer than the list */
        };
        static const size_t sizes[] = {14, 15, 14};

        for (size_t i = 0; i < KB_ARRAY_SIZE(lies); i++) {
                struct kb_reader r = kb_reader_init(KB_SPAN(lies[i], sizes[i]));

                kb_read_list(&r, 10);
                assert_int_equal(kb_reader_end(&r), -EBADMSG);
        }
}

static void a_builder_that_overflowed_cannot_pass_unseen(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(8);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1024);

        kb_list_add_text(&b, "much", "too long");
        kb_write_list(&w, kb_list_built(&b), 100);
        assert_int_equal(kb_writer_end(&w), -EMSGSIZE);
}

static void frames_say_their_size_version_and_verb(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);
        struct kb_frame f;

        kb_frame_begin_request(&w, KB_VERB_status);
        kb_status_request_put(&w, &(struct kb_status_request){});
        assert_ok(kb_frame_end(&w));
        assert_int_equal(kb_frame_size(KB_SPAN(w.data, 3), 100), 0);
        assert_int_equal(kb_frame_size(KB_SPAN(w.data, 4), 100), w.size);
        assert_int_equal(kb_frame_size(KB_SPAN(w.data, 4), 7), -EMSGSIZE);
        assert_ok(kb_frame_get_request(KB_SPAN(w.data, w.size), &f));
        assert_int_equal(f.verb, KB_VERB_status);
        assert_int_equal(kb_frame_get_request(KB_SPAN(w.data, w.size - 1), &f), -EBADMSG);
        w.data[4] = 99;
        assert_int_equal(kb_frame_get_request(KB_SPAN(w.data, w.size), &f), -EPROTONOSUPPORT);
}

static void errors_bring_their_text(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);
        struct kb_frame f;

        assert_ok(kb_frame_write_error(&w, 1, KB_VERB_status, KB_E_DENIED, "not you"));
        assert_ok(kb_frame_get_reply(KB_SPAN(w.data, w.size), &f));
        assert_int_equal(f.status, KB_E_DENIED);
        assert_string_equal(kb_frame_error_text(&f), "not you");
}

static void each_verb_names_its_callers(void **state)
{
        assert_int_equal(kb_verb_callers(KB_VERB_open_session), KB_CALLER_ROOT);
        assert_int_equal(kb_verb_callers(KB_VERB_account), KB_CALLER_ROOT | KB_CALLER_SELF);
        assert_int_equal(kb_verb_callers(KB_VERB_fetch), KB_CALLER_STORE);
        assert_int_equal(kb_verb_callers(0xffff), 0);
        assert_string_equal(kb_verb_name(KB_VERB_grant_list), "grant_list");
        assert_null(kb_verb_name(0));
}

static void a_verb_knows_the_fields_of_its_request(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1024);

        kb_grant_revoke_request_put(&w, &(struct kb_grant_revoke_request){.id = 7});
        assert_int_equal(kb_verb_check_request(KB_VERB_grant_revoke, KB_SPAN(w.data, w.size)), 0);
        assert_int_equal(kb_verb_check_request(KB_VERB_grant_revoke, KB_SPAN(w.data, w.size - 1)), -EBADMSG);
        assert_int_equal(kb_verb_check_request(KB_VERB_status, KB_SPAN(w.data, w.size)), -EBADMSG);
        assert_int_equal(kb_verb_check_request(KB_VERB_status, KB_SPAN("", 0)), 0);
        assert_int_equal(kb_verb_check_request(0xffff, KB_SPAN("", 0)), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trip_keeps_every_field),
                cmocka_unit_test(every_truncation_and_every_extra_byte_is_refused),
                cmocka_unit_test(a_failed_get_leaves_the_output_alone),
                cmocka_unit_test(strings_are_bounded_and_clean),
                cmocka_unit_test(a_flag_is_zero_or_one),
                cmocka_unit_test(lists_carry_pairs),
                cmocka_unit_test(a_list_that_lies_is_refused),
                cmocka_unit_test(a_builder_that_overflowed_cannot_pass_unseen),
                cmocka_unit_test(frames_say_their_size_version_and_verb),
                cmocka_unit_test(errors_bring_their_text),
                cmocka_unit_test(each_verb_names_its_callers),
                cmocka_unit_test(a_verb_knows_the_fields_of_its_request),
        };

        return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
