/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine a path is for, and what all fetches have in common: who waits, mounts, answers given before.
 */
#include "helper/store/vault/engines.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "helper/store/vault/fetch.h"
#include "helper/store/vault/lease_work.h"
#include "helper/store/vault/permissions.h"

/* What each type of mount has. */
static const struct kb_engine engines[] = {
        {"kv", NULL, " read ", .versions = true, .begin = kb_engine_kv},
        {"database", "creds/", " read ", .leased = true, .bare = true, .begin = kb_engine_creds},
        {"database", "static-creds/", " read rotate ", .bare = true, .begin = kb_engine_static},
        {"pki", "issue/", " write ", .begin = kb_engine_issue},
        {"pki", "sign/", " write ", .begin = kb_engine_sign},
        {"ssh", "sign/", " write ", .begin = kb_engine_ssh},
        {"totp", "code/", " read ", .bare = true, .begin = kb_engine_totp},
        {"transit", "decrypt/", " write ", .versions = true, .begin = kb_engine_decrypt},
        {"system", "wrapping/unwrap", " write ", .begin = kb_engine_unwrap},
        {NULL, NULL, " read write ", .versions = true, .begin = kb_engine_any},
};

/* --- the engine --- */

static bool fits(const struct kb_engine *engine, const struct kb_fetch *f)
{
        return (!engine->type || strcmp(engine->type, f->mount.type) == 0) &&
               (!engine->prefix || strncmp(f->rest, engine->prefix, strlen(engine->prefix)) == 0);
}

static bool method_known(const struct kb_engine *engine, const char *method)
{
        char word[20];

        snprintf(word, sizeof(word), " %s ", method);
        return !method[0] || strstr(engine->methods, word);
}

static void choose(struct kb_fetch *f)
{
        const struct kb_engine *engine = engines;

        f->rest = f->is.path + strlen(f->mount.path);
        while (!fits(engine, f)) /* the last one takes all */
                engine++;
        f->engine = engine;
        if (!f->rest[0])
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s is a mount: name what is in it", f->is.path);
        else if (!method_known(engine, f->is.method))
                kb_fetch_fail(f, KB_E_UNSUPPORTED, "%s, in a mount of type %s, knows no Method=%s",
                              f->is.path, f->mount.type, f->is.method);
        else if (f->is.version[0] && !engine->versions)
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s, in a mount of type %s, has no versions", f->is.path,
                              f->mount.type);
        else if (engine->leased && !f->is.person[0] && kb_login_batch(f->engines->is.login))
                kb_fetch_fail(f, KB_E_UNSUPPORTED,
                              "this host's token is a batch token, which can hold no lease: %s needs "
                              "token_type=service in the role that the host logs in with",
                              f->is.path);
        else if (f->is.parameters.count > 0 && engine->bare)
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "%s takes no parameters", f->is.path);
        else
                engine->begin(f);
}

/* --- the mount --- */

static void on_mount(struct kb_fetch *f, const struct kb_asked *asked)
{
        struct kb_problem problem;

        if (kb_fetch_refused(f, asked))
                return;
        if (kb_mount_read(asked->envelope.data, f->is.path, &f->mount, &problem) != KB_E_OK) {
                kb_fetch_fail(f, problem.error, "%s", problem.text);
                return;
        }
        f->mount.until = kb_time_add(kb_now_boottime(), KB_MOUNT_USEC);
        kb_mounts_put(&f->engines->mounts, &f->mount);
        choose(f);
}

static void begin(struct kb_fetch *f)
{
        const struct kb_mount *fixed = kb_mount_built_in(f->is.path);
        const struct kb_mount *known =
                fixed ? fixed : kb_mounts_find(&f->engines->mounts, f->is.path, kb_now_boottime());
        struct kb_path path = kb_path_init("sys/internal/ui/mounts");

        f->mount_looked = !known || fixed;
        if (known) {
                f->mount = *known;
                choose(f);
                return;
        }
        kb_path_many(&path, f->is.path);
        kb_fetch_get(f, &path, false, on_mount);
}

/* --- asking --- */

/* A mount that is known from before may be another one by now. */
static bool mount_may_have_changed(const struct kb_fetch *f, const struct kb_asked *asked)
{
        return !f->mount_looked && !asked->envelope.data &&
               (asked->error == KB_E_NOT_FOUND || asked->error == KB_E_UNSUPPORTED);
}

static void on_asked(const struct kb_asked *asked, void *userdata)
{
        struct kb_fetch *f = userdata;

        if (!f->again && (asked->stale || mount_may_have_changed(f, asked))) {
                f->again = true;
                if (!asked->stale)
                        kb_mounts_forget(&f->engines->mounts, f->mount.path);
                begin(f);
                return;
        }
        f->answered(f, asked);
}

void kb_fetch_ask(struct kb_fetch *f, const struct kb_question *question,
                  void (*answered)(struct kb_fetch *f, const struct kb_asked *asked))
{
        struct kb_question q = *question;
        struct kb_problem problem;
        struct kb_span person;

        if (f->is.person[0] && !q.token) { /* the server decides what they may */
                person = kb_person_tokens_find(f->engines->is.people, f->is.person, &f->person_ends);
                if (person.size == 0) {
                        kb_fetch_fail(f, KB_E_EXPIRED,
                                      "there is no token of %s: one comes with a login by password",
                                      f->is.person);
                        return;
                }
                q.token = &person;
        }
        q.deadline = f->deadline;
        f->answered = answered;
        if (kb_ask_start(&f->ask, &q, on_asked, f, &problem) != KB_E_OK)
                kb_fetch_fail(f, problem.error, "%s", problem.text);
}

void kb_fetch_get(struct kb_fetch *f, const struct kb_path *path, bool once,
                  void (*answered)(struct kb_fetch *f, const struct kb_asked *asked))
{
        kb_fetch_ask(f, &(struct kb_question){.method = KB_HTTP_GET, .path = path, .once = once}, answered);
}

void kb_fetch_post(struct kb_fetch *f, const struct kb_path *path, struct kb_body *body, bool once,
                   void (*answered)(struct kb_fetch *f, const struct kb_asked *asked))
{
        kb_fetch_ask(f,
                     &(struct kb_question){.method = KB_HTTP_POST, .path = path, .body = body, .once = once},
                     answered);
}

/* --- who waits --- */

static void fetch_free(struct kb_fetch *f)
{
        if (!f)
                return;
        kb_ask_cancel(&f->ask);
        sd_event_source_disable_unref(f->timer);
        kb_secret_free((void *)(uintptr_t)f->question.data);
        kb_writer_done(&f->key);
        free(f);
}
KB_DEFINE_CLEANUP(struct kb_fetch, fetch_free);

void kb_fetch_end(struct kb_fetch *f)
{
        struct kb_fetch **at = &f->engines->fetches;

        while (*at != f)
                at = &(*at)->next;
        *at = f->next;
        fetch_free(f);
}

/* Answers with what was answered before: what is left of it by now. */
static void reply_again(struct kb_request *request, const struct kb_kept_answer *kept)
{
        uint64_t passed = (kb_now_boottime() - kept->at) / KB_USEC_PER_SEC;
        struct kb_fetch_reply reply;

        if (kb_fetch_reply_get(kept->reply, &reply) < 0) {
                kb_request_fail(request, KB_E_INTERNAL, "the answer that was kept makes no sense");
                return;
        }
        if (reply.ttl > 0)
                reply.ttl = reply.ttl > passed ? reply.ttl - passed : 1;
        kb_fetch_reply_put(kb_request_reply_begin(request), &reply);
        kb_request_reply_end(request);
}

/* The same question, which is being asked: its answer is for both. */
static bool join(struct kb_engines *e, struct kb_request *request)
{
        for (struct kb_fetch *f = e->fetches; f; f = f->next)
                if (f->is.request[0] && f->n_waiters < KB_FETCH_WAITERS &&
                    kb_secret_equal(f->question, kb_request_body(request))) {
                        f->waiters[f->n_waiters++] = request;
                        return true;
                }
        return false;
}

static int fetch_new(struct kb_engines *e, struct kb_request *request, struct kb_fetch **ret)
{
        _cleanup_(fetch_freep) struct kb_fetch *f = calloc(1, sizeof(*f));
        struct kb_span body = kb_request_body(request);

        if (!f)
                return -ENOMEM;
        f->engines = e;
        f->ask.is = &e->is;
        f->question = KB_SPAN(kb_secret_dup(body), body.size);
        if (!f->question.data)
                return -ENOMEM;
        if (kb_fetch_request_get(f->question, &f->is) < 0)
                return -EBADMSG;
        f->deadline = kb_time_add(kb_now_monotonic(), e->is.request_usec);
        f->waiters[f->n_waiters++] = request;
        *ret = take_ptr(f);
        return 0;
}

void kb_engines_fetch(struct kb_engines *e, struct kb_request *request)
{
        const struct kb_kept_answer *kept = kb_kept_find(e->kept, kb_request_body(request));
        struct kb_fetch *f;
        int r;

        if (kept) {
                reply_again(request, kept);
                return;
        }
        if (join(e, request))
                return;
        r = fetch_new(e, request, &f);
        if (r < 0) {
                kb_request_fail(request, r == -EBADMSG ? KB_E_BAD_REQUEST : KB_E_BUSY, "%s",
                                r == -EBADMSG ? "the fields of fetch make no sense" : "memory is out");
                return;
        }
        f->next = e->fetches;
        e->fetches = f;
        if (kb_name_path_valid(f->is.path))
                begin(f);
        else
                kb_fetch_fail(f, KB_E_BAD_REQUEST, "the path is words joined by '/'");
}

/* --- life --- */

static void on_kept_over(const struct kb_kept_answer *answer, void *userdata)
{
        if (!answer->delivered)
                kb_engines_take_back(userdata, answer->lease);
}

void kb_engines_tidy(struct kb_engines *e)
{
        uint64_t next = kb_kept_expire(e->kept, kb_now_boottime());

        sd_event_source_set_time(e->tidy, next);
        sd_event_source_set_enabled(e->tidy, next == KB_TIME_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_tidy(sd_event_source *source, uint64_t now, void *userdata)
{
        kb_engines_tidy(userdata);
        return 0;
}

int kb_fingerprint_key(const char *folder, uint8_t ret[KB_FINGERPRINT_KEY_SIZE])
{
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -errno : kb_file_read_exactly_at(fd, "fingerprint", ret, KB_FINGERPRINT_KEY_SIZE);

        if (r != -ENOENT || fd < 0)
                return r;
        if (RAND_priv_bytes(ret, KB_FINGERPRINT_KEY_SIZE) != 1)
                return -EIO;
        return kb_file_write_at(fd, "fingerprint", KB_SPAN(ret, KB_FINGERPRINT_KEY_SIZE), 0600);
}

int kb_engines_new(struct kb_engines **ret, const struct kb_engines_settings *settings)
{
        _cleanup_(kb_engines_freep) struct kb_engines *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        e->is = *settings;
        r = kb_kept_new(&e->kept, on_kept_over, e);
        if (r >= 0)
                r = sd_event_add_time(e->is.event, &e->tidy, CLOCK_BOOTTIME, 0, 0, on_tidy, e);
        if (r < 0)
                return r;
        *ret = take_ptr(e);
        return 0;
}

void kb_engines_free(struct kb_engines *e)
{
        if (!e)
                return;
        while (e->fetches)
                kb_fetch_end(e->fetches);
        kb_lease_works_free(e);
        kb_permissions_free(e);
        sd_event_source_disable_unref(e->tidy);
        kb_kept_free(e->kept);
        kb_wipe(e->is.fingerprint_key, sizeof(e->is.fingerprint_key));
        free(e);
}

bool kb_engines_idle(struct kb_engines *e)
{
        kb_kept_expire(e->kept, KB_TIME_NEVER);
        return !e->fetches && !e->works && !e->permissions;
}
