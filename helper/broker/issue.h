/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From "somebody wants this credential" to "here it is". The grant is found or made, the store is asked, the
 * log has the record on disk, and only then the values are let out. Whoever wants the same grant meanwhile
 * waits for the same answer, so that one start of a unit makes one lease however often systemd asks.
 */

#include "helper/broker/broker.h"
#include "helper/grant/fields.h"

struct kb_issue;

enum kb_consumer {
        KB_CONSUMER_UNIT,
        KB_CONSUMER_USER,
        KB_CONSUMER_TRIAL, /* an administrator who tries a definition: as long as that takes */
};

struct kb_issue_request {
        enum kb_consumer consumer;
        const char *name;     /* unit, or user */
        const char *instance; /* invocation id, or uid; of a trial its request id */
        const struct kb_credential *credential;
        const char *request; /* id for log and journal */
};

struct kb_issued {
        enum kb_error error;
        const char *reason;             /* what went wrong, for log and journal; "" when nothing did */
        const struct kb_fields *fields; /* live until the callback returns, as is */
        const struct kb_credential *definition; /* how they are to be written; NULL without fields */
};

typedef void (*kb_issue_done)(const struct kb_issued *issued, void *userdata);

/*
 * Calls done exactly once: before it returns when the answer is known already (then *ret is NULL), else
 * later. Whether the consumer may have the credential was the caller's to decide, and so it is to log a
 * refusal.
 */
void kb_issue_start(struct kb_broker *broker, const struct kb_issue_request *request, kb_issue_done done,
                    void *userdata, struct kb_issue **ret);

/* The caller is gone: done will not be called. What is issued meanwhile is a grant of the consumer all the
 * same. */
void kb_issue_cancel(struct kb_issue *issue); /* NULL: nothing to do */
