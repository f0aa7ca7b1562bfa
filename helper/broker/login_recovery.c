/* SPDX-License-Identifier: Apache-2.0 */
/* recovery: new one-time codes. They are on disk, as hashes, before anybody sees them. */
#include <errno.h>
#include <string.h>

#include "helper/broker/logins.h"
#include "helper/broker/verbs.h"

/* Codes on their way to the disk. Secret memory. */
struct making {
        struct kb_broker *broker;
        struct kb_request *request;
        struct kb_recovery before;
        unsigned n;
        char codes[KB_RECOVERY_MAX][KB_RECOVERY_CODE_SIZE];
};

static void reply_codes(const struct making *m)
{
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(4096);

        for (unsigned i = 0; i < m->n; i++)
                kb_list_add_string(&list, m->codes[i]);
        kb_request_reply(m->request, recovery, .codes = kb_list_built(&list));
}

static struct kb_event event_of(const struct making *m, uint32_t id)
{
        return (struct kb_event){
                .id = id,
                .subject = "root",
                .action = "recovery",
                .count = m->n,
                .request = kb_request_id(m->request),
                .pid = (uint64_t)kb_request_peer(m->request)->pid,
        };
}

static void on_kept(int r, void *userdata)
{
        _cleanup_secret_ struct making *m = userdata;
        struct kb_logins *logins = m->broker->logins;

        logins->codes_busy = false;
        if (r < 0) {
                kb_logins_put_back_recovery(logins, &m->before);
                kb_request_fail(m->request, KB_E_STORAGE,
                                "the codes cannot be kept: the old ones still hold");
                return;
        }
        kb_broker_note(m->broker, event_of(m, KB_EVENT_ADMIN_DONE));
        reply_codes(m);
}

/* Codes open every door, so the record that they were asked for is written before there are any. */
static void on_asked(int r, uint64_t sequence, void *userdata)
{
        _cleanup_secret_ struct making *m = userdata;
        struct kb_logins *logins = m->broker->logins;

        logins->codes_busy = false;
        if (!kb_login_released(m->broker, m->request, r))
                return;
        m->before = logins->recovery;
        if (kb_recovery_make(&logins->recovery, m->n, m->codes) < 0) {
                kb_request_fail(m->request, KB_E_INTERNAL, "there are no random numbers to be had");
                return;
        }
        kb_logins_save_recovery(logins, on_kept, take_ptr(m));
}

void kb_verb_recovery(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_logins *logins = broker->logins;
        _cleanup_secret_ struct making *m = kb_secret_alloc(sizeof(*m));
        struct kb_recovery_request asked;
        struct kb_event event;

        if (!m || logins->codes_busy) {
                kb_request_fail(request, KB_E_BUSY, m ? "a code is being used; try again" : "out of memory");
                return;
        }
        if (kb_recovery_request_get(kb_request_body(request), &asked) < 0 || asked.count < 1 ||
            asked.count > KB_RECOVERY_MAX) {
                kb_request_fail(request, KB_E_BAD_REQUEST, "the number of codes has to be 1 to %d",
                                KB_RECOVERY_MAX);
                return;
        }
        *m = (struct making){.broker = broker, .request = request, .n = asked.count};
        event = event_of(m, KB_EVENT_ADMIN_ASKED);
        logins->codes_busy = true;
        kb_login_record(broker, &event, on_asked, take_ptr(m));
}
