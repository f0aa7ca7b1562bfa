/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/output.h"
#include "common/names.h"

/*
 * Whoever read our output may have had enough of it: that ends us quietly, with the status of what was done.
 * Any other failure to write is one.
 */
static int close_stdout(int status)
{
        bool failed = ferror(stdout);

        errno = 0;
        if (fclose(stdout) == 0 && !failed)
                return status;
        if (errno == EPIPE)
                return status;
        fprintf(stderr, "keybearer: the output could not be written: %s\n", strerror(errno ? errno : EIO));
        return status ? status : kb_error_exit_status(KB_E_INTERNAL);
}

static int run(struct cli *cli)
{
        if (cli->command->needs_root && geteuid() != 0 && !cli->given[CLI_OPTION_root])
                return cli_fail(
                        cli, KB_E_DENIED, "`keybearer %s%s%s` needs root; try: sudo keybearer %s%s%s",
                        cli->command->object, *cli->command->action ? " " : "", cli->command->action,
                        cli->command->object, *cli->command->action ? " " : "", cli->command->action);
        return cli->command->run(cli);
}

int cli_main(int argc, char **argv)
{
        struct cli cli = {0};
        int status;

        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_DUMPABLE, 0); /* we may hold secrets */
        status = cli_parse(&cli, argc, argv);
        if (status == 0 && cli.command)
                status = run(&cli);
        return close_stdout(status);
}

/* Without memory there is nothing left to say well. */
char *cli_vformat(const char *format, va_list arguments)
{
        char *text;

        if (vasprintf(&text, format, arguments) < 0) {
                fputs("keybearer: memory is out\n", stderr);
                exit(kb_error_exit_status(KB_E_INTERNAL));
        }
        return text;
}

char *cli_format(const char *format, ...)
{
        va_list arguments;
        char *text;

        va_start(arguments, format);
        text = cli_vformat(format, arguments);
        va_end(arguments);
        return text;
}

static void say(const char *text)
{
        _cleanup_free_ char *printable = cli_format("%s", text);

        cli_make_printable(printable);
        fprintf(stderr, "keybearer: %s\n", printable);
}

int cli_fail(const struct cli *cli, enum kb_error error, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = cli_vformat(format, arguments);
        va_end(arguments);
        say(text);
        if (cli->given[CLI_OPTION_json])
                cli_print_error(kb_error_word(error), text);
        return kb_error_exit_status(error);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        if (cli->given[CLI_OPTION_json])
                return;
        va_start(arguments, format);
        text = cli_vformat(format, arguments);
        va_end(arguments);
        say(text);
}

int cli_vdone(const struct cli *cli, const char *format, va_list arguments)
{
        _cleanup_free_ char *text = cli_vformat(format, arguments);

        cli_make_printable(text);
        if (cli->given[CLI_OPTION_json])
                cli_print_done(text);
        else
                puts(text);
        return 0;
}

int cli_done(const struct cli *cli, const char *format, ...)
{
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = cli_vdone(cli, format, arguments);
        va_end(arguments);
        return r;
}

char *cli_path(const struct cli *cli, const char *path)
{
        const char *root = cli->value[CLI_OPTION_root];

        return cli_format("%s%s", root ? root : "", path);
}

struct kb_config_trust cli_trust(const struct cli *cli)
{
        return (struct kb_config_trust){.owner = cli->value[CLI_OPTION_root] ? geteuid() : 0};
}

int cli_fail_problems(const struct cli *cli, const struct kb_problems *problems)
{
        for (size_t i = 0; i < problems->count; i++) {
                _cleanup_free_ char *text = kb_problem_format(&problems->problems[i]);

                cli_fail(cli, KB_E_BAD_REQUEST, "%s", text ? text : problems->problems[i].text);
        }
        if (problems->more > 0)
                cli_fail(cli, KB_E_BAD_REQUEST, "and %zu more problem%s", problems->more,
                         KB_S(problems->more));
        return kb_error_exit_status(KB_E_BAD_REQUEST);
}

int cli_fail_file(const struct cli *cli, int r, const char *path, const struct kb_problems *problems)
{
        if (r == -EBADMSG)
                return cli_fail_problems(cli, problems);
        return r < 0 ? cli_fail(cli, KB_E_INTERNAL, "%s: %s", path, strerror(-r)) : 0;
}

int cli_load_config(struct cli *cli, struct kb_config **ret)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *path = cli_path(cli, KB_CONFIG_FILE);
        const struct kb_config_trust trust = cli_trust(cli);
        int r = kb_config_new(path, &trust, &problems, ret);

        return cli_fail_file(cli, r, path, &problems);
}

int cli_load_credential(struct cli *cli, const char *name, struct kb_credential **ret)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *folder = cli_path(cli, KB_CREDENTIALS_FOLDER);
        _cleanup_free_ char *path = cli_format("%s/%s.conf", folder, name);
        const struct kb_config_trust trust = cli_trust(cli);
        int r;

        if (!kb_name_credential_valid(name))
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "\"%s\" is no name of a credential; use letters, digits, '_' and '-'", name);
        r = cli_load_config(cli, &config);
        if (r != 0)
                return r;
        r = kb_credential_new(path, &trust, config, &problems, ret);
        if (r == -ENOENT)
                return cli_fail(cli, KB_E_NOT_FOUND, "there is no credential %s; write %s, see `man 5 %s`",
                                name, path, kb_credential_table.page);
        return cli_fail_file(cli, r, path, &problems);
}
