/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "helper/config/duration.h"

#define JSON_FLAGS (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

void cli_make_printable(char *text)
{
        for (unsigned char *c = (unsigned char *)text; c && *c; c++)
                if ((*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f)
                        *c = '?';
}

static void print_json(json_object *object)
{
        puts(json_object_to_json_string_ext(object, JSON_FLAGS));
}

void cli_print_line(json_object *object)
{
        puts(json_object_to_json_string_ext(object,
                                            JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(object);
}

void cli_print_error(const char *word, const char *text)
{
        json_object *object = json_object_new_object();

        json_object_object_add(object, "error", json_object_new_string(word));
        json_object_object_add(object, "message", json_object_new_string(text));
        cli_print_line(object);
}

void cli_print_done(const char *text)
{
        json_object *object = json_object_new_object();

        json_object_object_add(object, "done", json_object_new_string(text));
        cli_print_line(object);
}

char *cli_format_time(uint64_t usec, uint64_t now)
{
        char length[KB_DURATION_TEXT_MAX];
        bool future = usec > now;

        if (usec == KB_TIME_NEVER)
                return cli_format("never");
        kb_duration_format((future ? usec - now : now - usec) / KB_USEC_PER_SEC * KB_USEC_PER_SEC, 2,
                           length);
        if (strcmp(length, "0") == 0)
                return cli_format("now");
        return future ? cli_format("in %s", length) : cli_format("%s ago", length);
}

/* --- rows --- */

struct cli_table cli_table_init(const struct cli_column *columns, size_t n_columns)
{
        return (struct cli_table){
                .columns = columns, .n_columns = n_columns, .rows = json_object_new_array()};
}

void cli_table_done(struct cli_table *t)
{
        json_object_put(t->rows);
        t->rows = NULL;
}

json_object *cli_table_row(struct cli_table *t)
{
        json_object *row = json_object_new_object();

        json_object_array_add(t->rows, row);
        return row;
}

void cli_row_text(json_object *row, const char *key, const char *text)
{
        json_object_object_add(row, key, text ? json_object_new_string(text) : NULL);
}

void cli_row_number(json_object *row, const char *key, uint64_t number)
{
        json_object_object_add(row, key, json_object_new_uint64(number));
}

void cli_row_time(json_object *row, const char *key, uint64_t usec)
{
        json_object_object_add(row, key, usec == KB_TIME_NEVER ? NULL : json_object_new_uint64(usec));
}

void cli_row_flag(json_object *row, const char *key, bool flag)
{
        json_object_object_add(row, key, json_object_new_boolean(flag));
}

/* --- text --- */

/* What stores give as microseconds since the epoch; 0: it never was. */
static bool is_time(const char *name)
{
        static const char *const names[] = {"created", "used", "revoked", "not-after", "expires", "changed"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

static char *value_text(json_object *value, enum cli_cell kind, uint64_t now)
{
        char *text;

        if (kind == CLI_TIME &&
            !json_object_is_type(value, json_type_string)) /* a store may say it in words */
                return cli_format_time(value ? json_object_get_uint64(value) : KB_TIME_NEVER, now);
        if (kind == CLI_FLAG)
                return cli_format("%s", json_object_get_boolean(value) ? "yes" : "no");
        text = cli_format("%s", value ? json_object_get_string(value) : "");
        cli_make_printable(text);
        return text;
}

/* On one line: a cell of a table. */
static char *cell_text(json_object *row, const struct cli_column *column, uint64_t now)
{
        char *text = value_text(json_object_object_get(row, column->key), column->kind, now);

        for (char *c = text; *c; c++)
                if (*c == '\n' || *c == '\t')
                        *c = ' ';
        return text;
}

/* Characters, not bytes: names and prose are UTF-8. */
static size_t width_of(const char *text)
{
        size_t width = 0;

        for (; *text; text++)
                width += ((unsigned char)*text & 0xc0) != 0x80;
        return width;
}

static void print_cell(const char *text, size_t width, bool last)
{
        printf("%s%*s", text, last ? 0 : (int)(width - width_of(text)) + 2, "");
}

static void print_row(const struct cli_table *t, json_object *row, const size_t *widths, uint64_t now)
{
        size_t last = t->n_columns;

        while (last > 0 && !t->columns[last - 1].title)
                last--;
        for (size_t i = 0; i < last; i++) {
                _cleanup_free_ char *text = NULL;

                if (!t->columns[i].title)
                        continue;
                text = row ? cell_text(row, &t->columns[i], now) : cli_format("%s", t->columns[i].title);
                print_cell(text, widths[i], i == last - 1);
        }
}

static void print_table(const struct cli_table *t, uint64_t now)
{
        size_t n_rows = json_object_array_length(t->rows);
        _cleanup_free_ size_t *widths = calloc(t->n_columns + 1, sizeof(*widths));
        bool bold = isatty(STDOUT_FILENO);

        for (size_t i = 0; widths && i < t->n_columns; i++) {
                widths[i] = t->columns[i].title ? width_of(t->columns[i].title) : 0;
                for (size_t k = 0; k < n_rows; k++) {
                        _cleanup_free_ char *text =
                                cell_text(json_object_array_get_idx(t->rows, k), &t->columns[i], now);

                        widths[i] = width_of(text) > widths[i] ? width_of(text) : widths[i];
                }
        }
        if (!widths)
                return;
        fputs(bold ? "\033[1m" : "", stdout);
        print_row(t, NULL, widths, now);
        puts(bold ? "\033[0m" : "");
        for (size_t k = 0; k < n_rows; k++) {
                print_row(t, json_object_array_get_idx(t->rows, k), widths, now);
                putchar('\n');
        }
}

int cli_table_print(const struct cli *cli, const struct cli_table *t, const char *empty)
{
        if (cli->given[CLI_OPTION_json])
                print_json(t->rows);
        else if (json_object_array_length(t->rows) > 0)
                print_table(t, kb_now_realtime());
        else
                cli_note(cli, "%s", empty);
        return 0;
}

int cli_object_print(const struct cli *cli, json_object *object)
{
        size_t width = 0;

        if (cli->given[CLI_OPTION_json])
                print_json(object);
        else {
                json_object_object_foreach(object, name, ignored)
                {
                        (void)ignored;
                        width = width_of(name) > width ? width_of(name) : width;
                }
                json_object_object_foreach(object, key, value)
                {
                        enum cli_cell kind = is_time(key) ? CLI_TIME : CLI_TEXT;
                        _cleanup_free_ char *text = value_text(value, kind, kb_now_realtime());

                        printf("%s:%*s %s\n", key, (int)(width - width_of(key)), "", text);
                }
        }
        json_object_put(object);
        return 0;
}

/* --- rows of pairs --- */

struct cli_rows cli_rows_init(void)
{
        return (struct cli_rows){.rows = json_object_new_array()};
}

void cli_rows_done(struct cli_rows *r)
{
        json_object_put(r->rows);
        r->rows = NULL;
}

static void add_pair(json_object *row, const char *name, struct kb_span value)
{
        const char *text = (const char *)value.data;
        char *end;
        uint64_t number;

        errno = 0;
        number = is_time(name) ? strtoull(text, &end, 10) : 0;
        if (is_time(name) && value.size > 0 && !*end && errno == 0 && *text != '-')
                cli_row_time(row, name, number > 0 ? number : KB_TIME_NEVER);
        else
                json_object_object_add(row, name, json_object_new_string_len(text, (int)value.size));
}

void cli_rows_add(struct cli_rows *r, struct kb_list rows)
{
        struct kb_span element, value;
        const char *name;

        while (kb_list_next(&rows, &element)) {
                struct kb_reader reader = kb_reader_init(element);
                struct kb_list pairs = kb_read_list(&reader, UINT32_MAX - 1);
                json_object *row = json_object_new_object();

                while (kb_list_next_pair(&pairs, &name, &value))
                        add_pair(row, name, value);
                json_object_array_add(r->rows, row);
        }
}

/* As many columns as the first row has names; titles in capitals. The keys belong to the row. */
static size_t columns_of(json_object *row, struct cli_column *columns)
{
        size_t n = 0;

        json_object_object_foreach(row, key, ignored)
        {
                char *title = cli_format("%s", key);

                (void)ignored;
                for (char *c = title; *c; c++)
                        *c = *c >= 'a' && *c <= 'z'   ? (char)(*c - 'a' + 'A')
                             : *c == '-' || *c == '_' ? ' '
                                                      : *c;
                columns[n++] = (struct cli_column){key, title, is_time(key) ? CLI_TIME : CLI_TEXT};
        }
        return n;
}

static int print_rows_table(const struct cli *cli, json_object *rows)
{
        json_object *first = json_object_array_get_idx(rows, 0);
        _cleanup_free_ struct cli_column *columns =
                calloc((size_t)json_object_object_length(first) + 1, sizeof(*columns));
        struct cli_table t = {.columns = columns, .rows = rows};

        if (!columns)
                return cli_fail(cli, KB_E_INTERNAL, "memory is out");
        t.n_columns = columns_of(first, columns);
        print_table(&t, kb_now_realtime());
        for (size_t i = 0; i < t.n_columns; i++)
                free((char *)(uintptr_t)columns[i].title);
        return 0;
}

int cli_rows_print(const struct cli *cli, const struct cli_rows *r, bool is_list)
{
        size_t n = json_object_array_length(r->rows);

        if (cli->given[CLI_OPTION_json]) {
                print_json(r->rows);
                return 0;
        }
        if (n == 0 && !is_list)
                return cli_done(cli, "done");
        if (n == 0) {
                cli_note(cli, "there are none");
                return 0;
        }
        if (n == 1 && !is_list)
                return cli_object_print(cli, json_object_get(json_object_array_get_idx(r->rows, 0)));
        return print_rows_table(cli, r->rows);
}
