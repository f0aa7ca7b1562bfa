/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer audit verify, anchor: what can be proven about the log, and the means to prove it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"
#include "helper/log/verify.h"

#define LOG_FOLDER KB_STATEDIR "/log"

/* What the administrator brings along. */
struct means {
        char *first_key; /* a secret */
        struct kb_anchor *kept;
        size_t n_kept;
};

static void means_done(struct means *m)
{
        kb_secret_free(m->first_key);
        free(m->kept);
}
#define _cleanup_means_ _cleanup_(means_done)

static int add_anchor(const struct cli *cli, struct means *m, const char *line)
{
        struct kb_anchor *more = reallocarray(m->kept, m->n_kept + 1, sizeof(*more));

        if (!more)
                return cli_fail(cli, KB_E_INTERNAL, "out of memory");
        m->kept = more;
        if (kb_anchor_parse(line, &m->kept[m->n_kept]) < 0)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "\"%s\" is no anchor; one begins with kb-anchor:1:", line);
        m->n_kept++;
        return 0;
}

/* The text of a file as one string, wiped when it is released. */
static int read_text(const struct cli *cli, const char *path, char **ret)
{
        _cleanup_secret_ uint8_t *bytes = NULL;
        char *text;
        size_t size;
        int r = cli_read_file(cli, path, &bytes, &size);

        if (r != 0)
                return r;
        text = (char *)kb_secret_dup(KB_SPAN(bytes, size));
        if (!text)
                return cli_fail(cli, KB_E_INTERNAL, "out of memory");
        *ret = text;
        return 0;
}

static int read_anchors(const struct cli *cli, struct means *m, const char *path)
{
        _cleanup_secret_ char *text = NULL;
        char *rest, *line;
        int r = read_text(cli, path, &text);

        rest = text;
        while (r == 0 && (line = strsep(&rest, "\n")))
                if (line[strspn(line, " \t\r")])
                        r = add_anchor(cli, m, line);
        return r;
}

static int gather(const struct cli *cli, struct means *m)
{
        const char *first_key = cli->value[CLI_OPTION_first_key], *anchors = cli->value[CLI_OPTION_anchors];
        int r = 0;

        if (first_key && anchors && strcmp(first_key, "-") == 0 && strcmp(anchors, "-") == 0)
                return cli_fail(cli, KB_E_BAD_REQUEST, "stdin cannot be both the first key and the anchors");
        for (int i = 0; i < cli->n_arguments && r == 0; i++)
                r = add_anchor(cli, m, cli->arguments[i]);
        if (r == 0 && anchors)
                r = read_anchors(cli, m, anchors);
        if (r == 0 && first_key)
                r = read_text(cli, first_key, &m->first_key);
        return r;
}

static json_object *make_findings(const struct kb_verify_result *result)
{
        json_object *list = json_object_new_array();

        for (size_t i = 0; i < result->n_findings && i < KB_VERIFY_FINDINGS_MAX; i++) {
                const struct kb_verify_finding *f = &result->findings[i];
                json_object *row = json_object_new_object();

                cli_row_text(row, "problem", kb_verify_problem_word(f->problem));
                cli_row_text(row, "text", kb_verify_problem_text(f->problem));
                cli_row_number(row, "file", f->file);
                cli_row_number(row, "offset", f->offset);
                cli_row_number(row, "sequence", f->sequence);
                json_object_array_add(list, row);
        }
        return list;
}

static void print_json(const struct cli *cli, const struct kb_verify_result *result)
{
        json_object *object = json_object_new_object();

        cli_row_number(object, "first", result->first);
        cli_row_number(object, "last", result->last);
        cli_row_number(object, "records", result->records);
        cli_row_number(object, "files", result->files);
        cli_row_number(object, "anchors", result->anchors);
        cli_row_number(object, "removed", result->trimmed);
        cli_row_number(object, "torn", result->torn);
        cli_row_number(object, "proven_by_key", result->by_key);
        cli_row_number(object, "proven_by_anchor", result->by_kept);
        cli_row_number(object, "proven", result->proven);
        cli_row_number(object, "problems", result->n_findings);
        json_object_object_add(object, "findings", make_findings(result));
        cli_object_print(cli, object);
}

int cli_run_audit_verify(struct cli *cli)
{
        _cleanup_free_ char *folder = cli_path(cli, LOG_FOLDER);
        _cleanup_means_ struct means m = {0};
        struct kb_verify_options options;
        struct kb_verify_result result;
        int r = gather(cli, &m);

        if (r != 0)
                return r;
        options = (struct kb_verify_options){.first_key = m.first_key, .kept = m.kept, .n_kept = m.n_kept};
        r = kb_verify(folder, &options, &result);
        if (r == -EINVAL)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "that is no first key; one begins with kb-first-key:1:");
        if (r == -ENOENT)
                return cli_fail(cli, KB_E_NOT_FOUND, "there is no log in %s; keybearer setup makes it",
                                folder);
        if (r < 0)
                return cli_fail(cli, kb_error_from_errno(r), "the log in %s cannot be read: %s", folder,
                                strerror(-r));
        if (cli->given[CLI_OPTION_json])
                print_json(cli, &result);
        else
                kb_verify_print(&result, stdout);
        return result.n_findings > 0 ? kb_error_exit_status(KB_E_CONFLICT) : 0;
}

int cli_run_audit_anchor(struct cli *cli)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_anchor);
        struct kb_anchor_reply reply;
        json_object *object;
        int r = cli_ask(cli, &call, CLI_ASK_USEC);

        if (r != 0)
                return r;
        r = kb_anchor_reply_get(call.reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        if (!cli->given[CLI_OPTION_json]) {
                puts(reply.anchor);
                return 0;
        }
        object = json_object_new_object();
        cli_row_text(object, "anchor", reply.anchor);
        return cli_object_print(cli, object);
}
