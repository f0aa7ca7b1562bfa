/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer doctor: what the broker says about itself, its log, its stores and its grants. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/facts.h"
#include "cli/permissions.h"
#include "cli/root_key.h"
#include "cli/spawn.h"
#include "common/client.h"
#include "common/clock.h"
#include "helper/config/store.h"

#define HOST_KEY "/var/lib/systemd/credential.secret"
#define ROOT_KEY "/etc/credstore.encrypted/keybearer-store-%s.root-key"

/* A file that this host cannot open any more is kept: its key may come back. */
#define ASIDE "mv %s %s.unreadable && "

static uint64_t soon(void)
{
        return kb_time_add(kb_now_monotonic(), 10 * KB_USEC_PER_SEC);
}

/* The value of a fact; NULL when the broker says nothing about it. */
static const char *fact(const struct doctor *d, const char *name)
{
        const char *text;

        return d->answers && kb_list_find_string(d->facts, name, &text) ? text : NULL;
}

char *doctor_is_silent(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        return d->answers ? NULL : cli_format("keybearerd does not answer");
}

char *doctor_is_another_version(const struct doctor *d, const struct doctor_check *check,
                                struct doctor_cure *cure)
{
        const char *version = fact(d, "version");

        if (!version || strcmp(version, PACKAGE_VERSION) == 0)
                return NULL;
        return cli_format("keybearerd runs version %s, and " PACKAGE_VERSION " is installed", version);
}

/* about: a fact that is "" or "0" when all is well. */
char *doctor_fact_speaks(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        const char *text = fact(d, check->about);

        return !text || !*text || strcmp(text, "0") == 0 ? NULL : cli_format("%s: %s", check->about, text);
}

/* A store that only a person opens stays open: a restart would seal it, and nothing be mended by that. */
void doctor_cure_directory(const char *root_key, struct doctor_cure *cure)
{
        if (access(root_key, F_OK) == 0)
                cure->command = "systemctl restart keybearer-store-local keybearerd";
}

/* What is not taken from a cluster is not taken after a restart either. */
char *doctor_directory_speaks(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure)
{
        const char *store = fact(d, "directory_store");

        if (!store || strcmp(store, KB_STORE_LOCAL) == 0)
                doctor_cure_directory(CLI_ROOT_KEY_FILE, cure);
        else {
                cure->command = "keybearer status; keybearer audit show event=directory-refused";
                cure->then =
                        "The last good one stays in force while it may. The runbook says what mends each "
                        "reason: mostly a directory that is published again, or the right key in "
                        "/etc/keybearer/directory.pub.";
        }
        return doctor_fact_speaks(d, check, cure);
}

/* about: a fact that is "0" when something is missing. */
char *doctor_fact_is_zero(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        const char *text = fact(d, check->about);

        return text && strcmp(text, "0") == 0 ? cli_format("%s: none", check->about) : NULL;
}

char *doctor_came_in_by_code(const struct doctor *d, const struct doctor_check *check,
                             struct doctor_cure *cure)
{
        const char *used = fact(d, check->about);

        if (!used || strcmp(used, "0") == 0)
                return NULL;
        return cli_format("%s of the codes that `keybearer setup` printed let somebody in: the log says who",
                          used);
}

#define REMOUNT "mount -o remount,rw \"$(df --output=target %s | tail -n 1)\""

/* No command mends errors of a disk that is in use. */
static void cure_read_only(const char *folder, const char *command, struct doctor_cure *cure)
{
        cure->about = cli_format("%s", folder);
        cure->command = command;
        cure->then = "If it stays read-only, it reports errors, and `journalctl -k` says which: stop "
                     "keybearerd and its stores, check the disk with fsck, mount it and start them again.";
}

static bool is_read_only(const char *folder)
{
        struct statvfs fs;

        return statvfs(folder, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

/* A full disk is the usual reason. What can go from it is not ours to say; least of all somebody's logs. */
char *doctor_log_is_stuck(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        const char *error = fact(d, "log_error");

        if (!error || !*error)
                return NULL;
        /* A service that found it read-only at its start sees it so until the next one. */
        if (strcmp(error, strerror(EROFS)) == 0)
                cure_read_only(check->about, REMOUNT " && systemctl restart keybearerd", cure);
        return cli_format("%s: %s", check->about, error);
}

char *doctor_only_observes(const struct doctor *d, const struct doctor_check *check,
                           struct doctor_cure *cure)
{
        const char *mode = fact(d, "login_mode");

        return mode && strcmp(mode, "observe") == 0 ? cli_format("[Login] Mode=observe: nobody is refused")
                                                    : NULL;
}

/* --- the host's key, and what is encrypted to it --- */

/* Also one that is not there at all counts as opened: nothing is lost with it. */
static bool opens(const char *name, const char *path)
{
        _cleanup_free_ char *option = cli_format("--name=%s", name), *copy = cli_format("%s", path);
        char *decrypt[] = {
                (char[]){"systemd-creds"}, (char[]){"decrypt"}, option, copy, (char[]){"-"}, NULL};

        return access(path, F_OK) < 0 || cli_spawn(decrypt, KB_SPAN(NULL, 0), NULL, 0) == 0;
}

/* What it encrypts would then be refused by systemd, and units not start. */
char *doctor_key_is_newer(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        const char *started = fact(d, "started");
        uint64_t changed;
        struct stat st;

        if (!started)
                return NULL;
        if (stat(HOST_KEY, &st) < 0)
                return cli_format("%s: %s", HOST_KEY, strerror(errno));
        changed = (uint64_t)st.st_ctim.tv_sec * KB_USEC_PER_SEC + (uint64_t)st.st_ctim.tv_nsec / 1000;
        if (changed <= strtoull(started, NULL, 10))
                return NULL;
        return cli_format("%s has changed since keybearerd was started", HOST_KEY);
}

/* Which of the two it was can be told only while keybearerd runs with the key before. */
char *doctor_tell_kept(const char *path, bool key_is_newer, struct doctor_cure *cure)
{
        cure->about = cli_format("%s", path);
        cure->then = "Without it the store can no longer be proven to be the newest: look whether what it "
                     "holds is what you expect, and not an older copy.";
        return key_is_newer ? cli_format("%s was encrypted to another key of this host", path)
                            : cli_format("%s is damaged, or the key that it was encrypted to is gone", path);
}

/* Each store's, as the broker names them. */
char *doctor_kept_is_lost(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        struct kb_list facts = d->facts;
        struct kb_span value;
        const char *name, *store;

        while (d->answers && kb_list_next_pair(&facts, &name, &value)) {
                _cleanup_free_ char *kept = NULL, *path = NULL, *newer = NULL;

                store = cli_fact_store(name);
                if (!store)
                        continue;
                kept = cli_format("keep.%s", store);
                path = cli_format("%s/%s", check->about, store);
                if (opens(kept, path))
                        continue;
                newer = doctor_key_is_newer(d, check, cure);
                return doctor_tell_kept(path, newer != NULL, cure);
        }
        return NULL;
}

/* --- the store --- */

/* One that opens by hand only needs no `keybearer setup`. False also when it does not say. */
static bool opens_by_hand_only(const char *store)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_admin);
        struct kb_admin_reply reply;

        kb_admin_request_put(
                &call.request,
                &(struct kb_admin_request){.store = store, .object = "seal", .action = "list", .name = ""});
        return kb_call_run(&call, KB_ROOT_SOCKET, soon()) == 0 && call.status == KB_E_OK &&
               kb_admin_reply_get(call.reply.body, &reply) == 0 && !cli_root_key_is_lost(reply.rows);
}

/* Its own file may be what keeps it shut; then somebody has to open it by hand, once. */
static void cure_of_shut(const char *store, struct doctor_cure *cure)
{
        _cleanup_free_ char *path = cli_format(ROOT_KEY, store);

        if (!opens("root-key", path)) {
                cure->about = take_ptr(path);
                cure->command =
                        ASIDE "systemctl restart keybearer-store-local.service && keybearer seal unseal "
                              "&& keybearer setup";
        } else if (access(path, F_OK) < 0 && opens_by_hand_only(store)) {
                cure->command = "keybearer seal unseal";
        } else if (access(path, F_OK) < 0) {
                cure->command = "systemctl start keybearer-store-local.socket; keybearer seal unseal && "
                                "keybearer setup";
        }
}

/* Asks for what only an open store gives, and little of it. One that was opened before its disk went
 * read-only still gives that, and can make nothing new. */
char *doctor_store_is_out(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        _cleanup_free_ char *folder = cli_format(KB_STATEDIR "-store-%s", check->about);
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_admin);
        int r;

        if (is_read_only(folder)) {
                cure_read_only(folder,
                               access(CLI_ROOT_KEY_FILE, F_OK) < 0 ? REMOUNT
                                                                   : REMOUNT
                                       " && systemctl restart keybearer-store-local.service",
                               cure);
                return cli_format("the store %s: %s is read-only", check->about, folder);
        }
        if (!d->answers)
                return NULL; /* said already */
        kb_admin_request_put(&call.request, &(struct kb_admin_request){.store = check->about,
                                                                       .object = "secret",
                                                                       .action = "list",
                                                                       .name = ""});
        r = kb_call_run(&call, KB_ROOT_SOCKET, soon());
        if (r == 0 && call.status == KB_E_OK)
                return NULL;
        cure_of_shut(check->about, cure);
        return cli_format("the store %s: %s", check->about, r < 0 ? strerror(-r) : call.text);
}

/* The first beside the local one that gives nothing out. */
char *doctor_other_store_is_out(const struct doctor *d, const struct doctor_check *check,
                                struct doctor_cure *cure)
{
        struct kb_list facts = d->facts;
        struct kb_span value;
        const char *name;

        while (d->answers && kb_list_next_pair(&facts, &name, &value)) {
                const char *state = (const char *)value.data, *store = cli_fact_store(name);
                _cleanup_free_ char *unit = NULL;

                if (!store || strcmp(store, KB_STORE_LOCAL) == 0 || strcmp(state, "up") == 0 ||
                    strcmp(state, "not asked yet") == 0)
                        continue;
                unit = cli_format("keybearer-store-vault@%s.socket", store);
                cure->about = cli_format("%s", store);
                if (cli_systemctl("is-active", unit) != 0)
                        cure->command = "ls " KB_STORES_FOLDER "/%s.conf && systemctl enable -q --now "
                                        "keybearer-store-vault@%s.socket && systemctl restart keybearerd";
                return cli_format("the store %s: %s", store, state);
        }
        return NULL;
}

/* What the first of those that answer lacks at its servers; a policy there may have changed at any time. */
char *doctor_policy_lacks(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        struct kb_list facts = d->facts;
        struct kb_span value;
        const char *name;

        while (d->answers && kb_list_next_pair(&facts, &name, &value)) {
                const char *store = cli_fact_store(name);
                _cleanup_free_ char *lines = NULL;
                size_t n;

                if (!store || strcmp(store, KB_STORE_LOCAL) == 0 ||
                    strcmp((const char *)value.data, "up") != 0)
                        continue;
                lines = cli_missing_lines(d->cli, store, &n);
                if (n == 0)
                        continue;
                cure->about = take_ptr(lines);
                cure->is_policy = true;
                return cli_format("the store %s: the policies of its servers lack %zu line%s", store, n,
                                  KB_S(n));
        }
        return NULL;
}

/* --- grants --- */

static bool fails(const struct kb_grant_record *g, const char *about)
{
        bool revoking = strcmp(g->state, "revoking") == 0;

        return *g->problem && revoking == (strcmp(about, "revoking") == 0);
}

/* One portion of the list. The first that fails, told for people; NULL when none does. *after moves on. */
static char *failing_of(const struct doctor_check *check, uint64_t *after, bool *ret_more,
                        struct doctor_cure *cure)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_grant_list);
        struct kb_grant_list_reply reply;
        struct kb_grant_record grant;
        struct kb_span element;

        *ret_more = false;
        kb_grant_list_request_put(&call.request, &(struct kb_grant_list_request){.after = *after});
        if (kb_call_run(&call, KB_ROOT_SOCKET, soon()) < 0 || call.status != KB_E_OK ||
            kb_grant_list_reply_get(call.reply.body, &reply) < 0)
                return NULL;
        while (kb_list_next(&reply.grants, &element) && kb_grant_record_get(element, &grant) >= 0) {
                *after = grant.id;
                *ret_more = reply.more;
                if (!fails(&grant, check->about))
                        continue;
                cure->about = cli_format("%s", grant.credential);
                return cli_format("%s of %s: %s", grant.credential, grant.consumer, grant.problem);
        }
        return NULL;
}

/* about: "revoking", or "" for those that should live. */
char *doctor_grant_fails(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        uint64_t after = 0;
        bool more = d->answers;
        char *cause = NULL;

        while (more && !cause)
                cause = failing_of(check, &after, &more, cure);
        return cause;
}
