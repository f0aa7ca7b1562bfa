/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypted credentials: ours are read by systemd and systemd's by us, and nothing altered gets through. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/grant/base64.h"
#include "helper/grant/sdcred.h"
#include "tests/unit/folder.h"

#define NOW   ((uint64_t)1790000000 * KB_USEC_PER_SEC)
#define LATER (NOW + 60 * KB_USEC_PER_SEC)

static const struct kb_host_key key = {.key = "0123456789abcdef0123456789abcde"};

/* A machine id, and what systemd-id128(1) makes of it for the application of systemd's credentials. */
static const uint8_t machine[16] = "machine-id-0001";
static const uint8_t mark[16] = {0x55, 0x24, 0xb1, 0x5d, 0x29, 0xbb, 0x48, 0xe2,
                                 0xb8, 0x2f, 0xbf, 0x76, 0x82, 0x44, 0x24, 0x58};

static struct kb_writer made(const char *name, uint64_t not_after, struct kb_span plain)
{
        struct kb_writer w = kb_writer_init(KB_SDCRED_ENCODED_MAX);

        assert_ok(kb_sdcred_encrypt(&key, name, NOW, not_after, plain, &w));
        return w;
}

/* What decrypting comes to; whatever the outcome is, only a success may write. */
static int opened(const struct kb_host_key *with, const char *name, uint64_t now, struct kb_span text)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(KB_SDCRED_PLAIN_MAX);
        int r = kb_sdcred_decrypt(with, name, now, text, &plain);

        if (r < 0)
                assert_int_equal(plain.size, 0);
        return r;
}

static void what_was_encrypted_comes_back(void **state)
{
        static const size_t sizes[] = {0, 1, 7, 8, 9, 4096, KB_SDCRED_PLAIN_MAX};
        _cleanup_secret_ uint8_t *plain = kb_secret_alloc(KB_SDCRED_PLAIN_MAX);

        for (size_t i = 0; i < KB_SDCRED_PLAIN_MAX; i++)
                plain[i] = (uint8_t)(i * 7);
        for (size_t i = 0; i < KB_ARRAY_SIZE(sizes); i++) {
                _cleanup_writer_ struct kb_writer w =
                        made("orders-db.password", LATER, KB_SPAN(plain, sizes[i]));
                _cleanup_writer_ struct kb_writer back = kb_writer_init(KB_SDCRED_PLAIN_MAX);

                assert_ok(
                        kb_sdcred_decrypt(&key, "orders-db.password", NOW, KB_SPAN(w.data, w.size), &back));
                assert_true(kb_secret_equal(KB_SPAN(back.data, back.size), KB_SPAN(plain, sizes[i])));
        }
}

static void a_name_an_end_and_a_key_each_decide(void **state)
{
        struct kb_host_key other = key;
        _cleanup_writer_ struct kb_writer w = made("a", LATER, KB_SPAN_STRING("secret"));
        _cleanup_writer_ struct kb_writer endless = made("a", KB_TIME_NEVER, KB_SPAN_STRING("secret"));
        struct kb_span text = KB_SPAN(w.data, w.size);

        other.key[31] ^= 1;
        assert_int_equal(opened(&key, "a", LATER, text), 0);
        assert_int_equal(opened(&key, "a", LATER + 1, text), -EKEYEXPIRED);
        assert_int_equal(opened(&key, "b", NOW, text), -EKEYREJECTED);
        assert_int_equal(opened(&key, "aa", NOW, text), -EKEYREJECTED);
        assert_int_equal(opened(&key, "", NOW, text), -EKEYREJECTED);
        assert_int_equal(opened(&other, "a", NOW, text), -EBADMSG);
        assert_int_equal(opened(&key, "a", KB_TIME_NEVER - 1, KB_SPAN(endless.data, endless.size)), 0);
}

static void cut_doubled_and_flipped_answers_are_refused(void **state)
{
        _cleanup_writer_ struct kb_writer w = made("a", LATER, KB_SPAN_STRING("secret"));
        _cleanup_writer_ struct kb_writer raw = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        _cleanup_writer_ struct kb_writer doubled = kb_writer_init(KB_SDCRED_ENCODED_MAX);

        for (size_t n = 0; n < w.size; n++)
                assert_int_equal(opened(&key, "a", NOW, KB_SPAN(w.data, n)), -EBADMSG);
        kb_write_raw(&doubled, KB_SPAN(w.data, w.size));
        kb_write_raw(&doubled, KB_SPAN(w.data, w.size));
        assert_int_equal(opened(&key, "a", NOW, KB_SPAN(doubled.data, doubled.size)), -EBADMSG);

        assert_ok(kb_base64_decode(&raw, KB_SPAN(w.data, w.size)));
        for (size_t bit = 0; bit < raw.size * 8; bit++) {
                _cleanup_writer_ struct kb_writer text = kb_writer_init(KB_SDCRED_ENCODED_MAX);

                raw.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                kb_base64_encode(&text, KB_SPAN(raw.data, raw.size));
                raw.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_int_equal(opened(&key, "a", NOW, KB_SPAN(text.data, text.size)), -EBADMSG);
        }
}

static void the_same_secret_never_looks_the_same(void **state)
{
        _cleanup_writer_ struct kb_writer a = made("a", LATER, KB_SPAN_STRING("secret"));
        _cleanup_writer_ struct kb_writer b = made("a", LATER, KB_SPAN_STRING("secret"));

        assert_false(kb_secret_equal(KB_SPAN(a.data, a.size), KB_SPAN(b.data, b.size)));
}

static void what_systemd_would_refuse_is_not_made(void **state)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        _cleanup_writer_ struct kb_writer narrow = kb_writer_init(10);
        _cleanup_secret_ uint8_t *big = kb_secret_alloc(KB_SDCRED_PLAIN_MAX + 1);
        char long_name[257] = "";

        memset(long_name, 'a', 256);
        assert_int_equal(kb_sdcred_encrypt(&key, NULL, NOW, LATER, KB_SPAN("", 0), &w), -EINVAL);
        assert_int_equal(kb_sdcred_encrypt(&key, "", NOW, LATER, KB_SPAN("", 0), &w), -EINVAL);
        assert_int_equal(kb_sdcred_encrypt(&key, long_name, NOW, LATER, KB_SPAN("", 0), &w), -EINVAL);
        assert_int_equal(kb_sdcred_encrypt(&key, "a", NOW, NOW - 1, KB_SPAN("", 0), &w), -EINVAL);
        assert_int_equal(kb_sdcred_encrypt(&key, "a", NOW, LATER, KB_SPAN(big, KB_SDCRED_PLAIN_MAX + 1), &w),
                         -EMSGSIZE);
        assert_int_equal(kb_sdcred_encrypt(&key, "a", NOW, LATER, KB_SPAN("", 0), &narrow), -EMSGSIZE);
        assert_int_equal(w.size, 0);
}

/* --- the host's secret on disk --- */

static const char *secret_file(const char *name, mode_t mode, const uint8_t id[16], size_t size)
{
        _cleanup_free_ uint8_t *bytes = calloc(1, size + 16);
        const char *path = in_folder(name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

        assert_ok(fd);
        memcpy(bytes, id, 16);
        memset(bytes + 16, 'k', size > 16 ? size - 16 : 0);
        assert_int_equal(write(fd, bytes, size), size);
        assert_ok(fchmod(fd, mode));
        return path;
}

static void only_this_machines_own_private_secret_is_taken(void **state)
{
        struct kb_host_key got = {.key = "untouched"};

        assert_int_equal(kb_sdcred_host_key_load(in_folder("none"), machine, &got), -ENOENT);
        assert_int_equal(kb_sdcred_host_key_load(secret_file("readable", 0440, mark, 4112), machine, &got),
                         -EPERM);
        assert_int_equal(kb_sdcred_host_key_load(secret_file("short", 0400, mark, 16), machine, &got),
                         -EBADMSG);
        assert_int_equal(kb_sdcred_host_key_load(secret_file("long", 0400, mark, 4113), machine, &got),
                         -EBADMSG);
        assert_int_equal(kb_sdcred_host_key_load(secret_file("foreign", 0400, key.key, 4112), machine, &got),
                         -EREMOTE);
        assert_int_equal(kb_sdcred_host_key_load(test_folder, machine, &got), -EPERM);
        assert_ok(symlink("good", in_folder("link")));
        assert_int_equal(kb_sdcred_host_key_load(in_folder("link"), machine, &got), -ELOOP);
        assert_string_equal((char *)got.key, "untouched");
        assert_ok(kb_sdcred_host_key_load(secret_file("good", 0400, mark, 4112), machine, &got));
        assert_memory_not_equal(got.key, "untouched", 10);
}

static void a_secret_of_somebody_else_is_not_taken(void **state)
{
        struct kb_host_key got;
        const char *path;

        if (geteuid() != 0)
                skip();
        path = secret_file("owned", 0400, mark, 4112);
        assert_ok(chown(path, 65534, 65534));
        assert_int_equal(kb_sdcred_host_key_load(path, machine, &got), -EPERM);
}

/* --- against systemd-creds itself --- */

static int machine_id(uint8_t ret[16])
{
        _cleanup_fclose_ FILE *f = fopen("/etc/machine-id", "re");
        unsigned byte;

        for (size_t i = 0; i < 16; i++) {
                if (!f || fscanf(f, "%2x", &byte) != 1)
                        return -1;
                ret[i] = (uint8_t)byte;
        }
        return 0;
}

/*
 * Runs systemd-creds on our own host secret and appends what it writes to output. Its exit status; 127 when
 * there is no such program.
 */
static int systemd_creds(const char *const arguments[], struct kb_writer *output)
{
        int ends[2], status;
        uint8_t byte;
        pid_t child;

        assert_ok(pipe2(ends, O_CLOEXEC));
        child = fork();
        assert_ok(child);
        if (child == 0) {
                int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);

                setenv("SYSTEMD_CREDENTIAL_SECRET", in_folder("real"), 1);
                if (chdir(test_folder) == 0 && dup2(ends[1], STDOUT_FILENO) >= 0 &&
                    dup2(quiet, STDERR_FILENO) >= 0)
                        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
                _exit(127);
        }
        close(ends[1]);
        while (read(ends[0], &byte, 1) == 1)
                kb_write_raw(output, KB_SPAN(&byte, 1));
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_file(const char *name, struct kb_span bytes)
{
        _cleanup_fclose_ FILE *f = fopen(in_folder(name), "we");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes.data, 1, bytes.size, f), bytes.size);
}

/* The key of a secret that systemd-creds itself accepts as this machine's; false when that cannot be had
 * here. */
static bool real_key(struct kb_host_key *ret)
{
        _cleanup_writer_ struct kb_writer version = kb_writer_init(4096);
        uint8_t id[16];

        if (machine_id(id) < 0 ||
            systemd_creds((const char *[]){"systemd-creds", "--version", NULL}, &version) != 0)
                return false;
        /* It makes the secret itself, so this shows too that we know whose it is. */
        if (systemd_creds((const char *[]){"systemd-creds", "setup", NULL}, &version) != 0)
                return false;
        assert_ok(kb_sdcred_host_key_load(in_folder("real"), id, ret));
        return true;
}

static void systemd_reads_what_we_write(void **state)
{
        static const char *const decrypt[] = {
                "systemd-creds", "--name=orders-db.password", "decrypt", "blob", "-", NULL};
        static const struct {
                const char *name;
                uint64_t end_offset;
                bool accepted;
        } table[] = {{"orders-db.password", 3600, true},
                     {"other", 3600, false},
                     {"orders-db.password", 0, false}};
        struct kb_host_key real;

        if (!real_key(&real))
                skip();
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_SDCRED_ENCODED_MAX);
                _cleanup_writer_ struct kb_writer output = kb_writer_init(4096);
                uint64_t made_at = kb_now_realtime() - KB_USEC_PER_SEC;
                uint64_t end = made_at + table[i].end_offset * KB_USEC_PER_SEC;

                assert_ok(kb_sdcred_encrypt(&real, table[i].name, made_at, end, KB_SPAN("a\0b\n", 4), &w));
                write_file("blob", KB_SPAN(w.data, w.size));
                assert_int_equal(systemd_creds(decrypt, &output) == 0, table[i].accepted);
                if (table[i].accepted)
                        assert_true(
                                kb_secret_equal(KB_SPAN(output.data, output.size), KB_SPAN("a\0b\n", 4)));
                else
                        assert_int_equal(output.size, 0);
        }
}

static void we_read_what_systemd_writes(void **state)
{
        static const char *const encrypt[] = {
                "systemd-creds", "--with-key=host", "--name=keep.local", "encrypt", "plain", "-", NULL};
        _cleanup_writer_ struct kb_writer text = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(4096);
        struct kb_host_key real;

        if (!real_key(&real))
                skip();
        write_file("plain", KB_SPAN_STRING("of systemd"));
        assert_int_equal(systemd_creds(encrypt, &text), 0);
        assert_ok(kb_sdcred_decrypt(&real, "keep.local", kb_now_realtime(), KB_SPAN(text.data, text.size),
                                    &plain));
        assert_true(kb_secret_equal(KB_SPAN(plain.data, plain.size), KB_SPAN_STRING("of systemd")));
}

/* --- base64 --- */

static void base64_has_one_text_for_each_byte_string(void **state)
{
        static const struct {
                const char *text;
                const char *bytes; /* NULL: refused */
        } table[] = {
                {"", ""},
                {"Zg==", "f"},
                {"Zm8=", "fo"},
                {"Zm9v", "foo"},
                {"Zm9v\nYg==\n", "foob"},
                {"Zh==", NULL},
                {"Zm9=", NULL},
                {"Zg=", NULL},
                {"Zg", NULL},
                {"Z===", NULL},
                {"====", NULL},
                {"Zg==Zg==", NULL},
                {"Zg==\nZ", NULL},
                {"Z g=", NULL},
                {"Zm9-", NULL},
                {"Z\x80"
                 "8=",
                 NULL},
                {"=m9v", NULL},
                {"Zm=v", NULL},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(100);
                int r = kb_base64_decode(&w, KB_SPAN_STRING(table[i].text));

                if (r != (table[i].bytes ? 0 : -EBADMSG))
                        fail_msg("row %zu: %s", i, table[i].text);
                if (table[i].bytes)
                        assert_true(
                                kb_secret_equal(KB_SPAN(w.data, w.size), KB_SPAN_STRING(table[i].bytes)));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_encrypted_comes_back),
                cmocka_unit_test(a_name_an_end_and_a_key_each_decide),
                cmocka_unit_test(cut_doubled_and_flipped_answers_are_refused),
                cmocka_unit_test(the_same_secret_never_looks_the_same),
                cmocka_unit_test(what_systemd_would_refuse_is_not_made),
                cmocka_unit_test(only_this_machines_own_private_secret_is_taken),
                cmocka_unit_test(a_secret_of_somebody_else_is_not_taken),
                cmocka_unit_test(systemd_reads_what_we_write),
                cmocka_unit_test(we_read_what_systemd_writes),
                cmocka_unit_test(base64_has_one_text_for_each_byte_string),
        };

        return cmocka_run_group_tests_name("sdcred", tests, test_folder_make, test_folder_remove);
}
