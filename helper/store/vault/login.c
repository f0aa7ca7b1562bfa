/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/login.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>

#include "helper/server/process.h"
#include "helper/store/vault/login_own.h"

#define LOOK_USEC    (5 * KB_USEC_PER_SEC)  /* at the files, while a login waits for them */
#define WATCH_USEC   (30 * KB_USEC_PER_SEC) /* at one that replaces the token */
#define REQUEST_USEC (8 * KB_USEC_PER_SEC)
#define POD_JWT      "/var/run/secrets/kubernetes.io/serviceaccount/token"

uint64_t kb_login_random(const struct kb_login *login)
{
        uint64_t random = 0;

        if (login->settings.random)
                return login->settings.random(login->settings.userdata);
        (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK); /* hosts in step are no reason to stop */
        return random;
}

/* --- how it is --- */

static bool usable(const struct kb_login *login)
{
        return login->token && kb_token_usable(&login->plan, kb_now_boottime());
}

const struct kb_problem *kb_login_problem(const struct kb_login *login)
{
        static const struct kb_problem none = {.error = KB_E_OK};
        static const struct kb_problem ended = {
                .error = KB_E_UNREACHABLE, .text = "the token of this host has ended: it is logged in anew"};

        if (usable(login))
                return &none;
        return login->problem.error != KB_E_OK ? &login->problem : &ended;
}

struct kb_span kb_login_token(const struct kb_login *login)
{
        return usable(login) ? KB_SPAN(login->token, login->token_size) : KB_SPAN("", 0);
}

const char *kb_login_accessor(const struct kb_login *login)
{
        return usable(login) ? login->accessor : "";
}

bool kb_login_batch(const struct kb_login *login)
{
        return usable(login) && login->batch;
}

uint64_t kb_login_ends(const struct kb_login *login)
{
        return usable(login) ? login->plan.ends : 0;
}

uint64_t kb_login_generation(const struct kb_login *login)
{
        return usable(login) ? login->generation : 0;
}

uint64_t kb_login_generation_ends(const struct kb_login *login, uint64_t generation)
{
        uint64_t now = kb_now_boottime();

        if (generation == 0)
                return 0;
        if (login->token && login->generation == generation)
                return login->plan.ends > now ? login->plan.ends : 0;
        for (size_t i = 0; i < KB_LOGIN_OLDER; i++)
                if (login->older[i].generation == generation)
                        return login->older[i].ends > now ? login->older[i].ends : 0;
        return 0;
}

uint64_t kb_login_epoch(const struct kb_login *login)
{
        return login->epoch;
}

static void fact_time(struct kb_list_builder *facts, const char *name, uint64_t when, uint64_t now)
{
        char text[64] = "never";

        if (when != KB_TIME_NEVER)
                snprintf(text, sizeof(text), "in %llu s",
                         (unsigned long long)((when > now ? when - now : 0) / KB_USEC_PER_SEC));
        kb_list_add_text(facts, name, text);
}

void kb_login_facts(const struct kb_login *login, struct kb_list_builder *facts)
{
        uint64_t now = kb_now_boottime();

        kb_list_add_text(facts, "login", login->method->word);
        if (usable(login)) {
                kb_list_add_text(facts, "token accessor",
                                 login->batch ? "none: a batch token" : login->accessor);
                fact_time(facts, "token ends", login->plan.ends, now);
                fact_time(facts, "token renewed", login->plan.renew, now);
        }
        kb_list_add_text(facts, "token trouble", login->trouble.error != KB_E_OK ? login->trouble.text : "");
}

/* --- what changes --- */

/* Said once for each text, so that a server that is away is not a line each minute. */
void kb_login_fails(struct kb_login *login, enum kb_error error, const char *format, ...)
{
        struct kb_problem *p = usable(login) ? &login->trouble : &login->problem;
        struct kb_problem before = *p;
        va_list args;

        p->error = error;
        va_start(args, format);
        vsnprintf(p->text, sizeof(p->text), format, args);
        va_end(args);
        if (strcmp(before.text, p->text) != 0)
                kb_process_log(LOG_WARNING, "%s", p->text);
}

static int on_notice(sd_event_source *source, void *userdata)
{
        struct kb_login *login = userdata;

        login->changed(login, login->userdata);
        return 0;
}

static void set_timer(sd_event_source *timer, uint64_t when)
{
        if (when == KB_TIME_NEVER) {
                sd_event_source_set_enabled(timer, SD_EVENT_OFF);
                return;
        }
        sd_event_source_set_time(timer, when);
        sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void kb_login_arrange(struct kb_login *login)
{
        const struct kb_token *t = &login->plan;
        uint64_t now = kb_now_boottime(), look = KB_TIME_NEVER;

        if (!login->greeted)
                return;
        set_timer(login->timer, kb_token_due(t));
        if (t->waiting || t->failures > 0 || t->refusals > 0)
                look = kb_time_add(now, LOOK_USEC);
        else if (login->method->watched)
                look = kb_time_add(now, WATCH_USEC);
        set_timer(login->look, look);
        sd_event_source_set_enabled(login->notice, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct kb_login *login = userdata;
        uint64_t now = kb_now_boottime();
        enum kb_token_step step = kb_token_take(&login->plan, now);

        if (login->token && !login->plan.here)
                kb_login_drop(login, false);
        if (step != KB_TOKEN_REST)
                kb_login_step(login, step, now);
        kb_login_arrange(login);
        return 0;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        _cleanup_material_ struct kb_login_material material = {0};
        struct kb_login *login = userdata;

        kb_login_material_read(&login->settings, &material);
        if (material.print != login->print) {
                login->print = material.print;
                kb_token_changed(&login->plan, login->method->watched, kb_now_boottime());
        }
        kb_login_arrange(login);
        return 0;
}

/* --- the token --- */

/* The token in use makes room: while it lives, so do its leases. */
static void put_aside(struct kb_login *login)
{
        struct kb_login_older *room = &login->older[0];

        for (size_t i = 0; i < KB_LOGIN_OLDER; i++)
                if (login->older[i].ends < room->ends)
                        room = &login->older[i];
        *room = (struct kb_login_older){login->generation, login->plan.ends, login->clock};
}

/* Seconds of the time of day, unless that went back: a number is never used twice. */
static uint64_t next_generation(const struct kb_login *login)
{
        uint64_t seconds = kb_now_realtime() / KB_USEC_PER_SEC;

        return seconds > login->last ? seconds : login->last + 1;
}

int kb_login_use(struct kb_login *login, struct kb_span token, const char *accessor, bool batch)
{
        uint8_t *copy;

        if (login->token && kb_secret_equal(token, KB_SPAN(login->token, login->token_size)))
                return 0; /* the file still has the same */
        copy = kb_secret_dup(token);
        if (!copy)
                return -ENOMEM;
        if (usable(login))
                put_aside(login);
        kb_secret_free(login->token);
        login->token = copy;
        login->token_size = token.size;
        login->batch = batch;
        snprintf(login->accessor, sizeof(login->accessor), "%s", accessor);
        login->generation = login->last = next_generation(login);
        return 0;
}

void kb_login_drop(struct kb_login *login, bool early)
{
        kb_secret_free(take_ptr(login->token));
        login->token_size = 0;
        login->generation = 0;
        login->accessor[0] = '\0';
        login->trouble = (struct kb_problem){.error = KB_E_OK};
        if (early)
                login->epoch = login->last = next_generation(login);
        kb_login_tell(login, KB_E_EXPIRED);
}

void kb_login_remember(struct kb_login *login, struct kb_span secret_id, uint64_t source)
{
        uint8_t *copy = secret_id.size <= KB_LOGIN_SECRET_ID_MAX ? kb_secret_dup(secret_id) : NULL;

        if (!copy)
                return; /* the file stays then */
        kb_secret_free(login->secret_id);
        login->secret_id = copy;
        login->secret_id_size = secret_id.size;
        login->secret_id_source = source;
}

/* --- greeting --- */

void kb_login_restore(struct kb_login *login, struct kb_span keep)
{
        bool first = !login->greeted;
        bool kept = kb_login_kept(login, keep, first);
        int r;

        login->greeted = true;
        if (login->epoch == 0) /* what is known from before is nothing that we know */
                login->epoch = login->last = next_generation(login);
        if (kept && login->removable) {
                r = kb_login_file_remove(login->settings.secret_id_file, &login->used);
                login->removable = false;
                if (r < 0)
                        kb_login_fails(login, KB_E_DENIED, "%s cannot be removed: %s; remove it by hand",
                                       login->settings.secret_id_file, strerror(-r));
        }
        if (first)
                kb_login_arrange(login);
}

/* --- judging --- */

void kb_login_tell(struct kb_login *login, enum kb_error error)
{
        while (login->judgements) {
                struct kb_login_judgement *j = login->judgements;

                login->judgements = j->next;
                j->done(error, j->userdata);
                free(j);
        }
}

int kb_login_judge(struct kb_login *login, uint64_t generation, kb_login_judged done, void *userdata,
                   struct kb_login_judgement **ret)
{
        struct kb_login_judgement *j;

        if (!usable(login) || login->generation != generation)
                return -ESTALE;
        j = calloc(1, sizeof(*j));
        if (!j)
                return -ENOMEM;
        *j = (struct kb_login_judgement){login, login->judgements, done, userdata};
        login->judgements = j;
        kb_token_doubted(&login->plan, kb_now_boottime());
        kb_login_arrange(login);
        *ret = j;
        return 0;
}

void kb_login_judge_cancel(struct kb_login_judgement *judgement)
{
        struct kb_login_judgement **at;

        if (!judgement)
                return;
        for (at = &judgement->login->judgements; *at != judgement; at = &(*at)->next)
                ;
        *at = judgement->next;
        free(judgement);
}

/* --- life --- */

static int copy(const char **text)
{
        if (!*text || !(*text)[0]) {
                *text = NULL;
                return 0;
        }
        *text = strdup(*text);
        return *text ? 0 : -ENOMEM;
}

/* The members that are strings: copied, and freed. */
#define TEXTS(s)                                                                                            \
        {                                                                                                   \
                &(s)->namespace, &(s)->mount, &(s)->role, &(s)->role_id_file, &(s)->secret_id_file,         \
                        &(s)->secret_id_credential, &(s)->credentials, &(s)->jwt_file, &(s)->token_file     \
        }

static int copy_settings(struct kb_login *login, const struct kb_login_settings *from)
{
        struct kb_login_settings *s = &login->settings, with = *from;
        const char **texts[] = TEXTS(s);
        _cleanup_free_ char *credential = NULL;
        int r = 0;

        if (with.secret_id_credential && with.secret_id_credential[0]) {
                if (asprintf(&credential, "%s/%s", with.credentials ? with.credentials : "/run/credentials",
                             with.secret_id_credential) < 0)
                        return -ENOMEM;
                with.secret_id_file = credential;
                with.remove_secret_id_file = false; /* systemd does, when we end */
        }
        if (with.method == KB_LOGIN_KUBERNETES && (!with.jwt_file || !with.jwt_file[0]))
                with.jwt_file = POD_JWT;
        *s = with;
        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++) {
                if (r == 0)
                        r = copy(texts[i]);
                else
                        *texts[i] = NULL;
        }
        return r < 0 ? r : kb_login_settings_check(s);
}

int kb_login_new(struct kb_login **ret, sd_event *event, struct kb_cluster *cluster,
                 const struct kb_login_settings *settings, kb_login_changed changed, void *userdata)
{
        _cleanup_(kb_login_freep) struct kb_login *login = calloc(1, sizeof(*login));
        int r;

        if (!login)
                return -ENOMEM;
        r = copy_settings(login, settings);
        if (r < 0)
                return r;
        login->method = &kb_login_methods[settings->method];
        login->event = sd_event_ref(event);
        login->cluster = cluster;
        login->changed = changed;
        login->userdata = userdata;
        if (!login->settings.mount && !(login->settings.mount = strdup(login->method->word)))
                return -ENOMEM;
        if (login->settings.request_usec == 0)
                login->settings.request_usec = REQUEST_USEC;
        kb_token_init(&login->plan, settings->renew_at);
        kb_problem(&login->problem, KB_E_UNREACHABLE,
                   "this host is not logged in yet: keybearerd has not greeted the store since it started");
        r = sd_event_add_time(event, &login->timer, CLOCK_BOOTTIME, 0, 0, on_timer, login);
        if (r >= 0)
                r = sd_event_source_set_enabled(login->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(event, &login->look, CLOCK_BOOTTIME, 0, 0, on_look, login);
        if (r >= 0)
                r = sd_event_source_set_enabled(login->look, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &login->notice, on_notice, login);
        if (r >= 0)
                r = sd_event_source_set_enabled(login->notice, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = take_ptr(login);
        return 0;
}

void kb_login_free(struct kb_login *login)
{
        if (!login)
                return;

        const char **texts[] = TEXTS(&login->settings);

        kb_cluster_cancel(login->call);
        sd_event_source_disable_unref(login->timer);
        sd_event_source_disable_unref(login->look);
        sd_event_source_disable_unref(login->notice);
        sd_event_unref(login->event);
        while (login->judgements)
                kb_login_judge_cancel(login->judgements);
        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++)
                free((char *)*texts[i]);
        kb_secret_free(login->token);
        kb_secret_free(login->secret_id);
        free(login);
}
