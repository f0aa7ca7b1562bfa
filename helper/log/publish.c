/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/publish.h"

#include <string.h>

enum {
#define IS_text                                                0
#define IS_number                                              0
#define IS_time                                                0
#define IS_secret                                              1
#define FIELD(number, name, member, kind, max, journal, prose) +IS_##kind
        N_SECRETS =
#include "helper/log/fields.def"
#undef FIELD
};
_Static_assert(N_SECRETS <= KB_PUBLISH_SECRETS, "more secret fields than fingerprints");

void kb_event_publish(struct kb_published *ret, const struct kb_log_identity *identity, uint64_t sequence,
                      const struct kb_event *event)
{
        size_t n = 0;

        *ret = (struct kb_published){.event = *event};
        kb_event_complete(&ret->event);
        if (event->id == KB_EVENT_GRANT_ISSUED && event->grant == 0)
                ret->event.grant = sequence;
        for (size_t i = 0; i < kb_field_table_size; i++) {
                const struct kb_field_info *field = &kb_field_table[i];
                const char *fingerprint = ret->fingerprints[n];

                if (field->kind != KB_FIELD_secret)
                        continue;
                kb_fingerprint_text(identity, kb_event_text(event, field), ret->fingerprints[n++]);
                memcpy((char *)&ret->event + field->offset, &fingerprint, sizeof(fingerprint));
        }
}
