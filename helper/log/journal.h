/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records as entries of journald, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), over a socket
 * of our own that never blocks. libsystemd's sd_journal_send() blocks for ever on a journald that is
 * stopped, and calls it a success when there is none.
 *
 * Each entry has MESSAGE, MESSAGE_ID, PRIORITY, SYSLOG_IDENTIFIER=keybearer, KEYBEARER_EVENT and _OUTCOME,
 * _TIME (when it happened: it may come late), _LOG and _SEQ, and the fields of fields.def. One that comes
 * twice has the same _LOG and _SEQ: take one of each. One without _SEQ was told while the log could not be
 * written; its record, if there will be one, comes later with its number and says in _LATE that it did.
 */

#include "helper/log/publish.h"

#define KB_JOURNAL_SOCKET "/run/systemd/journal/socket"
#define KB_JOURNAL_MAX    (2 * 16384)

/* Appends the entry; sequence 0: it has none yet. Errors stick to the writer. */
void kb_journal_encode(struct kb_writer *w, const struct kb_log_identity *identity, uint64_t sequence,
                       const struct kb_event *event);

/* A socket to send with: a descriptor or a negative errno. */
int kb_journal_open(void);

/*
 * Hands one entry over. 0; -EAGAIN when journald does not keep up, -ENOENT or -ECONNREFUSED when there is
 * none: try later; another negative errno. What is too big for a datagram goes in a sealed memfd.
 */
int kb_journal_send(int fd, const char *path, struct kb_span entry);
