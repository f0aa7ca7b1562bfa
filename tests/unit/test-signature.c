/* SPDX-License-Identifier: Apache-2.0 */
/* A signed document: made, cut, signed, checked, and everything that may be wrong with it. */
#include "tests/unit/directory.h"

#include <errno.h>
#include <string.h>

#include "directory/signature.h"

static struct kb_writer private_pem, public_pem;

static int make_keys(void **state)
{
        private_pem = kb_writer_init(4096);
        public_pem = kb_writer_init(4096);
        assert_ok(kb_directory_key_make(&private_pem, &public_pem));
        return 0;
}

static int free_keys(void **state)
{
        kb_writer_done(&private_pem);
        kb_writer_done(&public_pem);
        return 0;
}

#define SPAN(w) KB_SPAN((w)->data, (w)->size)

/* --- making one --- */

static void add_people(struct kb_writer *w, unsigned n, unsigned without)
{
        for (unsigned i = 0; i < n; i++) {
                char name[16];

                snprintf(name, sizeof(name), "u%06u", i);
                if (i != without)
                        add_person(w, &(struct item){.name = name, .id = KB_ID_MIN_DEFAULT + i});
        }
        assert_ok(kb_writer_end(w));
}

static unsigned cut_all(struct kb_span records, struct kb_list_builder *shards)
{
        struct kb_shard shard;
        unsigned count = 0;
        ssize_t n;

        while ((n = kb_shard_cut(records)) > 0) {
                assert_ok(kb_shard_measure(KB_SPAN(records.data, (size_t)n), &shard));
                kb_head_add_shard(shards, &shard);
                records = KB_SPAN(records.data + n, records.size - (size_t)n);
                count++;
        }
        assert_int_equal(n, 0);
        return count;
}

/* head may be given; its shards are those of the records unless it has some. */
static void make_document(struct kb_writer *w, const struct kb_head *given, struct kb_span records)
{
        _cleanup_list_ struct kb_list_builder shards = kb_list_builder_init(1 << 20);
        _cleanup_writer_ struct kb_writer body = kb_writer_init(KB_HEAD_BODY_MAX);
        uint8_t signature[KB_SIGNATURE_SIZE];
        struct kb_head head = *given;

        cut_all(records, &shards);
        if (head.shards.count == 0)
                head.shards = kb_list_built(&shards);
        kb_head_put(&body, &head);
        assert_ok(kb_writer_end(&body));
        assert_ok(kb_signature_make(SPAN(&private_pem), SPAN(&body), signature));
        kb_signed_put(w, SPAN(&body), KB_SPAN(signature, sizeof(signature)));
        kb_write_raw(w, records);
        assert_ok(kb_writer_end(w));
}

static const struct kb_head good = {
        .cluster = "prod", .version = 12, .made = 1000, .not_after = KB_TIME_NEVER};

/* What is wrong with it; "" when nothing is. */
static const char *check(struct kb_span document, struct kb_head *ret, struct kb_span *ret_records)
{
        _cleanup_(kb_directory_keys_freep) struct kb_directory_keys *keys = NULL;
        const char *problem = "";

        assert_ok(kb_directory_keys_new(&keys, SPAN(&public_pem)));
        if (kb_signature_check(keys, document, ret, ret_records, &problem) < 0)
                assert_true(problem[0] != '\0');
        return problem;
}

/* --- the good --- */

static void what_was_signed_is_what_is_read(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 24), records = kb_writer_init(1 << 24);
        struct kb_span found;
        struct kb_head head;

        add_people(&records, 3000, UINT32_MAX);
        make_document(&w, &good, SPAN(&records));
        assert_string_equal(check(SPAN(&w), &head, &found), "");
        assert_string_equal(head.cluster, "prod");
        assert_int_equal(head.version, 12);
        assert_int_equal(head.made, 1000);
        assert_true(head.not_after == KB_TIME_NEVER);
        assert_true(head.shards.count > 1);
        assert_int_equal(found.size, records.size);
        assert_memory_equal(found.data, records.data, records.size);
}

static void nobody_is_a_document_too(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 16);
        struct kb_span found;
        struct kb_head head;

        make_document(&w, &good, KB_SPAN("", 0));
        assert_string_equal(check(SPAN(&w), &head, &found), "");
        assert_int_equal(found.size, 0);
}

static void an_old_key_and_a_new_one_are_good_together(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 16), other = kb_writer_init(4096),
                                          others = kb_writer_init(8192);
        struct kb_span found;
        struct kb_head head;

        assert_ok(kb_directory_key_make(&other, &others));
        make_document(&w, &good, KB_SPAN("", 0));
        kb_write_raw(&others, SPAN(&public_pem));
        kb_writer_done(&public_pem);
        public_pem = others;
        others = kb_writer_init(0);
        assert_string_equal(check(SPAN(&w), &head, &found), "");
}

/* --- the bad --- */

static void no_bit_of_it_can_be_another(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 16), records = kb_writer_init(1 << 16);
        struct kb_span found;
        struct kb_head head;

        add_people(&records, 2, UINT32_MAX);
        make_document(&w, &good, SPAN(&records));
        for (size_t i = 0; i < w.size; i++) {
                w.data[i] ^= 1;
                assert_string_not_equal(check(SPAN(&w), &head, &found), "");
                w.data[i] ^= 1;
        }
        for (size_t size = 0; size < w.size; size++)
                assert_string_not_equal(check(KB_SPAN(w.data, size), &head, &found), "");
        kb_write_flag(&w, false);
        assert_string_equal(check(SPAN(&w), &head, &found), "the directory has more than its head says");
}

static void the_key_of_somebody_else_is_none(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 16);
        struct kb_span found;
        struct kb_head head;

        make_document(&w, &good, KB_SPAN("", 0));
        free_keys(state);
        make_keys(state);
        assert_string_equal(check(SPAN(&w), &head, &found),
                            "the directory's signature is wrong: none of the keys of this host has made it");
}

static void a_head_that_makes_no_sense_is_refused_whoever_signed_it(void **state)
{
        _cleanup_list_ struct kb_list_builder large = kb_list_builder_init(1 << 16),
                                              empty = kb_list_builder_init(1 << 16),
                                              broken = kb_list_builder_init(1 << 16);
        struct kb_span found;
        struct kb_head head;

        kb_head_add_shard(&large, &(struct kb_shard){.size = KB_SHARD_MAX + 1});
        kb_head_add_shard(&empty, &(struct kb_shard){.size = 0});
        kb_list_add_string(&broken, "x");

        const struct kb_head wrong[] = {
                {.cluster = "", .version = 1},
                {.cluster = "no name", .version = 1},
                {.cluster = "prod", .version = 0},
                {.cluster = "prod", .version = 1, .shards = kb_list_built(&large)},
                {.cluster = "prod", .version = 1, .shards = kb_list_built(&empty)},
                {.cluster = "prod", .version = 1, .shards = kb_list_built(&broken)},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(wrong); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 16);

                make_document(&w, &wrong[i], KB_SPAN("", 0));
                assert_string_equal(
                        check(SPAN(&w), &head, &found),
                        "the directory's head makes no sense; a newer Keybearer may have made it");
        }
}

/* Another kind of key. */
static const char ec[] = "-----BEGIN PUBLIC KEY-----\n"
                         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPdHSHtcYi98dQRTpYrOuzB60GXRg\n"
                         "IpHtEy6HzO6rkQgvAsGmM+zcBGEMmeUfMjVQ9Jsmjx3UFefr2GJSmoIoTA==\n"
                         "-----END PUBLIC KEY-----\n";

static void what_is_no_key_is_refused(void **state)
{
        _cleanup_writer_ struct kb_writer many = kb_writer_init(65536);
        struct kb_directory_keys *keys = NULL;
        uint8_t signature[KB_SIGNATURE_SIZE];

        for (unsigned i = 0; i <= KB_DIRECTORY_KEYS_MAX; i++)
                kb_write_raw(&many, SPAN(&public_pem));
        assert_int_equal(kb_directory_keys_new(&keys, SPAN(&many)), -EBADMSG);
        assert_int_equal(kb_directory_keys_new(&keys, KB_SPAN_STRING("")), -EBADMSG);
        assert_int_equal(kb_directory_keys_new(&keys, KB_SPAN_STRING(ec)), -EBADMSG);
        assert_int_equal(kb_directory_keys_new(&keys, SPAN(&private_pem)), -EBADMSG);
        assert_int_equal(kb_directory_keys_new(&keys, KB_SPAN(public_pem.data, 60)), -EBADMSG);
        assert_null(keys);
        assert_int_equal(kb_signature_make(SPAN(&public_pem), KB_SPAN("", 0), signature), -EBADMSG);
        assert_int_equal(kb_signature_make(KB_SPAN_STRING("x"), KB_SPAN("", 0), signature), -EBADMSG);
}

/* --- shards --- */

static void one_person_less_changes_few_shards(void **state)
{
        _cleanup_list_ struct kb_list_builder before = kb_list_builder_init(1 << 20),
                                              after = kb_list_builder_init(1 << 20);
        _cleanup_writer_ struct kb_writer all = kb_writer_init(1 << 24), less = kb_writer_init(1 << 24);
        unsigned changed = 0, n;
        struct kb_list rest;
        struct kb_span one;

        add_people(&all, 20000, UINT32_MAX);
        add_people(&less, 20000, 9000);
        n = cut_all(SPAN(&all), &before);
        cut_all(SPAN(&less), &after);
        rest = kb_list_built(&after);
        assert_true(n > 6);
        while (kb_list_next(&rest, &one))
                changed += !memmem(before.writer.data, before.writer.size, one.data, one.size);
        assert_true(changed >= 1 && changed <= 2);
}

static void a_shard_ends_with_a_record_and_is_not_too_large(void **state)
{
        static uint8_t much[KB_SHARD_MAX + 1];
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1 << 24);

        kb_write_bytes(&w, KB_SPAN(much, KB_SHARD_MAX - 4), SIZE_MAX); /* 1 too many, with size and NUL */
        assert_int_equal(kb_shard_cut(SPAN(&w)), -EMSGSIZE);
        kb_writer_done(&w);
        w = kb_writer_init(1 << 24);
        kb_write_bytes(&w, KB_SPAN(much, 10), SIZE_MAX);
        kb_write_bytes(&w, KB_SPAN(much, KB_SHARD_MAX - 5), SIZE_MAX);
        assert_int_equal(kb_shard_cut(SPAN(&w)), 15);
        assert_int_equal(kb_shard_cut(KB_SPAN(w.data, 14)), -EBADMSG);
        assert_int_equal(kb_shard_cut(KB_SPAN(w.data, 20)), -EBADMSG);
        assert_int_equal(kb_shard_cut(KB_SPAN(w.data, 0)), 0);
}

static void a_shard_is_named_by_its_hash(void **state)
{
        char name[KB_SHARD_NAME_SIZE];
        struct kb_shard shard;

        assert_ok(kb_shard_measure(KB_SPAN_STRING("abc"), &shard));
        kb_shard_name(&shard, name);
        assert_string_equal(name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_int_equal(shard.size, 3);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(what_was_signed_is_what_is_read, make_keys, free_keys),
                cmocka_unit_test_setup_teardown(nobody_is_a_document_too, make_keys, free_keys),
                cmocka_unit_test_setup_teardown(an_old_key_and_a_new_one_are_good_together, make_keys,
                                                free_keys),
                cmocka_unit_test_setup_teardown(no_bit_of_it_can_be_another, make_keys, free_keys),
                cmocka_unit_test_setup_teardown(the_key_of_somebody_else_is_none, make_keys, free_keys),
                cmocka_unit_test_setup_teardown(a_head_that_makes_no_sense_is_refused_whoever_signed_it,
                                                make_keys, free_keys),
                cmocka_unit_test_setup_teardown(what_is_no_key_is_refused, make_keys, free_keys),
                cmocka_unit_test(one_person_less_changes_few_shards),
                cmocka_unit_test(a_shard_ends_with_a_record_and_is_not_too_large),
                cmocka_unit_test(a_shard_is_named_by_its_hash),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
