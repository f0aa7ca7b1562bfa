/* SPDX-License-Identifier: Apache-2.0 */
/* `credential fetch`: a grant of root for as long as it takes to show it. */
#include "tests/unit/world.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/broker/verbs.h"

/* Of the same file as the verb, and asked for by others in it. */
const struct kb_log_identity *kb_log_identity(const struct kb_log *log)
{
        return NULL;
}

static const struct kb_dispatch table[] = {{KB_VERB_credential_fetch, kb_verb_credential_fetch}};
static struct sockaddr_un address; /* of the broker; the kernel has chosen it */
static socklen_t address_size;
static int client = -1;

static int set_up(void **state)
{
        struct kb_listener listener = {
                .caller = KB_CALLER_ROOT, .max_peers = 4, .max_request = 4096, .read_usec = 60 * SEC};

        address = (struct sockaddr_un){.sun_family = AF_UNIX};
        address_size = sizeof(address);
        world_begin();
        assert_ok(kb_server_new(&broker.server, broker.event, table, KB_ARRAY_SIZE(table), &broker));
        listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(listener.fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
        assert_int_equal(listen(listener.fd, 4), 0);
        assert_int_equal(getsockname(listener.fd, (struct sockaddr *)&address, &address_size), 0);
        assert_ok(kb_server_listen(broker.server, &listener));
        return 0;
}

static int tear_down(void **state)
{
        kb_server_free(broker.server);
        world_end();
        return 0;
}

static void run_loop(void)
{
        while (sd_event_run(broker.event, 0) > 0)
                ;
}

static void ask(const char *name)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);

        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, address_size), 0);
        kb_frame_begin_request(&w, KB_VERB_credential_fetch);
        kb_credential_fetch_request_put(&w, &(struct kb_credential_fetch_request){.name = name});
        assert_ok(kb_frame_end(&w));
        assert_int_equal(send(client, w.data, w.size, MSG_NOSIGNAL), w.size);
        run_loop();
}

/* The status; with 0 the reply, which points into memory that lives until the next call. */
static uint32_t take_reply(struct kb_credential_fetch_reply *ret)
{
        static uint8_t data[65536];
        struct kb_frame frame;
        ssize_t n;

        run_loop();
        n = recv(client, data, sizeof(data), 0);
        close(client);
        assert_true(n > 0);
        assert_ok(kb_frame_get_reply(KB_SPAN(data, (size_t)n), &frame));
        if (frame.status == KB_E_OK)
                assert_ok(kb_credential_fetch_reply_get(frame.body, ret));
        return frame.status;
}

static void a_trial_says_how_long_the_lease_would_have_lived_and_gives_it_back(void **state)
{
        struct kb_credential_fetch_reply reply;

        if (geteuid() != 0)
                skip(); /* the verb is root's */
        world_define("db", "[Credential]\nStore=local\nPath=kv/db\n[Allow]\nUnit=" UNIT "\n");
        ask("db");
        FETCHED("lease-1", 3600, "password", "secret");
        world_commit();
        assert_int_equal(take_reply(&reply), KB_E_OK);
        assert_int_equal(reply.fields.count, 2);
        assert_int_equal(reply.ttl, 3600);
        assert_int_equal(reply.overlap, 1199); /* the last third, but for the second that it may be late */
        world_commit();
        world_revoked();
        world_commit();
        assert_string_equal(world_trace(), "fetch kv/db; grant-issued lease-1; grant-revoking lease-1; "
                                           "revoke lease-1; grant-revoked lease-1");
}

static void a_lease_without_an_end_says_0(void **state)
{
        struct kb_credential_fetch_reply reply;

        if (geteuid() != 0)
                skip();
        world_define("db", "[Credential]\nStore=local\nPath=kv/db\n[Allow]\nUnit=" UNIT "\n");
        ask("db");
        FETCHED("kv/db@1", 0, "password", "secret");
        world_commit();
        assert_int_equal(take_reply(&reply), KB_E_OK);
        assert_int_equal(reply.ttl, 0);
        assert_true(reply.overlap == KB_TIME_NEVER);
        world_commit();
        world_revoked();
        world_commit();
}

static void a_trial_that_is_refused_says_why(void **state)
{
        struct kb_credential_fetch_reply reply;

        if (geteuid() != 0)
                skip();
        world_define("db", "[Credential]\nStore=local\nPath=kv/db\n[Allow]\nUnit=" UNIT "\n");
        ask("db");
        world_fail(KB_E_DENIED, "the store has its reasons");
        assert_int_equal(take_reply(&reply), KB_E_DENIED);
        world_commit();
        assert_string_equal(world_trace(), "fetch kv/db; grant-refused");
}

/* Neither as long as WaitSec= says, nor with what was good before: it shows how it is now. */
static void a_trial_waits_for_no_store(void **state)
{
        static const char *const ways[] = {"wait\nWaitSec=1min", "stale\nStaleSec=1h"};
        struct kb_credential_fetch_reply reply;
        char text[256];

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < KB_ARRAY_SIZE(ways); i++) {
                snprintf(text, sizeof(text), "[Credential]\nStore=local\nPath=kv/db\nOnUnavailable=%s\n",
                         ways[i]);
                world_define("db", text);
                ask("db");
                FETCHED("kv/db@1", 0, "password", "secret");
                world_commit();
                assert_int_equal(take_reply(&reply), KB_E_OK);
                world_commit();
                world_revoked();
                world_commit();
                ask("db");
                world_fail(KB_E_UNREACHABLE, "the store is away");
                assert_int_equal(take_reply(&reply), KB_E_UNREACHABLE);
                world_commit();
        }
}

static void a_trial_of_nothing_is_not_found(void **state)
{
        struct kb_credential_fetch_reply reply;

        if (geteuid() != 0)
                skip();
        ask("none");
        assert_int_equal(take_reply(&reply), KB_E_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_trial_says_how_long_the_lease_would_have_lived_and_gives_it_back),
                TEST(a_lease_without_an_end_says_0),
                TEST(a_trial_that_is_refused_says_why),
                TEST(a_trial_waits_for_no_store),
                TEST(a_trial_of_nothing_is_not_found),
        };

        return cmocka_run_group_tests(tests, world_make, world_remove);
}
