/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials for a login: real grants, log, sessions, folders and files of credentials. The store and the
 * publisher of the directory are the test's own, linked in place of the real ones.
 */
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "helper/broker/grants.h"
#include "helper/broker/logins.h"
#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/store_client.h"
#include "helper/broker/stores.h"
#include "helper/broker/user_folder.h"
#include "helper/broker/user_grants.h"
#include "helper/log/reader.h"

#define PATIENCE (20 * KB_USEC_PER_SEC)

static struct kb_broker broker;

/* --- memory that runs out --- */

/* The how-manieth allocation fails, of this thread: the log's writer has its own. 0: none. */
static _Thread_local unsigned countdown;

static bool fails(void)
{
        return countdown > 0 && --countdown == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
        return fails() ? NULL : __real_malloc(size);
}

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
        return fails() ? NULL : __real_realloc(p, size);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
        return fails() ? NULL : __real_strdup(s);
}

/* --- the directory: ana and bea, who is in the group dba --- */

static struct kb_directory *directory;

const struct kb_directory *kb_publisher_directory(const struct kb_publisher *p)
{
        return directory;
}

void kb_publisher_get_state(const struct kb_publisher *p, struct kb_publisher_state *ret)
{
        *ret = (struct kb_publisher_state){.problem = ""};
}

void kb_publisher_refresh(struct kb_publisher *p, kb_publisher_done done, void *userdata)
{
        fail_msg("nobody refreshes here");
}

int kb_publisher_new(struct kb_publisher **ret, struct kb_broker *b,
                     const struct kb_publisher_places *places)
{
        return -ENOSYS; /* the whole broker is not started here */
}

void kb_publisher_free(struct kb_publisher *p)
{
}

static uid_t first_uid(void)
{
        return KB_ID_MIN_DEFAULT;
}

static void add_person(struct kb_writer *w, const char *name, uint32_t uid, bool disabled, uint64_t expires)
{
        kb_directory_add_person(w, &(struct kb_person_record){
                                           .name = name,
                                           .uid = uid,
                                           .full_name = "",
                                           .home = "/home/x",
                                           .shell = "/bin/sh",
                                           .disabled = disabled,
                                           .expires = expires,
                                   });
}

/* What ana is; the rest is always the same. */
struct ana {
        const char *name; /* NULL: ana */
        bool gone, disabled, no_dba;
        uint64_t expires;
};

static void make_directory(struct ana ana)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
        _cleanup_list_ struct kb_list_builder members = kb_list_builder_init(256);
        struct kb_directory_options options = {.range = {first_uid(), first_uid() + 10}};
        struct kb_refused refused;

        kb_directory_free(directory);
        if (!ana.gone)
                add_person(&w, ana.name ? ana.name : "ana", first_uid(), ana.disabled,
                           ana.expires ? ana.expires : KB_TIME_NEVER);
        add_person(&w, "bea", first_uid() + 1, false, KB_TIME_NEVER);
        if (!ana.gone && !ana.name && !ana.no_dba)
                kb_list_add_string(&members, "ana");
        kb_directory_add_group(&w, &(struct kb_group_record){.name = "dba",
                                                             .gid = first_uid() + 5,
                                                             .members = kb_list_built(&members)});
        assert_ok(kb_writer_end(&w));
        assert_ok(kb_directory_load(&directory, KB_SPAN(w.data, w.size), &options, &refused));
}

/* --- the store --- */

/* What it does to whatever it is asked, and what it did. */
static struct {
        enum kb_error error;
        bool silent; /* does not answer at all */
        uint64_t ttl;
        bool renewable;
        unsigned fetched, revoked, renewed, unanswered;
        char last_revoked[64];
        char persons[64]; /* that the fetches were for, each with a blank behind it */
        uint8_t *taken;
} store;

struct kb_store_call {
        struct kb_store_request is;
        struct kb_writer fields;
        sd_event_source *later;
};

static void call_free(struct kb_store_call *c)
{
        sd_event_source_disable_unref(c->later);
        kb_writer_done(&c->fields);
        free(c);
}

int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request)
{
        *ret = __real_calloc(1, sizeof(**ret));
        assert_non_null(*ret);
        **ret = (struct kb_store_call){.is = *request, .fields = kb_writer_init(65536)};
        return 0;
}

struct kb_writer *kb_store_call_writer(struct kb_store_call *c)
{
        return &c->fields;
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        call_free(c);
}

void kb_store_call_hold(struct kb_store_call *c)
{
}

void kb_store_call_resume(struct kb_store_call *c)
{
}

void *kb_store_answer_take(const struct kb_store_answer *answer)
{
        return take_ptr(store.taken);
}

/* The nth secret: user nth, password nth. */
static void answer_fetch(struct kb_span body, struct kb_writer *w)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(256);
        struct kb_fetch_request m;
        char lease[64], value[16];

        assert_ok(kb_fetch_request_get(body, &m));
        snprintf(lease, sizeof(lease), "%s#%u", m.path, ++store.fetched);
        snprintf(store.persons + strlen(store.persons), sizeof(store.persons) - strlen(store.persons), "%s ",
                 m.person);
        snprintf(value, sizeof(value), "%u", store.fetched);
        kb_list_add_text(&fields, "username", value);
        kb_list_add_text(&fields, "password", value);
        kb_fetch_reply_put(w, &(struct kb_fetch_reply){.fields = kb_list_built(&fields),
                                                       .lease = lease,
                                                       .ttl = store.ttl,
                                                       .renewable = store.renewable,
                                                       .version = ""});
}

static void answer_revoke(struct kb_span body, struct kb_writer *w)
{
        struct kb_revoke_request m;

        assert_ok(kb_revoke_request_get(body, &m));
        store.revoked++;
        snprintf(store.last_revoked, sizeof(store.last_revoked), "%s", m.lease);
        kb_revoke_reply_put(w, &(struct kb_revoke_reply){});
}

static void answer_renew(struct kb_span body, struct kb_writer *w)
{
        store.renewed++;
        kb_renew_reply_put(w, &(struct kb_renew_reply){.ttl = store.ttl, .renewable = store.renewable});
}

static int answer_later(sd_event_source *source, void *userdata)
{
        struct kb_store_call *c = userdata;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
        struct kb_store_answer answer = {.error = store.error, .text = ""};
        struct kb_span body = KB_SPAN(c->fields.data, c->fields.size);

        if (kb_writer_end(&c->fields) < 0)
                answer.error = KB_E_INTERNAL; /* as the real one says it */
        if (answer.error != KB_E_OK)
                answer.text = "the store has its reasons";
        else if (c->is.verb == KB_VERB_fetch)
                answer_fetch(body, &w);
        else if (c->is.verb == KB_VERB_revoke)
                answer_revoke(body, &w);
        else if (c->is.verb == KB_VERB_renew)
                answer_renew(body, &w);
        store.taken = kb_secret_dup(KB_SPAN(w.data, w.size));
        answer.fields = KB_SPAN(store.taken, w.size);
        c->is.done(&answer, c->is.userdata);
        kb_secret_free(take_ptr(store.taken));
        call_free(c);
        return 0;
}

void kb_store_call_start(struct kb_store_call *c)
{
        if (store.silent)
                store.unanswered++;
        else
                assert_ok(sd_event_add_defer(c->is.event, &c->later, answer_later, c));
}

int kb_stores_new(struct kb_stores **ret, struct kb_broker *b)
{
        return -ENOSYS;
}

void kb_stores_free(struct kb_stores *stores)
{
}

void kb_stores_update(struct kb_stores *stores)
{
}

void kb_stores_greet(struct kb_stores *stores, const char *name)
{
}

void kb_stores_greet_again(struct kb_stores *stores, const char *name)
{
}

void kb_stores_each(const struct kb_stores *stores,
                    void (*each)(const struct kb_store_state *state, void *userdata), void *userdata)
{
}

/* --- the broker --- */

static const struct kb_config_trust *trust(void)
{
        static struct kb_config_trust t;

        t.owner = geteuid();
        return &t;
}

/* Writes a credential's file. */
static void define(const char *name, const char *text)
{
        char path[600];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s.conf", in_folder("credentials.d"), name);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_int_equal(fchmod(fileno(file), 0600), 0);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void read_credentials(void)
{
        _cleanup_problems_ struct kb_problems problems = {0};

        kb_credentials_free(broker.credentials);
        broker.credentials = NULL;
        assert_ok(kb_credentials_new(in_folder("credentials.d"), trust(), broker.config, false, &problems,
                                     &broker.credentials));
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        kb_log_dispatch(broker.log);
        return 0;
}

static int open_users(void)
{
        mkdir(in_folder("users"), 0711);
        return open(in_folder("users"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void start(void)
{
        struct kb_log_damage damage;
        _cleanup_problems_ struct kb_problems problems = {0};

        broker = (struct kb_broker){.units_fd = -1, .users_fd = open_users()};
        assert_ok(sd_event_new(&broker.event));
        assert_ok(kb_config_new(in_folder("none.conf"), trust(), &problems, &broker.config));
        broker.config->linger_usec = 3600 * KB_USEC_PER_SEC;
        read_credentials();
        assert_ok(kb_log_open(&broker.log, in_folder("log"), &(struct kb_log_options){0}, &damage));
        assert_ok(sd_event_add_io(broker.event, &broker.log_source, kb_log_fd(broker.log), 1, on_log, NULL));
        assert_ok(kb_grants_new(&broker.grants, &broker));
        assert_ok(kb_grants_replay(broker.grants, in_folder("log")));
        assert_ok(kb_sessions_new(&broker.sessions, broker.event, in_folder("sessions"),
                                  kb_login_session_ended, &broker));
        assert_ok(kb_sessions_restore(broker.sessions));
        assert_ok(kb_user_grants_new(&broker.user_grants, &broker));
}

static void stop(void)
{
        sd_event_source_disable_unref(broker.log_source);
        kb_log_free(broker.log);
        broker.log = NULL;
        kb_user_grants_free(broker.user_grants);
        kb_sessions_free(broker.sessions);
        kb_grants_free(broker.grants);
        kb_credentials_free(broker.credentials);
        kb_config_free(broker.config);
        sd_event_unref(broker.event);
        close(broker.users_fd);
}

static int set_up(void **state)
{
        char first_key[KB_FIRST_KEY_MAX];

        memset(&store, 0, sizeof(store));
        assert_int_equal(mkdir(in_folder("log"), 0700), 0);
        assert_int_equal(mkdir(in_folder("credentials.d"), 0700), 0);
        assert_ok(kb_log_create(in_folder("log"), kb_now_realtime(), first_key));
        make_directory((struct ana){0});
        define("db", "[Credential]\nPath=kv/db\nFormat=ini\n[Allow]\nUser=a*\n");
        define("other", "[Credential]\nPath=kv/other\n[Allow]\nUser=bea\n");
        start();
        return 0;
}

static int tear_down(void **state)
{
        static const char *const folders[] = {"log", "credentials.d", "sessions", "users"};

        stop();
        kb_directory_free(directory);
        directory = NULL;
        for (size_t i = 0; i < KB_ARRAY_SIZE(folders); i++)
                nftw(in_folder(folders[i]), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        return 0;
}

/* Lets the loop run until something is true. */
#define run_until(condition)                                                                                \
        do {                                                                                                \
                uint64_t end_ = kb_now_monotonic() + PATIENCE;                                              \
                                                                                                            \
                while (!(condition)) {                                                                      \
                        if (kb_now_monotonic() > end_)                                                      \
                                fail_msg("it never came: %s", #condition);                                  \
                        assert_ok(sd_event_run(broker.event, 10000));                                       \
                }                                                                                           \
        } while (0)

static void run_for(uint64_t usec)
{
        uint64_t end = kb_now_monotonic() + usec;

        while (kb_now_monotonic() < end)
                assert_ok(sd_event_run(broker.event, 10000));
}

/* --- people --- */

struct login {
        const struct kb_session *session;
        bool done;
        char folder[KB_USER_FOLDER_MAX];
};

static void on_login(const char *folder, void *userdata)
{
        struct login *l = userdata;

        assert_false(l->done);
        l->done = true;
        snprintf(l->folder, sizeof(l->folder), "%s", folder);
}

static void begin_login(struct login *l, const char *user, const char *service, pid_t leader)
{
        struct kb_session is = {.leader = leader};

        *l = (struct login){0};
        snprintf(is.user, sizeof(is.user), "%s", user);
        snprintf(is.service, sizeof(is.service), "%s", service);
        assert_ok(kb_session_open(broker.sessions, &is, -ENOPROTOOPT, &l->session));
        kb_user_grants_ask(broker.user_grants, kb_directory_person(directory, user), service, "r1", on_login,
                           l);
}

static struct login log_in(const char *user, const char *service)
{
        struct login l;

        begin_login(&l, user, service, getpid());
        run_until(l.done);
        return l;
}

static void log_out(const struct login *l)
{
        kb_session_end(kb_session_find(broker.sessions, l->session->handle), "closed");
}

/* A file of ana's folder: "" when it is not there. */
static const char *value(const char *name)
{
        static char text[64];
        char path[600];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%u/current/%s", in_folder("users"), first_uid(), name);
        file = fopen(path, "re");
        memset(text, 0, sizeof(text));
        if (!file)
                return "";
        assert_in_range(fread(text, 1, sizeof(text) - 1, file), 0, sizeof(text));
        fclose(file);
        return text;
}

static bool has_folder(void)
{
        char path[600];

        snprintf(path, sizeof(path), "%s/%u", in_folder("users"), first_uid());
        return access(path, F_OK) == 0;
}

static unsigned live(void)
{
        struct kb_grants_state state;

        kb_grants_get_state(broker.grants, &state);
        return state.live;
}

/* How often an event is in the log. */
static unsigned count_events(enum kb_event_id id)
{
        struct kb_log_reader *reader;
        struct kb_log_read read;
        unsigned n = 0;

        assert_ok(kb_log_reader_open(&reader, in_folder("log")));
        assert_ok(kb_log_reader_seek(reader, 1));
        while (kb_log_reader_next(reader, &read) > 0)
                n += read.event.id == (uint32_t)id;
        kb_log_reader_free(reader);
        return n;
}

/* --- the tests --- */

static void what_a_person_may_have_is_there_when_the_login_goes_on(void **state)
{
        struct login l = log_in("ana", "sshd");
        char expected[KB_USER_FOLDER_MAX], path[600];
        struct stat st;

        snprintf(expected, sizeof(expected), "/run/keybearer/users/%u/current", first_uid());
        assert_string_equal(l.folder, expected);
        assert_string_equal(value("db.username"), "1");
        assert_string_equal(value("db.password"), "1");
        assert_string_equal(value("db"), "[db]\npassword = 1\nusername = 1\n");
        assert_string_equal(value("other.password"), "");
        snprintf(path, sizeof(path), "%s/%u/current/db.password", in_folder("users"), first_uid());
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, geteuid()); /* who owned it could write to it */
        assert_int_equal(st.st_gid, first_uid());
        assert_int_equal(st.st_mode & 07777, 0440);
        snprintf(path, sizeof(path), "%s/%u/current/.", in_folder("users"), first_uid());
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, geteuid());
        assert_int_equal(st.st_gid, first_uid());
        assert_int_equal(st.st_mode & 07777, 0750);
        assert_int_equal(count_events(KB_EVENT_GRANT_ISSUED), 1);
}

static void services_and_groups_decide_too(void **state)
{
        define("dba", "[Credential]\nPath=kv/dba\n[Allow]\nGroup=db?\nServices=sudo\n");
        read_credentials();
        assert_string_equal(log_in("ana", "cron").folder, "");
        assert_false(has_folder());
        assert_string_not_equal(log_in("ana", "sudo").folder, "");
        assert_string_equal(value("dba.password"), "1");
        assert_string_equal(value("db.password"), "");
        assert_string_equal(log_in("ana", "cron").folder, ""); /* what others hold is not for this one */
        assert_string_equal(log_in("bea", "sudo").folder, ""); /* not in the group */
}

/* And what one of them was given is nobody's value when the store is away. */
static void a_credential_may_be_fetched_as_the_person(void **state)
{
        struct login l;

        define("db", "[Credential]\nPath=kv/"
                     "db\nAs=person\nOnUnavailable=stale\nStaleSec=1h\n[Allow]\nUser=ana bea\n");
        read_credentials();
        store.ttl = 0;
        l = log_in("ana", "sshd");
        assert_string_equal(value("db.password"), "1");
        assert_string_equal(store.persons, "ana ");
        store.error = KB_E_UNREACHABLE;
        log_in("bea", "sshd");
        assert_int_equal(count_events(KB_EVENT_GRANT_REFUSED), 1);
        store.error = KB_E_OK;
        log_out(&l);
}

static void two_sessions_share_one_grant(void **state)
{
        struct login first = log_in("ana", "sshd"), second = log_in("ana", "login");

        assert_int_equal(store.fetched, 1);
        assert_string_equal(first.folder, second.folder);
        broker.config->linger_usec = 0;
        log_out(&first);
        assert_string_equal(value("db.password"), "1");
        log_out(&second);
        assert_false(has_folder());
        run_until(store.revoked == 1);
        assert_string_equal(store.last_revoked, "kv/db#1");
        run_until(kb_grants_count(broker.grants) == 0);
}

static void a_login_within_the_linger_takes_up_what_is_there(void **state)
{
        struct login l = log_in("ana", "sshd");

        log_out(&l);
        assert_string_equal(value("db.password"), "1");
        l = log_in("ana", "sshd");
        assert_int_equal(store.fetched, 1);
        assert_string_not_equal(l.folder, "");
        broker.config->linger_usec = 100 * KB_USEC_PER_MSEC;
        run_for(300 * KB_USEC_PER_MSEC); /* nobody lingers any more */
        assert_string_equal(value("db.password"), "1");
        log_out(&l); /* from here on it counts, not from the first time */
        assert_true(has_folder());
        run_until(!has_folder());
        run_until(store.revoked == 1);
}

/* Jobs of cron come and go for ever: they hold nothing that they would not be given. */
static void sessions_of_other_services_hold_nothing(void **state)
{
        struct login l = log_in("ana", "sshd"), job = log_in("ana", "cron");

        broker.config->linger_usec = 0;
        log_out(&l);
        assert_false(has_folder());
        assert_non_null(kb_session_of(broker.sessions, "ana"));
        log_out(&job);
        run_until(store.revoked == 1);
}

static void a_linger_runs_from_the_end_of_the_session_that_held(void **state)
{
        struct login l = log_in("ana", "sshd");

        broker.config->linger_usec = 500 * KB_USEC_PER_MSEC;
        log_out(&l);
        for (unsigned i = 0; i < 1000 && has_folder(); i++) {
                struct login job = log_in("ana", "cron");

                run_for(10 * KB_USEC_PER_MSEC);
                log_out(&job);
        }
        assert_false(has_folder());
}

static void a_killed_leader_ends_it_too(void **state)
{
        struct login l;
        pid_t leader = fork();

        if (leader == 0) {
                pause();
                _exit(0);
        }
        begin_login(&l, "ana", "sshd", leader);
        run_until(l.done);
        broker.config->linger_usec = 0;
        assert_int_equal(kill(leader, SIGKILL), 0);
        assert_int_equal(waitpid(leader, NULL, 0), leader);
        run_until(!has_folder());
        run_until(store.revoked == 1);
}

/* An administrator who ends a session means now. */
static void a_session_that_root_ends_has_no_linger(void **state)
{
        struct login first = log_in("ana", "sshd"), second = log_in("ana", "sshd");

        log_out(&first);
        kb_user_grants_drop(broker.user_grants, "ana");
        assert_true(has_folder());
        log_out(&second);
        assert_true(has_folder());
        kb_user_grants_drop(broker.user_grants, "bea");
        assert_true(has_folder());
        kb_user_grants_drop(broker.user_grants, "ana");
        assert_false(has_folder());
}

static void who_may_not_have_it_any_more_loses_it_at_once(void **state)
{
        static const struct {
                struct ana ana;
                const char *file;
                bool loses;
        } table[] = {
                {{.expires = 0}, "User=ana", false},
                {{.gone = true}, "User=ana", true},
                {{.disabled = true}, "User=ana", true},
                {{.expires = 1}, "User=ana", true},
                {{.no_dba = true}, "Group=dba", true},
                {{.no_dba = true}, "User=ana\nGroup=dba", false},
                {{.expires = 0}, "User=bea", true},
                {{.expires = 0}, "User=ana\nServices=login", false}, /* the linger is for that */
        };
        char text[256];

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                struct login l;

                make_directory((struct ana){0});
                define("db", "[Credential]\nPath=kv/db\n[Allow]\nUser=ana\nGroup=dba\n");
                read_credentials();
                l = log_in("ana", "sshd");
                assert_true(has_folder());
                make_directory(table[i].ana);
                snprintf(text, sizeof(text), "[Credential]\nPath=kv/db\n[Allow]\n%s\n", table[i].file);
                define("db", text);
                read_credentials();
                kb_user_grants_check(broker.user_grants, NULL);
                if (has_folder() == table[i].loses)
                        fail_msg("row %zu", i);
                log_out(&l);
                kb_user_grants_drop(broker.user_grants, "ana");
                run_until(kb_grants_count(broker.grants) == 0);
        }
        assert_int_equal(store.revoked, KB_ARRAY_SIZE(table));
}

/* The folder goes by the number. What is left of a name before may end at any time. */
static void who_was_renamed_keeps_the_folder_when_the_old_name_ends(void **state)
{
        char uid[12];

        snprintf(uid, sizeof(uid), "%u", first_uid());
        log_in("ana", "sshd");
        make_directory((struct ana){.name = "anna"});
        kb_user_grants_check(broker.user_grants, NULL);
        assert_false(has_folder());
        log_in("anna", "sshd");
        assert_string_equal(value("db.password"), "2");
        assert_ok(kb_user_folder_update(&broker, "ana", uid));
        assert_string_equal(value("db.password"), "2");
}

static void a_person_whom_observing_let_in_is_given_nothing(void **state)
{
        make_directory((struct ana){.disabled = true});
        assert_string_equal(log_in("ana", "sshd").folder, "");
        assert_int_equal(store.fetched, 0);
}

static void without_a_directory_nothing_is_taken_away(void **state)
{
        log_in("ana", "sshd");
        kb_directory_free(directory);
        directory = NULL;
        kb_user_grants_check(broker.user_grants, NULL);
        assert_true(has_folder());
}

static void what_is_refused_is_missing_and_written_down(void **state)
{
        define("also", "[Credential]\nPath=kv/also\n[Allow]\nUser=ana\n");
        read_credentials();
        store.error = KB_E_DENIED;
        assert_string_equal(log_in("ana", "sshd").folder, "");
        assert_false(has_folder());
        run_until(count_events(KB_EVENT_GRANT_REFUSED) == 2);
        store.error = KB_E_OK; /* the next login tries again */
        assert_string_not_equal(log_in("ana", "sshd").folder, "");
        assert_string_equal(value("also.password"), value("also.username"));
        assert_string_not_equal(value("db.password"), "");
}

static void what_may_not_wait_fails_at_once(void **state)
{
        define("db", "[Credential]\nPath=kv/db\nOnUnavailable=fail\n[Allow]\nUser=ana\n");
        read_credentials();
        store.error = KB_E_UNREACHABLE;
        assert_string_equal(log_in("ana", "sshd").folder, "");
        run_until(count_events(KB_EVENT_GRANT_REFUSED) == 1);
        assert_int_equal(kb_grants_count(broker.grants), 0);
}

static void the_login_does_not_wait_for_ever_and_the_value_comes_later(void **state)
{
        uint64_t began = kb_now_monotonic();
        struct login l;

        define("db", "[Credential]\nPath=kv/db\nOnUnavailable=wait\nWaitSec=1h\n[Allow]\nUser=ana\n");
        read_credentials();
        store.error = KB_E_UNREACHABLE;
        l = log_in("ana", "sshd");
        assert_true(kb_now_monotonic() - began >= KB_USER_GRANTS_WAIT_USEC);
        assert_string_not_equal(l.folder, "");
        assert_true(has_folder());
        assert_string_equal(value("db.password"), "");
        store.error = KB_E_OK;
        run_until(value("db.password")[0]);
        assert_string_equal(value("db.password"), value("db.username"));
        assert_int_equal(count_events(KB_EVENT_GRANT_REFUSED), 0);
}

static void what_nobody_waits_for_any_more_is_not_fetched(void **state)
{
        struct login l;

        define("db", "[Credential]\nPath=kv/db\nOnUnavailable=wait\nWaitSec=1h\n[Allow]\nUser=ana\n");
        read_credentials();
        store.error = KB_E_UNREACHABLE;
        l = log_in("ana", "sshd");
        broker.config->linger_usec = 0;
        log_out(&l);
        run_until(kb_grants_count(broker.grants) == 0);
        assert_false(has_folder());
        run_until(count_events(KB_EVENT_GRANT_REFUSED) == 1);
}

/* A store that hangs: the login goes on, and whoever logs out meanwhile has the late answer revoked. */
static void a_hanging_store_holds_nobody_up(void **state)
{
        struct login l;

        store.silent = true;
        l = log_in("ana", "sshd");
        assert_string_not_equal(l.folder, "");
        log_out(&l);
        stop(); /* with everything under way */
        start();
        assert_int_equal(kb_grants_count(broker.grants), 0);
}

static void a_lease_that_ends_is_replaced_in_the_folder(void **state)
{
        define("db", "[Credential]\nPath=kv/db\n[Allow]\nUser=ana\n[Rotation]\nOverlap=0\nRenewAt=1/10\n"
                     "OnRotate=restart\n");
        read_credentials();
        store.ttl = 10;
        log_in("ana", "sshd");
        assert_string_equal(value("db.password"), "1");
        run_until(store.fetched >= 2 && strcmp(value("db.password"), "2") == 0);
        assert_string_equal(value("db.username"), "2");
        run_until(store.revoked == 1);
        assert_string_equal(store.last_revoked, "kv/db#1");
        assert_true(count_events(KB_EVENT_GRANT_OFFERED) > 0);
        assert_true(count_events(KB_EVENT_GRANT_ADOPTED) > 0);
}

static void a_lease_that_can_is_renewed_while_a_session_lives(void **state)
{
        define("db", "[Credential]\nPath=kv/db\n[Allow]\nUser=ana\n[Rotation]\nRenewAt=1/10\n");
        read_credentials();
        store.ttl = 10;
        store.renewable = true;
        log_in("ana", "sshd");
        run_until(store.renewed >= 2);
        assert_int_equal(store.fetched, 1);
        assert_string_equal(value("db.password"), "1");
}

static void a_lease_that_ran_out_is_gone_and_the_next_login_has_a_new_one(void **state)
{
        define("db", "[Credential]\nPath=kv/db\nStrategy=off\n[Allow]\nUser=ana\n");
        read_credentials();
        store.ttl = 1;
        log_in("ana", "sshd");
        assert_string_equal(value("db.password"), "1");
        run_until(!value("db.password")[0]);
        store.ttl = 3600;
        log_in("ana", "sshd");
        assert_string_equal(value("db.password"), "2");
}

static void a_restart_changes_nothing_for_whoever_is_there(void **state)
{
        char handle[KB_HANDLE_SIZE];
        struct login l = log_in("ana", "sshd");

        memcpy(handle, l.session->handle, sizeof(handle));
        stop();
        start();
        assert_int_equal(live(), 1);
        assert_string_equal(value("db.password"), "1");
        log_in("ana", "sshd");
        assert_int_equal(store.fetched, 1);
        kb_session_end(kb_session_find(broker.sessions, handle), "closed");
        assert_string_equal(value("db.password"), "1");
        kb_session_end(kb_session_find(broker.sessions, kb_session_of(broker.sessions, "ana")->handle),
                       "closed");
        kb_user_grants_drop(broker.user_grants, "ana");
        assert_false(has_folder());
        run_until(store.revoked == 1);
}

static void a_login_after_a_restart_adds_to_what_is_there(void **state)
{
        log_in("ana", "sshd");
        define("also", "[Credential]\nPath=kv/also\n[Allow]\nUser=ana\n");
        stop();
        start();
        log_in("ana", "sshd");
        assert_string_equal(value("db.password"), "1");
        assert_string_equal(value("also.password"), "2");
}

static void who_left_while_we_were_away_has_the_linger_from_the_start(void **state)
{
        struct login l;
        pid_t leader = fork();

        if (leader == 0) {
                pause();
                _exit(0);
        }
        begin_login(&l, "ana", "sshd", leader);
        run_until(l.done);
        stop();
        assert_int_equal(kill(leader, SIGKILL), 0);
        assert_int_equal(waitpid(leader, NULL, 0), leader);
        start();
        assert_true(has_folder());
        broker.config->linger_usec = 0;
        kb_user_grants_check(broker.user_grants, NULL);
        assert_false(has_folder());
        run_until(store.revoked == 1);
        assert_int_equal(count_events(KB_EVENT_SESSION_CLOSED), 1);
}

static void after_a_reboot_nothing_lives(void **state)
{
        log_in("ana", "sshd");
        stop();
        nftw(in_folder("users"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        nftw(in_folder("sessions"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        start();
        run_until(store.revoked == 1);
        run_until(kb_grants_count(broker.grants) == 0);
}

/* We died between the record and the folder. */
static void what_was_never_written_is_revoked(void **state)
{
        char path[600];

        define("also", "[Credential]\nPath=kv/also\n[Allow]\nUser=ana\n");
        read_credentials();
        log_in("ana", "sshd");
        stop();
        snprintf(path, sizeof(path), "%s/%u/current/also", in_folder("users"), first_uid());
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof(path), "%s/%u/current/also.username", in_folder("users"), first_uid());
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof(path), "%s/%u/current/also.password", in_folder("users"), first_uid());
        assert_int_equal(unlink(path), 0);
        start();
        run_until(store.revoked == 1);
        assert_memory_equal(store.last_revoked, "kv/also#", 8);
        assert_string_not_equal(value("db.password"), "");
}

/* The store could not be told of the end: that does not stand in the way of the next login. */
static void who_comes_back_while_the_old_one_is_being_revoked_has_a_new_one(void **state)
{
        struct login l = log_in("ana", "sshd");

        broker.config->linger_usec = 0;
        store.silent = true;
        log_out(&l);
        assert_false(has_folder());
        run_until(store.unanswered == 1);
        store.silent = false;
        l = log_in("ana", "sshd");
        assert_string_equal(value("db.password"), "2");
        assert_int_equal(kb_grants_count(broker.grants), 2);
        stop();
        start();
        run_until(store.revoked == 1);
        assert_string_equal(store.last_revoked, "kv/db#1");
        assert_string_equal(value("db.password"), "2");
}

static void a_grant_that_root_revokes_leaves_the_folder(void **state)
{
        define("also", "[Credential]\nPath=kv/also\n[Allow]\nUser=ana\n");
        read_credentials();
        log_in("ana", "sshd");
        kb_grants_end(kb_grants_find(broker.grants, KB_CONSUMER_USER, "ana", "65536", "also"));
        assert_string_equal(value("also.password"), "");
        assert_string_not_equal(value("db.password"), "");
}

/* The broker ends while a login still waits: nobody is called back any more. */
static void a_broker_that_goes_down_leaves_nothing_of_a_login_behind(void **state)
{
        struct login l;

        store.silent = true;
        begin_login(&l, "ana", "sshd", getpid());
        stop();
        assert_false(l.done);
        store.silent = false;
        start();
        assert_int_equal(kb_grants_count(broker.grants), 0);
        assert_string_not_equal(log_in("ana", "sshd").folder, "");
}

/* Whatever fails for want of memory: the login goes on, and what is in the folder is whole. */
static void without_memory_a_login_goes_on_with_what_there_is(void **state)
{
        unsigned without = 0;

        for (unsigned nth = 1;; nth++) {
                struct kb_session is = {.user = "ana", .service = "sshd", .leader = getpid()};
                struct login l = {0};
                bool failed;
                int r;

                countdown = nth;
                r = kb_session_open(broker.sessions, &is, -ENOPROTOOPT, &l.session);
                if (r >= 0)
                        kb_user_grants_ask(broker.user_grants, kb_directory_person(directory, "ana"), "sshd",
                                           "r1", on_login, &l);
                failed = countdown == 0;
                countdown = 0;
                if (r < 0) {
                        assert_true(r == -ENOMEM || r == -EMSGSIZE);
                        assert_null(kb_session_of(broker.sessions, "ana"));
                        continue;
                }
                run_until(l.done);
                without += !l.folder[0];
                if (l.folder[0])
                        run_until(value("db.password")[0]);
                assert_string_equal(value("db.password"), value("db.username"));
                log_out(&l);
                kb_user_grants_drop(broker.user_grants, "ana");
                assert_false(has_folder());
                run_until(kb_grants_count(broker.grants) == 0);
                if (!failed)
                        break;
        }
        assert_true(without > 0);
        assert_int_equal(store.revoked, store.fetched);
}

/* Without a folder to write into, nothing is handed out. */
static void a_folder_that_cannot_be_written_means_no_credential(void **state)
{
        close(broker.users_fd);
        broker.users_fd = open(in_folder("credentials.d/db.conf"), O_RDONLY | O_CLOEXEC);
        assert_string_equal(log_in("ana", "sshd").folder, "");
        run_until(store.revoked == 1);
        run_until(count_events(KB_EVENT_GRANT_REFUSED) == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(what_a_person_may_have_is_there_when_the_login_goes_on),
                TEST(services_and_groups_decide_too),
                TEST(a_credential_may_be_fetched_as_the_person),
                TEST(a_credential_may_be_fetched_as_the_person),
                TEST(two_sessions_share_one_grant),
                TEST(a_login_within_the_linger_takes_up_what_is_there),
                TEST(sessions_of_other_services_hold_nothing),
                TEST(a_linger_runs_from_the_end_of_the_session_that_held),
                TEST(a_killed_leader_ends_it_too),
                TEST(a_session_that_root_ends_has_no_linger),
                TEST(who_may_not_have_it_any_more_loses_it_at_once),
                TEST(who_was_renamed_keeps_the_folder_when_the_old_name_ends),
                TEST(a_person_whom_observing_let_in_is_given_nothing),
                TEST(without_a_directory_nothing_is_taken_away),
                TEST(what_is_refused_is_missing_and_written_down),
                TEST(what_may_not_wait_fails_at_once),
                TEST(the_login_does_not_wait_for_ever_and_the_value_comes_later),
                TEST(what_nobody_waits_for_any_more_is_not_fetched),
                TEST(a_hanging_store_holds_nobody_up),
                TEST(a_lease_that_ends_is_replaced_in_the_folder),
                TEST(a_lease_that_can_is_renewed_while_a_session_lives),
                TEST(a_lease_that_ran_out_is_gone_and_the_next_login_has_a_new_one),
                TEST(a_restart_changes_nothing_for_whoever_is_there),
                TEST(a_login_after_a_restart_adds_to_what_is_there),
                TEST(who_left_while_we_were_away_has_the_linger_from_the_start),
                TEST(after_a_reboot_nothing_lives),
                TEST(what_was_never_written_is_revoked),
                TEST(who_comes_back_while_the_old_one_is_being_revoked_has_a_new_one),
                TEST(a_grant_that_root_revokes_leaves_the_folder),
                TEST(a_broker_that_goes_down_leaves_nothing_of_a_login_behind),
                TEST(without_memory_a_login_goes_on_with_what_there_is),
                TEST(a_folder_that_cannot_be_written_means_no_credential),
        };

        if (geteuid() != 0)
                return 77; /* folders are given away here */
        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
