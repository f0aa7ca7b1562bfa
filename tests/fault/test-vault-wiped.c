/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libraries give back to malloc(3) holds no secret of a server any more. All that is freed in this
 * program, also by shared libraries, comes by here first; realloc() always moves, so that what it leaves
 * behind is seen, too.
 */
#include "tests/unit/fault-server.h"

#include <malloc.h>
#include <string.h>

#include "common/clock.h"
#include "helper/store/vault/http.h"
#include "helper/store/vault/json.h"

#define SECRET "hvs.hunter2-hunter2"

static volatile bool watching;
static volatile unsigned freed, found;

void __libc_free(void *p);

_export_ void free(void *p)
{
        if (p && watching) {
                freed++;
                found += memmem(p, malloc_usable_size(p), SECRET, strlen(SECRET)) ? 1 : 0;
        }
        __libc_free(p);
}

_export_ void *realloc(void *p, size_t size)
{
        void *moved = malloc(size);

        if (moved && p) {
                size_t old = malloc_usable_size(p);

                memcpy(moved, p, old < size ? old : size);
                free(p);
        }
        return moved;
}
static void the_watch_sees_what_is_freed_and_what_is_moved(void **state)
{
        char *text = strdup("xx" SECRET);

        found = 0;
        watching = true;
        text = realloc(text, 1000);
        free(text);
        watching = false;
        assert_int_equal(found, 2);
}

static void a_document_leaves_nothing_in_freed_memory(void **state)
{
        static const char *const documents[] = {
                "{\"auth\":{\"client_token\":\"" SECRET "\",\"accessor\":\"a\"}}",
                "[1,[\"" SECRET "\",\"\\u0041" SECRET
                "\"],{\"a\":{\"b\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" SECRET "\"}}]",
                "\"" SECRET "\"",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(documents); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);
                struct kb_json *json = NULL;
                int r;

                found = freed = 0;
                watching = true;
                r = kb_json_parse(KB_SPAN_STRING(documents[i]), &json);
                assert_ok(r);
                assert_ok(kb_json_write(kb_json_root(json), &w));
                kb_json_free(json);
                kb_writer_done(&w);
                watching = false;
                assert_true(freed > 2);
                if (found > 0)
                        fail_msg("%u of %u pieces still held it: %s", found, freed, documents[i]);
        }
}
static void on_done(const struct kb_http_answer *answer, void *userdata)
{
        unsigned *done = userdata;

        assert_int_equal(answer->result, KB_HTTP_ANSWERED);
        assert_non_null(memmem(answer->body.data, answer->body.size, SECRET, strlen(SECRET)));
        (*done)++;
}

static void an_exchange_leaves_nothing_in_freed_memory(void **state)
{
        static const char body[] = "{\"password\":\"" SECRET "\"}";
        struct kb_http_settings settings = {.ca_file = in_folder("ca.pem")};
        struct kb_address address;
        struct kb_problem problem;
        struct kb_http_exchange *x;
        struct kb_http *http;
        sd_event *event;
        char text[64];
        unsigned done = 0;
        struct kb_http_request request = {
                .address = &address,
                .method = KB_HTTP_POST,
                .path = "auth/userpass/login/ana",
                .token = KB_SPAN_STRING(SECRET),
                .body = KB_SPAN_STRING(body),
                .connect_usec = 30 * KB_USEC_PER_SEC,
                .total_usec = 30 * KB_USEC_PER_SEC,
                .done = on_done,
                .userdata = &done,
        };

        snprintf(text, sizeof(text), "https://127.0.0.1:%u", faults.ports[0]);
        assert_int_equal(kb_address_parse(text, false, &address, &problem), KB_E_OK);
        assert_ok(sd_event_new(&event));
        found = freed = 0;
        watching = true;
        assert_int_equal(kb_http_new(&http, event, &settings, &problem), KB_E_OK);
        for (unsigned i = 1; i <= 2; i++) { /* over a new connection, and over a kept one */
                assert_ok(kb_http_start(http, &request, &x));
                while (done < i)
                        assert_ok(sd_event_run(event, 30 * KB_USEC_PER_SEC));
        }
        kb_http_free(http);
        sd_event_unref(event);
        watching = false;
        if (found > 0)
                fail_msg("%u of %u pieces still held it", found, freed);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_watch_sees_what_is_freed_and_what_is_moved),
                cmocka_unit_test(a_document_leaves_nothing_in_freed_memory),
                cmocka_unit_test(an_exchange_leaves_nothing_in_freed_memory),
        };

        return cmocka_run_group_tests(tests, faults_start, faults_stop);
}
