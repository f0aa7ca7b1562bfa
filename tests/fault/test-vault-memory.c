/* SPDX-License-Identifier: Apache-2.0 */
/* When memory runs out: whole or not at all, and never an answer that looks as if the server had said
 * nothing. */
#include "tests/unit/fault-server.h"

#include <curl/curl.h>
#include <errno.h>
#include <systemd/sd-event.h>

#include "common/clock.h"
#include "helper/store/vault/cluster.h"
#include "tests/unit/memory.h"

#define MOST 200 /* allocations of one of these, and then some */

static sd_event *event;

/* libcurl is initialised before ours can give it our malloc(3): what it does without memory is not our test.
 */
static int make(void **state)
{
        if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
                return -1;
        return faults_start(state) < 0 ? -1 : sd_event_new(&event);
}

static int unmake(void **state)
{
        sd_event_unref(event);
        return faults_stop(state);
}

static struct kb_cluster *cluster_without(int nth, enum kb_error *ret)
{
        struct kb_cluster_settings settings = {.n_addresses = 1,
                                               .http = {.ca_file = in_folder("ca.pem"),
                                                        .certificate_file = in_folder("host-1.pem"),
                                                        .key_file = in_folder("host-1.key"),
                                                        .server_name = "bao.example"}};
        struct kb_cluster *c = NULL;
        struct kb_address address;
        struct kb_problem problem;
        char text[64];

        snprintf(text, sizeof(text), "https://127.0.0.1:%u", faults.ports[0]);
        assert_int_equal(kb_address_parse(text, false, &address, &problem), KB_E_OK);
        settings.addresses = &address;
        memory_left = nth;
        *ret = kb_cluster_new(&c, event, &settings, &problem);
        memory_left = 0;
        assert_true((*ret == KB_E_OK) == (c != NULL));
        assert_true(*ret == KB_E_OK || problem.text[0]);
        return c;
}

static void a_cluster_is_made_whole_or_not_at_all(void **state)
{
        enum kb_error error = KB_E_BUSY;
        int nth;

        for (nth = 1; nth < MOST && error != KB_E_OK; nth++)
                kb_cluster_free(cluster_without(nth, &error));
        assert_in_range(nth, 5, MOST - 1);
}

static void a_document_is_read_whole_or_not_at_all(void **state)
{
        struct kb_json *json = NULL;
        int r = -ENOMEM, nth;

        for (nth = 1; nth < MOST && r < 0; nth++) {
                memory_left = nth;
                r = kb_json_parse(KB_SPAN_STRING("{\"a\":[1,\"b\"]}"), &json);
                memory_left = 0;
                assert_true(r == 0 || r == -ENOMEM);
        }
        assert_int_equal(r, 0);
        kb_json_free(json);
}

struct outcome {
        unsigned calls;
        enum kb_error error;
        bool json;
};

static void on_done(const struct kb_cluster_answer *answer, void *userdata)
{
        struct outcome *o = userdata;

        o->calls++;
        o->error = answer->error;
        o->json = answer->json != NULL;
        assert_true(answer->error == KB_E_OK || answer->text[0]);
}

/* The nth allocation from the start of a call to its end. False when there were fewer. */
static bool call_without(struct kb_cluster *c, int nth, struct outcome *ret)
{
        struct kb_cluster_request request = {
                .method = KB_HTTP_POST,
                .path = "x",
                .namespace = "team",
                .token = KB_SPAN_STRING("s.tok"),
                .body = KB_SPAN_STRING("{\"a\":\"bcdefgh\"}"),
                .deadline = kb_now_monotonic() + 20 * KB_USEC_PER_SEC,
                .done = on_done,
                .userdata = ret,
        };
        struct kb_cluster_call *call;
        bool used;
        int r;

        *ret = (struct outcome){.calls = 0};
        memory_left = nth;
        r = kb_cluster_start(c, &request, &call);
        while (r >= 0 && ret->calls == 0)
                assert_ok(sd_event_run(event, 30 * KB_USEC_PER_SEC));
        used = memory_left == 0;
        memory_left = 0;
        assert_true(r == 0 || r == -ENOMEM);
        assert_int_equal(ret->calls, r == 0);
        return used;
}

static void a_call_ends_once_and_its_answer_is_there_or_it_failed(void **state)
{
        enum kb_error error;
        struct outcome o;
        bool used = true;
        int nth;

        for (nth = 1; nth < MOST && used; nth++) {
                struct kb_cluster *c = cluster_without(0, &error);

                assert_non_null(c);
                used = call_without(c, nth, &o);
                assert_true(o.error != KB_E_OK || o.calls == 0 || o.json);
                kb_cluster_free(c);
        }
        assert_in_range(nth, 10, MOST - 1);
        assert_int_equal(o.error, KB_E_OK);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_cluster_is_made_whole_or_not_at_all),
                cmocka_unit_test(a_document_is_read_whole_or_not_at_all),
                cmocka_unit_test(a_call_ends_once_and_its_answer_is_there_or_it_failed),
        };

        return cmocka_run_group_tests(tests, make, unmake);
}
