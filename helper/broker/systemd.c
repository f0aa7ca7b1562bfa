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
#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define RUN_USEC          (30 * KB_USEC_PER_SEC)
#define BACK_OFF_MIN_USEC (100 * KB_USEC_PER_MSEC)
#define BACK_OFF_MAX_USEC (5 * KB_USEC_PER_SEC)

/* Whom we wait for: PID 1 has to answer, and of a job to say how it ended. */
struct job {
        struct job *next;
        struct job **list; /* the one it is in */
        struct kb_systemd *owner;
        char *path;               /* object path of the job, once we know it */
        kb_systemd_job_done done; /* one of the two */
        kb_systemd_facts_done facts_done;
        void *userdata;
        sd_bus_slot *call;
        sd_event_source *timer;
};

struct kb_systemd {
        sd_event *event;
        struct kb_systemd_options is;
        sd_bus *bus; /* NULL while PID 1 has not been asked, or hung up */
        sd_bus_slot *removed;
        struct job *jobs;
        struct job *lost; /* their connection is gone: they are told so from the loop */
        sd_event_source *tell_lost;
        bool answered;       /* on this connection */
        unsigned failures;   /* connections in a row without an answer */
        uint64_t not_before; /* monotonic: of the next connection */
};

/* --- those we wait for --- */

static void job_enlist(struct job *job, struct job **list)
{
        job->list = list;
        job->next = *list;
        *list = job;
}

static void job_delist(struct job *job)
{
        struct job **p = job->list;

        while (*p != job)
                p = &(*p)->next;
        *p = job->next;
}

static void job_free(struct job *job)
{
        sd_bus_slot_unref(job->call);
        sd_event_source_disable_unref(job->timer);
        free(job->path);
        free(job);
}

static void job_end_with(struct job *job, int r, const struct kb_unit_facts *facts)
{
        job_delist(job);
        if (job->facts_done)
                job->facts_done(r, r < 0 ? NULL : facts, job->userdata);
        else
                job->done(r, job->userdata);
        job_free(job);
}

static void job_end(struct job *job, int r)
{
        job_end_with(job, r, NULL);
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

static int on_lost(sd_event_source *source, void *userdata)
{
        struct kb_systemd *s = userdata;

        while (s->lost)
                job_end(s->lost, -EHOSTDOWN);
        return 0;
}

static void back_off(struct kb_systemd *s)
{
        uint64_t usec = BACK_OFF_MIN_USEC << (s->failures < 16 ? s->failures : 16);

        s->failures++;
        s->not_before = kb_time_add(kb_now_monotonic(), usec < BACK_OFF_MAX_USEC ? usec : BACK_OFF_MAX_USEC);
}

/*
 * PID 1 was re-executed, or is gone: nobody will tell us how our jobs end. Whoever waits is told from the
 * loop, so that nothing of theirs runs inside a call of somebody else.
 */
static void disconnect(struct kb_systemd *s)
{
        if (!s->bus)
                return;
        while (s->jobs) {
                struct job *job = s->jobs;

                job_delist(job);
                job_enlist(job, &s->lost);
        }
        if (s->lost)
                sd_event_source_set_enabled(s->tell_lost, SD_EVENT_ONESHOT);
        if (!s->answered)
                back_off(s);
        s->removed = sd_bus_slot_unref(s->removed);
        s->bus = sd_bus_close_unref(s->bus);
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        disconnect(userdata);
        return 0;
}

static int open_bus(struct kb_systemd *s)
{
        int r = sd_bus_new(&s->bus);

        if (r >= 0)
                r = sd_bus_set_address(s->bus, s->is.address);
        if (r >= 0)
                r = sd_bus_start(s->bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(s->bus, s->is.call_usec);
        if (r >= 0)
                r = sd_bus_attach_event(s->bus, s->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(s->bus, &s->removed, NULL, MANAGER_PATH, MANAGER_INTERFACE,
                                              "JobRemoved", on_job_removed, NULL, s);
        if (r >= 0)
                r = sd_bus_match_signal_async(s->bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                              NULL, s);
        return r;
}

static int connect_manager(struct kb_systemd *s)
{
        if (s->bus && sd_bus_is_open(s->bus) > 0)
                return 0;
        disconnect(s); /* it may be closing, and would never answer */
        if (kb_now_monotonic() < s->not_before)
                return -EHOSTDOWN;
        s->answered = false;
        if (open_bus(s) >= 0)
                return 0;
        disconnect(s);
        return -EHOSTDOWN;
}

/* What an answer says; 0 when it is none of an error. A connection that ends makes up its answers itself. */
static int answer_to_errno(struct kb_systemd *s, sd_bus_message *m)
{
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e && (!s->bus || sd_bus_is_open(s->bus) <= 0))
                return -EHOSTDOWN;
        if (e && sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY))
                return -ETIMEDOUT;
        s->answered = true;
        s->failures = 0;
        if (!e)
                return 0;
        if (sd_bus_error_has_name(e, "org.freedesktop.systemd1.NoSuchUnit"))
                return -ENOENT;
        return -sd_bus_error_get_errno(e);
}

/* --- to ask --- */

static int job_new(struct kb_systemd *s, const struct job *like, uint64_t usec, struct job **ret)
{
        struct job *job;
        int r = connect_manager(s);

        if (r < 0)
                return r;
        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        *job = *like;
        job->owner = s;
        r = sd_event_add_time_relative(s->event, &job->timer, CLOCK_MONOTONIC, usec, 0, on_job_timeout, job);
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
        struct kb_systemd *s = job->owner;

        if (r >= 0) {
                job_enlist(job, &s->jobs);
                return 0;
        }
        job_free(job);
        if (r != -ECONNRESET && r != -EPIPE && r != -ENOTCONN)
                return r;
        disconnect(s); /* PID 1 hung up before the loop could see it */
        return -EHOSTDOWN;
}

/* --- what a unit is --- */

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
        struct job *job = userdata;
        int r = answer_to_errno(job->owner, m);

        if (r >= 0)
                r = read_facts(m, &facts);
        job_end_with(job, r, &facts);
        return 0;
}

int kb_systemd_unit_facts(struct kb_systemd *s, const char *unit, kb_systemd_facts_done done, void *userdata)
{
        _cleanup_free_ char *path = NULL;
        struct job *job;
        int r = job_new(s, &(struct job){.facts_done = done, .userdata = userdata}, s->is.answer_usec, &job);

        if (r < 0)
                return r;
        r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path);
        if (r >= 0)
                r = sd_bus_call_method_async(s->bus, &job->call, NULL, path,
                                             "org.freedesktop.DBus.Properties", "GetAll", on_facts, job, "s",
                                             "");
        return job_started(job, r);
}

/* --- do something to a unit --- */

static int on_job_queued(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        struct job *job = userdata;
        const char *path;
        int r = answer_to_errno(job->owner, m);

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
        struct job *job = userdata;

        job_end(job, answer_to_errno(job->owner, m));
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

int kb_systemd_unit_do(struct kb_systemd *s, const char *unit, enum kb_unit_action action, int signal,
                       kb_systemd_job_done done, void *userdata)
{
        struct job *job;
        int r = job_new(s, &(struct job){.done = done, .userdata = userdata}, s->is.job_usec, &job);

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
        int r = job_new(s, &(struct job){.done = done, .userdata = userdata}, s->is.job_usec, &job);

        if (r < 0)
                return r;
        r = run_message(s, argv, &m);
        if (r >= 0)
                r = sd_bus_call_async(s->bus, &job->call, m, on_job_queued, job, 0);
        return job_started(job, r);
}

/* --- life --- */

int kb_systemd_new(struct kb_systemd **ret, sd_event *event, const struct kb_systemd_options *options)
{
        _cleanup_(kb_systemd_freep) struct kb_systemd *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        s->is = *options;
        r = sd_event_add_defer(event, &s->tell_lost, on_lost, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->tell_lost, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

void kb_systemd_free(struct kb_systemd *s)
{
        if (!s)
                return;
        disconnect(s);
        while (s->lost)
                job_end(s->lost, -ECANCELED);
        sd_event_source_disable_unref(s->tell_lost);
        sd_event_unref(s->event);
        free(s);
}
