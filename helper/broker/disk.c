/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "common/clock.h"
#include "common/file.h"
#include "helper/server/pool.h"
#include "helper/server/process.h"

#define RETRY_USEC (5 * KB_USEC_PER_SEC)

/* Somebody who waits for a content to be on disk. */
struct waiter {
        struct waiter *next;
        kb_disk_done done;
        void *userdata;
};

/* The content of a file, and who waits for it. */
struct version {
        uint8_t *data; /* NULL: none */
        size_t size;
        mode_t mode;
        bool once;
        struct waiter *waiters;
};

struct file {
        struct file *next;
        struct kb_disk *owner;
        char *folder;
        char *name;
        struct version next_one; /* to be written */
        struct version now;      /* the thread is at it: the loop leaves it alone */
        bool known;              /* on_disk is what the file has */
        uint8_t on_disk[SHA256_DIGEST_LENGTH];
        bool failing; /* and that was said */
        sd_event_source *retry;
};

struct kb_disk {
        sd_event *event;
        struct kb_pool *pool;
        struct file *files;
};

static void version_done(struct version *v)
{
        kb_secret_free(v->data);
        *v = (struct version){.waiters = v->waiters};
}

/* --- who waits --- */

static void tell(struct waiter *waiters, int r)
{
        while (waiters) {
                struct waiter *w = waiters;

                waiters = w->next;
                w->done(r, w->userdata);
                free(w);
        }
}

/* Those of the older content wait for the newer one as well. 0 or -ENOMEM. */
static int wait_for(struct version *v, kb_disk_done done, void *userdata)
{
        struct waiter *w;

        if (!done)
                return 0;
        w = malloc(sizeof(*w));
        if (!w)
                return -ENOMEM;
        *w = (struct waiter){.next = v->waiters, .done = done, .userdata = userdata};
        v->waiters = w;
        return 0;
}

/* --- in the thread --- */

static int write_now(void *userdata)
{
        const struct file *f = userdata;
        _cleanup_close_ int folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (folder < 0)
                return -errno;
        return kb_file_write_at(folder, f->name, KB_SPAN(f->now.data, f->now.size), f->now.mode);
}

/* --- in the loop --- */

static void begin(struct file *f);

static int on_retry(sd_event_source *source, uint64_t now, void *userdata)
{
        begin(userdata);
        return 0;
}

static void say(struct file *f, int r)
{
        if (r < 0 && !f->failing)
                kb_process_log(LOG_ERR, "%s/%s cannot be written, and is tried again: %s", f->folder,
                               f->name, strerror(-r));
        else if (r >= 0 && f->failing)
                kb_process_log(LOG_NOTICE, "%s/%s is written again", f->folder, f->name);
        f->failing = r < 0;
}

static void try_again_later(struct file *f)
{
        f->next_one.data = take_ptr(f->now.data);
        f->next_one.size = f->now.size;
        f->next_one.mode = f->now.mode;
        (void)sd_event_source_set_time_relative(f->retry, RETRY_USEC);
        (void)sd_event_source_set_enabled(f->retry, SD_EVENT_ONESHOT);
}

static void on_written(int r, void *userdata)
{
        struct file *f = userdata;
        struct waiter *waiters = take_ptr(f->now.waiters);
        bool newer = f->next_one.data; /* then nobody wants this one any more */

        f->known = r >= 0;
        if (f->known)
                SHA256(f->now.data, f->now.size, f->on_disk);
        if (!f->now.once || r >= 0)
                say(f, r);
        if (r < 0 && !f->now.once && !newer)
                try_again_later(f);
        version_done(&f->now);
        if (newer)
                begin(f);
        tell(waiters, r);
}

/* Hands the next content to the thread, when that has none of this file. */
static void begin(struct file *f)
{
        const struct kb_job job = {.work = write_now, .done = on_written, .userdata = f};
        int r;

        if (f->now.data || !f->next_one.data)
                return;
        f->now = f->next_one;
        f->next_one = (struct version){0};
        r = kb_pool_submit(f->owner->pool, &job, 0, KB_TIME_NEVER);
        if (r < 0)
                on_written(r, f);
}

/* --- files --- */

static void file_free(struct file *f)
{
        if (!f)
                return;
        sd_event_source_disable_unref(f->retry);
        version_done(&f->next_one);
        free(f->folder);
        free(f->name);
        free(f);
}
KB_DEFINE_CLEANUP(struct file, file_free);

static struct file *file_new(struct kb_disk *d, const char *folder, const char *name)
{
        _cleanup_(file_freep) struct file *f = calloc(1, sizeof(*f));

        if (!f)
                return NULL;
        f->owner = d;
        f->folder = strdup(folder);
        f->name = strdup(name);
        if (!f->folder || !f->name ||
            sd_event_add_time(d->event, &f->retry, CLOCK_MONOTONIC, 0, 0, on_retry, f) < 0 ||
            sd_event_source_set_enabled(f->retry, SD_EVENT_OFF) < 0)
                return NULL;
        f->next = d->files;
        d->files = f;
        return take_ptr(f);
}

static struct file *find(struct kb_disk *d, const char *folder, const char *name)
{
        for (struct file *f = d->files; f; f = f->next)
                if (strcmp(f->name, name) == 0 && strcmp(f->folder, folder) == 0)
                        return f;
        return file_new(d, folder, name);
}

/* Whether the file has this content, or will have it with nothing more to do. */
static bool is_on_disk(const struct file *f, struct kb_span content)
{
        uint8_t hash[SHA256_DIGEST_LENGTH];

        if (!f->known || f->now.data || f->next_one.data)
                return false;
        SHA256(content.data, content.size, hash);
        return memcmp(hash, f->on_disk, sizeof(hash)) == 0;
}

static int replace_next(struct file *f, const struct kb_disk_file *file, kb_disk_done done, void *userdata)
{
        uint8_t *copy = kb_secret_dup(file->content);

        if (!copy || wait_for(&f->next_one, done, userdata) < 0) {
                kb_secret_free(copy);
                return -ENOMEM;
        }
        version_done(&f->next_one);
        f->next_one.data = copy;
        f->next_one.size = file->content.size;
        f->next_one.mode = file->mode;
        f->next_one.once = file->once;
        return 0;
}

void kb_disk_write(struct kb_disk *d, const struct kb_disk_file *file, kb_disk_done done, void *userdata)
{
        struct file *f = find(d, file->folder, file->name);
        int r = 0;

        if (!f)
                r = -ENOMEM;
        else if (!is_on_disk(f, file->content))
                r = replace_next(f, file, done, userdata);
        else if (done)
                done(0, userdata);
        if (r >= 0) {
                if (f)
                        begin(f);
                return;
        }
        kb_process_log(LOG_ERR, "%s/%s is not written: out of memory", file->folder, file->name);
        if (done)
                done(r, userdata);
}

/* --- whatever else --- */

int kb_disk_run(struct kb_disk *d, int (*work)(void *userdata), kb_disk_done done, void *userdata)
{
        return kb_pool_submit(d->pool, &(struct kb_job){work, done, userdata}, 0, KB_TIME_NEVER);
}

/* --- life --- */

int kb_disk_new(struct kb_disk **ret, sd_event *event)
{
        _cleanup_(kb_disk_freep) struct kb_disk *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->event = sd_event_ref(event);
        r = kb_pool_new(&d->pool, event, 1, 0);
        if (r < 0)
                return r;
        *ret = take_ptr(d);
        return 0;
}

bool kb_disk_idle(const struct kb_disk *d)
{
        return kb_pool_pending(d->pool) == 0;
}

static void finish(struct kb_disk *d)
{
        while (kb_pool_pending(d->pool) > 0)
                kb_pool_wait(d->pool);
}

void kb_disk_drain(struct kb_disk *d)
{
        finish(d);
        for (struct file *f = d->files; f; f = f->next)
                begin(f);
        finish(d);
}

void kb_disk_free(struct kb_disk *d)
{
        if (!d)
                return;
        if (d->pool)
                kb_disk_drain(d);
        kb_pool_free(d->pool);
        while (d->files) {
                struct file *f = d->files;

                d->files = f->next;
                file_free(f);
        }
        sd_event_unref(d->event);
        free(d);
}
