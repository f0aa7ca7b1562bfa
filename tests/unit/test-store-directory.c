/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `directory` of the local store: the real server and store in one thread with their clients, so
 * that who is served before whom is certain.
 */
#include "tests/unit/store.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "helper/store/local/directory.h"
#include "helper/store/local/document.h"
#include "helper/store/local/service.h"

#define PEOPLE 3000

static struct kb_service service;
static struct kb_server *server;
static struct sockaddr_un address;

static void add_people(unsigned first, unsigned n)
{
        _cleanup_transaction_ struct kb_transaction t = {};
        struct kb_local *l = service.local;

        assert_ok(kb_db_begin(l->db, &t));
        for (unsigned i = first; i < first + n; i++) {
                _cleanup_list_ struct kb_list_builder b = {};
                char name[16], uid[16];

                snprintf(name, sizeof(name), "p%05u", i);
                snprintf(uid, sizeof(uid), "%u", 65536 + i);
                assert_ok(kb_object_put(&l->shelf, "person", name, 0, pairs_of(&b, "uid", uid, NULL),
                                        TEST_NOW));
        }
        assert_ok(kb_local_touch_directory(l));
        assert_ok(kb_db_commit(&t));
}

static int set_up(void **state)
{
        struct kb_listener listener = {.caller = KB_CALLER_STORE,
                                       .max_peers = 64,
                                       .max_request = KB_FRAME_MAX,
                                       .read_usec = 60 * KB_USEC_PER_SEC};

        service = (struct kb_service){};
        assert_ok(sd_event_new(&service.event));
        service.local = store_make(store_folder());
        assert_ok(kb_recent_new(&service.recent, 16));
        assert_ok(
                kb_server_new(&server, service.event, kb_local_dispatch, kb_local_dispatch_size, &service));
        listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        address = (struct sockaddr_un){.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_folder("sock"));
        unlink(address.sun_path);
        assert_int_equal(bind(listener.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listener.fd, 64), 0);
        assert_ok(kb_server_listen(server, &listener));
        return 0;
}

static int tear_down(void **state)
{
        kb_making_free(service.making);
        kb_document_free(service.document);
        kb_recent_free(service.recent);
        kb_local_free(service.local);
        kb_server_free(server);
        sd_event_unref(service.event);
        return 0;
}

/* --- clients --- */

static int send_request(struct kb_writer *w)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_ok(kb_frame_end(w));
        assert_int_equal(write(fd, w->data, w->size), (ssize_t)w->size);
        kb_writer_done(w);
        return fd;
}

static int ask_directory(uint64_t have, uint32_t part)
{
        struct kb_writer w = kb_writer_init(KB_FRAME_MAX);

        kb_frame_begin_request(&w, KB_VERB_directory);
        kb_directory_request_put(&w, &(struct kb_directory_request){.have = have, .part = part});
        return send_request(&w);
}

static int ask_secret(void)
{
        struct kb_writer w = kb_writer_init(KB_FRAME_MAX);

        kb_frame_begin_request(&w, KB_VERB_fetch);
        kb_fetch_request_put(&w,
                             &(struct kb_fetch_request){.path = "kv/none", .version = "", .request = ""});
        return send_request(&w);
}

static bool has_answer(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, 0) > 0;
}

static void run_until_answered(int fd)
{
        while (!has_answer(fd))
                assert_ok(sd_event_run(service.event, 60 * KB_USEC_PER_SEC));
}

/* The status; the fields, valid until the next call, in *ret. Closes fd. */
static uint32_t answer_of(int fd, struct kb_directory_reply *ret)
{
        static uint8_t bytes[KB_FRAME_MAX];
        struct kb_frame frame;
        ssize_t n, size = -EAGAIN;
        size_t have = 0;

        run_until_answered(fd);
        while (size < 0 || have < (size_t)size) {
                run_until_answered(fd);
                n = read(fd, bytes + have, sizeof(bytes) - have);
                assert_true(n > 0);
                have += (size_t)n;
                size = kb_frame_size(KB_SPAN(bytes, have), sizeof(bytes));
                if (size == 0)
                        size = -EAGAIN;
        }
        close(fd);
        assert_ok(kb_frame_get_reply(KB_SPAN(bytes, (size_t)size), &frame));
        if (frame.status == KB_E_OK && ret)
                assert_ok(kb_directory_reply_get(frame.body, ret));
        return frame.status;
}

/* --- */

static void a_secret_is_served_while_a_large_directory_is_made(void **state)
{
        struct kb_directory_reply reply;
        int directory, secret;

        add_people(0, PEOPLE);
        directory = ask_directory(0, 0);
        while (!service.making)
                assert_ok(sd_event_run(service.event, KB_USEC_PER_SEC));
        for (unsigned i = 0; i < 3; i++) { /* three, one after the other */
                secret = ask_secret();
                run_until_answered(secret);
                assert_false(has_answer(directory));
                assert_int_equal(answer_of(secret, NULL), KB_E_NOT_FOUND);
        }
        assert_int_equal(answer_of(directory, &reply), KB_E_OK);
        assert_int_equal(reply.parts, 1);
        assert_true(reply.records.size > PEOPLE * 20);
        assert_null(service.making);
        directory = ask_directory(0, 0); /* from now on it is there */
        run_until_answered(directory);
        assert_null(service.making);
        assert_int_equal(answer_of(directory, &reply), KB_E_OK);
        assert_int_equal(answer_of(ask_directory(reply.version, 0), &reply), KB_E_OK);
        assert_true(reply.unchanged);
}

static void all_who_wait_get_the_one_that_is_made(void **state)
{
        struct kb_directory_reply reply;
        int fds[5];

        add_people(0, PEOPLE);
        for (unsigned i = 0; i < KB_ARRAY_SIZE(fds); i++)
                fds[i] = ask_directory(0, i == 4 ? 9 : 0);
        for (unsigned i = 0; i < KB_ARRAY_SIZE(fds); i++)
                assert_int_equal(answer_of(fds[i], &reply), i == 4 ? KB_E_BAD_REQUEST : KB_E_OK);
}

/* Changes while it is made: `times` of them. */
static void change_while_it_is_made(unsigned times)
{
        struct kb_directory_reply reply;
        static unsigned n = PEOPLE;
        uint64_t version;
        int directory;

        add_people(n++, 1);
        directory = ask_directory(0, 0);
        while (!service.making)
                assert_ok(sd_event_run(service.event, KB_USEC_PER_SEC));
        for (unsigned i = 0; i < times; i++) {
                add_people(n++, 1);
                for (unsigned k = 0; k < 130 && service.making; k++) /* to its end, and a little on */
                        assert_ok(sd_event_run(service.event, 0));
        }
        assert_int_equal(answer_of(directory, &reply), KB_E_OK);
        assert_ok(kb_local_directory_version(service.local, &version));
        assert_int_equal(reply.version, version);
}

static void a_directory_is_of_one_version(void **state)
{
        add_people(0, PEOPLE);
        change_while_it_is_made(1);
        change_while_it_is_made(3);
}

static void one_that_changes_all_the_time_is_made_in_the_end(void **state)
{
        struct kb_directory_reply reply;
        unsigned n = PEOPLE, turns = 0;
        int directory;

        add_people(0, PEOPLE);
        directory = ask_directory(0, 0);
        while (!has_answer(directory) && turns++ < 10 * PEOPLE) {
                add_people(n++, 1);
                assert_ok(sd_event_run(service.event, 0));
        }
        assert_int_equal(answer_of(directory, &reply), KB_E_OK);
}

static void a_store_that_is_sealed_meanwhile_says_so(void **state)
{
        int directory;

        add_people(0, PEOPLE);
        directory = ask_directory(0, 0);
        while (!service.making)
                assert_ok(sd_event_run(service.event, KB_USEC_PER_SEC));
        kb_local_seal(service.local);
        assert_int_equal(answer_of(directory, NULL), KB_E_SEALED);
        assert_null(service.making);
        assert_int_equal(answer_of(ask_directory(0, 0), NULL), KB_E_SEALED);
}

static void a_damaged_person_is_an_error_for_all_who_wait(void **state)
{
        int fds[2];

        add_people(0, PEOPLE);
        assert_ok(kb_db_run(service.local->db,
                            "UPDATE objects SET data = zeroblob(40) WHERE name = ? AND kind = 'person'", "s",
                            "p01500"));
        for (unsigned i = 0; i < 2; i++)
                fds[i] = ask_directory(0, 0);
        for (unsigned i = 0; i < 2; i++)
                assert_int_not_equal(answer_of(fds[i], NULL), KB_E_OK);
        assert_null(service.making);
}

static void what_makes_no_sense_or_cannot_be_read_is_an_error(void **state)
{
        struct kb_writer w = kb_writer_init(KB_FRAME_MAX);

        kb_frame_begin_request(&w, KB_VERB_directory);
        assert_int_equal(answer_of(send_request(&w), NULL), KB_E_BAD_REQUEST);
        assert_ok(kb_db_run(service.local->db, "DROP TABLE objects", ""));
        assert_int_equal(answer_of(ask_directory(0, 0), NULL), KB_E_STORAGE);
}

static void who_waits_at_the_end_is_answered(void **state)
{
        int directory;

        add_people(0, PEOPLE);
        directory = ask_directory(0, 0);
        while (!service.making)
                assert_ok(sd_event_run(service.event, KB_USEC_PER_SEC));
        kb_making_free(service.making);
        service.making = NULL;
        assert_int_equal(answer_of(directory, NULL), KB_E_UNREACHABLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_secret_is_served_while_a_large_directory_is_made),
                TEST(all_who_wait_get_the_one_that_is_made),
                TEST(a_directory_is_of_one_version),
                TEST(one_that_changes_all_the_time_is_made_in_the_end),
                TEST(a_store_that_is_sealed_meanwhile_says_so),
                TEST(a_damaged_person_is_an_error_for_all_who_wait),
                TEST(what_makes_no_sense_or_cannot_be_read_is_an_error),
                TEST(who_waits_at_the_end_is_answered),
        };

        return cmocka_run_group_tests_name("store-directory", tests, test_folder_make, test_folder_remove);
}
