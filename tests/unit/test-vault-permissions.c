/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's policies have to grant for each sort of secret, and what its answer comes to. */
#include "tests/unit/engines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/store/vault/permissions.h"

#define SELF   "POST sys/capabilities-self"
#define LEASES ",\"sys/leases/renew\",\"sys/leases/revoke\""

static void look(struct kb_request *q, const char *path, const char *method)
{
        *q = (struct kb_request){.verb = KB_VERB_store_admin};
        kb_engines_permissions(bench.engines, q,
                               &(struct kb_permissions_of){.path = path, .method = method});
}

/* "PATH capability granted, ..." */
static const char *rows(const struct kb_request *q)
{
        static char text[2048];
        struct kb_store_admin_reply reply;
        struct kb_span element;
        size_t n = 0;

        assert_int_equal(q->answers, 1);
        assert_string_equal(q->text, "");
        assert_ok(kb_store_admin_reply_get(KB_SPAN(q->out.data, q->out.size), &reply));
        text[0] = '\0';
        while (kb_list_next(&reply.rows, &element)) {
                const char *path, *capability, *granted;
                struct kb_reader reader = kb_reader_init(element);
                struct kb_list row = kb_read_list(&reader, UINT32_MAX - 1);

                assert_true(kb_list_find_string(row, "path", &path));
                assert_true(kb_list_find_string(row, "capability", &capability));
                assert_true(kb_list_find_string(row, "granted", &granted));
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s %s", n ? ", " : "", path,
                                      capability, granted);
        }
        return text;
}

/* mount NULL: nobody is asked for it; type NULL: the server does not tell. */
static const struct {
        const char *path, *method, *mount, *type;
        const char *asks; /* paths; NULL: nothing is needed */
        const char *first;
} needed[] = {
        {"", "", NULL, NULL, "\"auth/token/lookup-self\",\"auth/token/renew-self\"",
         "auth/token/lookup-self read"},
        {"kv/a/b", "", "kv/", "kv 2", "\"kv/data/a/b\"", "kv/data/a/b read"},
        {"team/kv/a", "", "team/kv/", "kv 2", "\"team/kv/data/a\"", "team/kv/data/a read"},
        {"old/a", "", "old/", "kv 1", "\"old/a\"", "old/a read"},
        {"db/creds/a", "", "db/", "database", "\"db/creds/a\"" LEASES, "db/creds/a read"},
        {"db/static-creds/a", "", "db/", "database", "\"db/static-creds/a\"", "db/static-creds/a read"},
        {"db/static-creds/a", "rotate", "db/", "database", "\"db/static-creds/a\",\"db/rotate-role/a\"",
         "db/static-creds/a read"},
        {"x/issue/a", "", "x/", "pki", "\"x/issue/a\"" LEASES, "x/issue/a update"},
        {"x/sign/a", "", "x/", "pki", "\"x/sign/a\"" LEASES, "x/sign/a update"},
        {"ssh/sign/a", "", "ssh/", "ssh", "\"ssh/sign/a\"", "ssh/sign/a update"},
        {"totp/code/a", "", "totp/", "totp", "\"totp/code/a\"", "totp/code/a read"},
        {"t/decrypt/a", "", "t/", "transit", "\"t/decrypt/a\"", "t/decrypt/a update"},
        {"rabbit/creds/a", "", "rabbit/", "rabbitmq", "\"rabbit/creds/a\"" LEASES, "rabbit/creds/a read"},
        {"aws/sts/a", "write", "aws/", "aws", "\"aws/sts/a\"" LEASES, "aws/sts/a update"},
        {"auth/approle/role/r/role-id", "", NULL, NULL, "\"auth/approle/role/r/role-id\"" LEASES,
         "auth/approle/role/r/role-id read"},
        {"sys/wrapping/unwrap", "", NULL, NULL, NULL, ""},
        /* told by the names alone */
        {"kv/a/b", "", "kv/", NULL, "\"kv/data/a/b\"", "kv/data/a/b read"},
        {"db/creds/a", "", "db/", NULL, "\"db/creds/a\"" LEASES, "db/creds/a read"},
        {"x/issue/a", "", "x/", NULL, "\"x/issue/a\"" LEASES, "x/issue/a update"},
};

static void each_sort_of_secret_needs_its_lines(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(needed); i++) {
                _cleanup_request_ struct kb_request q;
                char expected[1024];

                bench_setup(NULL);
                look(&q, needed[i].path, needed[i].method);
                if (needed[i].type) {
                        answer_mount(needed[i].path, needed[i].mount, needed[i].type);
                } else if (needed[i].mount) {
                        answer(403, "{\"errors\":[\"permission denied\"]}");
                        bench.judged(KB_E_DENIED, bench.judged_userdata);
                }
                if (needed[i].asks) {
                        snprintf(expected, sizeof(expected), "{\"paths\":[%s]}", needed[i].asks);
                        assert_string_equal(expect_call(SELF)->body, expected);
                        answer(200, "{\"data\":{}}");
                }
                assert_memory_equal(rows(&q), needed[i].first, strlen(needed[i].first));
                bench_teardown(NULL);
        }
}

static void a_host_whose_directory_comes_from_there_has_to_read_it(void **state)
{
        _cleanup_request_ struct kb_request q = {.verb = KB_VERB_store_admin};

        kb_engines_permissions(
                bench.engines, &q,
                &(struct kb_permissions_of){
                        .path = "", .method = "", .mount = "team/kv", .folder = "keybearer/directory"});
        expect_call(SELF);
        answer(200, "{\"data\":{\"team/kv/data/keybearer/directory/*\":[\"read\"]}}");
        assert_non_null(strstr(rows(&q), "team/kv/data/keybearer/directory/* read yes"));
}

static const struct {
        const char *json, *rows;
} answered[] = {
        {"{\"data\":{\"t/decrypt/a\":[\"update\"]}}", "t/decrypt/a update yes"},
        {"{\"data\":{\"t/decrypt/a\":[\"create\"]}}", "t/decrypt/a update yes"},
        {"{\"data\":{\"t/decrypt/a\":[\"root\"]}}", "t/decrypt/a update yes"},
        {"{\"data\":{\"t/decrypt/a\":[\"read\",\"update\"]}}", "t/decrypt/a update yes"},
        {"{\"data\":{\"t/decrypt/a\":[\"read\",\"list\"]}}", "t/decrypt/a update no"},
        {"{\"data\":{\"t/decrypt/a\":[\"deny\"]}}", "t/decrypt/a update no"},
        {"{\"data\":{\"t/decrypt/a\":[7,null,{}]}}", "t/decrypt/a update no"},
        {"{\"data\":{\"t/decrypt/a\":\"update\"}}", "t/decrypt/a update no"},
        {"{\"data\":{\"capabilities\":[\"update\"]}}", "t/decrypt/a update no"},
        {"{}", "t/decrypt/a update no"},
};

static void only_what_the_server_says_is_granted(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(answered); i++) {
                _cleanup_request_ struct kb_request q;

                bench_setup(NULL);
                look(&q, "t/decrypt/a", "");
                answer_mount("t/decrypt/a", "t/", "transit");
                answer(200, answered[i].json);
                assert_string_equal(rows(&q), answered[i].rows);
                bench_teardown(NULL);
        }
}

static void who_may_not_even_ask_lacks_that_line(void **state)
{
        _cleanup_request_ struct kb_request q;

        look(&q, "t/decrypt/a", "");
        answer_mount("t/decrypt/a", "t/", "transit");
        answer(403, "{\"errors\":[\"permission denied\"]}");
        bench.judged(KB_E_DENIED, bench.judged_userdata);
        assert_string_equal(rows(&q), "sys/capabilities-self update no");
}

static void without_an_answer_nothing_is_said_about_policies(void **state)
{
        for (unsigned second = 0; second < 2; second++) {
                _cleanup_request_ struct kb_request q;

                look(&q, "t/decrypt/a", "");
                if (second)
                        answer_mount("t/decrypt/a", "t/", "transit");
                answer(503, "{\"errors\":[\"sealed\"]}");
                assert_int_equal(q.error, KB_E_SEALED);
                assert_string_equal(q.text, "t/decrypt/a: sealed");
        }
}

static void what_cannot_be_asked_is_refused(void **state)
{
        _cleanup_request_ struct kb_request bad, away, silly;

        look(&bad, "../x", "");
        assert_int_equal(bad.error, KB_E_BAD_REQUEST);
        bench.start_error = -ENOMEM;
        look(&away, "kv/a", "");
        assert_int_equal(away.answers, 1);
        assert_true(away.error != KB_E_OK);
        bench.start_error = 0;
        look(&silly, "kv/a", "");
        answer(200, "{\"data\":{\"path\":\"other/\",\"type\":\"kv\"}}");
        assert_int_equal(silly.error, KB_E_INTERNAL);
}

static void the_end_of_the_store_asks_no_more(void **state)
{
        _cleanup_request_ struct kb_request q;

        look(&q, "kv/a", "");
        assert_false(kb_engines_idle(bench.engines));
        kb_permissions_free(bench.engines);
        assert_int_equal(bench.canceled, 1);
        assert_int_equal(q.answers, 0);
        assert_true(kb_engines_idle(bench.engines));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_sort_of_secret_needs_its_lines),
                cmocka_unit_test(only_what_the_server_says_is_granted),
                TEST(a_host_whose_directory_comes_from_there_has_to_read_it),
                TEST(who_may_not_even_ask_lacks_that_line),
                TEST(without_an_answer_nothing_is_said_about_policies),
                TEST(what_cannot_be_asked_is_refused),
                TEST(the_end_of_the_store_asks_no_more),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
