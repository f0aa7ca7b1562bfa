/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange with one address: what goes out, what comes back, and everything that a server can do wrong.
 */
#include "tests/unit/fault-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/clock.h"
#include "helper/store/vault/http.h"

#define SEC  KB_USEC_PER_SEC
#define BODY ((size_t)512 * 1024) /* more than buffers of the kernel take */

struct outcome {
        sd_event *event;
        unsigned calls;
        struct kb_http_answer answer;
        char text[512], location[256], body[8192];
};

static sd_event *event;

static void on_done(const struct kb_http_answer *answer, void *userdata)
{
        struct outcome *o = userdata;

        o->calls++;
        o->answer = *answer;
        snprintf(o->text, sizeof(o->text), "%s", answer->text);
        snprintf(o->location, sizeof(o->location), "%s", answer->location);
        snprintf(o->body, sizeof(o->body), "%.*s", (int)answer->body.size, (const char *)answer->body.data);
}

static struct kb_address node(unsigned i)
{
        struct kb_address address;
        struct kb_problem problem;
        char text[64];

        snprintf(text, sizeof(text), "https://127.0.0.1:%u", faults.ports[i]);
        assert_int_equal(kb_address_parse(text, false, &address, &problem), KB_E_OK);
        return address;
}

static struct kb_http *http_with(const struct kb_http_settings *settings)
{
        struct kb_http *http = NULL;
        struct kb_problem problem;

        if (kb_http_new(&http, event, settings, &problem) != KB_E_OK)
                fail_msg("%s", problem.text);
        return http;
}

static struct kb_http *http_of_ours(void)
{
        return http_with(&(struct kb_http_settings){.ca_file = in_folder("ca.pem")});
}

static void run_until(struct outcome *o)
{
        uint64_t end = kb_now_monotonic() + 60 * SEC;

        while (o->calls == 0 && kb_now_monotonic() < end)
                assert_ok(sd_event_run(event, SEC));
        assert_int_equal(o->calls, 1);
}

/* Node 0, GET sys/x: what is in `request` beyond that stays. */
static struct outcome ask(struct kb_http *http, struct kb_http_request request)
{
        struct kb_address address = node(0);
        struct kb_http_exchange *x;
        struct outcome o = {.calls = 0};

        request.address = request.address ? request.address : &address;
        request.path = request.path ? request.path : "sys/x";
        request.connect_usec = request.connect_usec ? request.connect_usec : 20 * SEC;
        request.total_usec = request.total_usec ? request.total_usec : 20 * SEC;
        request.done = on_done;
        request.userdata = &o;
        assert_ok(kb_http_start(http, &request, &x));
        assert_int_equal(o.calls, 0); /* never from inside */
        run_until(&o);
        return o;
}

static int fresh(void **state)
{
        for (unsigned i = 0; i < FAULT_NODES; i++) {
                tell(i, "ok");
                tell(i, "forget");
        }
        return sd_event_new(&event) < 0 ? -1 : 0;
}

static int stale(void **state)
{
        sd_event_unref(event);
        return 0;
}

static void a_request_has_what_it_was_given_and_nothing_else(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        static const struct {
                struct kb_http_request request;
                const char *line;
        } rows[] = {
                {{.method = KB_HTTP_GET}, "GET /v1/sys/x request=true"},
                {{.method = KB_HTTP_LIST, .path = "kv/metadata/a%20b?x=1"},
                 "LIST /v1/kv/metadata/a%20b?x=1 request=true"},
                {{.method = KB_HTTP_GET,
                  .token = {(const uint8_t *)"s.tok", 5},
                  .namespace = "team/a",
                  .wrap_seconds = 300},
                 "GET /v1/sys/x token=s.tok namespace=team/a wrap=300 request=true"},
                {{.method = KB_HTTP_POST, .body = {(const uint8_t *)"{\"a\":1}", 7}},
                 "POST /v1/sys/x type=application/json request=true body={\"a\":1}"},
                {{.method = KB_HTTP_POST}, "POST /v1/sys/x request=true"},
                {{.method = KB_HTTP_PUT, .body = {(const uint8_t *)"{}", 2}},
                 "PUT /v1/sys/x type=application/json request=true body={}"},
                {{.method = KB_HTTP_PATCH, .body = {(const uint8_t *)"{}", 2}},
                 "PATCH /v1/sys/x type=application/merge-patch+json request=true body={}"},
                {{.method = KB_HTTP_DELETE}, "DELETE /v1/sys/x request=true"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct outcome o = ask(http, rows[i].request);

                assert_int_equal(o.answer.result, KB_HTTP_ANSWERED);
                assert_int_equal(o.answer.status, 200);
                assert_true(o.answer.sent && o.text[0] == '\0');
                assert_string_equal(tell(0, "last"), rows[i].line);
                assert_non_null(strstr(o.body, "\"request\""));
        }
        assert_int_equal(told_number(0, "connections"), 1); /* kept, and used again */
}

static void a_large_body_goes_out_without_asking_first(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        _cleanup_secret_ char *body = kb_secret_alloc(30000);

        memset(body, 'x', 30000);
        assert_int_equal(
                ask(http, (struct kb_http_request){.method = KB_HTTP_POST, .body = KB_SPAN(body, 30000)})
                        .answer.status,
                200);
        assert_null(strstr(tell(0, "last"), "expect"));
}

static void what_no_header_may_have_is_not_sent(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        struct kb_address address = node(0);
        static const char *const bad[] = {"a\r\nX: y", "a b", "\xc3\xa4", "a\n", "\x7f"};
        struct kb_http_exchange *x;

        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++) {
                struct kb_http_request request = {
                        .address = &address, .path = "x", .token = KB_SPAN_STRING(bad[i])};

                assert_int_equal(kb_http_start(http, &request, &x), -EINVAL);
                request.token = KB_SPAN("", 0);
                request.mfa = KB_SPAN_STRING(bad[i]);
                assert_int_equal(kb_http_start(http, &request, &x), -EINVAL);
                request.mfa = KB_SPAN("", 0);
                request.namespace = bad[i];
                assert_int_equal(kb_http_start(http, &request, &x), -EINVAL);
        }
        assert_int_equal(told_number(0, "connections"), 0);
}

static void an_answer_is_handed_over_as_it_is(void **state)
{
        static const struct {
                const char *told;
                int status;
                uint64_t retry_after;
                const char *location, *body;
        } rows[] = {
                {"status 204", 204, 0, "", ""},
                {"status 404 {\"errors\":[]}", 404, 0, "", "{\"errors\":[]}"},
                {"status 429 Retry-After:7", 429, 7 * SEC, "", ""},
                {"status 429 Retry-After:99999999", 429, 3600 * SEC, "", ""},
                {"status 429 Retry-After:soon", 429, 0, "", ""},
                {"status 503 {\"errors\":[\"Vault is sealed\"]}", 503, 0, "",
                 "{\"errors\":[\"Vault is sealed\"]}"},
                {"status 307 Location:https://127.0.0.1:1/v1/sys/x", 307, 0, "https://127.0.0.1:1/v1/sys/x",
                 ""},
        };
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                struct outcome o;

                tell(0, rows[i].told);
                o = ask(http, (struct kb_http_request){.method = KB_HTTP_GET});
                assert_int_equal(o.answer.result, KB_HTTP_ANSWERED);
                assert_int_equal(o.answer.status, rows[i].status);
                assert_int_equal(o.answer.retry_after, rows[i].retry_after);
                assert_string_equal(o.location, rows[i].location);
                assert_string_equal(o.body, rows[i].body);
        }
        assert_int_equal(told_number(0, "count"), KB_ARRAY_SIZE(rows)); /* a redirect is not followed */
}

static void whatever_a_server_does_ends_in_a_result_in_time(void **state)
{
        static const struct {
                const char *told;
                enum kb_http_result result;
                bool sent;
        } rows[] = {
                {"stall", KB_HTTP_TIMEOUT, true},      {"drip", KB_HTTP_TIMEOUT, true},
                {"stall_tls", KB_HTTP_TIMEOUT, false}, {"plain", KB_HTTP_TLS, false},
                {"hang_up", KB_HTTP_TLS, false},       {"close", KB_HTTP_LOST, true},
                {"cut", KB_HTTP_LOST, true},           {"garbage", KB_HTTP_GARBAGE, true},
                {"headers", KB_HTTP_GARBAGE, true},    {"line", KB_HTTP_GARBAGE, true},
                {"large", KB_HTTP_TOO_LARGE, true},    {"endless", KB_HTTP_TOO_LARGE, true},
                {"full", KB_HTTP_TIMEOUT, false},      {"down", KB_HTTP_CONNECT, false},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
                bool waits = rows[i].result == KB_HTTP_TIMEOUT;
                uint64_t began;
                struct outcome o;

                assert_string_equal(tell(0, rows[i].told), "ok");
                began = kb_now_monotonic();
                o = ask(http, (struct kb_http_request){.method = KB_HTTP_GET,
                                                       .connect_usec = (waits ? 1 : 20) * SEC,
                                                       .total_usec = (waits ? 2 : 20) * SEC});
                if (o.answer.result != rows[i].result || o.answer.sent != rows[i].sent)
                        fail_msg("%s: %d, %s", rows[i].told, (int)o.answer.result, o.text);
                assert_true(o.text[0] && o.answer.body.size == 0 && o.answer.status == 0);
                assert_true(!waits || kb_now_monotonic() - began < 15 * SEC);
        }
        tell(0, "up");
}

static void a_name_that_nobody_knows_is_told(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        struct kb_address address;
        struct kb_problem problem;
        struct outcome o;

        assert_int_equal(kb_address_parse("https://nobody.example", false, &address, &problem), KB_E_OK);
        o = ask(http, (struct kb_http_request){.address = &address});
        assert_true(o.answer.result == KB_HTTP_NAME ||
                    o.answer.result == KB_HTTP_TIMEOUT); /* no resolver here */
        assert_false(o.answer.sent);
}

/* libcurl sends again by itself when a kept connection turns out to be dead. */
static void once_is_never_on_the_wire_twice(void **state)
{
        for (int once = 0; once < 2; once++) {
                _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
                struct kb_http_request request = {
                        .method = KB_HTTP_POST, .body = KB_SPAN_STRING("{}"), .once = once};
                struct outcome o;

                tell(0, "second_close");
                tell(0, "forget");
                assert_int_equal(ask(http, request).answer.result, KB_HTTP_ANSWERED);
                o = ask(http, request);
                assert_int_equal(o.answer.result, once ? KB_HTTP_LOST : KB_HTTP_ANSWERED);
                assert_true(o.answer.sent);
                assert_int_equal(told_number(0, "count"), once ? 2 : 3);
        }
}

static void a_cancelled_one_is_not_heard_of(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        struct kb_address address = node(0);
        struct outcome o = {.calls = 0}, other;
        struct kb_http_request request = {.address = &address,
                                          .path = "x",
                                          .connect_usec = SEC,
                                          .total_usec = SEC,
                                          .done = on_done,
                                          .userdata = &o};
        struct kb_http_exchange *x;

        assert_ok(kb_http_start(http, &request, &x));
        kb_http_cancel(x);
        tell(0, "stall");
        assert_ok(kb_http_start(http, &request, &x));
        for (int i = 0; i < 10; i++)
                assert_ok(sd_event_run(event, 10000));
        kb_http_cancel(x);
        tell(0, "ok");
        other = ask(http, (struct kb_http_request){.method = KB_HTTP_GET});
        assert_int_equal(other.answer.status, 200);
        assert_int_equal(o.calls, 0);
}

/* Listens, and takes in only so much before it reads. */
static int slow_listener(struct kb_address *ret)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), little = 1;
        socklen_t size = sizeof(at);
        struct kb_problem problem;
        char text[64];

        assert_true(fd >= 0);
        assert_ok(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)));
        assert_ok(bind(fd, (struct sockaddr *)&at, size));
        assert_ok(listen(fd, 1));
        assert_ok(getsockname(fd, (struct sockaddr *)&at, &size));
        snprintf(text, sizeof(text), "http://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
        assert_int_equal(kb_address_parse(text, true, ret, &problem), KB_E_OK);
        return fd;
}

/* A network that is away comes back, and the server must not be asked then. */
static void what_was_not_sent_when_it_was_given_up_is_never_sent(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        _cleanup_secret_ char *body = kb_secret_alloc(BODY);
        struct kb_address address;
        int listener = slow_listener(&address), fd;
        size_t heard = 0;
        char buffer[4096];
        struct outcome o;
        ssize_t n;

        memset(body, 'x', BODY);
        o = ask(http, (struct kb_http_request){.method = KB_HTTP_POST,
                                               .address = &address,
                                               .body = KB_SPAN(body, BODY),
                                               .total_usec = SEC / 2});
        assert_int_not_equal(o.answer.result, KB_HTTP_ANSWERED);
        fd = accept(listener, NULL, NULL);
        assert_true(fd >= 0);
        while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
                heard += (size_t)n;
        assert_true(n < 0 && errno == ECONNRESET);
        assert_true(heard < BODY);
        close(fd);
        close(listener);
}

static void many_at_once_wait_their_turn(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http =
                http_with(&(struct kb_http_settings){.ca_file = in_folder("ca.pem"), .max_connections = 2});
        struct kb_address address = node(0);
        static struct outcome outcomes[50];
        struct kb_http_exchange *x;
        uint64_t end = kb_now_monotonic() + 60 * SEC;
        unsigned done = 0;

        for (size_t i = 0; i < KB_ARRAY_SIZE(outcomes); i++) {
                struct kb_http_request request = {.address = &address,
                                                  .path = "x",
                                                  .connect_usec = 50 * SEC,
                                                  .total_usec = 50 * SEC,
                                                  .done = on_done,
                                                  .userdata = &outcomes[i]};

                assert_ok(kb_http_start(http, &request, &x));
        }
        while (done < KB_ARRAY_SIZE(outcomes) && kb_now_monotonic() < end) {
                assert_ok(sd_event_run(event, SEC));
                done = 0;
                for (size_t i = 0; i < KB_ARRAY_SIZE(outcomes); i++)
                        done += outcomes[i].calls;
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(outcomes); i++) {
                assert_int_equal(outcomes[i].calls, 1);
                assert_int_equal(outcomes[i].answer.status, 200);
        }
        assert_in_range(told_number(0, "connections"), 1, 2);
}

/* --- TLS --- */

static void nobody_is_believed_who_cannot_show_who_they_are(void **state)
{
        static const struct {
                const char *told;
                bool system; /* the system's authorities instead of ours */
                bool tls_1_2;
                const char *server_name;
                enum kb_http_result result;
        } rows[] = {
                {"ok", false, false, NULL, KB_HTTP_ANSWERED},
                {"ok", true, false, NULL, KB_HTTP_TLS},
                {"certificate wrong-name", false, false, NULL, KB_HTTP_TLS},
                {"certificate stranger", false, false, NULL, KB_HTTP_TLS},
                {"certificate ended", false, false, NULL, KB_HTTP_TLS},
                {"tls12", false, false, NULL, KB_HTTP_TLS},
                {"tls12", false, true, NULL, KB_HTTP_ANSWERED},
                {"ok", false, true, NULL, KB_HTTP_ANSWERED},
                {"ok", false, false, "bao.example", KB_HTTP_ANSWERED},
                {"ok", false, false, "other.example", KB_HTTP_TLS},
                {"certificate wrong-name", false, false, "other.example", KB_HTTP_ANSWERED},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_(kb_http_freep) struct kb_http *http = http_with(
                        &(struct kb_http_settings){.ca_file = rows[i].system ? NULL : in_folder("ca.pem"),
                                                   .tls_1_2 = rows[i].tls_1_2,
                                                   .server_name = rows[i].server_name});
                struct outcome o;

                tell(0, rows[i].told);
                tell(0, "forget");
                o = ask(http, (struct kb_http_request){.token = KB_SPAN_STRING("s.tok")});
                if (o.answer.result != rows[i].result)
                        fail_msg("row %zu, %s: %d %s", i, rows[i].told, (int)o.answer.result, o.text);
                assert_int_equal(o.answer.sent, rows[i].result == KB_HTTP_ANSWERED);
                assert_int_equal(told_number(0, "count"), rows[i].result == KB_HTTP_ANSWERED);
        }
}

static void copy(const char *from, const char *to)
{
        char command[1200];
        FILE *in = fopen(in_folder(from), "r"), *out;
        size_t n;

        assert_non_null(in);
        n = fread(command, 1, sizeof(command), in);
        fclose(in);
        unlink(in_folder(to)); /* a new file, as those make it who renew certificates */
        out = fopen(in_folder(to), "w");
        assert_int_equal(fwrite(command, 1, n, out), n);
        fclose(out);
        assert_int_equal(chmod(in_folder(to), 0600), 0);
}

static void the_certificate_is_read_again_when_it_changed(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = NULL;
        struct kb_http_request request = {.method = KB_HTTP_GET};

        copy("host-1.pem", "mine.pem");
        copy("host-1.key", "mine.key");
        tell(0, "client");
        http = http_with(&(struct kb_http_settings){.ca_file = in_folder("ca.pem"),
                                                    .certificate_file = in_folder("mine.pem"),
                                                    .key_file = in_folder("mine.key")});
        assert_non_null(strstr(ask(http, request).body, "\"client\": \"host-1\""));
        copy("host-2.pem", "mine.pem"); /* its key is not there yet */
        assert_non_null(strstr(ask(http, request).body, "\"client\": \"host-1\""));
        assert_non_null(strstr(kb_http_trouble(http), "is not its own"));
        copy("host-2.key", "mine.key");
        assert_non_null(
                strstr(ask(http, request).body, "\"client\": \"host-2\"")); /* not over the old connection */
        assert_string_equal(kb_http_trouble(http), "");
        unlink(in_folder("mine.key"));
        assert_non_null(strstr(ask(http, request).body, "\"client\": \"host-2\""));
        assert_non_null(strstr(kb_http_trouble(http), "mine.key: No such file"));
}

static void a_server_that_wants_a_certificate_gets_none_from_who_has_none(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = http_of_ours();
        struct outcome o;

        tell(0, "client");
        o = ask(http, (struct kb_http_request){.method = KB_HTTP_GET});
        assert_true(o.answer.result == KB_HTTP_LOST || o.answer.result == KB_HTTP_TLS);
        assert_int_equal(told_number(0, "count"), 0);
}

static void the_authorities_are_read_again_when_they_changed(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = NULL;

        copy("ca.pem", "authorities.pem");
        http = http_with(&(struct kb_http_settings){.ca_file = in_folder("authorities.pem")});
        assert_int_equal(ask(http, (struct kb_http_request){}).answer.result, KB_HTTP_ANSWERED);
        copy("other-ca.pem", "authorities.pem");
        assert_int_equal(ask(http, (struct kb_http_request){}).answer.result, KB_HTTP_TLS);
        tell(0, "certificate stranger");
        assert_int_equal(ask(http, (struct kb_http_request){}).answer.result, KB_HTTP_ANSWERED);
}

static void put(const char *name, const char *text, mode_t mode)
{
        FILE *f = fopen(in_folder(name), "w");

        fputs(text, f);
        fclose(f);
        assert_int_equal(chmod(in_folder(name), mode), 0);
}

static void files_that_cannot_be_used_are_named(void **state)
{
        static const struct {
                const char *ca, *certificate, *key, *text;
        } rows[] = {
                {"nothing.pem", NULL, NULL, "nothing.pem: No such file"},
                {"empty.pem", NULL, NULL, "empty.pem: no certificate of an authority in it"},
                {"ca.key", NULL, NULL, "ca.key: no certificate of an authority in it"},
                {".", NULL, NULL, "Invalid argument"},
                {NULL, "nothing.pem", "host-1.key", "nothing.pem: No such file"},
                {NULL, "host-1.pem", "nothing.key", "nothing.key: No such file"},
                {NULL, "host-1.pem", NULL, "host-1.pem: no key in it"},
                {NULL, "empty.pem", "host-1.key", "empty.pem: no certificate in it"},
                {NULL, "host-1.pem", "encrypted.key",
                 "encrypted.key: no key in it that can be read without a passphrase"},
                {NULL, "host-1.pem", "host-2.key", "host-1.pem: the key in"},
                {NULL, "host-1.pem", "open.key", "open.key: everybody may read the key"},
                {NULL, NULL, "host-1.key", "host-1.key: a key without a certificate"},
        };

        put("empty.pem", "", 0600);
        copy("host-1.key", "open.key");
        assert_int_equal(chmod(in_folder("open.key"), 0644), 0);
        put("encrypted.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", 0600);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                char ca[512], certificate[512], key[512];
                struct kb_http_settings settings = {.ca_file = rows[i].ca ? ca : NULL,
                                                    .certificate_file =
                                                            rows[i].certificate ? certificate : NULL,
                                                    .key_file = rows[i].key ? key : NULL};
                struct kb_problem problem = {.text = ""};
                struct kb_http *http = NULL;

                snprintf(ca, sizeof(ca), "%s", in_folder(rows[i].ca ? rows[i].ca : ""));
                snprintf(certificate, sizeof(certificate), "%s",
                         in_folder(rows[i].certificate ? rows[i].certificate : ""));
                snprintf(key, sizeof(key), "%s", in_folder(rows[i].key ? rows[i].key : ""));
                assert_int_equal(kb_http_new(&http, event, &settings, &problem), KB_E_BAD_REQUEST);
                if (!strstr(problem.text, rows[i].text))
                        fail_msg("row %zu: %s", i, problem.text);
        }
}

static void certificate_and_key_may_be_one_file_behind_a_link(void **state)
{
        _cleanup_(kb_http_freep) struct kb_http *http = NULL;
        static char text[4000];
        size_t n = 0;
        const char *const parts[] = {"host-1.key", "host-1.pem"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(parts); i++) {
                FILE *f = fopen(in_folder(parts[i]), "r");

                n += fread(text + n, 1, sizeof(text) - n - 1, f);
                fclose(f);
        }
        put("both.pem", text, 0600);
        assert_int_equal(symlink("both.pem", in_folder("link.pem")), 0);
        tell(0, "client");
        http = http_with(&(struct kb_http_settings){.ca_file = in_folder("ca.pem"),
                                                    .certificate_file = in_folder("link.pem")});
        assert_non_null(strstr(ask(http, (struct kb_http_request){}).body, "\"client\": \"host-1\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, stale)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_request_has_what_it_was_given_and_nothing_else),
                TEST(a_large_body_goes_out_without_asking_first),
                TEST(what_no_header_may_have_is_not_sent),
                TEST(an_answer_is_handed_over_as_it_is),
                TEST(whatever_a_server_does_ends_in_a_result_in_time),
                TEST(a_name_that_nobody_knows_is_told),
                TEST(once_is_never_on_the_wire_twice),
                TEST(a_cancelled_one_is_not_heard_of),
                TEST(what_was_not_sent_when_it_was_given_up_is_never_sent),
                TEST(many_at_once_wait_their_turn),
                TEST(nobody_is_believed_who_cannot_show_who_they_are),
                TEST(the_certificate_is_read_again_when_it_changed),
                TEST(a_server_that_wants_a_certificate_gets_none_from_who_has_none),
                TEST(the_authorities_are_read_again_when_they_changed),
                TEST(files_that_cannot_be_used_are_named),
                TEST(certificate_and_key_may_be_one_file_behind_a_link),
        };

        return cmocka_run_group_tests(tests, faults_start, faults_stop);
}
