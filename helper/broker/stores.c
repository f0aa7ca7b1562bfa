/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/file.h"
#include "helper/broker/crl.h"
#include "helper/broker/disk.h"
#include "helper/broker/grants.h"
#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/store_client.h"
#include "helper/config/store.h"
#include "helper/grant/cache.h"
#include "helper/server/process.h"

#define KEEP_DIR   KB_STATEDIR "/keep"
#define KEEP_MAX   4096
#define GREET_USEC (60 * KB_USEC_PER_SEC)
#define RETRY_USEC (5 * KB_USEC_PER_SEC) /* while it does not answer */

struct store {
        struct store *next;
        struct kb_stores *owner;
        char name[KB_CREDENTIAL_NAME_MAX + 1];
        char kind[33];
        char problem[256];
        bool up;
        bool asked;       /* at least once, so that the first answer is news either way */
        uint64_t greeted; /* last, CLOCK_MONOTONIC */
        sd_event_source *timer;
        struct kb_store_call *call;
        struct kb_writer keep; /* as it is on disk, or is about to be */
        bool keep_known;       /* it was read */
};

struct kb_stores {
        struct kb_broker *broker;
        struct store *stores;
};

/* --- what is kept --- */

/* The name that the encryption is bound to, so that one store cannot be given another's. */
static void keep_name(const struct store *s, char ret[static KB_CREDENTIAL_NAME_MAX + 6])
{
        snprintf(ret, KB_CREDENTIAL_NAME_MAX + 6, "keep.%s", s->name);
}

/* Nobody waits for it: a store that is given what was kept before says it again. */
static int keep_write(struct store *s, struct kb_span keep)
{
        _cleanup_writer_ struct kb_writer text = kb_writer_init(KB_SDCRED_ENCODED_MAX);
        char name[KB_CREDENTIAL_NAME_MAX + 6];
        int r;

        if (kb_secret_equal(keep, KB_SPAN(s->keep.data, s->keep.size)))
                return 0;
        keep_name(s, name);
        r = kb_sdcred_encrypt(&s->owner->broker->host_key, name, kb_now_realtime(), KB_TIME_NEVER, keep,
                              &text);
        if (r < 0)
                return r;
        kb_writer_done(&s->keep);
        s->keep = kb_writer_init(KEEP_MAX);
        kb_write_raw(&s->keep, keep);
        kb_disk_write(s->owner->broker->disk,
                      &(struct kb_disk_file){.folder = KEEP_DIR,
                                             .name = s->name,
                                             .mode = 0600,
                                             .content = KB_SPAN(text.data, text.size)},
                      NULL, NULL);
        return 0;
}

/* Once after a start: appends what was kept. Nothing kept is no error; something that cannot be read is. */
static int keep_read(const struct store *s, struct kb_writer *out)
{
        _cleanup_close_ int dir = open(KEEP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_secret_ uint8_t *text = NULL;
        char name[KB_CREDENTIAL_NAME_MAX + 6];
        size_t size;
        int r;

        if (dir < 0)
                return -errno;
        r = kb_file_read_at(dir, s->name, 4 * KEEP_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        keep_name(s, name);
        return kb_sdcred_decrypt(&s->owner->broker->host_key, name, kb_now_realtime(), KB_SPAN(text, size),
                                 out);
}

/* --- greeting --- */

static void note_change(struct store *s, bool up, enum kb_error error)
{
        const struct kb_broker *broker = s->owner->broker;

        if (s->asked && s->up == up)
                return;
        /* not in a minute: what it could not say meanwhile may be a denial */
        if (s->asked && up && strcmp(s->name, broker->config->directory_store) == 0)
                kb_publisher_refresh(broker->publisher, NULL, NULL);
        s->asked = true;
        s->up = up;
        kb_broker_note(s->owner->broker, (struct kb_event){
                                                 .id = up ? KB_EVENT_STORE_UP : KB_EVENT_STORE_DOWN,
                                                 .store = s->name,
                                                 .reason = up ? NULL : kb_error_word(error),
                                                 .detail = up ? s->kind : s->problem,
                                         });
}

static void schedule(struct store *s, uint64_t usec)
{
        sd_event_source_set_time(s->timer, kb_time_add(kb_now_monotonic(), usec));
        sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void on_hello(const struct kb_store_answer *answer, void *userdata)
{
        struct store *s = userdata;
        struct kb_hello_reply reply;
        enum kb_error error = answer->error, refusal;
        const char *ca;
        int r = 0;

        s->call = NULL;
        if (error == KB_E_OK && kb_hello_reply_get(answer->fields, &reply) < 0)
                error = KB_E_INTERNAL;
        if (error != KB_E_OK) {
                snprintf(s->problem, sizeof(s->problem), "%s", answer->text);
                note_change(s, false, error);
                schedule(s, RETRY_USEC);
                return;
        }
        snprintf(s->kind, sizeof(s->kind), "%s", reply.kind);
        refusal = reply.refusal; /* one that is sealed answers a greeting, and nothing else */
        snprintf(s->problem, sizeof(s->problem), "%s",
                 refusal == KB_E_OK ? ""
                 : reply.problem[0] ? reply.problem
                                    : kb_error_text(refusal));
        note_change(s, refusal == KB_E_OK, refusal);
        if (reply.keep.size > 0)
                r = keep_write(s, reply.keep);
        if (r < 0)
                kb_process_log(LOG_ERR, "what store %s wants kept cannot be encrypted: %s", s->name,
                               strerror(-r));
        while (kb_list_next_string(&reply.crls, &ca))
                kb_crl_refresh(s->owner->broker->crls, s->name, ca);
        schedule(s, refusal == KB_E_OK ? GREET_USEC : RETRY_USEC);
}

/* --- who is there: so a store can let go of what it holds for those who are not --- */

#define PEOPLE_MAX 8192 /* of the wire */

struct people {
        char (*names)[KB_USER_NAME_MAX + 1];
        size_t n;
        bool cut;
};

static void add_person(struct people *p, const char *name)
{
        if (p->names && p->n < PEOPLE_MAX)
                snprintf(p->names[p->n++], sizeof(*p->names), "%s", name);
        else
                p->cut = true;
}

static void add_session(const struct kb_session *session, void *userdata)
{
        add_person(userdata, session->user);
}

static void add_holder(struct kb_held *held, void *userdata)
{
        if (held->consumer == KB_CONSUMER_USER && !held->grant.ended)
                add_person(userdata, held->grant.consumer);
}

static int by_name(const void *a, const void *b)
{
        return strcmp(a, b);
}

static void put_hello(struct store *s)
{
        const struct kb_broker *broker = s->owner->broker;
        _cleanup_list_ struct kb_list_builder list = kb_list_builder_init(KB_FRAME_MAX / 2);
        struct people p = {.names = calloc(PEOPLE_MAX, sizeof(*p.names))};

        kb_sessions_each(broker->sessions, add_session, &p);
        kb_grants_each(broker->grants, add_holder, &p);
        if (p.n > 0)
                qsort(p.names, p.n, sizeof(*p.names), by_name);
        for (size_t i = 0; i < p.n; i++)
                if (i == 0 || strcmp(p.names[i], p.names[i - 1]) != 0)
                        kb_list_add_string(&list, p.names[i]);
        kb_hello_request_put(kb_store_call_writer(s->call),
                             &(struct kb_hello_request){.broker = PACKAGE_VERSION,
                                                        .keep = KB_SPAN(s->keep.data, s->keep.size),
                                                        .counted = !p.cut,
                                                        .people = kb_list_built(&list)});
        free(p.names);
}

static void greet(struct store *s)
{
        struct kb_broker *broker = s->owner->broker;
        int r = s->keep_known ? 0 : keep_read(s, &s->keep);

        s->greeted = kb_now_monotonic();
        if (r >= 0)
                r = kb_writer_end(&s->keep);
        s->keep_known = r >= 0;
        if (r < 0) { /* a greeting without it would say that nothing was kept, and what is there be
                        overwritten */
                snprintf(s->problem, sizeof(s->problem),
                         "what was kept for it cannot be read: %s; if this host's key was made anew: "
                         "rm " KEEP_DIR "/%s",
                         strerror(-r), s->name);
                note_change(s, false, kb_error_from_errno(r));
                schedule(s, RETRY_USEC);
                return;
        }
        if (kb_store_call_new(&s->call, &(struct kb_store_request){
                                                .event = broker->event,
                                                .dir = KB_STORES_DIR,
                                                .store = s->name,
                                                .verb = KB_VERB_hello,
                                                .usec = broker->config->store_usec,
                                                .done = on_hello,
                                                .userdata = s,
                                        }) < 0) {
                schedule(s, RETRY_USEC);
                return;
        }
        put_hello(s);
        kb_store_call_start(s->call);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct store *s = userdata;

        kb_cache_expire(s->owner->broker->cache,
                        kb_now_boottime()); /* nobody else has a reason to come by */
        greet(s);
        return 0;
}

/* --- which there are --- */

static void store_free(struct store *s)
{
        if (s->call)
                kb_store_call_cancel(s->call);
        sd_event_source_disable_unref(s->timer);
        kb_writer_done(&s->keep);
        free(s);
}

static struct store *find(struct kb_stores *stores, const char *name)
{
        for (struct store *s = stores->stores; s; s = s->next)
                if (strcmp(s->name, name) == 0)
                        return s;
        return NULL;
}

static void use(struct kb_stores *stores, const char *name)
{
        struct store *s = find(stores, name);

        if (s)
                return;
        s = calloc(1, sizeof(*s));
        if (!s ||
            sd_event_add_time(stores->broker->event, &s->timer, CLOCK_MONOTONIC, 0, 0, on_timer, s) < 0) {
                kb_process_log(LOG_ERR, "store %s is not watched: out of memory", name);
                free(s);
                return;
        }
        s->owner = stores;
        s->keep = kb_writer_init(KEEP_MAX);
        snprintf(s->name, sizeof(s->name), "%s", name);
        s->next = stores->stores;
        stores->stores = s;
        schedule(s, 0);
}

void kb_stores_greet(struct kb_stores *stores, const char *store)
{
        struct store *s = find(stores, store);

        if (s && !s->call)
                schedule(s, 0);
}

/* Never put off by being asked for again: it is the last greeting that counts. */
void kb_stores_greet_again(struct kb_stores *stores, const char *store)
{
        struct store *s = find(stores, store);
        uint64_t now = kb_now_monotonic(), next;

        if (!s || s->call)
                return;
        next = kb_time_add(s->greeted, RETRY_USEC);
        schedule(s, next > now ? next - now : 0);
}

/* Those that an administrator has written a file for: so it shows how one is before anything comes from it.
 */
static void use_files(struct kb_stores *stores)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_strv_ char **names = NULL;
        int r = kb_store_names(KB_STORES_FOLDER, &(struct kb_config_trust){.owner = 0}, &problems, &names);

        for (size_t i = 0; i < problems.count; i++) {
                _cleanup_free_ char *text = kb_problem_format(&problems.problems[i]);

                kb_process_log(LOG_WARNING, "%s", text ? text : problems.problems[i].text);
        }
        for (size_t i = 0; r == 0 && names[i]; i++)
                use(stores, names[i]);
}

/* One that nobody names any more stays until the next start: its grants may still have to be revoked. */
void kb_stores_update(struct kb_stores *stores)
{
        const struct kb_broker *broker = stores->broker;

        use(stores, broker->config->directory_store);
        for (size_t i = 0; i < broker->credentials->count; i++)
                use(stores, broker->credentials->sorted[i]->store);
        use_files(stores);
}

int kb_stores_new(struct kb_stores **ret, struct kb_broker *broker)
{
        struct kb_stores *stores = calloc(1, sizeof(*stores));

        if (!stores)
                return -ENOMEM;
        stores->broker = broker;
        kb_stores_update(stores);
        *ret = stores;
        return 0;
}

void kb_stores_free(struct kb_stores *stores)
{
        if (!stores)
                return;
        while (stores->stores) {
                struct store *s = stores->stores;

                stores->stores = s->next;
                store_free(s);
        }
        free(stores);
}

void kb_stores_each(const struct kb_stores *stores,
                    void (*each)(const struct kb_store_state *state, void *userdata), void *userdata)
{
        for (const struct store *s = stores->stores; s; s = s->next)
                each(
                        &(struct kb_store_state){
                                .name = s->name, .kind = s->kind, .up = s->up, .problem = s->problem},
                        userdata);
}
