/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets as OpenBao answers them, read by engine, and every way in which an answer can be wrong. */
#include "tests/unit/engines.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "helper/store/vault/csr.h"
#include "helper/store/vault/ssh_certificate.h"

/* --- answers that are good --- */

static const struct {
        const char *path, *mount, *type, *method, *version, *parameters;
        const char *asks, *body;
        bool once;
        const char *json;
        const char *lease; /* how it begins */
        uint64_t ttl;
        bool renewable;
        const char *is_version, *fields;
} goods[] = {
        {"kv/orders/db", "kv/", "kv 2", .asks = "GET kv/data/orders/db",
         .json = "{\"data\":{\"data\":{\"password\":\"p "
                 "w\",\"port\":5432,\"tls\":{\"on\":true}},\"metadata\":"
                 "{\"version\":3,\"destroyed\":false,\"deletion_time\":\"\"}},\"lease_id\":\"\"}",
         .lease = "kv/orders/db@3", .is_version = "3", .fields = "password=p w port=5432 tls={\"on\":true}"},
        {"kv/orders/db", "kv/", "kv 2", .version = "2", .asks = "GET kv/data/orders/db?version=2",
         .json = "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":2}}}",
         .lease = "kv/orders/db@2", .is_version = "2", .fields = "a=b"},
        {"team/words/x", "team/words/", "kv 2", .method = "read", .asks = "GET team/words/data/x",
         .json = "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":1}}}",
         .lease = "team/words/x@1", .is_version = "1", .fields = "a=b"},
        {"old/x", "old/", "kv", .asks = "GET old/x",
         .json = "{\"lease_duration\":2764800,\"data\":{\"a\":\"b\",\"list\":[1,\"2\"]}}", .lease = "old/x@",
         .fields = "a=b list=[1,\"2\"]"},
        {"old/x", "old/", "kv 1", .asks = "GET old/x", .json = "{\"data\":{\"a\":\"b\"}}", .lease = "old/x@",
         .fields = "a=b"},
        {"database/creds/orders", "database/", "database", .asks = "GET database/creds/orders", .once = true,
         .json = "{\"lease_id\":\"database/creds/orders/aB3\",\"renewable\":true,\"lease_duration\":3600,"
                 "\"data\":{\"username\":\"v-1\",\"password\":\"s\"}}",
         .lease = "database/creds/orders/aB3#token/7", .ttl = 3600, .renewable = true,
         .fields = "username=v-1 password=s"},
        {"database/static-creds/app", "database/", "database", .asks = "GET database/static-creds/app",
         .json = "{\"data\":{\"username\":\"app\",\"password\":\"s\",\"ttl\":40,\"rotation_period\":60,"
                 "\"last_vault_rotation\":\"2026-11-21T20:00:00.5Z\"}}",
         .lease = "database/static-creds/app#record/2026-11-21T20:00:00.5Z", .ttl = 40,
         .fields = "username=app password=s"},
        {"totp/code/me", "totp/", "totp", .asks = "GET totp/code/me",
         .json = "{\"data\":{\"code\":\"123456\"}}", .lease = "totp/code/me#record/", .ttl = 30,
         .fields = "code=123456"},
        {"totp/code/me", "totp/", "totp", .asks = "GET totp/code/me",
         .json = "{\"data\":{\"code\":\"123456\",\"period\":60}}", .lease = "totp/code/me#record/",
         .ttl = 60, .fields = "code=123456"},
        {"transit/decrypt/k", "transit/", "transit", .parameters = "ciphertext=vault:v1:abc",
         .asks = "POST transit/decrypt/k", .body = "{\"ciphertext\":\"vault:v1:abc\"}",
         .json = "{\"data\":{\"plaintext\":\"aGVsbG8=\"}}", .lease = "transit/decrypt/k@",
         .fields = "plaintext=hello"},
        {"sys/wrapping/unwrap", NULL, NULL, .parameters = "token=hvs.x", .asks = "POST sys/wrapping/unwrap",
         .once = true, .json = "{\"data\":{\"a\":\"b\"}}", .lease = "sys/wrapping/unwrap@", .fields = "a=b"},
        {"auth/approle/role/r/role-id", NULL, NULL, .asks = "GET auth/approle/role/r/role-id", .once = true,
         .json = "{\"data\":{\"role_id\":\"r\"}}", .lease = "auth/approle/role/r/role-id@",
         .fields = "role_id=r"},
        {"rabbit/creds/r", "rabbit/", "rabbitmq", .asks = "GET rabbit/creds/r", .once = true,
         .json = "{\"lease_id\":\"rabbit/creds/r/x\",\"lease_duration\":60,\"data\":{\"username\":\"u\"}}",
         .lease = "rabbit/creds/r/x#token/7", .ttl = 60, .fields = "username=u"},
        {"gcp/token/r", "gcp/", "gcp", .method = "read", .parameters = "scope=a b|n=1",
         .asks = "GET gcp/token/r?scope=a%20b&n=1", .once = true, .json = "{\"data\":{\"token\":\"t\"}}",
         .lease = "gcp/token/r@", .fields = "token=t"},
        {"aws/sts/r", "aws/", "aws", .method = "write", .parameters = "ttl=1h", .asks = "POST aws/sts/r",
         .body = "{\"ttl\":\"1h\"}", .once = true,
         .json = "{\"lease_id\":\"aws/sts/r/x\",\"lease_duration\":900,\"data\":{\"access_key\":\"k\"}}",
         .lease = "aws/sts/r/x#token/7", .ttl = 900, .fields = "access_key=k"},
};

static void secrets_of_each_engine_become_fields_and_a_lease(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(goods); i++) {
                _cleanup_request_ struct kb_request q;
                char text[1024];

                bench_setup(NULL);
                ask_fetch(&q, goods[i].path, goods[i].method, goods[i].version, goods[i].parameters, "r.0");
                if (goods[i].mount)
                        answer_mount(goods[i].path, goods[i].mount, goods[i].type);
                assert_int_equal(expect_call(goods[i].asks)->once, goods[i].once);
                assert_string_equal(bench.calls[0]->body, goods[i].body ? goods[i].body : "");
                assert_string_equal(bench.calls[0]->token,
                                    strncmp(goods[i].path, "sys/", 4) ? "host-token" : "hvs.x");
                answer(200, goods[i].json);
                assert_int_equal(q.answers, 1);
                assert_string_equal(q.text, "");
                fields_text(&q, text, sizeof(text));
                assert_string_equal(text, goods[i].fields);
                assert_memory_equal(q.fetched.lease, goods[i].lease, strlen(goods[i].lease));
                assert_int_equal(q.fetched.ttl, goods[i].ttl);
                assert_int_equal(q.fetched.renewable, goods[i].renewable);
                if (goods[i].is_version)
                        assert_string_equal(q.fetched.version, goods[i].is_version);
                bench_teardown(NULL);
        }
}

/* --- answers that are bad --- */

#define LEASED(lease, duration)                                                                             \
        "{\"lease_id\":\"" lease "\",\"lease_duration\":" #duration ",\"data\":{\"username\":\"u\"}}"
#define STATIC(ttl, rotated)                                                                                \
        "{\"data\":{\"username\":\"u\",\"password\":\"p\",\"ttl\":" #ttl                                    \
        ",\"last_vault_rotation\":" rotated "}}"

static const struct {
        const char *path, *type, *version, *parameters;
        int status;
        const char *json;
        enum kb_error error;
        const char *text;       /* part of it */
        const char *takes_back; /* body of the request that takes the lease back */
} bads[] = {
        {"m/x", "kv 2", .status = 404, .json = "{\"errors\":[]}", .error = KB_E_NOT_FOUND,
         .text = "there is no secret at m/x"},
        {"m/x", "kv 2", "4", .status = 404, .json = "", .error = KB_E_NOT_FOUND,
         .text = "m/x with version 4"},
        {"m/x", "kv 2", .status = 404,
         .json = "{\"data\":{\"data\":null,\"metadata\":{\"version\":2,\"deletion_time\":\"2026-01-01T\","
                 "\"destroyed\":false}}}",
         .error = KB_E_NOT_FOUND, .text = "version 2 of m/x is deleted"},
        {"m/x", "kv 2", .status = 404,
         .json = "{\"data\":{\"data\":null,\"metadata\":{\"version\":2,\"deletion_time\":\"\",\"destroyed\":"
                 "true}}}",
         .error = KB_E_NOT_FOUND, .text = "version 2 of m/x is destroyed"},
        {"m/x", "kv 2", .status = 404,
         .json = "{\"data\":{\"metadata\":{\"version\":2,\"deletion_time\":7,\"destroyed\":\"no\"}}}",
         .error = KB_E_NOT_FOUND, .text = "version 2 of m/x is not there"},
        {"m/x", "kv 2", .status = 200, .json = "{\"data\":{\"data\":null,\"metadata\":{\"version\":1}}}",
         .error = KB_E_INTERNAL, .text = "no data with a version"},
        {"m/x", "kv 2", .status = 200, .json = "{\"data\":{\"data\":{\"a\":\"b\"}}}", .error = KB_E_INTERNAL,
         .text = "no data with a version"},
        {"m/x", "kv 2", .status = 200,
         .json = "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":-1}}}", .error = KB_E_INTERNAL,
         .text = "no data with a version"},
        {"m/x", "kv 2", .status = 200,
         .json = "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":\"1\"}}}",
         .error = KB_E_INTERNAL, .text = "no data with a version"},
        {"m/x", "kv 2", "1", .status = 200,
         .json = "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":2}}}", .error = KB_E_INTERNAL,
         .text = "another version"},
        {"m/x", "kv 2", .status = 503, .json = "", .error = KB_E_SEALED, .text = "m/x: "},
        {"m/x", "kv 2", .status = 500, .json = "", .error = KB_E_UNREACHABLE, .text = "m/x: "},
        {"m/x", "kv 1", .status = 429, .json = "", .error = KB_E_THROTTLED, .text = "m/x: "},
        {"m/x", "kv 1", .status = 200, .json = "{\"data\":{}}", .error = KB_E_INTERNAL,
         .text = "holds no data"},
        {"m/x", "kv 1", .status = 204, .json = "", .error = KB_E_INTERNAL, .text = "holds no data"},
        {"m/x", "kv 1", "3", .status = 200, .json = "{\"data\":{\"a\":\"b\"}}", .error = KB_E_NOT_FOUND,
         .text = "has no versions to choose from"},
        {"m/creds/r", "database", .status = 400, .json = "{\"errors\":[\"unknown role: r\"]}",
         .error = KB_E_BAD_REQUEST, .text = "m/creds/r: unknown role: r"},
        {"m/creds/r", "database", .status = 200,
         .json = "{\"lease_id\":\"m/creds/r/x\",\"lease_duration\":9}", .error = KB_E_INTERNAL,
         .text = "holds no data", .takes_back = "{\"lease_id\":\"m/creds/r/x\",\"sync\":true}"},
        {"m/creds/r", "database", .status = 200, .json = LEASED("m/creds/r/x", 0), .error = KB_E_INTERNAL,
         .text = "lease_duration", .takes_back = "{\"lease_id\":\"m/creds/r/x\",\"sync\":true}"},
        {"m/creds/r", "database", .status = 200, .json = LEASED("m/creds/r/a b", 9), .error = KB_E_INTERNAL,
         .text = "lease_id"},
        {"m/creds/r", "database", .status = 200, .json = LEASED("m/creds/r/x#token/9", 9),
         .error = KB_E_INTERNAL, .text = "lease_id"},
        {"m/creds/r", "database", .status = 200, .json = LEASED("m/creds/r/\\u00e4", 9),
         .error = KB_E_INTERNAL, .text = "lease_id"},
        {"m/static-creds/r", "database", .status = 200, .json = STATIC(40, "null"), .error = KB_E_INTERNAL,
         .text = "last_vault_rotation"},
        {"m/static-creds/r", "database", .status = 200, .json = STATIC(40, "7"), .error = KB_E_INTERNAL,
         .text = "last_vault_rotation"},
        {"m/static-creds/r", "database", .status = 200, .json = STATIC(40, "\"to day\""),
         .error = KB_E_INTERNAL, .text = "last_vault_rotation"},
        {"m/static-creds/r", "database", .status = 200, .json = STATIC(-1, "\"x\""), .error = KB_E_INTERNAL,
         .text = "ttl"},
        {"m/static-creds/r", "database", .status = 200, .json = STATIC(99999999999999, "\"x\""),
         .error = KB_E_INTERNAL, .text = "ttl"},
        {"m/static-creds/r", "database", .status = 200, .json = STATIC("40", "\"x\""),
         .error = KB_E_INTERNAL, .text = "ttl"},
        {"m/static-creds/r", "database", .status = 404, .json = "", .error = KB_E_NOT_FOUND,
         .text = "m/static-creds/r: "},
        {"m/code/x", "totp", .status = 200, .json = "{\"data\":{\"code\":1}}", .error = KB_E_INTERNAL,
         .text = "code"},
        {"m/code/x", "totp", .status = 400, .json = "{\"errors\":[\"unknown key: x\"]}",
         .error = KB_E_BAD_REQUEST, .text = "unknown key"},
        {"m/decrypt/k", "transit", .parameters = "ciphertext=v", .status = 200,
         .json = "{\"data\":{\"plaintext\":\"a*b\"}}", .error = KB_E_INTERNAL, .text = "plaintext"},
        {"m/decrypt/k", "transit", .parameters = "ciphertext=v", .status = 200, .json = "{\"data\":{}}",
         .error = KB_E_INTERNAL, .text = "plaintext"},
        {"m/decrypt/k", "transit", .parameters = "ciphertext=v", .status = 400,
         .json = "{\"errors\":[\"invalid ciphertext\"]}", .error = KB_E_BAD_REQUEST,
         .text = "invalid ciphertext"},
        {"m/sign/r", "ssh", .parameters = "public_key=k", .status = 200,
         .json = "{\"data\":{\"serial_number\":\"1f\",\"signed_key\":\"ssh-ed25519 AAAA\"}}",
         .error = KB_E_INTERNAL, .text = "signed_key"},
        {"m/sign/r", "ssh", .parameters = "public_key=k", .status = 200,
         .json = "{\"data\":{\"signed_key\":\"x\"}}", .error = KB_E_INTERNAL, .text = "serial_number"},
        {"m/sign/r", "ssh", .parameters = "public_key=k", .status = 400, .json = "",
         .error = KB_E_BAD_REQUEST, .text = "m/sign/r"},
        {"m/issue/r", "pki", .status = 400, .json = "{\"errors\":[\"unknown role: r\"]}",
         .error = KB_E_BAD_REQUEST, .text = "unknown role"},
        {"m/issue/r", "pki", .status = 200, .json = "{\"data\":{\"certificate\":\"x\"}}",
         .error = KB_E_INTERNAL, .text = "serial_number"},
        {"m/issue/r", "pki", .status = 200,
         .json = "{\"data\":{\"serial_number\":\"1f:2e\",\"certificate\":\"x\",\"private_key\":\"y\"}}",
         .error = KB_E_INTERNAL, .text = "belong together", .takes_back = "{\"serial_number\":\"1f:2e\"}"},
        {"m/issue/r", "pki", .status = 200,
         .json = "{\"lease_id\":\"m/issue/r/"
                 "x\",\"lease_duration\":9,\"data\":{\"serial_number\":\"1f:2e\"}}",
         .error = KB_E_INTERNAL, .text = "belong together",
         .takes_back = "{\"lease_id\":\"m/issue/r/x\",\"sync\":true}"},
};

static void an_answer_that_is_no_secret_ends_in_a_typed_error(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(bads); i++) {
                _cleanup_request_ struct kb_request q;

                bench_setup(NULL);
                ask_fetch(&q, bads[i].path, NULL, bads[i].version, bads[i].parameters, "r.0");
                answer_mount(bads[i].path, "m/", bads[i].type);
                assert_int_equal(bench.n_calls, 1);
                answer(bads[i].status, bads[i].json);
                assert_int_equal(q.answers, 1);
                if (q.error != bads[i].error || !strstr(q.text, bads[i].text))
                        fail_msg("row %zu: %d %s", i, q.error, q.text);
                assert_int_equal(bench.n_calls, bads[i].takes_back ? 1 : 0);
                assert_int_equal(kb_engines_idle(bench.engines), !bads[i].takes_back);
                if (bads[i].takes_back) {
                        assert_string_equal(bench.calls[0]->body, bads[i].takes_back);
                        assert_true(bench.calls[0]->patient);
                        answer(204, "");
                        assert_true(kb_engines_idle(bench.engines));
                }
                bench_teardown(NULL);
        }
}

/* --- what is refused before the server is asked for it --- */

static const struct {
        const char *path, *type, *method, *version, *parameters;
        enum kb_error error;
        const char *text;
} refusals[] = {
        {"../x", .error = KB_E_BAD_REQUEST, .text = "words joined by"},
        {"", .error = KB_E_BAD_REQUEST, .text = "words joined by"},
        {"m/x.", .error = KB_E_BAD_REQUEST, .text = "no path of a server"},
        {"m/x", "kv 2", .version = "x", .error = KB_E_BAD_REQUEST, .text = "a version is a number"},
        {"m/x", "kv 2", .version = "0", .error = KB_E_BAD_REQUEST, .text = "a version is a number"},
        {"m/x", "kv 2", .version = "9999999999999999999", .error = KB_E_BAD_REQUEST, .text = "a version is"},
        {"m/x", "kv 2", .parameters = "a=b", .error = KB_E_BAD_REQUEST, .text = "takes no parameters"},
        {"m/x", "kv 2", .method = "write", .error = KB_E_UNSUPPORTED, .text = "knows no Method=write"},
        {"m/x", "kv 2", .method = "rea", .error = KB_E_UNSUPPORTED, .text = "knows no Method=rea"},
        {"m/creds/r", "database", .parameters = "a=b", .error = KB_E_BAD_REQUEST,
         .text = "takes no parameters"},
        {"m/creds/r", "database", .version = "1", .error = KB_E_BAD_REQUEST, .text = "has no versions"},
        {"m/static-creds/r", "database", .parameters = "a=b", .error = KB_E_BAD_REQUEST,
         .text = "takes no parameters"},
        {"m/sign/r", "pki", .parameters = "csr=x", .error = KB_E_BAD_REQUEST, .text = "made here"},
        {"m/sign/r", "ssh", .error = KB_E_BAD_REQUEST, .text = "Param.public_key="},
        {"m/code/x", "totp", .parameters = "a=b", .error = KB_E_BAD_REQUEST, .text = "takes no parameters"},
        {"m/decrypt/k", "transit", .error = KB_E_BAD_REQUEST, .text = "Param.ciphertext="},
        {"sys/wrapping/unwrap", .error = KB_E_BAD_REQUEST, .text = "Param.token="},
        {"sys/wrapping/unwrap", .parameters = "token=", .error = KB_E_BAD_REQUEST, .text = "Param.token="},
        {"m/any", "other", .method = "list", .error = KB_E_UNSUPPORTED, .text = "knows no Method=list"},
};

static void what_makes_no_sense_is_not_asked_of_a_server(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(refusals); i++) {
                _cleanup_request_ struct kb_request q;

                bench_setup(NULL);
                ask_fetch(&q, refusals[i].path, refusals[i].method, refusals[i].version,
                          refusals[i].parameters, "r.0");
                if (refusals[i].type)
                        answer_mount(refusals[i].path, "m/", refusals[i].type);
                if (q.answers != 1 || q.error != refusals[i].error || !strstr(q.text, refusals[i].text))
                        fail_msg("row %zu: %d %s", i, q.error, q.text);
                assert_int_equal(bench.n_calls, 0);
                assert_true(kb_engines_idle(bench.engines));
                bench_teardown(NULL);
        }
}

/* --- mounts --- */

static void a_mount_is_asked_for_once(void **state)
{
        _cleanup_request_ struct kb_request a, b, c;

        ask_fetch(&a, "kv/a", NULL, NULL, NULL, "r.0");
        answer_mount("kv/a", "kv/", "kv 2");
        expect_call("GET kv/data/a");
        answer(200, "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":1}}}");
        ask_fetch(&b, "kv/b", NULL, NULL, NULL, "r.1");
        expect_call("GET kv/data/b");
        answer(200, "{\"data\":{\"data\":{\"a\":\"b\"},\"metadata\":{\"version\":1}}}");
        ask_fetch(&c, "kvx/b", NULL, NULL, NULL, "r.2");
        answer_mount("kvx/b", "kvx/", "kv 1");
        answer(200, "{\"data\":{\"a\":\"b\"}}");
        assert_int_equal(a.answers + b.answers + c.answers, 3);
}

/* It was upgraded to version 2 meanwhile. */
static void a_mount_that_leads_nowhere_is_looked_up_anew_once(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        ask_fetch(&a, "kv/a", NULL, NULL, NULL, "r.0");
        answer_mount("kv/a", "kv/", "kv 1");
        answer(200, "{\"data\":{\"a\":\"b\"}}");
        ask_fetch(&b, "kv/a", NULL, NULL, NULL, "r.1");
        expect_call("GET kv/a");
        answer(404, "{\"warnings\":[\"Invalid path for a versioned K/V secrets engine\"]}");
        answer_mount("kv/a", "kv/", "kv 2");
        expect_call("GET kv/data/a");
        answer(404, "{\"errors\":[]}");
        assert_int_equal(b.error, KB_E_NOT_FOUND);
}

static void a_mount_that_makes_no_sense_is_an_error(void **state)
{
        static const char *const answers[] = {
                "{}",
                "{\"data\":{\"path\":\"kv/\"}}",
                "{\"data\":{\"path\":7,\"type\":\"kv\"}}",
                "{\"data\":{\"path\":\"other/\",\"type\":\"kv\"}}",
                "{\"data\":{\"path\":\"kv\",\"type\":\"kv\"}}",
                "{\"data\":{\"path\":\"/\",\"type\":\"kv\"}}",
                "{\"data\":{\"path\":\"kv/\",\"type\":\"kv\",\"options\":{\"version\":2}}}",
                "{\"data\":{\"path\":\"kv/a\\u0000/\",\"type\":\"kv\"}}",
        };
        static const struct {
                int status;
                enum kb_error error;
        } statuses[] = {{404, KB_E_NOT_FOUND}, {503, KB_E_SEALED}, {500, KB_E_UNREACHABLE}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(answers); i++) {
                _cleanup_request_ struct kb_request q;

                ask_fetch(&q, "kv/a", NULL, NULL, NULL, "r.0");
                answer(200, answers[i]);
                assert_int_equal(q.error, KB_E_INTERNAL);
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(statuses); i++) {
                _cleanup_request_ struct kb_request q;

                ask_fetch(&q, "kv/a", NULL, NULL, NULL, "r.0");
                answer(statuses[i].status, "");
                assert_int_equal(q.error, statuses[i].error);
        }
}

static void a_mount_alone_is_no_secret(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_fetch(&q, "sys/", NULL, NULL, NULL, "r.0");
        assert_int_equal(q.error, KB_E_BAD_REQUEST);
}

static void what_is_known_of_mounts_is_bounded_and_ends(void **state)
{
        struct kb_mounts *m = calloc(1, sizeof(*m));
        struct kb_mount mount = {.type = "kv", .until = 1000};

        for (unsigned i = 0; i < KB_MOUNTS_MAX + 1; i++) {
                snprintf(mount.path, sizeof(mount.path), "m%u/", i);
                kb_mounts_put(m, &mount);
        }
        assert_null(kb_mounts_find(m, "m0/x", 999));
        assert_non_null(kb_mounts_find(m, "m1/x", 999));
        assert_null(kb_mounts_find(m, "m1/x", 1000));
        assert_null(kb_mounts_find(m, "x/m1/", 999));
        kb_mounts_forget(m, "m1/");
        assert_null(kb_mounts_find(m, "m1/x", 999));
        free(m);
}

/* --- versions that nobody counts --- */

static void fetch_old(struct kb_request *q, const char *version, const char *value)
{
        char json[256];

        ask_fetch(q, "old/x", NULL, version, NULL, "");
        if (strncmp(bench.calls[0]->line, "GET sys/", 8) == 0)
                answer_mount("old/x", "old/", "kv");
        snprintf(json, sizeof(json), "{\"data\":{\"a\":\"%s\"}}", value);
        answer(200, json);
}

static void the_version_of_an_uncounted_secret_follows_its_values_and_shows_none(void **state)
{
        _cleanup_request_ struct kb_request a, b, c, d, e;

        fetch_old(&a, NULL, "hunter2");
        fetch_old(&b, NULL, "hunter2");
        fetch_old(&c, NULL, "hunter3");
        assert_string_equal(a.fetched.lease, b.fetched.lease);
        assert_string_not_equal(a.fetched.lease, c.fetched.lease);
        assert_null(strstr(a.fetched.lease, "hunter"));
        assert_int_equal(strlen(a.fetched.version), 32);
        /* What the broker asks for after its own restart: exactly what it has. */
        fetch_old(&d, a.fetched.version, "hunter2");
        assert_string_equal(d.fetched.lease, a.fetched.lease);
        fetch_old(&e, a.fetched.version, "hunter3");
        assert_int_equal(e.error, KB_E_NOT_FOUND);
}

static void another_host_makes_another_fingerprint(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        fetch_old(&a, NULL, "hunter2");
        bench.engines->is.fingerprint_key[0] ^= 1;
        fetch_old(&b, NULL, "hunter2");
        assert_string_not_equal(a.fetched.lease, b.fetched.lease);
}

/* --- more than the wire takes --- */

static void more_fields_than_a_reply_holds_are_refused(void **state)
{
        _cleanup_request_ struct kb_request q;
        char json[4096] = "{\"lease_id\":\"m/x/l\",\"lease_duration\":60,\"data\":{";
        size_t n = strlen(json);

        for (unsigned i = 0; i < KB_FETCH_ELEMENTS / 2 + 1; i++)
                n += (size_t)snprintf(json + n, sizeof(json) - n, "%s\"f%u\":\"v\"", i ? "," : "", i);
        snprintf(json + n, sizeof(json) - n, "}}");
        ask_fetch(&q, "m/x", NULL, NULL, NULL, "r.0");
        answer_mount("m/x", "m/", "other");
        answer(200, json);
        assert_int_equal(q.error, KB_E_UNSUPPORTED);
        assert_string_equal(expect_call("POST sys/leases/revoke")->body,
                            "{\"lease_id\":\"m/x/l\",\"sync\":true}");
        answer(204, "");
}

static void a_secret_of_more_than_a_mebibyte_is_refused(void **state)
{
        static const size_t more[] = {0, 1000}; /* than one value may have: with its name it is too much */

        for (size_t i = 0; i < KB_ARRAY_SIZE(more); i++) {
                _cleanup_request_ struct kb_request q;
                size_t size = KB_FETCH_FIELDS_MAX + more[i];
                char *json = malloc(size + 100);
                int n = sprintf(json, "{\"data\":{\"a\":\""); /* fits a hundred bytes */

                memset(json + n, 'x', size);
                strcpy(json + n + size, "\"}}");
                ask_fetch(&q, "m/x", NULL, NULL, NULL, "r.0");
                if (i == 0)
                        answer_mount("m/x", "m/", "kv 1");
                answer(200, json);
                assert_int_equal(q.error, KB_E_UNSUPPORTED);
                free(json);
        }
}

static void a_value_may_hold_a_nul(void **state)
{
        _cleanup_request_ struct kb_request q;
        struct kb_span value;

        ask_fetch(&q, "m/x", NULL, NULL, NULL, "r.0");
        answer_mount("m/x", "m/", "kv 1");
        answer(200, "{\"data\":{\"a\":\"x\\u0000y\"}}");
        assert_true(kb_list_find(q.fetched.fields, "a", &value));
        assert_int_equal(value.size, 3);
        assert_memory_equal(value.data, "x\0y", 3);
}

/* --- parts of values --- */

static void a_pointer_brings_a_part_of_a_value_under_its_own_name(void **state)
{
        static const struct {
                const char *pointer, *value; /* NULL: there is none */
        } rows[] = {
                {"/tls/0/key", "k"}, {"/tls/0", "{\"key\":\"k\",\"n\":1}"},
                {"/tls/0/n", "1"},   {"/a~1b", "c"},
                {"/tls/1", NULL},    {"/none/x", NULL},
                {"/a~2b", NULL},     {"tls", NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;
                struct kb_span value;

                ask_fetch_part(&q, "kv/a", rows[i].pointer, "/a~1b");
                if (i == 0)
                        answer_mount("kv/a", "kv/", "kv 2");
                answer(200,
                       "{\"data\":{\"data\":{\"tls\":[{\"key\":\"k\",\"n\":1}],\"a/b\":\"c\"},\"metadata\":"
                       "{\"version\":1}}}");
                assert_string_equal(q.text, "");
                assert_string_equal(field(&q, "/a~1b"), "c");
                if (rows[i].value)
                        assert_string_equal(field(&q, rows[i].pointer), rows[i].value);
                else
                        assert_true(rows[i].pointer[0] != '/' ||
                                    !kb_list_find(q.fetched.fields, rows[i].pointer, &value));
        }
}

/* --- certificates --- */

/* A key, and a certificate for the key of a request, or for its own; as one line of JSON each. */
struct issued {
        char certificate[8192], key[8192];
};

static void pem_to_json(BIO *bio, char *ret)
{
        char *data;
        long size = BIO_get_mem_data(bio, &data);

        for (long i = 0; i < size; i++)
                if (data[i] != '\n')
                        *ret++ = data[i];
                else if (i + 1 < size) /* OpenBao leaves the last one out */
                        *ret++ = '\\', *ret++ = 'n';
        *ret = '\0';
        BIO_free(bio);
}

static void make_certificate(struct issued *ret, EVP_PKEY *subject)
{
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *x509 = X509_new();
        BIO *bio = BIO_new(BIO_s_mem());

        X509_gmtime_adj(X509_getm_notBefore(x509), 0);
        X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
        X509_set_pubkey(x509, subject ? subject : key);
        X509_sign(x509, key, EVP_sha256());
        PEM_write_bio_X509(bio, x509);
        pem_to_json(bio, ret->certificate);
        bio = BIO_new(BIO_s_mem());
        PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        pem_to_json(bio, ret->key);
        X509_free(x509);
        EVP_PKEY_free(key);
}

/* The public key of the request that was sent to be signed. */
static EVP_PKEY *sent_key(void)
{
        _cleanup_(kb_json_freep) struct kb_json *json = NULL;
        struct kb_span csr;
        X509_REQ *req;
        EVP_PKEY *key;
        BIO *bio;

        assert_ok(kb_json_parse(KB_SPAN_STRING(bench.calls[0]->body), &json));
        assert_ok(kb_json_string(kb_json_get(kb_json_root(json), "csr"), &csr));
        bio = BIO_new_mem_buf(csr.data, (int)csr.size);
        req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
        assert_non_null(req);
        key = X509_REQ_get_pubkey(req);
        assert_int_equal(X509_REQ_verify(req, key), 1);
        X509_REQ_free(req);
        BIO_free(bio);
        return key;
}

static void answer_certificate(const struct issued *is, const char *lease, const char *chain, int64_t ends,
                               bool with_key)
{
        static char json[40000];

        snprintf(json, sizeof(json),
                 "{%s\"data\":{\"certificate\":\"%s\",\"issuing_ca\":\"CA\"%s%s,\"serial_number\":\"1f:2e\","
                 "\"expiration\":%lld%s%s%s}}",
                 lease, is->certificate, chain[0] ? ",\"ca_chain\":" : "", chain, (long long)ends,
                 with_key ? ",\"private_key\":\"" : "", with_key ? is->key : "",
                 with_key ? "\",\"private_key_type\":\"ec\"" : "");
        answer(200, json);
}

static int64_t in_seconds(int64_t seconds)
{
        return (int64_t)(kb_now_realtime() / KB_USEC_PER_SEC) + seconds;
}

static void an_issued_certificate_has_the_fields_of_every_store(void **state)
{
        static const char *const names[] = {"certificate", "private_key",   "private_key_type", "ca_chain",
                                            "issuing_ca",  "serial_number", "expiration"};
        _cleanup_request_ struct kb_request q;
        struct kb_list rest;
        struct issued is;
        struct kb_span value;
        const char *name;
        size_t n = 0;

        make_certificate(&is, NULL);
        ask_fetch(&q, "pki/issue/web", NULL, NULL, "common_name=a.example|ttl=1h", "r.0");
        answer_mount("pki/issue/web", "pki/", "pki");
        assert_true(expect_call("POST pki/issue/web")->once);
        assert_string_equal(bench.calls[0]->body, "{\"common_name\":\"a.example\",\"ttl\":\"1h\"}");
        answer_certificate(&is, "", "[\"CA\",\"ROOT\"]", in_seconds(3600), true);
        assert_string_equal(q.text, "");
        rest = q.fetched.fields;
        while (kb_list_next_pair(&rest, &name, &value))
                assert_string_equal(name, names[n++]);
        assert_int_equal(n, KB_ARRAY_SIZE(names));
        assert_string_equal(field(&q, "ca_chain"), "CA\nROOT\n");
        assert_string_equal(field(&q, "issuing_ca"), "CA\n");
        assert_non_null(strstr(field(&q, "private_key"), "-----END PRIVATE KEY-----\n"));
        assert_string_equal(q.fetched.lease, "pki/#cert/1f:2e");
        assert_in_range(q.fetched.ttl, 3590, 3600);
        assert_false(q.fetched.renewable);
}

static void a_leased_certificate_has_the_servers_lease(void **state)
{
        _cleanup_request_ struct kb_request q;
        struct issued is;

        make_certificate(&is, NULL);
        ask_fetch(&q, "ca/web/issue/x", NULL, NULL, NULL, "r.0");
        answer_mount("ca/web/issue/x", "ca/web/", "pki");
        answer_certificate(&is, "\"lease_id\":\"ca/web/issue/x/y\",\"lease_duration\":99,", "",
                           in_seconds(3600), true);
        assert_string_equal(q.fetched.lease, "ca/web/issue/x/y#token/7");
        assert_int_equal(q.fetched.ttl, 99);
        assert_string_equal(field(&q, "ca_chain"), "CA\n"); /* an authority of its own */
}

static void a_key_made_here_is_sent_to_nobody_and_fits_its_certificate(void **state)
{
        _cleanup_request_ struct kb_request q;
        struct issued is;
        EVP_PKEY *key;
        BIO *bio;

        ask_fetch(&q, "pki/sign/web", NULL, NULL, "common_name=a.example", "r.0");
        answer_mount("pki/sign/web", "pki/", "pki");
        assert_true(expect_call("POST pki/sign/web")->once);
        assert_null(strstr(bench.calls[0]->body, "PRIVATE"));
        assert_non_null(
                strstr(bench.calls[0]->body, "{\"common_name\":\"a.example\",\"csr\":\"-----BEGIN "));
        key = sent_key();
        make_certificate(&is, key);
        answer_certificate(&is, "", "", in_seconds(60), false);
        assert_string_equal(q.text, "");
        bio = BIO_new_mem_buf(field(&q, "private_key"), -1);
        EVP_PKEY *own = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        assert_int_equal(EVP_PKEY_eq(own, key), 1);
        assert_string_equal(field(&q, "private_key_type"), "ec");
        EVP_PKEY_free(own);
        EVP_PKEY_free(key);
        BIO_free(bio);
}

static void a_certificate_for_another_key_is_refused_and_taken_back(void **state)
{
        _cleanup_request_ struct kb_request q;
        struct issued is;

        ask_fetch(&q, "pki/sign/web", NULL, NULL, NULL, "r.0");
        answer_mount("pki/sign/web", "pki/", "pki");
        make_certificate(&is, NULL);
        answer_certificate(&is, "", "", in_seconds(60), false);
        assert_int_equal(q.error, KB_E_INTERNAL);
        assert_string_equal(expect_call("POST pki/revoke")->body, "{\"serial_number\":\"1f:2e\"}");
        answer(200, "{\"data\":{\"revocation_time\":1}}");
}

static void a_certificate_that_has_ended_by_our_clock_is_refused_and_taken_back(void **state)
{
        static const struct {
                int64_t ends;
                enum kb_error error;
        } rows[] = {{-1, KB_E_INTERNAL}, {0, KB_E_INTERNAL}, {1, KB_E_EXPIRED}, {100000, KB_E_EXPIRED}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;
                struct issued is;

                bench_setup(NULL);
                ask_fetch(&q, "pki/issue/web", NULL, NULL, NULL, "r.0");
                answer_mount("pki/issue/web", "pki/", "pki");
                make_certificate(&is, NULL);
                answer_certificate(&is, "", "", rows[i].ends, true);
                assert_int_equal(q.error, rows[i].error);
                expect_call("POST pki/revoke");
                answer(200, "");
                bench_teardown(NULL);
        }
}

/* --- SSH --- */

#define LONG_SSH                                                                                            \
        "ssh-ed25519-cert-v01@openssh.com "                                                                 \
        "AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIOfz08cYTqS3S0OIGbisiarEEuWi3VMMGut0ed/"       \
        "nTbdRAAAAIOAxNvJK/"                                                                                \
        "a2aiLQoZds9vMZZ68Qu37tojC5LZmuOjSfXAAAAAAAAAAAAAAABAAAABGhvc3QAAAAHAAAAA3dlYgAAAABeC+"             \
        "EAAAAAAPKlI4AAAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJkaW5" \
        "nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5wZXJtaXQtdXNlci1yYwAA" \
        "AAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACAa0/"                                                        \
        "hm03riFR7s2hLAtd8x2WIBRGBYcXmB70c+OzPY2gAAAFMAAAALc3NoLWVkMjU1MTkAAABAnc2jOCcribbh+"               \
        "jZrdImawSkOKkzSn3hVZEH07bMaNOgbsE27kbkgLfr+EcrLJSkh7uVaOE19KfafKNmQSca5BA== ked25519.pub"
#define LONG_SSH_ENDS 4070908800 /* ssh-keygen -V 20200101:20990101 */
#define OLD_SSH                                                                                             \
        "ssh-ed25519-cert-v01@openssh.com "                                                                 \
        "AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAILUsU5oQanlSIIfHyGTELX7ljOmw0OmP4N4kaJsREFRiA" \
        "AAA"                                                                                               \
        "IOAxNvJK/"                                                                                         \
        "a2aiLQoZds9vMZZ68Qu37tojC5LZmuOjSfXAAAAAAAAAAAAAAABAAAABGhvc3QAAAAHAAAAA3dlYgAAAABeC+"             \
        "EAAAAAAF4NMoAAAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJkaW5" \
        "nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5wZXJtaXQtdXNlci1yYwAA" \
        "AAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACAa0/"                                                        \
        "hm03riFR7s2hLAtd8x2WIBRGBYcXmB70c+OzPY2gAAAFMAAAALc3NoLWVkMjU1MTkAAABA/"                           \
        "m08k/xlhRWGy3FIy4njx0IjfOOPJddhFo3oltH30AWi4yb8t8EdWLHdyA7GvSz3uItr7oJYzvPGUnN6SGLMAg=="
#define FOREVER_SSH                                                                                         \
        "ecdsa-sha2-nistp256-cert-v01@openssh.com "                                                         \
        "AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgjnDJpvc3Ki57Yw9NLe6HzknkvJ7J30Phi" \
        "28"                                                                                                \
        "ewa9hZVwAAAAIbmlzdHAyNTYAAABBBDzakioU7dUk8W4BrKpmOLACEYAt6FHMdIjGlLFksor5jgzKwxOYqKCrJ94HnpXBgtWw" \
        "C"                                                                                                 \
        "sNBtU/133KNFYHeT4AAAAAAAAAAAAAAAAEAAAAEaG9zdAAAAAcAAAADd2ViAAAAAAAAAAD//////////"                  \
        "wAAAAAAAACCAAAAFXB"                                                                                \
        "lcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZv" \
        "c"                                                                                                 \
        "ndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NT" \
        "E"                                                                                                 \
        "5AAAAIBrT+"                                                                                        \
        "GbTeuIVHuzaEsC13zHZYgFEYFhxeYHvRz47M9jaAAAAUwAAAAtzc2gtZWQyNTUxOQAAAEDsi2VxMqRnzrGbdTMP+"          \
        "gD7XkFKCU217Z5uwX09fQlPOEFzqwbEIsl0spgjS6DhV7Y8XtnFIGPPo9pGZRDD7UgJ kecdsa.pub"

static void the_end_of_a_certificate_of_openssh_is_read(void **state)
{
        static const struct {
                const char *line;
                uint64_t ends;
        } rows[] = {{LONG_SSH, LONG_SSH_ENDS},
                    {LONG_SSH "\n", LONG_SSH_ENDS},
                    {OLD_SSH "\n", 1577923200},
                    {FOREVER_SSH, KB_SSH_FOREVER}};
        uint64_t ends;

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                assert_ok(kb_ssh_certificate_ends(KB_SPAN_STRING(rows[i].line), &ends));
                assert_int_equal(ends, rows[i].ends);
        }
}

static void what_is_no_certificate_of_openssh_is_refused(void **state)
{
        char text[sizeof(LONG_SSH)];
        uint64_t ends;

        /* Cut anywhere before its end is said: behind that nothing is looked at. */
        for (size_t size = 0; size < 200; size++)
                assert_int_equal(kb_ssh_certificate_ends(KB_SPAN(LONG_SSH, size), &ends), -EBADMSG);
        strcpy(text, LONG_SSH);
        text[5] = 'x'; /* the word in front is not the one inside */
        assert_int_equal(kb_ssh_certificate_ends(KB_SPAN_STRING(text), &ends), -EBADMSG);
        strcpy(text, "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA");
        assert_int_equal(kb_ssh_certificate_ends(KB_SPAN_STRING(text), &ends), -EBADMSG);
        strcpy(text, "x AAAA*");
        assert_int_equal(kb_ssh_certificate_ends(KB_SPAN_STRING(text), &ends), -EBADMSG);
}

static void a_signed_key_lives_until_its_certificate_ends(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_fetch(&q, "ssh/sign/host", NULL, NULL, "public_key=ssh-ed25519 AAAA|cert_type=host", "r.0");
        answer_mount("ssh/sign/host", "ssh/", "ssh");
        assert_true(expect_call("POST ssh/sign/host")->once);
        assert_string_equal(bench.calls[0]->body,
                            "{\"public_key\":\"ssh-ed25519 AAAA\",\"cert_type\":\"host\"}");
        answer(200, "{\"data\":{\"serial_number\":\"1f\",\"signed_key\":\"" LONG_SSH "\\n\"}}");
        assert_string_equal(q.fetched.lease, "ssh/sign/host#record/1f");
        assert_in_range(q.fetched.ttl, LONG_SSH_ENDS - in_seconds(5), LONG_SSH_ENDS - in_seconds(-5));
        assert_memory_equal(field(&q, "signed_key"), "ssh-ed25519-cert", 16);
}

static void a_signed_key_that_has_ended_is_refused_and_one_without_an_end_has_none(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        ask_fetch(&a, "ssh/sign/host", NULL, NULL, "public_key=k", "r.0");
        answer_mount("ssh/sign/host", "ssh/", "ssh");
        answer(200, "{\"data\":{\"serial_number\":\"1f\",\"signed_key\":\"" OLD_SSH "\"}}");
        assert_int_equal(a.error, KB_E_EXPIRED);
        ask_fetch(&b, "ssh/sign/host", NULL, NULL, "public_key=k", "r.1");
        answer(200, "{\"data\":{\"serial_number\":\"1f\",\"signed_key\":\"" FOREVER_SSH "\"}}");
        assert_string_equal(b.text, "");
        assert_int_equal(b.fetched.ttl, 0);
}

/* --- static passwords --- */

#define PASSWORD(ttl, period, rotated)                                                                      \
        "{\"data\":{\"username\":\"u\",\"password\":\"p" rotated "\",\"ttl\":" #ttl                         \
        ",\"rotation_period\":" #period ",\"last_vault_rotation\":\"" rotated "\"}}"

static void a_dying_password_is_not_given_out_but_waited_for(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_fetch(&q, "database/static-creds/app", NULL, NULL, NULL, "r.0");
        answer_mount("database/static-creds/app", "database/", "database");
        answer(200, PASSWORD(1, 10, "A"));
        for (unsigned i = 0; i < 3; i++) { /* the server is late */
                assert_int_equal(q.answers, 0);
                run_until_call();
                expect_call("GET database/static-creds/app");
                answer(200, PASSWORD(0, 10, "A"));
        }
        run_until_call();
        answer(200, PASSWORD(10, 10, "B"));
        assert_string_equal(field(&q, "password"), "pB");
        assert_string_equal(q.fetched.lease, "database/static-creds/app#record/B");
        assert_int_equal(q.fetched.ttl, 10);
}

static void a_password_that_never_changes_is_given_out_for_a_second(void **state)
{
        _cleanup_request_ struct kb_request q;

        bench.engines->is.request_usec = KB_USEC_PER_SEC;
        ask_fetch(&q, "database/static-creds/app", NULL, NULL, NULL, "r.0");
        answer_mount("database/static-creds/app", "database/", "database");
        answer(200, PASSWORD(0, 10, "A"));
        while (q.answers == 0) {
                run_until_call();
                answer(200, PASSWORD(0, 10, "A"));
        }
        assert_string_equal(field(&q, "password"), "pA");
        assert_int_equal(q.fetched.ttl, 1); /* 0 would be one without an end */
}

static void a_password_is_rotated_by_us_in_the_second_half_of_its_life(void **state)
{
        _cleanup_request_ struct kb_request young, old;

        ask_fetch(&young, "database/static-creds/app", "rotate", NULL, NULL, "r.0");
        answer_mount("database/static-creds/app", "database/", "database");
        answer(200, PASSWORD(31, 60, "A"));
        assert_string_equal(field(&young, "password"), "pA");

        ask_fetch(&old, "database/static-creds/app", "rotate", NULL, NULL, "r.1");
        answer(200, PASSWORD(30, 60, "A"));
        assert_string_equal(expect_call("POST database/rotate-role/app")->body, "");
        answer(204, "");
        expect_call("GET database/static-creds/app");
        answer(200, PASSWORD(60, 60, "B"));
        assert_string_equal(field(&old, "password"), "pB");
}

static void a_host_that_may_not_rotate_waits_for_the_server(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_fetch(&q, "database/static-creds/app", "rotate", NULL, NULL, "r.0");
        answer_mount("database/static-creds/app", "database/", "database");
        answer(200, PASSWORD(20, 60, "A"));
        answer(403, "{\"errors\":[\"permission denied\"]}");
        bench.judged(KB_E_DENIED, bench.judged_userdata);
        answer(200, PASSWORD(20, 60, "A"));
        assert_int_equal(q.fetched.ttl, 20);
}

static void a_rotation_that_fails_is_an_error(void **state)
{
        _cleanup_request_ struct kb_request q;

        ask_fetch(&q, "database/static-creds/app", "rotate", NULL, NULL, "r.0");
        answer_mount("database/static-creds/app", "database/", "database");
        answer(200, PASSWORD(20, 60, "A"));
        answer(500, "{\"errors\":[\"the database is away\"]}");
        assert_int_equal(q.error, KB_E_UNREACHABLE);
}

/* --- wrapped values --- */

static void the_path_that_a_wrapped_value_comes_from_is_compared(void **state)
{
        static const struct {
                const char *is;
                bool opened;
        } rows[] = {{"auth/approle/role/x/secret-id", true}, {"kv/data/evil", false}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;
                char json[256];

                ask_fetch(&q, "sys/wrapping/unwrap", NULL, NULL,
                          "token=hvs.w|creation_path=auth/approle/role/x/secret-id", i ? "r.1" : "r.0");
                assert_string_equal(expect_call("POST sys/wrapping/lookup")->body, "{\"token\":\"hvs.w\"}");
                snprintf(json, sizeof(json), "{\"data\":{\"creation_path\":\"%s\"}}", rows[i].is);
                answer(200, json);
                if (rows[i].opened) {
                        assert_string_equal(expect_call("POST sys/wrapping/unwrap")->token, "hvs.w");
                        answer(200, "{\"data\":{\"secret_id\":\"s\"}}");
                        assert_string_equal(field(&q, "secret_id"), "s");
                } else
                        assert_int_equal(q.error, KB_E_DENIED);
        }
}

static void a_wrapped_value_is_opened_once_whatever_comes(void **state)
{
        static const struct {
                int status; /* 0: nothing comes, and nobody knows */
                enum kb_error error;
        } rows[] = {{400, KB_E_EXPIRED}, {403, KB_E_EXPIRED}, {0, KB_E_EXPIRED}, {503, KB_E_SEALED}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_request_ struct kb_request q;

                ask_fetch(&q, "sys/wrapping/unwrap", NULL, NULL, "token=hvs.w", "");
                assert_true(expect_call("POST sys/wrapping/unwrap")->once);
                if (rows[i].status)
                        answer(rows[i].status, "");
                else
                        answer_nothing(true);
                assert_int_equal(q.error, rows[i].error);
                assert_null(strstr(q.text, "hvs.w"));
                assert_int_equal(bench.n_calls, 0);
        }
}

static void a_wrapping_token_that_is_none_is_not_looked_up_further(void **state)
{
        _cleanup_request_ struct kb_request a, b;

        ask_fetch(&a, "sys/wrapping/unwrap", NULL, NULL, "token=x|creation_path=y", "");
        answer(400, "{\"errors\":[\"wrapping token is not valid or does not exist\"]}");
        assert_int_equal(a.error, KB_E_EXPIRED);
        ask_fetch(&b, "sys/wrapping/unwrap", NULL, NULL, "token=x|creation_path=y", "");
        answer(200, "{\"data\":{}}");
        assert_int_equal(b.error, KB_E_INTERNAL);
}

static void a_wrapped_lease_is_not_bound_to_our_token(void **state)
{
        _cleanup_request_ struct kb_request q;

        bench.ends = kb_now_boottime() + 10 * KB_USEC_PER_SEC;
        ask_fetch(&q, "sys/wrapping/unwrap", NULL, NULL, "token=hvs.w", "r.0");
        answer(200, LEASED("database/creds/r/x", 3600));
        assert_string_equal(q.fetched.lease, "database/creds/r/x#token/0");
        assert_int_equal(q.fetched.ttl, 3600);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(secrets_of_each_engine_become_fields_and_a_lease),
                cmocka_unit_test(an_answer_that_is_no_secret_ends_in_a_typed_error),
                cmocka_unit_test(what_makes_no_sense_is_not_asked_of_a_server),
                TEST(a_mount_is_asked_for_once),
                TEST(a_mount_that_leads_nowhere_is_looked_up_anew_once),
                TEST(a_mount_that_makes_no_sense_is_an_error),
                TEST(a_mount_alone_is_no_secret),
                cmocka_unit_test(what_is_known_of_mounts_is_bounded_and_ends),
                TEST(the_version_of_an_uncounted_secret_follows_its_values_and_shows_none),
                TEST(another_host_makes_another_fingerprint),
                TEST(more_fields_than_a_reply_holds_are_refused),
                TEST(a_secret_of_more_than_a_mebibyte_is_refused),
                TEST(a_value_may_hold_a_nul),
                TEST(a_pointer_brings_a_part_of_a_value_under_its_own_name),
                TEST(an_issued_certificate_has_the_fields_of_every_store),
                TEST(a_leased_certificate_has_the_servers_lease),
                TEST(a_key_made_here_is_sent_to_nobody_and_fits_its_certificate),
                TEST(a_certificate_for_another_key_is_refused_and_taken_back),
                cmocka_unit_test(a_certificate_that_has_ended_by_our_clock_is_refused_and_taken_back),
                cmocka_unit_test(the_end_of_a_certificate_of_openssh_is_read),
                cmocka_unit_test(what_is_no_certificate_of_openssh_is_refused),
                TEST(a_signed_key_lives_until_its_certificate_ends),
                TEST(a_signed_key_that_has_ended_is_refused_and_one_without_an_end_has_none),
                TEST(a_dying_password_is_not_given_out_but_waited_for),
                TEST(a_password_that_never_changes_is_given_out_for_a_second),
                TEST(a_password_is_rotated_by_us_in_the_second_half_of_its_life),
                TEST(a_host_that_may_not_rotate_waits_for_the_server),
                TEST(a_rotation_that_fails_is_an_error),
                TEST(the_path_that_a_wrapped_value_comes_from_is_compared),
                TEST(a_wrapped_value_is_opened_once_whatever_comes),
                TEST(a_wrapping_token_that_is_none_is_not_looked_up_further),
                TEST(a_wrapped_lease_is_not_bound_to_our_token),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
