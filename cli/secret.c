/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer secret put and get: values come from where nobody looks, and go where they were asked for. */
#include <string.h>

#include "cli/admin.h"
#include "cli/fields.h"
#include "cli/input.h"
#include "cli/output.h"

/* FIELD is asked for, FIELD@FILE is read. A value on the command line is refused: every process could read
 * it. */
static int add_field(struct cli *cli, struct cli_admin *a, const char *argument)
{
        size_t n = strcspn(argument, "@=");
        _cleanup_free_ char *field = cli_format("%.*s", (int)n, argument),
                            *name = cli_format("field.%s", field);
        _cleanup_secret_ char *typed = NULL;
        _cleanup_secret_ uint8_t *bytes = NULL;
        size_t size = 0;
        int r;

        if (argument[n] == '=')
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "a value is never given here: every process could read it; write %s alone "
                                "to be asked, or "
                                "%s@FILE",
                                field, field);
        if (!kb_name_word_valid(field))
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is no name of a field", field);
        r = argument[n] == '@' ? cli_read_file(cli, argument + n + 1, &bytes, &size)
                               : cli_read_secret(cli, field, true, &typed);
        if (r != 0)
                return r;
        kb_list_add_pair(&a->fields, name, typed ? KB_SPAN_STRING(typed) : KB_SPAN(bytes, size));
        return 0;
}

int cli_run_secret_put(struct cli *cli)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init("secret", "put", cli->arguments[0]);
        _cleanup_call_ struct kb_call call = {0};
        _cleanup_rows_ struct cli_rows printed = cli_rows_init();
        struct kb_list rows;
        int r = 0;

        if (cli->value[CLI_OPTION_cas])
                kb_list_add_text(&a.fields, "cas", cli->value[CLI_OPTION_cas]);
        for (int i = 1; r == 0 && i < cli->n_arguments; i++)
                r = add_field(cli, &a, cli->arguments[i]);
        if (r == 0)
                r = cli_admin_ask(cli, &a, &call, &rows);
        if (r != 0)
                return r;
        cli_rows_add(&printed, rows);
        return cli_rows_print(cli, &printed, false);
}

int cli_run_secret_get(struct cli *cli)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init("secret", "get", cli->arguments[0]);
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows, fields;
        int r;

        if (cli->value[CLI_OPTION_number])
                kb_list_add_text(&a.fields, "version", cli->value[CLI_OPTION_number]);
        r = cli_admin_ask(cli, &a, &call, &rows);
        if (r != 0)
                return r;
        if (!cli_admin_next_row(&rows, &fields))
                return cli_fail(cli, KB_E_NOT_FOUND, "there is nothing at %s", cli->arguments[0]);
        return cli_print_fields(cli, fields, cli->arguments[1], 0);
}
