/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer-store-local as a process, over its wire: what an administrator and the broker see of it. */
#include "tests/unit/program.h"

static struct program p;

static int start(void **state)
{
        program_make(&p);
        return 0;
}

static int stop(void **state)
{
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        return 0;
}

static void init_store(char *ret_code, size_t size)
{
        program_init(&p, ret_code, size);
}

static uint32_t fetch(struct kb_call *call, const char *path, const char *version, const char *request,
                      struct kb_fetch_reply *ret)
{
        *call = kb_call_init(KB_VERB_fetch);
        kb_fetch_request_put(&call->request, &(struct kb_fetch_request){
                                                     .path = path, .version = version, .request = request});
        if (program_ask(&p, call) == KB_E_OK)
                assert_ok(kb_fetch_reply_get(call->reply.body, ret));
        return call->status;
}

static uint32_t revoke_lease(const char *lease)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_revoke);

        kb_revoke_request_put(&call.request, &(struct kb_revoke_request){.lease = lease});
        return program_ask(&p, &call);
}

static void an_empty_store_says_so_until_it_is_made(void **state)
{
        _cleanup_call_ struct kb_call call = {}, again = {};
        struct kb_fetch_reply reply;
        char code[64];

        assert_int_equal(fetch(&call, "kv/a", "", "", &reply), KB_E_SEALED);
        assert_non_null(strstr(call.text, "keybearer setup"));
        init_store(code, sizeof(code));
        assert_int_equal(strlen(code), 44);
        assert_admin(&p, KB_E_CONFLICT, "store", "init", "");
        assert_int_equal(fetch(&again, "kv/a", "", "", &reply), KB_E_NOT_FOUND);
}

/* It knows nobody's tokens: to ignore whom it is for would be to give it to everybody. */
static void nothing_is_fetched_as_a_person(void **state)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_fetch);
        char code[64];

        init_store(code, sizeof(code));
        kb_fetch_request_put(&call.request, &(struct kb_fetch_request){.path = "kv/a", .person = "ana"});
        assert_int_equal(program_ask(&p, &call), KB_E_UNSUPPORTED);
}

static void a_secret_goes_in_and_comes_out_with_its_lease(void **state)
{
        _cleanup_call_ struct kb_call a = {}, b = {}, c = {};
        struct kb_fetch_reply reply;
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "orders/db", "field.username", "orders", "field.password",
                     "s3cret");
        assert_admin(&p, KB_E_OK, "secret", "put", "kv/orders/db", "field.password", "n3w", "cas", "1");
        assert_admin(&p, KB_E_CONFLICT, "secret", "put", "orders/db", "field.password", "n3w", "cas", "1");
        assert_int_equal(fetch(&a, "kv/orders/db", "", "r1", &reply), KB_E_OK);
        assert_string_equal(reply.lease, "kv/orders/db@2");
        assert_string_equal(reply.version, "2");
        assert_int_equal(reply.ttl, 0);
        assert_string_equal(pair_of(reply.fields, "password"), "n3w");
        assert_int_equal(fetch(&b, "kv/orders/db", "1", "r2", &reply), KB_E_OK);
        assert_string_equal(pair_of(reply.fields, "username"), "orders");
        assert_int_equal(fetch(&c, "kv/orders/db", "x", "r3", &reply), KB_E_BAD_REQUEST);
        assert_int_equal(revoke_lease("kv/orders/db@2"), KB_E_OK);
}

/* With that many fields. */
static uint32_t put_fields(const char *path, unsigned n)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FRAME_MAX);
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_admin);
        char name[24];

        for (unsigned i = 0; i < n; i++) {
                snprintf(name, sizeof(name), "field.f%u", i);
                kb_list_add_text(&fields, name, "x");
        }
        kb_store_admin_request_put(&call.request,
                                   &(struct kb_store_admin_request){.object = "secret",
                                                                    .action = "put",
                                                                    .name = path,
                                                                    .fields = kb_list_built(&fields)});
        return program_ask(&p, &call);
}

static void as_many_fields_as_one_may_have_go_in_and_come_out(void **state)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_fetch_reply reply;
        char code[64];

        init_store(code, sizeof(code));
        assert_int_equal(put_fields("kv/many", 65), KB_E_BAD_REQUEST);
        assert_int_equal(put_fields("kv/many", 64), KB_E_OK);
        assert_int_equal(fetch(&call, "kv/many", "", "", &reply), KB_E_OK);
        assert_int_equal(reply.fields.count, 128);
        assert_string_equal(pair_of(reply.fields, "f63"), "x");
}

static void the_same_request_gets_the_same_version(void **state)
{
        _cleanup_call_ struct kb_call a = {}, b = {}, c = {}, d = {};
        struct kb_fetch_reply reply;
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "old");
        assert_int_equal(fetch(&a, "kv/a", "", "id-1", &reply), KB_E_OK);
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "new");
        assert_int_equal(fetch(&b, "kv/a", "", "id-1", &reply), KB_E_OK);
        assert_string_equal(reply.lease, "kv/a@1");
        assert_int_equal(fetch(&c, "kv/a", "", "id-2", &reply), KB_E_OK);
        assert_string_equal(reply.lease, "kv/a@2");
        assert_int_equal(fetch(&d, "kv/a", "", "", &reply), KB_E_OK);
        assert_string_equal(reply.lease, "kv/a@2");
}

static void a_certificate_is_issued_renewed_by_asking_and_revoked(void **state)
{
        _cleanup_call_ struct kb_call a = {}, b = {}, list = kb_call_init(KB_VERB_crl);
        struct kb_fetch_reply one, again;
        struct kb_crl_reply crl;
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "ca", "create", "default", "common-name", "Test CA");
        assert_admin(&p, KB_E_OK, "ca", "role-set", "web", "common-name", "web");
        assert_int_equal(fetch(&a, "pki/issue/web", "", "unit-1", &one), KB_E_OK);
        assert_true(one.ttl > 0 && !one.renewable);
        assert_non_null(strstr(pair_of(one.fields, "certificate"), "BEGIN CERTIFICATE"));
        assert_non_null(strstr(pair_of(one.fields, "private_key"), "BEGIN PRIVATE KEY"));
        assert_int_equal(program_stop(&p, SIGKILL), -SIGKILL);
        program_start(&p);
        assert_int_equal(fetch(&b, "pki/issue/web", "", "unit-1", &again), KB_E_OK);
        assert_string_equal(one.lease, again.lease);
        assert_int_equal(revoke_lease(one.lease), KB_E_OK);
        assert_int_equal(revoke_lease(one.lease), KB_E_OK);
        assert_int_equal(revoke_lease("nonsense"), KB_E_OK);
        kb_crl_request_put(&list.request, &(struct kb_crl_request){.name = "default"});
        assert_int_equal(program_ask(&p, &list), KB_E_OK);
        assert_ok(kb_crl_reply_get(list.reply.body, &crl));
        assert_true(crl.pem.size > 0 && crl.number > 0);
}

static void a_role_is_never_for_nothing(void **state)
{
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_BAD_REQUEST, "ca", "role-set", "web", "server", "no", "client", "no");
        assert_admin(&p, KB_E_NOT_FOUND, "ca", "role-show", "web");
        assert_admin(&p, KB_E_OK, "ca", "role-set", "web", "server", "no");
        assert_admin(&p, KB_E_BAD_REQUEST, "ca", "role-set", "web", "client",
                     "no"); /* what is left counts */
        assert_admin(&p, KB_E_OK, "ca", "role-set", "web", "server", "yes", "client", "no");
}

static void who_is_removed_is_in_no_rule_and_the_answer_says_which(void **state)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_list row;
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "user", "add", "ana");
        assert_admin(&p, KB_E_OK, "user", "add", "ben");
        assert_admin(&p, KB_E_OK, "rule", "add", "staff", "who", "ana ben");
        assert_int_equal(admin_ask(&p, &call, &row, "user", "remove", "ana", NULL), KB_E_OK);
        assert_string_equal(pair_of(row, "rule"), "staff");
        assert_string_equal(pair_of(row, "who"), "ben");
        assert_admin(&p, KB_E_OK, "user", "remove", "ben");
        assert_admin(&p, KB_E_NOT_FOUND, "rule", "show", "staff");
        assert_admin(&p, KB_E_BAD_REQUEST, "store", "rotate-key", "", "damaged", "perhaps");
        assert_admin(&p, KB_E_OK, "store", "rotate-key", "", "damaged", "skip");
}

/* `store init` was answered, and the answer lost: setup is killed, the store with it. */
static void a_store_whose_secrets_were_lost_is_made_again(void **state)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_fetch_reply reply;
        char code[64];

        assert_admin(&p, KB_E_OK, "store", "init", "");
        assert_admin(&p, KB_E_CONFLICT, "store", "init", ""); /* while it runs it can give new slots */
        assert_int_equal(program_stop(&p, SIGKILL), -SIGKILL);
        program_start(&p);
        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "kv/a", "field.value", "x");
        program_restart(&p);
        assert_int_equal(fetch(&call, "kv/a", "", "", &reply), KB_E_OK);
}

static void the_credential_opens_it_at_each_start(void **state)
{
        char code[64], path[256];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "y");
        program_restart(&p);
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
        snprintf(path, sizeof(path), "%s/root-key", p.credentials);
        assert_int_equal(unlink(path), 0);
        program_restart(&p);
        assert_admin(&p, KB_E_SEALED, "secret", "get", "a");
        assert_admin(&p, KB_E_OK, "seal", "list", "");
        assert_admin(&p, KB_E_BAD_REQUEST, "seal", "unseal", "");
        assert_admin(&p, KB_E_OK, "seal", "unseal", "", "secret", code);
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
}

static void a_passphrase_opens_it_too(void **state)
{
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_WEAK, "seal", "add", "mine", "kind", "passphrase", "secret", "short");
        assert_admin(&p, KB_E_BAD_REQUEST, "seal", "add", "mine", "kind", "magic");
        assert_admin(&p, KB_E_OK, "seal", "add", "mine", "kind", "passphrase", "secret",
                     "correct horse battery");
        assert_admin(&p, KB_E_OK, "seal", "seal", "");
        assert_admin(&p, KB_E_SEALED, "secret", "list", "");
        assert_admin(&p, KB_E_BAD_SECRET, "seal", "unseal", "", "secret", "wrong horse battery");
        code[0] = code[0] == 'Z' ? 'Y' : 'Z';
        assert_admin(&p, KB_E_BAD_SECRET, "seal", "unseal", "", "secret", code);
        assert_admin(&p, KB_E_NOT_FOUND, "seal", "unseal", "nobody", "secret", "correct horse battery");
        assert_admin(&p, KB_E_OK, "seal", "unseal", "mine", "secret", "correct horse battery");
        assert_admin(&p, KB_E_OK, "secret", "list", "");
}

static void requests_that_make_no_sense_are_refused_by_name(void **state)
{
        static const struct {
                const char *object, *action, *name, *field;
                enum kb_error expected;
        } rows[] = {
                {"secret", "dance", "a", NULL, KB_E_UNSUPPORTED},
                {"secret", "get", "", NULL, KB_E_BAD_REQUEST},
                {"secret", "get", "a", "verison", KB_E_BAD_REQUEST},
                {"secret", "get", "a", "field.x", KB_E_BAD_REQUEST},
                {"secret", "destroy", "a", NULL, KB_E_BAD_REQUEST},
                {"secret", "remove", "../a", NULL, KB_E_NOT_FOUND},
                {"seal", "list", "a", NULL, KB_E_BAD_REQUEST},
                {"store", "accept", "", NULL, KB_E_CONFLICT},
                {"ca", "show", "a", NULL, KB_E_NOT_FOUND},
                {"ca", "role-set", "a", "ttl", KB_E_BAD_REQUEST},
                {"ca", "role-show", "a", NULL, KB_E_NOT_FOUND},
                {"ca", "role-remove", "a", NULL, KB_E_NOT_FOUND},
        };
        char code[64];

        init_store(code, sizeof(code));
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_call_ struct kb_call call = {};
                uint32_t s = admin_ask(&p, &call, NULL, rows[i].object, rows[i].action, rows[i].name,
                                       rows[i].field, "x", NULL);

                if (s != rows[i].expected)
                        fail_msg("row %zu: %s: %s", i, kb_error_word((enum kb_error)s), call.text);
        }
}

static void hello_keeps_what_proves_the_database_new(void **state)
{
        _cleanup_call_ struct kb_call first = kb_call_init(KB_VERB_hello),
                                      second = kb_call_init(KB_VERB_hello);
        struct kb_hello_reply reply;
        char code[64];

        init_store(code, sizeof(code));
        kb_hello_request_put(&first.request, &(struct kb_hello_request){.broker = "1"});
        assert_int_equal(program_ask(&p, &first), KB_E_OK);
        assert_ok(kb_hello_reply_get(first.reply.body, &reply));
        assert_string_equal(reply.kind, "local");
        assert_true(reply.keep.size > 32);
        assert_int_equal(reply.refusal, KB_E_OK);
        assert_string_equal(reply.problem, "");
        kb_hello_request_put(&second.request,
                             &(struct kb_hello_request){
                                     .broker = "1",
                                     .keep = KB_SPAN_STRING("00112233445566778899aabbccddeeff 5\n"),
                             });
        assert_int_equal(program_ask(&p, &second), KB_E_OK);
        assert_admin(&p, KB_E_STORAGE, "secret", "list", "");
        assert_admin(&p, KB_E_OK, "store", "accept", "");
        assert_admin(&p, KB_E_OK, "secret", "list", "");
}

/* What is typed by hand is looked at: a slip of the finger is no revocation that went well. */
static void only_a_certificate_that_is_known_is_revoked_unless_that_is_meant(void **state)
{
        static const char unknown[] = "00112233445566778899aabbccddeeff";
        static const struct {
                const char *ca, *serial, *unknown;
                enum kb_error error;
                const char *says;
        } rows[] = {
                {"default", unknown, NULL, KB_E_NOT_FOUND, "see `keybearer ca certificates default`"},
                {"default", unknown, "refuse", KB_E_NOT_FOUND, "unknown=revoke"},
                {"default", "00:11", NULL, KB_E_BAD_REQUEST, "\"00:11\" is no serial"},
                {"default", "00112233445566778899AABBCCDDEEFF", "revoke", KB_E_BAD_REQUEST, "is no serial"},
                {"default", unknown, "yes", KB_E_BAD_REQUEST, "unknown is refuse or revoke"},
                {"none", unknown, NULL, KB_E_NOT_FOUND, "no CA none"},
                {"none", unknown, "revoke", KB_E_NOT_FOUND, "no CA none"},
                {"default", unknown, "revoke", KB_E_OK, ""},
                {"default", unknown, NULL, KB_E_EXPIRED, "revoked or expired"},
        };
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "ca", "create", "default");
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_call_ struct kb_call call = {};
                uint32_t s = admin_ask(&p, &call, NULL, "ca", "revoke", rows[i].ca, "serial", rows[i].serial,
                                       rows[i].unknown ? "unknown" : NULL, rows[i].unknown, NULL);

                if (s != rows[i].error || !strstr(call.text ? call.text : "", rows[i].says))
                        fail_msg("row %zu: %s: %s", i, kb_error_word((enum kb_error)s), call.text);
        }
}

/* It has no answer for anybody else then, and nobody should take it for one that has. */
static void a_sealed_store_says_so_when_it_is_greeted(void **state)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_hello), how = {};
        struct kb_hello_reply reply;
        struct kb_list facts;
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "seal", "seal", "");
        kb_hello_request_put(&call.request, &(struct kb_hello_request){.broker = "1"});
        assert_int_equal(program_ask(&p, &call), KB_E_OK);
        assert_ok(kb_hello_reply_get(call.reply.body, &reply));
        assert_int_equal(reply.refusal, KB_E_SEALED);
        assert_non_null(strstr(reply.problem, "keybearer seal unseal"));
        assert_int_equal(admin_ask(&p, &how, &facts, "store", "status", "", NULL), KB_E_OK);
        assert_string_equal(pair_of(facts, "state"), "sealed");
}

/* --- people --- */

static uint32_t authenticate(struct kb_call *call, const char *user, const char *password)
{
        *call = kb_call_init(KB_VERB_store_authenticate);
        kb_store_authenticate_request_put(
                &call->request,
                &(struct kb_store_authenticate_request){.user = user, .answer = KB_SPAN_STRING(password)});
        return program_ask(&p, call);
}

static void assert_login(const char *user, const char *password, uint32_t expected, bool change)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_store_authenticate_reply reply;

        assert_int_equal(authenticate(&call, user, password), expected);
        if (expected != KB_E_OK)
                return;
        assert_ok(kb_store_authenticate_reply_get(call.reply.body, &reply));
        assert_true(reply.granted);
        assert_int_equal(reply.change_password, change);
}

static uint32_t change_secret(const struct kb_change_secret_request *q)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_change_secret);

        kb_change_secret_request_put(&call.request, q);
        return program_ask(&p, &call);
}

#define GOOD  "Xq7-mallard-Tuba"
#define OTHER "zW9+octagon-Fern"

static void only_who_knows_the_password_hears_more_than_no(void **state)
{
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_WEAK, "user", "add", "ana", "password", "ana");
        assert_admin(&p, KB_E_OK, "user", "add", "ana", "password", GOOD, "change-password", "yes");
        assert_admin(&p, KB_E_OK, "user", "add", "none");
        assert_login("ana", GOOD, KB_E_OK, true);
        assert_login("ana", "wrong", KB_E_BAD_SECRET, false);
        assert_login("ana", "", KB_E_BAD_SECRET, false);
        assert_login("none", "x", KB_E_BAD_SECRET, false);
        assert_login("nobody", GOOD, KB_E_BAD_SECRET, false);
        assert_admin(&p, KB_E_OK, "user", "disable", "ana");
        assert_login("ana", "wrong", KB_E_BAD_SECRET, false);
        assert_login("ana", GOOD, KB_E_DENIED, false);
        assert_admin(&p, KB_E_OK, "user", "enable", "ana");
        assert_admin(&p, KB_E_OK, "user", "set", "ana", "expires", "2020-01-01");
        assert_login("ana", "wrong", KB_E_BAD_SECRET, false);
        assert_login("ana", GOOD, KB_E_EXPIRED, false);
        assert_admin(&p, KB_E_OK, "user", "set", "ana", "expires", "never");
        assert_admin(&p, KB_E_OK, "user", "passwd", "ana", "password", "x", "weak", "yes");
        assert_login("ana", "x", KB_E_OK, false);
        assert_admin(&p, KB_E_NOT_FOUND, "user", "passwd", "nobody", "password", GOOD);
        assert_admin(&p, KB_E_OK, "user", "remove", "ana");
        assert_login("ana", "x", KB_E_BAD_SECRET, false);
}

static void a_password_is_changed_by_who_knows_it_or_by_root(void **state)
{
        struct kb_change_secret_request first = {.user = "ana", .preliminary = true};
        struct kb_change_secret_request q = {
                .user = "ana", .old = KB_SPAN_STRING(GOOD), .new = KB_SPAN_STRING(OTHER)};
        struct kb_change_secret_request root = {
                .user = "ana", .privileged = true, .new = KB_SPAN_STRING("x")};
        struct kb_change_secret_request nobody = q;
        char code[64];

        nobody.user = "nobody";
        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "user", "add", "ana", "password", GOOD);
        assert_int_equal(change_secret(&first), KB_E_OK);
        first.preliminary = false;
        first.new = KB_SPAN_STRING(OTHER);
        assert_int_equal(change_secret(&first), KB_E_BAD_SECRET); /* without the old one */
        first.preliminary = true;
        first.old = KB_SPAN_STRING("wrong");
        assert_int_equal(change_secret(&first), KB_E_BAD_SECRET);
        assert_int_equal(change_secret(&q), KB_E_OK);
        assert_int_equal(change_secret(&q), KB_E_BAD_SECRET); /* it is not the old one any more */
        assert_login("ana", OTHER, KB_E_OK, false);
        q.old = KB_SPAN_STRING(OTHER);
        q.new = KB_SPAN_STRING("short");
        assert_int_equal(change_secret(&q), KB_E_WEAK);
        q.new = KB_SPAN("a\0b", 3);
        assert_int_equal(change_secret(&q), KB_E_WEAK);
        assert_login("ana", OTHER, KB_E_OK, false);
        assert_int_equal(change_secret(&root), KB_E_OK);
        assert_login("ana", "x", KB_E_OK, false);
        root.new = KB_SPAN_STRING("");
        assert_int_equal(change_secret(&root), KB_E_WEAK);
        assert_int_equal(change_secret(&nobody), KB_E_BAD_SECRET);
}

static uint64_t directory_version(uint64_t have, bool *ret_unchanged)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_directory);
        struct kb_directory_reply reply;

        kb_directory_request_put(&call.request, &(struct kb_directory_request){.have = have});
        assert_int_equal(program_ask(&p, &call), KB_E_OK);
        assert_ok(kb_directory_reply_get(call.reply.body, &reply));
        assert_int_equal(reply.unchanged, reply.parts == 0);
        *ret_unchanged = reply.unchanged;
        return reply.version;
}

static void the_directory_comes_when_it_changed(void **state)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_directory);
        uint64_t version;
        bool unchanged;
        char code[64];

        init_store(code, sizeof(code));
        version = directory_version(0, &unchanged);
        assert_false(unchanged);
        assert_int_equal(directory_version(version, &unchanged), version);
        assert_true(unchanged);
        assert_admin(&p, KB_E_OK, "user", "add", "ana");
        assert_admin(&p, KB_E_OK, "group", "add", "dba", "members", "ana");
        assert_admin(&p, KB_E_OK, "rule", "add", "all", "who", "@dba");
        assert_int_equal(directory_version(version, &unchanged), version + 3);
        assert_false(unchanged);
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "y");
        assert_int_equal(directory_version(version + 3, &unchanged), version + 3);
        assert_true(unchanged);
        kb_directory_request_put(&call.request, &(struct kb_directory_request){.part = 1});
        assert_int_equal(program_ask(&p, &call), KB_E_BAD_REQUEST);
}

/* --- a crowd --- */

#define CROWD 1000

struct asker {
        struct kb_call call;
        int fd;
        uint8_t head[16]; /* size, version, verb, status of the reply */
        size_t have;
};

/* Connects and sends; the reply is read later. */
static void send_login(struct asker *a)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        a->call = kb_call_init(KB_VERB_store_authenticate);
        kb_store_authenticate_request_put(
                &a->call.request,
                &(struct kb_store_authenticate_request){.user = "ana", .answer = KB_SPAN_STRING(GOOD)});
        assert_ok(kb_frame_end(&a->call.request));
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", p.socket);
        a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(a->fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(write(a->fd, a->call.request.data, a->call.request.size), a->call.request.size);
}

static uint32_t status_of(const struct asker *a)
{
        return (uint32_t)a->head[12] | (uint32_t)a->head[13] << 8;
}

/* Reads what has come. True once the status is there, and then only once. */
static bool read_status(struct asker *a)
{
        ssize_t n;

        if (a->fd < 0)
                return false;
        n = recv(a->fd, a->head + a->have, sizeof(a->head) - a->have, MSG_DONTWAIT);
        if (n > 0)
                a->have += (size_t)n;
        if (a->have < sizeof(a->head))
                return false;
        close(a->fd);
        a->fd = -1;
        kb_call_done(&a->call);
        return true;
}

static uint64_t time_of_fetch(void)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_fetch_reply reply;
        uint64_t begun = kb_now_monotonic();

        assert_int_equal(fetch(&call, "kv/a", "", "", &reply), KB_E_OK);
        return kb_now_monotonic() - begun;
}

static void a_thousand_logins_are_answered_or_told_busy_while_units_are_served(void **state)
{
        struct asker *crowd = calloc(CROWD, sizeof(*crowd));
        uint64_t begun, slowest = 0;
        unsigned granted = 0, busy = 0;
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "user", "add", "ana", "password", GOOD);
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "y");
        begun = kb_now_monotonic();
        for (unsigned i = 0; i < CROWD; i++)
                send_login(&crowd[i]);
        while (granted + busy < CROWD) {
                uint64_t took = time_of_fetch();

                slowest = took > slowest ? took : slowest;
                for (unsigned i = 0; i < CROWD; i++)
                        if (read_status(&crowd[i])) {
                                granted += status_of(&crowd[i]) == KB_E_OK;
                                busy += status_of(&crowd[i]) == KB_E_BUSY;
                        }
                /* 5 s is the store's own promise; the rest is for a machine that does other things too */
                if (kb_now_monotonic() - begun > 10 * KB_USEC_PER_SEC)
                        fail_msg("%u granted, %u busy, the rest waits", granted, busy);
                usleep(20000);
        }
        assert_true(granted > 0);
        if (slowest > KB_USEC_PER_SEC)
                fail_msg("a unit waited %llu us", (unsigned long long)slowest);
        free(crowd);
}

/* --- long work --- */

static void collect_chunk(void *userdata, const struct kb_progress_record *progress)
{
        assert_true(progress->done <= progress->total);
        kb_write_raw(userdata, progress->chunk);
}

static uint32_t long_work(const char *action, const char *secret, struct kb_writer *ret)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(4096);
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_admin);

        call.on_progress = collect_chunk;
        call.userdata = ret;
        if (secret)
                kb_list_add_text(&fields, "secret", secret);
        kb_store_admin_request_put(
                &call.request,
                &(struct kb_store_admin_request){
                        .object = "store", .action = action, .name = "", .fields = kb_list_built(&fields)});
        return program_ask(&p, &call);
}

static void upload(const struct kb_writer *backup)
{
        for (size_t at = 0; at < backup->size; at += 500000) {
                _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FRAME_MAX);
                _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_admin);
                size_t n = backup->size - at < 500000 ? backup->size - at : 500000;

                kb_list_add_number(&fields, "offset", at);
                kb_list_add_pair(&fields, "data", KB_SPAN(backup->data + at, n));
                kb_store_admin_request_put(
                        &call.request, &(struct kb_store_admin_request){.object = "store",
                                                                        .action = "restore-part",
                                                                        .name = "",
                                                                        .fields = kb_list_built(&fields)});
                assert_int_equal(program_ask(&p, &call), KB_E_OK);
        }
}

static void keys_are_rotated_and_backups_come_back_while_it_runs(void **state)
{
        _cleanup_writer_ struct kb_writer nothing = kb_writer_init(1),
                                          backup = kb_writer_init(64 * 1024 * 1024);
        char code[64];

        init_store(code, sizeof(code));
        for (unsigned i = 0; i < 50; i++) {
                char path[16];

                snprintf(path, sizeof(path), "s%u", i);
                assert_admin(&p, KB_E_OK, "secret", "put", path, "field.x", "y");
        }
        assert_int_equal(long_work("rotate-key", NULL, &nothing), KB_E_OK);
        assert_int_equal(long_work("backup", NULL, &backup), KB_E_OK);
        assert_true(backup.size > 50000);
        assert_admin(&p, KB_E_OK, "secret", "put", "s1", "field.x", "later");
        assert_admin(&p, KB_E_NOT_FOUND, "store", "restore", "", "secret", code);
        upload(&backup);
        assert_admin(&p, KB_E_CONFLICT, "store", "restore-part", "", "offset", "3", "data", "x");
        upload(&backup);
        assert_int_equal(long_work("restore", "no passphrase here", &nothing), KB_E_NOT_FOUND);
        assert_int_equal(long_work("restore", code, &nothing), KB_E_OK);
        assert_admin(&p, KB_E_NOT_FOUND, "secret", "get", "s1", "version", "2");
        assert_admin(&p, KB_E_OK, "secret", "get", "s49");
        upload(&backup);
        assert_int_equal(long_work("restore", NULL, &nothing),
                         KB_E_OK); /* with this host's own credential */
        program_restart(&p);
        assert_admin(&p, KB_E_OK, "secret", "get", "s49");
}

static void assert_other_lease(const char *before, char *ret, size_t size)
{
        _cleanup_call_ struct kb_call call = {}, of_version = {}, renewed = kb_call_init(KB_VERB_renew);
        struct kb_fetch_reply reply;

        assert_int_equal(fetch(&call, "kv/a", "", "", &reply), KB_E_OK);
        assert_string_equal(reply.version, "2");
        assert_string_not_equal(reply.lease, before);
        assert_memory_equal(reply.lease, "kv/a@2.", 7);
        snprintf(ret, size, "%s", reply.lease);
        assert_int_equal(fetch(&of_version, "kv/a", "2", "", &reply), KB_E_OK);
        assert_string_equal(reply.lease, ret);
        kb_renew_request_put(&renewed.request, &(struct kb_renew_request){.lease = ret});
        assert_int_equal(program_ask(&p, &renewed), KB_E_OK);
        assert_int_equal(revoke_lease(ret), KB_E_OK);
}

static void a_version_that_comes_again_after_a_restore_has_another_lease(void **state)
{
        _cleanup_writer_ struct kb_writer backup = kb_writer_init(64 * 1024 * 1024),
                                          nothing = kb_writer_init(1);
        _cleanup_call_ struct kb_call call = {}, hello = kb_call_init(KB_VERB_hello);
        char code[64], restored[64], accepted[64];
        struct kb_fetch_reply reply;

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "first");
        assert_int_equal(long_work("backup", NULL, &backup), KB_E_OK);
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "leaked");
        assert_int_equal(fetch(&call, "kv/a", "", "", &reply), KB_E_OK);
        assert_string_equal(reply.lease, "kv/a@2");
        upload(&backup);
        assert_int_equal(long_work("restore", NULL, &nothing), KB_E_OK);
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "n3w");
        assert_other_lease("kv/a@2", restored, sizeof(restored));
        kb_hello_request_put(&hello.request,
                             &(struct kb_hello_request){
                                     .broker = "1",
                                     .keep = KB_SPAN_STRING("00112233445566778899aabbccddeeff 5\n"),
                             });
        assert_int_equal(program_ask(&p, &hello), KB_E_OK);
        assert_admin(&p, KB_E_OK, "store", "accept", "");
        assert_other_lease(restored, accepted, sizeof(accepted));
        program_restart(&p);
        assert_other_lease(restored, code, sizeof(code));
        assert_string_equal(code, accepted);
}

static void a_lost_database_comes_back_from_a_backup(void **state)
{
        _cleanup_writer_ struct kb_writer backup = kb_writer_init(64 * 1024 * 1024),
                                          nothing = kb_writer_init(1);
        char code[64], path[256];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "y");
        assert_int_equal(long_work("backup", NULL, &backup), KB_E_OK);
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        snprintf(path, sizeof(path), "%s/store.db", p.state);
        assert_int_equal(unlink(path), 0);
        program_start(&p);
        assert_admin(&p, KB_E_STORAGE, "store", "init", ""); /* no empty one in its place */
        upload(&backup);
        assert_int_equal(long_work("restore", NULL, &nothing),
                         KB_E_OK); /* with this host's own credential */
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
        program_restart(&p);
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
}

/* Whether the answer of a restore says that the credential of this host opens it at the next start. */
static const char *restored_opens(const char *secret)
{
        static char opens[8];
        _cleanup_call_ struct kb_call call = {};
        struct kb_list row;

        assert_int_equal(secret ? admin_ask(&p, &call, &row, "store", "restore", "", "secret", secret, NULL)
                                : admin_ask(&p, &call, &row, "store", "restore", "", NULL),
                         KB_E_OK);
        snprintf(opens, sizeof(opens), "%s", pair_of(row, "opens-at-start"));
        return opens;
}

static void a_restore_says_whether_this_host_can_open_it(void **state)
{
        _cleanup_writer_ struct kb_writer backup = kb_writer_init(64 * 1024 * 1024);
        char code[64], other[64];

        init_store(code, sizeof(code));
        assert_int_equal(long_work("backup", NULL, &backup), KB_E_OK);
        upload(&backup);
        assert_string_equal(restored_opens(NULL), "yes");
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        program_make(&p);
        init_store(other, sizeof(other));
        upload(&backup);
        assert_string_equal(restored_opens(code), "no");
}

static void a_new_host_takes_the_backup_of_a_dead_one(void **state)
{
        _cleanup_writer_ struct kb_writer nothing = kb_writer_init(1),
                                          backup = kb_writer_init(64 * 1024 * 1024);
        char code[64];

        init_store(code, sizeof(code));
        assert_admin(&p, KB_E_OK, "secret", "put", "a", "field.x", "y");
        assert_int_equal(long_work("backup", NULL, &backup), KB_E_OK);
        assert_int_equal(program_stop(&p, SIGTERM), 0);
        program_make(&p);
        upload(&backup);
        assert_int_equal(long_work("restore", NULL, &nothing), KB_E_BAD_REQUEST);
        assert_int_equal(long_work("restore", code, &nothing), KB_E_OK);
        assert_admin(&p, KB_E_OK, "secret", "get", "a");
        assert_admin(&p, KB_E_CONFLICT, "store", "init", "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(an_empty_store_says_so_until_it_is_made, start, stop),
                cmocka_unit_test_setup_teardown(a_secret_goes_in_and_comes_out_with_its_lease, start, stop),
                cmocka_unit_test_setup_teardown(as_many_fields_as_one_may_have_go_in_and_come_out, start,
                                                stop),
                cmocka_unit_test_setup_teardown(the_same_request_gets_the_same_version, start, stop),
                cmocka_unit_test_setup_teardown(nothing_is_fetched_as_a_person, start, stop),
                cmocka_unit_test_setup_teardown(a_certificate_is_issued_renewed_by_asking_and_revoked, start,
                                                stop),
                cmocka_unit_test_setup_teardown(a_role_is_never_for_nothing, start, stop),
                cmocka_unit_test_setup_teardown(who_is_removed_is_in_no_rule_and_the_answer_says_which,
                                                start, stop),
                cmocka_unit_test_setup_teardown(a_store_whose_secrets_were_lost_is_made_again, start, stop),
                cmocka_unit_test_setup_teardown(the_credential_opens_it_at_each_start, start, stop),
                cmocka_unit_test_setup_teardown(a_passphrase_opens_it_too, start, stop),
                cmocka_unit_test_setup_teardown(requests_that_make_no_sense_are_refused_by_name, start,
                                                stop),
                cmocka_unit_test_setup_teardown(only_who_knows_the_password_hears_more_than_no, start, stop),
                cmocka_unit_test_setup_teardown(a_password_is_changed_by_who_knows_it_or_by_root, start,
                                                stop),
                cmocka_unit_test_setup_teardown(the_directory_comes_when_it_changed, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_thousand_logins_are_answered_or_told_busy_while_units_are_served, start, stop),
                cmocka_unit_test_setup_teardown(keys_are_rotated_and_backups_come_back_while_it_runs, start,
                                                stop),
                cmocka_unit_test_setup_teardown(a_version_that_comes_again_after_a_restore_has_another_lease,
                                                start, stop),
                cmocka_unit_test_setup_teardown(a_lost_database_comes_back_from_a_backup, start, stop),
                cmocka_unit_test_setup_teardown(a_restore_says_whether_this_host_can_open_it, start, stop),
                cmocka_unit_test_setup_teardown(a_new_host_takes_the_backup_of_a_dead_one, start, stop),
                cmocka_unit_test_setup_teardown(hello_keeps_what_proves_the_database_new, start, stop),
                cmocka_unit_test_setup_teardown(
                        only_a_certificate_that_is_known_is_revoked_unless_that_is_meant, start, stop),
                cmocka_unit_test_setup_teardown(a_sealed_store_says_so_when_it_is_greeted, start, stop),
        };

        return cmocka_run_group_tests_name("store-program", tests, test_folder_make, test_folder_remove);
}
