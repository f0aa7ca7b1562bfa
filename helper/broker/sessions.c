/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/syscall.h>

struct kb_sessions {
        sd_event *event;
        kb_session_ended ended;
        void *userdata;
        struct kb_session *sessions[KB_SESSIONS_MAX];
};

int kb_sessions_new(struct kb_sessions **ret, sd_event *event, kb_session_ended ended, void *userdata)
{
        struct kb_sessions *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (struct kb_sessions){.event = sd_event_ref(event), .ended = ended, .userdata = userdata};
        *ret = s;
        return 0;
}

static void session_free(struct kb_session *session)
{
        if (!session)
                return;
        sd_event_source_disable_unref(session->watch);
        free(session);
}
KB_DEFINE_CLEANUP(struct kb_session, session_free);

void kb_sessions_free(struct kb_sessions *s)
{
        if (!s)
                return;
        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                session_free(s->sessions[i]);
        sd_event_unref(s->event);
        free(s);
}

static int on_leader_gone(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        kb_session_end(userdata, "its leader is gone");
        return 0;
}

/* glibc of Debian 12 has no pidfd_open() that could be called with these headers. */
static int open_pidfd(pid_t pid, int pidfd)
{
        int fd = pidfd >= 0 ? fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : (int)syscall(SYS_pidfd_open, pid, 0);

        return fd < 0 ? -errno : fd;
}

static int watch_leader(struct kb_session *session, int pidfd)
{
        _cleanup_close_ int fd = open_pidfd(session->leader, pidfd);
        int r;

        if (fd < 0)
                return fd;
        r = sd_event_add_io(session->owner->event, &session->watch, fd, EPOLLIN, on_leader_gone, session);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(session->watch, true);
        if (r >= 0)
                take_fd(fd);
        return r;
}

static int make_handle(char ret[static KB_SESSION_HANDLE_SIZE])
{
        uint64_t random[2];

        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return -EIO;
        snprintf(ret, KB_SESSION_HANDLE_SIZE, "%016llx%016llx", (unsigned long long)random[0],
                 (unsigned long long)random[1]);
        return 0;
}

int kb_session_open(struct kb_sessions *s, const struct kb_session *is, int pidfd,
                    const struct kb_session **ret)
{
        _cleanup_(session_freep) struct kb_session *session = NULL;
        size_t i = 0;
        int r;

        while (i < KB_SESSIONS_MAX && s->sessions[i])
                i++;
        if (i == KB_SESSIONS_MAX)
                return -EBUSY;
        session = calloc(1, sizeof(*session));
        if (!session)
                return -ENOMEM;
        *session = *is;
        session->owner = s;
        session->watch = NULL;
        r = make_handle(session->handle);
        if (r >= 0)
                r = watch_leader(session, pidfd);
        if (r < 0)
                return r;
        *ret = s->sessions[i] = take_ptr(session);
        return 0;
}

struct kb_session *kb_session_find(const struct kb_sessions *s, const char *handle)
{
        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                if (s->sessions[i] && strcmp(s->sessions[i]->handle, handle) == 0)
                        return s->sessions[i];
        return NULL;
}

void kb_session_end(struct kb_session *session, const char *why)
{
        struct kb_sessions *s = session->owner;

        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                if (s->sessions[i] == session)
                        s->sessions[i] = NULL;
        s->ended(session, why, kb_sessions_of(s, session->user) == 0, s->userdata);
        session_free(session);
}

unsigned kb_sessions_of(const struct kb_sessions *s, const char *user)
{
        unsigned n = 0;

        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                n += s->sessions[i] && strcmp(s->sessions[i]->user, user) == 0;
        return n;
}

const struct kb_session *kb_session_of(const struct kb_sessions *s, const char *user)
{
        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                if (s->sessions[i] && strcmp(s->sessions[i]->user, user) == 0)
                        return s->sessions[i];
        return NULL;
}

void kb_sessions_each(const struct kb_sessions *s,
                      void (*each)(const struct kb_session *session, void *userdata), void *userdata)
{
        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                if (s->sessions[i])
                        each(s->sessions[i], userdata);
}
