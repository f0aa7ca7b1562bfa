/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's side of a login, over the wire: real handlers, log, counters and codes. The store and the
 * publisher of the directory are the test's own, linked in place of the real ones.
 */
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "common/client.h"
#include "common/clock.h"
#include "common/file.h"
#include "helper/broker/grants.h"
#include "helper/broker/logins.h"
#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/store_client.h"
#include "helper/broker/user_grants.h"
#include "helper/broker/verbs.h"
#include "helper/log/reader.h"
#include "tests/unit/logins.h"

/* --- the directory --- */

static struct kb_directory *directory;

const struct kb_directory *kb_publisher_directory(const struct kb_publisher *p)
{
        return directory;
}

void kb_publisher_get_state(const struct kb_publisher *p, struct kb_publisher_state *ret)
{
        *ret = (struct kb_publisher_state){.until = KB_TIME_NEVER, .problem = ""};
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

static struct kb_list list_of(struct kb_list_builder *b, const char *first, const char *second)
{
        *b = kb_list_builder_init(256);
        if (first)
                kb_list_add_string(b, first);
        if (second)
                kb_list_add_string(b, second);
        return kb_list_built(b);
}

const char *logins_path(const char *name)
{
        return in_folder(name);
}

uid_t logins_uid(void)
{
        return geteuid() == 0 ? KB_ID_MIN_DEFAULT : geteuid();
}

static void add_person(struct kb_writer *w, const char *name, uint32_t uid, bool disabled, uint64_t expires)
{
        kb_directory_add_person(w, &(struct kb_person_record){
                                           .name = name,
                                           .uid = uid,
                                           .full_name = "",
                                           .home = "/home/x",
                                           .shell = "/bin/sh",
                                           .has_password = true,
                                           .disabled = disabled,
                                           .expires = expires,
                                   });
}

/* ana and bea may use sshd and login with a password, and sudo; cut is disabled; old has expired; no rule
 * names gus. */
static void make_directory(void)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
        _cleanup_list_ struct kb_list_builder who, hosts, services, services2;
        struct kb_directory_options options = {.range = {logins_uid(), logins_uid() + 10}};
        struct kb_refused refused;
        char why[256];

        add_person(&w, "ana", logins_uid(), false, KB_TIME_NEVER);
        add_person(&w, "bea", logins_uid() + 1, false, KB_TIME_NEVER);
        add_person(&w, "cut", logins_uid() + 2, true, KB_TIME_NEVER);
        add_person(&w, "gus", logins_uid() + 4, false, KB_TIME_NEVER);
        add_person(&w, "old", logins_uid() + 3, false, 1);
        kb_directory_add_rule(&w, &(struct kb_rule_record){
                                          .name = "in",
                                          .who = list_of(&who, "ana", "bea"),
                                          .hosts = list_of(&hosts, NULL, NULL),
                                          .services = list_of(&services, "login", "sshd"),
                                          .factors = KB_FACTOR_PASSWORD,
                                          .until = KB_TIME_NEVER,
                                  });
        kb_directory_add_rule(&w, &(struct kb_rule_record){
                                          .name = "up",
                                          .who = kb_list_built(&who),
                                          .hosts = kb_list_built(&hosts),
                                          .services = list_of(&services2, "sudo", NULL),
                                          .until = KB_TIME_NEVER,
                                  });
        assert_ok(kb_writer_end(&w));
        if (kb_directory_load(&directory, KB_SPAN(w.data, w.size), &options, &refused) < 0) {
                kb_refused_format(&refused, why, sizeof(why));
                fail_msg("%s", why);
        }
}

/* --- the store --- */

struct logins_store store;

struct kb_store_call {
        struct kb_store_request is;
        struct kb_writer fields;
        sd_event_source *later;
};

int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request)
{
        struct kb_store_call *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (struct kb_store_call){.is = *request, .fields = kb_writer_init(65536)};
        assert_string_equal(request->store, "local");
        *ret = c;
        return 0;
}

struct kb_writer *kb_store_call_writer(struct kb_store_call *c)
{
        return &c->fields;
}

static void fail_once(const char *user, const char *remote_host, const char *service);
static void end_attempt(const char *handle);

static void answer_password(struct kb_span body, struct kb_store_answer *answer, struct kb_writer *w)
{
        struct kb_store_authenticate_request m;

        assert_ok(kb_store_authenticate_request_get(body, &m));
        for (unsigned i = 0; i < store.others_fail; i++)
                fail_once(m.user, m.remote_host, "sshd");
        if (!kb_secret_equal(m.answer, KB_SPAN_STRING("sesame")))
                answer->error = KB_E_BAD_SECRET;
        kb_store_authenticate_reply_put(w, &(struct kb_store_authenticate_reply){
                                                   .granted = !store.wants_code,
                                                   .state = KB_SPAN("state", 5),
                                                   .ask = !store.wants_code ? KB_ASK_NOTHING
                                                          : store.asks      ? store.asks
                                                                            : KB_ASK_CODE,
                                                   .prompt = "Code: ",
                                                   .change_password = store.change_password,
                                           });
}

static void answer_code(struct kb_span body, struct kb_store_answer *answer, struct kb_writer *w)
{
        struct kb_store_continue_request m;

        assert_ok(kb_store_continue_request_get(body, &m));
        assert_true(kb_secret_equal(m.state, KB_SPAN("state", 5)));
        if (!kb_secret_equal(m.answer, KB_SPAN_STRING("123456")))
                answer->error = KB_E_BAD_SECRET;
        kb_store_continue_reply_put(w, &(struct kb_store_continue_reply){.granted = true});
}

static void answer_change(struct kb_span body, struct kb_store_answer *answer, struct kb_writer *w)
{
        struct kb_change_secret_request m;

        assert_ok(kb_change_secret_request_get(body, &m));
        store.privileged = m.privileged;
        for (unsigned i = 0; i < store.others_fail; i++)
                fail_once(m.user, "", "passwd");
        if (!m.privileged && !kb_secret_equal(m.old, KB_SPAN_STRING("sesame")))
                answer->error = KB_E_BAD_SECRET;
        kb_change_secret_reply_put(w, &(struct kb_change_secret_reply){.message = "Done."});
}

static int answer_later(sd_event_source *source, void *userdata)
{
        struct kb_store_call *c = userdata;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
        struct kb_store_answer answer = {.error = store.error, .text = ""};
        struct kb_span body = KB_SPAN(c->fields.data, c->fields.size);

        store.verb = c->is.verb;
        if (store.ends)
                end_attempt(store.ends);
        if (kb_writer_end(&c->fields) < 0)
                answer.error = KB_E_UNREACHABLE; /* as the real one does when it cannot send */
        else if (store.error != KB_E_OK)
                answer.text = "the store has its reasons";
        else if (c->is.verb == KB_VERB_store_authenticate)
                answer_password(body, &answer, &w);
        else if (c->is.verb == KB_VERB_store_continue)
                answer_code(body, &answer, &w);
        else
                answer_change(body, &answer, &w);
        if (answer.error == KB_E_OK)
                answer.fields = store.nonsense ? KB_SPAN("?", 1) : KB_SPAN(w.data, w.size);
        c->is.done(&answer, c->is.userdata);
        sd_event_source_disable_unref(c->later);
        kb_writer_done(&c->fields);
        free(c);
        return 0;
}

void kb_store_call_start(struct kb_store_call *c)
{
        assert_ok(sd_event_add_defer(c->is.event, &c->later, answer_later, c));
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        fail_msg("nobody cancels here");
}

void kb_store_call_hold(struct kb_store_call *c)
{
        fail_msg("nothing takes long here");
}

void kb_store_call_resume(struct kb_store_call *c)
{
}

void *kb_store_answer_take(const struct kb_store_answer *answer)
{
        return NULL;
}

/* --- the broker --- */

struct kb_broker broker;

static void end_attempt(const char *handle)
{
        kb_attempt_end(broker.logins->attempts,
                       kb_attempt_find(broker.logins->attempts, geteuid(), handle, kb_now_boottime()));
}

static void fail_once(const char *user, const char *remote_host, const char *service)
{
        const struct kb_lockout_policy policy = kb_login_policy(&broker);
        const struct kb_lockout_key key = kb_login_key(geteuid() != 0, remote_host, user, service);

        kb_lockout_fail(broker.logins->lockout, &policy, &key, kb_now_realtime());
}

/* Whoever runs this and is not root speaks for themselves all the time. */
static void set_throttle(unsigned burst)
{
        kb_throttle_free(broker.logins->throttle);
        assert_ok(kb_throttle_new(&broker.logins->throttle, burst, 60 * KB_USEC_PER_SEC));
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        kb_log_dispatch(broker.log);
        return 0;
}

static void listen_here(enum kb_caller caller, const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct kb_listener listener = {
                .caller = caller, .max_peers = 16, .max_request = 65536, .read_usec = 5000000};

        listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(bind(listener.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(chmod(path, 0666), 0);
        assert_int_equal(listen(listener.fd, 16), 0);
        assert_ok(kb_server_listen(broker.server, &listener));
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
        assert_ok(kb_config_new(in_folder("none.conf"), &(struct kb_config_trust){.owner = geteuid()},
                                &problems, &broker.config));
        assert_ok(kb_log_open(&broker.log, in_folder("log"), &(struct kb_log_options){0}, &damage));
        assert_ok(sd_event_add_io(broker.event, &broker.log_source, kb_log_fd(broker.log), 1, on_log, NULL));
        assert_ok(kb_grants_new(&broker.grants, &broker));
        assert_ok(kb_disk_new(&broker.disk, broker.event));
        assert_ok(kb_logins_new(&broker.logins, broker.disk, in_folder("keep")));
        if (geteuid() != 0)
                set_throttle(10000);
        assert_ok(kb_sessions_new(&broker.sessions, broker.event, in_folder("sessions"),
                                  kb_login_session_ended, &broker));
        assert_ok(kb_user_grants_new(&broker.user_grants, &broker));
        assert_ok(kb_server_new(&broker.server, broker.event, kb_verbs, kb_verbs_count, &broker));
        listen_here(geteuid() == 0 ? KB_CALLER_ROOT : KB_CALLER_SELF, in_folder("main.sock"));
        listen_here(KB_CALLER_SELF, in_folder("auth.sock"));
}

static void stop(void)
{
        kb_disk_drain(broker.disk);
        kb_server_free(broker.server);
        kb_user_grants_free(broker.user_grants);
        kb_sessions_free(broker.sessions);
        kb_logins_free(broker.logins);
        kb_disk_free(broker.disk);
        kb_grants_free(broker.grants);
        sd_event_source_disable_unref(broker.log_source);
        kb_log_free(broker.log);
        kb_config_free(broker.config);
        sd_event_unref(broker.event);
        close(broker.users_fd);
        unlink(in_folder("main.sock"));
        unlink(in_folder("auth.sock"));
}

int logins_set_up(void **state)
{
        char first_key[KB_FIRST_KEY_MAX];

        memset(&store, 0, sizeof(store));
        assert_int_equal(chmod(test_folder, 0711), 0);
        assert_int_equal(mkdir(in_folder("log"), 0700), 0);
        assert_int_equal(mkdir(in_folder("keep"), 0700), 0);
        assert_ok(kb_log_create(in_folder("log"), kb_now_realtime(), first_key));
        make_directory();
        start();
        return 0;
}

int logins_tear_down(void **state)
{
        stop();
        kb_directory_free(directory);
        directory = NULL;
        nftw(in_folder("log"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        nftw(in_folder("sessions"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        nftw(in_folder("keep"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        return 0;
}

/* --- the module's side, in a thread, while the loop runs here --- */

struct asking {
        struct kb_call *call;
        const char *path;
        uid_t uid; /* 0: ours */
        int r;
        int done_fd;
};

static void *run_call(void *p)
{
        struct asking *a = p;

        if (a->uid != 0) /* the system call itself: of this thread only */
                assert_int_equal(syscall(SYS_setresuid, -1, a->uid, -1), 0);
        a->r = kb_call_run(a->call, a->path, kb_time_add(kb_now_monotonic(), 10 * KB_USEC_PER_SEC));
        close(a->done_fd);
        return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

long logins_run(struct kb_call *call, const char *socket_name, uid_t uid)
{
        sd_event_source *source = NULL;
        bool done = false;
        pthread_t thread;
        int fds[2];
        struct asking a = {.call = call, .path = in_folder(socket_name), .uid = uid};

        assert_int_equal(pipe(fds), 0);
        a.done_fd = fds[1];
        assert_ok(sd_event_add_io(broker.event, &source, fds[0], 1, on_done, &done));
        assert_int_equal(pthread_create(&thread, NULL, run_call, &a), 0);
        logins_countdown = logins_failing;
        while (!done)
                assert_ok(sd_event_run(broker.event, 1000000));
        logins_failing = logins_countdown;
        logins_countdown = 0;
        pthread_join(thread, NULL);
        sd_event_source_disable_unref(source);
        close(fds[0]);
        return a.r < 0 ? a.r : (long)call->status;
}

static uint32_t run_as(struct kb_call *call, const char *socket_name, uid_t uid)
{
        assert_ok(logins_run(call, socket_name, uid));
        return call->status;
}

static uint32_t run_on(struct kb_call *call, const char *socket_name)
{
        return run_as(call, socket_name, 0);
}

static uint32_t run(struct kb_call *call)
{
        return run_on(call, "main.sock");
}

static char handle[65];
static uint32_t asked;
static bool granted;

static uint32_t authenticate_on(const char *socket_name, const char *user)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_authenticate);
        struct kb_authenticate_reply reply;

        kb_authenticate_request_put(
                &call.request,
                &(struct kb_authenticate_request){.user = user, .service = "sshd", .remote_host = "c"});
        if (run_on(&call, socket_name) != KB_E_OK)
                return call.status;
        assert_ok(kb_authenticate_reply_get(call.reply.body, &reply));
        snprintf(handle, sizeof(handle), "%s", reply.session);
        asked = reply.ask;
        granted = reply.granted;
        return KB_E_OK;
}

static uint32_t authenticate(const char *user)
{
        return authenticate_on("main.sock", user);
}

static uint32_t proceed(const char *typed)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_proceed);
        struct kb_proceed_reply reply;

        kb_proceed_request_put(&call.request, &(struct kb_proceed_request){.session = handle,
                                                                           .answer = KB_SPAN_STRING(typed)});
        if (run(&call) != KB_E_OK)
                return call.status;
        assert_ok(kb_proceed_reply_get(call.reply.body, &reply));
        asked = reply.ask;
        granted = reply.granted;
        return KB_E_OK;
}

static uint32_t account(const char *user, const char *service, const char *session)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_account);

        kb_account_request_put(&call.request, &(struct kb_account_request){
                                                      .user = user, .service = service, .session = session});
        return run(&call);
}

static void the_right_password_lets_in_and_the_rules_are_asked(void **state)
{
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(asked, KB_ASK_PASSWORD);
        assert_false(granted);
        assert_int_equal(account("ana", "sshd", handle), KB_E_DENIED); /* nothing was shown yet */
        assert_int_equal(proceed("sesame"), KB_E_OK);
        assert_true(granted);
        for (unsigned i = 0; i < 2 * KB_ATTEMPTS_OF_NAME; i++)
                assert_int_equal(account("ana", "sshd", handle), KB_E_OK); /* a question ends nothing */
        assert_int_equal(account("ana", "sshd", ""), KB_E_DENIED); /* by key: the rule wants a password */
        assert_int_equal(account("ana", "sudo", ""), KB_E_OK);
        assert_int_equal(proceed("sesame"), KB_E_EXPIRED); /* it is over */
}

static void a_login_is_no_one_elses(void **state)
{
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("sesame"), KB_E_OK);
        assert_int_equal(account("bea", "sshd", handle), KB_E_DENIED);
        assert_int_equal(account("ana", "login", handle), KB_E_DENIED);
        assert_int_equal(account("ana", "sshd", handle), KB_E_OK);
}

static void a_code_is_asked_for_when_the_store_wants_one(void **state)
{
        store.wants_code = true;
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("sesame"), KB_E_OK);
        assert_false(granted);
        assert_int_equal(asked, KB_ASK_CODE);
        assert_int_equal(account("ana", "sshd", handle), KB_E_DENIED); /* half of it is nothing */
        assert_int_equal(proceed("123456"), KB_E_OK);
        assert_true(granted);
        assert_int_equal(store.verb, KB_VERB_store_continue);
        assert_int_equal(account("ana", "sshd", handle), KB_E_OK);
}

static void too_many_wrong_passwords_lock_out_over_a_restart(void **state)
{
        for (unsigned i = 0; i < 10; i++) {
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("wrong"), KB_E_BAD_SECRET);
                assert_int_equal(proceed("sesame"), KB_E_EXPIRED); /* one answer for each attempt */
        }
        assert_int_equal(authenticate("ana"), KB_E_LOCKED);
        stop();
        start();
        assert_int_equal(authenticate("ana"), KB_E_LOCKED);
}

/* The counters as a broker would find them that starts now: on disk, whatever ours has in memory. */
struct kb_lockout *logins_lockout_on_disk(void)
{
        _cleanup_secret_ uint8_t *bytes = NULL;
        _cleanup_close_ int fd = open(in_folder("keep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct kb_lockout *l;
        size_t size;

        assert_ok(fd);
        assert_ok(kb_lockout_new(&l));
        assert_ok(kb_file_read_at(fd, "login.lockout", KB_LOCKOUT_BYTES_MAX, &bytes, &size));
        assert_ok(kb_lockout_get(l, KB_SPAN(bytes, size)));
        return l;
}

/* Whoever has heard "wrong" has used up a guess: nobody gets it back by a broker that dies right then. */
static void a_guess_is_counted_on_disk_before_it_is_answered(void **state)
{
        const struct kb_lockout_key key = kb_login_key(geteuid() != 0, "c", "ana", "sshd");

        for (unsigned i = 1; i <= 10; i++) {
                _cleanup_(kb_lockout_freep) struct kb_lockout *l = NULL;

                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("wrong"), KB_E_BAD_SECRET);
                l = logins_lockout_on_disk();
                assert_int_equal(kb_lockout_until(l, &key, kb_now_realtime()) > 0, i == 10);
        }
}

/* Attempts that were begun before the lock came are no way round it. */
static void a_lockout_holds_for_attempts_under_way(void **state)
{
        char begun[65];

        assert_int_equal(authenticate("ana"), KB_E_OK);
        snprintf(begun, sizeof(begun), "%s", handle);
        for (unsigned i = 0; i < 10; i++) {
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("wrong"), KB_E_BAD_SECRET);
        }
        snprintf(handle, sizeof(handle), "%s", begun);
        assert_int_equal(proceed("sesame"), KB_E_LOCKED);
}

static void the_right_password_forgets_the_wrong_ones(void **state)
{
        for (unsigned i = 0; i < 25; i++) {
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed(i % 5 == 4 ? "sesame" : "wrong"),
                                 i % 5 == 4 ? KB_E_OK : KB_E_BAD_SECRET);
        }
}

static void who_may_not_come_in_is_not_asked_for_a_password(void **state)
{
        if (geteuid() != 0)
                skip(); /* others may ask about themselves only */
        assert_int_equal(authenticate("cut"), KB_E_DENIED);
        assert_int_equal(authenticate("old"), KB_E_EXPIRED);
        assert_int_equal(authenticate("nobody"), KB_E_NOT_FOUND);
        assert_int_equal(account("cut", "sudo", ""), KB_E_DENIED);
        assert_int_equal(account("old", "sudo", ""), KB_E_EXPIRED);
        assert_int_equal(account("nobody", "sudo", ""), KB_E_NOT_FOUND);
}

static void on_the_open_socket_everybody_is_themselves(void **state)
{
        uint32_t expected = geteuid() == 0 ? KB_E_DENIED : KB_E_OK;

        assert_int_equal(authenticate_on("auth.sock", "ana"), expected);
        assert_int_equal(authenticate_on("auth.sock", "bea"), KB_E_DENIED);
        assert_int_equal(authenticate_on("auth.sock", "nobody"), KB_E_DENIED);
}

static void a_store_that_is_away_is_no_wrong_password(void **state)
{
        static const enum kb_error errors[] = {KB_E_UNREACHABLE, KB_E_SEALED, KB_E_STORAGE, KB_E_BUSY};

        for (size_t i = 0; i < 20 * KB_ARRAY_SIZE(errors); i++) {
                store.error = errors[i % KB_ARRAY_SIZE(errors)];
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("sesame"), store.error);
        }
}

static void on_kept(int r, void *userdata)
{
        *(int *)userdata = r;
        broker.logins->codes_busy = false;
}

static int make_codes(unsigned n, char ret[][KB_RECOVERY_CODE_SIZE])
{
        int r = 1;

        assert_ok(kb_recovery_make(&broker.logins->recovery, n, ret));
        kb_logins_save_recovery(broker.logins, on_kept, &r);
        kb_disk_drain(broker.disk);
        return r;
}

static void a_recovery_code_lets_in_once_while_the_store_is_away(void **state)
{
        char codes[2][KB_RECOVERY_CODE_SIZE];

        assert_int_equal(make_codes(2, codes), 0);
        stop();
        start();
        store.error = KB_E_UNREACHABLE;
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("whatever"), KB_E_OK);
                assert_int_equal(asked, KB_ASK_CODE);
                assert_false(granted);
                assert_int_equal(proceed(codes[0]), i == 0 ? KB_E_OK : KB_E_BAD_SECRET);
                assert_int_equal(granted, i == 0);
        }
        assert_int_equal(broker.logins->recovery.n, 1);
        store.error = KB_E_OK; /* the store is back: no code helps against it */
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed(codes[1]), KB_E_BAD_SECRET);
}

/* A program that answers whatever is asked with the password, as sshd does, locks nobody out. */
static void a_password_in_the_place_of_a_code_is_no_failure(void **state)
{
        char codes[1][KB_RECOVERY_CODE_SIZE];

        assert_int_equal(make_codes(1, codes), 0);
        store.error = KB_E_UNREACHABLE;
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("whatever"), KB_E_OK);
                assert_int_equal(asked, KB_ASK_CODE);
                assert_int_equal(proceed("whatever"), KB_E_UNREACHABLE);
        }
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("whatever"), KB_E_OK);
        assert_int_equal(proceed(codes[0]), KB_E_OK);
        assert_true(granted);
}

static void a_code_that_cannot_be_made_void_opens_nothing(void **state)
{
        char codes[1][KB_RECOVERY_CODE_SIZE];

        assert_ok(kb_recovery_make(&broker.logins->recovery, 1, codes));
        store.error = KB_E_UNREACHABLE;
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("whatever"), KB_E_OK);
        assert_int_equal(mkdir(in_folder("keep/login.recovery"), 0700), 0); /* rename(2) fails on it */
        assert_int_equal(mkdir(in_folder("keep/login.recovery/x"), 0700), 0);
        assert_int_equal(proceed(codes[0]), KB_E_STORAGE);
        assert_int_equal(broker.logins->recovery.n, 1);
        assert_int_equal(rmdir(in_folder("keep/login.recovery/x")), 0);
        assert_int_equal(authenticate("ana"), KB_E_OK); /* and once the disk takes it, the code is good */
        assert_int_equal(proceed("whatever"), KB_E_OK);
        assert_int_equal(rmdir(in_folder("keep/login.recovery")), 0);
        assert_int_equal(proceed(codes[0]), KB_E_OK);
        assert_true(granted);
}

static uint32_t recovery(uint32_t n, uint32_t *ret_n)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_recovery);
        struct kb_recovery_reply reply;

        kb_recovery_request_put(&call.request, &(struct kb_recovery_request){.count = n});
        if (run(&call) != KB_E_OK)
                return call.status;
        assert_ok(kb_recovery_reply_get(call.reply.body, &reply));
        *ret_n = reply.codes.count;
        return KB_E_OK;
}

static void new_codes_are_shown_once_they_are_kept(void **state)
{
        uint32_t n = 0;

        if (geteuid() != 0)
                skip(); /* only root's socket makes codes */
        assert_int_equal(recovery(3, &n), KB_E_OK);
        assert_int_equal(n, 3);
        assert_int_equal(access(in_folder("keep/login.recovery"), F_OK), 0);
        assert_int_equal(recovery(21, &n), KB_E_BAD_REQUEST);
        assert_int_equal(unlink(in_folder("keep/login.recovery")), 0);
        assert_int_equal(mkdir(in_folder("keep/login.recovery"), 0700), 0);
        assert_int_equal(recovery(5, &n), KB_E_STORAGE);
        assert_int_equal(broker.logins->recovery.n, 3);
        broker.logins->codes_busy = true;
        assert_int_equal(recovery(5, &n), KB_E_BUSY);
}

/* --- the last step of a write --- */

static _Atomic bool folders_fail; /* their fsync(2): the file is renamed by then */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
        struct stat st;

        if (folders_fail && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
                errno = EIO;
                return -1;
        }
        return __real_fsync(fd);
}

/* A start of the broker. */
static void restart(void)
{
        stop();
        start();
}

/* Whoever got an error keeps the codes that were printed, over a start too. */
static void codes_that_were_not_shown_never_count(void **state)
{
        char codes[2][KB_RECOVERY_CODE_SIZE];
        uint32_t n = 0;

        if (geteuid() != 0)
                skip();
        assert_int_equal(make_codes(2, codes), 0);
        folders_fail = true;
        assert_int_equal(recovery(5, &n), KB_E_STORAGE);
        assert_int_equal(broker.logins->recovery.n, 2);
        folders_fail = false;
        restart();
        assert_int_equal(broker.logins->recovery.n, 2);
        assert_true(kb_recovery_use(&broker.logins->recovery, KB_SPAN_STRING(codes[0])));
        assert_true(kb_recovery_use(&broker.logins->recovery, KB_SPAN_STRING(codes[1])));
}

/* Nor is one lost that opened nothing. */
static void a_code_that_was_refused_for_the_disk_is_good_after_a_start(void **state)
{
        char codes[1][KB_RECOVERY_CODE_SIZE];

        assert_int_equal(make_codes(1, codes), 0);
        store.error = KB_E_UNREACHABLE;
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("whatever"), KB_E_OK);
        folders_fail = true;
        assert_int_equal(proceed(codes[0]), KB_E_STORAGE);
        folders_fail = false;
        restart();
        assert_true(kb_recovery_use(&broker.logins->recovery, KB_SPAN_STRING(codes[0])));
}

static void one_code_is_used_at_a_time(void **state)
{
        char codes[1][KB_RECOVERY_CODE_SIZE];

        assert_int_equal(make_codes(1, codes), 0);
        store.error = KB_E_UNREACHABLE;
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("whatever"), KB_E_OK);
        broker.logins->codes_busy = true;
        assert_int_equal(proceed(codes[0]), KB_E_BUSY);
        broker.logins->codes_busy = false;
        assert_int_equal(proceed(codes[0]), KB_E_OK);
}

/* The store takes a privileged change for root's own. */
static void a_password_is_changed_by_who_knows_it_or_by_root_who_says_so(void **state)
{
        bool root = geteuid() == 0; /* only root's socket speaks for root */
        const struct {
                const char *socket, *old;
                bool privileged;
                uint32_t expected;
                uint32_t asked; /* what the store heard */
        } table[] = {
                {"main.sock", "sesame", false, KB_E_OK, KB_VERB_change_secret},
                {"main.sock", "wrong", false, KB_E_BAD_SECRET, KB_VERB_change_secret},
                {"main.sock", "", false, KB_E_BAD_SECRET, 0}, /* passwd(1) of a person, and no answer */
                {"main.sock", "", true, root ? KB_E_OK : KB_E_DENIED, root ? KB_VERB_change_secret : 0},
                {"auth.sock", "", true, KB_E_DENIED, 0},
                {"auth.sock", "sesame", true, KB_E_DENIED, 0},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_change_password);

                store.verb = 0;
                store.privileged = false;
                kb_change_password_request_put(&call.request, &(struct kb_change_password_request){
                                                                      .user = "ana",
                                                                      .service = "passwd",
                                                                      .privileged = table[i].privileged,
                                                                      .old = KB_SPAN_STRING(table[i].old),
                                                                      .new = KB_SPAN_STRING("open"),
                                                              });
                assert_int_equal(
                        run_as(&call, table[i].socket, root && *table[i].socket == 'a' ? logins_uid() : 0),
                        table[i].expected);
                assert_int_equal(store.verb, table[i].asked);
                assert_int_equal(store.privileged, table[i].privileged && table[i].asked != 0);
        }
}

static bool is_under_way(void)
{
        return kb_attempt_find(broker.logins->attempts, geteuid(), handle, kb_now_boottime());
}

/* A handle that is good for nothing any more is not kept for ten minutes. */
static void a_login_that_account_refuses_is_over(void **state)
{
        if (geteuid() != 0)
                skip(); /* others may ask about themselves only */
        assert_int_equal(authenticate("gus"), KB_E_OK);
        assert_int_equal(proceed("sesame"), KB_E_OK);
        assert_true(is_under_way());
        assert_int_equal(account("ana", "sshd", handle), KB_E_DENIED); /* not hers: that ends nothing */
        assert_true(is_under_way());
        assert_int_equal(account("gus", "sshd", handle), KB_E_DENIED);
        assert_false(is_under_way());
}

/* A disk that takes nothing more, for this process. */
static void set_file_limit(rlim_t most)
{
        struct rlimit limit;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void set_disk_full(bool full)
{
        set_file_limit(full ? 1 : RLIM_INFINITY);
}

static void without_a_record_nobody_comes_in_unless_that_was_allowed(void **state)
{
        for (unsigned required = 0; required < 2; required++) {
                uint32_t expected = required ? KB_E_NO_RECORD : KB_E_OK;

                broker.config->log_required = required;
                assert_int_equal(authenticate("ana"), KB_E_OK);
                set_disk_full(true);
                assert_int_equal(proceed("sesame"), expected);
                assert_int_equal(account("ana", "sudo", ""), expected);
                set_disk_full(false);
                assert_int_equal(authenticate("ana"), KB_E_OK);
                assert_int_equal(proceed("sesame"), KB_E_OK);
                set_disk_full(true);
                assert_int_equal(account("ana", "sshd", handle), expected);
                set_disk_full(false);
                assert_int_equal(is_under_way(), !required);
        }
}

static void observing_lets_pass_whom_the_rules_refuse(void **state)
{
        broker.config->login_mode = KB_LOGIN_observe;
        assert_int_equal(account("ana", "cron", ""), KB_E_OK);
        if (geteuid() == 0)
                assert_int_equal(account("cut", "sudo", ""), KB_E_OK);
        broker.config->login_mode = KB_LOGIN_enforce;
        assert_int_equal(account("ana", "cron", ""), KB_E_DENIED);
}

static void a_session_is_opened_and_closed(void **state)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_open_session);
        _cleanup_call_ struct kb_call again = kb_call_init(KB_VERB_close_session);
        _cleanup_call_ struct kb_call other = kb_call_init(KB_VERB_close_session);
        struct kb_open_session_reply reply;

        if (geteuid() != 0)
                skip(); /* the verb is root's */
        assert_int_equal(authenticate("ana"), KB_E_OK);
        assert_int_equal(proceed("sesame"), KB_E_OK);
        kb_open_session_request_put(
                &call.request,
                &(struct kb_open_session_request){.user = "ana", .service = "sshd", .session = handle});
        assert_int_equal(run(&call), KB_E_OK);
        assert_ok(kb_open_session_reply_get(call.reply.body, &reply));
        assert_string_equal(reply.credentials, "");
        assert_non_null(kb_session_of(broker.sessions, "ana"));
        assert_int_equal(account("ana", "sshd", handle), KB_E_DENIED); /* the login has served */
        assert_int_equal(account("ana", "systemd-user", ""), KB_E_OK); /* because of that session */
        assert_int_equal(account("bea", "systemd-user", ""), KB_E_DENIED);
        kb_close_session_request_put(
                &other.request, &(struct kb_close_session_request){.user = "bea", .handle = reply.handle});
        assert_int_equal(run(&other), KB_E_NOT_FOUND);
        kb_close_session_request_put(
                &again.request, &(struct kb_close_session_request){.user = "ana", .handle = reply.handle});
        assert_int_equal(run(&again), KB_E_OK);
        assert_null(kb_session_of(broker.sessions, "ana"));
        assert_int_equal(account("ana", "systemd-user", ""), KB_E_DENIED);
}

/* --- on the open socket --- */

static void on_flushed(int r, uint64_t sequence, void *userdata)
{
        *(bool *)userdata = true;
}

/* How many records of that kind there are; with match, only those it takes. */
static unsigned count_records(uint32_t id, bool (*match)(const struct kb_event *event))
{
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_log_read read;
        bool flushed = false;
        unsigned n = 0;

        assert_ok(kb_log_append(broker.log, &(struct kb_event){.id = KB_EVENT_CONFIG_LOADED}, true,
                                on_flushed, &flushed));
        while (!flushed)
                assert_ok(sd_event_run(broker.event, 1000000));
        assert_ok(kb_log_reader_open(&reader, in_folder("log")));
        while (kb_log_reader_next(reader, &read) > 0)
                n += read.event.id == id && (!match || match(&read.event));
        return n;
}

static bool is_of_ana_and_from_nowhere(const struct kb_event *event)
{
        return strcmp(event->user, "ana") == 0 && strtoul(event->uid, NULL, 10) == logins_uid() &&
               !event->remote_host && !event->remote_user && !event->tty;
}

/* As ana, on auth.sock. */
static uint32_t guess(const char *service, const char *remote_host, const char *typed)
{
        _cleanup_call_ struct kb_call begin = kb_call_init(KB_VERB_authenticate);
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_proceed);
        struct kb_authenticate_reply reply;

        kb_authenticate_request_put(&begin.request, &(struct kb_authenticate_request){
                                                            .user = "ana",
                                                            .service = service,
                                                            .remote_host = remote_host,
                                                            .remote_user = "root",
                                                            .tty = "tty1",
                                                    });
        if (run_as(&begin, "auth.sock", logins_uid()) != KB_E_OK)
                return begin.status;
        assert_ok(kb_authenticate_reply_get(begin.reply.body, &reply));
        kb_proceed_request_put(&call.request, &(struct kb_proceed_request){.session = reply.session,
                                                                           .answer = KB_SPAN_STRING(typed)});
        return run_as(&call, "auth.sock", logins_uid());
}

static uint32_t account_as(uid_t uid, const char *user, const char *service)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_account);

        kb_account_request_put(&call.request, &(struct kb_account_request){
                                                      .user = user,
                                                      .service = service,
                                                      .remote_host = "203.0.113.7",
                                                      .remote_user = "root",
                                                      .tty = "tty1",
                                              });
        return run_as(&call, "auth.sock", uid);
}

/* Or whoever is here writes into the log that they, or somebody, came from elsewhere. */
static void on_the_open_socket_the_kernel_says_who_and_nobody_says_from_where(void **state)
{
        assert_int_equal(guess("locker", "203.0.113.7", "wrong"), KB_E_BAD_SECRET);
        assert_int_equal(guess("locker", "203.0.113.7", "sesame"), KB_E_OK);
        assert_int_equal(account_as(logins_uid(), "ana", "sudo"), KB_E_OK);
        assert_int_equal(account_as(logins_uid(), "ana", "cron"), KB_E_DENIED);
        assert_int_equal(count_records(KB_EVENT_LOGIN_REFUSED, is_of_ana_and_from_nowhere), 1);
        assert_int_equal(count_records(KB_EVENT_LOGIN_AUTHENTICATED, is_of_ana_and_from_nowhere), 1);
        assert_int_equal(count_records(KB_EVENT_ACCOUNT_PERMITTED, is_of_ana_and_from_nowhere), 1);
        assert_int_equal(count_records(KB_EVENT_ACCOUNT_REFUSED, is_of_ana_and_from_nowhere), 1);
}

static void on_the_open_socket_no_word_makes_a_new_counter(void **state)
{
        char service[16], host[16];

        for (unsigned i = 0; i < 10; i++) {
                snprintf(service, sizeof(service), "locker%u", i);
                snprintf(host, sizeof(host), "host%u", i);
                assert_int_equal(guess(service, host, "wrong"), KB_E_BAD_SECRET);
        }
        assert_int_equal(guess("fresh", "fresh", "sesame"), KB_E_LOCKED);
        if (geteuid() == 0) /* and nobody is locked out at another door by it */
                assert_int_equal(authenticate("ana"), KB_E_OK);
}

static bool is_about_all(const struct kb_event *event)
{
        return event->count == 91 && strtoul(event->uid, NULL, 10) == logins_uid() &&
               strcmp(event->user, "ana") == 0;
}

static void who_asks_without_end_does_not_fill_the_log(void **state)
{
        unsigned refused = 0;

        set_throttle(10);
        for (unsigned i = 0; i < 100; i++)
                refused += account_as(logins_uid(), "ana", "sudo") == KB_E_THROTTLED;
        assert_int_equal(refused, 90);
        assert_int_equal(guess("locker", "", "wrong"), KB_E_THROTTLED);
        assert_int_equal(count_records(KB_EVENT_ACCOUNT_PERMITTED, NULL), 10);
        assert_int_equal(count_records(KB_EVENT_LOGIN_THROTTLED, NULL), 0);
        if (geteuid() == 0) { /* nobody else is refused, and she is not at another door */
                assert_int_equal(account_as(logins_uid() + 1, "bea", "sudo"), KB_E_OK);
                assert_int_equal(account("ana", "sudo", ""), KB_E_OK);
        }
        assert_non_null(broker.logins->throttled);
        assert_ok(sd_event_source_set_time(broker.logins->throttled, 1)); /* the minute is over */
        while (broker.logins->throttled)
                assert_ok(sd_event_run(broker.event, 1000000));
        assert_int_equal(count_records(KB_EVENT_LOGIN_THROTTLED, is_about_all), 1);
        assert_int_equal(broker.refusals, 91);
}

/* --- what may not happen without a record --- */

static void a_lock_that_begins_while_an_answer_is_checked_holds_for_it(void **state)
{
        assert_int_equal(authenticate("ana"), KB_E_OK);
        store.others_fail = 10;
        assert_int_equal(proceed("sesame"), KB_E_LOCKED);
        assert_int_equal(count_records(KB_EVENT_LOGIN_AUTHENTICATED, NULL), 0);
        assert_int_equal(account("ana", "sshd", handle), KB_E_DENIED);
        assert_int_equal(authenticate("ana"), KB_E_LOCKED); /* and it stands */
}

static uint32_t change_password(bool preliminary)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_change_password);

        kb_change_password_request_put(&call.request, &(struct kb_change_password_request){
                                                              .user = "ana",
                                                              .service = "passwd",
                                                              .preliminary = preliminary,
                                                              .old = KB_SPAN_STRING("sesame"),
                                                              .new = KB_SPAN_STRING("open"),
                                                      });
        return run(&call);
}

static void no_password_changes_without_a_record(void **state)
{
        for (unsigned required = 0; required < 2; required++) {
                broker.config->log_required = required;
                store.verb = 0;
                set_disk_full(true);
                assert_int_equal(change_password(true), KB_E_OK); /* which changes nothing */
                store.verb = 0;
                assert_int_equal(change_password(false), required ? KB_E_NO_RECORD : KB_E_OK);
                assert_int_equal(store.verb, required ? 0 : KB_VERB_change_secret);
                set_disk_full(false);
        }
        assert_int_equal(count_records(KB_EVENT_PASSWORD_CHANGE_ASKED, NULL), 0);
        assert_int_equal(change_password(false), KB_E_OK);
        assert_int_equal(count_records(KB_EVENT_PASSWORD_CHANGE_ASKED, NULL), 1);
}

static void no_codes_are_made_without_a_record(void **state)
{
        uint32_t n = 0;

        if (geteuid() != 0)
                skip();
        assert_int_equal(recovery(3, &n), KB_E_OK);
        set_disk_full(true);
        assert_int_equal(recovery(5, &n), KB_E_NO_RECORD);
        assert_int_equal(broker.logins->recovery.n, 3);
        assert_false(broker.logins->codes_busy);
        set_disk_full(false);
        assert_int_equal(recovery(5, &n), KB_E_OK);
        assert_int_equal(count_records(KB_EVENT_ADMIN_ASKED, NULL), 2);
}

/* opened: "" when it is not counted. */
static uint32_t try_session(const char *user, char opened[static 65])
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_open_session);
        struct kb_open_session_reply reply;
        uint32_t status;

        kb_open_session_request_put(&call.request,
                                    &(struct kb_open_session_request){.user = user, .service = "sshd"});
        opened[0] = '\0';
        status = run(&call);
        if (status != KB_E_OK)
                return status;
        assert_ok(kb_open_session_reply_get(call.reply.body, &reply));
        snprintf(opened, 65, "%s", reply.handle);
        if (!opened[0])
                assert_string_equal(reply.credentials, "");
        return status;
}

static const char *open_session_of(const char *user)
{
        static char opened[65];

        try_session(user, opened);
        return opened;
}

static uint32_t end_session(const char *opened)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_session_end);

        kb_session_end_request_put(&call.request, &(struct kb_session_end_request){.handle = opened});
        return run(&call);
}

static void root_sees_sessions_and_ends_them(void **state)
{
        _cleanup_call_ struct kb_call list = kb_call_init(KB_VERB_session_list);
        struct kb_session_list_reply reply;
        struct kb_session_record session;
        struct kb_span element;
        const char *opened;

        if (geteuid() != 0)
                skip(); /* the verbs are root's */
        assert_string_equal(open_session_of("nobody"), "");
        opened = open_session_of("ana");
        assert_int_equal(run(&list), KB_E_OK);
        assert_ok(kb_session_list_reply_get(list.reply.body, &reply));
        assert_true(kb_list_next(&reply.sessions, &element));
        assert_ok(kb_session_record_get(element, &session));
        assert_string_equal(session.handle, opened);
        assert_string_equal(session.user, "ana");
        assert_string_equal(session.service, "sshd");
        assert_int_equal(session.leader, getpid());
        assert_false(kb_list_next(&reply.sessions, &element));
        assert_int_equal(end_session(opened), KB_E_OK);
        assert_null(kb_session_of(broker.sessions, "ana"));
        assert_int_equal(end_session(opened), KB_E_NOT_FOUND);
}

/* Whom we could not find again after a restart of ours holds nothing: rather no session than that. */
static void a_session_that_cannot_be_counted_is_refused(void **state)
{
        char opened[65];

        if (geteuid() != 0)
                skip();
        nftw(in_folder("sessions"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        assert_int_not_equal(try_session("ana", opened), KB_E_OK);
        assert_null(kb_session_of(broker.sessions, "ana"));
}

static bool is_of_anas_share(const struct kb_event *event)
{
        return strcmp(event->user, "ana") == 0 &&
               strcmp(event->detail, "this person has 128 sessions already") == 0;
}

/* Whoever fills the table is not locked out for it, and nobody else is. */
static void a_session_too_many_goes_on_with_nothing_and_is_written_down(void **state)
{
        struct kb_session is = {.user = "ana", .leader = getpid()};
        const struct kb_session *session;
        char opened[65];

        if (geteuid() != 0)
                skip();
        while (kb_session_open(broker.sessions, &is, -ENOPROTOOPT, &session) == 0)
                ;
        assert_int_equal(try_session("ana", opened), KB_E_OK);
        assert_string_equal(opened, "");
        assert_int_equal(count_records(KB_EVENT_SESSION_OPENED, NULL), 0);
        assert_int_equal(count_records(KB_EVENT_SESSION_NOT_COUNTED, is_of_anas_share), 1);
        assert_string_not_equal(open_session_of("bea"), "");
}

/* The log is longer than the file of a session by then, and nothing longer can be written. */
static void a_session_that_cannot_be_written_down_is_none(void **state)
{
        struct stat log;
        bool opened;

        if (geteuid() != 0)
                skip();
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(account("ana", "sudo", ""), KB_E_OK);
        assert_int_equal(stat(in_folder("log/00000000000000000001.kblog"), &log), 0);
        for (unsigned required = 0; required < 2; required++) {
                broker.config->log_required = required;
                set_file_limit((rlim_t)log.st_size);
                opened = open_session_of("ana")[0];
                set_disk_full(false);
                assert_int_equal(opened, !required);
                assert_int_equal(kb_session_of(broker.sessions, "ana") == NULL, required);
                if (!required)
                        kb_session_end((struct kb_session *)kb_session_of(broker.sessions, "ana"), "");
        }
}

int main(void)
{
#define TEST(name) LOGINS_TEST(name)
        const struct CMUnitTest tests[] = {
                TEST(the_right_password_lets_in_and_the_rules_are_asked),
                TEST(a_login_is_no_one_elses),
                TEST(a_login_that_account_refuses_is_over),
                TEST(a_code_is_asked_for_when_the_store_wants_one),
                TEST(too_many_wrong_passwords_lock_out_over_a_restart),
                TEST(a_guess_is_counted_on_disk_before_it_is_answered),
                TEST(a_lockout_holds_for_attempts_under_way),
                TEST(the_right_password_forgets_the_wrong_ones),
                TEST(who_may_not_come_in_is_not_asked_for_a_password),
                TEST(on_the_open_socket_everybody_is_themselves),
                TEST(a_store_that_is_away_is_no_wrong_password),
                TEST(a_recovery_code_lets_in_once_while_the_store_is_away),
                TEST(a_password_in_the_place_of_a_code_is_no_failure),
                TEST(a_code_that_cannot_be_made_void_opens_nothing),
                TEST(new_codes_are_shown_once_they_are_kept),
                TEST(codes_that_were_not_shown_never_count),
                TEST(a_code_that_was_refused_for_the_disk_is_good_after_a_start),
                TEST(one_code_is_used_at_a_time),
                TEST(a_password_is_changed_by_who_knows_it_or_by_root_who_says_so),
                TEST(without_a_record_nobody_comes_in_unless_that_was_allowed),
                TEST(observing_lets_pass_whom_the_rules_refuse),
                TEST(a_session_is_opened_and_closed),
                TEST(root_sees_sessions_and_ends_them),
                TEST(a_session_that_cannot_be_counted_is_refused),
                TEST(a_session_too_many_goes_on_with_nothing_and_is_written_down),
                TEST(a_session_that_cannot_be_written_down_is_none),
                TEST(on_the_open_socket_the_kernel_says_who_and_nobody_says_from_where),
                TEST(on_the_open_socket_no_word_makes_a_new_counter),
                TEST(who_asks_without_end_does_not_fill_the_log),
                TEST(a_lock_that_begins_while_an_answer_is_checked_holds_for_it),
                TEST(no_password_changes_without_a_record),
                TEST(no_codes_are_made_without_a_record),
                TEST(no_allocation_that_fails_lets_anybody_in),
                TEST(a_store_that_makes_no_sense_lets_nobody_in),
                TEST(a_login_that_ends_while_it_is_checked_is_over),
                TEST(when_all_places_are_being_checked_the_next_one_waits),
                TEST(old_passwords_that_are_guessed_lock_out_too),
                TEST(requests_that_are_no_message_are_refused),
                TEST(files_that_make_no_sense_count_as_empty),
                TEST(a_person_says_where_the_password_is_checked),
        };

        if (!kb_id_range_valid((struct kb_id_range){logins_uid(), logins_uid() + 10}))
                return 77; /* run by a user of the system's own, who can be nobody of ours */
        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
