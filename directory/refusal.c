/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "directory/document.h"

static const struct {
        const char *word, *text;
} rows[] = {
#define REFUSAL(NAME, word, text) [KB_REFUSAL_##NAME] = {word, text},
#include "directory/refusal.def"
#undef REFUSAL
};

static const char *const kinds[] = {
        "record",
#define RECORD(number, name, prose, fields) [number] = #name,
#include "directory/records.def"
#undef RECORD
};

const char *kb_refusal_word(enum kb_refusal reason)
{
        return (size_t)reason < KB_ARRAY_SIZE(rows) ? rows[reason].word : "unknown";
}

const char *kb_refusal_text(enum kb_refusal reason)
{
        return (size_t)reason < KB_ARRAY_SIZE(rows) ? rows[reason].text : "unknown";
}

void kb_refused_format(const struct kb_refused *refused, char *buffer, size_t size)
{
        const char *kind = refused->kind < KB_ARRAY_SIZE(kinds) ? kinds[refused->kind] : kinds[0];
        const char *text = kb_refusal_text(refused->reason);

        if (refused->record == 0)
                snprintf(buffer, size, "directory: %s", text);
        else if (!refused->subject[0])
                snprintf(buffer, size, "record %u (%s): %s", refused->record, kind, text);
        else
                snprintf(buffer, size, "record %u (%s %s): %s", refused->record, kind, refused->subject,
                         text);
}
