/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/directory.h"

#include <stdlib.h>

#include "common/clock.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/document.h"
#include "helper/store/local/service.h"

#define RESTARTS_MAX 3 /* after so many changes while it was made, it is made in one go */

/* Somebody who waits for the document. */
struct asking {
        struct asking *next;
        struct kb_request *request;
        uint32_t part;
};

/* A document that is being made. */
struct kb_making {
        struct kb_service *service;
        struct kb_document *document;
        sd_event_source *step;
        unsigned restarts;
        struct asking *asking;
};

static void answer(const struct kb_service *s, struct kb_request *request, uint32_t part)
{
        const struct kb_document *d = s->document;

        if (part >= kb_document_parts(d))
                kb_request_fail(request, KB_E_BAD_REQUEST, "there are %u portions", kb_document_parts(d));
        else
                kb_request_reply(request, directory, .version = kb_document_version(d),
                                 .parts = kb_document_parts(d), .not_after = KB_TIME_NEVER,
                                 .records = kb_document_part(d, part));
}

static void fail(struct kb_service *s, struct kb_request *request, int r)
{
        struct kb_problem problem;

        kb_damage_problem(s->local, &problem, r, "reading the directory");
        kb_service_fail(request, &problem);
}

/* --- making it --- */

static struct kb_request *next_request(struct kb_making *m, uint32_t *ret_part)
{
        struct asking *a = m->asking;
        struct kb_request *request;

        if (!a)
                return NULL;
        m->asking = a->next;
        request = a->request;
        *ret_part = a->part;
        free(a);
        return request;
}

static void free_making(struct kb_making *m)
{
        sd_event_source_disable_unref(m->step);
        kb_document_free(m->document);
        free(m);
}

/* Everybody who waits is answered; r says how it went. */
static void end(struct kb_making *m, int r)
{
        struct kb_service *s = m->service;
        struct kb_request *request;
        uint32_t part;

        s->making = NULL;
        if (r >= 0) {
                kb_document_free(s->document);
                s->document = take_ptr(m->document);
        }
        while ((request = next_request(m, &part)))
                if (r < 0)
                        fail(s, request, r);
                else
                        answer(s, request, part);
        free_making(m);
}

/* The last step is made. Whether it is whole: the people may have changed under it. */
static int finish(struct kb_making *m)
{
        struct kb_local *l = m->service->local;
        uint64_t version;
        int r = kb_local_directory_version(l, &version);

        if (r < 0 || version == kb_document_version(m->document))
                return r;
        kb_document_free(take_ptr(m->document));
        if (++m->restarts > RESTARTS_MAX)
                return kb_document_make(l, &m->document);
        r = kb_document_begin(l, &m->document);
        return r < 0 ? r : 1;
}

static int on_step(sd_event_source *source, void *userdata);

/* A source that stays would come before all others each time: the one that waits longest is next. */
static int step_later(struct kb_making *m)
{
        m->step = sd_event_source_disable_unref(m->step);
        return sd_event_add_defer(m->service->event, &m->step, on_step, m);
}

static int on_step(sd_event_source *source, void *userdata)
{
        struct kb_making *m = userdata;
        struct kb_service *s = m->service;
        struct kb_request *request;
        uint32_t part;
        int r;

        if (s->local->state != KB_LOCAL_OPEN) { /* it was sealed or closed meanwhile: that is the answer */
                s->making = NULL;
                while ((request = next_request(m, &part)))
                        if (kb_service_ready(s, request))
                                kb_request_fail(request, KB_E_BUSY, "the store was closed for a moment");
                free_making(m);
                return 0;
        }
        r = kb_document_step(s->local, m->document);
        if (r == 0)
                r = finish(m);
        if (r > 0) {
                r = step_later(m);
                if (r >= 0)
                        return 0;
        }
        end(m, r);
        return 0;
}

static int making_new(struct kb_service *s)
{
        struct kb_making *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->service = s;
        r = kb_document_begin(s->local, &m->document);
        if (r >= 0)
                r = step_later(m);
        if (r < 0) {
                free_making(m);
                return r;
        }
        s->making = m;
        return 0;
}

void kb_making_free(struct kb_making *m)
{
        struct kb_request *request;
        uint32_t part;

        if (!m)
                return;
        while ((request = next_request(m, &part)))
                kb_request_fail(request, KB_E_UNREACHABLE, "the store stops");
        free_making(m);
}

/* --- asking for it --- */

static int wait_for_it(struct kb_service *s, struct kb_request *request, uint32_t part)
{
        struct asking *a;
        int r = s->making ? 0 : making_new(s);

        if (r < 0)
                return r;
        a = malloc(sizeof(*a));
        if (!a)
                return -ENOMEM;
        *a = (struct asking){.next = s->making->asking, .request = request, .part = part};
        s->making->asking = a;
        return 0;
}

void kb_local_directory(struct kb_request *request, void *context)
{
        struct kb_directory_request q;
        struct kb_service *s = context;
        uint64_t version;
        int r;

        if (!kb_service_ready(s, request) || !kb_request_decode(request, directory, &q))
                return;
        r = kb_local_directory_version(s->local, &version);
        if (r >= 0 && q.have == version) {
                kb_request_reply(request, directory, .version = version, .unchanged = true,
                                 .not_after = KB_TIME_NEVER);
                return;
        }
        if (r >= 0 && s->document && kb_document_version(s->document) == version) {
                answer(s, request, q.part);
                return;
        }
        if (r >= 0)
                r = wait_for_it(s, request, q.part);
        if (r < 0)
                fail(s, request, r);
}
