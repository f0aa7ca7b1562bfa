/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that the local store reads from outside of itself, beside the wire: the first byte chooses the
 * parser. What is accepted can be written again and reads back the same.
 */
#include <string.h>

#include "helper/store/local/backup_stream.h"
#include "helper/store/local/ids.h"
#include "helper/store/local/people.h"
#include "helper/store/local/recovery_code.h"
#include "helper/store/local/role.h"
#include "helper/store/local/seal.h"
#include "tests/fuzz/fuzz.h"

/* --- a backup --- */

static void backup_header(struct kb_span input)
{
        _cleanup_writer_ struct kb_writer again = kb_writer_init(1024 * 1024);
        struct kb_backup_header header;
        struct kb_backup_slot slot;
        struct kb_list slots;
        struct kb_span element;
        ssize_t n = kb_backup_header_get(input, &header);

        if (n <= 0)
                return;
        FUZZ_ASSERT((size_t)n <= input.size);
        FUZZ_ASSERT(kb_backup_header_put(&again, &header) == 0);
        FUZZ_ASSERT(again.size == (size_t)n && memcmp(again.data, input.data, again.size) == 0);
        slots = header.slots;
        while (kb_list_next(&slots, &element))
                (void)!kb_backup_slot_get(element, &slot);
}

/* No bytes of a stranger open as a piece. */
static void backup_pieces(struct kb_span input)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(1024 * 1024);
        const uint8_t root[KB_KEY_SIZE] = {1};
        struct kb_backup_stream s;

        if (kb_backup_stream_init(&s, root, KB_SPAN_STRING("salt"), KB_SPAN_STRING("head")) == 0)
                FUZZ_ASSERT(kb_backup_stream_open(&s, input, &plain) <= 0);
}

/* --- what people type, and what systemd hands over --- */

static void recovery_code(struct kb_span input)
{
        uint8_t code[KB_RECOVERY_BYTES], again[KB_RECOVERY_BYTES];
        char text[KB_RECOVERY_TEXT];

        if (kb_recovery_parse(input, code) < 0)
                return;
        FUZZ_ASSERT(kb_recovery_print(code, text) == 0);
        FUZZ_ASSERT(kb_recovery_parse(KB_SPAN_STRING(text), again) == 0);
        FUZZ_ASSERT(memcmp(code, again, sizeof(code)) == 0);
}

static void slot_text(struct kb_span input)
{
        uint8_t seed[KB_SLOT_SEED_SIZE];
        char name[65], text[KB_SLOT_TEXT_MAX];

        if (kb_slot_parse_text(input, name, seed) < 0)
                return;
        kb_slot_text(name, seed, text);
        FUZZ_ASSERT(strlen(text) <= input.size && memcmp(text, input.data, strlen(text)) == 0);
}

static void slot_costs(struct kb_span input)
{
        _cleanup_writer_ struct kb_writer again = kb_writer_init(256);
        struct kb_slot_costs costs;

        if (kb_slot_costs_get(input, &costs) < 0)
                return;
        kb_slot_costs_put(&again, &costs);
        FUZZ_ASSERT(again.size == input.size && memcmp(again.data, input.data, again.size) == 0);
}

/* --- parameters and attributes: a list of pairs, as it comes off the wire --- */

static void parameters(struct kb_span input)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(4096);
        struct kb_object role = {.name = "fuzz"};
        struct kb_reader r = kb_reader_init(input);
        struct kb_list pairs = kb_read_list(&r, 128);
        struct kb_role_request request;
        struct kb_problem problem;

        if (kb_reader_end(&r) < 0)
                return;
        kb_list_add_text(&b, "domains", "example.org");
        kb_list_add_text(&b, "subdomains", "yes");
        kb_list_add_text(&b, "ips", "yes");
        kb_list_add_text(&b, "uris", "spiffe://*");
        role.pairs = kb_list_built(&b);
        if (kb_role_judge(&role, pairs, &request, &problem) == KB_E_OK) {
                FUZZ_ASSERT(request.ttl > 0 && request.ttl <= 72 * 3600);
                kb_role_request_done(&request);
        }
        (void)kb_attributes_check(kb_role_attributes, kb_role_attributes_size, pairs, &problem);
        (void)kb_attributes_check(kb_person_attributes.rows, kb_person_attributes.n, pairs, &problem);
        (void)kb_attributes_check(kb_group_attributes.rows, kb_group_attributes.n, pairs, &problem);
        (void)kb_attributes_check(kb_rule_attributes.rows, kb_rule_attributes.n, pairs, &problem);
}

static void texts(struct kb_span input)
{
        _cleanup_secret_ char *text = (char *)kb_secret_dup(input);
        struct kb_id_range range;
        uint64_t number;

        if (!text)
                return;
        if (kb_ids_parse_range(text, &range))
                FUZZ_ASSERT(kb_id_range_valid(range));
        (void)kb_parse_date(text, &number);
        (void)kb_duration_seconds(text);
}

static void (*const parsers[])(struct kb_span input) = {
        backup_header, backup_pieces, recovery_code, slot_text, slot_costs, parameters, texts,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size > 0)
                parsers[data[0] % KB_ARRAY_SIZE(parsers)](KB_SPAN(data + 1, size - 1));
        return 0;
}
