/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>

#include "common/file.h"
#include "common/protocol.h"
#include "helper/server/process.h"

#define FILE_MAX 1024 /* of a session, with all its maxima */

struct kb_sessions {
        sd_event *event;
        int folder_fd;
        kb_session_ended ended;
        void *userdata;
        struct kb_session *sessions[KB_SESSIONS_MAX];
};

static void session_free(struct kb_session *session)
{
        if (!session)
                return;
        sd_event_source_disable_unref(session->watch);
        free(session);
}

void kb_sessions_free(struct kb_sessions *s)
{
        if (!s)
                return;
        for (size_t i = 0; i < KB_SESSIONS_MAX; i++)
                session_free(s->sessions[i]);
        sd_event_unref(s->event);
        if (s->folder_fd >= 0)
                close(s->folder_fd);
        free(s);
}

int kb_sessions_new(struct kb_sessions **ret, sd_event *event, const char *dir, kb_session_ended ended,
                    void *userdata)
{
        _cleanup_(kb_sessions_freep) struct kb_sessions *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (struct kb_sessions){
                .event = sd_event_ref(event), .folder_fd = -1, .ended = ended, .userdata = userdata};
        if (mkdir(dir, 0700) < 0 && errno != EEXIST)
                return -errno;
        s->folder_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (s->folder_fd < 0)
                return -errno;
        *ret = take_ptr(s);
        return 0;
}

/* --- the leader --- */

static int on_leader_gone(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        kb_session_end(userdata, "its leader is gone");
        return 0;
}

/*
 * By its number only where the kernel has no pidfd of a peer: else it is gone, and who has the number now is
 * another. glibc of Debian 12 has no pidfd_open() that could be called with these headers.
 */
static int open_pidfd(pid_t pid, int pidfd)
{
        int fd;

        if (pidfd < 0 && pidfd != -ENOPROTOOPT)
                return -ESRCH;
        fd = pidfd >= 0 ? fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : (int)syscall(SYS_pidfd_open, pid, 0);
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

/* The 22nd word of /proc/PID/stat; the second is a name in brackets, which may hold anything. */
static int read_began(pid_t pid, uint64_t *ret)
{
        char path[32], text[1024], *word;
        _cleanup_close_ int fd = -1;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        text[n] = '\0';
        word = strrchr(text, ')');
        for (unsigned i = 2; word && i < 22; i++)
                word = strchr(word + 1, ' ');
        if (!word)
                return -EBADMSG;
        *ret = strtoull(word + 1, NULL, 10);
        return 0;
}

/* --- files --- */

static int write_file(const struct kb_session *session)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(FILE_MAX), record = kb_writer_init(FILE_MAX);
        int r;

        kb_session_record_put(&record, &(struct kb_session_record){
                                               .handle = session->handle,
                                               .user = session->user,
                                               .service = session->service,
                                               .remote_host = session->remote_host,
                                               .leader = (uint32_t)session->leader,
                                               .opened = session->opened,
                                       });
        kb_write_u64(&w, session->leader_began);
        kb_write_bytes(&w, KB_SPAN(record.data, record.size), FILE_MAX);
        r = kb_writer_end(&record);
        if (r >= 0)
                r = kb_writer_end(&w);
        if (r < 0)
                return r;
        return kb_file_write_at(session->owner->folder_fd, session->handle, KB_SPAN(w.data, w.size), 0600);
}

static int read_file(struct kb_sessions *s, const char *name, struct kb_session *ret)
{
        _cleanup_secret_ uint8_t *data = NULL;
        struct kb_session_record record;
        struct kb_span bytes;
        struct kb_reader reader;
        size_t size;
        int r = kb_file_read_at(s->folder_fd, name, FILE_MAX, &data, &size);

        if (r < 0)
                return r;
        reader = kb_reader_init(KB_SPAN(data, size));
        *ret = (struct kb_session){.owner = s, .leader_began = kb_read_u64(&reader)};
        bytes = kb_read_bytes(&reader, FILE_MAX);
        if (kb_reader_end(&reader) < 0 || kb_session_record_get(bytes, &record) < 0 ||
            strcmp(record.handle, name) != 0 || strlen(name) >= sizeof(ret->handle) ||
            strlen(record.service) >= sizeof(ret->service) || record.leader == 0 ||
            record.leader > INT32_MAX)
                return -EBADMSG;
        snprintf(ret->handle, sizeof(ret->handle), "%s", name);
        snprintf(ret->user, sizeof(ret->user), "%s", record.user);
        snprintf(ret->service, sizeof(ret->service), "%s", record.service);
        snprintf(ret->remote_host, sizeof(ret->remote_host), "%s", record.remote_host);
        ret->leader = (pid_t)record.leader;
        ret->opened = record.opened;
        return 0;
}

/* --- in and out --- */

/* A session like this one, in a free place of the table. */
static int add(struct kb_sessions *s, const struct kb_session *is, struct kb_session ***ret)
{
        size_t i = KB_SESSIONS_MAX;
        unsigned n = 0;

        for (size_t k = KB_SESSIONS_MAX; k-- > 0;)
                if (!s->sessions[k])
                        i = k;
                else
                        n += strcmp(s->sessions[k]->user, is->user) == 0;
        if (n >= KB_SESSIONS_PER_PERSON)
                return -EUSERS;
        if (i == KB_SESSIONS_MAX)
                return -EBUSY;
        s->sessions[i] = malloc(sizeof(*is));
        if (!s->sessions[i])
                return -ENOMEM;
        *s->sessions[i] = *is;
        s->sessions[i]->owner = s;
        s->sessions[i]->watch = NULL;
        *ret = &s->sessions[i];
        return 0;
}

int kb_session_open(struct kb_sessions *s, const struct kb_session *is, int pidfd,
                    const struct kb_session **ret)
{
        struct kb_session **session;
        int r = add(s, is, &session);

        if (r < 0)
                return r;
        r = kb_handle_make((*session)->handle);
        if (r >= 0)
                r = watch_leader(*session, pidfd);
        if (r >= 0)
                r = read_began(is->leader, &(*session)->leader_began);
        if (r >= 0)
                r = write_file(*session);
        if (r < 0) {
                session_free(take_ptr(*session));
                return r;
        }
        *ret = *session;
        return 0;
}

/* Whether the leader is still the one it was; if so it is watched from now on. */
static int find_leader(struct kb_session *session)
{
        uint64_t began;
        int r = watch_leader(session, -ENOPROTOOPT); /* first: who is watched is whom we look at then */

        if (r >= 0)
                r = read_began(session->leader, &began);
        if (r >= 0 && began != session->leader_began)
                r = -ESRCH;
        return r;
}

static int restore(struct kb_sessions *s, const char *name)
{
        struct kb_session **place, is;
        int r = read_file(s, name, &is);

        if (r >= 0)
                r = add(s, &is, &place);
        if (r < 0)
                return r;
        r = find_leader(*place);
        if (r == -ESRCH)
                kb_session_end(*place, "its leader ended while the broker was away");
        else if (r < 0)
                session_free(take_ptr(*place));
        return r == -ESRCH ? 0 : r;
}

/* Only what makes no sense: what fails for now is somebody's session, and the next start may succeed. */
static void set_aside(struct kb_sessions *s, const char *name, int r)
{
        bool malformed = r == -EBADMSG || r == -EFBIG || r == -EINVAL;

        kb_process_log(LOG_ERR, "a session is not taken up again, and its file is %s: %s/%s: %s",
                       malformed ? "removed" : "kept", KB_SESSIONS_DIR, name, strerror(-r));
        if (malformed)
                unlinkat(s->folder_fd, name, 0);
}

int kb_sessions_restore(struct kb_sessions *s)
{
        int fd = openat(s->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(kb_closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!d) {
                _cleanup_close_ int left = fd;

                return left < 0 ? -errno : -ENOMEM;
        }
        while ((entry = readdir(d))) {
                int r = entry->d_name[0] == '.' ? 0 : restore(s, entry->d_name);

                if (r < 0)
                        set_aside(s, entry->d_name, r);
        }
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
        unlinkat(s->folder_fd, session->handle, 0);
        s->ended(session, why, s->userdata);
        session_free(session);
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
