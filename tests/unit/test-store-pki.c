/* SPDX-License-Identifier: Apache-2.0 */
/* The store's CA: what a role permits is a table; what is issued and revoked is judged by openssl(1). */
#include "tests/unit/store.h"

#include "common/clock.h"
#include "helper/store/local/pki.h"

#define DAY 86400ull

static void set_role(struct kb_local *l, const char *name, struct kb_list pairs)
{
        _cleanup_transaction_ struct kb_transaction t = {};

        assert_ok(kb_db_begin(l->db, &t));
        assert_ok(kb_object_put(&l->shelf, "role", name, 0, pairs, TEST_NOW));
        assert_ok(kb_db_commit(&t));
}

static struct kb_local *make_with_ca(uint64_t now)
{
        _cleanup_list_ struct kb_list_builder b = {};
        struct kb_local *l = store_make(store_folder());

        assert_fine(kb_ca_create(l, "default", "Test CA", 3650 * DAY, now, &test_problem));
        set_role(l, "web",
                 pairs_of(&b, "domains", "example.org, x.test", "subdomains", "yes", "uris", "spiffe://a/*",
                          "common-name", "the web role", "max-ttl", "48h", NULL));
        return l;
}

static enum kb_error issue(struct kb_local *l, const char *role, struct kb_list parameters,
                           const char *request, uint64_t now, struct kb_issued *ret)
{
        return kb_pki_issue(l, role, parameters, request, now, ret, &test_problem);
}

/* --- roles --- */

static void a_role_permits_what_it_names_and_nothing_else(void **state)
{
        static const struct {
                const char *parameter, *value;
                enum kb_error expected;
        } rows[] = {
                {"common_name", "example.org", KB_E_OK},
                {"common_name", "a.example.org", KB_E_OK},
                {"common_name", "A.Example.ORG", KB_E_OK},
                {"common_name", "the web role", KB_E_OK},
                {"common_name", "badexample.org", KB_E_DENIED},
                {"common_name", "example.org.evil", KB_E_DENIED},
                {"common_name", "org", KB_E_DENIED},
                {"common_name", "somebody else", KB_E_BAD_REQUEST},
                {"common_name", "*.example.org", KB_E_BAD_REQUEST},
                {"common_name", "a..example.org", KB_E_BAD_REQUEST},
                {"common_name", "-a.example.org", KB_E_BAD_REQUEST},
                {"common_name", "a\nb", KB_E_BAD_REQUEST},
                {"alt_names", "a.example.org,b.x.test", KB_E_OK},
                {"alt_names", "a.example.org,b.y.test", KB_E_DENIED},
                {"ip_sans", "10.0.0.1", KB_E_DENIED},
                {"ip_sans", "10.0.0", KB_E_BAD_REQUEST},
                {"uri_sans", "spiffe://a/b", KB_E_OK},
                {"uri_sans", "spiffe://b/b", KB_E_DENIED},
                {"ttl", "48h", KB_E_OK},
                {"ttl", "49h", KB_E_DENIED},
                {"ttl", "soon", KB_E_BAD_REQUEST},
                {"format", "der", KB_E_BAD_REQUEST},
        };
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_list_ struct kb_list_builder b = {};
                _cleanup_issued_ struct kb_issued issued = {};
                enum kb_error e = issue(l, "web", pairs_of(&b, rows[i].parameter, rows[i].value, NULL), "",
                                        TEST_NOW, &issued);

                if (e != rows[i].expected)
                        fail_msg("row %zu: %s: %s", i, kb_error_word(e), test_problem.text);
        }
}

/* A role that permits a lot, and one that names nothing. */
static void a_role_that_permits_a_lot_still_knows_what_a_name_is(void **state)
{
        static const struct {
                const char *role, *parameter, *value;
                enum kb_error expected;
        } rows[] = {
                {"wide", "common_name", "anything.example.net", KB_E_OK},
                {"wide", "common_name", "not a name", KB_E_BAD_REQUEST},
                {"wide", "ip_sans", "10.0.0.1 fe80::1", KB_E_OK},
                {"wide", "ip_sans", "10.0.0.256", KB_E_BAD_REQUEST},
                {"wide", "uri_sans", "spiffe://a/b", KB_E_DENIED},
                {"wide", "alt_names", "a.example.net", KB_E_OK},
                {"wide", "ttl", "0", KB_E_BAD_REQUEST},
                {"bare", "ttl", "1h", KB_E_BAD_REQUEST}, /* nothing to certify */
                {"bare", "ip_sans", "10.0.0.1", KB_E_DENIED},
        };
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_issued_ struct kb_issued same = {}, capped = {};

        set_role(l, "wide",
                 pairs_of(&b, "any-name", "yes", "ips", "yes", "ttl", "72h", "max-ttl", "2h", "common-name",
                          "wide", NULL));
        set_role(l, "bare", pairs_of(&b, "domains", "example.org", NULL));
        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_issued_ struct kb_issued issued = {};
                enum kb_error e =
                        issue(l, rows[i].role, pairs_of(&b, rows[i].parameter, rows[i].value, NULL), "",
                              TEST_NOW, &issued);

                if (e != rows[i].expected)
                        fail_msg("row %zu: %s: %s", i, kb_error_word(e), test_problem.text);
        }
        assert_fine(issue(l, "bare",
                          pairs_of(&b, "alt_names", "example.org", "common_name", "EXAMPLE.org", NULL), "",
                          TEST_NOW, &same));
        assert_fine(issue(l, "wide", pairs_of(&b, NULL), "", TEST_NOW, &capped));
        assert_int_equal(capped.ttl, 2 * 3600); /* its own ttl is more than its max-ttl */
}

/* Without an extended key usage a certificate would be good for everything. */
static void a_role_for_nothing_certifies_nothing(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_issued_ struct kb_issued issued = {};

        set_role(l, "idle", pairs_of(&b, "common-name", "x", "server", "no", "client", "no", NULL));
        assert_error(issue(l, "idle", pairs_of(&b, NULL), "", TEST_NOW, &issued), KB_E_BAD_REQUEST);
        assert_non_null(strstr(test_problem.text, "server=yes"));
}

static void a_role_or_ca_that_is_not_there_says_what_to_do(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {}, none = {};
        _cleanup_issued_ struct kb_issued issued = {};

        assert_error(issue(l, "nope", pairs_of(&none, NULL), "", TEST_NOW, &issued), KB_E_NOT_FOUND);
        set_role(l, "lost", pairs_of(&b, "ca", "nope", "common-name", "x", NULL));
        assert_error(issue(l, "lost", pairs_of(&none, NULL), "", TEST_NOW, &issued), KB_E_NOT_FOUND);
        assert_non_null(strstr(test_problem.text, "keybearer ca create"));
        assert_error(kb_ca_create(l, "default", "x", DAY, TEST_NOW, &test_problem), KB_E_CONFLICT);
        assert_error(kb_ca_create(l, "no good", "x", DAY, TEST_NOW, &test_problem), KB_E_BAD_REQUEST);
        assert_error(kb_ca_create(l, "a", "", DAY, TEST_NOW, &test_problem), KB_E_BAD_REQUEST);
}

static void no_certificate_outlives_its_ca(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_issued_ struct kb_issued issued = {};
        uint64_t late = TEST_NOW + 3650 * DAY * KB_USEC_PER_SEC - 3600 * KB_USEC_PER_SEC;

        assert_error(issue(l, "web", pairs_of(&b, "ttl", "2h", NULL), "", late, &issued), KB_E_EXPIRED);
        assert_fine(issue(l, "web", pairs_of(&b, "ttl", "30min", NULL), "", late, &issued));
}

/* --- the same request again --- */

static void the_same_request_gives_the_same_lease(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_issued_ struct kb_issued first = {}, again = {}, other = {}, later = {}, revoked = {};
        struct kb_list none = pairs_of(&b, NULL);
        char ca[] = "default";

        assert_fine(issue(l, "web", none, "id-1", TEST_NOW, &first));
        assert_fine(issue(l, "web", none, "id-1", TEST_NOW + KB_USEC_PER_SEC, &again));
        assert_string_equal(first.lease, again.lease);
        assert_string_equal(value_in(kb_list_built(&first.fields), "private_key"),
                            value_in(kb_list_built(&again.fields), "private_key"));
        assert_int_equal(again.ttl, first.ttl - 1);
        assert_null(value_in(kb_list_built(&again.fields), "lease"));

        assert_fine(issue(l, "web", none, "id-2", TEST_NOW, &other));
        assert_string_not_equal(first.lease, other.lease);
        assert_fine(issue(l, "web", none, "id-2", TEST_NOW + (KB_REPLY_SEC + 1) * KB_USEC_PER_SEC, &later));
        assert_string_not_equal(other.lease, later.lease);

        assert_fine(kb_pki_revoke(l, ca, strrchr(later.lease, '/') + 1, TEST_NOW, &test_problem));
        assert_fine(
                issue(l, "web", none, "id-2", TEST_NOW + (KB_REPLY_SEC + 2) * KB_USEC_PER_SEC, &revoked));
        assert_string_not_equal(later.lease, revoked.lease);
}

/* An id that comes again with another question is another request. */
static void the_same_id_with_another_question_gives_another_lease(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {}, c = {};
        _cleanup_issued_ struct kb_issued first = {}, named = {}, role = {}, again = {}, none = {};
        char long_id[66];

        memset(long_id, 'x', 65);
        long_id[65] = '\0';
        set_role(l, "other", pairs_of(&b, "common-name", "the other role", NULL));
        assert_fine(issue(l, "web", pairs_of(&b, NULL), "id", TEST_NOW, &first));
        assert_fine(
                issue(l, "web", pairs_of(&c, "common_name", "a.example.org", NULL), "id", TEST_NOW, &named));
        assert_fine(issue(l, "other", pairs_of(&b, NULL), "id", TEST_NOW, &role));
        assert_string_not_equal(first.lease, named.lease);
        assert_string_not_equal(first.lease, role.lease);
        assert_fine(
                issue(l, "web", pairs_of(&c, "common_name", "a.example.org", NULL), "id", TEST_NOW, &again));
        assert_string_equal(again.lease, named.lease);
        assert_error(issue(l, "web", pairs_of(&b, NULL), long_id, TEST_NOW, &none), KB_E_BAD_REQUEST);
}

static uint64_t count_answers(struct kb_local *l)
{
        uint64_t n = 99;

        assert_ok(kb_db_number(l->db, &n, "SELECT count(*) FROM objects WHERE kind = 'reply'", ""));
        return n;
}

static void answers_with_private_keys_are_wiped_when_they_are_old(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_issued_ struct kb_issued issued = {}, without = {};
        uint64_t changes;

        assert_fine(issue(l, "web", pairs_of(&b, NULL), "id", TEST_NOW, &issued));
        assert_fine(issue(l, "web", pairs_of(&b, NULL), "", TEST_NOW, &without));
        assert_int_equal(count_answers(l), 1);
        changes = l->identity.changes;
        assert_ok(kb_pki_forget_answers(l, TEST_NOW + KB_REPLY_SEC * KB_USEC_PER_SEC));
        assert_int_equal(count_answers(l), 1);
        assert_int_equal(l->identity.changes, changes); /* nothing to do, nothing written */
        assert_ok(kb_pki_forget_answers(l, TEST_NOW + (KB_REPLY_SEC + 1) * KB_USEC_PER_SEC));
        assert_int_equal(count_answers(l), 0);
}

/* --- openssl judges --- */

static void write_file(const char *name, struct kb_span bytes)
{
        FILE *f = fopen(in_folder(name), "w");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes.data, 1, bytes.size, f), bytes.size);
        fclose(f);
}

static int verify(const char *certificate)
{
        char command[2048];

        snprintf(command, sizeof(command),
                 "openssl verify -x509_strict -crl_check -CAfile %s -CRLfile %s %s >%s 2>&1",
                 in_folder("ca.pem"), in_folder("crl.pem"), in_folder(certificate), in_folder("said"));
        return run_shell(command);
}

static int says(const char *certificate, const char *text)
{
        char command[2048];

        snprintf(command, sizeof(command),
                 "openssl x509 -in %s -noout -text -nameopt RFC2253 | grep -q '%s'", in_folder(certificate),
                 text);
        return run_shell(command);
}

static void write_crl(struct kb_local *l, uint64_t now, uint64_t expected_number)
{
        _cleanup_crl_ struct kb_crl crl = {};

        assert_fine(kb_pki_crl(l, "default", now, &crl, &test_problem));
        assert_int_equal(crl.number, expected_number);
        assert_true(crl.next_update > now);
        write_file("crl.pem", KB_SPAN(crl.pem.data, crl.pem.size));
}

static void write_certificate(const char *name, const struct kb_issued *issued)
{
        struct kb_span pem;

        assert_true(kb_list_find(kb_list_built(&issued->fields), "certificate", &pem));
        write_file(name, pem);
        assert_true(kb_list_find(kb_list_built(&issued->fields), "ca_chain", &pem));
        write_file("ca.pem", pem);
}

static void openssl_accepts_what_was_issued_and_refuses_what_was_revoked(void **state)
{
        uint64_t now = kb_now_realtime(), first = now / KB_USEC_PER_SEC;
        _cleanup_store_ struct kb_local *l = make_with_ca(now);
        _cleanup_list_ struct kb_list_builder b = {}, c = {};
        _cleanup_issued_ struct kb_issued one = {}, two = {};
        struct kb_list names =
                pairs_of(&b, "common_name", "a.example.org", "uri_sans", "spiffe://a/b", NULL);

        assert_fine(issue(l, "web", names, "", now, &one));
        assert_fine(issue(l, "web", pairs_of(&c, NULL), "", now, &two));
        write_certificate("one.pem", &one);
        write_certificate("two.pem", &two);
        write_crl(l, now, first);
        write_crl(l, now, first); /* nothing new: the same list */
        assert_int_equal(verify("one.pem"), 0);
        assert_int_equal(says("one.pem", "DNS:a.example.org, URI:spiffe://a/b"), 0);
        assert_int_equal(says("one.pem", "TLS Web Server Authentication, TLS Web Client Authentication"), 0);
        assert_int_equal(says("two.pem", "CN *= *the web role"), 0);

        assert_fine(kb_pki_revoke(l, "default", strrchr(one.lease, '/') + 1, now, &test_problem));
        assert_fine(kb_pki_revoke(l, "default", strrchr(one.lease, '/') + 1, now, &test_problem));
        assert_fine(kb_pki_revoke(l, "default", "00", now, &test_problem));
        write_crl(l, now, first + 1);
        assert_int_not_equal(verify("one.pem"), 0);
        assert_int_equal(verify("two.pem"), 0);
        write_crl(l, now + 2 * DAY * KB_USEC_PER_SEC, first + 2 * DAY); /* half of its life is over */
        write_crl(l, now,
                  first + 2 * DAY + 1); /* that clock was wrong: nobody would take its list before then */
        assert_int_equal(verify("two.pem"), 0);
}

/* A row that is not there is what a restore leaves of a certificate that was issued after the backup. */
static void who_is_revoked_after_its_row_was_lost_is_in_the_list(void **state)
{
        static const char *const nonsense[] = {"00", "zz23456789abcdef0123456789abcdef",
                                               "4023456789ABCDEF0123456789ABCDEF"};
        uint64_t now = kb_now_realtime(), first = now / KB_USEC_PER_SEC, listed_until;
        _cleanup_store_ struct kb_local *l = make_with_ca(now);
        _cleanup_list_ struct kb_list_builder b = {}, c = {};
        _cleanup_issued_ struct kb_issued one = {}, two = {};
        const char *serial;

        set_role(l, "long", pairs_of(&c, "common-name", "long", "ttl", "400d", "max-ttl", "400d", NULL));
        assert_fine(issue(l, "long", pairs_of(&b, NULL), "", now, &one));
        assert_fine(issue(l, "web", pairs_of(&b, NULL), "", now, &two));
        serial = strrchr(one.lease, '/') + 1;
        write_certificate("one.pem", &one);
        write_certificate("two.pem", &two);
        assert_int_equal(kb_db_run(l->db, "DELETE FROM certificates WHERE serial = ?", "s", serial), 1);
        assert_int_equal(kb_db_run(l->db, "DELETE FROM objects WHERE kind = 'role' AND name = 'long'", ""),
                         1);
        write_crl(l, now, first);
        assert_fine(kb_pki_revoke(l, "other", serial, now, &test_problem));
        for (size_t i = 0; i < KB_ARRAY_SIZE(nonsense); i++)
                assert_fine(kb_pki_revoke(l, "default", nonsense[i], now, &test_problem));
        write_crl(l, now, first);
        assert_int_equal(verify("one.pem"), 0);
        assert_fine(kb_pki_revoke(l, "default", serial, now, &test_problem));
        write_crl(l, now, first + 1);
        assert_int_not_equal(verify("one.pem"), 0);
        assert_int_equal(verify("two.pem"), 0);
        assert_fine(kb_pki_revoke(l, "default", serial, now, &test_problem));
        write_crl(l, now, first + 1);
        assert_ok(kb_db_number(l->db, &listed_until, "SELECT not_after FROM certificates WHERE serial = ?",
                               "s", serial));
        assert_true(listed_until >= now / KB_USEC_PER_SEC + 400 * DAY);
}

static void a_lease_knows_its_end(void **state)
{
        _cleanup_store_ struct kb_local *l = make_with_ca(TEST_NOW);
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_issued_ struct kb_issued issued = {};
        const char *serial;
        uint64_t ttl;

        assert_fine(issue(l, "web", pairs_of(&b, "ttl", "1h", NULL), "", TEST_NOW, &issued));
        assert_int_equal(issued.ttl, 3600);
        serial = strrchr(issued.lease, '/') + 1;
        assert_fine(
                kb_pki_check(l, "default", serial, TEST_NOW + 60 * KB_USEC_PER_SEC, &ttl, &test_problem));
        assert_int_equal(ttl, 3540);
        assert_error(
                kb_pki_check(l, "default", serial, TEST_NOW + 3600 * KB_USEC_PER_SEC, &ttl, &test_problem),
                KB_E_EXPIRED);
        assert_error(kb_pki_check(l, "other", serial, TEST_NOW, &ttl, &test_problem), KB_E_NOT_FOUND);
        assert_fine(kb_pki_revoke(l, "default", serial, TEST_NOW, &test_problem));
        assert_error(kb_pki_check(l, "default", serial, TEST_NOW, &ttl, &test_problem), KB_E_EXPIRED);
}

/* --- attributes --- */

static void attributes_are_checked_against_their_table(void **state)
{
        static const struct {
                const char *name, *value;
                enum kb_error expected;
        } rows[] = {
                {"ttl", "90s", KB_E_OK},
                {"ttl", "", KB_E_OK},
                {"ttl", "5 min", KB_E_BAD_REQUEST},
                {"ttl", "0", KB_E_BAD_REQUEST},
                {"ttl", "99999999999d", KB_E_BAD_REQUEST},
                {"server", "maybe", KB_E_BAD_REQUEST},
                {"domains", "a.b c.d", KB_E_OK},
                {"domains", "A.b", KB_E_BAD_REQUEST},
                {"domian", "a.b", KB_E_BAD_REQUEST},
        };
        _cleanup_list_ struct kb_list_builder twice = {};

        for (size_t i = 0; i < KB_ARRAY_SIZE(rows); i++) {
                _cleanup_list_ struct kb_list_builder b = {};

                if (kb_attributes_check(kb_role_attributes, kb_role_attributes_size,
                                        pairs_of(&b, rows[i].name, rows[i].value, NULL),
                                        &test_problem) != rows[i].expected)
                        fail_msg("row %zu: %s", i, test_problem.text);
        }
        assert_error(kb_attributes_check(kb_role_attributes, kb_role_attributes_size,
                                         pairs_of(&twice, "ttl", "1h", "ttl", "2h", NULL), &test_problem),
                     KB_E_BAD_REQUEST);
        assert_int_equal(kb_duration_seconds("5min"), 300);
        assert_int_equal(kb_duration_seconds("2w"), 14 * DAY);
        assert_int_equal(kb_duration_seconds("x"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_role_permits_what_it_names_and_nothing_else),
                cmocka_unit_test(a_role_or_ca_that_is_not_there_says_what_to_do),
                cmocka_unit_test(no_certificate_outlives_its_ca),
                cmocka_unit_test(a_role_that_permits_a_lot_still_knows_what_a_name_is),
                cmocka_unit_test(a_role_for_nothing_certifies_nothing),
                cmocka_unit_test(the_same_request_gives_the_same_lease),
                cmocka_unit_test(the_same_id_with_another_question_gives_another_lease),
                cmocka_unit_test(answers_with_private_keys_are_wiped_when_they_are_old),
                cmocka_unit_test(openssl_accepts_what_was_issued_and_refuses_what_was_revoked),
                cmocka_unit_test(who_is_revoked_after_its_row_was_lost_is_in_the_list),
                cmocka_unit_test(a_lease_knows_its_end),
                cmocka_unit_test(attributes_are_checked_against_their_table),
        };

        return cmocka_run_group_tests_name("store-pki", tests, test_folder_make, test_folder_remove);
}
