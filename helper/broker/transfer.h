/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory's document on its way out of a store, portion by portion. The store is distrusted: how many
 * portions there are, how large all of them are together, how often the document may change while it is read
 * and how long all of it may take are bounded here; what it says is judged by whoever asked.
 */

#include "helper/broker/store_client.h"

struct kb_transfer;

struct kb_transferred {
        bool unchanged; /* what the caller has is the newest: the rest is empty */
        uint64_t version;
        uint64_t not_after;
        struct kb_writer records; /* whoever is told may take it */
};

/* Called once, and not by kb_transfer_start(). transferred is NULL when error is not KB_E_OK: then text says
 * why. The transfer is gone when it returns. */
typedef void (*kb_transfer_done)(enum kb_error error, const char *text, struct kb_transferred *transferred,
                                 void *userdata);

struct kb_transfer_request {
        sd_event *event;
        const char *dir;   /* as in kb_store_request */
        const char *store; /* copied */
        uint64_t usec;     /* for each portion */
        uint64_t have;     /* version that the caller has, 0: none */
        kb_transfer_done done;
        void *userdata;
};

/* 0 or -ENOMEM. */
int kb_transfer_start(struct kb_transfer **ret, const struct kb_transfer_request *request) _must_check_;

/* done will not be called. */
void kb_transfer_cancel(struct kb_transfer *t);
