/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/server/pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"

#define MAX_THREADS 16
#define MAX_WAITING 4096

struct task {
        struct kb_job job;
        uint64_t deadline;
        int result;
        struct task *next;
};

struct queue {
        struct task *first, **last;
        unsigned n;
};

struct kb_pool {
        pthread_mutex_t mutex;
        pthread_cond_t more;
        struct queue waiting, finished;
        uint64_t average; /* microseconds that a job takes: moves an eighth of the way with each */
        bool stop;

        pthread_t threads[MAX_THREADS];
        unsigned n_threads;
        int niceness;
        unsigned pending; /* of the event loop alone */
        int finished_fd;
        sd_event_source *io;
};

static void push(struct queue *q, struct task *t)
{
        t->next = NULL;
        *(q->first ? q->last : &q->first) = t;
        q->last = &t->next;
        q->n++;
}

static struct task *pop(struct queue *q)
{
        struct task *t = q->first;

        if (t) {
                q->first = t->next;
                q->n--;
        }
        return t;
}

/* --- in a thread --- */

static struct task *next_task(struct kb_pool *p)
{
        struct task *t;

        pthread_mutex_lock(&p->mutex);
        while (!p->stop && !p->waiting.first)
                pthread_cond_wait(&p->more, &p->mutex);
        t = p->stop ? NULL : pop(&p->waiting);
        pthread_mutex_unlock(&p->mutex);
        return t;
}

static void finish(struct kb_pool *p, struct task *t, uint64_t took)
{
        pthread_mutex_lock(&p->mutex);
        if (took > 0)
                p->average += took / 8 - p->average / 8;
        push(&p->finished, t);
        pthread_mutex_unlock(&p->mutex);
        eventfd_write(p->finished_fd, 1);
}

static void *run(void *userdata)
{
        struct kb_pool *p = userdata;
        struct task *t;

        /* Linux nices threads one by one. A sandbox may forbid it: then we are as important as the loop. */
        if (p->niceness > 0)
                (void)setpriority(PRIO_PROCESS, (id_t)gettid(), p->niceness);
        while ((t = next_task(p))) {
                uint64_t begun = kb_now_monotonic();

                if (begun >= t->deadline) {
                        t->result = -EAGAIN;
                        finish(p, t, 0);
                        continue;
                }
                t->result = t->job.work(t->job.userdata);
                finish(p, t, kb_now_monotonic() - begun + 1);
        }
        return NULL;
}

/* --- in the event loop --- */

static int on_finished(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct kb_pool *p = userdata;
        eventfd_t unused;

        eventfd_read(fd, &unused);
        for (;;) {
                struct task *t;

                pthread_mutex_lock(&p->mutex);
                t = pop(&p->finished);
                pthread_mutex_unlock(&p->mutex);
                if (!t)
                        return 0;
                p->pending--;
                t->job.done(t->result, t->job.userdata);
                free(t);
        }
}

int kb_pool_new(struct kb_pool **ret, sd_event *event, unsigned threads, int niceness)
{
        _cleanup_(kb_pool_freep) struct kb_pool *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        pthread_mutex_init(&p->mutex, NULL);
        pthread_cond_init(&p->more, NULL);
        p->niceness = niceness;
        p->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->finished_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &p->io, p->finished_fd, EPOLLIN, on_finished, p);
        if (r < 0)
                return r;
        for (; p->n_threads < threads && p->n_threads < MAX_THREADS; p->n_threads++) {
                r = pthread_create(&p->threads[p->n_threads], NULL, run, p);
                if (r != 0)
                        return -r;
        }
        *ret = take_ptr(p);
        return 0;
}

void kb_pool_free(struct kb_pool *p)
{
        struct task *t;

        if (!p)
                return;
        pthread_mutex_lock(&p->mutex);
        p->stop = true;
        pthread_cond_broadcast(&p->more);
        pthread_mutex_unlock(&p->mutex);
        for (unsigned i = 0; i < p->n_threads; i++)
                pthread_join(p->threads[i], NULL);
        if (p->finished_fd >= 0 && p->io)
                on_finished(p->io, p->finished_fd, 0, p);
        while ((t = pop(&p->waiting))) {
                t->job.done(-ECANCELED, t->job.userdata);
                free(t);
        }
        sd_event_source_disable_unref(p->io);
        if (p->finished_fd >= 0)
                close(p->finished_fd);
        pthread_cond_destroy(&p->more);
        pthread_mutex_destroy(&p->mutex);
        free(p);
}

int kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline)
{
        struct task *t = calloc(1, sizeof(*t));
        uint64_t rounds;
        bool late;

        if (!t)
                return -ENOMEM;
        *t = (struct task){.job = *job, .deadline = deadline};
        pthread_mutex_lock(&p->mutex);
        rounds = p->waiting.n / p->n_threads + 2; /* one that runs now, and our own */
        late = p->waiting.n >= MAX_WAITING || now + rounds * p->average > deadline;
        if (!late) {
                push(&p->waiting, t);
                pthread_cond_signal(&p->more);
        }
        pthread_mutex_unlock(&p->mutex);
        if (late) {
                free(t);
                return -EAGAIN;
        }
        p->pending++;
        return 0;
}

unsigned kb_pool_pending(const struct kb_pool *p)
{
        return p->pending;
}

void kb_pool_wait(struct kb_pool *p)
{
        struct pollfd finished = {.fd = p->finished_fd, .events = POLLIN};

        if (p->pending > 0 && poll(&finished, 1, -1) > 0)
                on_finished(p->io, p->finished_fd, 0, p);
}
