/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer setup --store=NAME: the settings of a store of type vault, the enrolment token that this host
 * comes with, and its first login. Can be run again: with another token, or with what was mistyped before.
 * Once the host has logged in, its settings are the administrator's.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/files.h"
#include "cli/input.h"
#include "cli/permissions.h"
#include "cli/setup.h"
#include "cli/spawn.h"
#include "common/client.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/names.h"
#include "helper/config/store.h"
#include "helper/config/store_vault.h"

#define HEAD       "# Written by `keybearer setup --store=%s`.\n"
#define SETTINGS   KB_STORES_FOLDER "/%s.conf"
#define CA_FILE    KB_SYSCONFDIR "/%s.ca.pem"
#define ROLE_ID    KB_SYSCONFDIR "/%s.role-id"
#define FOLDER     KB_STATEDIR "-store-%s"
#define ENROLMENT  "enrolment"
#define LOGIN_USEC (40 * KB_USEC_PER_SEC)
#define STUCK_USEC (15 * KB_USEC_PER_SEC) /* the same problem for so long is not going away */
#define LOOK_USEC  (KB_USEC_PER_SEC / 2)

struct store_setup {
        struct setup *s;
        struct cli *cli;
        const char *name;
        char *settings, *ca_file, *role_id, *folder, *socket, *service; /* paths and units */
        bool changed, known;
};

static void done(struct store_setup *v)
{
        char **texts[] = {&v->settings, &v->ca_file, &v->role_id, &v->folder, &v->socket, &v->service};

        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++)
                free(*texts[i]);
}

static const char *given(const struct store_setup *v, enum cli_option option)
{
        return v->cli->value[option];
}

/* --- how it is --- */

/* *ret_problem: why it is not logged in; a new string. */
static bool is_open(const struct store_setup *v, char **ret_problem)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_admin);
        const char *state = "", *problem = "";
        struct kb_admin_reply reply;
        struct kb_list row;
        int r;

        kb_admin_request_put(&call.request,
                             &(struct kb_admin_request){
                                     .store = v->name, .object = "store", .action = "status", .name = ""});
        r = kb_call_run(&call, KB_ROOT_SOCKET, kb_time_add(kb_now_monotonic(), CLI_ASK_USEC));
        free(*ret_problem);
        *ret_problem = cli_format("%s", r < 0 ? strerror(-r) : call.text);
        if (r < 0 || call.status != KB_E_OK || kb_admin_reply_get(call.reply.body, &reply) < 0 ||
            !cli_admin_next_row(&reply.rows, &row))
                return false;
        (void)!kb_list_find_string(row, "state", &state);
        (void)!kb_list_find_string(row, "problem", &problem);
        free(*ret_problem);
        *ret_problem = cli_format("%s", problem);
        return strcmp(state, "open") == 0;
}

/* --- files --- */

static int fail_write(const struct store_setup *v, const char *path, int r)
{
        return cli_fail(v->cli, KB_E_INTERNAL, "%s cannot be written: %s", path, strerror(-r));
}

static int group_of_store(const struct store_setup *v, struct passwd **ret)
{
        *ret = getpwnam(KB_VAULT_USER);
        return *ret ? 0
                    : cli_fail(v->cli, KB_E_INTERNAL,
                               "there is no user " KB_VAULT_USER "; systemd-sysusers makes it");
}

/* For root and the store's program. */
static int write_file(struct store_setup *v, const char *path, const char *text, mode_t mode)
{
        struct passwd *user;
        int r = group_of_store(v, &user);

        if (r != 0)
                return r;
        r = cli_file_write(path, text, strlen(text), mode);
        if (r < 0)
                return fail_write(v, path, r);
        if (chown(path, 0, user->pw_gid) < 0)
                return fail_write(v, path, -errno);
        if (r > 0) {
                v->changed = true;
                setup_note_done(v->s, "wrote %s", path);
        }
        return 0;
}

/* The folder is the store's own user's, who may do there what they like: no link is followed. */
static int write_token(struct store_setup *v, const char *token)
{
        _cleanup_close_ int folder = -1;
        struct passwd *user;
        int r = group_of_store(v, &user);

        if (r != 0)
                return r;
        if ((mkdir(v->folder, 0700) < 0 && errno != EEXIST) ||
            (folder = open(v->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
            fchown(folder, user->pw_uid, user->pw_gid) < 0)
                return fail_write(v, v->folder, -errno);
        r = kb_file_write_at(folder, ENROLMENT ".new", KB_SPAN_STRING(token), 0600);
        if (r >= 0 &&
            (fchownat(folder, ENROLMENT ".new", user->pw_uid, user->pw_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
             renameat(folder, ENROLMENT ".new", folder, ENROLMENT) < 0))
                r = -errno;
        if (r < 0)
                return fail_write(v, v->folder, r);
        v->changed = true;
        setup_note_done(v->s, "handed the enrolment token to the store's program");
        return 0;
}

/* --- what was typed --- */

static int read_text(const struct store_setup *v, const char *path, char **ret)
{
        uint8_t *bytes;
        size_t size;
        int r = cli_read_file(v->cli, path, &bytes, &size);

        if (r != 0)
                return r;
        *ret = (char *)bytes;
        (*ret)[size] = '\0'; /* there is room for one byte more than a file may have */
        return 0;
}

static int take_ca(struct store_setup *v)
{
        _cleanup_secret_ char *text = NULL;
        const char *path = given(v, CLI_OPTION_ca);
        int r = path ? read_text(v, path, &text) : 0;

        if (!path || r != 0)
                return r;
        if (!strstr(text, "-----BEGIN CERTIFICATE-----"))
                return cli_fail(
                        v->cli, KB_E_BAD_REQUEST,
                        "%s holds no certificate in PEM; give the file of the authority that the servers' "
                        "certificates come from",
                        path);
        return write_file(v, v->ca_file, text, 0644);
}

/* "A,B": a line for each. */
static char *addresses(const char *typed)
{
        _cleanup_free_ char *copy = cli_format("%s", typed);
        char *text = cli_format("%s", ""), *rest = copy, *one;

        while ((one = strsep(&rest, ","))) {
                char *longer = cli_format("%sAddress=%s\n", text, one);

                free(text);
                text = longer;
        }
        return text;
}

/* KEY=VALUE when there is a value. */
static char *line(const char *key, const char *value)
{
        return value ? cli_format("%s=%s\n", key, value) : cli_format("%s", "");
}

static char *compose(const struct store_setup *v, const char *role)
{
        _cleanup_free_ char *where = addresses(given(v, CLI_OPTION_address));
        _cleanup_free_ char *ca = line("CaFile", given(v, CLI_OPTION_ca) ? v->ca_file : NULL);
        _cleanup_free_ char *namespace = line("Namespace", given(v, CLI_OPTION_namespace));

        return cli_format(HEAD "[Store]\nType=vault\n\n[Server]\n%s%s%s\n[Login]\nMethod=approle\nRole=%s\n"
                               "RoleIdFile=%s\nSecretIdFile=%s/" ENROLMENT
                               "\nSecretIdWrapped=yes\nRemoveSecretIdFile=yes\n",
                          v->name, where, ca, namespace, role, v->role_id, v->folder);
}

static int check(const struct store_setup *v, const char *text)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *settings = NULL;
        _cleanup_problems_ struct kb_problems problems = {0};
        int r = kb_vault_settings_new_bytes(v->settings, text, strlen(text), &problems, &settings);

        if (r == -EBADMSG)
                return cli_fail_problems(v->cli, &problems);
        return r < 0 ? cli_fail(v->cli, KB_E_INTERNAL, "the settings cannot be checked: %s", strerror(-r))
                     : 0;
}

/* What somebody wrote, or changed, is not written over. */
static int may_write(const struct store_setup *v, const char *text, bool open)
{
        _cleanup_free_ char *is = cli_file_read(v->settings), *head = cli_format(HEAD, v->name);

        if (is && (!is[0] || strcmp(is, text) == 0 || (!open && strncmp(is, head, strlen(head)) == 0)))
                return 0;
        return cli_fail(
                v->cli, KB_E_CONFLICT,
                "%s is there already and says something else; edit it, or remove it and run this again",
                v->settings);
}

static int write_settings(struct store_setup *v, bool open)
{
        char host[256] = "";
        const char *role = given(v, CLI_OPTION_role), *id = given(v, CLI_OPTION_role_id);
        _cleanup_free_ char *text = NULL;
        int r;

        if (!role && (gethostname(host, sizeof(host) - 1) < 0 || !host[0]))
                return cli_fail(v->cli, KB_E_BAD_REQUEST,
                                "this host has no name; give its role with --role=ROLE");
        role = role ? role : host;
        text = compose(v, role);
        r = check(v, text);
        if (r == 0)
                r = may_write(v, text, open);
        if (r == 0)
                r = take_ca(v);
        if (r == 0)
                r = write_file(v, v->role_id, id ? id : role, 0640);
        return r == 0 ? write_file(v, v->settings, text, 0640) : r;
}

static int read_token(const struct store_setup *v, char **ret)
{
        _cleanup_secret_ char *token = NULL;
        const char *file = given(v, CLI_OPTION_token_file);
        size_t n;
        int r = file ? read_text(v, file, &token)
                     : cli_read_secret(v->cli, "enrolment token", false, &token);

        if (r != 0)
                return r;
        for (n = 0; isgraph((unsigned char)token[n]);)
                n++;
        if (n == 0 || token[n + strspn(token + n, "\r\n")] != '\0')
                return cli_fail(v->cli, KB_E_BAD_REQUEST,
                                "that is no token: it is one word, as `bao write -wrap-ttl=10m "
                                "-field=wrapping_token "
                                "auth/approle/role/ROLE/secret-id` prints it");
        token[n] = '\0';
        *ret = take_ptr(token);
        return 0;
}

/* --- the login --- */

/* Settings that were good before are read again only by a new start; a store that is new, by a reload. */
static int switch_on(struct store_setup *v)
{
        int r = setup_start_unit(v->s, v->socket, v->service);

        if (r != 0 || !v->changed)
                return r;
        if (cli_systemctl("try-restart", v->service) != 0 ||
            cli_systemctl("reload", "keybearerd.service") != 0)
                return cli_fail(v->cli, KB_E_INTERNAL,
                                "%s or keybearerd.service could not be told of it; see `systemctl status`",
                                v->service);
        return 0;
}

static int fail_login(const struct store_setup *v, const char *problem)
{
        return cli_fail(v->cli, KB_E_UNREACHABLE,
                        "this host is not logged in at the servers of %s: %s; mend that there, or run this "
                        "again with "
                        "what was wrong put right: --address=, --ca=, --role=, or a new enrolment token",
                        v->name, problem);
}

static int wait_for_login(struct store_setup *v)
{
        _cleanup_free_ char *problem = NULL, *last = NULL;
        uint64_t end = kb_time_add(kb_now_monotonic(), LOGIN_USEC), since = 0, now;

        while (!is_open(v, &problem)) {
                now = kb_now_monotonic();
                if (!last || strcmp(last, problem) != 0) {
                        free(last);
                        last = cli_format("%s", problem);
                        since = now;
                }
                if (now > end || (!strstr(problem, "not logged in yet") && now > since + STUCK_USEC))
                        return fail_login(v, problem);
                usleep((useconds_t)LOOK_USEC);
        }
        if (v->changed)
                setup_note_done(v->s, "logged in at the servers of %s", v->name);
        return 0;
}

static int check_policies(const struct store_setup *v)
{
        size_t n;
        _cleanup_free_ char *lines = cli_missing_lines(v->cli, v->name, &n);

        if (!lines[0])
                return 0;
        return cli_fail(v->cli, KB_E_DENIED,
                        "this host is logged in at the servers of %s, and their policies lack %zu line%s: "
                        "`keybearer "
                        "doctor` prints what has to be added there",
                        v->name, n, KB_S(n));
}

/* --- all of it --- */

/*
 * The token is handed over last: a program that was restarted in the middle of using it would have used it
 * up.
 */
static int enrol(struct store_setup *v)
{
        bool wanted = given(v, CLI_OPTION_address) != NULL, open;
        _cleanup_free_ char *problem = NULL;
        _cleanup_secret_ char *token = NULL;
        int r = 0;

        if (!v->known && !wanted)
                return cli_fail(v->cli, KB_E_BAD_REQUEST,
                                "there is no %s yet; say where its servers are: --address=https://HOST:8200",
                                v->settings);
        open = v->known && is_open(v, &problem);
        if (wanted)
                r = write_settings(v, open);
        if (r == 0 && !open && (wanted || given(v, CLI_OPTION_token_file)))
                r = read_token(v, &token);
        if (r == 0)
                r = switch_on(v);
        if (r == 0 && token)
                r = write_token(v, token);
        if (r == 0)
                r = wait_for_login(v);
        return r == 0 ? check_policies(v) : r;
}

int setup_store(struct setup *s)
{
        const char *name = s->cli->value[CLI_OPTION_store];
        struct store_setup v = {
                .s = s,
                .cli = s->cli,
                .name = name,
                .settings = cli_format(SETTINGS, name),
                .ca_file = cli_format(CA_FILE, name),
                .role_id = cli_format(ROLE_ID, name),
                .folder = cli_format(FOLDER, name),
                .socket = cli_format("keybearer-store-vault@%s.socket", name),
                .service = cli_format("keybearer-store-vault@%s.service", name),
        };
        int r;

        v.known = access(v.settings, F_OK) == 0;
        r = enrol(&v);
        done(&v);
        return r;
}
