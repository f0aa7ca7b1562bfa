/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/world.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "helper/broker/store_client.h"
#include "helper/broker/stores.h"
#include "helper/broker/systemd.h"
#include "helper/broker/units.h"
#include "helper/grant/cache.h"
#include "helper/grant/publish.h"
#include "helper/log/ledger.h"
#include "tests/unit/folder.h"
#include "tests/unit/timers.h"

#define MANY 64

struct kb_broker broker;
struct world_faults world_faults;
bool world_renewable;
unsigned world_greetings;
const char *world_unit = UNIT;
uid_t world_uid;
gid_t world_gid;

static const struct kb_config_trust trust = {.owner = 0};

static struct {
        uint64_t now;
        int64_t clock_set; /* so far the time of day is ahead */
        char invocation[33];
        char trace[4096];

        struct kb_ledger ledger; /* of what is on disk */
        uint64_t sequence;
        struct record {
                struct kb_writer fields;
                uint32_t id;
                bool waited;
                kb_log_done done;
                void *userdata;
        } records[MANY];
        unsigned n_records;

        struct kb_store_call *calls[MANY];
        unsigned n_calls;

        struct live {
                char id[64];
                uint64_t ends;
        } leases[4 * MANY];
        unsigned n_leases;

        struct fact {
                kb_systemd_facts_done done;
                void *userdata;
        } facts[MANY];
        unsigned n_facts;
        struct job {
                kb_systemd_job_done done;
                void *userdata;
        } jobs[MANY];
        unsigned n_jobs;
} world;

static void trace(const char *what, const char *which)
{
        size_t n = strlen(world.trace);

        snprintf(world.trace + n, sizeof(world.trace) - n, "%s%s%s%s", n > 0 ? "; " : "", what,
                 which[0] ? " " : "", which);
}

const char *world_trace(void)
{
        static char copy[sizeof(world.trace)];

        memcpy(copy, world.trace, sizeof(copy));
        world.trace[0] = '\0';
        return copy;
}

/* Takes the first of a list. */
#define TAKE(list, n, ret)                                                                                  \
        do {                                                                                                \
                assert_true((n) > 0);                                                                       \
                *(ret) = (list)[0];                                                                         \
                memmove(&(list)[0], &(list)[1], --(n) * sizeof((list)[0]));                                 \
        } while (0)

/* --- memory --- */

/* What the world itself needs does not fail: between hold() and go_on(). */
static unsigned held_back;

static void hold(void)
{
        held_back = world_faults.memory;
        world_faults.memory = 0;
}

static void go_on(void)
{
        world_faults.memory = held_back;
}

static bool memory_fails(void)
{
        return world_faults.memory > 0 && --world_faults.memory == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
        return memory_fails() ? NULL : __real_calloc(n, size);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
        return memory_fails() ? NULL : __real_strdup(s);
}

/* --- the clock --- */

uint64_t __wrap_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void)
{
        return world.now;
}

uint64_t __wrap_kb_now_realtime(void);
uint64_t __wrap_kb_now_realtime(void)
{
        return (uint64_t)1700000000 * SEC + world.now + (uint64_t)world.clock_set;
}

void world_set_clock(int64_t usec)
{
        world.clock_set += usec;
}

void world_pass(uint64_t usec)
{
        uint64_t end = world.now + usec, step = usec / 64 + 1;

        for (; world.now < end; world.now = world.now + step < end ? world.now + step : end)
                while (timers_fire(world.now))
                        ;
        while (timers_fire(world.now))
                ;
}

ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags)
{
        static uint8_t n; /* the same in each run */

        memset(to, ++n, size);
        return (ssize_t)size;
}

/* --- the log --- */

static int take_record(const struct kb_event *event, bool waited, kb_log_done done, void *userdata)
{
        struct record *r = &world.records[world.n_records++];

        assert_true(world.n_records < MANY);
        *r = (struct record){.id = event->id, .waited = waited, .done = done, .userdata = userdata};
        r->fields = kb_writer_init(65536);
        hold();
        kb_event_put(&r->fields, event);
        go_on();
        assert_ok(kb_writer_end(&r->fields));
        return 0;
}

int kb_log_append(struct kb_log *log, const struct kb_event *event, bool waited, kb_log_done done,
                  void *userdata)
{
        return waited && world_faults.log < 0 ? world_faults.log
                                              : take_record(event, waited, done, userdata);
}

void kb_broker_note(struct kb_broker *b, struct kb_event event)
{
        take_record(&event, false, NULL, NULL);
}

void world_commit(void)
{
        while (world.n_records > 0) {
                struct kb_event event;
                struct record r;
                bool fails;

                TAKE(world.records, world.n_records, &r);
                fails = r.waited && world_faults.commit < 0;
                hold();
                assert_ok(kb_event_get(KB_SPAN(r.fields.data, r.fields.size), &event));
                event.id = r.id;
                if (!fails) {
                        assert_ok(kb_ledger_fold(&world.ledger, ++world.sequence, &event));
                        trace(kb_event_info(r.id)->word, event.lease ? event.lease : "");
                }
                go_on();
                if (r.done)
                        r.done(fails ? world_faults.commit : 0, world.sequence, r.userdata);
                kb_writer_done(&r.fields);
        }
}

int __wrap_kb_ledger_load(struct kb_ledger *ret, const char *dir);
int __wrap_kb_ledger_load(struct kb_ledger *ret, const char *dir)
{
        *ret = (struct kb_ledger){0};
        for (size_t i = 0; i < world.ledger.n; i++) {
                struct kb_event event = world.ledger.grants[i]->event;

                event.id = KB_EVENT_GRANT_LIVE;
                event.grant = world.ledger.grants[i]->id;
                assert_ok(kb_ledger_fold(ret, event.grant, &event));
        }
        return 0;
}

/* --- the store's own books --- */

static void open_lease(const char *id, uint64_t ttl)
{
        struct live *l = &world.leases[world.n_leases];

        if (ttl == 0)
                return;
        assert_true(world.n_leases < KB_ARRAY_SIZE(world.leases));
        world.n_leases++;
        snprintf(l->id, sizeof(l->id), "%s", id);
        l->ends = world.now + ttl * SEC;
}

static void close_lease(const char *id)
{
        for (unsigned i = 0; i < world.n_leases; i++)
                if (strcmp(world.leases[i].id, id) == 0)
                        world.leases[i] = world.leases[--world.n_leases];
}

unsigned world_live_leases(void)
{
        unsigned n = 0;

        for (unsigned i = 0; i < world.n_leases; i++)
                n += world.leases[i].ends > world.now;
        return n;
}

/* --- the store --- */

struct kb_store_call {
        struct kb_store_request is;
        struct kb_writer fields;
        char what[512];
        void *taken;
        bool broken; /* there was no memory for what it should say */
};

static void call_free(struct kb_store_call *c)
{
        kb_writer_done(&c->fields);
        free(c);
}

int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request)
{
        if (world_faults.no_calls)
                return -ENOMEM;
        if (memory_fails())
                return -ENOMEM;
        *ret = __real_calloc(1, sizeof(**ret));
        assert_non_null(*ret);
        (*ret)->is = *request;
        (*ret)->fields = kb_writer_init(KB_FRAME_MAX);
        return 0;
}

struct kb_writer *kb_store_call_writer(struct kb_store_call *c)
{
        return &c->fields;
}

/* "fetch PATH@VERSION POINTER POINTER" */
static void name_fetch(struct kb_store_call *c, struct kb_fetch_request fetch)
{
        int n = snprintf(c->what, sizeof(c->what), "fetch %s%s%s", fetch.path, fetch.version[0] ? "@" : "",
                         fetch.version);
        const char *pointer;

        while (kb_list_next_string(&fetch.pointers, &pointer))
                n += snprintf(c->what + n, sizeof(c->what) - (size_t)n, " %s", pointer);
}

void kb_store_call_start(struct kb_store_call *c)
{
        struct kb_span fields = KB_SPAN(c->fields.data, c->fields.size);
        struct kb_fetch_request fetch;
        struct kb_renew_request renew;
        struct kb_revoke_request revoke;

        assert_true(world.n_calls < MANY);
        world.calls[world.n_calls++] = c;
        c->broken = kb_writer_end(&c->fields) < 0;
        if (c->broken)
                return;
        if (c->is.verb == KB_VERB_fetch && kb_fetch_request_get(fields, &fetch) >= 0)
                name_fetch(c, fetch);
        if (c->is.verb == KB_VERB_renew && kb_renew_request_get(fields, &renew) >= 0)
                snprintf(c->what, sizeof(c->what), "renew %s", renew.lease);
        if (c->is.verb == KB_VERB_revoke && kb_revoke_request_get(fields, &revoke) >= 0)
                snprintf(c->what, sizeof(c->what), "revoke %s", revoke.lease);
        trace(c->what, "");
}

void world_turn_to(const char *what)
{
        for (unsigned i = 0; i < world.n_calls; i++)
                if (strcmp(world.calls[i]->what, what) == 0) {
                        struct kb_store_call *c = world.calls[i];

                        memmove(&world.calls[1], &world.calls[0], i * sizeof(world.calls[0]));
                        world.calls[0] = c;
                        return;
                }
        fail_msg("nobody asked to %s", what);
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        for (unsigned i = 0; i < world.n_calls; i++)
                if (world.calls[i] == c) {
                        memmove(&world.calls[i], &world.calls[i + 1],
                                (--world.n_calls - i) * sizeof(world.calls[0]));
                        break;
                }
        call_free(c);
}

void kb_store_call_hold(struct kb_store_call *c)
{
}

void kb_store_call_resume(struct kb_store_call *c)
{
}

static struct kb_store_call *answered; /* now */

void *kb_store_answer_take(const struct kb_store_answer *answer)
{
        void *memory = answered->taken;

        answered->taken = NULL;
        return memory;
}

static void answer(enum kb_error error, const char *text, struct kb_span fields)
{
        struct kb_store_call *c;

        TAKE(world.calls, world.n_calls, &c);
        answered = c;
        hold();
        c->taken = kb_secret_dup(fields);
        go_on();
        assert_non_null(c->taken);
        c->is.done(&(struct kb_store_answer){.error = error,
                                             .text = text,
                                             .fields = KB_SPAN(c->taken, fields.size)},
                   c->is.userdata);
        kb_secret_free(c->taken);
        call_free(c);
        while (timers_fire(world.now))
                ;
}

unsigned world_calls(void)
{
        return world.n_calls;
}

void world_fail(enum kb_error error, const char *text)
{
        answer(error, text, KB_SPAN("", 0));
}

void world_reply(void (*put)(struct kb_writer *w))
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);

        if (put)
                put(&w);
        answer(KB_E_OK, "", put ? KB_SPAN(w.data, w.size) : KB_SPAN("?", 1));
}

void world_fetched(const char *lease, uint64_t ttl, const char *const *pairs)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FRAME_MAX / 2);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_FRAME_MAX);

        hold();
        for (; pairs[0]; pairs += 2)
                kb_list_add_text(&fields, pairs[0], pairs[1]);
        kb_fetch_reply_put(&w, &(struct kb_fetch_reply){
                                       .fields = kb_list_built(&fields),
                                       .lease = lease,
                                       .ttl = ttl,
                                       .renewable = world_renewable,
                                       .version = "",
                               });
        go_on();
        open_lease(lease, ttl);
        answer(KB_E_OK, "", KB_SPAN(w.data, w.size));
}

void world_answer_any(void)
{
        static unsigned serial;
        char id[32];

        assert_true(world.n_calls > 0);
        snprintf(id, sizeof(id), "any-%u", ++serial);
        if (world.calls[0]->broken)
                world_fail(KB_E_INTERNAL, "out of memory");
        else if (world.calls[0]->is.verb == KB_VERB_fetch)
                FETCHED(id, 3600, "password", "x");
        else if (world.calls[0]->is.verb == KB_VERB_renew)
                world_renewed(3600);
        else
                world_revoked();
}

void world_revoked(void)
{
        if (world.n_calls > 0)
                close_lease(world.calls[0]->what + strlen("revoke "));
        answer(KB_E_OK, "", KB_SPAN("", 0));
}

void world_renewed(uint64_t ttl)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(1024);

        hold();
        kb_renew_reply_put(&w, &(struct kb_renew_reply){.ttl = ttl, .renewable = true});
        go_on();
        answer(KB_E_OK, "", KB_SPAN(w.data, w.size));
}

void kb_stores_greet(struct kb_stores *s, const char *store)
{
}

void kb_stores_greet_again(struct kb_stores *s, const char *store)
{
        world_greetings++;
}

/* --- PID 1 --- */

int kb_systemd_unit_facts(struct kb_systemd *s, const char *unit, kb_systemd_facts_done done, void *userdata)
{
        if (world_faults.systemd < 0)
                return world_faults.systemd;
        assert_true(world.n_facts < MANY);
        world.facts[world.n_facts++] = (struct fact){done, userdata};
        return 0;
}

static int add_job(const char *what, const char *unit, kb_systemd_job_done done, void *userdata)
{
        if (world_faults.systemd < 0)
                return world_faults.systemd;
        assert_true(world.n_jobs < MANY);
        world.jobs[world.n_jobs++] = (struct job){done, userdata};
        trace(what, unit);
        return 0;
}

int kb_systemd_unit_do(struct kb_systemd *s, const char *unit, enum kb_unit_action action, int signal,
                       kb_systemd_job_done done, void *userdata)
{
        static const char *const words[] = {"reload", "restart", "signal"};

        return add_job(words[action], unit, done, userdata);
}

int kb_systemd_run(struct kb_systemd *s, const char *const argv[static 3], kb_systemd_job_done done,
                   void *userdata)
{
        return add_job("probe", argv[1], done, userdata);
}

void world_facts(int r, bool notifies_reload)
{
        const struct kb_unit_facts facts = {world_uid, world_gid, notifies_reload};
        struct fact f;

        TAKE(world.facts, world.n_facts, &f);
        f.done(r, r < 0 ? NULL : &facts, f.userdata);
        while (timers_fire(world.now))
                ;
}

bool world_waits_for_facts(void)
{
        return world.n_facts > 0;
}

void world_job(int r)
{
        struct job j;

        TAKE(world.jobs, world.n_jobs, &j);
        j.done(r, j.userdata);
        while (timers_fire(world.now))
                ;
}

unsigned world_jobs(void)
{
        return world.n_jobs;
}

int kb_unit_invocation(const char *dir, const char *unit, char ret[static 33])
{
        if (!world.invocation[0])
                return -ENOENT;
        memcpy(ret, world.invocation, 33);
        return 0;
}

void world_invocation(const char *invocation)
{
        snprintf(world.invocation, sizeof(world.invocation), "%s", invocation ? invocation : "");
}

/* --- configuration --- */

const struct kb_credential *kb_broker_credential(const struct kb_broker *b, const char *name)
{
        return kb_credentials_find(b->credentials, name);
}

void kb_broker_request_id(char ret[static 17])
{
        static unsigned n;

        snprintf(ret, 17, "%016x", ++n);
}

static int by_name(const void *a, const void *b)
{
        return strcmp((*(struct kb_credential *const *)a)->name, (*(struct kb_credential *const *)b)->name);
}

void world_define(const char *name, const char *text)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_credentials *all = broker.credentials;
        char path[128];

        for (size_t i = 0; i < all->count; i++)
                if (strcmp(all->sorted[i]->name, name) == 0) {
                        kb_credential_unref(all->sorted[i]);
                        all->sorted[i] = all->sorted[--all->count];
                }
        assert_true(all->count < MANY);
        snprintf(path, sizeof(path), "/etc/keybearer/credentials.d/%s.conf", name);
        if (text && kb_credential_new_bytes(path, text, strlen(text), broker.config, &problems,
                                            &all->sorted[all->count++]) < 0)
                fail_msg("%s", problems.problems[0].text);
        qsort(all->sorted, all->count, sizeof(struct kb_credential *), by_name);
}

/* --- begin and end --- */

int world_make(void **state)
{
        return test_folder_make(state);
}

int world_remove(void **state)
{
        return test_folder_remove(state);
}

static void die(void)
{
        world_faults = (struct world_faults){0};
        kb_grants_free(broker.grants);
        broker.grants = NULL;
        while (world.n_records > 0) { /* whoever lent them gets them back */
                struct record r;

                TAKE(world.records, world.n_records, &r);
                if (r.done)
                        r.done(-ECANCELED, 0, r.userdata);
                kb_writer_done(&r.fields);
        }
        assert_int_equal(world.n_calls, 0);
        while (world.n_facts > 0)
                world_facts(-ECANCELED, false);
        while (world.n_jobs > 0)
                world_job(-ECANCELED);
}

void world_begin(void)
{
        _cleanup_problems_ struct kb_problems problems = {0};

        world.now = 1000 * SEC;
        world.clock_set = 0;
        world.trace[0] = '\0';
        world_faults = (struct world_faults){0};
        world_renewable = false;
        world_greetings = 0;
        world_unit = UNIT;
        world_uid = geteuid();
        world_gid = getegid();
        world.n_leases = 0;
        world_invocation(FIRST);
        broker = (struct kb_broker){.units_fd = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        assert_ok(broker.units_fd);
        assert_ok(sd_event_new(&broker.event));
        assert_ok(kb_config_new("/nonexistent/keybearer.conf", &trust, &problems, &broker.config));
        broker.credentials = calloc(1, sizeof(*broker.credentials));
        assert_non_null(broker.credentials);
        broker.credentials->sorted = calloc(MANY, sizeof(struct kb_credential *));
        assert_non_null(broker.credentials->sorted);
        assert_ok(kb_cache_new(&broker.cache, 64, 65536));
        assert_ok(kb_grants_new(&broker.grants, &broker));
}

static bool keep_none(const char *name, void *userdata)
{
        return false;
}

void world_end(void)
{
        die();
        assert_ok(kb_publish_clean(broker.units_fd, keep_none, NULL));
        kb_ledger_done(&world.ledger);
        world.ledger = (struct kb_ledger){0};
        kb_cache_free(broker.cache);
        kb_credentials_free(broker.credentials);
        kb_config_free(broker.config);
        close(broker.units_fd);
        sd_event_unref(broker.event);
}

void world_die_and_start(void)
{
        die();
        kb_cache_free(broker.cache);
        assert_ok(kb_cache_new(&broker.cache, 64, 65536));
        assert_ok(kb_grants_new(&broker.grants, &broker));
        world_trace();
        assert_ok(kb_grants_replay(broker.grants, ""));
        kb_unit_folder_clean(&broker);
        while (timers_fire(world.now))
                ;
}

/* --- asking and looking --- */

static void on_issued(const struct kb_issued *issued, void *userdata)
{
        struct asked *asked = userdata;
        size_t n = 0;

        asked->answers++;
        asked->issue = NULL;
        asked->error = issued->error;
        snprintf(asked->reason, sizeof(asked->reason), "%s", issued->reason);
        asked->values[0] = '\0';
        for (size_t i = 0; issued->fields && i < issued->fields->count; i++) {
                const struct kb_field *f = &issued->fields->field[i];

                n += (size_t)snprintf(asked->values + n, sizeof(asked->values) - n, "%s%s=%.*s",
                                      i ? " " : "", f->name, (int)f->value.size,
                                      (const char *)f->value.data);
        }
}

void world_ask(struct asked *asked, const char *credential)
{
        *asked = (struct asked){0};
        kb_issue_start(&broker,
                       &(struct kb_issue_request){
                               .consumer = KB_CONSUMER_UNIT,
                               .name = world_unit,
                               .instance = world.invocation,
                               .credential = kb_broker_credential(&broker, credential),
                               .request = "request",
                       },
                       on_issued, asked, &asked->issue);
        while (timers_fire(world.now))
                ;
}

struct kb_held *world_held(const char *credential)
{
        return kb_grants_find(broker.grants, KB_CONSUMER_UNIT, world_unit, world.invocation, credential);
}

const char *world_file(const char *name)
{
        static char content[256];
        char path[256];
        FILE *f;
        size_t n;

        snprintf(path, sizeof(path), "%s/current/%s", world_unit, name);
        f = fopen(in_folder(path), "re");
        if (!f)
                return NULL;
        n = fread(content, 1, sizeof(content) - 1, f);
        content[n] = '\0';
        fclose(f);
        return content;
}

unsigned world_folders(void)
{
        _cleanup_(kb_closedirp) DIR *d = opendir(in_folder(world_unit));
        const struct dirent *entry;
        unsigned n = 0;

        while (d && (entry = readdir(d)))
                n += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
        return n;
}

void world_issue(const char *credential, const char *lease, uint64_t ttl, const char *value)
{
        struct asked asked;

        world_ask(&asked, credential);
        FETCHED(lease, ttl, "password", value);
        world_commit();
        while (world.n_facts > 0)
                world_facts(0, false);
        assert_int_equal(asked.answers, 1);
        assert_int_equal(asked.error, KB_E_OK);
        world_trace();
}
