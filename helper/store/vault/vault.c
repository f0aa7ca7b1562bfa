/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/vault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "helper/server/process.h"

#define RETRY_USEC KB_USEC_PER_SEC

/* --- how it is --- */

const char *kb_vault_state_word(const struct kb_vault *v)
{
        return v->settings ? "not logged in" : "not configured";
}

void kb_vault_describe(const struct kb_vault *v, char *ret, size_t size)
{
        snprintf(ret, size, "%s: %s", kb_vault_state_word(v), v->problem.text);
}

void kb_vault_facts(const struct kb_vault *v, struct kb_list_builder *facts)
{
        kb_list_add_text(facts, "state", kb_vault_state_word(v));
        kb_list_add_text(facts, "problem", v->problem.text);
        kb_list_add_text(facts, "version", PACKAGE_VERSION);
        for (size_t i = 0; v->settings && v->settings->addresses[i]; i++)
                kb_list_add_text(facts, v->settings->addresses[i], "not asked yet");
}

/* --- settings --- */

/* All problems for the journal; the first one for whoever asks. */
static void note_problems(struct kb_vault *v, const struct kb_problems *problems, bool aloud)
{
        for (size_t i = 0; i < problems->count; i++) {
                _cleanup_free_ char *text = kb_problem_format(&problems->problems[i]);

                if (!text)
                        continue;
                if (aloud)
                        kb_process_log(LOG_ERR, "%s", text);
                if (i == 0)
                        kb_problem(&v->problem, KB_E_UNREACHABLE, "%s", text);
        }
        if (problems->count > 1)
                kb_problem_add(&v->problem, "; there is more: keybearer config check");
}

/* aloud: what is wrong is news for the journal. */
static int read_settings(struct kb_vault *v, bool aloud)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s.conf", v->identity.folder, v->identity.name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = kb_vault_settings_new(path, &v->identity.trust, &problems, &v->settings);
        if (r == -ENOENT)
                kb_problems_add(&problems, path, 0, "is not there; write it, see stores.conf(5)");
        if (r == -EBADMSG || r == -ENOENT) {
                kb_problem(&v->problem, KB_E_UNREACHABLE, "%s cannot be used", path);
                note_problems(v, &problems, aloud);
                return 0;
        }
        if (r < 0)
                return r;
        kb_problem(
                &v->problem, KB_E_UNREACHABLE,
                "store %s has not logged in to %s: this version of keybearer-store-vault cannot log in yet",
                v->identity.name, v->settings->addresses[0]);
        kb_process_log(LOG_WARNING, "%s", v->problem.text);
        return 0;
}

void kb_vault_retry(struct kb_vault *v, uint64_t now)
{
        struct kb_problem before = v->problem;
        char status[600];

        if (v->settings || now < v->reread + RETRY_USEC)
                return;
        v->reread = now;
        if (read_settings(v, false) < 0)
                return; /* memory is out: the next one tries again */
        if (strcmp(before.text, v->problem.text) == 0)
                return;
        if (!v->settings)
                kb_process_log(LOG_ERR, "%s", v->problem.text);
        kb_vault_describe(v, status, sizeof(status));
        sd_notifyf(0, "STATUS=%s", status);
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
        r = read_settings(v, true);
        if (r < 0)
                return r;
        *ret = take_ptr(v);
        return 0;
}

void kb_vault_free(struct kb_vault *v)
{
        if (!v)
                return;
        kb_vault_settings_free(v->settings);
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
        return true; /* every verb answers at once */
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
                .describe = describe,
                .end = end,
        };

        return kb_store_main(&backend);
}
