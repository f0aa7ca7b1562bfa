/* SPDX-License-Identifier: Apache-2.0 */
/* The signed directory as it lies in KV 2: what is asked for and when, and what an answer may be wrong in.
 */
#include "tests/unit/engines.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory/head.h"
#include "helper/grant/base64.h"
#include "helper/store/vault/directory.h"
#include "tests/unit/memory.h"

#define HEAD "GET secret/data/people/now/head"

static struct kb_vault_directory *directory;

static int set_up(void **state)
{
        struct kb_engines_settings settings = {.namespace = "team", .request_usec = 30 * KB_USEC_PER_SEC};

        bench_setup(state);
        assert_ok(kb_vault_directory_new(&directory, &settings, "secret/", "people/now"));
        return 0;
}

static int tear_down(void **state)
{
        kb_vault_directory_free(directory);
        return bench_teardown(state);
}

/* --- what lies there --- */

static struct kb_shard measure(const char *bytes)
{
        struct kb_shard shard = {.size = (uint32_t)strlen(bytes)};

        assert_int_equal(EVP_Digest(bytes, strlen(bytes), shard.hash, NULL, EVP_sha256(), NULL), 1);
        return shard;
}

/* A head of these shards, two at most; the signature is nobody's. */
static void make_head(struct kb_writer *w, uint64_t version, const char *one, const char *two)
{
        _cleanup_list_ struct kb_list_builder shards = kb_list_builder_init(4096);
        _cleanup_writer_ struct kb_writer body = kb_writer_init(4096);
        static const uint8_t signature[KB_SIGNATURE_SIZE];
        struct kb_shard first = measure(one), second = measure(two);

        kb_head_add_shard(&shards, &first);
        kb_head_add_shard(&shards, &second);
        kb_head_put(&body, &(struct kb_head){.cluster = "prod",
                                             .version = version,
                                             .not_after = 77,
                                             .shards = kb_list_built(&shards)});
        kb_signed_put(w, KB_SPAN(body.data, body.size), KB_SPAN(signature, sizeof(signature)));
        assert_ok(kb_writer_end(w));
}

static void answer_entry(const char *member, struct kb_span bytes)
{
        _cleanup_writer_ struct kb_writer text = kb_writer_init(65536);
        char json[8192];

        kb_base64_encode(&text, bytes);
        snprintf(json, sizeof(json), "{\"data\":{\"data\":{\"%s\":\"%.*s\"},\"metadata\":{\"version\":4}}}",
                 member, (int)text.size, (const char *)text.data);
        answer(200, json);
}

static void answer_head_of(uint64_t version, const char *one, const char *two)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(8192);

        make_head(&w, version, one, two);
        answer_entry("head", KB_SPAN(w.data, w.size));
}

static void expect_shard(const char *bytes)
{
        struct kb_shard shard = measure(bytes);
        char name[KB_SHARD_NAME_SIZE], line[256];

        kb_shard_name(&shard, name);
        snprintf(line, sizeof(line), "GET secret/data/people/now/shards/%s", name);
        expect_call(line);
}

static void ask(struct kb_request *q, uint64_t have, uint32_t part)
{
        ask_begin(q, KB_VERB_directory);
        kb_directory_request_put(&q->body, &(struct kb_directory_request){.have = have, .part = part});
        kb_vault_directory_get(directory, q);
}

/* The head, answered well. */
static void get_head(uint64_t version, const char *one, const char *two)
{
        _cleanup_request_ struct kb_request q = {0};

        ask(&q, 0, 0);
        answer_head_of(version, one, two);
        assert_int_equal(q.error, KB_E_OK);
        assert_int_equal(q.directory.parts, 3);
}

static void assert_failed(const struct kb_request *q, enum kb_error error, const char *part)
{
        assert_int_equal(q->answers, 1);
        assert_int_equal(q->error, error);
        if (!strstr(q->text, part))
                fail_msg("\"%s\" is not in \"%s\"", part, q->text);
}

/* --- the good --- */

static void a_head_and_then_its_shards(void **state)
{
        _cleanup_request_ struct kb_request q = {0}, first = {0}, second = {0};
        _cleanup_writer_ struct kb_writer w = kb_writer_init(8192);

        ask(&q, 0, 0);
        assert_false(kb_vault_directory_idle(directory));
        assert_false(expect_call(HEAD)->once);
        answer_head_of(9, "one", "two");
        make_head(&w, 9, "one", "two");
        assert_int_equal(q.directory.version, 9);
        assert_int_equal(q.directory.parts, 3);
        assert_int_equal(q.directory.not_after, 77);
        assert_false(q.directory.unchanged);
        assert_int_equal(q.directory.records.size, w.size);
        assert_memory_equal(q.directory.records.data, w.data, w.size);
        ask(&first, 0, 1);
        expect_shard("one");
        answer_entry("shard", KB_SPAN_STRING("one"));
        assert_int_equal(first.directory.version, 9);
        assert_memory_equal(first.directory.records.data, "one", 3);
        ask(&second, 0, 2);
        expect_shard("two");
        answer_entry("shard", KB_SPAN_STRING("two"));
        assert_memory_equal(second.directory.records.data, "two", 3);
        assert_true(kb_vault_directory_idle(directory));
}

static void who_has_the_newest_costs_one_request(void **state)
{
        get_head(9, "one", "two");
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_request_ struct kb_request q = {0};

                ask(&q, 9, 0);
                answer_head_of(9, "one", "two");
                assert_true(q.directory.unchanged);
                assert_int_equal(q.directory.version, 9);
                assert_int_equal(bench.n_calls, 0);
        }
}

static void only_the_shard_that_changed_is_fetched(void **state)
{
        _cleanup_request_ struct kb_request q = {0}, same = {0}, changed = {0};

        get_head(9, "one", "two");
        ask(&q, 0, 2);
        answer_entry("shard", KB_SPAN_STRING("two"));
        get_head(10, "two", "three");
        ask(&same, 9, 1);
        assert_int_equal(bench.n_calls, 0);
        assert_memory_equal(same.directory.records.data, "two", 3);
        assert_int_equal(same.directory.version, 10);
        ask(&changed, 9, 2);
        expect_shard("three");
        answer_entry("shard", KB_SPAN_STRING("three"));
        assert_memory_equal(changed.directory.records.data, "three", 5);
}

/* What an older head says is for the broker to judge. */
static void an_older_head_is_passed_on(void **state)
{
        _cleanup_request_ struct kb_request q = {0};

        ask(&q, 9, 0);
        answer_head_of(8, "one", "two");
        assert_int_equal(q.directory.version, 8);
        assert_false(q.directory.unchanged);
}

static void a_token_that_was_replaced_is_no_refusal(void **state)
{
        _cleanup_request_ struct kb_request q = {0};

        ask(&q, 0, 0);
        bench.judged_stale = bench.generation;
        answer(403, "{\"errors\":[\"permission denied\"]}");
        assert_int_equal(q.answers, 0);
        expect_call(HEAD);
        answer(403, "{\"errors\":[\"permission denied\"]}");
        assert_failed(&q, KB_E_UNREACHABLE, "does not know this host's token");
}

/* --- the bad --- */

static void what_is_no_head_is_refused(void **state)
{
        static const struct {
                int status;
                const char *json;
                enum kb_error error;
                const char *text;
        } table[] = {
                {404, "{\"errors\":[]}", KB_E_NOT_FOUND, "head of the directory is missing"},
                {503, "", KB_E_SEALED, "secret/data/people/now/head"},
                {200, "{\"data\":{}}", KB_E_BAD_REQUEST, "no head of a directory"},
                {200, "{\"data\":{\"data\":{\"head\":7}}}", KB_E_BAD_REQUEST, "no head of a directory"},
                {200, "{\"data\":{\"data\":{\"head\":\"*\"}}}", KB_E_BAD_REQUEST, "no head of a directory"},
                {200, "{\"data\":{\"data\":{\"head\":\"\"}}}", KB_E_BAD_REQUEST, "a newer Keybearer"},
                {200, "{\"data\":{\"data\":{\"head\":\"aGVsbG8=\"}}}", KB_E_BAD_REQUEST,
                 "a newer Keybearer"},
        };

        get_head(9, "one", "two");
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_request_ struct kb_request q = {0};

                ask(&q, 9, 0);
                answer(table[i].status, table[i].json);
                assert_failed(&q, table[i].error, table[i].text);
        }
}

static void a_head_with_a_shard_behind_it_is_none(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(8192);
        _cleanup_request_ struct kb_request q = {0};

        make_head(&w, 9, "one", "two");
        kb_write_flag(&w, true);
        ask(&q, 0, 0);
        answer_entry("head", KB_SPAN(w.data, w.size));
        assert_failed(&q, KB_E_BAD_REQUEST, "a newer Keybearer");
}

static void a_torn_or_missing_shard_is_said_and_asked_for_again(void **state)
{
        _cleanup_request_ struct kb_request missing = {0}, torn = {0}, other = {0}, good = {0};

        get_head(9, "one", "two");
        ask(&missing, 0, 1);
        answer(404, "{\"errors\":[]}");
        assert_failed(&missing, KB_E_NOT_FOUND,
                      "shard of the directory is missing at secret/data/people/now");
        ask(&torn, 0, 1);
        answer_entry("shard", KB_SPAN_STRING("on"));
        assert_failed(&torn, KB_E_BAD_REQUEST, "is not the shard that its name says");
        ask(&other, 0, 1);
        answer_entry("shard", KB_SPAN_STRING("two"));
        assert_failed(&other, KB_E_BAD_REQUEST, "is not the shard that its name says");
        ask(&good, 0, 1);
        answer_entry("shard", KB_SPAN_STRING("one"));
        assert_int_equal(good.error, KB_E_OK);
}

static void a_head_that_changes_meanwhile_begins_anew(void **state)
{
        _cleanup_request_ struct kb_request shard = {0}, head = {0}, gone = {0};
        struct kb_cluster_call *waits;

        get_head(9, "one", "two");
        ask(&shard, 0, 1);
        waits = bench.calls[0];
        bench.n_calls = 0;
        ask(&head, 0, 0);
        answer_head_of(10, "three", "four");
        bench.calls[bench.n_calls++] = waits;
        answer_entry("shard", KB_SPAN_STRING("one"));
        assert_failed(&shard, KB_E_CONFLICT, "changed meanwhile");
        ask(&gone, 0, 3);
        assert_failed(&gone, KB_E_CONFLICT, "begin with the first");
}

static void what_cannot_be_asked_is_said_at_once(void **state)
{
        _cleanup_request_ struct kb_request nonsense = {0}, away = {0}, none = {0}, memory = {0};
        struct kb_engines_settings settings = {.namespace = "team", .request_usec = 30 * KB_USEC_PER_SEC};

        ask_begin(&nonsense, KB_VERB_directory);
        kb_vault_directory_get(directory, &nonsense);
        assert_failed(&nonsense, KB_E_BAD_REQUEST, "make no sense");
        bench.problem.error = KB_E_UNREACHABLE;
        ask(&away, 0, 0);
        assert_failed(&away, KB_E_UNREACHABLE, "");
        bench.problem.error = KB_E_OK;
        ask_begin(&memory, KB_VERB_directory);
        kb_directory_request_put(&memory.body, &(struct kb_directory_request){.have = 1});
        memory_left = 1;
        kb_vault_directory_get(directory, &memory);
        memory_left = 0;
        assert_failed(&memory, KB_E_BUSY, "memory");
        kb_vault_directory_free(directory);
        assert_ok(kb_vault_directory_new(&directory, &settings, NULL, "x"));
        ask(&none, 0, 0);
        assert_failed(&none, KB_E_UNSUPPORTED, "Mount=");
}

/* --- writing --- */

static void put(struct kb_request *q, const char *name, const char *value)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(4096);

        kb_list_add_text(&fields, value ? "value" : "other", value ? value : "");
        ask_begin(q, KB_VERB_store_admin);
        kb_vault_directory_put(directory, q,
                               &(struct kb_store_admin_request){.object = "directory",
                                                                .action = "put",
                                                                .name = name,
                                                                .fields = kb_list_built(&fields)});
}

static void a_shard_is_written_as_it_is(void **state)
{
        _cleanup_request_ struct kb_request q = {0}, denied = {0};
        struct kb_shard shard = measure("one");
        char name[7 + KB_SHARD_NAME_SIZE] = "shards/", line[256];

        kb_shard_name(&shard, name + 7);
        snprintf(line, sizeof(line), "POST secret/data/people/now/%s", name);
        put(&q, name, "one");
        assert_string_equal(expect_call(line)->body, "{\"data\":{\"shard\":\"b25l\"}}");
        assert_false(bench.calls[0]->once);
        answer(200, "{\"data\":{\"version\":1}}");
        assert_int_equal(q.answers, 1);
        assert_int_equal(q.error, KB_E_OK);
        put(&denied, name, "one");
        answer(503, "");
        assert_failed(&denied, KB_E_SEALED, name);
        assert_true(kb_vault_directory_idle(directory));
}

/* Else who publishes at the same time would undo what the other one did. */
static void a_head_replaces_the_one_that_was_read(void **state)
{
        static const struct {
                int status;
                const char *json, *body;
        } read[] = {
                {404, "{\"errors\":[]}", "{\"data\":{\"head\":\"eA==\"},\"options\":{\"cas\":0}}"},
                {404, "{\"data\":{\"data\":null,\"metadata\":{\"version\":3}}}",
                 "{\"data\":{\"head\":\"eA==\"},\"options\":{\"cas\":3}}"},
                {0, NULL, "{\"data\":{\"head\":\"eA==\"},\"options\":{\"cas\":4}}"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(read); i++) {
                _cleanup_request_ struct kb_request q = {0}, head = {0};

                if (read[i].status) {
                        ask(&head, 0, 0);
                        answer(read[i].status, read[i].json);
                } else
                        get_head(9, "one", "two");
                put(&q, "head", "x");
                assert_string_equal(expect_call("POST secret/data/people/now/head")->body, read[i].body);
                assert_true(bench.calls[0]->once);
                answer(400, "{\"errors\":[\"check-and-set parameter did not match the current version\"]}");
                assert_failed(&q, KB_E_CONFLICT, "somebody else has published");
        }
}

static void what_is_no_entry_is_not_written(void **state)
{
        static const char *const names[] = {"", "heads", "shards/", "shards/../head", "shards/12"};
        struct kb_engines_settings settings = {.namespace = "team", .request_usec = 30 * KB_USEC_PER_SEC};
        _cleanup_request_ struct kb_request empty = {0}, away = {0}, none = {0};

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++) {
                _cleanup_request_ struct kb_request q = {0};

                put(&q, names[i], "x");
                assert_failed(&q, KB_E_BAD_REQUEST, "no entry");
        }
        put(&empty, "head", NULL);
        assert_failed(&empty, KB_E_BAD_REQUEST, "no entry");
        bench.problem.error = KB_E_UNREACHABLE;
        put(&away, "head", "x");
        assert_failed(&away, KB_E_UNREACHABLE, "");
        kb_vault_directory_free(directory);
        assert_ok(kb_vault_directory_new(&directory, &settings, "", "x"));
        put(&none, "head", "x");
        assert_failed(&none, KB_E_UNSUPPORTED, "Mount=");
}

static void what_is_under_way_at_the_end_is_let_go(void **state)
{
        _cleanup_request_ struct kb_request one = {0}, two = {0};

        ask(&one, 0, 0);
        ask(&two, 0, 0);
        kb_vault_directory_free(directory);
        directory = NULL;
        assert_int_equal(bench.canceled, 2);
        assert_int_equal(one.answers + two.answers, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_head_and_then_its_shards),
                TEST(who_has_the_newest_costs_one_request),
                TEST(only_the_shard_that_changed_is_fetched),
                TEST(an_older_head_is_passed_on),
                TEST(a_token_that_was_replaced_is_no_refusal),
                TEST(what_is_no_head_is_refused),
                TEST(a_head_with_a_shard_behind_it_is_none),
                TEST(a_torn_or_missing_shard_is_said_and_asked_for_again),
                TEST(a_head_that_changes_meanwhile_begins_anew),
                TEST(what_cannot_be_asked_is_said_at_once),
                TEST(a_shard_is_written_as_it_is),
                TEST(a_head_replaces_the_one_that_was_read),
                TEST(what_is_no_entry_is_not_written),
                TEST(what_is_under_way_at_the_end_is_let_go),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
