/* SPDX-License-Identifier: Apache-2.0 */
/* The name of the socket that asks for a credential: anybody may bind any. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#include "common/macro.h"
#include "helper/grant/peername.h"

/* What was read, written again, has to be the end of what came in: nothing was invented, cut or turned
 * round. */
static void check(const struct kb_peername *p, const uint8_t *data, size_t size)
{
        char again[KB_UNIT_NAME_MAX + 2 * KB_CREDENTIAL_NAME_MAX + 16];
        int n = snprintf(again, sizeof(again), "/unit/%s/%s%s%s", p->unit, p->credential,
                         p->field[0] ? "." : "", p->field);

        FUZZ_ASSERT(kb_name_unit_valid(p->unit) && kb_name_credential_valid(p->credential));
        FUZZ_ASSERT(!p->field[0] || kb_name_word_valid(p->field));
        FUZZ_ASSERT(n > 0 && (size_t)n + 2 <= size && size <= (size_t)n + 17 && data[0] == '\0');
        FUZZ_ASSERT(memcmp(data + size - (size_t)n, again, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct kb_peername p;

        if (kb_peername_parse(KB_SPAN(data, size), &p) == 0)
                check(&p, data, size);
        if (kb_peername_parse_id(KB_SPAN(data, size), &p) == 0)
                FUZZ_ASSERT(kb_name_credential_valid(p.credential));
        return 0;
}
