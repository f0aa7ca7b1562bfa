/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: what we write is read back by those who will read it, and what they would misread is not written.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <ini.h>
#include <json-c/json.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/wait.h>

#include "helper/grant/base64.h"
#include "helper/grant/encode.h"
#include "helper/grant/format.h"
#include "tests/unit/fields.h"
#include "tests/unit/folder.h"

/* Every printable ASCII character, what a shell or a JSON reader minds first. */
#define NASTY "$HOME `id` \\n \"q\" 'q' ;#=%[]{}\\ !*~ <>&|()"
#define UTF8  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91"

static char credential_name[] = "orders-db";

static struct kb_credential credential(enum kb_format format)
{
        return (struct kb_credential){.name = credential_name, .format = format};
}

static int write_as(enum kb_format format, const struct kb_fields *fields, struct kb_writer *out,
                    struct kb_fields_problem *problem)
{
        struct kb_credential c = credential(format);

        return kb_format_write(&c, fields, "", out, problem);
}

static void assert_written(const struct kb_writer *w, const char *expected)
{
        if (!kb_secret_equal(KB_SPAN(w->data, w->size), KB_SPAN_STRING(expected)))
                fail_msg("%.*s\ninstead of\n%s", (int)w->size, (const char *)w->data, expected);
}

static void one_field_is_its_bytes_in_every_format(void **state)
{
        _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("password", NASTY, "username", "orders");

        for (unsigned format = KB_FORMAT_raw; format <= KB_FORMAT_pem; format++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
                struct kb_credential c = credential((enum kb_format)format);
                struct kb_fields_problem problem;

                assert_ok(kb_format_write(&c, fields, "password", &w, NULL));
                assert_written(&w, NASTY);
                assert_int_equal(kb_format_write(&c, fields, "pin", &w, &problem), -ENOENT);
                assert_string_equal(problem.text, "orders-db has no field pin; it has password, username");
        }
}

static void raw_writes_one_field_and_says_what_there_is_otherwise(void **state)
{
        _cleanup_fields_ struct kb_fields *one = FIELDS_OF("token", "t"),
                                          *two = FIELDS_OF("a", "1", "b", "2");
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
        struct kb_fields_problem problem;

        assert_ok(write_as(KB_FORMAT_raw, one, &w, NULL));
        assert_written(&w, "t");
        assert_int_equal(write_as(KB_FORMAT_raw, two, &w, &problem), -EINVAL);
        assert_string_equal(problem.text,
                            "Format=raw writes one field, and there are a, b: ask for orders-db.FIELD");
}

/* --- read back by others --- */

static const char *const values[] = {"", "x", NASTY, UTF8, "tab\there", "a=b", "end with \\", "{{x}}", "-n"};

static void json_is_read_back_by_json_c(void **state)
{
        static const char *const more[] = {"line\nbreak\r", "\x01\x1f\x7f", "\\\"/"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(values) + KB_ARRAY_SIZE(more); i++) {
                const char *value = i < KB_ARRAY_SIZE(values) ? values[i] : more[i - KB_ARRAY_SIZE(values)];
                _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("b", "2", "a", value);
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
                struct json_object *object, *a;

                assert_ok(write_as(KB_FORMAT_json, fields, &w, NULL));
                kb_write_raw(&w, KB_SPAN("", 1));
                object = json_tokener_parse((const char *)w.data);
                assert_non_null(object);
                assert_int_equal(json_object_object_length(object), 2);
                assert_true(json_object_object_get_ex(object, "a", &a));
                assert_string_equal(json_object_get_string(a), value);
                json_object_put(object);
        }
}

/* What sh(1) has in $ORDERS_DB_A after reading the file. */
static void read_with_sh(struct kb_span file, struct kb_writer *ret)
{
        const char *const command[] = {"sh", "-c", ". ./env; printf %s \"$ORDERS_DB_A\"", NULL};
        FILE *f = fopen(in_folder("env"), "we");
        int ends[2], status;
        uint8_t byte;
        pid_t child;

        assert_non_null(f);
        assert_int_equal(fwrite(file.data, 1, file.size, f), file.size);
        fclose(f);
        assert_ok(pipe2(ends, O_CLOEXEC));
        child = fork();
        assert_ok(child);
        if (child == 0) {
                if (chdir(test_folder) == 0 && dup2(ends[1], STDOUT_FILENO) >= 0)
                        execv("/bin/sh", (char *const *)(uintptr_t)command);
                _exit(127);
        }
        close(ends[1]);
        while (read(ends[0], &byte, 1) == 1)
                kb_write_raw(ret, KB_SPAN(&byte, 1));
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

static void env_is_read_back_by_the_shell(void **state)
{
        for (size_t i = 0; i <= KB_ARRAY_SIZE(values); i++) {
                const char *value = i < KB_ARRAY_SIZE(values) ? values[i] : "two\nlines";
                _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("a", value, "z", "2");
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000), got = kb_writer_init(1000);

                assert_ok(write_as(KB_FORMAT_env, fields, &w, NULL));
                read_with_sh(KB_SPAN(w.data, w.size), &got);
                assert_written(&got, value);
        }
}

static int take_ini(void *userdata, const char *section, const char *name, const char *value)
{
        if (strcmp(section, "orders-db") == 0 && strcmp(name, "a") == 0)
                snprintf(userdata, 1000, "%s", value);
        return 1;
}

static void ini_is_read_back_by_libinih(void **state)
{
        static const char *const carried[] = {"",       "x",     UTF8,   "a=b:c", "p#ss;word",
                                              "in ner", "%(x)s", "100%", "[x]"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(carried); i++) {
                _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("a", carried[i], "b", "2");
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
                char got[1000] = "nothing";

                assert_ok(write_as(KB_FORMAT_ini, fields, &w, NULL));
                kb_write_raw(&w, KB_SPAN("", 1));
                assert_int_equal(ini_parse_string((const char *)w.data, take_ini, got), 0);
                assert_string_equal(got, carried[i]);
        }
}

static void what_readers_would_misread_is_refused(void **state)
{
        static const struct {
                enum kb_format format;
                const char *value;
        } table[] = {
                {KB_FORMAT_json, "\xff"},
                {KB_FORMAT_json, "\xc0\xaf"},
                {KB_FORMAT_json, "\xed\xa0\x80"},
                {KB_FORMAT_json, "\xe2\x82"},
                {KB_FORMAT_json, "\xf5\x80\x80\x80"},
                {KB_FORMAT_json, "\x80"},
                {KB_FORMAT_json, "\xf4\x90\x80\x80"},
                {KB_FORMAT_env, "\xff"},
                {KB_FORMAT_env, "a\rb"},
                {KB_FORMAT_env, "\x1b[0m"},
                {KB_FORMAT_env, "\xc2\x85"},
                {KB_FORMAT_env, "\x7f"},
                {KB_FORMAT_ini, "a\nb"},
                {KB_FORMAT_ini, " a"},
                {KB_FORMAT_ini, "a "},
                {KB_FORMAT_ini, "\ta"},
                {KB_FORMAT_ini, "\"a\""},
                {KB_FORMAT_ini, "it's'"},
                {KB_FORMAT_ini, ";a"},
                {KB_FORMAT_ini, "#a"},
                {KB_FORMAT_ini, "a ;b"},
                {KB_FORMAT_ini, "a #b"},
                {KB_FORMAT_ini, "\xff"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("a", "fine", "b", table[i].value);
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
                struct kb_fields_problem problem = {""};

                kb_write_raw(&w, KB_SPAN("before", 6));
                if (write_as(table[i].format, fields, &w, &problem) != -EILSEQ)
                        fail_msg("row %zu was written: %.*s", i, (int)w.size, (const char *)w.data);
                assert_non_null(strstr(problem.text, "the field b "));
                assert_written(&w, "before"); /* not half of it */
        }
}

static void a_refusal_never_shows_a_value(void **state)
{
        _cleanup_fields_ struct kb_fields *fields =
                FIELDS_OF("certificate", "topsecret\n\xff", "b", "topsecret");

        for (unsigned format = KB_FORMAT_raw; format <= KB_FORMAT_pem; format++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
                struct kb_fields_problem problem = {""};

                assert_true(write_as((enum kb_format)format, fields, &w, &problem) < 0);
                assert_string_not_equal(problem.text, "");
                assert_null(strstr(problem.text, "topsecret"));
        }
}

static void a_nul_is_bytes_and_no_text(void **state)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1000);
        _cleanup_fields_ struct kb_fields *fields = NULL;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);

        kb_list_add_pair(&b, "a", KB_SPAN("x\0y", 3));
        assert_ok(kb_fields_new(kb_list_built(&b), NULL, 0, &fields, NULL));
        assert_int_equal(write_as(KB_FORMAT_env, fields, &w, NULL), -EILSEQ);
        assert_int_equal(write_as(KB_FORMAT_ini, fields, &w, NULL), -EILSEQ);
        assert_ok(write_as(KB_FORMAT_json, fields, &w, NULL));
        assert_written(&w, "{\"a\":\"x\\u0000y\"}");
}

static void a_variable_has_a_name_that_no_store_can_choose(void **state)
{
        static char digit[] = "2nd";
        _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("ld-preload", "x");
        _cleanup_fields_ struct kb_fields *same = FIELDS_OF("a-b", "1", "a_b", "2");
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);
        struct kb_credential c = credential(KB_FORMAT_env);
        struct kb_fields_problem problem;

        assert_ok(kb_format_write(&c, fields, "", &w, NULL));
        assert_written(&w, "ORDERS_DB_LD_PRELOAD=\"x\"\n");
        assert_int_equal(kb_format_write(&c, same, "", &w, &problem), -EINVAL);
        assert_string_equal(problem.text, "a-b and a_b would be the same variable");
        c.name = digit;
        assert_int_equal(kb_format_write(&c, fields, "", &w, &problem), -EINVAL);
}

/* --- certificates --- */

static char *pem_of(BIO *bio)
{
        char *text = NULL, *data;
        long size = BIO_get_mem_data(bio, &data);

        text = strndup(data, (size_t)size);
        BIO_free(bio);
        assert_non_null(text);
        return text;
}

static char *key_pem(EVP_PKEY *key)
{
        BIO *bio = BIO_new(BIO_s_mem());

        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        return pem_of(bio);
}

static char *certificate_pem(EVP_PKEY *key)
{
        BIO *bio = BIO_new(BIO_s_mem());
        X509 *x = X509_new();

        X509_set_pubkey(x, key);
        X509_gmtime_adj(X509_getm_notBefore(x), 0);
        X509_gmtime_adj(X509_getm_notAfter(x), 60);
        assert_true(X509_sign(x, key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_bio_X509(bio, x), 1);
        X509_free(x);
        return pem_of(bio);
}

static void pem_is_key_certificate_and_chain_in_the_order_of_servers(void **state)
{
        EVP_PKEY *key = EVP_EC_gen("P-256"), *read_key;
        _cleanup_free_ char *key_text = key_pem(key), *leaf = certificate_pem(key),
                            *chain = certificate_pem(key);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(10000);
        _cleanup_fields_ struct kb_fields *fields = NULL;
        X509 *x;
        BIO *bio;

        leaf[strlen(leaf) - 1] = '\0'; /* stores differ about the last line break */
        fields = FIELDS_OF("ca_chain", chain, "certificate", leaf, "private_key", key_text, "serial", "12");
        assert_ok(write_as(KB_FORMAT_pem, fields, &w, NULL));
        assert_memory_equal(w.data, key_text, strlen(key_text));
        bio = BIO_new_mem_buf(w.data, (int)w.size);
        read_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        assert_non_null(read_key);
        for (unsigned i = 0; i < 2; i++) {
                x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
                assert_non_null(x);
                assert_int_equal(X509_check_private_key(x, read_key), 1);
                X509_free(x);
        }
        assert_null(PEM_read_bio_X509(bio, NULL, NULL, NULL));
        EVP_PKEY_free(read_key);
        EVP_PKEY_free(key);
        BIO_free(bio);
}

static void pem_wants_a_certificate_and_pem(void **state)
{
        _cleanup_fields_ struct kb_fields *none = FIELDS_OF("private_key", "x");
        _cleanup_fields_ struct kb_fields *text = FIELDS_OF("certificate", "not a certificate");
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1000);

        assert_int_equal(write_as(KB_FORMAT_pem, none, &w, NULL), -EINVAL);
        assert_int_equal(write_as(KB_FORMAT_pem, text, &w, NULL), -EILSEQ);
}

static void a_template_comes_before_the_format_and_too_much_is_refused(void **state)
{
        static char template[] = "user={{ a }}";
        _cleanup_fields_ struct kb_fields *fields = FIELDS_OF("a", "x", "b", "y");
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1000), narrow = kb_writer_init(5);
        struct kb_credential c = credential(KB_FORMAT_raw);
        struct kb_fields_problem problem;

        c.template = template;
        assert_ok(kb_format_write(&c, fields, "", &w, NULL));
        assert_written(&w, "user=x");
        assert_int_equal(kb_format_write(&c, fields, "", &narrow, &problem), -EMSGSIZE);
        assert_string_equal(problem.text, "orders-db is too long to be handed out");
        c.template = NULL;
        c.format = 99;
        assert_int_equal(kb_format_write(&c, fields, "", &w, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_field_is_its_bytes_in_every_format),
                cmocka_unit_test(raw_writes_one_field_and_says_what_there_is_otherwise),
                cmocka_unit_test(json_is_read_back_by_json_c),
                cmocka_unit_test(env_is_read_back_by_the_shell),
                cmocka_unit_test(ini_is_read_back_by_libinih),
                cmocka_unit_test(what_readers_would_misread_is_refused),
                cmocka_unit_test(a_refusal_never_shows_a_value),
                cmocka_unit_test(a_nul_is_bytes_and_no_text),
                cmocka_unit_test(a_variable_has_a_name_that_no_store_can_choose),
                cmocka_unit_test(pem_is_key_certificate_and_chain_in_the_order_of_servers),
                cmocka_unit_test(pem_wants_a_certificate_and_pem),
                cmocka_unit_test(a_template_comes_before_the_format_and_too_much_is_refused),
        };

        return cmocka_run_group_tests_name("format", tests, test_folder_make, test_folder_remove);
}
