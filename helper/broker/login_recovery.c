/* SPDX-License-Identifier: Apache-2.0 */
/* recovery: new one-time codes. They are on disk, as hashes, before anybody sees them. */
#include <string.h>

#include "helper/broker/logins.h"
#include "helper/broker/verbs.h"

static void reply_codes(struct kb_request *request, char codes[][KB_RECOVERY_CODE_SIZE], unsigned n)
{
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(4096);

        for (unsigned i = 0; i < n; i++)
                kb_list_add_string(&list, codes[i]);
        kb_request_reply(request, recovery, .codes = kb_list_built(&list));
}

void kb_verb_recovery(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_recovery *recovery = &broker->logins->recovery, before = *recovery;
        char codes[KB_RECOVERY_MAX][KB_RECOVERY_CODE_SIZE];
        struct kb_recovery_request asked;

        if (kb_recovery_request_get(kb_request_body(request), &asked) < 0 ||
            kb_recovery_make(recovery, asked.count, codes) < 0) {
                kb_request_fail(request, KB_E_BAD_REQUEST, "the number of codes has to be 1 to %d",
                                KB_RECOVERY_MAX);
                return;
        }
        if (kb_logins_save_recovery(broker->logins) < 0) {
                *recovery = before;
                kb_request_fail(request, KB_E_STORAGE, "the codes cannot be kept: the old ones still hold");
        } else {
                kb_broker_note(broker, (struct kb_event){
                                               .id = KB_EVENT_ADMIN_DONE,
                                               .subject = "root",
                                               .action = "recovery",
                                               .count = asked.count,
                                               .request = kb_request_id(request),
                                               .pid = (uint64_t)kb_request_peer(request)->pid,
                                       });
                reply_codes(request, codes, asked.count);
        }
        kb_wipe(codes, sizeof(codes));
        kb_wipe(&before, sizeof(before));
}
