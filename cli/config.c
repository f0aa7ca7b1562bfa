/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer config: what the files of settings say, and what is wrong with them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/settings.h"

int cli_run_config_check(struct cli *cli)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *path = cli_path(cli, KB_CONFIG_FILE);
        _cleanup_free_ char *folder = cli_path(cli, KB_CREDENTIALS_FOLDER);
        const struct kb_config_trust trust = cli_trust(cli);
        int r = kb_config_new(path, &trust, &problems, &config);

        if (r == -EBADMSG) /* the credentials' own mistakes show without their defaults too */
                r = kb_config_new("/nonexistent", &trust, &problems, &config);
        if (r == 0)
                r = kb_credentials_new(folder, &trust, config, true, &problems, &all);
        if (r < 0 && r != -EBADMSG)
                return cli_fail(cli, KB_E_INTERNAL, "the settings cannot be read: %s", strerror(-r));
        if (kb_problems_any(&problems))
                return cli_fail_problems(cli, &problems);
        return cli_done(cli, "%s and %zu credentials are well formed", path, all->count);
}

static void add_key(json_object *sections, const struct kb_config_table *table, const void *object, size_t i)
{
        const struct kb_config_key *key = &table->keys[i];
        struct kb_config_origin origin = kb_config_origin(object, i);
        _cleanup_free_ char *value = kb_config_value(table, object, i);
        json_object *section = json_object_object_get(sections, key->section),
                    *row = json_object_new_object();

        if (!section) {
                section = json_object_new_object();
                json_object_object_add(sections, key->section, section);
        }
        cli_row_text(row, "value", value ? value : "");
        if (origin.file) {
                cli_row_text(row, "file", origin.file);
                cli_row_number(row, "line", origin.line);
        }
        json_object_object_add(section, key->name, row);
}

/* As it can be read again. A default is a comment, as in the files that systemd installs. */
static void print_key(const struct kb_config_table *table, const void *object, size_t i)
{
        const struct kb_config_key *key = &table->keys[i];
        struct kb_config_origin origin = kb_config_origin(object, i);
        _cleanup_free_ char *value = kb_config_value(table, object, i);
        bool family = key->kind == KB_VALUE_pairs;
        char *rest = value, *line;

        if (!value || !*value)
                return;
        if (!origin.file) {
                printf("#%s=%s\n", key->name, value);
                return;
        }
        printf("# %s:%u\n", origin.file, origin.line);
        if (family)
                while ((line = strsep(&rest, "\n")))
                        printf("%s%s\n", key->name, line);
        else {
                printf("%s=", key->name);
                for (bool first = true; (line = strsep(&rest, "\n")); first = false)
                        printf("%s%s\n", first ? "" : "  ", line);
        }
}

int cli_print_settings(const struct cli *cli, const struct kb_config_table *table, const void *object)
{
        const char *section = NULL;

        if (cli->given[CLI_OPTION_json]) {
                json_object *sections = json_object_new_object();

                for (size_t i = 0; i < table->n_keys; i++)
                        add_key(sections, table, object, i);
                return cli_object_print(cli, sections);
        }
        for (size_t i = 0; i < table->n_keys; i++) {
                if (!section || strcmp(section, table->keys[i].section) != 0) {
                        printf("%s[%s]\n", section ? "\n" : "", table->keys[i].section);
                        section = table->keys[i].section;
                }
                print_key(table, object, i);
        }
        return 0;
}

int cli_run_config_show(struct cli *cli)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        int r = cli_load_config(cli, &config);

        return r != 0 ? r : cli_print_settings(cli, &kb_config_table, config);
}
