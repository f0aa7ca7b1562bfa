/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/publisher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/broker/accounts.h"
#include "helper/broker/disk.h"
#include "helper/broker/transfer.h"
#include "helper/broker/user_grants.h"
#include "helper/server/process.h"

#define NAMED_MAX 3 /* of those who are left out, in a record */
#define CONFIRMED_SHARE                                                                                     \
        16 /* of MaxAge=: so exactly is it known over a reboot when the store confirmed last */

/* Somebody who waits for a refresh. */
struct waiting {
        struct waiting *next;
        kb_publisher_done done;
        void *userdata;
        bool asked; /* the refresh under way began after this one came */
};

struct kb_publisher {
        struct kb_broker *broker;
        struct kb_publisher_places places;
        struct kb_accounts *accounts;
        sd_event_source *timer;

        /* in force */
        struct kb_directory *directory;
        char store[KB_CREDENTIAL_NAME_MAX + 1]; /* that it is from */
        uint64_t version;
        uint64_t not_after;
        uint64_t confirmed;
        uint64_t confirmed_kept; /* what the disk has of it */
        char problem[256];
        char noted[256]; /* the problem that the log was told of last */
        struct kb_enforcement_mark mark;

        /* under way: at most one of the two */
        struct kb_transfer *transfer;
        char asked_store[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_enforcement *enforcement;

        /* wanted */
        struct waiting *waiting;
        bool recheck; /* this host's own accounts have changed */
        bool whole;   /* the next document is to come whole, whatever version it has */
};

static void go_on(struct kb_publisher *p);

/* A host that slept asks at once: its directory has aged meanwhile. */
static void schedule(struct kb_publisher *p, uint64_t usec)
{
        sd_event_source_set_time(p->timer, kb_time_add(kb_now_boottime(), usec));
        sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

/* --- what is written down --- */

/* "12 people, 2 left out because this host's files have them: ana, bea" */
static void describe(const struct kb_directory *d, char *text, size_t size)
{
        const struct kb_person *people;
        const struct kb_refused *out;
        size_t all = kb_directory_people(d, &people), n = kb_directory_left_out(d, &out), used;

        used = (size_t)snprintf(text, size, "%zu %s, %zu left out because this host's files have them", all,
                                all == 1 ? "person" : "people", n);
        for (size_t i = 0; i < n && i < NAMED_MAX && used < size; i++)
                used += (size_t)snprintf(text + used, size - used, "%s %s", i == 0 ? ":" : ",",
                                         out[i].subject);
        if (n > NAMED_MAX && used < size)
                snprintf(text + used, size - used, " ...");
}

static void note_published(const struct kb_publisher *p)
{
        char detail[320];

        describe(p->directory, detail, sizeof(detail));
        kb_broker_note(p->broker, (struct kb_event){.id = KB_EVENT_DIRECTORY_PUBLISHED,
                                                    .generation = p->version,
                                                    .detail = detail});
}

static bool same_left_out(const struct kb_directory *a, const struct kb_directory *b)
{
        const struct kb_refused *x, *y;
        size_t n = kb_directory_left_out(a, &x);

        if (kb_directory_left_out(b, &y) != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (strcmp(x[i].subject, y[i].subject) != 0)
                        return false;
        return true;
}

/* --- in force --- */

/* Decisions follow the names, which are published by now. */
static void take(struct kb_publisher *p, struct kb_enforcement *e)
{
        kb_directory_free(p->directory);
        p->directory = take_ptr(e->directory);
        memcpy(p->store, e->store, sizeof(p->store));
        p->mark = e->mark;
        p->version = e->version;
        p->not_after = e->not_after;
}

static void set_problem(struct kb_publisher *p, const char *text)
{
        snprintf(p->problem, sizeof(p->problem), "%s", text);
}

/*
 * The log hears of a directory that cannot be taken, once of each reason: it is asked for every minute. Of a
 * store that is away there are records of its own.
 */
static void note_refused(struct kb_publisher *p, enum kb_error error)
{
        if (error == KB_E_OK)
                p->noted[0] = '\0';
        if (error == KB_E_OK || error == KB_E_UNREACHABLE || error == KB_E_SEALED ||
            error == KB_E_THROTTLED || error == KB_E_BUSY || strcmp(p->noted, p->problem) == 0)
                return;
        memcpy(p->noted, p->problem, sizeof(p->noted));
        kb_broker_note(p->broker, (struct kb_event){.id = KB_EVENT_DIRECTORY_REFUSED,
                                                    .store = p->asked_store,
                                                    .reason = kb_error_word(error),
                                                    .detail = p->problem});
}

static struct kb_enforcement *enforcement_new(const struct kb_publisher *p)
{
        struct kb_enforcement *e = calloc(1, sizeof(*e));

        if (e) {
                e->places = p->places.enforcement;
                e->range = p->broker->config->id_range;
                e->cluster = p->broker->config->directory_cluster;
                e->mark = p->mark;
        }
        return e;
}

static void enforcement_free(struct kb_enforcement *e)
{
        if (e)
                kb_enforcement_done(e);
        free(e);
}
KB_DEFINE_CLEANUP(struct kb_enforcement, enforcement_free);

static int run_enforcement(void *userdata)
{
        struct kb_publisher *p = userdata;

        return kb_enforcement_run(p->enforcement);
}

/* Gives it to the disk's thread; `done` runs in the loop and takes p->enforcement away. Takes e. */
static void enforce(struct kb_publisher *p, struct kb_enforcement *e, kb_disk_done done)
{
        int r;

        p->enforcement = e;
        r = kb_disk_run(p->broker->disk, run_enforcement, done, p);
        if (r < 0) {
                snprintf(e->problem, sizeof(e->problem), "%s", strerror(-r));
                done(r, p);
        }
}

/* --- a refresh --- */

static void finish(struct kb_publisher *p, enum kb_error error)
{
        struct waiting **next = &p->waiting;

        kb_user_grants_check(p->broker->user_grants, NULL);
        note_refused(p, error);
        if (error == KB_E_OK)
                p->problem[0] = '\0';
        else
                kb_process_log(LOG_WARNING, "the directory was not refreshed: %s", p->problem);
        while (*next) {
                struct waiting *w = *next;

                if (!w->asked) {
                        next = &w->next;
                        continue;
                }
                *next = w->next;
                if (w->done)
                        w->done(error, p->problem, w->userdata);
                free(w);
        }
        schedule(p, p->broker->config->refresh_usec);
        go_on(p);
}

static void on_enforced(int r, void *userdata)
{
        struct kb_publisher *p = userdata;
        _cleanup_(enforcement_freep) struct kb_enforcement *e = take_ptr(p->enforcement);

        if (r < 0) {
                set_problem(p, e->problem);
                finish(p, r == -EBADMSG ? KB_E_BAD_REQUEST : KB_E_INTERNAL);
                return;
        }
        take(p, e);
        p->confirmed = p->confirmed_kept = e->confirmed;
        p->whole = false;
        note_published(p);
        if (e->keep_error < 0)
                kb_process_log(
                        LOG_ERR,
                        "the directory cannot be kept on disk, and would be missed after a reboot: %s",
                        strerror(-e->keep_error));
        finish(p, KB_E_OK);
}

/* Only as exactly as MaxAge= needs it: once a minute for ever would wear out a disk for nothing. */
static void keep_confirmed(struct kb_publisher *p)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(16);
        uint64_t max_age = p->broker->config->directory_max_age_usec;

        if (max_age == KB_TIME_NEVER || p->confirmed - p->confirmed_kept < max_age / CONFIRMED_SHARE)
                return;
        kb_confirmed_put(&w, p->version, p->confirmed);
        if (kb_writer_end(&w) < 0)
                return;
        p->confirmed_kept = p->confirmed;
        kb_disk_write(p->broker->disk,
                      &(struct kb_disk_file){.folder = p->places.enforcement.directory,
                                             .name = KB_CONFIRMED_FILE,
                                             .mode = 0600,
                                             .content = KB_SPAN(w.data, w.size)},
                      NULL, NULL);
}

static void on_transferred(enum kb_error error, const char *text, struct kb_transferred *transferred,
                           void *userdata)
{
        struct kb_publisher *p = userdata;
        struct kb_enforcement *e;

        p->transfer = NULL;
        if (error != KB_E_OK) {
                set_problem(p, text);
                finish(p, error);
                return;
        }
        if (transferred->unchanged) {
                p->confirmed = kb_now_realtime();
                keep_confirmed(p);
                finish(p, KB_E_OK);
                return;
        }
        e = enforcement_new(p);
        if (!e) {
                set_problem(p, "out of memory");
                finish(p, KB_E_BUSY);
                return;
        }
        memcpy(e->store, p->asked_store, sizeof(e->store));
        e->version = transferred->version;
        e->not_after = transferred->not_after;
        e->confirmed = kb_now_realtime();
        e->records = transferred->records;
        transferred->records = kb_writer_init(0);
        enforce(p, e, on_enforced);
}

static void refresh(struct kb_publisher *p)
{
        const struct kb_config *config = p->broker->config;
        bool known = p->directory && !p->whole && strcmp(p->store, config->directory_store) == 0;

        snprintf(p->asked_store, sizeof(p->asked_store), "%s", config->directory_store);
        for (struct waiting *w = p->waiting; w; w = w->next)
                w->asked = true;
        if (kb_transfer_start(&p->transfer, &(struct kb_transfer_request){
                                                    .event = p->broker->event,
                                                    .dir = p->places.stores,
                                                    .store = p->asked_store,
                                                    .usec = config->store_usec,
                                                    .have = known ? p->version : 0,
                                                    .done = on_transferred,
                                                    .userdata = p,
                                            }) < 0) {
                set_problem(p, "out of memory");
                finish(p, KB_E_BUSY);
        }
}

/* --- this host's own accounts have changed --- */

static void on_rechecked(int r, void *userdata)
{
        struct kb_publisher *p = userdata;
        _cleanup_(enforcement_freep) struct kb_enforcement *e = take_ptr(p->enforcement);
        bool news;

        if (r >= 0) {
                news = !same_left_out(p->directory, e->directory);
                take(p, e);
                kb_user_grants_check(p->broker->user_grants, NULL);
                if (news)
                        note_published(p);
        } else { /* what is in force is not what is on disk, or cannot be published: the store has it */
                if (r < 0)
                        kb_process_log(LOG_WARNING, "people who are this host's own by now stay ours: %s",
                                       e->problem);
                p->whole = true;
                schedule(p, 0);
        }
        go_on(p);
}

static void recheck(struct kb_publisher *p)
{
        struct kb_enforcement *e = enforcement_new(p);

        p->recheck = false;
        if (!e) {
                p->whole = true; /* at the next refresh */
                return;
        }
        e->from_disk = true;
        e->expected_store = p->store; /* stays what it is while this is under way */
        e->expected_version = p->version;
        enforce(p, e, on_rechecked);
}

static void on_accounts_changed(void *userdata)
{
        struct kb_publisher *p = userdata;

        p->recheck = p->directory;
        go_on(p);
}

/* --- one after the other --- */

/* Those who came while something was under way want what is newer still. */
static void go_on(struct kb_publisher *p)
{
        if (p->transfer || p->enforcement)
                return;
        if (p->recheck)
                recheck(p);
        else if (p->waiting)
                refresh(p);
}

void kb_publisher_refresh(struct kb_publisher *p, kb_publisher_done done, void *userdata)
{
        struct waiting *w = calloc(1, sizeof(*w));

        if (!w) {
                if (done)
                        done(KB_E_BUSY, "out of memory", userdata);
                return;
        }
        *w = (struct waiting){.next = p->waiting, .done = done, .userdata = userdata};
        p->waiting = w;
        go_on(p);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_publisher *p = userdata;

        if (p->transfer || p->enforcement)
                schedule(p, KB_USEC_PER_SEC);
        else
                refresh(p);
        return 0;
}

/* --- life --- */

/* Before anybody is served, so here and now. */
static void take_up_kept(struct kb_publisher *p)
{
        struct kb_enforcement e = {.places = p->places.enforcement,
                                   .range = p->broker->config->id_range,
                                   .cluster = p->broker->config->directory_cluster,
                                   .from_disk = true};
        int r = kb_enforcement_run(&e);

        if (r >= 0) {
                take(p, &e);
                p->confirmed = p->confirmed_kept = e.confirmed;
        } else if (r != -ENOENT) {
                p->mark = e.mark; /* of no use here and now, and not to be gone behind either */
                set_problem(p, e.problem);
                kb_process_log(LOG_ERR,
                               "the last good directory is of no use (%s): nobody is let in until the store "
                               "answers",
                               e.problem);
        }
        kb_enforcement_done(&e);
}

int kb_publisher_new(struct kb_publisher **ret, struct kb_broker *broker,
                     const struct kb_publisher_places *places)
{
        _cleanup_(kb_publisher_freep) struct kb_publisher *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->broker = broker;
        p->places = *places;
        r = sd_event_add_time(broker->event, &p->timer, CLOCK_BOOTTIME, 0, 0, on_timer, p);
        if (r < 0)
                return r;
        r = kb_accounts_new(&p->accounts, broker->event, places->enforcement.accounts, on_accounts_changed,
                            p);
        if (r < 0)
                kb_process_log(LOG_ERR,
                               "changes of this host's own accounts are seen with the next directory only: "
                               "%s cannot be watched: %s",
                               places->enforcement.accounts, strerror(-r));
        take_up_kept(p);
        schedule(p, 0);
        *ret = take_ptr(p);
        return 0;
}

void kb_publisher_free(struct kb_publisher *p)
{
        if (!p)
                return;
        if (p->transfer)
                kb_transfer_cancel(p->transfer);
        while (p->waiting) {
                struct waiting *w = p->waiting;

                p->waiting = w->next;
                free(w);
        }
        kb_accounts_free(p->accounts);
        sd_event_source_disable_unref(p->timer);
        kb_directory_free(p->directory);
        free(p);
}

const struct kb_directory *kb_publisher_directory(const struct kb_publisher *p)
{
        return p->directory;
}

void kb_publisher_get_state(const struct kb_publisher *p, struct kb_publisher_state *ret)
{
        const struct kb_person *people;
        const struct kb_refused *left_out;
        struct kb_publisher_state state = {
                .version = p->version,
                .confirmed = p->confirmed,
                .until = kb_time_add(p->confirmed, p->broker->config->directory_max_age_usec),
                .problem = p->problem,
        };

        if (p->not_after < state.until)
                state.until = p->not_after;
        if (p->directory) {
                state.people = kb_directory_people(p->directory, &people);
                state.left_out = kb_directory_left_out(p->directory, &left_out);
        }
        *ret = state;
}
