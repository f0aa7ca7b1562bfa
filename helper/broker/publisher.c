/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/publisher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/file.h"
#include "directory/nss_publish.h"
#include "helper/broker/store_client.h"
#include "helper/broker/user_grants.h"
#include "helper/server/process.h"

#define NSS_DIR   KB_STATEDIR "/nss"
#define KEPT_FILE "current"
#define KEPT_MAX  (KB_DIRECTORY_SIZE_MAX + 64)

/* Somebody who waits for a refresh. */
struct waiting {
        struct waiting *next;
        kb_publisher_done done;
        void *userdata;
        bool asked; /* the refresh under way began after this one came */
};

/* A document, as the store sent it or as it lies on disk. */
struct document {
        uint64_t version;
        uint64_t not_after;
        struct kb_writer records;
};

struct kb_publisher {
        struct kb_broker *broker;
        sd_event_source *timer;
        struct kb_directory *directory;
        uint64_t version;
        uint64_t not_after;
        uint64_t confirmed;
        char problem[256];

        struct kb_store_call *call; /* a refresh is under way */
        struct document incoming;
        uint32_t part;
        struct waiting *waiting;
};

/* --- on disk --- */

static int open_kept(void)
{
        int fd = open(KB_STATEDIR "/directory", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int keep(const struct document *d, uint64_t confirmed)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KEPT_MAX);
        _cleanup_close_ int folder = open_kept();

        if (folder < 0)
                return folder;
        kb_write_u64(&w, d->version);
        kb_write_u64(&w, d->not_after);
        kb_write_u64(&w, confirmed);
        kb_write_bytes(&w, KB_SPAN(d->records.data, d->records.size), KB_DIRECTORY_SIZE_MAX);
        if (kb_writer_end(&w) < 0)
                return kb_writer_end(&w);
        return kb_file_write_at(folder, KEPT_FILE, KB_SPAN(w.data, w.size), 0600);
}

/* --- in force --- */

static int publish(const struct kb_directory *directory)
{
        _cleanup_close_ int fd = open(NSS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : kb_nss_publish(fd, directory);
}

static int load(struct kb_publisher *p, struct kb_span records, struct kb_directory **ret)
{
        _cleanup_(kb_files_db_freep) struct kb_files_db *files = NULL;
        const struct kb_config *config = p->broker->config;
        struct kb_directory_options options = {.range = config->id_range};
        struct kb_refused refused;
        int r = kb_files_db_load(&files, "/etc/passwd", "/etc/group");

        if (r < 0) {
                snprintf(p->problem, sizeof(p->problem), "/etc/passwd cannot be read: %s", strerror(-r));
                return r;
        }
        options.files = files;
        r = kb_directory_load(ret, records, &options, &refused);
        if (r == -EBADMSG)
                kb_refused_format(&refused, p->problem, sizeof(p->problem));
        else if (r < 0)
                snprintf(p->problem, sizeof(p->problem), "%s", strerror(-r));
        return r;
}

/* Takes a document: judges it, publishes it, and only then decides by it. */
static int enforce(struct kb_publisher *p, uint64_t version, uint64_t not_after, struct kb_span records)
{
        _cleanup_(kb_directory_freep) struct kb_directory *directory = NULL;
        int r = load(p, records, &directory);

        if (r < 0)
                return r;
        r = publish(directory);
        if (r < 0) {
                snprintf(p->problem, sizeof(p->problem), "the name service's file cannot be written: %s",
                         strerror(-r));
                return r;
        }
        kb_directory_free(p->directory);
        p->directory = take_ptr(directory);
        p->version = version;
        p->not_after = not_after;
        return 0;
}

static int take_up_kept(struct kb_publisher *p)
{
        _cleanup_secret_ uint8_t *data = NULL;
        size_t size = 0;
        struct kb_reader r;
        struct kb_span records;
        uint64_t version, not_after, confirmed;
        _cleanup_close_ int folder = open_kept();
        int k = folder < 0 ? folder : kb_file_read_at(folder, KEPT_FILE, KEPT_MAX, &data, &size);

        if (k < 0)
                return k;
        r = kb_reader_init(KB_SPAN(data, size));
        version = kb_read_u64(&r);
        not_after = kb_read_u64(&r);
        confirmed = kb_read_u64(&r);
        records = kb_read_bytes(&r, KB_DIRECTORY_SIZE_MAX);
        if (kb_reader_end(&r) < 0)
                return -EBADMSG;
        k = enforce(p, version, not_after, records);
        if (k >= 0)
                p->confirmed = confirmed;
        return k;
}

/* --- the end of a refresh --- */

static void schedule(struct kb_publisher *p, uint64_t usec)
{
        sd_event_source_set_time(p->timer, kb_time_add(kb_now_monotonic(), usec));
        sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void start(struct kb_publisher *p);

static void finish(struct kb_publisher *p, enum kb_error error)
{
        struct waiting **next = &p->waiting;

        kb_writer_done(&p->incoming.records);
        kb_user_grants_check(p->broker->user_grants, NULL);
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
                w->done(error, p->problem, w->userdata);
                free(w);
        }
        schedule(p, p->broker->config->refresh_usec);
        if (p->waiting) /* they came while it was under way, and want what is newer still */
                start(p);
}

static void note_published(const struct kb_publisher *p)
{
        const struct kb_person *people;
        const struct kb_refused *left_out;
        char detail[96];

        snprintf(detail, sizeof(detail), "%zu people, %zu left out because this host's files have them",
                 kb_directory_people(p->directory, &people), kb_directory_left_out(p->directory, &left_out));
        kb_broker_note(p->broker, (struct kb_event){.id = KB_EVENT_DIRECTORY_PUBLISHED,
                                                    .generation = p->version,
                                                    .detail = detail});
}

static enum kb_error take_document(struct kb_publisher *p)
{
        struct kb_span records = KB_SPAN(p->incoming.records.data, p->incoming.records.size);
        int r = enforce(p, p->incoming.version, p->incoming.not_after, records);

        if (r < 0)
                return r == -EBADMSG ? KB_E_BAD_REQUEST : KB_E_INTERNAL;
        p->confirmed = kb_now_realtime();
        note_published(p);
        r = keep(&p->incoming, p->confirmed);
        if (r < 0)
                kb_process_log(
                        LOG_ERR,
                        "the directory cannot be kept on disk, and would be missed after a reboot: %s",
                        strerror(-r));
        return KB_E_OK;
}

/* --- asking --- */

static void ask_part(struct kb_publisher *p);

static void on_part(const struct kb_store_answer *answer, void *userdata)
{
        struct kb_publisher *p = userdata;
        struct kb_directory_reply reply;

        p->call = NULL;
        if (answer->error != KB_E_OK || kb_directory_reply_get(answer->fields, &reply) < 0) {
                snprintf(p->problem, sizeof(p->problem), "%s",
                         answer->error != KB_E_OK ? answer->text : "the store's answer makes no sense");
                finish(p, answer->error != KB_E_OK ? answer->error : KB_E_INTERNAL);
                return;
        }
        if (reply.unchanged && p->directory) {
                p->confirmed = kb_now_realtime();
                finish(p, KB_E_OK);
                return;
        }
        if (p->part > 0 && reply.version != p->incoming.version) { /* it changed while we read */
                start(p);
                return;
        }
        p->incoming.version = reply.version;
        p->incoming.not_after = reply.not_after;
        kb_write_raw(&p->incoming.records, reply.records);
        if (kb_writer_end(&p->incoming.records) < 0) {
                snprintf(p->problem, sizeof(p->problem), "the document is too large");
                finish(p, KB_E_BAD_REQUEST);
                return;
        }
        if (++p->part < reply.parts)
                ask_part(p);
        else
                finish(p, take_document(p));
}

static void ask_part(struct kb_publisher *p)
{
        struct kb_broker *broker = p->broker;

        if (kb_store_call_new(&p->call, &(struct kb_store_request){
                                                .event = broker->event,
                                                .dir = KB_STORES_DIR,
                                                .store = broker->config->directory_store,
                                                .verb = KB_VERB_directory,
                                                .usec = broker->config->store_usec,
                                                .done = on_part,
                                                .userdata = p,
                                        }) < 0) {
                snprintf(p->problem, sizeof(p->problem), "out of memory");
                finish(p, KB_E_BUSY);
                return;
        }
        kb_directory_request_put(
                kb_store_call_writer(p->call),
                &(struct kb_directory_request){.have = p->directory ? p->version : 0, .part = p->part});
        kb_store_call_start(p->call);
}

static void start(struct kb_publisher *p)
{
        for (struct waiting *w = p->waiting; w; w = w->next)
                w->asked = true;
        p->part = 0;
        kb_writer_done(&p->incoming.records);
        p->incoming = (struct document){.records = kb_writer_init(KB_DIRECTORY_SIZE_MAX)};
        ask_part(p);
}

void kb_publisher_refresh(struct kb_publisher *p, kb_publisher_done done, void *userdata)
{
        struct waiting *w = NULL;

        if (done) {
                w = calloc(1, sizeof(*w));
                if (!w) {
                        done(KB_E_BUSY, "out of memory", userdata);
                        return;
                }
                *w = (struct waiting){.next = p->waiting, .done = done, .userdata = userdata};
                p->waiting = w;
        }
        if (!p->call)
                start(p);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        kb_publisher_refresh(userdata, NULL, NULL);
        return 0;
}

/* --- life --- */

int kb_publisher_new(struct kb_publisher **ret, struct kb_broker *broker)
{
        _cleanup_(kb_publisher_freep) struct kb_publisher *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->broker = broker;
        r = sd_event_add_time(broker->event, &p->timer, CLOCK_MONOTONIC, 0, 0, on_timer, p);
        if (r < 0)
                return r;
        r = take_up_kept(p);
        if (r < 0 && r != -ENOENT)
                kb_process_log(LOG_ERR,
                               "the last good directory is of no use (%s): nobody is let in until the store "
                               "answers",
                               p->problem[0] ? p->problem : strerror(-r));
        schedule(p, 0);
        *ret = take_ptr(p);
        return 0;
}

void kb_publisher_free(struct kb_publisher *p)
{
        if (!p)
                return;
        if (p->call)
                kb_store_call_cancel(p->call);
        while (p->waiting) {
                struct waiting *w = p->waiting;

                p->waiting = w->next;
                free(w);
        }
        sd_event_source_disable_unref(p->timer);
        kb_writer_done(&p->incoming.records);
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
