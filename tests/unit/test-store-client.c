/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's way to a store: whatever the store does, the callback comes once, in time, with the right
 * error. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "helper/broker/store_client.h"
#include "helper/server/server.h"

/* --- an event loop that takes no more sources --- */

static bool no_memory;

#define WRAP(name, parameters, arguments)                                                                   \
        int __real_##name parameters;                                                                       \
        int __wrap_##name parameters;                                                                       \
        int __wrap_##name parameters                                                                        \
        {                                                                                                   \
                return no_memory ? -ENOMEM : __real_##name arguments;                                       \
        }
WRAP(sd_event_add_io,
     (sd_event * e, sd_event_source **ret, int fd, uint32_t events, sd_event_io_handler_t handler,
      void *data),
     (e, ret, fd, events, handler, data))
WRAP(sd_event_add_defer, (sd_event * e, sd_event_source **ret, sd_event_handler_t handler, void *data),
     (e, ret, handler, data))
WRAP(sd_event_add_time_relative,
     (sd_event * e, sd_event_source **ret, clockid_t clock, uint64_t usec, uint64_t accuracy,
      sd_event_time_handler_t handler, void *data),
     (e, ret, clock, usec, accuracy, handler, data))

struct fixture {
        sd_event *event;
        struct kb_server *server;
        char dir[64];
        struct kb_request *later; /* a request its handler has not answered */

        unsigned answers;
        unsigned progress;
        struct kb_store_call *held; /* the call that is held after each piece, if any */
        enum kb_error error;
        char text[256];
        uint64_t ttl;
        uint8_t *taken;
};

/* --- a store --- */

static void on_fetch(struct kb_request *request, void *context)
{
        struct kb_fetch_request fetch;

        assert_ok(kb_fetch_request_get(kb_request_body(request), &fetch));
        if (strcmp(fetch.path, "kv/missing") == 0)
                kb_request_fail(request, KB_E_NOT_FOUND, "no secret at %s", fetch.path);
        else
                kb_request_reply(request, fetch, .lease = "kv/x@1", .ttl = 60);
}

static void on_status(struct kb_request *request, void *context)
{
        struct fixture *f = context;

        f->later = request;
}

static void on_admin(struct kb_request *request, void *context)
{
        for (unsigned i = 1; i <= 3; i++)
                kb_request_progress(request, &(struct kb_progress_record){.done = i, .total = 3});
        kb_request_reply(request, store_admin, .rows = {0});
}

static const struct kb_dispatch table[] = {
        {KB_VERB_fetch, on_fetch},
        {KB_VERB_store_status, on_status},
        {KB_VERB_store_admin, on_admin},
};

static int listening_socket(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        struct kb_listener listener = {.caller = KB_CALLER_STORE,
                                       .max_peers = 16,
                                       .max_request = KB_FRAME_MAX,
                                       .read_usec = KB_USEC_PER_SEC};
        char path[96];

        strcpy(f->dir, "/tmp/kb-store-client-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(path, sizeof(path), "%s/local.sock", f->dir);
        listener.fd = listening_socket(path);
        assert_ok(sd_event_new(&f->event));
        assert_ok(kb_server_new(&f->server, f->event, table, KB_ARRAY_SIZE(table), f));
        assert_ok(kb_server_listen(f->server, &listener));
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        char path[96];

        kb_server_free(f->server);
        sd_event_unref(f->event);
        snprintf(path, sizeof(path), "%s/local.sock", f->dir);
        unlink(path);
        rmdir(f->dir);
        kb_secret_free(f->taken);
        free(f);
        return 0;
}

/* --- the broker's side --- */

static void on_done(const struct kb_store_answer *answer, void *userdata)
{
        struct fixture *f = userdata;
        struct kb_fetch_reply reply;

        f->answers++;
        f->error = answer->error;
        snprintf(f->text, sizeof(f->text), "%s", answer->text);
        if (answer->error == KB_E_OK && kb_fetch_reply_get(answer->fields, &reply) == 0) {
                f->ttl = reply.ttl;
                f->taken = kb_store_answer_take(answer);
        }
}

static void on_progress(const struct kb_progress_record *progress, void *userdata)
{
        struct fixture *f = userdata;

        f->progress++;
        assert_int_equal(progress->done, f->progress);
        if (f->held)
                kb_store_call_hold(f->held);
}

static struct kb_store_call *begin(struct fixture *f, const char *store, uint32_t verb, uint64_t usec)
{
        struct kb_store_call *call;

        assert_ok(kb_store_call_new(&call, &(struct kb_store_request){.event = f->event,
                                                                      .dir = f->dir,
                                                                      .store = store,
                                                                      .verb = verb,
                                                                      .usec = usec,
                                                                      .done = on_done,
                                                                      .progress = on_progress,
                                                                      .userdata = f}));
        return call;
}

static void run_until_answered(struct fixture *f)
{
        while (f->answers == 0)
                assert_ok(sd_event_run(f->event, 5 * KB_USEC_PER_SEC));
}

static void fetch(struct fixture *f, const char *store, const char *path)
{
        struct kb_store_call *call = begin(f, store, KB_VERB_fetch, KB_USEC_PER_SEC);

        kb_fetch_request_put(kb_store_call_writer(call), &(struct kb_fetch_request){.path = path});
        kb_store_call_start(call);
        assert_int_equal(f->answers, 0); /* never from inside start */
        run_until_answered(f);
}

static void an_answer_comes_and_can_be_kept(void **state)
{
        struct fixture *f = *state;

        fetch(f, "local", "kv/x");
        assert_int_equal(f->error, KB_E_OK);
        assert_int_equal(f->ttl, 60);
        assert_non_null(f->taken);
}

static void a_refusal_brings_the_stores_own_words(void **state)
{
        struct fixture *f = *state;

        fetch(f, "local", "kv/missing");
        assert_int_equal(f->error, KB_E_NOT_FOUND);
        assert_string_equal(f->text, "no secret at kv/missing");
}

static void a_store_that_is_not_there_is_unreachable(void **state)
{
        struct fixture *f = *state;

        fetch(f, "nobody", "kv/x");
        assert_int_equal(f->error, KB_E_UNREACHABLE);
        assert_string_equal(f->text, "store nobody: No such file or directory");
}

static void a_loop_without_memory_tells_of_it_later_all_the_same(void **state)
{
        struct fixture *f = *state;
        struct kb_store_call *call = begin(f, "local", KB_VERB_store_status, 60 * KB_USEC_PER_SEC);

        no_memory = true;
        kb_store_call_start(call);
        assert_int_equal(f->answers, 0); /* whoever started it may still store it away */
        run_until_answered(f);
        assert_int_equal(kb_store_call_new(&call, &(struct kb_store_request){.event = f->event,
                                                                             .dir = f->dir,
                                                                             .store = "local",
                                                                             .done = on_done}),
                         -ENOMEM);
        no_memory = false;
        assert_int_equal(f->answers, 1);
        assert_int_equal(f->error, KB_E_UNREACHABLE);
        assert_string_equal(f->text, "store local: Cannot allocate memory");
}

static void silence_ends_at_the_deadline(void **state)
{
        struct fixture *f = *state;

        kb_store_call_start(begin(f, "local", KB_VERB_store_status, 50 * KB_USEC_PER_MSEC));
        run_until_answered(f);
        assert_int_equal(f->error, KB_E_UNREACHABLE);
        assert_string_equal(f->text, "store local: no answer in time");
        while (!kb_request_abandoned(f->later)) /* the store learns that nobody waits any more */
                assert_ok(sd_event_run(f->event, 5 * KB_USEC_PER_SEC));
        kb_request_fail(f->later, KB_E_BUSY, NULL);
}

static void hanging_up_in_the_middle_is_unreachable(void **state)
{
        struct fixture *f = *state;

        kb_store_call_start(begin(f, "local", KB_VERB_store_status, 5 * KB_USEC_PER_SEC));
        while (!f->later)
                assert_ok(sd_event_run(f->event, 5 * KB_USEC_PER_SEC));
        kb_server_free(f->server);
        f->server = NULL;
        run_until_answered(f);
        assert_int_equal(f->error, KB_E_UNREACHABLE);
        assert_string_equal(f->text, "store local: it hung up in the middle");
}

static void progress_comes_before_the_answer(void **state)
{
        struct fixture *f = *state;
        struct kb_store_call *call = begin(f, "local", KB_VERB_store_admin, KB_USEC_PER_SEC);

        kb_store_admin_request_put(kb_store_call_writer(call),
                                   &(struct kb_store_admin_request){.object = "store"});
        kb_store_call_start(call);
        run_until_answered(f);
        assert_int_equal(f->progress, 3);
        assert_int_equal(f->error, KB_E_OK);
}

static void what_is_held_is_not_read_until_it_is_resumed(void **state)
{
        struct fixture *f = *state;
        struct kb_store_call *call = begin(f, "local", KB_VERB_store_admin, 60 * KB_USEC_PER_SEC);

        f->held = call;
        kb_store_admin_request_put(kb_store_call_writer(call),
                                   &(struct kb_store_admin_request){.object = "store"});
        kb_store_call_start(call);
        for (unsigned i = 1; i <= 3; i++) {
                while (f->progress < i)
                        assert_ok(sd_event_run(f->event, 5 * KB_USEC_PER_SEC));
                for (unsigned k = 0; k < 5; k++)
                        assert_ok(sd_event_run(f->event, 1000));
                assert_int_equal(f->progress, i);
                assert_int_equal(f->answers, 0);
                kb_store_call_resume(call);
        }
        run_until_answered(f);
        assert_int_equal(f->error, KB_E_OK);
}

static void what_is_held_ends_at_the_deadline_too(void **state)
{
        struct fixture *f = *state;
        struct kb_store_call *call = begin(f, "local", KB_VERB_store_admin, 50 * KB_USEC_PER_MSEC);

        f->held = call;
        kb_store_admin_request_put(kb_store_call_writer(call),
                                   &(struct kb_store_admin_request){.object = "store"});
        kb_store_call_start(call);
        run_until_answered(f);
        assert_int_equal(f->error, KB_E_UNREACHABLE);
        assert_in_range(f->progress, 0, 1);
}

static void a_cancelled_call_says_nothing(void **state)
{
        struct fixture *f = *state;
        struct kb_store_call *call = begin(f, "local", KB_VERB_store_status, KB_USEC_PER_SEC);

        kb_store_call_start(call);
        while (!f->later)
                assert_ok(sd_event_run(f->event, 5 * KB_USEC_PER_SEC));
        kb_store_call_cancel(call);
        while (!kb_request_abandoned(f->later))
                assert_ok(sd_event_run(f->event, 5 * KB_USEC_PER_SEC));
        kb_request_fail(f->later, KB_E_BUSY, NULL);
        assert_int_equal(f->answers, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(an_answer_comes_and_can_be_kept, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_refusal_brings_the_stores_own_words, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_store_that_is_not_there_is_unreachable, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_loop_without_memory_tells_of_it_later_all_the_same, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(silence_ends_at_the_deadline, set_up, tear_down),
                cmocka_unit_test_setup_teardown(hanging_up_in_the_middle_is_unreachable, set_up, tear_down),
                cmocka_unit_test_setup_teardown(progress_comes_before_the_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_is_held_is_not_read_until_it_is_resumed, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(what_is_held_ends_at_the_deadline_too, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_cancelled_call_says_nothing, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("store-client", tests, NULL, NULL);
}
