/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer doctor: everything that can be wrong with a host, one row each. */
#include "cli/doctor.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/facts.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/spawn.h"
#include "common/clock.h"

#define RAMFS       0x858458f6 /* statfs(2) */
#define PEOPLE_MAX  1000       /* of whom is looked whether another source knows them */
#define PEOPLE_SIZE (128 * 1024)

/* --- units and the broker --- */

static char *unit_is_off(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        if (cli_systemctl("is-active", check->about) != 0)
                return cli_format("%s is not running", check->about);
        return NULL;
}

static char *unit_is_disabled(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        if (cli_systemctl("is-enabled", check->about) != 0)
                return cli_format("%s would not be started at the next boot", check->about);
        return NULL;
}

static char *is_silent(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        return d->answers ? NULL : cli_format("keybearerd does not answer");
}

/* The value of a fact; NULL when the broker says nothing about it. */
static const char *fact(const struct doctor *d, const char *name)
{
        const char *text;

        return d->answers && kb_list_find_string(d->facts, name, &text) ? text : NULL;
}

static char *is_another_version(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        const char *version = fact(d, "version");

        if (!version || strcmp(version, PACKAGE_VERSION) == 0)
                return NULL;
        return cli_format("keybearerd runs version %s, and " PACKAGE_VERSION " is installed", version);
}

/* about: a fact that is "" or "0" when all is well. */
static char *fact_speaks(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        const char *text = fact(d, check->about);

        return !text || !*text || strcmp(text, "0") == 0 ? NULL : cli_format("%s: %s", check->about, text);
}

static char *only_observes(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        const char *mode = fact(d, "login_mode");

        return mode && strcmp(mode, "observe") == 0 ? cli_format("[Login] Mode=observe: nobody is refused")
                                                    : NULL;
}

static char *came_in_by_code(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        const char *used = fact(d, check->about);

        return !used || strcmp(used, "0") == 0 ? NULL
                                               : cli_format("%s of the codes that `keybearer setup` printed "
                                                            "let somebody in: the log says "
                                                            "who",
                                                            used);
}

/* --- the store --- */

/* Asks for what only an open store gives, and little of it. */
static char *store_is_out(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_admin);
        int r;

        if (!d->answers)
                return NULL; /* said already */
        kb_admin_request_put(&call.request, &(struct kb_admin_request){.store = check->about,
                                                                       .object = "secret",
                                                                       .action = "list",
                                                                       .name = ""});
        r = kb_call_run(&call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), 10 * KB_USEC_PER_SEC));
        if (r < 0)
                return cli_format("the store %s: %s", check->about, strerror(-r));
        return call.status == KB_E_OK ? NULL : cli_format("the store %s: %s", check->about, call.text);
}

/* --- files --- */

static char *not_root_only(const char *path, mode_t wanted)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return cli_format("%s: %s", path, strerror(errno));
        if (st.st_uid != 0)
                return cli_format("%s belongs to uid %u", path, (unsigned)st.st_uid);
        if ((st.st_mode & 07777) != wanted)
                return cli_format("%s has mode %04o instead of %04o", path, (unsigned)(st.st_mode & 07777),
                                  (unsigned)wanted);
        return NULL;
}

static char *is_not_private(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        return not_root_only(check->about, 0700);
}

static char *is_not_public(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        return not_root_only(check->about, 0755);
}

static char *is_swappable(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        struct statfs fs;

        if (statfs(check->about, &fs) < 0)
                return cli_format("%s: %s", check->about, strerror(errno));
        return fs.f_type == RAMFS
                       ? NULL
                       : cli_format("%s is no ramfs: keys in it could be swapped out", check->about);
}

static char *is_missing(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        return access(check->about, F_OK) == 0 ? NULL : cli_format("%s: %s", check->about, strerror(errno));
}

static char *settings_are_wrong(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_(kb_credentials_freep) struct kb_credentials *all = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        const struct kb_config_trust trust = {.owner = 0};
        char *first;

        if (kb_config_new(KB_CONFIG_FILE, &trust, &problems, &config) == 0 &&
            kb_credentials_new(KB_CREDENTIALS_FOLDER, &trust, config, false, &problems, &all) == 0)
                return NULL;
        if (problems.count == 0)
                return cli_format("the settings cannot be read");
        if (problems.problems[0].file)
                *ret_about = cli_format("%s", problems.problems[0].file);
        first = kb_problem_format(&problems.problems[0]);
        return first ? first : cli_format("the settings cannot be read");
}

/* --- PAM and the name service --- */

static char *swallows_denials(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        _cleanup_free_ char *text = cli_file_read(check->about),
                            *cause = doctor_judge_account(text ? text : "");

        return cause ? cli_format("%s: %s", check->about, cause) : NULL;
}

static char *jumps_over_us(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        _cleanup_free_ char *text = cli_file_read(check->about), *cause = NULL;
        unsigned line;

        cause = doctor_judge_jump(text ? text : "", &line);
        if (!cause)
                return NULL;
        *ret_about = cli_format("%us/^/#/", line);
        return cli_format("%s, %s", check->about, cause);
}

static char *has_no_line(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        _cleanup_free_ char *text = cli_file_read(check->about);

        for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
                if (line[strspn(line, " \t")] != '#' && strstr(line, "pam_keybearer.so"))
                        return NULL;
        return cli_format("%s does not name pam_keybearer.so", check->about);
}

static char *is_not_asked(const struct doctor *d, const struct doctor_check *check, char **ret_about)
{
        _cleanup_free_ char *text = cli_file_read("/etc/nsswitch.conf");

        return doctor_judge_nsswitch(text ? text : "", check->about);
}

/* The sources of a line of nsswitch.conf that are neither files nor we, for getent -s; a new string. */
static char *other_sources(const char *database)
{
        _cleanup_free_ char *text = cli_file_read("/etc/nsswitch.conf");
        char *others = cli_format("%s", ""), *line, *word;

        for (char *rest = text; (line = strsep(&rest, "\n"));) {
                size_t n = strlen(database);

                if (strncmp(line, database, n) != 0 || line[n] != ':')
                        continue;
                line += n + 1;
                line[strcspn(line, "#")] = '\0';
                while ((word = strsep(&line, " \t")))
                        if (*word && *word != '[' && strcmp(word, "files") != 0 &&
                            strcmp(word, "keybearer") != 0) {
                                char *longer = cli_format("%s%s%s", others, *others ? " " : "", word);

                                free(others);
                                others = longer;
                        }
                break;
        }
        return others;
}

/* The first of our people whom that source knows too; a new string. */
static char *also_known(const char *source, char *people)
{
        char *names[PEOPLE_MAX + 5] = {(char[]){"getent"}, (char[]){"-s"}, (char *)(uintptr_t)source,
                                       (char[]){"passwd"}};
        char found[256];
        size_t n = 4;

        for (char *rest = people, *line; n < KB_ARRAY_SIZE(names) - 1 && (line = strsep(&rest, "\n"));) {
                line[strcspn(line, ":")] = '\0';
                if (*line)
                        names[n++] = line;
        }
        if (n == 4)
                return NULL;
        cli_spawn(names, KB_SPAN(NULL, 0), found, sizeof(found));
        found[strcspn(found, ":\n")] = '\0';
        return *found ? cli_format("%s", found) : NULL;
}

/* Somebody else's answer for one of our people would be a login that we do not decide. */
static char *somebody_else_answers(const struct doctor *d, const struct doctor_check *check,
                                   char **ret_about)
{
        char *list[] = {(char[]){"getent"}, (char[]){"-s"}, (char[]){"keybearer"},
                        (char *)(uintptr_t)check->about, NULL};
        _cleanup_free_ char *people = malloc(PEOPLE_SIZE), *others = other_sources(check->about);

        if (!people || cli_spawn(list, KB_SPAN(NULL, 0), people, PEOPLE_SIZE) != 0)
                return NULL;
        for (char *rest = others, *source; (source = strsep(&rest, " "));) {
                _cleanup_free_ char *copy = cli_format("%s", people), *name = NULL;

                name = *source ? also_known(source, copy) : NULL;
                if (!name)
                        continue;
                *ret_about = cli_format("%s", source);
                return cli_format("%s answers for %s too, who is ours", source, name);
        }
        return NULL;
}

/* --- the table: what an administrator would look at first comes first --- */

/* systemd starts no socket whose service runs already. */
#define SOCKET(service)                                                                                     \
        "systemctl stop " service ".service; systemctl unmask -q %s; systemctl enable -q --now %s && "      \
        "systemctl start " service ".service"
#define BROKER "keybearerd"
#define LOCAL  "keybearer-store-local"
#define REMAKE                                                                                              \
        "systemctl stop 'keybearer*.socket' keybearerd keybearer-store-local; "                             \
        "systemctl restart run-keybearer.mount && keybearer setup"
#define EDIT "${EDITOR:-editor} %s && systemctl reload keybearerd"
#define OWN  "chown root:root %s && chmod 0700 %s"
#define PAM  "DEBIAN_FRONTEND=noninteractive pam-auth-update --force --enable keybearer"
#define SWITCH                                                                                              \
        "sed -i -E '/^%s:/{s/[[:blank:]]+keybearer\\b//g;s/\\bfiles((\\s+\\[[^]]*\\])*)/files\\1 "          \
        "keybearer/}' "                                                                                     \
        "/etc/nsswitch.conf"
#define ENFORCE                                                                                             \
        "mkdir -p " KB_CONFIG_FILE ".d && printf '[Login]\\nMode=enforce\\n' >" KB_CONFIG_FILE              \
        ".d/zz-enforce.conf && systemctl reload keybearerd"

static const struct doctor_check checks[] = {
        {"settings are well formed", KB_CONFIG_FILE, settings_are_wrong, EDIT},
        {"keys lie in memory only", KB_RUNDIR, is_swappable, REMAKE},
        {"socket for root's processes", "keybearer-root.socket", unit_is_off, SOCKET(BROKER)},
        {"socket for everyone", "keybearer-auth.socket", unit_is_off, SOCKET(BROKER)},
        {"socket for units", "keybearer-encrypted.socket", unit_is_off, SOCKET(BROKER)},
        {"socket for units, plain", "keybearer-plain.socket", unit_is_off, SOCKET(BROKER)},
        {"socket of the local store", "keybearer-store-local.socket", unit_is_off, SOCKET(LOCAL)},
        {"keybearerd is enabled", "keybearerd.service", unit_is_disabled,
         "systemctl unmask -q %s; systemctl enable -q %s"},
        {"keybearerd answers", "keybearerd.service", is_silent,
         "systemctl unmask -q %s; systemctl restart %s"},
        {"keybearerd is the one installed", "keybearerd.service", is_another_version,
         "systemctl restart %s"},
        {"the store answers", "local", store_is_out, "systemctl restart keybearer-store-%s.service"},
        {"the log is written", "log_error", fact_speaks, "journalctl --vacuum-size=64M"},
        {"grants are renewed", "grants_failing", fact_speaks, "keybearer grant list"},
        {"the directory is good", "directory_problem", fact_speaks,
         "systemctl restart keybearer-store-local keybearerd"},
        {"decisions are enforced", "Mode", only_observes, ENFORCE},
        {"nobody came in by a recovery code", "recovery_used", came_in_by_code,
         "keybearer audit show event=break-glass-used; keybearer recovery"},
        {"the log is root's alone", KB_STATEDIR "/log", is_not_private, OWN},
        {"what stores gave to keep is root's alone", KB_STATEDIR "/keep", is_not_private, OWN},
        {"the directory is root's alone", KB_STATEDIR "/directory", is_not_private, OWN},
        {"names can be read by all", KB_STATEDIR "/nss", is_not_public,
         "chown root:root %s && chmod 0755 %s"},
        {"there is a file of names", KB_STATEDIR "/nss/generation", is_missing,
         "systemctl restart keybearerd"},
        {"PAM: a denial counts", "/etc/pam.d/common-account", swallows_denials, PAM},
        {"PAM: nothing jumps over a denial", "/etc/pam.d/common-account", jumps_over_us,
         "sed -i '%s' /etc/pam.d/common-account && " PAM},
        {"PAM: passwords", "/etc/pam.d/common-auth", has_no_line, PAM},
        {"PAM: change of password", "/etc/pam.d/common-password", has_no_line, PAM},
        {"PAM: sessions", "/etc/pam.d/common-session", has_no_line, PAM},
        {"people's names are looked up", "passwd", is_not_asked, SWITCH},
        {"groups' names are looked up", "group", is_not_asked, SWITCH},
        {"nobody else answers for our people", "passwd", somebody_else_answers,
         "sed -i -E '/^(passwd|group):/s/[[:blank:]]+%s\\b//' /etc/nsswitch.conf"},
};

/* The cure with every %s replaced by what the check is about. */
static char *cure_of(const struct doctor_check *check, const char *about)
{
        char *cure = cli_format("%s", ""), *longer;

        for (const char *at = check->cure; *at;) {
                size_t n = strcspn(at, "%");
                bool place = at[n] == '%' && at[n + 1] == 's';

                longer = cli_format("%s%.*s%s", cure, (int)n, at, place ? about : "");
                free(cure);
                cure = longer;
                at += n + (at[n] ? 2 : 0);
        }
        return cure;
}

static void report(const struct cli *cli, json_object *all, const struct doctor_check *check,
                   const char *cause, const char *cure)
{
        json_object *row = json_object_new_object();

        cli_row_text(row, "check", check->name);
        cli_row_flag(row, "well", !cause);
        if (cause) {
                cli_row_text(row, "cause", cause);
                cli_row_text(row, "cure", cure);
        }
        json_object_array_add(all, row);
        if (cli->given[CLI_OPTION_json])
                return;
        if (!cause)
                printf("  ok    %s\n", check->name);
        else
                printf("  WRONG %s\n        %s\n        %s\n", check->name, cause, cure);
}

/* Quietly: that it does not answer is one of the checks. */
static bool get_facts(struct kb_call *call, struct kb_list *ret)
{
        struct kb_status_reply reply;

        *call = kb_call_init(KB_VERB_status);
        if (kb_call_run(call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), 10 * KB_USEC_PER_SEC)) < 0 ||
            call->status != KB_E_OK || kb_status_reply_get(call->reply.body, &reply) < 0)
                return false;
        *ret = reply.facts;
        return true;
}

int cli_run_doctor(struct cli *cli)
{
        _cleanup_call_ struct kb_call call = {0};
        struct doctor d = {.cli = cli};
        json_object *all;
        size_t wrong = 0;

        if (cli->given[CLI_OPTION_root])
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "doctor looks at the running system only; leave out --root");
        all = json_object_new_array();
        d.answers = get_facts(&call, &d.facts);
        for (size_t i = 0; i < KB_ARRAY_SIZE(checks); i++) {
                _cleanup_free_ char *about = NULL, *cure = NULL;
                _cleanup_free_ char *cause = checks[i].find(&d, &checks[i], &about);

                cure = cure_of(&checks[i], about ? about : checks[i].about);
                wrong += cause != NULL;
                report(cli, all, &checks[i], cause, cure);
        }
        if (cli->given[CLI_OPTION_json])
                cli_object_print(cli, json_object_get(all));
        else if (wrong > 0)
                printf("\n%zu of %zu checks found something. Each names its cause, and the command that "
                       "mends it.\n",
                       wrong, KB_ARRAY_SIZE(checks));
        json_object_put(all);
        return wrong > 0 ? kb_error_exit_status(KB_E_INTERNAL) : 0;
}
