/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/person_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "common/file.h"
#include "common/names.h"
#include "helper/server/process.h"
#include "helper/store/vault/body.h"

#define FILE_NAME    "people"
#define FILE_MAX     ((size_t)256 * 1024)
#define ACCESSOR_MAX 128
#define ASK_USEC     (30 * KB_USEC_PER_SEC)
#define RENEW_FLOOR  (5 * KB_USEC_PER_SEC)

struct token {
        struct token *next;
        struct kb_person_tokens *owner;
        struct kb_cluster_call *call; /* renewing or revoking */
        sd_event_source *timer;       /* the next renewal, or the end */
        char user[KB_USER_NAME_MAX + 1];
        char accessor[ACCESSOR_MAX + 1]; /* "" of one that is never held */
        uint8_t *token;                  /* NULL: only the accessor is known */
        size_t size;
        uint64_t begun, ends; /* CLOCK_BOOTTIME; KB_TIME_NEVER: no end, or it is not known */
        bool renewable, leaving;
};

struct kb_person_tokens {
        struct kb_person_tokens_settings is;
        struct token *tokens;  /* held */
        struct token *parting; /* never held: they go on until they are revoked */
        int folder_fd;
};

/* --- the lists --- */

static void token_free(struct token *k)
{
        kb_cluster_cancel(k->call);
        sd_event_source_disable_unref(k->timer);
        kb_secret_free(k->token);
        free(k);
}

static void unlink_from(struct token **list, const struct token *k)
{
        while (*list && *list != k)
                list = &(*list)->next;
        if (*list)
                *list = k->next;
}

static int save(const struct kb_person_tokens *t)
{
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(FILE_MAX);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(FILE_MAX);
        int r;

        for (const struct token *k = t->tokens; k; k = k->next)
                kb_list_add_text(&list, k->user, k->accessor);
        kb_write_list(&w, kb_list_built(&list), UINT32_MAX - 1);
        r = kb_writer_end(&list.writer) < 0 ? -EMSGSIZE : kb_writer_end(&w);
        return r < 0 ? r : kb_file_write_at(t->folder_fd, FILE_NAME, KB_SPAN(w.data, w.size), 0600);
}

/* It has ended, or was revoked. */
static void forget(struct token *k)
{
        struct kb_person_tokens *t = k->owner;
        bool held = k->accessor[0] != '\0';
        int r;

        unlink_from(&t->tokens, k);
        unlink_from(&t->parting, k);
        token_free(k);
        r = held ? save(t) : 0;
        if (r < 0) /* it is asked for again after the next start, and is gone then */
                kb_process_log(LOG_WARNING, "the list of people's tokens cannot be written: %s",
                               strerror(-r));
}

static struct token *find(const struct kb_person_tokens *t, const char *user)
{
        for (struct token *k = t->tokens; k; k = k->next)
                if (strcmp(k->user, user) == 0)
                        return k;
        return NULL;
}

/* --- asking --- */

static int ask(struct token *k, const char *path, struct kb_body *body, bool as_host, kb_cluster_done done)
{
        struct kb_cluster_request request = {
                .method = KB_HTTP_POST,
                .path = path,
                .namespace = k->owner->is.namespace,
                .token = as_host ? kb_login_token(k->owner->is.login) : KB_SPAN(k->token, k->size),
                .patient = true,
                .deadline = kb_time_add(kb_now_monotonic(), ASK_USEC),
                .done = done,
                .userdata = k,
        };

        if (body) {
                if (kb_body_end(body) < 0)
                        return -EINVAL;
                request.body = KB_SPAN(body->writer.data, body->writer.size);
        }
        return kb_cluster_start(k->owner->is.cluster, &request, &k->call);
}

/* --- revoking --- */

static void lives_on(struct token *k, const char *why)
{
        kb_process_log(LOG_ERR, "a token of %s could not be revoked, and lives until its end: %s",
                       k->user[0] ? k->user : "a person", why);
        forget(k);
}

static void on_revoked_by_accessor(const struct kb_cluster_answer *answer, void *userdata)
{
        struct token *k = userdata;

        k->call = NULL;
        /* The server says 400 or 404 of one that it does not know (any more). */
        if (answer->error == KB_E_OK || answer->status == 400 || answer->status == 404)
                forget(k);
        else if (answer->error == KB_E_DENIED)
                lives_on(k, "this host needs auth/token/revoke-accessor in its policies");
        /* Else the next greeting comes back to it. */
}

static void revoke_by_accessor(struct token *k)
{
        _cleanup_body_ struct kb_body body = kb_body_init();

        if (kb_login_problem(k->owner->is.login)->error != KB_E_OK)
                return;
        kb_body_text(&body, "accessor", k->accessor);
        (void)!ask(k, "auth/token/revoke-accessor", &body, true, on_revoked_by_accessor);
}

static void on_revoked(const struct kb_cluster_answer *answer, void *userdata)
{
        struct token *k = userdata;

        k->call = NULL;
        if (answer->error == KB_E_OK) {
                forget(k);
        } else if (!k->accessor[0]) {
                lives_on(k, answer->text);
        } else if (answer->error == KB_E_DENIED) { /* it is dead, or its policies do not let it */
                kb_secret_free(k->token);
                k->token = NULL;
                revoke_by_accessor(k);
        }
}

static void take_back(struct token *k)
{
        k->leaving = true;
        if (k->call)
                kb_cluster_cancel(take_ptr(k->call));
        if (!k->token)
                revoke_by_accessor(k);
        else
                (void)!ask(k, "auth/token/revoke-self", NULL, false, on_revoked);
}

/* --- renewing --- */

static void plan(struct token *k);

static void on_renewed(const struct kb_cluster_answer *answer, void *userdata)
{
        const struct kb_api_auth *auth = &answer->envelope.auth;
        struct token *k = userdata;
        uint64_t now = kb_now_boottime(), ends;

        k->call = NULL;
        if (answer->error == KB_E_DENIED)
                k->renewable = false; /* it is dead, or may not: it ends when it was to */
        if (answer->error == KB_E_OK && answer->envelope.has_auth) {
                ends = auth->lease_duration == 0
                               ? KB_TIME_NEVER
                               : kb_time_add(now, (uint64_t)auth->lease_duration * KB_USEC_PER_SEC);
                k->renewable = auth->renewable && ends > k->ends;
                k->ends = ends;
        }
        plan(k);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct token *k = userdata;

        if (kb_now_boottime() >= k->ends)
                forget(k);
        else if (k->leaving || k->call || !k->renewable || !k->token ||
                 ask(k, "auth/token/renew-self", NULL, false, on_renewed) < 0)
                plan(k);
        return 0;
}

/* Two thirds of what is left, and the end after the last time that makes sense. */
static void plan(struct token *k)
{
        uint64_t now = kb_now_boottime(), left = k->ends > now ? k->ends - now : 0;
        uint64_t at = kb_time_add(now, left / 3 * 2);

        if (k->ends == KB_TIME_NEVER)
                return;
        if (!k->renewable || k->leaving || left < RENEW_FLOOR)
                at = k->ends;
        sd_event_source_set_time(k->timer, at);
        sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
}

/* --- in --- */

static struct token *token_new(struct kb_person_tokens *t, const char *user, const char *accessor,
                               const char *token)
{
        struct token *k = calloc(1, sizeof(*k));

        if (!k)
                return NULL;
        k->owner = t;
        k->ends = KB_TIME_NEVER;
        k->begun = kb_now_boottime();
        snprintf(k->user, sizeof(k->user), "%s", user);
        snprintf(k->accessor, sizeof(k->accessor), "%s", accessor);
        if (token) {
                k->token = kb_secret_dup(KB_SPAN_STRING(token));
                k->size = strlen(token);
        }
        if ((token && !k->token) ||
            sd_event_add_time(t->is.event, &k->timer, CLOCK_BOOTTIME, KB_TIME_NEVER, 0, on_timer, k) < 0) {
                token_free(k);
                return NULL;
        }
        return k;
}

/* One of type batch cannot be revoked. */
void kb_person_tokens_part(struct kb_person_tokens *t, const char *token, const char *type)
{
        struct token *k;

        if (strcmp(type, "batch") == 0)
                return;
        k = token_new(t, "", "", token);
        if (k && ask(k, "auth/token/revoke-self", NULL, false, on_revoked) >= 0) {
                k->next = t->parting;
                t->parting = k;
                return;
        }
        kb_process_log(LOG_ERR, "the token of a person is not revoked, and lives until its end");
        if (k)
                token_free(k);
}

static bool accessor_valid(const char *accessor)
{
        return accessor[0] && strlen(accessor) <= ACCESSOR_MAX && kb_text_valid(accessor);
}

static bool hold(struct kb_person_tokens *t, const char *user, const struct kb_api_auth *auth)
{
        struct token *k;
        int r;

        if (!accessor_valid(auth->accessor) || find(t, user) ||
            kb_person_tokens_count(t) >= KB_PERSON_TOKENS_MAX)
                return false;
        k = token_new(t, user, auth->accessor, auth->client_token);
        if (!k)
                return false;
        if (auth->lease_duration > 0)
                k->ends = kb_time_add(k->begun, (uint64_t)auth->lease_duration * KB_USEC_PER_SEC);
        k->renewable = auth->renewable;
        k->next = t->tokens;
        t->tokens = k;
        r = save(t);
        if (r >= 0) {
                plan(k);
                return true;
        }
        kb_process_log(LOG_ERR, "the list of people's tokens cannot be written: %s", strerror(-r));
        unlink_from(&t->tokens, k);
        token_free(k);
        return false;
}

void kb_person_tokens_take(struct kb_person_tokens *t, const char *user, const struct kb_api_auth *auth)
{
        struct token *before = find(t, user);

        /* One that is on its way out, or is not known any more, makes place; its accessor is revoked as that
         * of nobody. */
        if (before && !before->leaving && before->token) {
                kb_person_tokens_part(t, auth->client_token, auth->token_type);
                return;
        }
        if (before)
                before->user[0] = '\0';
        if (!hold(t, user, auth))
                kb_person_tokens_part(t, auth->client_token, auth->token_type);
}

/* --- who is there --- */

struct kb_span kb_person_tokens_find(const struct kb_person_tokens *t, const char *user, uint64_t *ret_ends)
{
        const struct token *k = user[0] ? find(t, user) : NULL;

        if (!k || k->leaving || !k->token || kb_now_boottime() >= k->ends)
                return KB_SPAN("", 0);
        *ret_ends = k->ends;
        return KB_SPAN(k->token, k->size);
}

static bool is_named(struct kb_list people, const char *user)
{
        const char *name;

        while (kb_list_next_string(&people, &name))
                if (strcmp(name, user) == 0)
                        return true;
        return false;
}

void kb_person_tokens_present(struct kb_person_tokens *t, struct kb_list people)
{
        uint64_t now = kb_now_boottime();
        struct token *next;

        for (struct token *k = t->tokens; k; k = next) {
                bool young = k->token && now < kb_time_add(k->begun, KB_PERSON_TOKEN_GRACE);

                next = k->next;
                if (k->leaving ? !k->call : !young && !is_named(people, k->user))
                        take_back(k);
        }
}

bool kb_person_tokens_idle(const struct kb_person_tokens *t)
{
        for (const struct token *k = t->tokens; k; k = k->next)
                if (k->leaving && k->call)
                        return false;
        return !t->parting;
}

unsigned kb_person_tokens_count(const struct kb_person_tokens *t)
{
        unsigned n = 0;

        for (const struct token *k = t->tokens; k; k = k->next)
                n++;
        return n;
}

/* --- life --- */

static int restore(struct kb_person_tokens *t)
{
        _cleanup_secret_ uint8_t *bytes = NULL;
        struct kb_reader reader;
        struct kb_list list;
        const char *user;
        struct kb_span accessor;
        size_t size;
        int r = kb_file_read_at(t->folder_fd, FILE_NAME, FILE_MAX, &bytes, &size);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        reader = kb_reader_init(KB_SPAN(bytes, size));
        list = kb_read_list(&reader, UINT32_MAX - 1);
        if (kb_reader_end(&reader) < 0) {
                kb_process_log(LOG_ERR,
                               "the list of people's tokens makes no sense: those of before live until "
                               "their end");
                return 0;
        }
        while (kb_list_next_pair(&list, &user, &accessor)) {
                char text[ACCESSOR_MAX + 1];
                struct token *k;

                snprintf(text, sizeof(text), "%.*s", (int)accessor.size, (const char *)accessor.data);
                k = accessor_valid(text) ? token_new(t, user, text, NULL) : NULL;
                if (!k)
                        continue;
                k->next = t->tokens;
                t->tokens = k;
        }
        return 0;
}

int kb_person_tokens_new(struct kb_person_tokens **ret, const struct kb_person_tokens_settings *settings)
{
        _cleanup_(kb_person_tokens_freep) struct kb_person_tokens *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        t->is = *settings;
        t->folder_fd = open(settings->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = t->folder_fd < 0 ? -errno : restore(t);
        if (r < 0)
                return r;
        *ret = take_ptr(t);
        return 0;
}

void kb_person_tokens_free(struct kb_person_tokens *t)
{
        struct token **lists[2];

        if (!t)
                return;
        lists[0] = &t->tokens;
        lists[1] = &t->parting;
        for (size_t i = 0; i < KB_ARRAY_SIZE(lists); i++)
                while (*lists[i]) {
                        struct token *k = *lists[i];

                        *lists[i] = k->next;
                        token_free(k);
                }
        if (t->folder_fd >= 0)
                close(t->folder_fd);
        free(t);
}
