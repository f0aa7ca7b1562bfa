/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/process.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <syslog.h>

#include "common/clock.h"

#define DRAIN_USEC (10 * KB_USEC_PER_SEC)

/* With a limit, MCL_FUTURE would make allocations fail once it is reached: then rather swap than die. */
static void lock_memory(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur != RLIM_INFINITY)
                return;
        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                kb_process_log(LOG_DEBUG, "memory is not locked: %m");
}

void kb_process_harden(void)
{
        struct rlimit none = {0};
        sigset_t signals;

        prctl(PR_SET_DUMPABLE, 0);
        setrlimit(RLIMIT_CORE, &none);
        lock_memory();
        umask(0077);
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigprocmask(SIG_BLOCK, &signals, NULL); /* before the first thread, so that all inherit it */
}

int kb_process_take_fd(const char *name)
{
        static char **names;
        static int n = -1;

        if (n < 0) {
                n = sd_listen_fds_with_names(1, &names);
                if (n < 0)
                        return n;
        }
        for (int i = 0; i < n; i++)
                if (names[i] && strcmp(names[i], name) == 0) {
                        free(names[i]);
                        names[i] = NULL;
                        return SD_LISTEN_FDS_START + i;
                }
        return -ENOENT;
}

void kb_process_log(int level, const char *format, ...)
{
        char line[1024];
        int saved = errno;
        va_list args;

        va_start(args, format);
        vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        fprintf(stderr, "<%d>%s\n", level, line); /* sd-daemon(3): the journal reads the level */
        errno = saved;
}

struct running {
        sd_event *event;
        const struct kb_process_hooks *hooks;
        sd_event_source *deadline;
        sd_event_source *check;
};

static int on_drained(sd_event_source *source, void *userdata)
{
        struct running *running = userdata;

        if (!running->hooks->idle || running->hooks->idle(running->hooks->userdata))
                return sd_event_exit(running->event, 0);
        return 0;
}

static int on_drain_deadline(sd_event_source *source, uint64_t now, void *userdata)
{
        struct running *running = userdata;

        kb_process_log(LOG_WARNING, "stopping with work undone: it took longer than 10 s");
        return sd_event_exit(running->event, 0);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        struct running *running = userdata;
        int r;

        if (running->check)
                return 0; /* on the way out already */
        sd_notify(0, "STOPPING=1");
        if (running->hooks->stop)
                running->hooks->stop(running->hooks->userdata);
        r = sd_event_add_post(running->event, &running->check, on_drained, running);
        if (r >= 0)
                r = sd_event_add_time_relative(running->event, &running->deadline, CLOCK_MONOTONIC,
                                               DRAIN_USEC, 0, on_drain_deadline, running);
        return r < 0 ? sd_event_exit(running->event, r) : on_drained(NULL, running);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        struct running *running = userdata;

        sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)kb_now_monotonic());
        if (running->hooks->reload)
                running->hooks->reload(running->hooks->userdata);
        sd_notify(0, "READY=1");
        return 0;
}

int kb_process_run(sd_event *event, const struct kb_process_hooks *hooks)
{
        static const struct kb_process_hooks none;
        struct running running = {.event = event, .hooks = hooks ? hooks : &none};
        sd_event_source *term = NULL, *interrupt = NULL, *hup = NULL;
        int r;

        r = sd_event_add_signal(event, &term, SIGTERM, on_stop, &running);
        if (r >= 0)
                r = sd_event_add_signal(event, &interrupt, SIGINT, on_stop, &running);
        if (r >= 0)
                r = sd_event_add_signal(event, &hup, SIGHUP, on_reload, &running);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r >= 0)
                r = sd_notify(0, "READY=1");
        if (r >= 0)
                r = sd_event_loop(event);
        sd_event_source_disable_unref(term);
        sd_event_source_disable_unref(interrupt);
        sd_event_source_disable_unref(hup);
        sd_event_source_disable_unref(running.check);
        sd_event_source_disable_unref(running.deadline);
        return r;
}
