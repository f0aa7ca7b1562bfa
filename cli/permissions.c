/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/permissions.h"

#include <string.h>

#include "cli/admin.h"
#include "common/client.h"
#include "common/clock.h"

#define ASK_USEC (15 * KB_USEC_PER_SEC) /* the store asks its servers, perhaps several of them */

struct lines {
        char *text;
        size_t n;
};

static void add_line(struct lines *l, const char *path, const char *capability)
{
        _cleanup_free_ char *line =
                cli_format("path \"%s\" { capabilities = [\"%s\"] }\n", path, capability);
        char *longer;

        if (strstr(l->text, line))
                return;
        longer = cli_format("%s%s", l->text, line);
        free(l->text);
        l->text = longer;
        l->n++;
}

static void add_missing(struct lines *l, struct kb_list rows)
{
        const char *path, *capability, *granted;
        struct kb_list row;

        while (cli_admin_next_row(&rows, &row))
                if (kb_list_find_string(row, "path", &path) &&
                    kb_list_find_string(row, "capability", &capability) &&
                    kb_list_find_string(row, "granted", &granted) && strcmp(granted, "no") == 0)
                        add_line(l, path, capability);
}

/* For a path, or for the host itself with "". False when the store does not answer. */
static bool look(struct lines *l, const char *store, const char *path, const char *method)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(256);
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_admin);
        struct kb_admin_reply reply;

        kb_list_add_text(&fields, "method", method ? method : "");
        kb_admin_request_put(&call.request, &(struct kb_admin_request){.store = store,
                                                                       .object = "policy",
                                                                       .action = "show",
                                                                       .name = path,
                                                                       .fields = kb_list_built(&fields)});
        if (kb_call_run(&call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), ASK_USEC)) < 0)
                return false;
        if (call.status == KB_E_OK && kb_admin_reply_get(call.reply.body, &reply) >= 0)
                add_missing(l, reply.rows);
        return call.status != KB_E_UNREACHABLE && call.status != KB_E_UNSUPPORTED;
}

/* Those that are well formed: that others are not is said elsewhere. */
static struct kb_credentials *load(const struct cli *cli)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        const struct kb_config_trust trust = cli_trust(cli);
        struct kb_credentials *all = NULL;

        if (kb_config_new(KB_CONFIG_FILE, &trust, &problems, &config) < 0 ||
            kb_credentials_new(KB_CREDENTIALS_FOLDER, &trust, config, true, &problems, &all) < 0)
                return NULL;
        return all;
}

char *cli_missing_lines(const struct cli *cli, const char *store, size_t *ret_n)
{
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = load(cli);
        struct lines l = {.text = cli_format("%s", "")};
        bool answers = look(&l, store, "", NULL);

        for (size_t i = 0; answers && all && i < all->count; i++)
                if (strcmp(all->sorted[i]->store, store) == 0)
                        answers = look(&l, store, all->sorted[i]->path, all->sorted[i]->method);
        *ret_n = l.n;
        return l.text;
}
