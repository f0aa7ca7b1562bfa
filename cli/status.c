/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer status: the broker's facts as sentences, and below them what needs somebody, with the command
 * that mends it. Two tables: `lines` and `concerns`. --json has the facts as they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/facts.h"
#include "cli/output.h"
#include "common/clock.h"

int cli_get_facts(const struct cli *cli, struct kb_call *call, struct kb_list *ret)
{
        struct kb_status_reply reply;
        int r;

        *call = kb_call_init(KB_VERB_status);
        r = cli_ask(cli, call, CLI_ASK_USEC);
        if (r != 0)
                return r;
        r = kb_status_reply_get(call->reply.body, &reply);
        if (r < 0)
                return cli_fail_reply(cli, r);
        *ret = reply.facts;
        return 0;
}

const char *cli_fact_store(const char *name)
{
        static const char prefix[] = "store.";
        size_t n = sizeof(prefix) - 1;

        return strncmp(name, prefix, n) == 0 ? name + n : NULL;
}

bool cli_is_number(const char *text)
{
        size_t n = strspn(text, "0123456789");

        return n > 0 && n <= 20 && text[n] == '\0';
}

static const char *text_of(struct kb_list facts, const char *name)
{
        const char *text;

        return kb_list_find_string(facts, name, &text) ? text : "";
}

static unsigned long long number_of(struct kb_list facts, const char *name)
{
        return strtoull(text_of(facts, name), NULL, 10);
}

static char *time_of(struct kb_list facts, const char *name)
{
        uint64_t usec = number_of(facts, name);

        return cli_format_time(usec > 0 ? usec : KB_TIME_NEVER, kb_now_realtime());
}

/* --- what is on --- */

static char *tell_broker(struct kb_list facts)
{
        _cleanup_free_ char *started = time_of(facts, "started");

        return cli_format("version %s, started %s", text_of(facts, "version"), started);
}

static char *tell_logins(struct kb_list facts)
{
        bool observes = strcmp(text_of(facts, "login_mode"), "observe") == 0;
        unsigned long long codes = number_of(facts, "recovery_codes");

        return cli_format("%s; %llu recovery code%s left",
                          observes ? "decided, but nobody is refused" : "decisions are enforced", codes,
                          KB_S(codes));
}

static char *tell_directory(struct kb_list facts)
{
        _cleanup_free_ char *confirmed = time_of(facts, "directory_confirmed");
        unsigned long long people = number_of(facts, "directory_people");

        return cli_format("version %llu, %llu %s; confirmed %s", number_of(facts, "directory_version"),
                          people, people == 1 ? "person" : "people", confirmed);
}

static char *tell_credentials(struct kb_list facts)
{
        unsigned long long grants = number_of(facts, "grants");

        return cli_format("%llu defined; %llu live grant%s", number_of(facts, "credentials"), grants,
                          KB_S(grants));
}

static char *tell_log(struct kb_list facts)
{
        unsigned long long records = number_of(facts, "log_records");

        return cli_format("%llu record%s on disk, %llu waiting; the journal lacks %llu of them", records,
                          KB_S(records), number_of(facts, "log_waiting"), number_of(facts, "journal_lag"));
}

/* The question for the facts is one of those that have no answer yet. */
static char *tell_requests(struct kb_list facts)
{
        unsigned long long pending = number_of(facts, "requests_pending");
        unsigned long long units = number_of(facts, "units_waiting");

        return cli_format("%llu without an answer yet, and %llu unit%s; %llu refused since the start",
                          pending > 0 ? pending - 1 : 0, units, KB_S(units), number_of(facts, "refusals"));
}

static const struct {
        const char *title;
        char *(*tell)(struct kb_list facts);
} lines[] = {
        {"keybearerd", tell_broker},       {"logins", tell_logins},     {"directory", tell_directory},
        {"credentials", tell_credentials}, {"requests", tell_requests}, {"log", tell_log},
};

#define WIDTH "%-12s "

static bool is_open(const char *state)
{
        return strcmp(state, "up") == 0;
}

static void print_store(const char *store, const char *state)
{
        _cleanup_free_ char *text = cli_format("%s", is_open(state) ? "open" : state);

        cli_make_printable(text);
        printf(WIDTH "%s: %.*s\n", "store", store, (int)strcspn(text, ":"), text); /* what mends it: below */
}

static void print_lines(struct kb_list facts)
{
        struct kb_span value;
        const char *name, *store;

        for (size_t i = 0; i < KB_ARRAY_SIZE(lines); i++) {
                _cleanup_free_ char *text = lines[i].tell(facts);

                cli_make_printable(text);
                printf(WIDTH "%s\n", lines[i].title, text);
        }
        while (kb_list_next_pair(&facts, &name, &value))
                if ((store = cli_fact_store(name)))
                        print_store(store, (const char *)value.data);
}

/* --- what needs somebody --- */

enum when {
        SPEAKS,   /* the fact is neither "" nor "0" */
        IS_ZERO,  /* it is "0" */
        OBSERVES, /* it is "observe" */
        DIFFERS,  /* it is not our version */
};

/* Where the cure depends on the cause, doctor finds it. In `text` %s is the value of the fact. */
#define DOCTOR "keybearer doctor"
static const struct concern {
        const char *fact;
        enum when when;
        const char *text;
        const char *command;
} concerns[] = {
        {"version", DIFFERS, "the package was upgraded, and keybearerd still runs version %s",
         "systemctl restart keybearerd"},
        {"log_error", SPEAKS, "the log cannot be written: %s", DOCTOR},
        {"log_lost", SPEAKS, "records that nobody waited for and that were never written: %s",
         "keybearer audit verify"},
        {"journal_error", SPEAKS, "the journal takes no records: %s", DOCTOR},
        {"journal_blind", SPEAKS,
         "the journal cannot be read back: whether it keeps the records is not known",
         "systemctl status systemd-journald"},
        {"journal_given_up", SPEAKS, "records that are in the log, and never came into the journal: %s",
         "keybearer audit show"},
        {"directory_problem", SPEAKS, "the directory could not be refreshed: %s", DOCTOR},
        {"directory_old", SPEAKS, "the directory is too old: nobody is let in", DOCTOR},
        {"directory_left_out", SPEAKS, "people left out, since files of this host have their name or id: %s",
         DOCTOR},
        {"login_mode", OBSERVES, "[Login] Mode=observe: nobody is refused", DOCTOR},
        {"recovery_codes", IS_ZERO, "no recovery code is left: with the store away nobody of ours comes in",
         "keybearer recovery"},
        {"recovery_used", SPEAKS, "recovery codes that let somebody in: %s",
         "keybearer audit show event=break-glass-used; keybearer recovery"},
        {"grants_failing", SPEAKS, "grants that could not be renewed: %s", DOCTOR},
        {"grants_revoking", SPEAKS, "grants that still have to be revoked in their store: %s",
         "keybearer grant list"},
};

static bool applies(const struct concern *c, const char *value)
{
        switch (c->when) {
        case SPEAKS:
                return *value && strcmp(value, "0") != 0;
        case IS_ZERO:
                return strcmp(value, "0") == 0;
        case OBSERVES:
                return strcmp(value, "observe") == 0;
        case DIFFERS:
                return strcmp(value, PACKAGE_VERSION) != 0;
        }
        return false;
}

/* Takes over text. *any: something was printed before. */
static void print_concern(char *text, const char *command, bool *any)
{
        bool bold = isatty(STDOUT_FILENO);

        if (!*any)
                printf("\n%sneeds you:%s\n", bold ? "\033[1m" : "", bold ? "\033[0m" : "");
        *any = true;
        cli_make_printable(text);
        printf("  %s\n      # %s\n", text, command);
        free(text);
}

static char *about(const struct concern *c, const char *value)
{
        const char *place = strstr(c->text, "%s");

        return place ? cli_format("%.*s%s%s", (int)(place - c->text), c->text, value, place + 2)
                     : cli_format("%s", c->text);
}

static void print_concerns(struct kb_list facts)
{
        bool any = false;
        struct kb_span value;
        const char *name, *store, *text;

        for (size_t i = 0; i < KB_ARRAY_SIZE(concerns); i++)
                if (kb_list_find_string(facts, concerns[i].fact, &text) && applies(&concerns[i], text))
                        print_concern(about(&concerns[i], text), concerns[i].command, &any);
        while (kb_list_next_pair(&facts, &name, &value)) {
                text = (const char *)value.data;
                store = cli_fact_store(name);
                if (store && !is_open(text) && strcmp(text, "not asked yet") != 0)
                        print_concern(cli_format("the store %s gives nothing out: %s", store, text), DOCTOR,
                                      &any);
        }
}

/* --- the command --- */

static int print_json(const struct cli *cli, struct kb_list facts)
{
        json_object *object = json_object_new_object();
        struct kb_span value;
        const char *name;

        while (kb_list_next_pair(&facts, &name, &value)) {
                const char *text = (const char *)value.data;

                if (cli_is_number(text))
                        cli_row_number(object, name, strtoull(text, NULL, 10));
                else
                        cli_row_text(object, name, text);
        }
        return cli_object_print(cli, object);
}

int cli_run_status(struct cli *cli)
{
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list facts;
        int r = cli_get_facts(cli, &call, &facts);

        if (r != 0)
                return r;
        if (cli->given[CLI_OPTION_json])
                return print_json(cli, facts);
        print_lines(facts);
        print_concerns(facts);
        return 0;
}
