/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/systemd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "common/clock.h"
#include "common/names.h"

/*
 * org.freedesktop.systemd1(5). On the private socket there is no bus and no bus name: destination is NULL,
 * and only root may connect.
 */
#define PRIVATE_ADDRESS   "unix:path=/run/systemd/private"
#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define CALL_USEC         (25 * KB_USEC_PER_SEC)
#define RUN_USEC          (30 * KB_USEC_PER_SEC)
#define JOB_USEC          (180 * KB_USEC_PER_SEC) /* a job may wait for a slow service's start or reload */

struct job {
        struct job *next;
        struct kb_systemd *owner;
        char *path; /* object path of the job, once we know it */
        kb_systemd_job_done done;
        void *userdata;
        sd_bus_slot *call;
        sd_event_source *timer;
};

struct kb_systemd {
        sd_event *event;
        sd_bus *bus; /* NULL while PID 1 has not been asked, or hung up */
        sd_bus_slot *removed;
        struct job *jobs;
        struct query *queries;
};

/* --- jobs we wait for --- */

static void job_end(struct job *job, int r)
{
        struct job **p = &job->owner->jobs;

        while (*p != job)
                p = &(*p)->next;
        *p = job->next;
        sd_bus_slot_unref(job->call);
        sd_event_source_disable_unref(job->timer);
        job->done(r, job->userdata);
        free(job->path);
        free(job);
}

static int on_job_timeout(sd_event_source *source, uint64_t now, void *userdata)
{
        job_end(userdata, -ETIMEDOUT);
        return 0;
}

/* The words of JobRemoved's last argument, as far as they are no failure. */
static int result_to_errno(const char *result)
{
        if (strcmp(result, "done") == 0 || strcmp(result, "skipped") == 0)
                return 0;
        if (strcmp(result, "canceled") == 0 || strcmp(result, "collected") == 0)
                return -ECANCELED;
        return strcmp(result, "timeout") == 0 ? -ETIMEDOUT : -EIO;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        struct kb_systemd *s = userdata;
        const char *path, *unit, *result;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
                return 0;
        for (struct job *job = s->jobs; job; job = job->next)
                if (job->path && strcmp(job->path, path) == 0) {
                        job_end(job, result_to_errno(result));
                        break;
                }
        return 0;
}

/* --- the connection --- */

static void disconnect(struct kb_systemd *s)
{
        s->removed = sd_bus_slot_unref(s->removed);
        s->bus = sd_bus_close_unref(s->bus);
}

/* PID 1 was re-executed, or is gone: nobody will tell us how our jobs end. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        struct kb_systemd *s = userdata;

        while (s->jobs)
                job_end(s->jobs, -EHOSTDOWN);
        disconnect(s);
        return 0;
}

static int connect_manager(struct kb_systemd *s)
{
        int r;

        if (s->bus && sd_bus_is_open(s->bus) > 0)
                return 0;
        disconnect(s);
        r = sd_bus_new(&s->bus);
        if (r >= 0)
                r = sd_bus_set_address(s->bus, PRIVATE_ADDRESS);
        if (r >= 0)
                r = sd_bus_start(s->bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(s->bus, CALL_USEC);
        if (r >= 0)
                r = sd_bus_attach_event(s->bus, s->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(s->bus, &s->removed, NULL, MANAGER_PATH, MANAGER_INTERFACE,
                                              "JobRemoved", on_job_removed, NULL, s);
        if (r >= 0)
                r = sd_bus_match_signal_async(s->bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                              NULL, s);
        if (r < 0) {
                disconnect(s);
                return -EHOSTDOWN;
        }
        return 0;
}

static int error_to_errno(sd_bus_message *m)
{
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (!e)
                return 0;
        if (sd_bus_error_has_name(e, "org.freedesktop.systemd1.NoSuchUnit"))
                return -ENOENT;
        return -sd_bus_error_get_errno(e);
}

/* --- what a unit is --- */

struct query {
        struct query *next;
        struct kb_systemd *owner;
        kb_systemd_facts_done done;
        void *userdata;
        sd_bus_slot *call;
};

static void query_end(struct query *query, int r, const struct kb_unit_facts *facts)
{
        struct query **p = &query->owner->queries;

        while (*p != query)
                p = &(*p)->next;
        *p = query->next;
        sd_bus_slot_unref(query->call);
        query->done(r, facts, query->userdata);
        free(query);
}

/* One property of GetAll's answer into facts; UINT32_MAX is how PID 1 says "none". */
static int read_fact(sd_bus_message *m, const char *name, struct kb_unit_facts *facts)
{
        const char *type;
        uint32_t id;
        int r;

        if (strcmp(name, "UID") == 0 || strcmp(name, "GID") == 0) {
                r = sd_bus_message_read(m, "v", "u", &id);
                if (r >= 0)
                        *(name[0] == 'U' ? &facts->uid : &facts->gid) = id == UINT32_MAX ? 0 : id;
                return r;
        }
        if (strcmp(name, "Type") == 0) {
                r = sd_bus_message_read(m, "v", "s", &type);
                if (r >= 0)
                        facts->notifies_reload = strcmp(type, "notify-reload") == 0;
                return r;
        }
        return sd_bus_message_skip(m, "v");
}

static int read_facts(sd_bus_message *m, struct kb_unit_facts *ret)
{
        struct kb_unit_facts facts = {0};
        const char *name;
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_fact(m, name, &facts);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r < 0)
                return r;
        *ret = facts;
        return 0;
}

static int on_facts(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        struct kb_unit_facts facts = {0};
        int r = error_to_errno(m);

        if (r >= 0)
                r = read_facts(m, &facts);
        query_end(userdata, r, &facts);
        return 0;
}

int kb_systemd_unit_facts(struct kb_systemd *s, const char *unit, kb_systemd_facts_done done, void *userdata)
{
        _cleanup_free_ struct query *query = calloc(1, sizeof(*query));
        _cleanup_free_ char *path = NULL;
        int r;

        if (!query)
                return -ENOMEM;
        *query = (struct query){.owner = s, .done = done, .userdata = userdata};
        r = connect_manager(s);
        if (r >= 0)
                r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path);
        if (r >= 0)
                r = sd_bus_call_method_async(s->bus, &query->call, NULL, path,
                                             "org.freedesktop.DBus.Properties", "GetAll", on_facts, query,
                                             "s", "");
        if (r < 0)
                return r;
        query->next = s->queries;
        s->queries = take_ptr(query);
        return 0;
}

/* --- do something to a unit --- */

static int on_job_queued(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        struct job *job = userdata;
        const char *path;
        int r = error_to_errno(m);

        job->call = sd_bus_slot_unref(job->call);
        if (r >= 0)
                r = sd_bus_message_read(m, "o", &path);
        if (r >= 0 && !(job->path = strdup(path)))
                r = -ENOMEM;
        if (r < 0)
                job_end(job, r);
        return 0;
}

/* A signal is no job: it is through when it was sent. */
static int on_signal_sent(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        job_end(userdata, error_to_errno(m));
        return 0;
}

static int call_manager(struct job *job, const char *unit, enum kb_unit_action action, int signal)
{
        sd_bus *bus = job->owner->bus;

        switch (action) {
        case KB_UNIT_RELOAD:
                return sd_bus_call_method_async(bus, &job->call, NULL, MANAGER_PATH, MANAGER_INTERFACE,
                                                "ReloadUnit", on_job_queued, job, "ss", unit, "replace");
        case KB_UNIT_RESTART:
                return sd_bus_call_method_async(bus, &job->call, NULL, MANAGER_PATH, MANAGER_INTERFACE,
                                                "TryRestartUnit", on_job_queued, job, "ss", unit, "replace");
        case KB_UNIT_SIGNAL:
                return sd_bus_call_method_async(bus, &job->call, NULL, MANAGER_PATH, MANAGER_INTERFACE,
                                                "KillUnit", on_signal_sent, job, "ssi", unit, "main",
                                                signal);
        }
        return -EINVAL;
}

static int job_new(struct kb_systemd *s, kb_systemd_job_done done, void *userdata, struct job **ret)
{
        struct job *job;
        int r = connect_manager(s);

        if (r < 0)
                return r;
        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        *job = (struct job){.owner = s, .done = done, .userdata = userdata};
        r = sd_event_add_time_relative(s->event, &job->timer, CLOCK_MONOTONIC, JOB_USEC, 0, on_job_timeout,
                                       job);
        if (r < 0) {
                free(job);
                return r;
        }
        *ret = job;
        return 0;
}

/* The call is on its way (r >= 0): from now on the job is one that we wait for. */
static int job_started(struct job *job, int r)
{
        if (r < 0) {
                sd_event_source_disable_unref(job->timer);
                free(job);
                return r;
        }
        job->next = job->owner->jobs;
        job->owner->jobs = job;
        return 0;
}

int kb_systemd_unit_do(struct kb_systemd *s, const char *unit, enum kb_unit_action action, int signal,
                       kb_systemd_job_done done, void *userdata)
{
        struct job *job;
        int r = job_new(s, done, userdata, &job);

        return r < 0 ? r : job_started(job, call_manager(job, unit, action, signal));
}

/* --- run a program: a oneshot service, so that its job ends as the program does --- */

static int append_program(sd_bus_message *m, const char *const argv[static 3])
{
        int r = sd_bus_message_append(m, "(sv)", "Type", "s", "oneshot");

        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "TimeoutStartUSec", "t", RUN_USEC);
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "ExecStart", "a(sasb)", 1, argv[0], 3, argv[0], argv[1],
                                          argv[2], false);
        return r;
}

static int run_message(struct kb_systemd *s, const char *const argv[static 3], sd_bus_message **ret)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char name[64];
        int r;

        snprintf(name, sizeof(name), "keybearer-probe-%llx.service", (unsigned long long)kb_now_monotonic());
        r = sd_bus_message_new_method_call(s->bus, &m, NULL, MANAGER_PATH, MANAGER_INTERFACE,
                                           "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", name, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = append_program(m, argv);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r >= 0)
                *ret = take_ptr(m);
        return r;
}

int kb_systemd_run(struct kb_systemd *s, const char *const argv[static 3], kb_systemd_job_done done,
                   void *userdata)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        struct job *job;
        int r = job_new(s, done, userdata, &job);

        if (r < 0)
                return r;
        r = run_message(s, argv, &m);
        if (r >= 0)
                r = sd_bus_call_async(s->bus, &job->call, m, on_job_queued, job, 0);
        return job_started(job, r);
}

/* --- life --- */

int kb_systemd_new(struct kb_systemd **ret, sd_event *event)
{
        struct kb_systemd *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        *ret = s;
        return 0;
}

void kb_systemd_free(struct kb_systemd *s)
{
        if (!s)
                return;
        while (s->jobs)
                job_end(s->jobs, -ECANCELED);
        while (s->queries)
                query_end(s->queries, -ECANCELED, NULL);
        disconnect(s);
        sd_event_unref(s->event);
        free(s);
}
