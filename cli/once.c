/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/once.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool cli_output_is_gone(void)
{
        struct pollfd out = {.fd = STDOUT_FILENO}; /* of a pipe POLLERR says that nobody reads it */

        return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLNVAL));
}

int cli_flush_once(void)
{
        bool failed = ferror(stdout);

        errno = 0;
        if (fflush(stdout) == 0 && !failed)
                return 0;
        return errno ? -errno : -EIO;
}

int cli_show_once(const char *name, json_object *value)
{
        bool is_array = json_object_is_type(value, json_type_array);
        size_t n = is_array ? json_object_array_length(value) : 1;

        printf("  %s:\n", name);
        for (size_t i = 0; i < n; i++)
                printf("      %s\n",
                       json_object_get_string(is_array ? json_object_array_get_idx(value, i) : value));
        return cli_flush_once();
}

int cli_fail_to_show(const struct cli *cli, int r, const char *what, const char *cure)
{
        return cli_fail(cli, KB_E_INTERNAL, "the %s could not be shown (%s) and is lost; %s", what,
                        strerror(-r), cure);
}
