/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/verbs.h"

#include "common/macro.h"

#define ROW(name)                                                                                           \
        {                                                                                                   \
                KB_VERB_##name, kb_verb_##name                                                              \
        }

const struct kb_dispatch kb_verbs[] = {
        ROW(status),           ROW(admin),           ROW(anchor),       ROW(grant_list),  ROW(grant_revoke),
        ROW(credential_fetch), ROW(authenticate),    ROW(proceed),      ROW(account),     ROW(open_session),
        ROW(close_session),    ROW(change_password), ROW(session_list), ROW(session_end), ROW(recovery),
};
const size_t kb_verbs_count = KB_ARRAY_SIZE(kb_verbs);
