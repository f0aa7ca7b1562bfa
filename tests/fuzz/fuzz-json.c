/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of an OpenBao or Vault server: JSON and its envelope. What was read and written again is read as
 * the same. After a first line that begins with '@', the rest of that line is a Location header and a JSON
 * pointer as well.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "helper/store/vault/address.h"
#include "helper/store/vault/api.h"
#include "helper/store/vault/body.h"

static const char *const addresses[] = {"https://bao", "http://127.0.0.1:1", "https://[::1]:8200"};

static void try_location(const char *line)
{
        struct kb_address ours[KB_ARRAY_SIZE(addresses)], same;
        struct kb_problem problem;
        char text[KB_ADDRESS_HOST_MAX + 32];
        int i;

        for (size_t k = 0; k < KB_ARRAY_SIZE(addresses); k++)
                FUZZ_ASSERT(kb_address_parse(addresses[k], true, &ours[k], &problem) == KB_E_OK);
        i = kb_address_find(ours, KB_ARRAY_SIZE(ours), line);
        FUZZ_ASSERT(i >= -1 && i < (int)KB_ARRAY_SIZE(ours));
        if (kb_address_parse(line, true, &same, &problem) != KB_E_OK)
                return;
        kb_address_text(&same, text, sizeof(text));
        FUZZ_ASSERT(kb_address_parse(text, true, &ours[0], &problem) == KB_E_OK);
        FUZZ_ASSERT(ours[0].scheme == same.scheme && ours[0].port == same.port &&
                    strcmp(ours[0].host, same.host) == 0);
}

static void try_path(const char *line)
{
        struct kb_path p = kb_path_init("a");

        kb_path_one(&p, line);
        if (kb_path_end(&p) == 0)
                FUZZ_ASSERT(strlen(p.text) == p.size && strchr(p.text, '/') == strrchr(p.text, '/') &&
                            !strpbrk(p.text, "?# \n"));
}

/* Whatever is read and written comes out the same when that is read and written. */
static void try_again(const struct kb_json_value *root)
{
        _cleanup_writer_ struct kb_writer one = kb_writer_init(1 << 24), two = kb_writer_init(1 << 24);
        _cleanup_(kb_json_freep) struct kb_json *again = NULL;

        if (kb_json_type(root) == KB_JSON_STRING || kb_json_write(root, &one) < 0)
                return;
        FUZZ_ASSERT(kb_json_parse(KB_SPAN(one.data, one.size), &again) == 0);
        FUZZ_ASSERT(kb_json_write(kb_json_root(again), &two) == 0);
        FUZZ_ASSERT(kb_secret_equal(KB_SPAN(one.data, one.size), KB_SPAN(two.data, two.size)));
}

static void try_envelope(const struct kb_json_value *root)
{
        struct kb_api_envelope e;
        const char *part = NULL;
        char text[64];

        if (kb_api_envelope(root, &e, &part) < 0) {
                FUZZ_ASSERT(part && part[0]);
                return;
        }
        FUZZ_ASSERT(e.lease_duration >= 0 && e.lease_duration <= KB_API_SECONDS_MAX);
        FUZZ_ASSERT(!e.has_auth || e.auth.client_token[0] || e.auth.mfa_requirement);
        kb_api_errors(&e, &KB_SPAN_STRING("x"), 1, text, sizeof(text));
        FUZZ_ASSERT(strlen(text) < sizeof(text) && !strpbrk(text, "\n\r\x1b"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *newline = size > 0 && data[0] == '@' ? memchr(data, '\n', size) : NULL;
        _cleanup_secret_ char *line = NULL;
        _cleanup_(kb_json_freep) struct kb_json *json = NULL;
        const struct kb_json_value *value;

        if (newline) {
                line = (char *)kb_secret_dup(KB_SPAN(data + 1, newline - data - 1));
                FUZZ_ASSERT(line);
                try_location(line);
                try_path(line);
                size -= (size_t)(newline + 1 - data);
                data = newline + 1;
        }
        if (kb_json_parse(KB_SPAN(data, size), &json) < 0)
                return 0;
        if (line && kb_json_at(kb_json_root(json), line, &value) == 0)
                FUZZ_ASSERT(kb_json_type(value) != KB_JSON_ABSENT);
        try_again(kb_json_root(json));
        try_envelope(kb_json_root(json));
        return 0;
}
