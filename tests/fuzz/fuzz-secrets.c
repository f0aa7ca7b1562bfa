/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engines of a cluster's secrets read beside JSON: a certificate of OpenSSH, and the name of a
 * lease as the broker hands it back. A name that was read is written again as the same.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#include "helper/store/vault/lease.h"
#include "helper/store/vault/ssh_certificate.h"

static void try_lease(const char *text)
{
        char again[KB_LEASE_NAME_MAX + 1] = "";
        struct kb_lease_name name;
        int r = 0;

        kb_lease_name_parse(text, &name);
        switch (name.kind) {
        case KB_LEASE_NAME_BAD:
                return;
        case KB_LEASE_NAME_SERVER: /* the number may have had zeros in front */
                FUZZ_ASSERT(kb_lease_name_server(name.front, name.generation, again) <= 0);
                return;
        case KB_LEASE_NAME_CERTIFICATE:
                r = kb_lease_name_certificate(name.front, name.back, again);
                break;
        case KB_LEASE_NAME_RECORD:
                r = kb_lease_name_record(name.front, name.back, again);
                break;
        case KB_LEASE_NAME_VERSION:
                r = kb_lease_name_version(name.front, name.back, again);
                break;
        }
        FUZZ_ASSERT(r == 0 && strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char text[2 * KB_LEASE_NAME_MAX];
        uint64_t ends;

        if (kb_ssh_certificate_ends(KB_SPAN(data, size), &ends) == 0)
                FUZZ_ASSERT(size > 100);
        snprintf(text, sizeof(text), "%.*s", (int)(size < sizeof(text) ? size : sizeof(text)),
                 size > 0 ? (const char *)data : "");
        try_lease(text);
        return 0;
}
