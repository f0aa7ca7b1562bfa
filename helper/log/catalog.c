/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the message catalog (systemd.io/CATALOG) from events.def: what `journalctl -x` adds. */
#include <stdio.h>

#include "helper/log/event.h"

int main(void)
{
        puts("# Made from helper/log/events.def.");
        for (size_t i = 0; i < kb_event_table_size; i++) {
                const struct kb_event_info *e = &kb_event_table[i];

                printf("\n-- %s\nSubject: %s\nDefined-By: Keybearer\nDocumentation: "
                       "man:keybearer-log(5)\n\n",
                       e->message_id, e->title);
                /* only fields that every entry has: journalctl leaves others as they stand here */
                printf("Record @KEYBEARER_SEQ@ of the log, about @KEYBEARER_SUBJECT@: "
                       "@KEYBEARER_OUTCOME@.\n\n%s\n",
                       e->text);
        }
        return ferror(stdout) || fflush(stdout) != 0;
}
