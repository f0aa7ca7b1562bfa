/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/names.h"
#include "directory/document.h"

#define PARTS_MAX    1024 /* of at most 1 MiB each, far more than the largest document has */
#define RESTARTS_MAX 5
#define TOTAL_USEC   (120 * KB_USEC_PER_SEC)

struct kb_transfer {
        struct kb_transfer_request is;
        char store[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_store_call *call;
        struct kb_transferred so_far;
        uint64_t deadline; /* monotonic */
        uint32_t part, parts;
        unsigned restarts;
};

static void transfer_free(struct kb_transfer *t)
{
        kb_writer_done(&t->so_far.records);
        free(t);
}

static void end(struct kb_transfer *t, enum kb_error error, const char *text)
{
        t->is.done(error, text, error == KB_E_OK ? &t->so_far : NULL, t->is.userdata);
        transfer_free(t);
}

static void on_part(const struct kb_store_answer *answer, void *userdata);

static int ask_part(struct kb_transfer *t, uint64_t now)
{
        uint64_t left = t->deadline - now;
        int r = kb_store_call_new(&t->call, &(struct kb_store_request){
                                                    .event = t->is.event,
                                                    .dir = t->is.dir,
                                                    .store = t->is.store,
                                                    .verb = KB_VERB_directory,
                                                    .usec = left < t->is.usec ? left : t->is.usec,
                                                    .done = on_part,
                                                    .userdata = t,
                                            });

        if (r < 0)
                return r;
        kb_directory_request_put(kb_store_call_writer(t->call),
                                 &(struct kb_directory_request){.have = t->is.have, .part = t->part});
        kb_store_call_start(t->call);
        return 0;
}

static void begin(struct kb_transfer *t)
{
        kb_writer_done(&t->so_far.records);
        t->so_far = (struct kb_transferred){.records = kb_writer_init(KB_DIRECTORY_SIZE_MAX)};
        t->part = t->parts = 0;
}

/* Takes one portion. What is wrong with it, NULL when nothing is. */
static const char *take_part(struct kb_transfer *t, const struct kb_directory_reply *reply)
{
        if (t->part == 0)
                t->parts = reply->parts;
        if (reply->parts == 0 || reply->parts > PARTS_MAX || reply->parts != t->parts)
                return "the document has an impossible number of portions";
        if (reply->records.size == 0 && t->parts > 1)
                return "a portion of the document is empty";
        t->so_far.version = reply->version;
        t->so_far.not_after = reply->not_after;
        kb_write_raw(&t->so_far.records, reply->records);
        return kb_writer_end(&t->so_far.records) < 0 ? "the document is too large, or memory too short"
                                                     : NULL;
}

static void next(struct kb_transfer *t)
{
        uint64_t now = kb_now_monotonic();

        if (now >= t->deadline)
                end(t, KB_E_UNREACHABLE, "the store takes too long over the document");
        else if (ask_part(t, now) < 0)
                end(t, KB_E_BUSY, "out of memory");
}

static void on_changed_meanwhile(struct kb_transfer *t)
{
        if (++t->restarts > RESTARTS_MAX) {
                end(t, KB_E_CONFLICT, "the document changes faster than it can be read");
                return;
        }
        begin(t);
        next(t);
}

static void on_document(struct kb_transfer *t, const struct kb_directory_reply *reply)
{
        const char *wrong;

        if (reply->unchanged && t->part == 0 && t->is.have > 0) {
                t->so_far.unchanged = true;
                end(t, KB_E_OK, "");
                return;
        }
        if (t->part > 0 && (reply->unchanged || reply->version != t->so_far.version)) {
                on_changed_meanwhile(t);
                return;
        }
        wrong = take_part(t, reply);
        if (wrong)
                end(t, KB_E_BAD_REQUEST, wrong);
        else if (++t->part < t->parts)
                next(t);
        else
                end(t, KB_E_OK, "");
}

static void on_part(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_transfer *t = userdata;
        struct kb_directory_reply reply;

        t->call = NULL;
        if (answer->error != KB_E_OK)
                end(t, answer->error, answer->text);
        else if (kb_directory_reply_get(answer->fields, &reply) < 0)
                end(t, KB_E_INTERNAL, "the store's answer makes no sense");
        else
                on_document(t, &reply);
}

int kb_transfer_start(struct kb_transfer **ret, const struct kb_transfer_request *request)
{
        struct kb_transfer *t = calloc(1, sizeof(*t));
        uint64_t now = kb_now_monotonic();
        int r;

        if (!t)
                return -ENOMEM;
        t->is = *request;
        snprintf(t->store, sizeof(t->store), "%s", request->store);
        t->is.store = t->store;
        t->deadline = now + TOTAL_USEC;
        begin(t);
        r = ask_part(t, now);
        if (r < 0) {
                transfer_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

void kb_transfer_cancel(struct kb_transfer *t)
{
        kb_store_call_cancel(t->call);
        transfer_free(t);
}
