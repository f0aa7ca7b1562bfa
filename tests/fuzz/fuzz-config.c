/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of settings. The input is read as keybearer.conf, as a credential and as a store. A problem can be
 * printed and names the file; what is accepted is printed as text that means the same.
 */
#include <string.h>

#include "common/names.h"
#include "helper/config/credential.h"
#include "helper/config/store_vault.h"
#include "tests/fuzz/fuzz.h"

#define FILE_NAME "/fuzz/input.conf"

static void check_problems(const struct kb_problems *problems, bool refused)
{
        FUZZ_ASSERT(kb_problems_any(problems) == refused);
        for (size_t i = 0; i < problems->count; i++) {
                _cleanup_free_ char *text = kb_problem_format(&problems->problems[i]);

                FUZZ_ASSERT(strncmp(text, FILE_NAME, strlen(FILE_NAME)) == 0);
                for (const unsigned char *c = (const unsigned char *)text; *c; c++)
                        FUZZ_ASSERT(*c >= 0x20 && *c != 0x7f);
        }
}

/* A value that was read, printed and read again is printed the same. */
static void check_value(const struct kb_config_table *table, const void *object, size_t i)
{
        const struct kb_config_key *key = &table->keys[i];
        _cleanup_free_ char *text = kb_config_value(table, object, i), *again = NULL, *problem = NULL;
        char value[sizeof(struct kb_pairs)] __attribute__((aligned(8))) = {0};

        FUZZ_ASSERT(text);
        if (!*text || key->kind == KB_VALUE_pairs)
                return;
        FUZZ_ASSERT(kb_value_parse(key->kind, &key->limits, NULL, text, value, &problem) == 0);
        again = kb_value_format(key->kind, &key->limits, value);
        FUZZ_ASSERT(strcmp(text, again) == 0);
        kb_value_done(key->kind, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_problems_ struct kb_problems none = {0}, first = {0}, second = {0}, third = {0};
        _cleanup_(kb_credential_unrefp) struct kb_credential *credential = NULL;
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *store = NULL;
        _cleanup_(kb_config_freep) struct kb_config *defaults = NULL;
        _cleanup_free_ char *bytes = malloc(size + 1);
        struct kb_config config = {0};
        int r;

        memcpy(bytes, data, size);
        bytes[size] = '\0';
        FUZZ_ASSERT(kb_config_new("/nonexistent", &(struct kb_config_trust){0}, &none, &defaults) == 0);
        r = kb_config_load_bytes(&kb_config_table, FILE_NAME, bytes, size, &first, &config);
        check_problems(&first, r < 0);
        for (size_t i = 0; r == 0 && i < kb_config_table.n_keys; i++)
                check_value(&kb_config_table, &config, i);
        kb_config_done(&kb_config_table, &config);
        r = kb_credential_new_bytes(FILE_NAME, bytes, size, defaults, &second, &credential);
        check_problems(&second, r < 0);
        for (size_t i = 0; r == 0 && i < kb_credential_table.n_keys; i++)
                check_value(&kb_credential_table, credential, i);
        r = kb_vault_settings_new_bytes(FILE_NAME, bytes, size, &third, &store);
        check_problems(&third, r < 0);
        for (size_t i = 0; r == 0 && i < kb_vault_settings_table.n_keys; i++)
                check_value(&kb_vault_settings_table, store, i);
        return 0;
}
