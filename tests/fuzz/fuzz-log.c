/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log. The input is a file of it, as recovery, the ledger and readers walk through one; the same bytes
 * are also tried as the fields of one record, where no checksum stands in the way. What is accepted must be
 * printable, and come out again the same.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "helper/log/ledger.h"
#include "helper/log/recover.h"
#include "helper/log/scan.h"
#include "tests/fuzz/fuzz.h"

static void try_fields(struct kb_span fields)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(fields.size);
        struct kb_event event, again;
        char message[512];

        if (kb_event_get(fields, &event) < 0)
                return;
        kb_event_put(&w, &event);
        FUZZ_ASSERT(kb_writer_end(&w) ==
                    0); /* no longer than what it came from: unknown fields are left out */
        FUZZ_ASSERT(kb_event_get(KB_SPAN(w.data, w.size), &again) == 0);
        for (size_t i = 0; i < kb_field_table_size; i++) {
                const struct kb_field_info *field = &kb_field_table[i];

                FUZZ_ASSERT(strcmp(kb_event_text(&event, field), kb_event_text(&again, field)) == 0);
                FUZZ_ASSERT(kb_text_valid(kb_event_text(&event, field)));
                FUZZ_ASSERT(kb_event_number(&event, field) == kb_event_number(&again, field));
        }
        for (size_t i = 0; i < kb_event_table_size; i++) {
                event.id = kb_event_table[i].id;
                kb_event_message(&event, message, sizeof(message));
        }
}

static void try_file(const uint8_t *data, size_t size)
{
        _cleanup_close_ int fd = memfd_create("fuzz-log", MFD_CLOEXEC);
        _cleanup_ledger_ struct kb_ledger ledger = {};
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_log_recovered found;
        struct kb_log_damage damage;
        struct kb_record record;
        struct kb_span whole;
        int r;

        FUZZ_ASSERT(write(fd, data, size) == (ssize_t)size);
        r = kb_log_recover(fd, 1, &found, &damage);
        if (r == 0)
                FUZZ_ASSERT(found.tail.end + found.torn == size && found.tail.next > 1);
        else
                FUZZ_ASSERT(damage.offset <= size);
        FUZZ_ASSERT(kb_ledger_read(&ledger, fd) == 0);
        FUZZ_ASSERT(kb_scan_init(&scan, fd, 0) == 0);
        while (kb_scan_next(&scan, &record, &whole) > 0)
                FUZZ_ASSERT(whole.data + whole.size == record.fields.data + record.fields.size);
        FUZZ_ASSERT(scan.offset <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        try_fields(KB_SPAN(data, size));
        try_file(data, size);
        return 0;
}
