/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"

int cli_fail_reply(const struct cli *cli, int r)
{
        return cli_fail(
                cli, KB_E_INTERNAL,
                "the answer of keybearerd makes no sense (%s); is it of another version? systemctl restart "
                "keybearerd",
                strerror(-r));
}

static int fail_to_reach(const struct cli *cli, const char *path, int r)
{
        switch (-r) {
        case ENOENT:
        case ECONNREFUSED:
        case ECONNRESET:
        case ETIMEDOUT:
                return cli_fail(cli, KB_E_UNREACHABLE,
                                "keybearerd does not answer at %s (%s); systemctl status keybearerd", path,
                                strerror(-r));
        case EACCES:
        case EPERM:
                return cli_fail(cli, KB_E_DENIED, "%s is for root; try again with sudo", path);
        case EMSGSIZE:
                return cli_fail(cli, KB_E_BAD_REQUEST, "that is too much for one request");
        default:
                return cli_fail_reply(cli, r);
        }
}

int cli_ask(const struct cli *cli, struct kb_call *call, uint64_t usec)
{
        _cleanup_free_ char *path = cli_path(cli, KB_ROOT_SOCKET);
        int r = kb_call_run(call, path, kb_time_add(kb_now_monotonic(), usec));

        if (r < 0)
                return fail_to_reach(cli, path, r);
        if (call->status != KB_E_OK)
                return cli_fail(cli, call->status, "%s", call->text);
        return 0;
}
