/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One request to the broker. Root's processes use root.sock, all others auth.sock, so that a crowd on one
 * cannot starve the other. It is the effective uid that counts: sudo and su run with their caller's real
 * one.
 */

#include "common/client.h"
#include "pam_module/login.h"

/*
 * Runs the call and takes what it lasted off login->left. KB_E_OK: call->reply has the fields. Else the
 * verdict, with the reason said. An answer that makes no sense is KB_E_INTERNAL, silence is
 * KB_E_UNREACHABLE.
 */
uint32_t kb_broker_ask(struct kb_login *login, struct kb_call *call);

/* For a reply whose fields do not decode. */
uint32_t kb_broker_garbled(struct kb_login *login);

/* Asks, and takes the reply to a verb (its name in protocol.def) apart into *ret_reply. */
#define kb_broker_get(login, call, verb, ret_reply)                                                         \
        ({                                                                                                  \
                uint32_t verdict_ = kb_broker_ask((login), (call));                                         \
                                                                                                            \
                if (verdict_ == KB_E_OK && kb_##verb##_reply_get((call)->reply.body, (ret_reply)) < 0)      \
                        verdict_ = kb_broker_garbled(login);                                                \
                verdict_;                                                                                   \
        })
