/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: audit-log FOLDER
 *
 * Makes a log for test_audit.py: a checkpoint, three records, an anchor, one record more. Prints the first
 * key, then the anchor.
 */
#include <err.h>
#include <stdio.h>

#include "helper/log/commit.h"

#define T0 ((uint64_t)1700000000 * KB_USEC_PER_SEC)

static void write_one(struct kb_commit *c, const struct kb_event *event)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
        struct kb_log_entry entry = {.event = event->id, .time = T0 + event->pid * KB_USEC_PER_SEC};
        struct kb_event complete = *event;

        kb_event_complete(&complete);
        kb_event_put(&w, &complete);
        entry.fields = KB_SPAN(w.data, w.size);
        if (kb_writer_end(&w) < 0 || kb_commit_write(c, (struct kb_log_entry *[]){&entry}, 1) < 0)
                errx(1, "not written");
}

int main(int argc, char **argv)
{
        static const struct kb_event events[] = {
                {.id = KB_EVENT_GRANT_ISSUED,
                 .unit = "orders.service",
                 .credential = "db",
                 .lease = "pki/7",
                 .pid = 1},
                {.id = KB_EVENT_GRANT_REFUSED,
                 .unit = "web.service",
                 .credential = "db",
                 .reason = "denied",
                 .pid = 2},
                {.id = KB_EVENT_ACCOUNT_REFUSED,
                 .user = "ana",
                 .service = "sshd",
                 .reason = "denied",
                 .pid = 3},
                {.id = KB_EVENT_GRANT_REVOKED,
                 .unit = "orders.service",
                 .credential = "db",
                 .grant = 2,
                 .pid = 4},
        };
        char first_key[KB_FIRST_KEY_MAX], line[KB_ANCHOR_LINE_MAX];
        struct kb_log_recovered found;
        struct kb_log_damage damage;
        struct kb_anchor anchor;
        struct kb_commit c;

        if (argc != 2)
                errx(2, "usage: audit-log FOLDER");
        if (kb_log_create(argv[1], T0, first_key) < 0 ||
            kb_commit_open(&c, argv[1], &(struct kb_log_options){0}, T0, &found, &damage) < 0)
                errx(1, "not made");
        for (size_t i = 0; i < KB_ARRAY_SIZE(events); i++) {
                if (i == 3 && kb_commit_anchor(&c, T0, &anchor) < 0)
                        errx(1, "no anchor");
                write_one(&c, &events[i]);
        }
        kb_anchor_format(&anchor, line);
        kb_commit_done(&c);
        printf("%s\n%s\n", first_key, line);
        return 0;
}
