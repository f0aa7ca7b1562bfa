/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/admin.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/input.h"
#include "cli/once.h"
#include "cli/output.h"

#define FIELD_MAX 64

struct cli_admin cli_admin_init(const char *object, const char *action, const char *name)
{
        return (struct cli_admin){.object = object,
                                  .action = action,
                                  .name = name ? name : "",
                                  .fields = kb_list_builder_init(KB_FRAME_MAX / 2)};
}

void cli_admin_done(struct cli_admin *a)
{
        kb_list_builder_done(&a->fields);
}

int cli_choose_store(struct cli *cli, const char *object, char **ret)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        bool directory =
                strcmp(object, "user") == 0 || strcmp(object, "group") == 0 || strcmp(object, "rule") == 0;
        const char *given = cli->value[CLI_OPTION_store];
        int r = 0;

        if (given && !kb_name_word_valid(given))
                return cli_fail(cli, KB_E_BAD_REQUEST, "--store=%s is no name of a store", given);
        if (!given)
                r = cli_load_config(cli, &config);
        if (r == 0)
                *ret = cli_format("%s", given       ? given
                                        : directory ? config->directory_store
                                                    : config->default_store);
        return r;
}

void cli_admin_show_progress(void *userdata, const struct kb_progress_record *progress)
{
        if (!isatty(STDERR_FILENO))
                return;
        if (progress->total > 0)
                dprintf(STDERR_FILENO, "\r%3u%% ", (unsigned)(100 * progress->done / progress->total));
        if (progress->done >= progress->total)
                dprintf(STDERR_FILENO, "\r     \r");
}

int cli_admin_ask(struct cli *cli, struct cli_admin *a, struct kb_call *call, struct kb_list *ret_rows)
{
        _cleanup_free_ char *chosen = NULL;
        struct kb_admin_reply reply;
        int r = a->store ? 0 : cli_choose_store(cli, a->object, &chosen);

        if (r != 0)
                return r;
        *call = kb_call_init(KB_VERB_admin);
        call->on_progress = a->on_progress ? a->on_progress : cli_admin_show_progress;
        call->userdata = a->userdata;
        kb_admin_request_put(&call->request, &(struct kb_admin_request){
                                                     .store = a->store ? a->store : chosen,
                                                     .object = a->object,
                                                     .action = a->action,
                                                     .name = a->name,
                                                     .fields = kb_list_built(&a->fields),
                                             });
        r = cli_ask(cli, call, CLI_WORK_USEC);
        if (r != 0)
                return r;
        r = kb_admin_reply_get(call->reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        *ret_rows = reply.rows;
        return 0;
}

bool cli_admin_next_row(struct kb_list *rows, struct kb_list *ret_pairs)
{
        struct kb_span element;
        struct kb_reader reader;

        if (!kb_list_next(rows, &element))
                return false;
        reader = kb_reader_init(element);
        *ret_pairs = kb_read_list(&reader, UINT32_MAX - 1);
        return true;
}

/* --- from the command line to fields --- */

/* The word of command->fields that is this name, however it is written: files have Who=, we who=. NULL: the
 * command has no such field. */
static const char *find_field(const struct cli_command *command, const char *name, size_t n)
{
        const char *at = command->fields;

        while (*at) {
                size_t m = strcspn(at, " ");

                if (m == n && strncasecmp(at, name, n) == 0)
                        return at;
                at += m + strspn(at + m, " ");
        }
        return NULL;
}

static int add_field(const struct cli *cli, struct cli_admin *a, const char *argument)
{
        size_t n = strcspn(argument, "=");
        const char *field = find_field(cli->command, argument, n);
        char name[FIELD_MAX];

        if (n >= sizeof(name) || !field)
                return cli_fail(cli, KB_E_BAD_REQUEST, "`%s %s` has no %.*s=; see its --help", a->object,
                                a->action, (int)n, argument);
        memcpy(name, field, n);
        name[n] = '\0';
        kb_list_add_text(&a->fields, name, argument + n + 1);
        return 0;
}

/* Whether a field was given this value: "kind=passphrase". */
static bool is_met(struct cli_admin *a, const char *condition, size_t n)
{
        size_t length = strcspn(condition, "=");
        _cleanup_free_ char *name = cli_format("%.*s", (int)length, condition);
        const char *value;

        return kb_list_find_string(kb_list_built(&a->fields), name, &value) &&
               strlen(value) == n - length - 1 && memcmp(value, condition + length + 1, n - length - 1) == 0;
}

/* "!secret" is always asked for, "!secret:kind=passphrase" only when kind=passphrase was given. */
static int ask_for(const struct cli *cli, struct cli_admin *a, const char *word, size_t n)
{
        size_t length = strcspn(word, ": ");
        _cleanup_free_ char *name = cli_format("%.*s", (int)length, word);
        _cleanup_secret_ char *secret = NULL;
        int r;

        if (cli->given[CLI_OPTION_no_password])
                return 0;
        if (length < n && !is_met(a, word + length + 1, n - length - 1))
                return 0;
        r = cli_read_secret(cli, name, strcmp(a->action, "unseal") != 0, &secret);
        if (r == 0)
                kb_list_add_text(&a->fields, name, secret);
        return r;
}

/* Ids come from the range that is this host's, whatever a store would like. */
static int add_range(struct cli *cli, struct cli_admin *a)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_free_ char *range = NULL;
        int r = cli_load_config(cli, &config);

        if (r != 0)
                return r;
        range = kb_value_format(KB_VALUE_id_range, &(struct kb_value_limits){0}, &config->id_range);
        kb_list_add_text(&a->fields, "range", range);
        return 0;
}

/* The fields that nobody types. */
static int add_own_fields(struct cli *cli, struct cli_admin *a)
{
        const char *at = cli->command->fields;
        int r = 0;

        while (r == 0 && *at) {
                size_t n = strcspn(at, " ");

                if (*at == '=')
                        r = add_range(cli, a);
                if (*at == '!')
                        r = ask_for(cli, a, at + 1, n - 1);
                at += n + strspn(at + n, " ");
        }
        return r;
}

/* NAME KEY=VALUE...: the one word without '=' is the name. */
static int take_arguments(struct cli *cli, struct cli_admin *a)
{
        int r = 0;

        for (int i = 0; r == 0 && i < cli->n_arguments; i++) {
                const char *argument = cli->arguments[i];

                if (strchr(argument, '='))
                        r = add_field(cli, a, argument);
                else if (i == 0 && *cli->command->arguments)
                        a->name = argument;
                else
                        r = cli_fail(cli, KB_E_BAD_REQUEST,
                                     "\"%s\" is neither a name nor KEY=VALUE; write: keybearer %s %s %s",
                                     argument, a->object, a->action, cli->command->arguments);
        }
        return r == 0 ? add_own_fields(cli, a) : r;
}

/* --- the command --- */

/* The first value of the last row: what `after` wants to go on. */
static char *last_name(struct kb_list rows)
{
        char *name = NULL;
        struct kb_list pairs;
        struct kb_span value;
        const char *key;

        while (cli_admin_next_row(&rows, &pairs))
                if (kb_list_next_pair(&pairs, &key, &value)) {
                        free(name);
                        name = cli_format("%.*s", (int)value.size, (const char *)value.data);
                }
        return name;
}

/* A store lists in portions: asks until there is nothing more. */
static int collect(struct cli *cli, struct cli_admin *first, struct cli_rows *into)
{
        bool in_portions = find_field(cli->command, "after", 5) != NULL;
        _cleanup_free_ char *after = NULL;

        for (;;) {
                _cleanup_admin_ struct cli_admin more =
                        cli_admin_init(first->object, first->action, first->name);
                _cleanup_call_ struct kb_call call = {0};
                struct kb_list rows;
                int r;

                if (after)
                        kb_list_add_text(&more.fields, "after", after);
                r = cli_admin_ask(cli, after ? &more : first, &call, &rows);
                if (r != 0)
                        return r;
                cli_rows_add(into, rows);
                if (!in_portions || rows.count == 0)
                        return 0;
                free(after);
                after = last_name(rows);
        }
}

static bool is_list(const struct cli_command *command)
{
        const char *action = command->action;
        size_t n = strlen(action);

        return find_field(command, "after", 5) || (n >= 4 && strcmp(action + n - 4, "list") == 0) ||
               strcmp(action, "versions") == 0;
}

/* A new slot comes with a secret that nothing keeps. */
static int check_shown(const struct cli *cli, const char *slot)
{
        _cleanup_free_ char *cure = cli_format("run `keybearer seal remove %s`, and this again", slot);
        int r = cli_flush_once();

        return r < 0 ? cli_fail_to_show(cli, r, "secret of the slot", cure) : 0;
}

int cli_run_admin(struct cli *cli)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init(cli->command->object, cli->command->action, "");
        _cleanup_rows_ struct cli_rows rows = cli_rows_init();
        int r = take_arguments(cli, &a);

        if (r == 0)
                r = collect(cli, &a, &rows);
        if (r == 0)
                r = cli_rows_print(cli, &rows, is_list(cli->command));
        if (r == 0 && strcmp(a.object, "seal") == 0 && strcmp(a.action, "add") == 0)
                r = check_shown(cli, a.name);
        return r;
}
