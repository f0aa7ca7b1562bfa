/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says, read strictly: JSON, the envelope, paths, addresses, and the bodies that we send. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "helper/store/vault/address.h"
#include "helper/store/vault/api.h"
#include "helper/store/vault/body.h"

static struct kb_json *parsed(const char *text)
{
        struct kb_json *json = NULL;

        assert_ok(kb_json_parse(KB_SPAN_STRING(text), &json));
        return json;
}

static void what_is_no_json_is_refused(void **state)
{
        static const char *const texts[] = {
                "",
                " ",
                "{",
                "}",
                "{]",
                "[1,]",
                "{,}",
                "{\"a\":1,}",
                "{\"a\"}",
                "{\"a\":}",
                "{a:1}",
                "{'a':1}",
                "nul",
                "nulll",
                "NaN",
                "Infinity",
                "-Infinity",
                "TRUE",
                "01",
                "+1",
                "-",
                "1.",
                ".5",
                "1e",
                "0x1",
                "1 2",
                "{} {}",
                "{}x",
                "/* c */ {}",
                "{} // c",
                "\"",
                "\"\\",
                "\"\\x\"",
                "\"\\u12\"",
                "\"\\u12g4\"",
                "\"\t\"",
                "\"\n\"",
                "[1 2]",
                "{\"a\" 1}",
                "\"\\ud800\"",
                "\"\\udc00\"",
                "\"\\ud800\\u0041\"",
                "\"\xff\"",
                "\"\xc0\x80\"",
                "\"\xed\xa0\x80\"",
                "{\"\xff\":1}",
                "\xef\xbb\xbf{}",
                "1234567890123456789", /* could be changed by whoever counts in 64 bits or in doubles */
        };
        struct kb_json *json = NULL;

        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++)
                if (kb_json_parse(KB_SPAN_STRING(texts[i]), &json) != -EBADMSG)
                        fail_msg("taken for JSON: %s", texts[i]);
        assert_int_equal(kb_json_parse(KB_SPAN("{}\0", 3), &json), -EBADMSG);
        assert_int_equal(kb_json_parse(KB_SPAN("\"\0\"", 3), &json), -EBADMSG);
        assert_null(json);
}

static void what_is_json_is_read_and_written_as_it_was(void **state)
{
        static const char *const texts[][2] = {
                {"{}", "{}"},
                {" [ ] \r\n", "[]"},
                {"true", "true"},
                {"false", "false"},
                {"-0.5e+10", "-0.5e+10"},
                {"123456789012345678", "123456789012345678"},
                {"-42 ", "-42"},
                {"0", "0"},
                {"[null,{\"b\":[1,2.50,\"\\u0000\\\"x\"]},[]]",
                 "[null,{\"b\":[1,2.50,\"\\u0000\\\"x\"]},[]]"},
                {"{\"z\":1,\"a\":{\"z\":1}}\n", "{\"z\":1,\"a\":{\"z\":1}}"},
                {"[\"\\ud83d\\ude00\\/\"]", "[\"\xf0\x9f\x98\x80/\"]"},
                {"123456789012345678901234567890.5", "123456789012345678901234567890.5"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++) {
                _cleanup_(kb_json_freep) struct kb_json *json = parsed(texts[i][0]);
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);

                assert_ok(kb_json_write(kb_json_root(json), &w));
                kb_write_raw(&w, KB_SPAN("", 1));
                assert_string_equal((const char *)w.data, texts[i][1]);
        }
}

static void a_name_comes_once_and_has_no_nul(void **state)
{
        static const char *const texts[] = {
                "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"x\":[{\"a\":{},\"a\":{}}]}",
                "{\"\":1,\"\":1}",   "{\"a\\u0000\":1}",        "{\"a\":1,\"a\\u0000b\":2}",
        };
        struct kb_json *json = NULL;

        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++)
                assert_int_equal(kb_json_parse(KB_SPAN_STRING(texts[i]), &json), -EBADMSG);
        kb_json_free(
                parsed("{\"a\":{\"a\":1},\"b\":{\"a\":\"\\u0000\"}}")); /* not the same object, not a name */
}

static void depth_and_number_of_values_are_bounded(void **state)
{
        static char text[2 * KB_JSON_VALUES + 10];
        struct kb_json *json = NULL;

        memset(text, '[', KB_JSON_DEPTH);
        memset(text + KB_JSON_DEPTH, ']', KB_JSON_DEPTH);
        kb_json_free(parsed(text));
        memset(text, '[', 10000); /* nobody is led astray by what comes after the bound */
        assert_int_equal(kb_json_parse(KB_SPAN(text, 10000), &json), -E2BIG);
        text[0] = '[';
        for (size_t i = 0; i < KB_JSON_VALUES; i++)
                memcpy(text + 1 + 2 * i, "1,", 2);
        text[2 * (KB_JSON_VALUES - 1)] = ']';
        assert_ok(kb_json_parse(KB_SPAN(text, 2 * (KB_JSON_VALUES - 1) + 1), &json));
        assert_int_equal(kb_json_count(kb_json_root(json)), KB_JSON_VALUES - 1);
        kb_json_free(take_ptr(json));
        memcpy(text + 2 * (KB_JSON_VALUES - 1), ",1]", 3);
        assert_int_equal(kb_json_parse(KB_SPAN(text, 2 * (KB_JSON_VALUES - 1) + 3), &json), -E2BIG);
}

/* The example of RFC 6901, section 5. */
static void pointers_are_those_of_rfc_6901(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *json = parsed(
                "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,"
                "\"k\\\"l\":6,\" \":7,\"m~n\":8,\"none\":null}");
        static const struct {
                const char *pointer;
                int result, number;
        } rows[] = {
                {"/", 0, 0},
                {"/a~1b", 0, 1},
                {"/c%d", 0, 2},
                {"/e^f", 0, 3},
                {"/g|h", 0, 4},
                {"/i\\j", 0, 5},
                {"/k\"l", 0, 6},
                {"/ ", 0, 7},
                {"/m~0n", 0, 8},
                {"foo", -EINVAL, 0},
                {"/m~2n", -EINVAL, 0},
                {"/m~", -EINVAL, 0},
                {"/no", -ENOENT, 0},
                {"/none", -ENOENT, 0},
                {"/a~1b/x", -ENOENT, 0},
                {"/foo/2", -ENOENT, 0},
                {"/foo/-", -ENOENT, 0},
                {"/foo/01", -ENOENT, 0},
                {"/foo/", -ENOENT, 0},
                {"/foo/4294967296", -ENOENT, 0},
        };
        const struct kb_json_value *value = NULL;
        const char *text = NULL;
        int64_t number;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                number = -1;
                assert_int_equal(kb_json_at(kb_json_root(json), rows[i].pointer, &value), rows[i].result);
                if (rows[i].result == 0) {
                        assert_ok(kb_json_integer(value, 0, 8, &number));
                        assert_int_equal(number, rows[i].number);
                }
        }
        assert_ok(kb_json_at(kb_json_root(json), "", &value));
        assert_ptr_equal(value, kb_json_root(json));
        assert_ok(kb_json_at(kb_json_root(json), "/foo/1", &value));
        assert_ok(kb_json_text(value, &text));
        assert_string_equal(text, "baz");
}

static void a_value_is_read_as_what_it_is_and_as_nothing_else(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *json =
                parsed("{\"n\":null,\"f\":true,\"i\":-5,\"d\":3600.0,\"s\":\"a\\u0000b\",\"t\":\"t\",\"l\":["
                       "1],\"o\":{}}");
        static const struct {
                const char *name;
                enum kb_json_type type;
                int string, text, flag, integer;
        } rows[] = {
                {"missing", KB_JSON_ABSENT, -ENOENT, -ENOENT, -ENOENT, -ENOENT},
                {"n", KB_JSON_ABSENT, -ENOENT, -ENOENT, -ENOENT, -ENOENT},
                {"f", KB_JSON_FLAG, -EPROTOTYPE, -EPROTOTYPE, 0, -EPROTOTYPE},
                {"i", KB_JSON_NUMBER, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE, 0},
                {"d", KB_JSON_NUMBER, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE},
                {"s", KB_JSON_STRING, 0, -EBADMSG, -EPROTOTYPE, -EPROTOTYPE},
                {"t", KB_JSON_STRING, 0, 0, -EPROTOTYPE, -EPROTOTYPE},
                {"l", KB_JSON_LIST, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE},
                {"o", KB_JSON_OBJECT, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE, -EPROTOTYPE},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                const struct kb_json_value *value = kb_json_get(kb_json_root(json), rows[i].name);
                struct kb_span string;
                const char *text;
                uint8_t *copy = NULL;
                size_t size = 0;
                bool flag;
                int64_t number;

                assert_int_equal(kb_json_type(value), rows[i].type);
                assert_int_equal(kb_json_string(value, &string), rows[i].string);
                assert_int_equal(kb_json_text(value, &text), rows[i].text);
                assert_int_equal(kb_json_flag(value, &flag), rows[i].flag);
                assert_int_equal(kb_json_integer(value, -5, 5, &number), rows[i].integer);
                assert_int_equal(kb_json_take(value, &copy, &size), rows[i].string);
                assert_true(!copy || (size == string.size && memcmp(copy, string.data, size) == 0));
                kb_secret_free(copy);
        }
        assert_null(kb_json_get(kb_json_get(kb_json_root(json), "l"), "n"));
        assert_null(kb_json_element(kb_json_root(json), 0));
        assert_null(kb_json_element(kb_json_get(kb_json_root(json), "l"), 1));
        assert_int_equal(kb_json_count(kb_json_root(json)), 8);
        assert_int_equal(kb_json_count(NULL), 0);
}

static void an_integer_out_of_its_range_is_refused(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *json = parsed("[-1, 0, 5, 6, 999999999999999999]");
        static const int results[] = {-ERANGE, 0, 0, -ERANGE, -ERANGE};
        int64_t number;

        for (size_t i = 0; i < KB_ARRAY_SIZE(results); i++)
                assert_int_equal(kb_json_integer(kb_json_element(kb_json_root(json), i), 0, 5, &number),
                                 results[i]);
}

static void members_come_in_the_order_of_the_text(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *json =
                parsed("{\"z\":1,\"none\":null,\"a\":2,\"last\":null}");
        struct kb_json_each each = {0};
        const struct kb_json_value *value;
        const char *name;
        char seen[10] = "";

        while (kb_json_next(kb_json_root(json), &each, &name, &value))
                strcat(seen, name); /* two of one letter */
        assert_string_equal(seen, "za");
        assert_false(kb_json_next(kb_json_root(json), &each, &name, &value));
        each = (struct kb_json_each){0};
        assert_false(kb_json_next(NULL, &each, &name, &value));
}

/* --- the envelope --- */

static void an_envelope_is_read_with_what_it_has(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *json = parsed(
                "{\"request_id\":\"r\",\"lease_id\":\"database/creds/o/1\",\"renewable\":true,"
                "\"lease_duration\":3600,\"data\":{\"username\":\"u\"},\"wrap_info\":null,\"warnings\":null,"
                "\"auth\":{\"client_token\":\"s.x\",\"accessor\":\"acc\",\"token_type\":\"service\","
                "\"lease_duration\":60,\"renewable\":true,\"num_uses\":0,\"policies\":[\"p\"],"
                "\"metadata\":null,\"mfa_requirement\":null}}");
        struct kb_api_envelope e;
        const char *part = NULL;

        assert_ok(kb_api_envelope(kb_json_root(json), &e, &part));
        assert_string_equal(e.lease_id, "database/creds/o/1");
        assert_int_equal(e.lease_duration, 3600);
        assert_true(e.renewable && e.has_auth && !e.has_wrap && e.data && !e.warnings && !e.errors);
        assert_string_equal(e.auth.client_token, "s.x");
        assert_string_equal(e.auth.token_type, "service");
        assert_string_equal(e.auth.entity_id, "");
        assert_int_equal(e.auth.lease_duration, 60);
        assert_true(e.auth.renewable && !e.auth.orphan && !e.auth.metadata && !e.auth.mfa_requirement);
        assert_int_equal(kb_json_count(e.auth.policies), 1);
}

static void an_envelope_with_a_wrong_part_is_refused_by_its_name(void **state)
{
        static const char *const rows[][2] = {
                {"[]", "answer"},
                {"null", "answer"},
                {"{\"lease_id\":5}", "lease_id"},
                {"{\"lease_id\":\"a\\u0000b\"}", "lease_id"},
                {"{\"lease_duration\":-1}", "lease_duration"},
                {"{\"lease_duration\":\"1h\"}", "lease_duration"},
                {"{\"lease_duration\":1.5}", "lease_duration"},
                {"{\"lease_duration\":999999999999999999}", "lease_duration"},
                {"{\"renewable\":\"yes\"}", "renewable"},
                {"{\"data\":[]}", "data"},
                {"{\"warnings\":\"w\"}", "warnings"},
                {"{\"errors\":{}}", "errors"},
                {"{\"auth\":[]}", "auth"},
                {"{\"auth\":{}}", "client_token"},
                {"{\"auth\":{\"client_token\":\"\"}}", "client_token"},
                {"{\"auth\":{\"client_token\":\"t\",\"lease_duration\":-5}}", "lease_duration"},
                {"{\"auth\":{\"client_token\":\"t\",\"policies\":{}}}", "policies"},
                {"{\"wrap_info\":{}}", "wrap_info"},
                {"{\"wrap_info\":{\"token\":\"t\",\"ttl\":\"5m\"}}", "ttl"},
        };
        struct kb_api_envelope e = {.lease_id = "untouched"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_(kb_json_freep) struct kb_json *json = parsed(rows[i][0]);
                const char *part = "";

                assert_int_equal(kb_api_envelope(kb_json_root(json), &e, &part), -EBADMSG);
                assert_string_equal(part, rows[i][1]);
        }
        assert_string_equal(e.lease_id, "untouched");
}

static void a_login_that_wants_a_second_factor_is_an_envelope_too(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *login =
                parsed("{\"auth\":{\"client_token\":\"\",\"mfa_requirement\":{\"mfa_request_id\":\"1\"}}}");
        _cleanup_(kb_json_freep) struct kb_json *wrapped =
                parsed("{\"wrap_info\":{\"token\":\"w\",\"ttl\":300,\"creation_path\":\"auth/approle/role/r/"
                       "secret-id\"}}");
        struct kb_api_envelope e;
        const char *part;

        assert_ok(kb_api_envelope(kb_json_root(login), &e, &part));
        assert_true(e.has_auth && e.auth.mfa_requirement);
        assert_ok(kb_api_envelope(kb_json_root(wrapped), &e, &part));
        assert_true(e.has_wrap && !e.has_auth);
        assert_int_equal(e.wrap.ttl, 300);
        assert_string_equal(e.wrap.creation_path, "auth/approle/role/r/secret-id");
}

static void what_went_wrong_is_one_line_and_repeats_no_secret(void **state)
{
        static const char *const rows[][2] = {
                {"{\"errors\":[\"permission denied\"]}", "permission denied"},
                {"{\"errors\":[\"2 errors occurred:\\n\\t* a\\n\\t* b\\n\",\"more\"]}",
                 "2 errors occurred:  * a  * b ; more"},
                {"{\"errors\":[]}", ""},
                {"{}", ""},
                {"{\"errors\":[5,\"x\"]}", "x"},
                {"{\"errors\":[\"no user hunter2 here\",\"y\"]}",
                 "(a text that repeats what it was sent); y"},
                {"{\"errors\":[\"\\u001b[31mred\"]}", " [31mred"},
        };
        const struct kb_span secrets[] = {KB_SPAN("", 0), KB_SPAN_STRING("hunter2")};
        struct kb_api_envelope e;
        const char *part;
        char text[64];

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_(kb_json_freep) struct kb_json *json = parsed(rows[i][0]);

                assert_ok(kb_api_envelope(kb_json_root(json), &e, &part));
                kb_api_errors(&e, secrets, KB_ARRAY_SIZE(secrets), text, sizeof(text));
                assert_string_equal(text, rows[i][1]);
        }
}

static void what_went_wrong_is_cut_between_characters(void **state)
{
        _cleanup_(kb_json_freep) struct kb_json *json =
                parsed("{\"errors\":[\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"]}");
        struct kb_api_envelope e;
        const char *part;
        char text[6];

        assert_ok(kb_api_envelope(kb_json_root(json), &e, &part));
        kb_api_errors(&e, NULL, 0, text, sizeof(text));
        assert_string_equal(text, "\xc3\xa4\xc3\xa4");
}

/* --- paths --- */

static void a_segment_from_outside_stays_one_segment(void **state)
{
        static const struct {
                const char *segment;
                int result;
                const char *text;
        } rows[] = {
                {"ana", 0, "auth/ldap/login/ana"},
                {"a b%?#&", 0, "auth/ldap/login/a%20b%25%3F%23%26"},
                {"\xc3\xa4", 0, "auth/ldap/login/%C3%A4"},
                {"...a", 0, "auth/ldap/login/...a"},
                {"", -EINVAL, NULL},
                {".", -EINVAL, NULL},
                {"..", -EINVAL, NULL},
                {"ana.", -EINVAL, NULL},
                {"a/b", -EINVAL, NULL},
                {"/", -EINVAL, NULL},
                {"a\nb", -EINVAL, NULL},
                {"a\x7f", -EINVAL, NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_path p = kb_path_init("auth/ldap/login");

                kb_path_one(&p, rows[i].segment);
                kb_path_one(&p, "x"); /* an error stays */
                assert_int_equal(kb_path_end(&p), rows[i].result);
                if (rows[i].result == 0) {
                        assert_memory_equal(p.text, rows[i].text, strlen(rows[i].text));
                        assert_string_equal(p.text + strlen(rows[i].text), "/x");
                }
        }
}

static void a_path_of_an_administrator_is_several(void **state)
{
        struct kb_path p = kb_path_init(""), long_one = kb_path_init("");
        static const char *const bad[] = {"", "/", "a//b", "a/../b", "a/./b", "a/b./c", "..", "a/\t"};

        kb_path_many(&p, "/team/database/");
        kb_path_fixed(&p, "creds");
        kb_path_many(&p, "or ders");
        kb_path_query(&p, "version", "3");
        kb_path_query(&p, "a&b", "=");
        assert_int_equal(kb_path_end(&p), 0);
        assert_string_equal(p.text, "team/database/creds/or%20ders?version=3&a%26b=%3D");
        kb_path_one(&p, "late"); /* behind a query nothing can stand */
        assert_int_equal(kb_path_end(&p), -EINVAL);
        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                struct kb_path q = kb_path_init("");

                kb_path_many(&q, bad[i]);
                assert_int_equal(kb_path_end(&q), -EINVAL);
        }
        for (int i = 0; i < KB_PATH_MAX; i++)
                kb_path_one(&long_one, "\xc3\xa4");
        assert_int_equal(kb_path_end(&long_one), -ENAMETOOLONG);
        p = kb_path_init("sys/health");
        kb_path_query(&p, "a", "b");
        kb_path_fixed(&p, "c");
        assert_int_equal(kb_path_end(&p), -EINVAL);
}

/* --- bodies --- */

static void a_body_is_json(void **state)
{
        _cleanup_body_ struct kb_body b = kb_body_init();

        kb_body_text(&b, "role\"", "r\n");
        kb_body_bytes(&b, "bytes", KB_SPAN("a\0b", 3));
        kb_body_open(&b, "options");
        kb_body_number(&b, "cas", -1);
        kb_body_flag(&b, "on", true);
        kb_body_open_list(&b, "list");
        kb_body_text(&b, NULL, "x");
        kb_body_open(&b, NULL);
        kb_body_close(&b);
        kb_body_close(&b);
        kb_body_close(&b);
        kb_body_flag(&b, "off", false);
        assert_ok(kb_body_end(&b));
        kb_write_raw(&b.writer, KB_SPAN("", 1));
        assert_string_equal((const char *)b.writer.data,
                            "{\"role\\\"\":\"r\\n\",\"bytes\":\"a\\u0000b\",\"options\":{\"cas\":-1,\"on\":"
                            "true,\"list\":[\"x\",{}]},\"off\":false}");
}

static void put_no_name_in(struct kb_body *b)
{
        kb_body_text(b, NULL, "x");
}

static void put_a_name_into_a_list(struct kb_body *b)
{
        kb_body_open_list(b, "l");
        kb_body_text(b, "name", "x");
        kb_body_close(b);
}

static void put_what_is_not_utf8(struct kb_body *b)
{
        kb_body_text(b, "a", "\xff");
}

static void close_too_much(struct kb_body *b)
{
        kb_body_close(b);
}

static void leave_it_open(struct kb_body *b)
{
        kb_body_open(b, "a");
}

static void go_too_deep(struct kb_body *b)
{
        for (int i = 0; i < KB_BODY_DEPTH; i++)
                kb_body_open(b, "a");
        for (int i = 0; i < KB_BODY_DEPTH; i++)
                kb_body_close(b);
}

static void a_body_that_is_put_together_wrongly_is_refused(void **state)
{
        void (*const rows[])(struct kb_body *) = {
                put_no_name_in, put_a_name_into_a_list, put_what_is_not_utf8,
                close_too_much, leave_it_open,          go_too_deep,
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_body_ struct kb_body b = kb_body_init();

                rows[i](&b);
                assert_int_equal(kb_body_end(&b), -EBADMSG);
        }
        for (int i = 0; i < 1; i++) {
                _cleanup_body_ struct kb_body b = kb_body_init();
                _cleanup_secret_ char *large = kb_secret_alloc(KB_BODY_MAX);

                memset(large, 'x', KB_BODY_MAX);
                kb_body_bytes(&b, "a", KB_SPAN(large, KB_BODY_MAX));
                assert_int_equal(kb_body_end(&b), -EMSGSIZE);
        }
}

/* --- addresses --- */

static void an_address_is_a_scheme_a_host_and_a_port(void **state)
{
        static const struct {
                const char *text;
                bool plain;
                const char *url; /* NULL: refused */
        } rows[] = {
                {"https://bao-1.Example", false, "https://bao-1.example:8200"},
                {"HTTPS://bao:443/", false, "https://bao:443"},
                {"https://10.0.0.1:8200", false, "https://10.0.0.1:8200"},
                {"https://[2001:DB8::1]:8200", false, "https://[2001:db8::1]:8200"},
                {"http://127.0.0.1:8200", true, "http://127.0.0.1:8200"},
                {"http://127.9.9.9", true, "http://127.9.9.9:8200"},
                {"http://[::1]", true, "http://[::1]:8200"},
                {"http://localhost:1", true, "http://localhost:1"},
                {"unix:/run/openbao/api.sock", true, "http://localhost"},
                {"http://127.0.0.1:8200", false, NULL},
                {"unix:/run/openbao/api.sock", false, NULL},
                {"http://10.0.0.1:8200", true, NULL},
                {"http://localhost.example", true, NULL},
                {"http://127.example", true, NULL},
                {"http://[::2]", true, NULL},
                {"vault:8200", true, NULL},
                {"ftp://vault", true, NULL},
                {"", true, NULL},
                {"https://", true, NULL},
                {"https://:8200", true, NULL},
                {"https://bao:", true, NULL},
                {"https://bao:0", true, NULL},
                {"https://bao:65536", true, NULL},
                {"https://bao:8200x", true, NULL},
                {"https://bao:+1", true, NULL},
                {"https://bao/v1", true, NULL},
                {"https://bao?x", true, NULL},
                {"https://bao@bao", true, NULL},
                {"https://bao:pw@bao", true, NULL},
                {"https://-bao", true, NULL},
                {"https://1..2", true, NULL},
                {"https://[::1", true, NULL},
                {"https://[x]", true, NULL},
                {"https://[::1]x", true, NULL},
                {"https://bao x", true, NULL},
                {"https://bao%75", true, NULL},
                {"unix:run/x", true, NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct kb_address address;
                struct kb_problem problem;
                char url[300] = "";

                if (kb_address_parse(rows[i].text, rows[i].plain, &address, &problem) == KB_E_OK)
                        kb_address_url(&address, url, sizeof(url));
                else
                        assert_true(problem.error == KB_E_BAD_REQUEST && problem.text[0]);
                assert_string_equal(url, rows[i].url ? rows[i].url : "");
        }
}

static void a_host_that_is_too_long_is_no_address(void **state)
{
        char text[400] = "https://";
        struct kb_address address;
        struct kb_problem problem;

        memset(text + 8, 'a', 253);
        assert_int_equal(kb_address_parse(text, false, &address, &problem), KB_E_OK);
        text[8 + 253] = 'a';
        assert_int_equal(kb_address_parse(text, false, &address, &problem), KB_E_BAD_REQUEST);
        snprintf(text, sizeof(text), "unix:/%0200d", 0);
        assert_int_equal(kb_address_parse(text, true, &address, &problem), KB_E_BAD_REQUEST);
}

static void a_redirect_means_one_of_our_addresses_or_nobody(void **state)
{
        static const char *const ours[] = {"https://bao-1:8200", "https://BAO-2", "http://127.0.0.1:8300",
                                           "https://[::1]:8200", "unix:/run/x"};
        static const struct {
                const char *location;
                int index;
        } rows[] = {
                {"https://bao-1:8200/v1/sys/health?x=1", 0},
                {"https://Bao-2:8200", 1},
                {"https://bao-2/v1/x", 1},
                {"http://127.0.0.1:8300/v1", 2},
                {"https://[::1]:8200/", 3},
                {"http://bao-1:8200/v1/x", -1}, /* never from https to http */
                {"https://127.0.0.1:8300/v1", -1},
                {"https://bao-1:8201/v1/x", -1},
                {"https://bao-1:8200@evil.example/v1/x", -1},
                {"https://bao-1:8200.evil.example/", -1},
                {"https://evil.example/bao-1:8200", -1},
                {"//bao-1:8200/v1/x", -1},
                {"/v1/x", -1},
                {"", -1},
                {"unix:/run/x", -1},
                {"https://", -1},
        };
        struct kb_address addresses[KB_ARRAY_SIZE(ours)];
        struct kb_problem problem;
        char text[300];

        for (size_t i = 0; i < KB_ARRAY_SIZE(ours); i++)
                assert_int_equal(kb_address_parse(ours[i], true, &addresses[i], &problem), KB_E_OK);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                assert_int_equal(kb_address_find(addresses, KB_ARRAY_SIZE(ours), rows[i].location),
                                 rows[i].index);
        kb_address_text(&addresses[4], text, sizeof(text));
        assert_string_equal(text, "unix:/run/x");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_no_json_is_refused),
                cmocka_unit_test(what_is_json_is_read_and_written_as_it_was),
                cmocka_unit_test(a_name_comes_once_and_has_no_nul),
                cmocka_unit_test(depth_and_number_of_values_are_bounded),
                cmocka_unit_test(pointers_are_those_of_rfc_6901),
                cmocka_unit_test(a_value_is_read_as_what_it_is_and_as_nothing_else),
                cmocka_unit_test(an_integer_out_of_its_range_is_refused),
                cmocka_unit_test(members_come_in_the_order_of_the_text),
                cmocka_unit_test(an_envelope_is_read_with_what_it_has),
                cmocka_unit_test(an_envelope_with_a_wrong_part_is_refused_by_its_name),
                cmocka_unit_test(a_login_that_wants_a_second_factor_is_an_envelope_too),
                cmocka_unit_test(what_went_wrong_is_one_line_and_repeats_no_secret),
                cmocka_unit_test(what_went_wrong_is_cut_between_characters),
                cmocka_unit_test(a_segment_from_outside_stays_one_segment),
                cmocka_unit_test(a_path_of_an_administrator_is_several),
                cmocka_unit_test(a_body_is_json),
                cmocka_unit_test(a_body_that_is_put_together_wrongly_is_refused),
                cmocka_unit_test(an_address_is_a_scheme_a_host_and_a_port),
                cmocka_unit_test(a_host_that_is_too_long_is_no_address),
                cmocka_unit_test(a_redirect_means_one_of_our_addresses_or_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
