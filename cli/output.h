/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Results. A command builds rows of values once; they are printed as an aligned table, as "name: value"
 * lines, or as JSON. Cells keep their nature until they are printed, so that a machine gets microseconds
 * since the epoch where a person reads "in 5min 3s".
 */

#include <json-c/json.h>

#include "cli/cli.h"
#include "common/wire.h"

enum cli_cell { CLI_TEXT, CLI_NUMBER, CLI_TIME, CLI_FLAG };

struct cli_column {
        const char *key;   /* of the member in JSON */
        const char *title; /* over the column; NULL: only in JSON */
        enum cli_cell kind;
};

struct cli_table {
        const struct cli_column *columns;
        size_t n_columns;
        json_object *rows; /* an array of objects */
};

struct cli_table cli_table_init(const struct cli_column *columns, size_t n_columns);
void cli_table_done(struct cli_table *t);
#define _cleanup_table_ _cleanup_(cli_table_done)

/* A new row, and its cells. A time is CLOCK_REALTIME in microseconds; KB_TIME_NEVER is null. */
json_object *cli_table_row(struct cli_table *t);
void cli_row_text(json_object *row, const char *key, const char *text);
void cli_row_number(json_object *row, const char *key, uint64_t number);
void cli_row_time(json_object *row, const char *key, uint64_t usec);
void cli_row_flag(json_object *row, const char *key, bool flag);

/* Prints it. `empty` is said on stderr when there are no rows. Returns 0, the exit status. */
int cli_table_print(const struct cli *cli, const struct cli_table *t, const char *empty);

/* One object: "name: value" lines, or a JSON object. Takes over the reference. Returns 0. */
int cli_object_print(const struct cli *cli, json_object *object);

/*
 * Rows of `admin`, each a list of pairs. A list is a table, however few rows it has; anything else that is
 * one row is printed as an object.
 */
struct cli_rows {
        json_object *rows;
};
struct cli_rows cli_rows_init(void);
void cli_rows_done(struct cli_rows *r);
#define _cleanup_rows_ _cleanup_(cli_rows_done)
void cli_rows_add(struct cli_rows *r, struct kb_list rows);
int cli_rows_print(const struct cli *cli, const struct cli_rows *r, bool is_list);

/* An object on one line, for what comes as it happens. Takes over the reference. */
void cli_print_line(json_object *object);

/* {"error": word, "message": text} on stdout. */
void cli_print_error(const char *word, const char *text);

/* {"done": text} on stdout. */
void cli_print_done(const char *text);

/* Control characters become '?'. text may be NULL. */
void cli_make_printable(char *text);

/* "in 5min 3s", "2h 1min ago", "now", "never". A new string. */
char *cli_format_time(uint64_t usec, uint64_t now);
