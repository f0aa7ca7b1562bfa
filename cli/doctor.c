/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer doctor: everything that can be wrong with a host, one row each. */
#include "cli/doctor.h"

#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "common/client.h"
#include "common/clock.h"

#define WIDTH 80 /* of a terminal; commands are never broken, so that they can be pasted */

/* --- the table: what an administrator would look at first comes first --- */

/* systemd starts no socket whose service runs already. */
#define SOCKET(service)                                                                                     \
        "systemctl stop " service ".service; systemctl unmask -q %s " service ".service; "                  \
        "systemctl enable -q --now %s && systemctl start " service ".service"
#define BROKER "keybearerd"
#define LOCAL  "keybearer-store-local"
#define REMAKE                                                                                              \
        "systemctl stop 'keybearer*.socket' keybearerd keybearer-store-local; "                             \
        "systemctl restart run-keybearer.mount && keybearer setup"
#define EDIT "${EDITOR:-editor} %s && systemctl reload keybearerd"
#define OWN  "chown root:root %s && chmod 0700 %s"

/* Without --force, which would throw away what was edited by hand. */
#define PAM "DEBIAN_FRONTEND=noninteractive pam-auth-update --enable keybearer"
#define PAM_THEN                                                                                            \
        "If it says that local modifications are kept: put the lines of "                                   \
        "/usr/share/pam-configs/keybearer there yourself, as pam_keybearer(8) shows."
/* Before what pam-auth-update keeps in order, so that it goes on doing so. */
#define PAM_FIRST                                                                                           \
        "sed -i '1i account [success=ok new_authtok_reqd=ok user_unknown=ignore default=bad] "              \
        "pam_keybearer.so' %s"
#define SSHD                                                                                                \
        "printf 'UsePAM yes\\n' >/etc/ssh/sshd_config.d/00-keybearer.conf && "                              \
        "systemctl try-reload-or-restart ssh.service"
#define SWITCH "sed -i '%s' /etc/nsswitch.conf"
#define ENFORCE                                                                                             \
        "mkdir -p " KB_CONFIG_FILE ".d && printf '[Login]\\nMode=enforce\\n' >" KB_CONFIG_FILE              \
        ".d/zz-enforce.conf && systemctl reload keybearerd"
#define ROOM                                                                                                \
        "df -h %s && du -xh --max-depth=3 \"$(df --output=target %s | tail -n 1)\" | sort -h | tail -n 15"
#define ROOM_THEN                                                                                           \
        "Make room there, or give the disk more: the log goes on by itself, and so do those who wait for "  \
        "it."
#define JOURNAL "systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald"
#define WHOSE                                                                                               \
        "for source in keybearer $(sed -n 's/^passwd://p' /etc/nsswitch.conf | sed "                        \
        "'s/\\[[^]]*\\]//g;s/#.*//'); do "                                                                  \
        "echo $source: $(getent -s $source passwd %s); done"
#define WHOSE_THEN                                                                                          \
        "Decide whose name it is, and take it out of the other source; ours with `keybearer user remove`."

static const struct doctor_check checks[] = {
        {"settings are well formed", KB_CONFIG_FILE, doctor_settings_are_wrong, EDIT},
        {"keys lie in memory only", KB_RUNDIR, doctor_is_swappable, REMAKE},
        {"socket for root's processes", "keybearer-root.socket", doctor_unit_is_off, SOCKET(BROKER)},
        {"socket for everyone", "keybearer-auth.socket", doctor_unit_is_off, SOCKET(BROKER)},
        {"socket for units", "keybearer-encrypted.socket", doctor_unit_is_off, SOCKET(BROKER)},
        {"socket for units, plain", "keybearer-plain.socket", doctor_unit_is_off, SOCKET(BROKER)},
        {"socket of the local store", "keybearer-store-local.socket", doctor_unit_is_off, SOCKET(LOCAL)},
        {"keybearerd is enabled", "keybearerd.service", doctor_unit_is_disabled,
         "systemctl unmask -q %s; systemctl enable -q %s"},
        {"keybearerd answers", "keybearerd.service", doctor_is_silent,
         "systemctl unmask -q %s; systemctl restart %s"},
        {"keybearerd is the one installed", "keybearerd.service", doctor_is_another_version,
         "systemctl restart %s"},
        {"keybearerd has this host's key", "keybearerd.service", doctor_key_is_newer,
         "systemd-creds setup && systemctl restart %s"},
        {"the store answers", "local", doctor_store_is_out, "systemctl restart keybearer-store-%s.service"},
        {"other stores answer", "", doctor_other_store_is_out, "keybearer store status --store=%s",
         "Mend what it says, in the store's file or at its servers: it is tried again by itself. A store "
         "that is "
         "not wanted goes with its file, once no credential names it."},
        {"servers let credentials be fetched", "", doctor_policy_lacks, "%s",
         "Add what stands above to a policy of this host at those servers, with `bao policy write`: it is "
         "in "
         "force at once."},
        {"what stores gave to keep can be opened", KB_STATEDIR "/keep", doctor_kept_is_lost,
         "mv %s %s.unreadable && systemctl restart keybearerd"},
        {"the log is written", KB_STATEDIR "/log", doctor_log_is_stuck, ROOM, ROOM_THEN},
        {"the journal takes records", "journal_error", doctor_fact_speaks, JOURNAL},
        {"grants are renewed", "", doctor_grant_fails, "keybearer credential fetch %s >/dev/null",
         "Mend what it complains about: the renewal is tried again by itself until the lease ends."},
        {"grants are revoked", "revoking", doctor_grant_fails, "systemctl restart keybearerd"},
        {"revocation lists are good", KB_STATEDIR "/pki", doctor_list_is_old,
         "systemctl restart keybearerd"},
        {"the directory is good", "directory_problem", doctor_directory_speaks,
         "systemctl restart keybearerd"},
        {"the directory is young enough", "directory_old", doctor_directory_speaks,
         "systemctl restart keybearerd"},
        {"decisions are enforced", "Mode", doctor_only_observes, ENFORCE},
        {"there are recovery codes", "recovery_codes", doctor_fact_is_zero, "keybearer recovery"},
        {"nobody came in by a recovery code", "recovery_used", doctor_came_in_by_code,
         "keybearer audit show event=break-glass-used; keybearer recovery"},
        {"the log is root's alone", KB_STATEDIR "/log", doctor_is_not_private, OWN},
        {"what stores gave to keep is root's alone", KB_STATEDIR "/keep", doctor_is_not_private, OWN},
        {"the directory is root's alone", KB_STATEDIR "/directory", doctor_is_not_private, OWN},
        {"names can be read by all", KB_STATEDIR "/nss", doctor_is_not_public,
         "chown root:root %s && chmod 0755 %s"},
        {"there is a file of names", KB_STATEDIR "/nss", doctor_has_no_names,
         "systemctl restart keybearerd"},
        {"PAM: a denial counts", "/etc/pam.d/common-account", doctor_swallows_denials, PAM, PAM_THEN},
        {"PAM: nothing jumps over a denial", "/etc/pam.d/common-account", doctor_jumps_over_us, PAM_FIRST},
        {"PAM: passwords", "/etc/pam.d/common-auth", doctor_has_no_line, PAM, PAM_THEN},
        {"PAM: change of password", "/etc/pam.d/common-password", doctor_has_no_line, PAM, PAM_THEN},
        {"PAM: sessions", "/etc/pam.d/common-session", doctor_has_no_line, PAM, PAM_THEN},
        {"PAM: sessions of jobs", "/etc/pam.d/common-session-noninteractive", doctor_has_no_line, PAM,
         PAM_THEN},
        {"sshd asks PAM", "UsePAM", doctor_sshd_asks_nobody, SSHD},
        {"people's names are looked up", "passwd", doctor_is_not_asked, SWITCH},
        {"groups' names are looked up", "group", doctor_is_not_asked, SWITCH},
        {"nobody else answers for our people", "passwd", doctor_somebody_else_answers, WHOSE, WHOSE_THEN},
};

/* The command with every %s replaced by what the check is about. */
static char *command_of(const struct doctor_cure *cure, const char *about)
{
        char *command = cli_format("%s", ""), *longer;

        for (const char *at = cure->command; *at;) {
                size_t n = strcspn(at, "%");
                bool place = at[n] == '%' && at[n + 1] == 's';

                longer = cli_format("%s%.*s%s", command, (int)n, at, place ? about : "");
                free(command);
                command = longer;
                at += n + (at[n] ? 2 : 0);
        }
        return command;
}

/* Behind a margin, with line breaks where words end. */
static void print_wrapped(const char *margin, const char *text)
{
        const size_t width = WIDTH - strlen(margin) - 1;

        while (*text) {
                size_t n = strlen(text);

                if (n > width)
                        for (n = width; n > 0 && text[n] != ' ';)
                                n--;
                if (n == 0) /* one word, and longer than a line */
                        n = strcspn(text, " ");
                printf("%s%.*s\n", margin, (int)n, text);
                text += n;
                text += strspn(text, " ");
        }
}

/* A command is in one piece, so that it can be pasted; so is each line of a policy. */
static void print_cure(const char *command, const struct doctor_cure *cure)
{
        for (const char *line = command; *line;) {
                size_t n = strcspn(line, "\n");

                printf("        %s%.*s\n", cure->is_policy ? "" : "# ", (int)n, line);
                line += n + (line[n] == '\n');
        }
        if (cure->then)
                print_wrapped("        ", cure->then);
}

static void report(const struct cli *cli, json_object *all, const struct doctor_check *check,
                   const char *cause, const char *command, const struct doctor_cure *cure)
{
        json_object *row = json_object_new_object();

        cli_row_text(row, "check", check->name);
        cli_row_flag(row, "well", !cause);
        if (cause) {
                cli_row_text(row, "cause", cause);
                cli_row_text(row, "cure", command);
                if (cure->then)
                        cli_row_text(row, "then", cure->then);
        }
        json_object_array_add(all, row);
        if (cli->given[CLI_OPTION_json])
                return;
        printf("  %s %s\n", cause ? "WRONG" : "ok   ", check->name);
        if (!cause)
                return;
        print_wrapped("        ", cause);
        print_cure(command, cure);
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
                struct doctor_cure cure = {.command = checks[i].command, .then = checks[i].then};
                _cleanup_free_ char *cause = checks[i].find(&d, &checks[i], &cure), *command = NULL;

                command = command_of(&cure, cure.about ? cure.about : checks[i].about);
                wrong += cause != NULL;
                report(cli, all, &checks[i], cause, command, &cure);
                free(cure.about);
        }
        if (cli->given[CLI_OPTION_json])
                cli_object_print(cli, json_object_get(all));
        else if (wrong > 0)
                printf("\n%zu of %zu checks found something. Below each stand its cause, and behind # the\n"
                       "command that mends it.\n",
                       wrong, KB_ARRAY_SIZE(checks));
        json_object_put(all);
        return wrong > 0 ? kb_error_exit_status(KB_E_INTERNAL) : 0;
}
