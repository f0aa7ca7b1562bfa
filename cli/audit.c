/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer audit show, follow, explain: the log for people and programs. With --json each record is an
 * object on a line of its own, so that a log of any length can be read as it comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "common/clock.h"
#include "helper/log/publish.h"
#include "helper/log/reader.h"

#define LOG_FOLDER  KB_STATEDIR "/log"
#define FOLLOW_LAST 10

struct audit {
        struct cli *cli;
        struct kb_log_identity identity;
        struct kb_log_reader *reader;
};

static void audit_done(struct audit *a)
{
        kb_log_reader_free(a->reader);
        kb_wipe(&a->identity, sizeof(a->identity));
}
#define _cleanup_audit_ _cleanup_(audit_done)

static int fail_to_read(const struct cli *cli, int r)
{
        _cleanup_free_ char *folder = cli_path(cli, LOG_FOLDER);

        if (r == -ENOENT)
                return cli_fail(cli, KB_E_NOT_FOUND, "there is no log in %s; keybearer setup makes it",
                                folder);
        return cli_fail(cli, kb_error_from_errno(r), "the log in %s cannot be read: %s", folder,
                        strerror(-r));
}

static int audit_open(struct audit *a, struct cli *cli)
{
        _cleanup_free_ char *folder = cli_path(cli, LOG_FOLDER);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -errno : kb_log_identity_load(fd, &a->identity);

        a->cli = cli;
        if (r == 0)
                r = kb_log_reader_open(&a->reader, folder);
        return r < 0 ? fail_to_read(cli, r) : 0;
}

/* --- filters: KEY=GLOB, where KEY is "event" or a field in small letters --- */

static const struct kb_field_info *find_field(const char *name, size_t n)
{
        for (size_t i = 0; i < kb_field_table_size; i++)
                if (strlen(kb_field_table[i].name) == n && strncasecmp(kb_field_table[i].name, name, n) == 0)
                        return &kb_field_table[i];
        return NULL;
}

static bool is_event_key(const char *word)
{
        return strncmp(word, "event=", 6) == 0;
}

static int check_filters(const struct cli *cli)
{
        for (int i = 0; i < cli->n_arguments; i++) {
                const char *word = cli->arguments[i];
                size_t n = strcspn(word, "=");

                if (!word[n] || (!is_event_key(word) && !find_field(word, n)))
                        return cli_fail(cli, KB_E_BAD_REQUEST,
                                        "\"%s\" is no KEY=GLOB; keys are event, unit, user, credential, "
                                        "grant, reason "
                                        "and the other names that --json shows",
                                        word);
        }
        return 0;
}

static bool matches(const struct cli *cli, const struct kb_event *event)
{
        for (int i = 0; i < cli->n_arguments; i++) {
                const char *word = cli->arguments[i], *glob = strchr(word, '=') + 1;
                const struct kb_field_info *field = find_field(word, (size_t)(glob - word - 1));
                char number[24] = "";
                const char *value = number;

                if (is_event_key(word))
                        value = kb_event_info(event->id)->word;
                else if (kb_event_number(event, field) > 0)
                        snprintf(number, sizeof(number), "%" PRIu64, kb_event_number(event, field));
                else
                        value = kb_event_text(event, field);
                if (!kb_name_matches(glob, value))
                        return false;
        }
        return true;
}

/* --- printing --- */

static void add_field(json_object *row, const struct kb_event *event, const struct kb_field_info *field)
{
        const char *text = kb_event_text(event, field);
        uint64_t number = kb_event_number(event, field);
        char key[32];
        size_t n = 0;

        for (; field->name[n] && n < sizeof(key) - 1; n++)
                key[n] = field->name[n] == '_' ? '_' : (char)(field->name[n] | 0x20);
        key[n] = '\0';
        if (text[0])
                cli_row_text(row, key, text);
        else if (number > 0 && field->kind == KB_FIELD_time)
                cli_row_time(row, key, number);
        else if (number > 0)
                cli_row_number(row, key, number);
}

static json_object *make_row(uint64_t sequence, const struct kb_event *event)
{
        const struct kb_event_info *info = kb_event_info(event->id);
        json_object *row = json_object_new_object();
        char message[2048];

        kb_event_message(event, message, sizeof(message));
        cli_row_number(row, "sequence", sequence);
        cli_row_time(row, "time", event->time);
        cli_row_text(row, "event", info->word);
        cli_row_text(row, "outcome", info->outcome);
        cli_row_text(row, "message", message);
        for (size_t i = 0; i < kb_field_table_size; i++)
                add_field(row, event, &kb_field_table[i]);
        return row;
}

static void print_record(const struct audit *a, uint64_t sequence, const struct kb_event *event)
{
        char time[KB_TIME_TEXT_MAX], message[2048];

        if (a->cli->given[CLI_OPTION_json]) {
                json_object *row = make_row(sequence, event);

                puts(json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
                json_object_put(row);
                return;
        }
        kb_time_text(event->time, time);
        kb_event_message(event, message, sizeof(message));
        printf("%s %8" PRIu64 "  %-22s %s\n", time, sequence, kb_event_info(event->id)->word, message);
}

/* --- walking --- */

/* What others than the log may see of the next (or previous) record. As kb_log_reader_next(). */
static int take(const struct audit *a, bool forwards, uint64_t *ret_sequence, struct kb_published *ret)
{
        struct kb_log_read read;
        int r = forwards ? kb_log_reader_next(a->reader, &read) : kb_log_reader_previous(a->reader, &read);

        if (r > 0) {
                kb_event_publish(ret, &a->identity, read.sequence, &read.event);
                *ret_sequence = read.sequence;
        }
        return r;
}

/* Prints from where the reader stands to the end. 0 or an exit status. */
static int print_on(const struct audit *a)
{
        struct kb_published published;
        uint64_t sequence;
        int r;

        while (!ferror(stdout) && (r = take(a, true, &sequence, &published)) != 0) {
                if (r == -EBADMSG)
                        cli_note(a->cli, "a damaged place is left out here; see keybearer audit verify");
                else if (r < 0)
                        return fail_to_read(a->cli, r);
                else if (matches(a->cli, &published.event))
                        print_record(a, sequence, &published.event);
        }
        return 0;
}

/* Stands so far before the end that `count` records that match follow. */
static int go_back(const struct audit *a, uint64_t count)
{
        struct kb_published published;
        uint64_t sequence;
        int r = kb_log_reader_seek_end(a->reader);

        while (r == 0 && count > 0) {
                r = take(a, false, &sequence, &published);
                if (r <= 0)
                        break;
                count -= matches(a->cli, &published.event);
                r = 0;
        }
        return r < 0 ? fail_to_read(a->cli, r) : 0;
}

static int parse_number(const struct cli *cli, const char *what, const char *text, uint64_t *ret)
{
        char *end;

        errno = 0;
        *ret = strtoull(text, &end, 10);
        if (errno != 0 || *end || *text < '0' || *text > '9')
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is no %s", text, what);
        return 0;
}

/* Opens the log and stands where printing is to begin. */
static int begin(struct audit *a, struct cli *cli, bool following)
{
        const char *last = cli->value[CLI_OPTION_last];
        uint64_t count = FOLLOW_LAST;
        int r = check_filters(cli);

        if (r == 0 && last)
                r = parse_number(cli, "number of records", last, &count);
        if (r == 0)
                r = audit_open(a, cli);
        if (r == 0 && (last || following))
                r = go_back(a, count);
        return r;
}

int cli_run_audit_show(struct cli *cli)
{
        _cleanup_audit_ struct audit a = {0};
        int r = begin(&a, cli, false);

        return r != 0 ? r : print_on(&a);
}

int cli_run_audit_follow(struct cli *cli)
{
        _cleanup_audit_ struct audit a = {0};
        int r = begin(&a, cli, true);

        while (r == 0) {
                r = print_on(&a);
                if (fflush(stdout) != 0 || r != 0)
                        return r;
                if (kb_log_reader_wait(a.reader, -1) < 0)
                        return 0; /* a signal that stops nobody: resumed, or resized */
        }
        return r;
}

/* --- one record --- */

static void print_explanation(uint64_t sequence, const struct kb_event *event)
{
        const struct kb_event_info *info = kb_event_info(event->id);
        json_object *row = make_row(sequence, event);

        printf("%s.\n\n%s\n\n", info->title, info->text);
        json_object_object_foreach(row, key, value)
        {
                char time[KB_TIME_TEXT_MAX];
                const struct kb_field_info *field = find_field(key, strlen(key));
                bool is_time = strcmp(key, "time") == 0 || (field && field->kind == KB_FIELD_time);

                kb_time_text(value ? (uint64_t)json_object_get_int64(value) : KB_TIME_NEVER, time);
                printf("%14s: %s\n", key, is_time ? time : json_object_get_string(value));
        }
        json_object_put(row);
}

int cli_run_audit_explain(struct cli *cli)
{
        _cleanup_audit_ struct audit a = {0};
        struct kb_published published;
        uint64_t wanted, sequence = 0;
        int r = parse_number(cli, "sequence number of a record", cli->arguments[0], &wanted);

        if (r == 0)
                r = audit_open(&a, cli);
        if (r != 0)
                return r;
        r = kb_log_reader_seek(a.reader, wanted);
        if (r == 0)
                r = take(&a, true, &sequence, &published);
        if (r < 0)
                return fail_to_read(cli, r);
        if (sequence != wanted)
                return cli_fail(cli, KB_E_NOT_FOUND, "there is no record %" PRIu64 " in the log", wanted);
        if (cli->given[CLI_OPTION_json])
                print_record(&a, sequence, &published.event);
        else
                print_explanation(sequence, &published.event);
        return 0;
}
