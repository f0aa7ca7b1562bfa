/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/confirm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define SEQUENCE "KEYBEARER_SEQ="

static int add_matches(sd_journal *journal, const char *log_id)
{
        char match[64];
        int r;

        snprintf(match, sizeof(match), "KEYBEARER_LOG=%s", log_id);
        r = sd_journal_add_match(journal, match, 0);
        if (r < 0)
                return r;
        snprintf(match, sizeof(match), "_UID=%u", (unsigned)geteuid());
        return sd_journal_add_match(journal, match, 0);
}

static int open_journal(void **ret, const char *log_id, const char *cursor)
{
        sd_journal *journal;
        int r;

        r = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        if (r < 0)
                return r;
        r = sd_journal_get_fd(journal); /* from now on it watches for new files */
        if (r >= 0)
                r = add_matches(journal, log_id);
        if (r >= 0)
                r = cursor[0] ? sd_journal_seek_cursor(journal, cursor) : sd_journal_seek_head(journal);
        if (r < 0) {
                sd_journal_close(journal);
                return r;
        }
        *ret = journal;
        return 0;
}

/* 0 for what is no number. */
static uint64_t sequence_of(sd_journal *journal)
{
        const void *data;
        size_t size;
        uint64_t value = 0;

        if (sd_journal_get_data(journal, "KEYBEARER_SEQ", &data, &size) < 0)
                return 0;
        for (size_t i = strlen(SEQUENCE); i < size; i++) {
                unsigned digit = (unsigned)((const char *)data)[i] - '0';

                if (digit > 9 || value > UINT64_MAX / 10 - 1)
                        return 0;
                value = value * 10 + digit;
        }
        return value;
}

static int read_journal(void *context, kb_forward_seen seen, void *userdata,
                        char cursor[KB_FORWARD_CURSOR_MAX])
{
        _cleanup_free_ char *here = NULL;
        sd_journal *journal = context;
        bool any = false;
        int r;

        r = sd_journal_process(journal);
        if (r < 0)
                return r;
        while ((r = sd_journal_next(journal)) > 0) {
                seen(sequence_of(journal), userdata);
                any = true;
        }
        if (r == 0 && any && sd_journal_get_cursor(journal, &here) == 0)
                snprintf(cursor, KB_FORWARD_CURSOR_MAX, "%s", here);
        return r;
}

static void close_journal(void *context)
{
        sd_journal_close(context);
}

const struct kb_confirmer kb_confirm_journal = {open_journal, read_journal, close_journal};
