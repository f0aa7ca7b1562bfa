/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The log read as a ledger: which grants live. It is a fold of the records since the last checkpoint, so it
 * cannot say anything else than the audit trail does. The broker reads it once at its start, to renew and
 * revoke what the process before it handed out; the writer reads it to begin a new file.
 */

#include "common/cleanup.h"
#include "helper/log/record.h"

/*
 * A grant that lives. `event` is its grant-issued with everything that later events changed (expires,
 * renewals, lease, version, state, reason and detail of the last failure), so it has all that is needed to
 * renew, revoke or list it: unit or user, invocation, credential, store, lease in clear.
 */
struct kb_live_grant {
        uint64_t id;
        struct kb_event event;
        struct kb_writer memory; /* what event points into */
};

struct kb_ledger {
        struct kb_live_grant **grants; /* rising id */
        size_t n;
};

void kb_ledger_done(struct kb_ledger *ledger);
#define _cleanup_ledger_ _cleanup_(kb_ledger_done)

/*
 * One event further. sequence is that of its record: the id of the grant, for grant-issued. An event about a
 * grant that is not there changes nothing. 0 or -ENOMEM.
 */
int kb_ledger_fold(struct kb_ledger *ledger, uint64_t sequence, const struct kb_event *event);

/* NULL when it does not live. */
const struct kb_live_grant *kb_ledger_find(const struct kb_ledger *ledger, uint64_t id);

/*
 * Folds a file of the log, which begins with a checkpoint; damaged places are stepped over. 0 or a negative
 * errno.
 */
int kb_ledger_read(struct kb_ledger *ledger, int fd);

/* Folds the newest file in this folder: 0, -ENOENT when there is no log, another negative errno. */
int kb_ledger_load(struct kb_ledger *ret, const char *dir);
