/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revocation lists on their way from stores that are distrusted to files that everybody reads. Stores and
 * disk are the test's own, linked in place of the real ones.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "helper/broker/crl.h"
#include "helper/broker/disk.h"
#include "helper/broker/store_client.h"
#include "helper/broker/stores.h"

static struct kb_config config;
static struct kb_broker broker = {.config = &config};
static struct kb_crls *crls;

/* --- stores: each answers with its name and the CA's --- */

struct kb_store_call {
        struct kb_store_request is;
        struct kb_writer fields;
};

static struct kb_store_call *calls[256];
static unsigned n_calls;
static uint64_t last_have;

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

void kb_store_call_start(struct kb_store_call *c)
{
        calls[n_calls++] = c;
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        kb_writer_done(&c->fields);
        free(c);
}

/* What is asked fails. */
static void fail_all(enum kb_error error)
{
        for (unsigned i = 0; i < n_calls; i++) {
                calls[i]->is.done(&(struct kb_store_answer){.error = error, .text = "it has its reasons"},
                                  calls[i]->is.userdata);
                kb_store_call_cancel(calls[i]);
        }
        n_calls = 0;
}

static unsigned greeted_again;

void kb_stores_greet_again(struct kb_stores *stores, const char *store)
{
        assert_string_equal(store, "local");
        greeted_again++;
}

static void answer_all(uint64_t number)
{
        for (unsigned i = 0; i < n_calls; i++) {
                struct kb_store_call *c = calls[i];
                _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
                struct kb_crl_request asked;
                char pem[256];
                int n;

                assert_ok(kb_crl_request_get(KB_SPAN(c->fields.data, c->fields.size), &asked));
                last_have = asked.have;
                n = snprintf(pem, sizeof(pem), "%s of %s", asked.name, c->is.store);
                kb_crl_reply_put(&w,
                                 &(struct kb_crl_reply){.number = number, .pem = KB_SPAN(pem, (size_t)n)});
                assert_ok(kb_writer_end(&w));
                c->is.done(&(struct kb_store_answer){.text = "", .fields = KB_SPAN(w.data, w.size)},
                           c->is.userdata);
                kb_store_call_cancel(c);
        }
        n_calls = 0;
}

/* --- the disk --- */

static struct {
        char name[200], content[256];
} files[256];
static unsigned n_files, n_written;

void kb_disk_write(struct kb_disk *d, const struct kb_disk_file *file, kb_disk_done done, void *userdata)
{
        unsigned i = 0;

        assert_string_equal(file->folder, KB_STATEDIR "/pki");
        assert_int_equal(file->mode, 0644);
        while (i < n_files && strcmp(files[i].name, file->name) != 0)
                i++;
        n_files += i == n_files;
        n_written++;
        snprintf(files[i].name, sizeof(files[i].name), "%s", file->name);
        snprintf(files[i].content, sizeof(files[i].content), "%.*s", (int)file->content.size,
                 (const char *)file->content.data);
}

static const char *content_of(const char *name)
{
        for (unsigned i = 0; i < n_files; i++)
                if (strcmp(files[i].name, name) == 0)
                        return files[i].content;
        return "";
}

static int set_up(void **state)
{
        n_calls = n_files = n_written = greeted_again = 0;
        assert_ok(kb_crls_new(&crls, &broker));
        return 0;
}

static int tear_down(void **state)
{
        kb_crls_free(crls);
        return 0;
}

/* --- */

static void each_store_has_files_of_its_own(void **state)
{
        kb_crl_refresh(crls, "evil", "hosts"); /* comes first, and takes nothing from the other */
        kb_crl_refresh(crls, "local", "hosts");
        answer_all(1);
        assert_int_equal(n_files, 2);
        assert_string_equal(content_of("local.hosts.crl"), "hosts of local");
        assert_string_equal(content_of("evil.hosts.crl"), "hosts of evil");
}

static void a_list_is_asked_for_again_as_newer_than_the_one_there_is(void **state)
{
        kb_crl_refresh(crls, "local", "hosts");
        kb_crl_refresh(crls, "local", "hosts"); /* one question at a time */
        assert_int_equal(n_calls, 1);
        answer_all(7);
        assert_int_equal(last_have, 0);
        kb_crl_refresh(crls, "local", "hosts");
        answer_all(8);
        assert_int_equal(last_have, 7);
        assert_int_equal(n_files, 1);
        assert_int_equal(n_written, 2);
}

/* It may name others each time it says hello: what it can write is bounded all the same. */
static void a_store_that_names_ever_more_fills_no_disk(void **state)
{
        char ca[32];

        for (unsigned i = 0; i < 3 * KB_CRLS_MAX; i++) {
                snprintf(ca, sizeof(ca), "ca%u", i);
                kb_crl_refresh(crls, "evil", ca);
                answer_all(1);
        }
        assert_int_equal(n_files, KB_CRLS_MAX);
        kb_crl_refresh(crls, "local", "hosts");
        kb_crl_refresh(crls, "evil", "ca0");
        answer_all(2);
        assert_int_equal(n_files, KB_CRLS_MAX + 1);
        assert_int_equal(n_written, KB_CRLS_MAX + 2);
        assert_string_equal(content_of("local.hosts.crl"), "hosts of local");
}

static void a_name_that_leads_elsewhere_is_not_asked_for(void **state)
{
        static const char *const names[] = {"", ".", "../hosts", "a/b", "local.hosts", "-x", "a\nb"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++)
                kb_crl_refresh(crls, "evil", names[i]);
        assert_int_equal(n_calls, 0);
}

static void who_goes_down_while_a_list_is_asked_for_waits_for_nothing(void **state)
{
        kb_crl_refresh(crls, "local", "hosts");
        n_calls = 0; /* it is cancelled */
}

/* Whoever waits for a revocation is not left waiting for the next greeting; who refuses is asked then. */
static void a_store_that_went_away_over_it_is_greeted_again(void **state)
{
        kb_crl_refresh(crls, "local", "hosts");
        fail_all(KB_E_SEALED);
        assert_int_equal(greeted_again, 0);
        kb_crl_refresh(crls, "local", "hosts");
        fail_all(KB_E_UNREACHABLE);
        assert_int_equal(greeted_again, 1);
        kb_crl_refresh(crls, "local", "hosts");
        answer_all(1);
        assert_string_equal(content_of("local.hosts.crl"), "hosts of local");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(each_store_has_files_of_its_own),
                TEST(a_store_that_went_away_over_it_is_greeted_again),
                TEST(a_list_is_asked_for_again_as_newer_than_the_one_there_is),
                TEST(a_store_that_names_ever_more_fills_no_disk),
                TEST(a_name_that_leads_elsewhere_is_not_asked_for),
                TEST(who_goes_down_while_a_list_is_asked_for_waits_for_nothing),
        };

        return cmocka_run_group_tests_name("crl", tests, NULL, NULL);
}
