/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/crl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/broker/disk.h"
#include "helper/broker/store_client.h"
#include "helper/broker/stores.h"
#include "helper/server/process.h"

#define PKI_DIR KB_STATEDIR "/pki"

/* One list. Numbers are not kept over a restart: the first answer then is the whole list. */
struct crl {
        struct crl *next;
        struct kb_crls *owner;
        char store[KB_CREDENTIAL_NAME_MAX + 1];
        char ca[KB_CREDENTIAL_NAME_MAX + 1];
        uint64_t number; /* of the list that the disk has, or was given */
        struct kb_store_call *call;
};

struct kb_crls {
        struct kb_broker *broker;
        struct crl *crls;
        bool said_full; /* once: a store may say hello as often as it likes */
};

/* The disk tries again by itself; a list that there was no memory for has to be asked for again. */
static void on_written(int r, void *userdata)
{
        struct crl *crl = userdata;

        if (r < 0)
                crl->number = 0;
}

static void write_list(struct crl *crl, const struct kb_crl_reply *reply)
{
        char name[2 * KB_CREDENTIAL_NAME_MAX + 6];

        snprintf(name, sizeof(name), "%s.%s.crl", crl->store, crl->ca);
        crl->number = reply->number;
        kb_disk_write(
                crl->owner->broker->disk,
                &(struct kb_disk_file){.folder = PKI_DIR, .name = name, .mode = 0644, .content = reply->pem},
                on_written, crl);
}

static void on_crl(const struct kb_store_answer *answer, void *userdata)
{
        struct crl *crl = userdata;
        struct kb_crl_reply reply;

        crl->call = NULL;
        if (answer->error != KB_E_OK || kb_crl_reply_get(answer->fields, &reply) < 0) {
                kb_process_log(LOG_WARNING, "no revocation list of %s of store %s: %s", crl->ca, crl->store,
                               answer->error != KB_E_OK ? answer->text
                                                        : "the store's answer makes no sense");
                if (answer->error == KB_E_UNREACHABLE) /* somebody may be waiting to see a revocation */
                        kb_stores_greet_again(crl->owner->broker->stores, crl->store);
                return;
        }
        if (reply.pem.size > 0)
                write_list(crl, &reply);
}

/* Of this store so many lists, and no more: it is distrusted, and each is a file on our disk. */
static struct crl *add(struct kb_crls *c, const char *store, const char *ca, unsigned n)
{
        struct crl *crl = n < KB_CRLS_MAX ? calloc(1, sizeof(*crl)) : NULL;

        if (n >= KB_CRLS_MAX && !c->said_full)
                kb_process_log(LOG_WARNING,
                               "the revocation list of %s is not published: store %s has more than %u", ca,
                               store, KB_CRLS_MAX);
        c->said_full = c->said_full || n >= KB_CRLS_MAX;
        if (!crl)
                return NULL;
        crl->owner = c;
        snprintf(crl->store, sizeof(crl->store), "%s", store);
        snprintf(crl->ca, sizeof(crl->ca), "%s", ca);
        crl->next = c->crls;
        c->crls = crl;
        return crl;
}

static struct crl *find(struct kb_crls *c, const char *store, const char *ca)
{
        unsigned n = 0;

        for (struct crl *crl = c->crls; crl; crl = crl->next) {
                if (strcmp(crl->store, store) != 0)
                        continue;
                if (strcmp(crl->ca, ca) == 0)
                        return crl;
                n++;
        }
        return add(c, store, ca, n);
}

void kb_crl_refresh(struct kb_crls *c, const char *store, const char *ca)
{
        struct crl *crl;

        if (!kb_name_word_valid(ca)) /* it becomes the name of a file */
                return;
        crl = find(c, store, ca);
        if (!crl || crl->call ||
            kb_store_call_new(&crl->call, &(struct kb_store_request){
                                                  .event = c->broker->event,
                                                  .dir = KB_STORES_DIR,
                                                  .store = store,
                                                  .verb = KB_VERB_crl,
                                                  .usec = c->broker->config->store_usec,
                                                  .done = on_crl,
                                                  .userdata = crl,
                                          }) < 0)
                return;
        kb_crl_request_put(kb_store_call_writer(crl->call),
                           &(struct kb_crl_request){.name = ca, .have = crl->number});
        kb_store_call_start(crl->call);
}

int kb_crls_new(struct kb_crls **ret, struct kb_broker *broker)
{
        struct kb_crls *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->broker = broker;
        *ret = c;
        return 0;
}

void kb_crls_free(struct kb_crls *c)
{
        if (!c)
                return;
        while (c->crls) {
                struct crl *crl = c->crls;

                c->crls = crl->next;
                if (crl->call)
                        kb_store_call_cancel(crl->call);
                free(crl);
        }
        free(c);
}
