/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/once.h"
#include "cli/output.h"

int cli_make_recovery_codes(const struct cli *cli, uint32_t count, json_object **ret_codes)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_recovery);
        struct kb_recovery_reply reply;
        json_object *codes;
        const char *code;
        int r;

        kb_recovery_request_put(&call.request, &(struct kb_recovery_request){.count = count});
        r = cli_ask(cli, &call, CLI_ASK_USEC);
        if (r != 0)
                return r;
        r = kb_recovery_reply_get(call.reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        codes = json_object_new_array();
        while (kb_list_next_string(&reply.codes, &code))
                json_object_array_add(codes, json_object_new_string(code));
        *ret_codes = codes;
        return 0;
}

int cli_run_recovery(struct cli *cli)
{
        const char *text = cli->arguments[0] ? cli->arguments[0] : KB_STRINGIFY(CLI_RECOVERY_CODES);
        json_object *codes;
        char *end;
        long count = strtol(text, &end, 10);
        int r;

        if (cli_output_is_gone())
                return cli_fail(cli, KB_E_BAD_REQUEST, "nobody reads the output: the old codes stay");
        if (*end || count < 1 || count > CLI_RECOVERY_MAX)
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is no number from 1 to %d", text,
                                CLI_RECOVERY_MAX);
        r = cli_make_recovery_codes(cli, (uint32_t)count, &codes);
        if (r != 0)
                return r;
        if (cli->given[CLI_OPTION_json])
                cli_object_print(cli, json_object_get(codes));
        for (size_t i = 0; !cli->given[CLI_OPTION_json] && i < json_object_array_length(codes); i++)
                puts(json_object_get_string(json_object_array_get_idx(codes, i)));
        json_object_put(codes);
        r = cli_flush_once();
        if (r < 0)
                return cli_fail_to_show(cli, r, "new codes", "the old ones are void too; run this again");
        cli_note(cli, "keep them away from this host: nothing here can show them again, and the ones before "
                      "are void");
        return 0;
}
