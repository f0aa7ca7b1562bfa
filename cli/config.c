/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer config: what the files of settings say, and what is wrong with them. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/settings.h"
#include "common/names.h"
#include "helper/config/store_vault.h"

/* Stores' files may be read by root and their own program. */
static struct kb_config_trust trust_of_stores(const struct cli *cli)
{
        struct kb_config_trust trust = cli_trust(cli);
        const struct group *group = cli->value[CLI_OPTION_root] ? NULL : getgrnam(KB_VAULT_USER);

        if (group) { /* below --root= ids are another system's */
                trust.reader = KB_VAULT_USER;
                trust.reader_gid = group->gr_gid;
        }
        return trust;
}

static int check_store(const struct cli *cli, const char *name, struct kb_problems *problems)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *settings = NULL;
        _cleanup_free_ char *folder = cli_path(cli, KB_STORES_FOLDER);
        _cleanup_free_ char *path = cli_format("%s/%s.conf", folder, name);
        const struct kb_config_trust trust = trust_of_stores(cli);
        int r;

        if (geteuid() != 0 && access(path, R_OK) < 0 && errno == EACCES) {
                cli_note(cli, "%s is for root to read: it was not looked at", path);
                return 0;
        }
        r = kb_vault_settings_new(path, &trust, problems, &settings);
        return r == -ENOENT ? 0 : r; /* it went away since the folder was read */
}

static int check_stores(const struct cli *cli, struct kb_problems *problems, size_t *ret_count)
{
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *folder = cli_path(cli, KB_STORES_FOLDER);
        const struct kb_config_trust trust = cli_trust(cli);
        int r = kb_store_names(folder, &trust, problems, &names);

        for (size_t i = 0; r >= 0 && names[i]; i++) {
                int one = check_store(cli, names[i], problems);

                if (one < 0 && one != -EBADMSG)
                        return one;
                (*ret_count)++;
        }
        return r;
}

int cli_check_settings(const struct cli *cli, struct kb_problems *problems, struct cli_settings_count *ret)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = NULL;
        _cleanup_free_ char *path = cli_path(cli, KB_CONFIG_FILE);
        _cleanup_free_ char *folder = cli_path(cli, KB_CREDENTIALS_FOLDER);
        const struct kb_config_trust trust = cli_trust(cli);
        int r = kb_config_new(path, &trust, problems, &config);

        *ret = (struct cli_settings_count){0};
        if (r == -EBADMSG) /* the credentials' own mistakes show without their defaults too */
                r = kb_config_new("/nonexistent", &trust, problems, &config);
        if (r == 0)
                r = kb_credentials_new(folder, &trust, config, true, problems, &all);
        if (r == 0)
                ret->credentials = all->count;
        if (r == 0 || r == -EBADMSG)
                r = check_stores(cli, problems, &ret->stores);
        return r == -EBADMSG || kb_problems_any(problems) ? -EBADMSG : r;
}

int cli_run_config_check(struct cli *cli)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *path = cli_path(cli, KB_CONFIG_FILE);
        struct cli_settings_count count;
        int r = cli_check_settings(cli, &problems, &count);

        if (r < 0 && r != -EBADMSG)
                return cli_fail(cli, KB_E_INTERNAL, "the settings cannot be read: %s", strerror(-r));
        if (r < 0)
                return cli_fail_problems(cli, &problems);
        if (count.stores == 0)
                return cli_done(cli, "%s and %zu credential%s are well formed", path, count.credentials,
                                KB_S(count.credentials));
        return cli_done(cli, "%s, %zu credential%s and the settings of %zu store%s are well formed", path,
                        count.credentials, KB_S(count.credentials), count.stores, KB_S(count.stores));
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
        const char *between = key->kind == KB_VALUE_addresses ? " " : "\n"; /* several do not fit a line */
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
                for (bool first = true; (line = strsep(&rest, between)); first = false)
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

static int show_store(struct cli *cli, const char *name)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *settings = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *folder = cli_path(cli, KB_STORES_FOLDER);
        _cleanup_free_ char *path = cli_format("%s/%s.conf", folder, name);
        const struct kb_config_trust trust = trust_of_stores(cli);
        int r;

        if (!kb_name_word_valid(name))
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is no name of a store", name);
        if (strcmp(name, KB_STORE_LOCAL) == 0)
                return cli_fail(cli, KB_E_NOT_FOUND, "the local store has no settings");
        r = kb_vault_settings_new(path, &trust, &problems, &settings);
        if (r == -ENOENT)
                return cli_fail(cli, KB_E_NOT_FOUND, "there is no store %s; write %s, see `man 5 %s`", name,
                                path, kb_vault_settings_table.page);
        r = cli_fail_file(cli, r, path, &problems);
        return r != 0 ? r : cli_print_settings(cli, &kb_vault_settings_table, settings);
}

int cli_run_config_show(struct cli *cli)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        int r;

        if (cli->n_arguments > 0)
                return show_store(cli, cli->arguments[0]);
        r = cli_load_config(cli, &config);
        return r != 0 ? r : cli_print_settings(cli, &kb_config_table, config);
}
