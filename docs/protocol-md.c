/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes docs/PROTOCOL.md: copies docs/protocol.in from stdin to stdout, and puts the tables of protocol.def
 * and error.def where a line names one: "@verbs". A table begins with an empty line.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"

#define ROOT  KB_CALLER_ROOT
#define SELF  KB_CALLER_SELF
#define STORE KB_CALLER_STORE

struct field {
        const char *name;
        const char *kind;
        size_t max;
        const char *prose;
};

/* Each message's fields, with an empty one behind the last. */
#define F(kind, name, max, prose) {#name, #kind, max, prose},
#define REQUEST(...)              __VA_ARGS__
#define REPLY(...)                __VA_ARGS__
#define FIELDS(...)               __VA_ARGS__
#define VERB(name, number, callers, prose, request, reply)                                                  \
        static const struct field name##_request[] = {request{}}, name##_reply[] = {reply{}};
#define RECORD(name, prose, fields) static const struct field name##_record[] = {fields{}};
#include "common/protocol.def"
#undef VERB
#undef RECORD

static void print_fields(const char *title, const struct field *fields)
{
        if (!fields->name) {
                printf("\n%s: no fields.\n", title);
                return;
        }
        printf("\n%s:\n\n| field | kind | max | what |\n|---|---|---|---|\n", title);
        for (; fields->name; fields++) {
                printf("| %s | %s | ", fields->name, fields->kind);
                if (fields->max > 0)
                        printf("%zu ", fields->max);
                printf("| %s |\n", fields->prose);
        }
}

static void print_verb(const char *name, unsigned number, unsigned callers, const char *prose,
                       const struct field *request, const struct field *reply)
{
        printf("\n### %s (%#x)\n\n%s\n\nCallers:%s%s%s\n", name, number, prose,
               callers & ROOT ? " root" : "", callers & SELF ? " self" : "",
               callers & STORE ? " store" : "");
        print_fields("Request", request);
        print_fields("Reply", reply);
}

static void print_verbs(void)
{
#define VERB(name, number, callers, prose, request, reply)                                                  \
        print_verb(#name, number, callers, prose, name##_request, name##_reply);
#define RECORD(name, prose, fields)
#include "common/protocol.def"
#undef VERB
#undef RECORD
}

static void print_record(const char *name, const char *prose, const struct field *fields)
{
        printf("\n### %s\n\n%s\n", name, prose);
        print_fields("Fields", fields);
}

static void print_records(void)
{
#define VERB(name, number, callers, prose, request, reply)
#define RECORD(name, prose, fields) print_record(#name, prose, name##_record);
#include "common/protocol.def"
#undef VERB
#undef RECORD
}

static void print_errors(void)
{
        printf("\n| status | word | what |\n|---|---|---|\n");
#define ERROR(number, name, word, exit_status, text) printf("| %d | %s | %s |\n", number, word, text);
#include "common/error.def"
#undef ERROR
}

static void print_limits(void)
{
        printf("\n| limit | value |\n|---|---|\n"
               "| version | %d |\n| oldest version | %d |\n| greatest size of a frame | %d |\n",
               KB_PROTOCOL_VERSION, KB_PROTOCOL_VERSION_MIN, KB_FRAME_MAX);
}

static const struct {
        const char *name;
        void (*print)(void);
} tables[] = {
        {"limits", print_limits},
        {"errors", print_errors},
        {"verbs", print_verbs},
        {"records", print_records},
};

static void print_table(const char *name)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(tables); i++)
                if (strcmp(tables[i].name, name) == 0) {
                        tables[i].print();
                        return;
                }
        errx(EXIT_FAILURE, "there is no table '%s'", name);
}

int main(void)
{
        char line[512];

        while (fgets(line, sizeof(line), stdin)) {
                if (line[0] == '@') {
                        line[strcspn(line, "\n")] = 0;
                        print_table(line + 1);
                } else {
                        fputs(line, stdout);
                }
        }
        return ferror(stdin) || fclose(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
