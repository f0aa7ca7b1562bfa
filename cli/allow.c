/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/allow.h"

#include <string.h>

#include "cli/files.h"

bool cli_unit_is_template(const char *unit)
{
        const char *at = strchr(unit, '@');

        return at && at[1] == '.' && !strchr(at + 2, '.');
}

/* NAME@.SUFFIX with something between '@' and '.'. */
static char *instance_of(const char *unit, const char *instance)
{
        int n = (int)strcspn(unit, "@");

        return cli_format("%.*s@%s%s", n, unit, instance, unit + n + 1);
}

char *cli_unit_example(const char *unit)
{
        return cli_unit_is_template(unit) ? instance_of(unit, "_any_") : cli_format("%s", unit);
}

bool cli_allows(const struct kb_credential *c, const char *unit)
{
        _cleanup_free_ char *example = cli_unit_example(unit);

        return kb_credential_allows_unit(c, example);
}

static char *path_of(const struct cli *cli, const char *credential, const char *unit)
{
        _cleanup_free_ char *folder = cli_path(cli, KB_CREDENTIALS_FOLDER);

        return cli_format("%s/%s.conf.d/50-%s.conf", folder, credential, unit);
}

int cli_allow(const struct cli *cli, const char *credential, const char *unit)
{
        _cleanup_free_ char *path = path_of(cli, credential, unit);
        _cleanup_free_ char *glob =
                cli_unit_is_template(unit) ? instance_of(unit, "*") : cli_format("%s", unit);
        _cleanup_free_ char *text =
                cli_format("# Written by `keybearer unit add --allow`.\n[Allow]\nUnit=%s\n", glob);
        int r = cli_file_write(path, text, strlen(text), 0644);

        return r < 0 ? -cli_fail(cli, KB_E_INTERNAL, "%s: %s", path, strerror(-r)) : r;
}

int cli_disallow(const struct cli *cli, const char *credential, const char *unit)
{
        _cleanup_free_ char *path = path_of(cli, credential, unit);

        return cli_file_remove(path);
}
