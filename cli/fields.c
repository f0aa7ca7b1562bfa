/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fields.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/output.h"
#include "common/clock.h"
#include "helper/config/duration.h"

static int print_field(const struct cli *cli, struct kb_span value)
{
        if (cli->given[CLI_OPTION_json]) {
                json_object *object = json_object_new_object();

                json_object_object_add(
                        object, "value",
                        json_object_new_string_len((const char *)value.data, (int)value.size));
                return cli_object_print(cli, object);
        }
        fwrite(value.data, 1, value.size, stdout);
        if (isatty(STDOUT_FILENO) && (value.size == 0 || value.data[value.size - 1] != '\n'))
                putchar('\n');
        return 0;
}

int cli_print_fields(const struct cli *cli, struct kb_list fields, const char *only, uint64_t ttl)
{
        json_object *object;
        const char *name;
        struct kb_span value;

        if (only && !kb_list_find(fields, only, &value))
                return cli_fail(cli, KB_E_NOT_FOUND, "it has no field %s", only);
        if (only)
                return print_field(cli, value);
        object = json_object_new_object();
        while (kb_list_next_pair(&fields, &name, &value))
                json_object_object_add(
                        object, name, json_object_new_string_len((const char *)value.data, (int)value.size));
        if (ttl > 0 && !cli->given[CLI_OPTION_json]) {
                char length[KB_DURATION_TEXT_MAX];

                kb_duration_format(ttl * KB_USEC_PER_SEC, 2, length);
                cli_note(cli, "a lease of %s, revoked already", length);
        }
        return cli_object_print(cli, object);
}
