/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/vault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "helper/server/process.h"

#define RETRY_USEC    KB_USEC_PER_SEC
#define PATIENCE_MAX  (9 * KB_USEC_PER_SEC) /* the broker waits 10 s for an answer, unless told otherwise */
#define PATIENCE_MORE (KB_USEC_PER_SEC / 2) /* than a request takes at most */
#define CHANGE_USEC   (50 * 1000ULL)        /* between two looks whether nothing is under way */

/* --- how it is --- */

const struct kb_problem *kb_vault_problem(const struct kb_vault *v)
{
        return v->login ? kb_login_problem(v->login) : &v->problem;
}

const char *kb_vault_state_word(const struct kb_vault *v)
{
        if (!v->login)
                return "not configured";
        return kb_vault_problem(v)->error == KB_E_OK ? "open" : "not logged in";
}

void kb_vault_describe(const struct kb_vault *v, char *ret, size_t size)
{
        const struct kb_problem *problem = kb_vault_problem(v);

        snprintf(ret, size, "%s%s%s", kb_vault_state_word(v), problem->error == KB_E_OK ? "" : ": ",
                 problem->error == KB_E_OK ? "" : problem->text);
}

static void add_server(const struct kb_vault *v, size_t i, struct kb_list_builder *facts)
{
        struct kb_cluster_state state;
        char text[600];

        kb_cluster_state(v->cluster, i, &state);
        snprintf(text, sizeof(text), "%s%s%s",
                 state.open      ? "not asked for now"
                 : state.current ? "asked first"
                                 : "asked next",
                 state.text[0] ? ": " : "", state.text);
        kb_list_add_text(facts, state.address, text);
}

static void add_count(struct kb_list_builder *facts, const char *name, unsigned n)
{
        char text[16];

        if (n == 0)
                return;
        snprintf(text, sizeof(text), "%u", n);
        kb_list_add_text(facts, name, text);
}

void kb_vault_facts(const struct kb_vault *v, struct kb_list_builder *facts)
{
        const struct kb_problem *problem = kb_vault_problem(v);

        kb_list_add_text(facts, "state", kb_vault_state_word(v));
        if (problem->error != KB_E_OK)
                kb_list_add_text(facts, "problem", problem->text);
        kb_list_add_text(facts, "version", PACKAGE_VERSION);
        if (!v->login)
                return;
        kb_login_facts(v->login, facts);
        add_count(facts, "tokens of people", kb_person_tokens_count(v->tokens));
        if (kb_cluster_trouble(v->cluster)[0])
                kb_list_add_text(facts, "trouble with files", kb_cluster_trouble(v->cluster));
        for (size_t i = 0; i < kb_cluster_size(v->cluster); i++)
                add_server(v, i, facts);
}

/* systemd hears of each change once; so does the journal while there is no login, which speaks for itself.
 */
static void tell(struct kb_vault *v)
{
        char now[sizeof(v->told)];

        kb_vault_describe(v, now, sizeof(now));
        if (strcmp(now, v->told) == 0)
                return;
        memcpy(v->told, now, sizeof(now));
        if (!v->login)
                kb_process_log(LOG_ERR, "store %s is %s", v->identity.name, now);
        sd_notifyf(0, "STATUS=%s", now);
}

/* --- the first login --- */

static void settle(struct kb_vault *v)
{
        size_t n = v->n_waiting;

        v->settled = true;
        v->n_waiting = 0; /* nobody waits any more: no handler adds to it */
        for (size_t i = 0; i < n; i++)
                v->waiting[i].handler(v->waiting[i].request, v);
}

static int on_patience(sd_event_source *source, uint64_t now, void *userdata)
{
        settle(userdata);
        return 0;
}

static void on_login_changed(struct kb_login *login, void *userdata)
{
        const struct kb_problem *problem = kb_login_problem(login);
        struct kb_vault *v = userdata;

        tell(v);
        if (v->greeted && !v->settled &&
            (problem->error == KB_E_OK || strcmp(problem->text, v->problem.text) != 0))
                settle(v);
}

void kb_vault_greeted(struct kb_vault *v, struct kb_span keep)
{
        uint64_t patience;

        if (!v->login)
                return;
        patience = kb_time_add(v->settings->request_usec, PATIENCE_MORE);
        kb_login_restore(v->login, keep);
        if (v->greeted)
                return;
        v->greeted = true;
        v->problem = *kb_login_problem(v->login);
        if (sd_event_add_time_relative(v->event, &v->patience, CLOCK_MONOTONIC,
                                       patience < PATIENCE_MAX ? patience : PATIENCE_MAX, 0, on_patience,
                                       v) < 0)
                v->settled = true;
}

bool kb_vault_waits(struct kb_vault *v, struct kb_request *request, kb_handler handler)
{
        bool wait = v->next || (v->greeted && !v->settled);

        if (!wait || v->n_waiting == KB_VAULT_WAITING_MAX)
                return false;
        v->waiting[v->n_waiting++] = (struct kb_vault_waiting){request, handler};
        return true;
}

/* --- settings --- */

/* The first one, for whoever asks. */
static void note_problems(const struct kb_problems *problems, struct kb_problem *ret)
{
        _cleanup_free_ char *text = problems->count > 0 ? kb_problem_format(&problems->problems[0]) : NULL;

        kb_problem(ret, KB_E_UNREACHABLE, "%s", text ? text : "the settings cannot be used");
        if (problems->count > 1)
                kb_problem_add(ret, "; there is more: keybearer config check");
}

/* 0, also when they cannot be used, as ret_problem says then; -ENOMEM. */
static int read_settings(const struct kb_vault *v, struct kb_vault_settings **ret,
                         struct kb_problem *ret_problem)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s.conf", v->identity.folder, v->identity.name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = kb_vault_settings_new(path, &v->identity.trust, &problems, ret);
        if (r == -ENOENT)
                kb_problems_add(&problems, path, 0, "is not there; write it, see stores.conf(5)");
        if (r < 0 && r != -ENOENT && r != -EBADMSG)
                return r;
        if (r < 0)
                note_problems(&problems, ret_problem);
        return 0;
}

/* As far as it goes: what is missing is in `problem`. */
static int open_store(struct kb_vault *v)
{
        int r = v->settings ? 0 : read_settings(v, &v->settings, &v->problem);

        if (r == 0 && v->settings && !kb_vault_connect(v, on_login_changed)) {
                kb_vault_settings_free(v->settings); /* what cannot be used may be mended in the file, too */
                v->settings = NULL;
        }
        if (r == 0)
                tell(v);
        return r;
}

void kb_vault_retry(struct kb_vault *v, uint64_t now)
{
        if (v->login || now < v->reread + RETRY_USEC)
                return;
        v->reread = now;
        if (open_store(v) < 0)
                kb_process_log(LOG_ERR, "memory is out; the settings are read again later");
}

/* --- settings that change --- */

/* The parts of a store that its settings make. */
struct parts {
        struct kb_vault_settings *settings;
        struct kb_cluster *cluster;
        struct kb_login *login;
        struct kb_engines *engines;
        struct kb_vault_directory *directory;
        struct kb_people *people;
        struct kb_person_tokens *tokens;
};

static struct parts take_parts(struct kb_vault *v)
{
        return (struct parts){
                take_ptr(v->settings),  take_ptr(v->cluster), take_ptr(v->login),  take_ptr(v->engines),
                take_ptr(v->directory), take_ptr(v->people),  take_ptr(v->tokens),
        };
}

static void parts_free(struct parts *p)
{
        kb_vault_directory_free(p->directory);
        kb_people_free(p->people);
        kb_engines_free(p->engines);
        kb_person_tokens_free(p->tokens);
        kb_login_free(p->login);
        kb_cluster_free(p->cluster);
        kb_vault_settings_free(p->settings);
}

static void goes_on(const struct kb_vault *v, const struct kb_problem *problem)
{
        kb_process_log(LOG_ERR, "store %s goes on with the settings that it has: %s", v->identity.name,
                       problem->text);
}

/* The new login gets what the old one would have kept: the broker may have an older token. */
static void greet_again(struct kb_vault *v, struct kb_span keep)
{
        v->patience = sd_event_source_disable_unref(v->patience);
        v->greeted = v->settled = false;
        kb_vault_greeted(v, keep);
}

static void take_up(struct kb_vault *v)
{
        _cleanup_writer_ struct kb_writer keep = kb_writer_init(KB_LOGIN_KEEP_MAX);
        struct parts old = take_parts(v), failed;

        v->settings = take_ptr(v->next);
        if (kb_vault_connect(v, on_login_changed)) {
                kb_login_keep(old.login, &keep);
                parts_free(&old);
                if (v->greeted)
                        greet_again(v, KB_SPAN(keep.data, keep.size));
                else
                        settle(v);
        } else {
                failed = take_parts(v);
                parts_free(&failed);
                v->settings = old.settings;
                v->cluster = old.cluster;
                v->login = old.login;
                v->engines = old.engines;
                v->directory = old.directory;
                v->people = old.people;
                v->tokens = old.tokens;
                goes_on(v, &v->problem);
                settle(v);
        }
        tell(v);
}

static bool nothing_under_way(const struct kb_vault *v)
{
        return (!v->engines || kb_engines_idle(v->engines)) &&
               (!v->directory || kb_vault_directory_idle(v->directory)) &&
               (!v->people || kb_people_idle(v->people)) && (!v->tokens || kb_person_tokens_idle(v->tokens));
}

static int on_change(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_vault *v = userdata;

        if (nothing_under_way(v) || now >= v->change_by)
                take_up(v);
        else if (sd_event_source_set_time_relative(source, CHANGE_USEC) < 0 ||
                 sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
                take_up(v);
        return 0;
}

void kb_vault_reload(struct kb_vault *v)
{
        struct kb_vault_settings *settings = NULL;
        struct kb_problem problem;

        if (!v->login) {
                v->reread = 0;
                kb_vault_retry(v, kb_now_monotonic());
                return;
        }
        if (read_settings(v, &settings, &problem) < 0)
                kb_problem(&problem, KB_E_BUSY, "memory is out");
        if (!settings) {
                goes_on(v, &problem);
                return;
        }
        kb_vault_settings_free(v->next);
        v->next = settings;
        v->change_by = kb_time_add(kb_now_monotonic(), v->settings->request_usec);
        v->change = sd_event_source_disable_unref(v->change);
        if (sd_event_add_time_relative(v->event, &v->change, CLOCK_MONOTONIC, 0, 0, on_change, v) < 0)
                take_up(v);
}

/* --- life --- */

int kb_vault_new(struct kb_vault **ret, sd_event *event, const struct kb_vault_identity *identity)
{
        _cleanup_(kb_vault_freep) struct kb_vault *v = calloc(1, sizeof(*v));
        int r;

        if (!v)
                return -ENOMEM;
        v->event = sd_event_ref(event);
        v->identity = *identity;
        v->reread = kb_now_monotonic();
        r = open_store(v);
        if (r < 0)
                return r;
        *ret = take_ptr(v);
        return 0;
}

void kb_vault_free(struct kb_vault *v)
{
        struct parts parts;

        if (!v)
                return;
        for (size_t i = 0; i < v->n_waiting; i++)
                kb_request_fail(v->waiting[i].request, KB_E_BUSY, "the store stops: ask again");
        sd_event_source_disable_unref(v->patience);
        sd_event_source_disable_unref(v->change);
        kb_vault_settings_free(v->next);
        parts = take_parts(v);
        parts_free(&parts);
        sd_event_unref(v->event);
        free(v);
}

/* --- the program --- */

static int start(sd_event *event, void *userdata, void **ret_context)
{
        struct kb_vault *v;
        int r = kb_vault_new(&v, event, userdata);

        if (r >= 0)
                *ret_context = v;
        return r;
}

static bool idle(void *context)
{
        const struct kb_vault *v = context;

        return v->n_waiting == 0 && nothing_under_way(v);
}

static void reload(void *context)
{
        kb_vault_reload(context);
}

static void describe(void *context, char *ret, size_t size)
{
        kb_vault_describe(context, ret, size);
}

static void end(void *context)
{
        kb_vault_free(context);
}

int kb_vault_main(const struct kb_vault_identity *identity)
{
        struct kb_vault_identity own = *identity;
        const struct kb_store_backend backend = {
                .kind = "vault",
                .table = kb_vault_dispatch,
                .n_table = kb_vault_dispatch_size,
                .start = start,
                .userdata = &own,
                .idle = idle,
                .reload = reload,
                .describe = describe,
                .end = end,
        };

        return kb_store_main(&backend);
}
