/* SPDX-License-Identifier: Apache-2.0 */
/* How a host logs in and stays so, against a server that says what the test wants, by the test's clock. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/stat.h>

#include "helper/store/vault/login.h"
#include "tests/unit/folder.h"
#include "tests/unit/memory.h"
#include "tests/unit/timers.h"

#define SEC   KB_USEC_PER_SEC
#define START ((uint64_t)1000000000 * SEC) /* later than this machine can be up: no real timer fires */
#define CLOCK ((uint64_t)700000000 * SEC)  /* so far the time of day is ahead */

#define ROLE_ID   "role-id-1"
#define SECRET_ID "secret-id-7f3a"
#define TOKEN     "hvs.token-one"
#define WRAPPING  "hvs.wrapping"

static struct {
        uint64_t now, clock, random;

        bool open; /* a request is under way */
        int refuse_start;
        bool read_only;  /* files cannot be removed */
        int fail_answer; /* the allocation that fails while an answer is looked at */
        enum kb_http_method method;
        char path[256], namespace[64], token[64], body[1024];
        bool once;
        kb_cluster_done done;
        void *userdata;
        unsigned asked, cancelled;

        sd_event *event;
        struct kb_login *login;
        unsigned changes;
} world;

/* --- the world --- */

uint64_t __wrap_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void)
{
        return world.now;
}

uint64_t __wrap_kb_now_realtime(void);
uint64_t __wrap_kb_now_realtime(void)
{
        return world.now + world.clock;
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
        if (!world.read_only)
                return __real_unlink(path);
        errno = EROFS;
        return -1;
}

static void copy(char *to, size_t size, struct kb_span from)
{
        assert_true(from.size < size);
        if (from.size > 0)
                memcpy(to, from.data, from.size);
        to[from.size] = '\0';
}

int kb_cluster_start(struct kb_cluster *cluster, const struct kb_cluster_request *request,
                     struct kb_cluster_call **ret)
{
        assert_false(world.open); /* one thing at a time */
        if (world.refuse_start > 0) {
                world.refuse_start--;
                return -ENOMEM;
        }
        world.open = true;
        world.asked++;
        world.method = request->method;
        snprintf(world.path, sizeof(world.path), "%s", request->path);
        snprintf(world.namespace, sizeof(world.namespace), "%s",
                 request->namespace ? request->namespace : "");
        copy(world.token, sizeof(world.token), request->token);
        copy(world.body, sizeof(world.body), request->body);
        world.once = request->once;
        world.done = request->done;
        world.userdata = request->userdata;
        *ret = (struct kb_cluster_call *)&world;
        return 0;
}

void kb_cluster_cancel(struct kb_cluster_call *call)
{
        if (!call)
                return;
        assert_true(world.open);
        world.open = false;
        world.cancelled++;
}

static void settle(void)
{
        while (sd_event_run(world.event, 0) > 0)
                ;
}

static bool fire_one(void)
{
        bool fired = timers_fire(world.now);

        settle();
        return fired;
}

/* Time goes on, in steps, until something is asked or it is over. Returns whether something is. */
static bool pass(uint64_t usec)
{
        uint64_t end = world.now + usec, step = usec / 500 + 1;

        for (;;) {
                for (int i = 0; fire_one(); i++)
                        assert_true(i < 10); /* no loop that eats the processor */
                if (world.open || world.now >= end)
                        return world.open;
                world.now = world.now + step < end ? world.now + step : end;
        }
}

static void answer(enum kb_error error, const char *text, const char *json)
{
        _cleanup_(kb_json_freep) struct kb_json *document = NULL;
        struct kb_cluster_answer a = {.error = error, .address = "https://bao:8200", .text = text};
        const char *part;

        assert_true(world.open);
        if (json) {
                assert_ok(kb_json_parse(KB_SPAN_STRING(json), &document));
                a.json = kb_json_root(document);
                assert_ok(kb_api_envelope(a.json, &a.envelope, &part));
        }
        world.open = false;
        atomic_store(&memory_left, world.fail_answer);
        world.done(&a, world.userdata);
        atomic_store(&memory_left, 0);
        settle();
}

#define GRANT(token, seconds, renewable)                                                                    \
        "{\"auth\":{\"client_token\":\"" token "\",\"accessor\":\"acc-" token                               \
        "\",\"token_type\":\"service\","                                                                    \
        "\"lease_duration\":" #seconds ",\"renewable\":" #renewable "}}"
#define LOOKUP(seconds)                                                                                     \
        "{\"data\":{\"ttl\":" #seconds ",\"creation_ttl\":3600,\"renewable\":true,\"type\":\"service\","    \
        "\"accessor\":\"acc-x\",\"num_uses\":0}}"
#define WRAP(path) "{\"data\":{\"creation_path\":\"" path "\",\"creation_ttl\":300}}"

static void assert_asked(const char *path)
{
        if (!pass(0))
                fail_msg("nothing is asked instead of %s; %s", path, kb_login_problem(world.login)->text);
        assert_string_equal(world.path, path);
}

static void write_file(const char *name, const char *content, mode_t mode)
{
        FILE *f;

        unlink(in_folder(name));
        f = fopen(in_folder(name), "we");
        assert_non_null(f);
        fputs(content, f);
        fclose(f);
        assert_int_equal(chmod(in_folder(name), mode), 0);
}

static struct kb_login_settings settings;

static void on_change(struct kb_login *login, void *userdata)
{
        world.changes++;
}

static uint64_t random_of(void *userdata)
{
        return world.random;
}

static void begin(void)
{
        world.open = false;
        settings.random = random_of;
        assert_ok(kb_login_new(&world.login, world.event, NULL, &settings, on_change, NULL));
}

static void greet(struct kb_span keep)
{
        kb_login_restore(world.login, keep);
        settle();
}

static void end(void)
{
        kb_login_free(world.login);
        world.login = NULL;
}

/* Ends, and begins again with what was kept. */
static void restart(uint64_t away)
{
        _cleanup_writer_ struct kb_writer keep = kb_writer_init(KB_LOGIN_KEEP_MAX);

        kb_login_keep(world.login, &keep);
        assert_ok(kb_writer_end(&keep));
        end();
        world.now += away;
        begin();
        greet(KB_SPAN(keep.data, keep.size));
}

/* The greeting each minute. */
static void greet_again(void)
{
        _cleanup_writer_ struct kb_writer keep = kb_writer_init(KB_LOGIN_KEEP_MAX);

        kb_login_keep(world.login, &keep);
        greet(KB_SPAN(keep.data, keep.size));
}

static void assert_token(const char *token)
{
        struct kb_span span = kb_login_token(world.login);

        assert_int_equal(span.size, strlen(token));
        assert_memory_equal(span.data, token, span.size);
        assert_int_equal(kb_login_problem(world.login)->error, span.size > 0 ? KB_E_OK : KB_E_UNREACHABLE);
        assert_true((kb_login_generation(world.login) != 0) == (span.size > 0));
}

/* What is not logged in says why. */
static void assert_problem(const char *part)
{
        const struct kb_problem *p = kb_login_problem(world.login);

        assert_int_equal(p->error, KB_E_UNREACHABLE);
        if (!strstr(p->text, part))
                fail_msg("\"%s\" is not in: %s", part, p->text);
        assert_null(strstr(p->text, SECRET_ID));
        assert_null(strstr(p->text, WRAPPING));
        assert_null(strstr(p->text, TOKEN));
        assert_int_equal(kb_login_token(world.login).size, 0);
        assert_int_equal(kb_login_ends(world.login), 0);
}

static bool fact(const char *name, const char *part)
{
        _cleanup_list_ struct kb_list_builder facts = kb_list_builder_init(4096);
        const char *text;

        kb_login_facts(world.login, &facts);
        assert_null(memmem(facts.writer.data, facts.writer.size, SECRET_ID, strlen(SECRET_ID)));
        return kb_list_find_string(kb_list_built(&facts), name, &text) && strstr(text, part);
}

static int make_world(void **state)
{
        static char role_id[256], secret_id[256];

        world.now = START;
        world.clock = CLOCK;
        world.random = 0;
        world.asked = world.changes = 0;
        assert_ok(sd_event_new(&world.event));
        snprintf(role_id, sizeof(role_id), "%s", in_folder("role-id"));
        snprintf(secret_id, sizeof(secret_id), "%s", in_folder("secret-id"));
        write_file("role-id", ROLE_ID "\n", 0644);
        write_file("secret-id", SECRET_ID "\n", 0600);
        settings = (struct kb_login_settings){
                .method = KB_LOGIN_APPROLE, .role_id_file = role_id, .secret_id_file = secret_id};
        return 0;
}

static int unmake_world(void **state)
{
        end();
        world.event = sd_event_unref(world.event);
        return 0;
}

static void logged_in_with(const char *json)
{
        assert_asked("auth/approle/login");
        answer(KB_E_OK, "", json);
}

static void logged_in(void)
{
        begin();
        greet(KB_SPAN("", 0));
        logged_in_with(GRANT(TOKEN, 3600, true));
        assert_token(TOKEN);
}

/* --- logging in --- */

static void nothing_is_asked_before_the_first_greeting(void **state)
{
        _cleanup_writer_ struct kb_writer keep = kb_writer_init(KB_LOGIN_KEEP_MAX);

        begin();
        assert_false(pass(600 * SEC));
        assert_problem("keybearerd has not greeted");
        kb_login_keep(world.login, &keep);
        assert_int_equal(keep.size, 0); /* the broker keeps what it has */
        greet(KB_SPAN("", 0));
        logged_in_with(GRANT(TOKEN, 3600, true));
        assert_token(TOKEN);
        assert_true(world.changes > 0);
        assert_string_equal(kb_login_accessor(world.login), "acc-" TOKEN);
        assert_true(kb_login_ends(world.login) == world.now + 3600 * SEC);
        assert_true(fact("login", "approle") && fact("token ends", "in 3600 s"));
        assert_true(fact("token renewed", "in 2400 s") && fact("token trouble", ""));
}

static void each_method_asks_for_what_its_row_says(void **state)
{
        static char jwt[256], token[256];
        const struct {
                struct kb_login_settings settings;
                const char *path, *body;
        } rows[] = {
                {settings, "auth/approle/login",
                 "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}"},
                {{.method = KB_LOGIN_APPROLE,
                  .role_id_file = settings.role_id_file,
                  .mount = "/team/roles/",
                  .namespace = "ns1"},
                 "auth/team/roles/login",
                 "{\"role_id\":\"" ROLE_ID "\"}"},
                {{.method = KB_LOGIN_APPROLE,
                  .role_id_file = settings.role_id_file,
                  .secret_id_file = "/nowhere",
                  .secret_id_credential = "secret-id",
                  .credentials = test_folder},
                 "auth/approle/login",
                 "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}"},
                {{.method = KB_LOGIN_CERT}, "auth/cert/login", "{}"},
                {{.method = KB_LOGIN_CERT, .role = "web"}, "auth/cert/login", "{\"name\":\"web\"}"},
                {{.method = KB_LOGIN_JWT, .jwt_file = jwt}, "auth/jwt/login", "{\"jwt\":\"a.b.c\"}"},
                {{.method = KB_LOGIN_JWT, .jwt_file = jwt, .role = "host"},
                 "auth/jwt/login",
                 "{\"role\":\"host\",\"jwt\":\"a.b.c\"}"},
                {{.method = KB_LOGIN_KUBERNETES, .jwt_file = jwt, .role = "pod"},
                 "auth/kubernetes/login",
                 "{\"role\":\"pod\",\"jwt\":\"a.b.c\"}"},
        };

        snprintf(jwt, sizeof(jwt), "%s", in_folder("jwt"));
        snprintf(token, sizeof(token), "%s", in_folder("token"));
        write_file("jwt", " a.b.c\r\n", 0600);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                settings = rows[i].settings;
                begin();
                greet(KB_SPAN("", 0));
                assert_asked(rows[i].path);
                assert_string_equal(world.body, rows[i].body);
                assert_string_equal(world.token, "");
                assert_string_equal(world.namespace, settings.namespace ? settings.namespace : "");
                assert_int_equal(world.method, KB_HTTP_POST);
                assert_true(world.once); /* its answer may be lost, and a SecretID good for one use */
                answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
                assert_token(TOKEN);
                end();
        }
}

static void settings_that_cannot_be_are_refused(void **state)
{
        const struct kb_login_settings rows[] = {
                {.method = KB_LOGIN_APPROLE},
                {.method = KB_LOGIN_APPROLE, .role_id_file = "relative"},
                {.method = KB_LOGIN_APPROLE, .role_id_file = "/r", .secret_id_wrapped = true, .role = "r"},
                {.method = KB_LOGIN_APPROLE,
                 .role_id_file = "/r",
                 .secret_id_file = "/s",
                 .secret_id_wrapped = true},
                {.method = KB_LOGIN_JWT},
                {.method = KB_LOGIN_KUBERNETES},
                {.method = KB_LOGIN_TOKEN},
                {.method = KB_LOGIN_METHODS},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++)
                assert_int_equal(kb_login_new(&world.login, world.event, NULL, &rows[i], on_change, NULL),
                                 -EINVAL);
}

static void a_file_that_cannot_be_trusted_is_not_sent_and_is_when_it_was_mended(void **state)
{
        static char big[KB_USEC_PER_MSEC * 17 + 1];
        const struct {
                const char *content;
                mode_t mode;
                const char *problem;
        } rows[] = {
                {SECRET_ID, 0644, "readable for everybody (mode 0644): chmod o= "},
                {SECRET_ID, 0620, "writable for more than its owner"},
                {SECRET_ID, 0602, "writable for more than its owner"},
                {"", 0600, "cannot be the SecretID"},
                {" \n\t\n", 0600, "cannot be the SecretID"},
                {SECRET_ID " and more", 0600, "cannot be the SecretID"},
                {SECRET_ID "\x01", 0600, "cannot be the SecretID"},
                {"secret-\xc3\xa4", 0600, "cannot be the SecretID"},
                {big, 0600, "cannot be the SecretID"},
                {NULL, 0, "is missing"},
        };

        memset(big, 'x', sizeof(big) - 1);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                if (rows[i].content)
                        write_file("secret-id", rows[i].content, rows[i].mode);
                else
                        unlink(in_folder("secret-id"));
                begin();
                greet(KB_SPAN("", 0));
                assert_false(pass(3600 * SEC));
                assert_problem(rows[i].problem);
                write_file("secret-id", SECRET_ID, 0600);
                assert_true(pass(6 * SEC));
                logged_in_with(GRANT(TOKEN, 3600, true));
                assert_token(TOKEN);
                end();
        }
}

static void no_link_no_pipe_and_no_folder_is_a_secret(void **state)
{
        static const char *problems[] = {"symbolic link", "no regular file", "no regular file"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(problems); i++) {
                unlink(in_folder("secret-id"));
                write_file("other", SECRET_ID, 0600);
                if (i == 0)
                        assert_int_equal(symlink(in_folder("other"), in_folder("secret-id")), 0);
                else if (i == 1)
                        assert_int_equal(mkfifo(in_folder("secret-id"), 0600), 0);
                else
                        assert_int_equal(mkdir(in_folder("secret-id"), 0700), 0);
                begin();
                greet(KB_SPAN("", 0));
                assert_false(pass(60 * SEC));
                assert_problem(problems[i]);
                end();
                remove(in_folder("secret-id"));
        }
}

static void a_file_of_somebody_else_is_not_trusted(void **state)
{
        if (geteuid() != 0)
                skip();
        assert_int_equal(chown(in_folder("secret-id"), 4242, 0), 0);
        begin();
        greet(KB_SPAN("", 0));
        assert_false(pass(60 * SEC));
        assert_problem("belongs to uid 4242");
        end();
        assert_int_equal(chown(in_folder("secret-id"), 0, 4242), 0);
        assert_int_equal(chmod(in_folder("secret-id"), 0640), 0);
        begin();
        greet(KB_SPAN("", 0));
        assert_false(pass(60 * SEC));
        assert_problem("readable for the group with gid 4242");
}

static void a_projected_token_may_be_a_link_and_is_read_at_each_login(void **state)
{
        static char jwt[256];

        snprintf(jwt, sizeof(jwt), "%s", in_folder("projected"));
        settings = (struct kb_login_settings){.method = KB_LOGIN_KUBERNETES, .jwt_file = jwt, .role = "pod"};
        write_file("data1", "one", 0644);
        write_file("data2", "two", 0644);
        assert_int_equal(symlink("data1", jwt), 0);
        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/kubernetes/login");
        assert_string_equal(world.body, "{\"role\":\"pod\",\"jwt\":\"one\"}");
        answer(KB_E_OK, "", GRANT(TOKEN, 60, false));
        unlink(jwt);
        assert_int_equal(symlink("data2", jwt), 0);
        assert_false(pass(20 * SEC));
        assert_true(pass(20 * SEC));
        assert_string_equal(world.body, "{\"role\":\"pod\",\"jwt\":\"two\"}");
        unlink(jwt);
}

static void failures_that_pass_are_waited_out(void **state)
{
        uint64_t last;

        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/approle/login");
        for (int i = 0; i < 12; i++) {
                answer(KB_E_UNREACHABLE, "nobody there", NULL);
                assert_problem("this host cannot log in with approle: nobody there");
                last = world.now;
                assert_true(pass(301 * SEC));
                assert_true(world.now - last >= SEC / 4 * 3);
        }
        answer(KB_E_SEALED, "it is sealed", NULL);
        assert_int_equal(kb_login_problem(world.login)->error, KB_E_SEALED);
        assert_true(pass(301 * SEC));
        answer(KB_E_THROTTLED, "too many", NULL);
        assert_int_equal(kb_login_problem(world.login)->error, KB_E_THROTTLED);
        assert_true(pass(301 * SEC));
        world.refuse_start = 2;
        answer(KB_E_INTERNAL, "a bug", NULL);
        assert_true(pass(1000 * SEC)); /* memory was out twice, and it is tried again */
        answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
        assert_token(TOKEN);
}

static void a_lockout_is_never_fed_not_even_by_restarts(void **state)
{
        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/approle/login");
        answer(KB_E_BAD_REQUEST, "invalid role or secret ID", NULL);
        assert_problem("invalid role or secret ID; put a new SecretID there, or touch its file");
        assert_true(pass(60 * SEC));
        answer(KB_E_BAD_REQUEST, "invalid role or secret ID", NULL);
        for (int i = 0; i < 5; i++) {
                assert_false(pass(60 * SEC));
                restart(SEC);
                assert_problem("was refused before");
        }
        assert_false(pass(590 * SEC));
        assert_true(pass(400 * SEC));
        answer(KB_E_DENIED, "permission denied", NULL); /* it is locked */
        assert_problem("locks a role for 15 minutes");
        restart(SEC);
        assert_false(pass(800 * SEC));
        restart(SEC);
        assert_false(pass(20 * SEC));
        write_file("secret-id", "another", 0600); /* but a new one is worth a try */
        assert_true(pass(6 * SEC));
        assert_string_equal(world.body, "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"another\"}");
        answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
        assert_token(TOKEN);
}

static void a_touched_file_is_tried_again(void **state)
{
        static const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/approle/login");
        answer(KB_E_DENIED, "permission denied", NULL);
        assert_false(pass(60 * SEC));
        usleep(10000);
        assert_int_equal(utimensat(AT_FDCWD, in_folder("secret-id"), times, 0), 0);
        assert_true(pass(6 * SEC));
}

static void what_is_no_login_is_none(void **state)
{
        static char long_token[4096], long_accessor[512];
        const struct {
                const char *json, *problem;
        } rows[] = {
                {NULL, "its answer is none to a login"},
                {"{\"data\":{}}", "its answer is none to a login"},
                {"{\"auth\":{\"client_token\":\"\",\"mfa_requirement\":{\"mfa_request_id\":\"1\"}}}",
                 "a second factor"},
                {long_token, "a token that is too long"},
                {long_accessor, "an accessor that is too long"},
                {"{\"auth\":{\"client_token\":\"t\",\"lease_duration\":60,\"num_uses\":3}}",
                 "token_num_uses"},
        };

        snprintf(long_token, sizeof(long_token), "{\"auth\":{\"client_token\":\"%02049d\"}}", 0);
        snprintf(long_accessor, sizeof(long_accessor),
                 "{\"auth\":{\"client_token\":\"t\",\"accessor\":\"%0129d\"}}", 0);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                begin();
                greet(KB_SPAN("", 0));
                logged_in_with(rows[i].json);
                assert_problem(rows[i].problem);
                assert_true(pass(60 * SEC));
                logged_in_with(rows[i].json);
                assert_false(pass(899 * SEC)); /* each try may leave a token behind */
                end();
        }
}

static void a_batch_token_is_known_as_one(void **state)
{
        begin();
        greet(KB_SPAN("", 0));
        logged_in_with("{\"auth\":{\"client_token\":\"hvb.x\",\"accessor\":\"\",\"token_type\":\"batch\","
                       "\"lease_duration\":1000,\"renewable\":false}}");
        assert_token("hvb.x");
        assert_true(kb_login_batch(world.login));
        assert_true(fact("token accessor", "batch") && fact("token renewed", "never"));
        assert_false(pass(440 * SEC));
        assert_true(pass(70 * SEC));
        assert_string_equal(world.path, "auth/approle/login"); /* nothing renews it */
        restart(0);
        assert_asked("auth/token/lookup-self");
        answer(KB_E_OK, "", LOOKUP(490));
        assert_true(kb_login_batch(world.login));
}

/* --- a SecretID that is wrapped --- */

static void wrapped(void)
{
        settings.secret_id_wrapped = true;
        settings.role = "host";
        write_file("secret-id", WRAPPING, 0600);
        begin();
        greet(KB_SPAN("", 0));
        assert_asked("sys/wrapping/lookup");
        assert_string_equal(world.body, "{\"token\":\"" WRAPPING "\"}");
        assert_string_equal(world.token, "");
}

static void a_wrapped_secret_id_is_unwrapped_once_and_remembered(void **state)
{
        wrapped();
        answer(KB_E_OK, "", WRAP("auth/approle/role/host/secret-id"));
        assert_asked("sys/wrapping/unwrap");
        assert_string_equal(world.token, WRAPPING);
        assert_string_equal(world.body, "");
        assert_true(world.once);
        answer(KB_E_OK, "", "{\"data\":{\"secret_id\":\"" SECRET_ID "\"}}");
        assert_asked("auth/approle/login");
        assert_string_equal(world.body, "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}");
        answer(KB_E_UNREACHABLE, "nobody there", NULL);
        restart(SEC); /* it survives that, as no wrapping token would */
        assert_asked("auth/approle/login");
        assert_string_equal(world.body, "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}");
        answer(KB_E_OK, "", GRANT(TOKEN, 60, false));
        assert_true(pass(31 * SEC));
        assert_string_equal(world.path, "auth/approle/login");
        answer(KB_E_BAD_REQUEST, "invalid role or secret ID", NULL);
        write_file("secret-id", "hvs.new", 0600); /* a new one is unwrapped */
        assert_true(pass(10 * SEC));
        assert_string_equal(world.body, "{\"token\":\"hvs.new\"}");
}

static void a_wrapping_token_that_is_not_ours_or_used_is_left_alone_until_the_file_changes(void **state)
{
        static const struct {
                enum kb_error error;
                const char *json, *problem;
        } rows[] = {
                {KB_E_OK, WRAP("auth/approle/role/other/secret-id"),
                 "was not made as one of Mount= and Role="},
                {KB_E_OK, WRAP("auth/approle/role/host/secret-id/x"), "was not made as one of"},
                {KB_E_OK, WRAP("cubbyhole/x"), "was not made as one of"},
                {KB_E_OK, "{\"data\":{}}", "was not made as one of"},
                {KB_E_OK, NULL, "was not made as one of"},
                {KB_E_BAD_REQUEST, NULL, "was used already"},
                {KB_E_DENIED, NULL, "was used already"},
        };

        wrapped();
        answer(KB_E_UNREACHABLE, "nobody there", NULL);
        assert_problem("nobody there");
        assert_true(pass(2 * SEC));
        assert_string_equal(world.path, "sys/wrapping/lookup");
        end();
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                wrapped();
                answer(rows[i].error, "wrapping token is not valid", rows[i].json);
                assert_problem(rows[i].problem);
                assert_false(pass(3600 * SEC));
                write_file("secret-id", "hvs.new", 0600);
                assert_true(pass(6 * SEC));
                assert_string_equal(world.body, "{\"token\":\"hvs.new\"}");
                end();
        }
}

static void what_an_unwrapping_can_come_to(void **state)
{
        static const struct {
                enum kb_error error;
                const char *json, *problem;
                bool again; /* with a lookup, that says whether it was used */
        } rows[] = {
                {KB_E_BAD_REQUEST, NULL, "was used already", false},
                {KB_E_DENIED, NULL, "was used already", false},
                {KB_E_OK, "{\"data\":{\"password\":\"x\"}}", "wraps something else", false},
                {KB_E_OK, NULL, "wraps something else", false},
                {KB_E_UNREACHABLE, NULL, "the answer was lost", true},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                wrapped();
                answer(KB_E_OK, "", WRAP("auth/approle/role/host/secret-id"));
                assert_asked("sys/wrapping/unwrap");
                answer(rows[i].error, "the answer was lost", rows[i].json);
                assert_problem(rows[i].problem);
                assert_true(pass(3600 * SEC) == rows[i].again);
                if (rows[i].again)
                        assert_string_equal(world.path, "sys/wrapping/lookup");
                end();
        }
}

static void only_the_wrapping_token_that_was_looked_up_is_unwrapped(void **state)
{
        wrapped();
        write_file("secret-id", "hvs.exchanged", 0600);
        answer(KB_E_OK, "", WRAP("auth/approle/role/host/secret-id"));
        assert_false(pass(SEC / 2));
        assert_true(pass(10 * SEC));
        assert_string_equal(world.path, "sys/wrapping/lookup");
        assert_string_equal(world.body, "{\"token\":\"hvs.exchanged\"}");
}

/* --- the file is removed --- */

static bool file_is_there(void)
{
        return access(in_folder("secret-id"), F_OK) == 0;
}

static void the_file_is_removed_once_the_broker_keeps_what_was_in_it(void **state)
{
        settings.remove_secret_id_file = true;
        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/approle/login");
        greet_again();
        assert_true(file_is_there()); /* it may be wrong */
        answer(KB_E_OK, "", GRANT(TOKEN, 60, false));
        assert_true(file_is_there());
        greet(KB_SPAN("", 0));
        assert_true(file_is_there()); /* nobody keeps it */
        greet_again();
        assert_false(file_is_there());
        assert_true(pass(31 * SEC)); /* and the next login is one all the same */
        assert_string_equal(world.body, "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}");
        answer(KB_E_OK, "", GRANT("hvs.two", 60, false));
        restart(100 * SEC);
        assert_asked("auth/token/lookup-self");
        answer(KB_E_DENIED, "permission denied", NULL);
        assert_asked("auth/approle/login");
        assert_string_equal(world.body, "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}");
}

static void a_file_that_was_refused_or_exchanged_is_not_removed(void **state)
{
        settings.remove_secret_id_file = true;
        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/approle/login");
        answer(KB_E_BAD_REQUEST, "invalid role or secret ID", NULL);
        greet_again();
        assert_true(file_is_there());
        assert_true(pass(2 * SEC));
        answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
        write_file("secret-id", "the next one", 0600);
        greet_again();
        assert_true(file_is_there());
}

static void a_file_that_cannot_be_removed_is_said_once(void **state)
{
        settings.remove_secret_id_file = true;
        logged_in();
        world.read_only = true;
        greet_again();
        greet_again();
        world.read_only = false;
        assert_true(file_is_there());
        assert_true(fact("token trouble", "cannot be removed: Read-only file system; remove it by hand"));
        assert_token(TOKEN);
}

static void a_file_that_is_gone_already_is_no_trouble(void **state)
{
        settings.remove_secret_id_file = true;
        logged_in();
        unlink(in_folder("secret-id"));
        greet_again();
        assert_false(fact("token trouble", "removed"));
}

static void a_secret_id_that_cannot_be_kept_stays_in_its_file(void **state)
{
        static char content[600];

        memset(content, 'x', sizeof(content) - 1);
        write_file("secret-id", content, 0600);
        settings.remove_secret_id_file = true;
        logged_in();
        greet_again();
        greet_again();
        assert_true(file_is_there());
}

static void a_wrapping_token_is_removed_once_its_secret_id_is_kept(void **state)
{
        settings.remove_secret_id_file = true;
        wrapped();
        answer(KB_E_OK, "", WRAP("auth/approle/role/host/secret-id"));
        assert_asked("sys/wrapping/unwrap");
        answer(KB_E_OK, "", "{\"data\":{\"secret_id\":\"" SECRET_ID "\"}}");
        assert_asked("auth/approle/login");
        greet_again();
        assert_true(file_is_there());
        answer(KB_E_OK, "", GRANT(TOKEN, 60, false));
        greet_again();
        assert_false(file_is_there());
        assert_true(pass(31 * SEC));
        assert_string_equal(world.body, "{\"role_id\":\"" ROLE_ID "\",\"secret_id\":\"" SECRET_ID "\"}");
}

/* --- the token's life --- */

static void it_is_renewed_and_the_kept_bytes_change_only_then(void **state)
{
        _cleanup_writer_ struct kb_writer before = kb_writer_init(KB_LOGIN_KEEP_MAX),
                                          after = kb_writer_init(KB_LOGIN_KEEP_MAX);
        uint64_t generation;

        logged_in();
        generation = kb_login_generation(world.login);
        kb_login_keep(world.login, &before);
        assert_false(pass(2300 * SEC));
        kb_login_keep(world.login, &after);
        assert_true(kb_secret_equal(KB_SPAN(before.data, before.size), KB_SPAN(after.data, after.size)));
        assert_true(pass(101 * SEC));
        assert_string_equal(world.path, "auth/token/renew-self");
        assert_string_equal(world.token, TOKEN);
        world.now += 2 * SEC; /* the server's clock begins when it is asked, or later: ours then */
        answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
        assert_true(kb_login_ends(world.login) == world.now + 3598 * SEC);
        assert_int_equal(kb_login_generation(world.login), generation);
        assert_token(TOKEN);
}

static void a_new_login_leaves_the_old_token_in_use_and_its_leases_alive(void **state)
{
        uint64_t first, ends, second;

        begin();
        greet(KB_SPAN("", 0));
        logged_in_with(GRANT(TOKEN, 1000, false));
        first = kb_login_generation(world.login);
        ends = kb_login_ends(world.login);
        assert_true(pass(501 * SEC));
        assert_string_equal(world.path, "auth/approle/login");
        answer(KB_E_UNREACHABLE, "nobody there", NULL);
        assert_token(TOKEN);
        assert_true(fact("token trouble", "nobody there"));
        assert_true(pass(10 * SEC));
        answer(KB_E_OK, "", GRANT("hvs.two", 1000, false));
        assert_token("hvs.two");
        assert_true(fact("token trouble", "") && !fact("token trouble", "nobody"));
        second = kb_login_generation(world.login);
        assert_true(second > first);
        assert_true(kb_login_generation_ends(world.login, first) == ends);
        assert_true(kb_login_generation_ends(world.login, second) == kb_login_ends(world.login));
        restart(10 * SEC);
        assert_asked("auth/token/lookup-self");
        assert_string_equal(world.token, "hvs.two");
        answer(KB_E_OK, "", LOOKUP(980));
        assert_token("hvs.two");
        assert_int_equal(kb_login_generation(world.login), second);
        assert_true(kb_login_generation_ends(world.login, first) == ends);
        world.now = ends;
        assert_int_equal(kb_login_generation_ends(world.login, first), 0);
        assert_int_equal(kb_login_generation_ends(world.login, 0), 0);
        assert_int_equal(kb_login_generation_ends(world.login, second + 1), 0);
}

static void many_logins_forget_the_tokens_that_end_first(void **state)
{
        uint64_t generations[12];

        begin();
        greet(KB_SPAN("", 0));
        for (unsigned i = 0; i < KB_ARRAY_SIZE(generations); i++) {
                char json[256];

                if (!pass(2000 * SEC))
                        fail_msg("no login");
                snprintf(json, sizeof(json),
                         "{\"auth\":{\"client_token\":\"hvs.%u\",\"accessor\":\"a\",\"token_type\":"
                         "\"service\","
                         "\"lease_duration\":3000,\"renewable\":false}}",
                         i);
                answer(KB_E_OK, "", json);
                generations[i] = kb_login_generation(world.login);
                assert_true(i == 0 || generations[i] > generations[i - 1]);
                assert_true(i == 0 || kb_login_generation_ends(world.login, generations[i - 1]) > world.now);
        }
        assert_int_equal(kb_login_generation_ends(world.login, generations[0]), 0);
}

static void a_token_is_not_handed_out_after_its_end(void **state)
{
        begin();
        greet(KB_SPAN("", 0));
        logged_in_with(GRANT(TOKEN, 60, true));
        assert_true(pass(41 * SEC)); /* a renewal that hangs */
        world.now += 20 * SEC;
        assert_problem("has ended");
        assert_int_equal(kb_login_generation_ends(world.login, 1), 0);
        answer(KB_E_UNREACHABLE, "no answer in time", NULL);
        assert_asked("auth/approle/login");
}

static void a_renewal_that_cannot_be_sent_is_tried_again(void **state)
{
        logged_in();
        world.refuse_start = 1;
        assert_true(pass(2410 * SEC));
        assert_string_equal(world.path, "auth/token/renew-self");
        answer(KB_E_UNREACHABLE, "nobody there", NULL);
        assert_true(fact("token trouble", "was not renewed: nobody there"));
        assert_token(TOKEN);
        assert_true(pass(10 * SEC));
        answer(KB_E_OK, "", NULL); /* an answer that says nothing is none */
        assert_true(pass(10 * SEC));
        answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
        assert_false(fact("token trouble", "nobody"));
}

static void without_dice_hosts_are_spread_by_the_kernel(void **state)
{
        uint64_t first = 0, same = 0;

        for (int i = 0; i < 8; i++) {
                begin();
                end();
                settings.random = NULL;
                assert_ok(kb_login_new(&world.login, world.event, NULL, &settings, on_change, NULL));
                greet(KB_SPAN("", 0));
                logged_in_with(GRANT(TOKEN, 360000, true));
                world.now = START;
                assert_true(pass(360000 * SEC));
                same += i > 0 && world.now == first;
                first = world.now;
                world.now = START;
                end();
        }
        assert_true(same < 3);
}

static void a_refused_renewal_is_said_and_not_repeated(void **state)
{
        logged_in();
        assert_true(pass(2401 * SEC));
        answer(KB_E_DENIED, "permission denied", NULL);
        assert_asked("auth/token/lookup-self");
        answer(KB_E_OK, "", LOOKUP(1199));
        assert_true(fact("token trouble", "auth/token/renew-self"));
        assert_token(TOKEN);
        assert_false(pass(500 * SEC));
        assert_true(pass(110 * SEC));
        assert_string_equal(world.path, "auth/approle/login");
}

/* --- what is kept --- */

static void a_kept_token_is_used_again_after_a_restart(void **state)
{
        uint64_t generation, epoch;

        logged_in();
        generation = kb_login_generation(world.login);
        epoch = kb_login_epoch(world.login);
        assert_true(epoch != 0);
        restart(100 * SEC);
        assert_problem("has not been looked up yet");
        assert_asked("auth/token/lookup-self");
        assert_string_equal(world.token, TOKEN);
        answer(KB_E_UNREACHABLE, "nobody there", NULL);
        assert_problem("nobody there");
        assert_true(pass(2 * SEC));
        assert_string_equal(world.path, "auth/token/lookup-self"); /* no login of its own */
        answer(KB_E_OK, "", LOOKUP(3498));
        assert_token(TOKEN);
        assert_string_equal(kb_login_accessor(world.login), "acc-" TOKEN);
        assert_int_equal(kb_login_generation(world.login), generation);
        assert_int_equal(kb_login_epoch(world.login), epoch);
}

static void a_kept_token_that_is_dead_voids_its_leases(void **state)
{
        static const char *const answers[] = {NULL, LOOKUP(0)};

        for (size_t i = 0; i < KB_ARRAY_SIZE(answers); i++) {
                uint64_t generation, epoch;

                logged_in();
                generation = kb_login_generation(world.login);
                epoch = kb_login_epoch(world.login);
                restart(100 * SEC);
                assert_asked("auth/token/lookup-self");
                answer(answers[i] ? KB_E_OK : KB_E_DENIED, "permission denied", answers[i]);
                assert_true(kb_login_epoch(world.login) != epoch);
                assert_int_equal(kb_login_generation_ends(world.login, generation), 0);
                logged_in_with(GRANT("hvs.two", 3600, true));
                assert_token("hvs.two");
                assert_true(kb_login_generation(world.login) > generation);
                end();
        }
}

static void a_kept_token_is_not_sent_where_other_settings_lead(void **state)
{
        logged_in();
        settings.namespace = "another";
        restart(SEC);
        assert_asked("auth/approle/login");
        assert_string_equal(world.token, "");
}

static void kept_bytes_that_are_broken_count_as_none(void **state)
{
        _cleanup_writer_ struct kb_writer keep = kb_writer_init(KB_LOGIN_KEEP_MAX);

        logged_in();
        kb_login_keep(world.login, &keep);
        assert_ok(kb_writer_end(&keep));
        end();
        for (size_t size = 1; size < keep.size; size++) {
                begin();
                greet(KB_SPAN(keep.data, size));
                assert_asked("auth/approle/login");
                end();
        }
        for (size_t i = 0; i < keep.size; i++) { /* any byte changed: it asks something, and no more */
                keep.data[i] ^= 0xff;
                begin();
                greet(KB_SPAN(keep.data, keep.size));
                (void)pass(1000 * SEC);
                end();
                keep.data[i] ^= 0xff;
        }
}

static void a_clock_that_jumps_gives_no_number_twice(void **state)
{
        uint64_t generation;

        logged_in();
        generation = kb_login_generation(world.login);
        world.clock -= 86400 * SEC;
        restart(SEC);
        assert_asked("auth/token/lookup-self");
        answer(KB_E_DENIED, "permission denied", NULL);
        logged_in_with(GRANT("hvs.two", 3600, true));
        assert_true(kb_login_generation(world.login) > generation);
}

/* --- when a server refuses the token --- */

static char judged[64];

static void on_judged(enum kb_error error, void *userdata)
{
        size_t n = strlen(judged);

        snprintf(judged + n, sizeof(judged) - n, "%s ", kb_error_word(error));
}

static void many_refusals_are_one_question(void **state)
{
        static const struct {
                enum kb_error error;
                const char *json, *judged;
        } rows[] = {
                {KB_E_OK, LOOKUP(3500), "denied denied denied "},
                {KB_E_UNREACHABLE, NULL, "unreachable unreachable unreachable "},
                {KB_E_OK, LOOKUP(3500), "denied denied denied "},
                {KB_E_DENIED, NULL, "expired expired expired "},
        };
        struct kb_login_judgement *j[4];
        uint64_t generation, epoch;

        logged_in();
        generation = kb_login_generation(world.login);
        epoch = kb_login_epoch(world.login);
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                world.now += 20 * SEC;
                judged[0] = '\0';
                for (size_t k = 0; k < KB_ARRAY_SIZE(j); k++)
                        assert_ok(kb_login_judge(world.login, generation, on_judged, NULL, &j[k]));
                kb_login_judge_cancel(j[1]);
                kb_login_judge_cancel(NULL);
                assert_string_equal(judged, "");
                assert_asked("auth/token/lookup-self");
                assert_string_equal(world.token, TOKEN);
                answer(rows[i].error, "no", rows[i].json);
                assert_string_equal(judged, rows[i].judged);
        }
        assert_true(kb_login_epoch(world.login) != epoch);
        assert_int_equal(kb_login_judge(world.login, generation, on_judged, NULL, &j[0]), -ESTALE);
        logged_in_with(GRANT("hvs.two", 3600, true)); /* at once */
        assert_token("hvs.two");
        assert_int_equal(kb_login_judge(world.login, generation, on_judged, NULL, &j[0]), -ESTALE);
}

static void who_asked_with_a_token_that_was_replaced_may_ask_again(void **state)
{
        struct kb_login_judgement *j;

        begin();
        greet(KB_SPAN("", 0));
        logged_in_with(GRANT(TOKEN, 60, false));
        assert_true(pass(31 * SEC)); /* logs in anew */
        judged[0] = '\0';
        assert_ok(kb_login_judge(world.login, kb_login_generation(world.login), on_judged, NULL, &j));
        answer(KB_E_OK, "", GRANT("hvs.two", 60, false));
        assert_string_equal(judged, "expired ");
        world.refuse_start = 1;
        judged[0] = '\0';
        world.now += SEC;
        assert_ok(kb_login_judge(world.login, kb_login_generation(world.login), on_judged, NULL, &j));
        assert_false(pass(0)); /* memory is out: nobody knows */
        assert_string_equal(judged, "unreachable ");
        world.now += 2 * SEC;
        assert_ok(kb_login_judge(world.login, kb_login_generation(world.login), on_judged, NULL, &j));
        end(); /* and nobody is called by one that is gone */
        assert_string_equal(judged, "unreachable ");
}

/* --- a token from a file --- */

static void a_token_from_a_file_is_looked_up_and_replaced_when_the_file_is(void **state)
{
        static char token[256];
        uint64_t generation;

        snprintf(token, sizeof(token), "%s", in_folder("token"));
        write_file("token", TOKEN "\n", 0600);
        settings = (struct kb_login_settings){.method = KB_LOGIN_TOKEN, .token_file = token};
        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/token/lookup-self");
        assert_string_equal(world.token, TOKEN);
        answer(KB_E_OK, "", LOOKUP(3600));
        assert_token(TOKEN);
        assert_string_equal(kb_login_accessor(world.login), "acc-x");
        generation = kb_login_generation(world.login);
        usleep(10000);
        write_file("token", TOKEN, 0600); /* the same once more */
        assert_true(pass(31 * SEC));
        answer(KB_E_OK, "", LOOKUP(3570));
        assert_int_equal(kb_login_generation(world.login), generation);
        write_file("token", "hvs.two", 0600);
        assert_true(pass(31 * SEC));
        assert_string_equal(world.token, "hvs.two");
        assert_token(TOKEN);
        answer(KB_E_OK, "", LOOKUP(3600));
        assert_token("hvs.two");
        assert_true(kb_login_generation_ends(world.login, generation) > world.now);
        write_file("token", "hvs.three", 0600);
        assert_true(pass(31 * SEC));
        write_file("token", "hvs.four", 0600); /* while the one before is looked up */
        answer(KB_E_OK, "", LOOKUP(3600));
        assert_token("hvs.two");
        unlink(token);
        assert_false(pass(600 * SEC));
        assert_token("hvs.two");
        assert_true(fact("token trouble", "is missing"));
}

static void a_token_of_a_file_that_is_dead_is_not_asked_after_for_ever(void **state)
{
        static char token[256];

        snprintf(token, sizeof(token), "%s", in_folder("token"));
        write_file("token", TOKEN, 0600);
        settings = (struct kb_login_settings){.method = KB_LOGIN_TOKEN, .token_file = token};
        begin();
        greet(KB_SPAN("", 0));
        for (int i = 0; i < 2; i++) {
                assert_true(pass(2 * SEC));
                answer(KB_E_DENIED, "permission denied", NULL);
        }
        assert_problem("put one that lives into the file");
        assert_false(pass(900 * SEC));
        write_file("token", "hvs.root", 0600);
        assert_true(pass(6 * SEC));
        answer(KB_E_OK, "", "{\"data\":{\"ttl\":0,\"creation_ttl\":0,\"type\":\"service\"}}");
        assert_token("hvs.root");
        assert_true(kb_login_ends(world.login) == KB_TIME_NEVER);
        assert_true(fact("token ends", "never"));
}

static void without_memory_there_is_no_login(void **state)
{
        int n = 1, r;

        do {
                atomic_store(&memory_left, n++);
                r = kb_login_new(&world.login, world.event, NULL, &settings, on_change, NULL);
                atomic_store(&memory_left, 0);
                assert_true(r == 0 || r == -ENOMEM);
        } while (r < 0);
        assert_true(n > 5);
}

static void whatever_allocation_fails_it_is_tried_again(void **state)
{
        for (int n = 1; n < 12; n++) {
                begin();
                greet(KB_SPAN("", 0));
                atomic_store(&memory_left, n);
                (void)fire_one();
                atomic_store(&memory_left, 0);
                assert_true(pass(10 * SEC));
                world.fail_answer = n;
                answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
                world.fail_answer = 0;
                if (kb_login_problem(world.login)->error != KB_E_OK) {
                        assert_true(pass(10 * SEC));
                        answer(KB_E_OK, "", GRANT(TOKEN, 3600, true));
                }
                assert_token(TOKEN);
                end();
        }
}

static void one_that_goes_gives_up_what_it_was_asking(void **state)
{
        unsigned before = world.cancelled;

        begin();
        greet(KB_SPAN("", 0));
        assert_asked("auth/approle/login");
        end();
        assert_int_equal(world.cancelled, before + 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, unmake_world)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(nothing_is_asked_before_the_first_greeting),
                TEST(each_method_asks_for_what_its_row_says),
                TEST(settings_that_cannot_be_are_refused),
                TEST(a_file_that_cannot_be_trusted_is_not_sent_and_is_when_it_was_mended),
                TEST(no_link_no_pipe_and_no_folder_is_a_secret),
                TEST(a_file_of_somebody_else_is_not_trusted),
                TEST(a_projected_token_may_be_a_link_and_is_read_at_each_login),
                TEST(failures_that_pass_are_waited_out),
                TEST(a_lockout_is_never_fed_not_even_by_restarts),
                TEST(a_touched_file_is_tried_again),
                TEST(what_is_no_login_is_none),
                TEST(a_batch_token_is_known_as_one),
                TEST(a_wrapped_secret_id_is_unwrapped_once_and_remembered),
                TEST(a_wrapping_token_that_is_not_ours_or_used_is_left_alone_until_the_file_changes),
                TEST(what_an_unwrapping_can_come_to),
                TEST(only_the_wrapping_token_that_was_looked_up_is_unwrapped),
                TEST(the_file_is_removed_once_the_broker_keeps_what_was_in_it),
                TEST(a_file_that_was_refused_or_exchanged_is_not_removed),
                TEST(a_file_that_cannot_be_removed_is_said_once),
                TEST(a_file_that_is_gone_already_is_no_trouble),
                TEST(a_secret_id_that_cannot_be_kept_stays_in_its_file),
                TEST(a_wrapping_token_is_removed_once_its_secret_id_is_kept),
                TEST(it_is_renewed_and_the_kept_bytes_change_only_then),
                TEST(a_new_login_leaves_the_old_token_in_use_and_its_leases_alive),
                TEST(many_logins_forget_the_tokens_that_end_first),
                TEST(a_token_is_not_handed_out_after_its_end),
                TEST(a_renewal_that_cannot_be_sent_is_tried_again),
                TEST(without_dice_hosts_are_spread_by_the_kernel),
                TEST(a_refused_renewal_is_said_and_not_repeated),
                TEST(a_kept_token_is_used_again_after_a_restart),
                TEST(a_kept_token_that_is_dead_voids_its_leases),
                TEST(a_kept_token_is_not_sent_where_other_settings_lead),
                TEST(kept_bytes_that_are_broken_count_as_none),
                TEST(a_clock_that_jumps_gives_no_number_twice),
                TEST(many_refusals_are_one_question),
                TEST(who_asked_with_a_token_that_was_replaced_may_ask_again),
                TEST(a_token_from_a_file_is_looked_up_and_replaced_when_the_file_is),
                TEST(a_token_of_a_file_that_is_dead_is_not_asked_after_for_ever),
                TEST(without_memory_there_is_no_login),
                TEST(whatever_allocation_fails_it_is_tried_again),
                TEST(one_that_goes_gives_up_what_it_was_asking),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
