/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/broker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "pam_module/settings.h"

/* Why there is no answer. Only what happened on the way counts as "away"; the rest is somebody's fault. */
static uint32_t explain(struct kb_login *login, const char *path, int r)
{
        char buffer[128];
        const char *what = strerror_r(-r, buffer, sizeof(buffer));

        switch (-r) {
        case EBADMSG:
        case EPROTONOSUPPORT:
                return kb_broker_garbled(login);
        case EMSGSIZE:
                return kb_login_refuse(login, KB_E_BAD_REQUEST, "request or answer is too long");
        case ENOMEM:
                return kb_login_refuse(login, KB_V_NO_MEMORY, "%s", what);
        default:
                return kb_login_refuse(login, KB_E_UNREACHABLE, "%s: %s", path, what);
        }
}

/* What the broker refused. Its numbers must not be able to pass for verdicts of our own. */
static uint32_t take_refusal(struct kb_login *login, const struct kb_call *call)
{
        if (call->status >= KB_V_FOREIGN)
                return kb_broker_garbled(login);
        kb_login_refuse(login, call->status, "%s", call->text);
        login->for_person = true;
        return call->status;
}

uint32_t kb_broker_ask(struct kb_login *login, struct kb_call *call)
{
        struct kb_pam_settings settings = kb_pam_settings();
        const char *path = geteuid() == 0 ? settings.root_socket : settings.auth_socket;
        uint64_t begin = kb_now_monotonic(), used;
        int r = kb_call_run(call, path, kb_time_add(begin, login->left));

        used = kb_now_monotonic() - begin;
        login->left = used < login->left ? login->left - used : 0;
        if (r < 0)
                return explain(login, path, r);
        return call->status == KB_E_OK ? KB_E_OK : take_refusal(login, call);
}

uint32_t kb_broker_garbled(struct kb_login *login)
{
        return kb_login_refuse(login, KB_E_INTERNAL, "the broker's answer makes no sense");
}
