/* SPDX-License-Identifier: Apache-2.0 */
/* The local store's cryptography: known vectors, and what must not open. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "helper/store/local/keyring.h"
#include "helper/store/local/recovery_code.h"
#include "helper/store/local/seal.h"

static size_t unhex(const char *hex, uint8_t *ret)
{
        size_t n = strlen(hex) / 2;

        for (size_t i = 0; i < n; i++)
                assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &ret[i]), 1);
        return n;
}

/* RFC 5869 A.1 (its first 32 bytes: we always ask for 32) */
static void hkdf_matches_rfc_5869(void **state)
{
        uint8_t secret[22], salt[13], info[10], expected[32], got[32];

        memset(secret, 0x0b, sizeof(secret));
        unhex("000102030405060708090a0b0c", salt);
        unhex("f0f1f2f3f4f5f6f7f8f9", info);
        unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", expected);
        assert_ok(kb_crypto_hkdf(KB_SPAN(secret, 22), KB_SPAN(salt, 13), KB_SPAN(info, 10), got));
        assert_memory_equal(got, expected, sizeof(got));
}

/* NIST SP 800-38D's test case 16: AES-256 with associated data */
static void gcm_matches_the_published_case(void **state)
{
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(256), opened = kb_writer_init(256);
        uint8_t key[32], nonce[12], plain[60], aad[20], expected[76];

        unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key);
        unhex("cafebabefacedbaddecaf888", nonce);
        unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
              "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
              plain);
        unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
        unhex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
              "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
              "76fc6ece0f4e1768cddf8853bb2d551b",
              expected);
        assert_ok(kb_crypto_seal(key, nonce, KB_SPAN(aad, 20), KB_SPAN(plain, 60), &sealed));
        assert_int_equal(sealed.size, sizeof(expected));
        assert_memory_equal(sealed.data, expected, sizeof(expected));
        assert_ok(kb_crypto_open(key, nonce, KB_SPAN(aad, 20), KB_SPAN(expected, 76), &opened));
        assert_memory_equal(opened.data, plain, sizeof(plain));
}

static void every_flipped_bit_is_noticed(void **state)
{
        _cleanup_(kb_keyring_freep) struct kb_keyring *k = NULL;
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(256), opened = kb_writer_init(256);
        const struct kb_place place = {"kv", "kv/a", 1};
        uint8_t root[KB_KEY_SIZE] = {1};

        assert_ok(kb_keyring_new(&k));
        assert_ok(kb_keyring_add(k, 1, root));
        assert_ok(kb_keyring_seal(k, &place, KB_SPAN_STRING("hunter2"), &sealed));
        for (size_t i = 0; i < sealed.size * 8; i++) {
                sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
                assert_int_equal(kb_keyring_open(k, 1, &place, KB_SPAN(sealed.data, sealed.size), &opened),
                                 -EBADMSG);
                sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        for (size_t n = 0; n < sealed.size; n++)
                assert_int_equal(kb_keyring_open(k, 1, &place, KB_SPAN(sealed.data, n), &opened), -EBADMSG);
        assert_int_equal(opened.size, 0);
        assert_ok(kb_keyring_open(k, 1, &place, KB_SPAN(sealed.data, sealed.size), &opened));
        assert_memory_equal(opened.data, "hunter2", 7);
}

static void a_record_opens_only_in_its_place(void **state)
{
        _cleanup_(kb_keyring_freep) struct kb_keyring *k = NULL;
        _cleanup_writer_ struct kb_writer sealed = kb_writer_init(256), opened = kb_writer_init(256);
        const struct kb_place elsewhere[] = {{"person", "kv/a", 1}, {"kv", "kv/b", 1}, {"kv", "kv/a", 2}};
        const struct kb_place place = {"kv", "kv/a", 1};
        uint8_t one[KB_KEY_SIZE] = {1}, two[KB_KEY_SIZE] = {2};

        assert_ok(kb_keyring_new(&k));
        assert_ok(kb_keyring_add(k, 1, one));
        assert_ok(kb_keyring_seal(k, &place, KB_SPAN_STRING("x"), &sealed));
        assert_ok(kb_keyring_add(k, 2, two));
        for (size_t i = 0; i < KB_ARRAY_SIZE(elsewhere); i++)
                assert_int_equal(
                        kb_keyring_open(k, 1, &elsewhere[i], KB_SPAN(sealed.data, sealed.size), &opened),
                        -EBADMSG);
        assert_int_equal(kb_keyring_open(k, 2, &place, KB_SPAN(sealed.data, sealed.size), &opened),
                         -EBADMSG);
        assert_int_equal(kb_keyring_open(k, 3, &place, KB_SPAN(sealed.data, sealed.size), &opened), -ENOKEY);
        assert_ok(kb_keyring_open(k, 1, &place, KB_SPAN(sealed.data, sealed.size), &opened));
}

static void the_same_plain_text_is_never_sealed_alike(void **state)
{
        _cleanup_(kb_keyring_freep) struct kb_keyring *k = NULL;
        _cleanup_writer_ struct kb_writer a = kb_writer_init(256), b = kb_writer_init(256);
        const struct kb_place place = {"kv", "kv/a", 1};
        uint8_t root[KB_KEY_SIZE] = {1};

        assert_ok(kb_keyring_new(&k));
        assert_ok(kb_keyring_add(k, 1, root));
        assert_ok(kb_keyring_seal(k, &place, KB_SPAN_STRING("x"), &a));
        assert_ok(kb_keyring_seal(k, &place, KB_SPAN_STRING("x"), &b));
        assert_memory_not_equal(a.data + 1, b.data + 1, 28);
}

static void a_keyring_holds_two_generations_in_order(void **state)
{
        _cleanup_(kb_keyring_freep) struct kb_keyring *k = NULL;
        uint8_t root[KB_KEY_SIZE] = {1};

        assert_ok(kb_keyring_new(&k));
        assert_int_equal(kb_keyring_newest(k), 0);
        assert_ok(kb_keyring_add(k, 5, root));
        assert_ok(kb_keyring_add(k, 4, root));
        assert_ok(kb_keyring_add(k, 4, root));
        assert_int_equal(kb_keyring_newest(k), 5);
        assert_int_equal(kb_keyring_add(k, 6, root), -ENOSPC);
        kb_keyring_drop(k, 5);
        assert_int_equal(kb_keyring_newest(k), 4);
        assert_false(kb_keyring_has(k, 5));
}

static void a_box_opens_for_its_key_alone(void **state)
{
        _cleanup_writer_ struct kb_writer box = kb_writer_init(256), opened = kb_writer_init(256);
        uint8_t private[KB_KEY_SIZE], public[KB_KEY_SIZE], other[KB_KEY_SIZE], unused[KB_KEY_SIZE];

        assert_ok(kb_crypto_pair(private, public));
        assert_ok(kb_crypto_pair(other, unused));
        assert_ok(kb_crypto_box(public, KB_SPAN_STRING("slot"), KB_SPAN_STRING("root key"), &box));
        assert_int_equal(box.size, 8 + KB_BOX_EXTRA);
        assert_int_equal(
                kb_crypto_unbox(other, KB_SPAN_STRING("slot"), KB_SPAN(box.data, box.size), &opened),
                -EBADMSG);
        assert_int_equal(
                kb_crypto_unbox(private, KB_SPAN_STRING("tols"), KB_SPAN(box.data, box.size), &opened),
                -EBADMSG);
        assert_int_equal(kb_crypto_unbox(private, KB_SPAN_STRING("slot"), KB_SPAN(box.data, 47), &opened),
                         -EBADMSG);
        assert_ok(kb_crypto_unbox(private, KB_SPAN_STRING("slot"), KB_SPAN(box.data, box.size), &opened));
        assert_memory_equal(opened.data, "root key", 8);
        memset(box.data, 0, KB_KEY_SIZE); /* a public key that gives everybody the same secret */
        assert_int_equal(
                kb_crypto_unbox(private, KB_SPAN_STRING("slot"), KB_SPAN(box.data, box.size), &opened),
                -EBADMSG);
}

/* --- recovery codes --- */

static void a_recovery_code_survives_handwriting(void **state)
{
        static const uint8_t code[KB_RECOVERY_BYTES] = {0xff, 0x00, 0x10, 0x84, 0x21};
        uint8_t got[KB_RECOVERY_BYTES];
        char text[KB_RECOVERY_TEXT], sloppy[2 * KB_RECOVERY_TEXT] = " ";

        assert_ok(kb_recovery_print(code, text));
        assert_int_equal(strlen(text), KB_RECOVERY_TEXT - 1);
        assert_ok(kb_recovery_parse(KB_SPAN_STRING(text), got));
        assert_memory_equal(got, code, sizeof(code));

        for (size_t i = 0; text[i]; i++) {
                char c = text[i] == '0' ? 'o' : text[i] == '1' ? 'l' : text[i] == '-' ? ' ' : text[i];

                sloppy[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        assert_ok(kb_recovery_parse(KB_SPAN_STRING(sloppy), got));
        assert_memory_equal(got, code, sizeof(code));
}

static void a_slip_in_a_recovery_code_is_told_from_a_wrong_one(void **state)
{
        static const uint8_t code[KB_RECOVERY_BYTES] = {1, 2, 3};
        uint8_t got[KB_RECOVERY_BYTES] = {9};
        char text[KB_RECOVERY_TEXT];

        assert_ok(kb_recovery_print(code, text));
        text[3] = text[3] == 'Z' ? 'Y' : 'Z';
        assert_int_equal(kb_recovery_parse(KB_SPAN_STRING(text), got), -EBADMSG);
        assert_int_equal(kb_recovery_parse(KB_SPAN(text, 40), got), -EINVAL);
        assert_int_equal(kb_recovery_parse(KB_SPAN_STRING(""), got), -EINVAL);
        assert_int_equal(kb_recovery_parse(KB_SPAN_STRING("UUUU-UUUU"), got), -EINVAL);
        assert_int_equal(
                kb_recovery_parse(KB_SPAN_STRING("0000-0000-0000-0000-0000-0000-0000-0000-0000-0"), got),
                -EINVAL);
        assert_int_equal(got[0], 9);
}

/* --- seeds of slots --- */

static void a_passphrase_needs_its_own_salt_and_costs(void **state)
{
        const struct kb_slot_costs cheap = {.salt = {1}, .passes = 1, .kib = 64, .lanes = 1};
        struct kb_slot_costs other = cheap, got = {};
        _cleanup_writer_ struct kb_writer w = kb_writer_init(256);
        uint8_t a[KB_SLOT_SEED_SIZE], b[KB_SLOT_SEED_SIZE];

        assert_ok(kb_slot_seed_passphrase(KB_SPAN_STRING("correct horse"), &cheap, a));
        assert_ok(kb_slot_seed_passphrase(KB_SPAN_STRING("correct horse"), &cheap, b));
        assert_memory_equal(a, b, sizeof(a));
        other.salt[0] = 2;
        assert_ok(kb_slot_seed_passphrase(KB_SPAN_STRING("correct horse"), &other, b));
        assert_memory_not_equal(a, b, sizeof(a));

        kb_slot_costs_put(&w, &cheap);
        assert_ok(kb_slot_costs_get(KB_SPAN(w.data, w.size), &got));
        assert_memory_equal(&got, &cheap, sizeof(got));
        other.kib = 0xffffffff; /* all the memory there is */
        kb_writer_done(&w);
        w = kb_writer_init(256);
        kb_slot_costs_put(&w, &other);
        assert_int_equal(kb_slot_costs_get(KB_SPAN(w.data, w.size), &got), -EBADMSG);
        assert_int_equal(kb_slot_costs_get(KB_SPAN(w.data, 7), &got), -EBADMSG);
}

static void the_text_systemd_keeps_reads_back(void **state)
{
        static const char *const bad[] = {"", "host", "host:", ":00", "host:zz", "ho st:00", "host\n"};
        uint8_t seed[KB_SLOT_SEED_SIZE] = {0xab, 0xcd}, got[KB_SLOT_SEED_SIZE];
        char text[KB_SLOT_TEXT_MAX], name[65];

        kb_slot_text("host", seed, text);
        strcat(text, "\n");
        assert_ok(kb_slot_parse_text(KB_SPAN_STRING(text), name, got));
        assert_string_equal(name, "host");
        assert_memory_equal(got, seed, sizeof(seed));
        text[10] = 'g';
        assert_int_equal(kb_slot_parse_text(KB_SPAN_STRING(text), name, got), -EINVAL);
        for (size_t i = 0; i < KB_ARRAY_SIZE(bad); i++)
                assert_int_equal(kb_slot_parse_text(KB_SPAN_STRING(bad[i]), name, got), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hkdf_matches_rfc_5869),
                cmocka_unit_test(gcm_matches_the_published_case),
                cmocka_unit_test(every_flipped_bit_is_noticed),
                cmocka_unit_test(a_record_opens_only_in_its_place),
                cmocka_unit_test(the_same_plain_text_is_never_sealed_alike),
                cmocka_unit_test(a_keyring_holds_two_generations_in_order),
                cmocka_unit_test(a_box_opens_for_its_key_alone),
                cmocka_unit_test(a_recovery_code_survives_handwriting),
                cmocka_unit_test(a_slip_in_a_recovery_code_is_told_from_a_wrong_one),
                cmocka_unit_test(a_passphrase_needs_its_own_salt_and_costs),
                cmocka_unit_test(the_text_systemd_keeps_reads_back),
        };

        return cmocka_run_group_tests_name("store-crypto", tests, NULL, NULL);
}
