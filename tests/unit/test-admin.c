/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `admin`, over the wire: what is written down before a store is asked, and how fast a store is read that
 * has more to say than its reader takes. The store is the test's own, linked in place of the way to a real
 * one.
 */
#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "helper/broker/broker.h"
#include "helper/broker/publisher.h"
#include "helper/broker/store_client.h"
#include "helper/broker/stores.h"
#include "helper/broker/verbs.h"
#include "helper/log/reader.h"

#define PIECE  262144
#define PIECES 200 /* of a backup: 50 MiB */

static struct kb_broker broker;

/* --- the store --- */

static struct {
        unsigned asked;
        unsigned given; /* pieces of the backup */
        bool held;
        enum kb_error error;
        bool nonsense;
} store;

struct kb_store_call {
        struct kb_store_request is;
        struct kb_writer fields;
        sd_event_source *later;
};

int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request)
{
        *ret = calloc(1, sizeof(**ret));
        assert_non_null(*ret);
        **ret = (struct kb_store_call){.is = *request, .fields = kb_writer_init(65536)};
        return 0;
}

struct kb_writer *kb_store_call_writer(struct kb_store_call *c)
{
        return &c->fields;
}

static void answer(struct kb_store_call *c)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);

        kb_store_admin_reply_put(&w, &(struct kb_store_admin_reply){.rows = {0}});
        c->is.done(&(struct kb_store_answer){.error = store.error,
                                             .text = store.error ? "the store has its reasons" : "",
                                             .fields = store.nonsense ? KB_SPAN("?", 1)
                                                                      : KB_SPAN(w.data, w.size)},
                   c->is.userdata);
        sd_event_source_disable_unref(c->later);
        kb_writer_done(&c->fields);
        free(c);
}

/* As the loop would: a piece each time there is something to read, until it is held. */
static int go_on(sd_event_source *source, void *userdata)
{
        static uint8_t piece[PIECE];
        struct kb_store_call *c = userdata;
        struct kb_store_admin_request request;

        assert_ok(kb_store_admin_request_get(KB_SPAN(c->fields.data, c->fields.size), &request));
        if (strcmp(request.action, "backup") != 0 || store.given == PIECES) {
                answer(c);
                return 0;
        }
        assert_false(store.held);
        store.given++;
        c->is.progress(&(struct kb_progress_record){.done = store.given, .chunk = KB_SPAN(piece, PIECE)},
                       c->is.userdata);
        return sd_event_source_set_enabled(c->later, store.held ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

void kb_store_call_start(struct kb_store_call *c)
{
        store.asked++;
        assert_ok(sd_event_add_defer(c->is.event, &c->later, go_on, c));
}

void kb_store_call_hold(struct kb_store_call *c)
{
        store.held = true;
}

void kb_store_call_resume(struct kb_store_call *c)
{
        store.held = false;
        assert_ok(sd_event_source_set_enabled(c->later, SD_EVENT_ONESHOT));
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        fail_msg("nobody cancels here");
}

void *kb_store_answer_take(const struct kb_store_answer *answer)
{
        return NULL;
}

/* --- the directory --- */

static struct {
        unsigned refreshed;
        enum kb_error error;
} publisher;

void kb_publisher_refresh(struct kb_publisher *p, kb_publisher_done done, void *userdata)
{
        publisher.refreshed++;
        done(publisher.error, publisher.error ? "it is none" : "", userdata);
}

const struct kb_directory *kb_publisher_directory(const struct kb_publisher *p)
{
        return NULL;
}

void kb_publisher_get_state(const struct kb_publisher *p, struct kb_publisher_state *ret)
{
        *ret = (struct kb_publisher_state){.problem = ""};
}

int kb_publisher_new(struct kb_publisher **ret, struct kb_broker *b,
                     const struct kb_publisher_places *places)
{
        return -ENOSYS; /* the whole broker is not started here */
}

void kb_publisher_free(struct kb_publisher *p)
{
}

/* --- the stores --- */

static unsigned greeted;

void kb_stores_greet(struct kb_stores *s, const char *name)
{
        assert_string_equal(name, "other");
        greeted++;
}

void kb_stores_greet_again(struct kb_stores *s, const char *name)
{
}

int kb_stores_new(struct kb_stores **ret, struct kb_broker *b)
{
        return -ENOSYS;
}

void kb_stores_free(struct kb_stores *s)
{
}

void kb_stores_update(struct kb_stores *s)
{
}

void kb_stores_each(const struct kb_stores *s,
                    void (*each)(const struct kb_store_state *state, void *userdata), void *userdata)
{
}

/* --- the broker --- */

static const struct kb_dispatch table[] = {{KB_VERB_admin, kb_verb_admin}};
static struct sockaddr_un address;
static socklen_t address_size;

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        kb_log_dispatch(broker.log);
        return 0;
}

static void listen_here(void)
{
        struct kb_listener listener = {
                .caller = KB_CALLER_ROOT, .max_peers = 16, .max_request = 65536, .read_usec = 60000000};
        struct sockaddr_un nameless = {.sun_family = AF_UNIX};

        listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(listener.fd, (struct sockaddr *)&nameless, sizeof(sa_family_t)), 0);
        assert_int_equal(listen(listener.fd, 16), 0);
        address_size = sizeof(address);
        assert_int_equal(getsockname(listener.fd, (struct sockaddr *)&address, &address_size), 0);
        assert_ok(kb_server_listen(broker.server, &listener));
}

static int set_up(void **state)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        char first_key[KB_FIRST_KEY_MAX];
        struct kb_log_damage damage;

        memset(&store, 0, sizeof(store));
        memset(&publisher, 0, sizeof(publisher));
        assert_int_equal(mkdir(in_folder("log"), 0700), 0);
        assert_ok(kb_log_create(in_folder("log"), kb_now_realtime(), first_key));
        broker = (struct kb_broker){.units_fd = -1};
        assert_ok(sd_event_new(&broker.event));
        assert_ok(kb_config_new(in_folder("none.conf"), &(struct kb_config_trust){.owner = geteuid()},
                                &problems, &broker.config));
        assert_ok(kb_log_open(&broker.log, in_folder("log"), &(struct kb_log_options){0}, &damage));
        assert_ok(sd_event_add_io(broker.event, &broker.log_source, kb_log_fd(broker.log), 1, on_log, NULL));
        assert_ok(kb_server_new(&broker.server, broker.event, table, KB_ARRAY_SIZE(table), &broker));
        listen_here();
        return 0;
}

static int tear_down(void **state)
{
        kb_server_free(broker.server);
        sd_event_source_disable_unref(broker.log_source);
        kb_log_free(broker.log);
        kb_config_free(broker.config);
        sd_event_unref(broker.event);
        nftw(in_folder("log"), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        return 0;
}

/* --- the administrator --- */

static int ask_store(const char *name, const char *object, const char *action)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&address, address_size), 0);
        kb_frame_begin_request(&w, KB_VERB_admin);
        kb_admin_request_put(&w, &(struct kb_admin_request){
                                         .store = name, .object = object, .action = action, .name = "kv/x"});
        assert_ok(kb_frame_end(&w));
        assert_int_equal(send(fd, w.data, w.size, MSG_NOSIGNAL), w.size);
        return fd;
}

/* One that has not the directory. */
static int ask(const char *object, const char *action)
{
        return ask_store("other", object, action);
}

/* What the request comes to, for an answer of one frame. */
static uint32_t status_of(int fd)
{
        static uint8_t data[65536];
        struct kb_frame frame;
        ssize_t n;

        while ((n = recv(fd, data, sizeof(data), 0)) < 0 && errno == EAGAIN)
                assert_ok(sd_event_run(broker.event, 10000));
        assert_ok(kb_frame_get_reply(KB_SPAN(data, (size_t)n), &frame));
        close(fd);
        return frame.status;
}

static unsigned count_records(uint32_t id)
{
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_log_read read;
        unsigned n = 0;

        assert_ok(kb_log_reader_open(&reader, in_folder("log")));
        while (kb_log_reader_next(reader, &read) > 0)
                n += read.event.id == id;
        return n;
}

/* A disk that takes nothing more, for this process. */
static void set_disk_full(bool full)
{
        struct rlimit limit;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = full ? 1 : limit.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void nothing_is_changed_or_shown_without_a_record(void **state)
{
        static const struct {
                const char *object, *action;
                bool recorded;
        } table_of_actions[] = {
                {"secret", "get", true},    {"secret", "put", true},   {"store", "backup", true},
                {"user", "set", true},      {"secret", "list", false}, {"user", "show", false},
                {"store", "status", false},
        };

        if (geteuid() != 0)
                skip(); /* the verb is root's */
        for (size_t i = 0; i < KB_ARRAY_SIZE(table_of_actions); i++) {
                const char *object = table_of_actions[i].object, *action = table_of_actions[i].action;
                bool recorded = table_of_actions[i].recorded;

                store.given = PIECES;
                store.asked = 0;
                broker.config->log_required = true;
                set_disk_full(true);
                assert_int_equal(status_of(ask(object, action)), recorded ? KB_E_NO_RECORD : KB_E_OK);
                assert_int_equal(store.asked, recorded ? 0 : 1);
                broker.config->log_required = false;
                assert_int_equal(status_of(ask(object, action)), KB_E_OK);
                set_disk_full(false);
        }
}

static void the_record_is_on_disk_before_the_store_is_asked(void **state)
{
        int fd;

        if (geteuid() != 0)
                skip();
        fd = ask("secret", "get");
        while (store.asked == 0)
                assert_ok(sd_event_run(broker.event, 10000));
        assert_int_equal(count_records(KB_EVENT_ADMIN_ASKED), 1);
        assert_int_equal(status_of(fd), KB_E_OK);
}

static void flush_log(void)
{
        struct kb_log_state state;

        do {
                assert_ok(sd_event_run(broker.event, 10000));
                kb_log_get_state(broker.log, &state);
        } while (state.waiting > 0);
}

static void a_refusal_of_the_store_is_passed_on_and_recorded(void **state)
{
        if (geteuid() != 0)
                skip();
        store.error = KB_E_CONFLICT;
        assert_int_equal(status_of(ask("secret", "put")), KB_E_CONFLICT);
        assert_int_equal(status_of(ask("secret", "list")),
                         KB_E_CONFLICT); /* who only looks is recorded then */
        store.error = KB_E_OK;
        store.nonsense = true;
        assert_int_equal(status_of(ask("secret", "put")), KB_E_INTERNAL);
        flush_log();
        assert_int_equal(count_records(KB_EVENT_ADMIN_ASKED), 2);
        assert_int_equal(count_records(KB_EVENT_ADMIN_REFUSED), 3);
        assert_int_equal(count_records(KB_EVENT_ADMIN_DONE), 0);
}

static void what_is_no_name_is_not_asked_for(void **state)
{
        static const char *const table_of_names[][3] = {
                {"../local", "secret", "get"}, {"local", "", "get"}, {"local", "secret", "get/"}};

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < KB_ARRAY_SIZE(table_of_names); i++)
                assert_int_equal(status_of(ask_store(table_of_names[i][0], table_of_names[i][1],
                                                     table_of_names[i][2])),
                                 KB_E_BAD_REQUEST);
        assert_int_equal(store.asked, 0);
}

/* Done is what is in force: an administrator who reads "done" relies on it. */
static void a_change_of_the_directory_is_done_when_it_is_in_force(void **state)
{
        if (geteuid() != 0)
                skip();
        assert_int_equal(status_of(ask_store("local", "user", "list")), KB_E_OK);
        assert_int_equal(status_of(ask_store("local", "secret", "put")), KB_E_OK);
        assert_int_equal(status_of(ask("user", "disable")), KB_E_OK); /* of another store */
        assert_int_equal(publisher.refreshed, 0);
        assert_int_equal(status_of(ask_store("local", "user", "disable")), KB_E_OK);
        assert_int_equal(publisher.refreshed, 1);
        publisher.error = KB_E_UNREACHABLE;
        assert_int_equal(status_of(ask_store("local", "rule", "set")), KB_E_UNREACHABLE);
        assert_int_equal(publisher.refreshed, 2);
}

/* Who asks for the state next hears it as it is now, not as it was within the last minute. */
static void a_store_that_may_be_open_now_or_sealed_is_greeted(void **state)
{
        static const struct {
                const char *object, *action;
                enum kb_error error;
                unsigned greeted;
        } rows[] = {
                {"seal", "unseal", KB_E_OK, 1},  {"seal", "seal", KB_E_OK, 1},
                {"store", "init", KB_E_OK, 1},   {"store", "restore", KB_E_STORAGE, 1},
                {"store", "status", KB_E_OK, 0}, {"seal", "list", KB_E_OK, 0},
                {"secret", "put", KB_E_OK, 0},
        };

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                greeted = 0;
                store.error = rows[i].error;
                assert_int_equal(status_of(ask(rows[i].object, rows[i].action)), rows[i].error);
                assert_int_equal(greeted, rows[i].greeted);
        }
}

static size_t read_all(int fd)
{
        static uint8_t data[PIECE];
        size_t size = 0;
        ssize_t n;

        while ((n = recv(fd, data, sizeof(data), 0)) != 0) {
                assert_true(n > 0 || errno == EAGAIN);
                if (n > 0)
                        size += (size_t)n;
                else
                        assert_ok(sd_event_run(broker.event, 10000));
        }
        return size;
}

/* What a reader lets lie, the store keeps: not us. */
static void a_store_goes_as_slow_as_who_reads_its_backup(void **state)
{
        unsigned before;
        int fd;

        if (geteuid() != 0)
                skip();
        fd = ask("store", "backup");
        while (!store.held)
                assert_ok(sd_event_run(broker.event, 10000));
        for (unsigned i = 0; i < 50; i++)
                assert_ok(sd_event_run(broker.event, 2000)); /* and the reader stalls */
        before = store.given;
        assert_in_range(before, 1, 8);
        for (unsigned i = 0; i < 50; i++)
                assert_ok(sd_event_run(broker.event, 2000));
        assert_int_equal(store.given, before);
        assert_true(read_all(fd) > (size_t)PIECES * PIECE);
        assert_int_equal(store.given, PIECES);
        close(fd);
}

/* The rest goes nowhere, and nobody waits for it. */
static void a_reader_that_leaves_does_not_keep_the_store(void **state)
{
        uint64_t began;
        int fd;

        if (geteuid() != 0)
                skip();
        fd = ask("store", "backup");
        while (!store.held)
                assert_ok(sd_event_run(broker.event, 10000));
        close(fd);
        began = kb_now_monotonic();
        while (kb_server_pending(broker.server) > 0)
                assert_ok(sd_event_run(broker.event, 1000000));
        assert_int_equal(store.given, PIECES);
        /* a timer that is not long over may be a quarter of a second late */
        assert_true(kb_now_monotonic() - began < PIECES * (KB_USEC_PER_SEC / 10));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(nothing_is_changed_or_shown_without_a_record),
                TEST(the_record_is_on_disk_before_the_store_is_asked),
                TEST(a_refusal_of_the_store_is_passed_on_and_recorded),
                TEST(what_is_no_name_is_not_asked_for),
                TEST(a_change_of_the_directory_is_done_when_it_is_in_force),
                TEST(a_store_that_may_be_open_now_or_sealed_is_greeted),
                TEST(a_store_goes_as_slow_as_who_reads_its_backup),
                TEST(a_reader_that_leaves_does_not_keep_the_store),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
